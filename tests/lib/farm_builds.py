# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds on a machine that uses a compile farm."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Callable

from compile_farm import MEET_OPTION, Compilers, Farm, wait_until
from stamp_log import Job, read_log

TOKENS = 2
# What jobs at home leave in logs: compile is what the engine does by itself there.
KINDS = ("launcher", "preprocess", "compile", "local", "other")

NINJA_RULES = """\
rule remote
  command = {launcher} {compiler} {options} -c $in -o $out
rule local
  command = {compiler} -DHOME {options} -c $in -o $out
rule link
  command = {compiler} $in -o $out
rule hold
  command = read -r line <hold && : >$out
"""


class Tree:
    """A program of files that the farm compiles, and others; its own status tells whether all are
    there. Files that are held wait until `hold` is written to."""

    def __init__(self, directory: Path, launcher: str, language: str = "c") -> None:
        self.directory, self.launcher, self.suffix = directory, launcher, language
        self.compiler = "gcc" if language == "c" else "g++"
        self.options = "-O1"
        self.preamble = "#include <stdio.h>\n"
        directory.mkdir()
        os.mkfifo(directory / "hold")

    def body(self, name: str) -> str:
        return f'int {name}(void) {{ return printf("%s", "") + 1; }}\n'

    def write(self, remote: int, local: int = 0, held: int = 0, meets: bool = False) -> None:
        jobs = {f"remote{i}": ("remote", "") for i in range(remote)}
        jobs |= {f"local{i}": ("local", "") for i in range(local)}
        jobs |= {f"held{i}": ("remote", " || held") for i in range(held)}
        for name in jobs:
            source = self.preamble + self.body(name)
            (self.directory / f"{name}.{self.suffix}").write_text(source)
        declared = "".join(f"int {name}(void);\n" for name in jobs)
        called = "".join(f" + {name}()" for name in jobs)
        text = f"{declared}int main(void) {{ return {len(jobs)} - (0{called}); }}\n"
        (self.directory / f"main.{self.suffix}").write_text(text)
        self.write_ninja({**jobs, "main": ("local", "")}, meets)

    def write_ninja(self, jobs: dict[str, tuple[str, str]], meets: bool) -> None:
        options = f"{self.options} {MEET_OPTION}" if meets else self.options
        rules = NINJA_RULES.format(launcher=self.launcher, compiler=self.compiler, options=options)
        builds = [
            f"build {name}.o: {rule} {name}.{self.suffix}{needs}\n"
            for name, (rule, needs) in jobs.items()
        ]
        builds += [
            "build held: hold\n",
            f"build program: link {' '.join(f'{n}.o' for n in jobs)}\n",
        ]
        (self.directory / "build.ninja").write_text(rules + "".join(builds) + "default program\n")

    def release(self) -> None:
        """What is held may go on."""
        hold = os.open(self.directory / "hold", os.O_RDWR)
        os.write(hold, b"\n")
        wait_until((self.directory / "held").exists, "files that are held go on")
        os.close(hold)

    def clean(self) -> None:
        for pattern in ("*.o", ".ninja_*", "held", "program"):
            for path in self.directory.glob(pattern):
                path.unlink()

    def is_whole(self) -> bool:
        program = self.directory / "program"
        return program.exists() and subprocess.run([str(program)]).returncode == 0


# What builds a tree: a case for each.
BUILDERS = {"ninja": ["ninja"]}


class Home:
    """The machine: a server with tokens, what follows the farm, and builds."""

    def __init__(self, build: Path, work: Path, farm: Farm, slowness: float) -> None:
        self.programs, self.work, self.farm = build, work, farm
        Compilers(farm.compilers.stamp, slowness).install(work / "bin", work / "jobs")
        farm.install_launcher()
        (work / "runtime").mkdir(mode=0o700)
        others = {n: v for n, v in os.environ.items() if not n.startswith(("MAKE", "JOBWRAP_"))}
        self.environment = {
            **others,
            **farm.environment(),
            "PATH": f"{work}/bin:{os.environ['PATH']}",
            "XDG_CACHE_HOME": str(work / "cache"),
            "XDG_RUNTIME_DIR": str(work / "runtime"),
        }
        mount = work / "steve"
        self.server = mount / "jobserver"
        options = ["--config=/dev/null", "--jobs", str(TOKENS), "--class", "remote=0"]
        self.steved = self.start(self.program("steved"), *options, "--mount", str(mount))
        wait_until(self.server.exists, "steved is up")
        self.follower: subprocess.Popen[bytes] | None = None

    def close(self) -> None:
        for server in (self.follower, self.steved):
            if server:
                server.terminate()
                server.wait()

    def program(self, name: str, room: str = "") -> str:
        return str(self.programs / (room or name) / name)

    def start(
        self, *command: str, before: Callable[[], None] | None = None
    ) -> subprocess.Popen[bytes]:
        """What it says is in the log of its name; `before` is called in the child."""
        with open(self.work / f"{Path(command[0]).name}.log", "ab") as out:
            return subprocess.Popen(
                command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                preexec_fn=before,
            )

    def follow(self) -> None:
        options = ["--server", str(self.server), "--class", "remote", "--name", "home"]
        options.append(self.farm.followed())
        self.follower = self.start(self.program("stevefarm"), *options)

    def get(self, name: str) -> int:
        command = [self.program("stevectl", "steved"), "--server", str(self.server), "get", name]
        return int(subprocess.check_output(command, env=self.environment, text=True))

    def build(
        self,
        builder: str,
        tree: Tree,
        jobs: int = 0,
        before: Callable[[], None] | None = None,
        trace: Path | None = None,
    ) -> subprocess.Popen[bytes]:
        """With a -j of the user's, and no jobserver; else as many as there are tokens for, and a
        trace if one is wanted."""
        command = [*BUILDERS[builder], "-C", str(tree.directory)]
        if jobs:
            return self.start(*command, f"-j{jobs}", before=before)
        wrapping = [self.program("jobwrap"), f"-j{TOKENS}", f"--parent={self.server}"]
        wrapping += [f"--trace={trace}", "--"] if trace else ["--"]
        return self.start(*wrapping, *command, before=before)

    def stamps(self, kind: str) -> list[Job]:
        log = self.work / "jobs" / kind
        return read_log(str(log)) if log.exists() else []

    def forget_stamps(self) -> None:
        for log in (self.work / "jobs").iterdir():
            log.unlink()
