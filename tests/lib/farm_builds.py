# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds on a machine that uses a compile farm."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

from compile_farm import MEET_OPTION, Compilers, Farm, wait_until
from stamp_log import Job, read_log

TOKENS = 2
# What jobs at home leave in logs: compile is what the engine does by itself there.
KINDS = ("launcher", "preprocess", "compile", "local", "other")

# What the jobs of a tree run; source, sources and target are ninja's or make's own words.
COMMANDS = {
    "remote": "{remote} {options} -c {source} -o {target}",
    "local": "{local} -DHOME {options} -c {source} -o {target}",
    "link": "{local} {sources} -o {target}",
    "hold": "read -r line <hold && : >{target}",
}


@dataclass(frozen=True)
class Builder:
    """A program, and what it has before the compilers of jobs for the farm."""

    program: str
    launcher: str = "{engine} "
    # Of the environment of a build.
    variables: dict[str, str] = field(default_factory=dict)


LINKS = {"PATH": "{work}/links:{path}"}
# ccache shall never have it already. It preprocesses by itself.
CCACHE = {"CCACHE_PREFIX": "{engine}", "CCACHE_DIR": "{work}/ccache", "CCACHE_RECACHE": "1"}
BUILDERS = {
    "ninja": Builder("ninja"),
    "make": Builder("make"),
    "make-links": Builder("make", "", LINKS),
    "make-ccache": Builder("make", "ccache ", CCACHE),
    "ninja-ccache": Builder("ninja", "ccache ", CCACHE),
}


class Tree:
    """A program of files that the farm compiles, and others; its own status tells whether all are
    there. Files that are held wait until `hold` is written to."""

    def __init__(self, directory: Path, builder: Builder, farm: Farm, language: str = "c") -> None:
        self.directory, self.builder, self.suffix = directory, builder, language
        compiler = "gcc" if language == "c" else "g++"
        self.remote = builder.launcher.format(engine=farm.name) + compiler
        self.local = str(farm.work / "bin" / compiler)
        self.options = "-O1"
        self.preamble = "#include <stdio.h>\n"
        directory.mkdir()
        os.mkfifo(directory / "hold")

    def body(self, name: str) -> str:
        return f'int {name}(void) {{ return printf("%s", "") + 1; }}\n'

    def write(self, remote: int, local: int = 0, held: int = 0, meets: bool = False) -> None:
        jobs = {f"remote{i}": "remote" for i in range(remote)}
        jobs |= {f"local{i}": "local" for i in range(local)}
        jobs |= {f"held{i}": "remote" for i in range(held)}
        for name in jobs:
            source = self.preamble + self.body(name)
            (self.directory / f"{name}.{self.suffix}").write_text(source)
        declared = "".join(f"int {name}(void);\n" for name in jobs)
        called = "".join(f" + {name}()" for name in jobs)
        text = f"{declared}int main(void) {{ return {len(jobs)} - (0{called}); }}\n"
        (self.directory / f"main.{self.suffix}").write_text(text)
        write = self.write_ninja if self.builder.program == "ninja" else self.write_make
        write({**jobs, "main": "local"}, f"{self.options} {MEET_OPTION}" if meets else self.options)

    def commands(self, options: str, **words: str) -> dict[str, str]:
        of_tree = {"remote": self.remote, "local": self.local, "options": options}
        return {name: text.format(**of_tree, **words) for name, text in COMMANDS.items()}

    def write_ninja(self, jobs: dict[str, str], options: str) -> None:
        commands = self.commands(options, source="$in", sources="$in", target="$out")
        lines = [f"rule {name}\n  command = {text}\n" for name, text in commands.items()]
        for name, rule in jobs.items():
            needs = " || held" if name.startswith("held") else ""
            lines.append(f"build {name}.o: {rule} {name}.{self.suffix}{needs}\n")
        lines.append("build held: hold\n")
        lines.append(f"build program: link {objects_of(jobs)}\ndefault program\n")
        (self.directory / "build.ninja").write_text("".join(lines))

    def write_make(self, jobs: dict[str, str], options: str) -> None:
        commands = self.commands(options, source="$<", sources="$^", target="$@")
        lines = [f"program: {objects_of(jobs)}\n\t{commands['link']}\n"]
        for name, rule in jobs.items():
            needs = " | held" if name.startswith("held") else ""
            lines.append(f"{name}.o: {name}.{self.suffix}{needs}\n\t{commands[rule]}\n")
        lines.append(f"held:\n\t{commands['hold']}\n")
        (self.directory / "Makefile").write_text("".join(lines))

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


def objects_of(jobs: Iterable[str]) -> str:
    return " ".join(f"{name}.o" for name in jobs)


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
        self,
        *command: str,
        before: Callable[[], None] | None = None,
        variables: dict[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """What it says is in the log of its name; `before` is called in the child."""
        with open(self.work / f"{Path(command[0]).name}.log", "ab") as out:
            return subprocess.Popen(
                command,
                env={**self.environment, **(variables or {})},
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
        tree: Tree,
        *options: str,
        jobs: int = 0,
        before: Callable[[], None] | None = None,
        trace: Path | None = None,
    ) -> subprocess.Popen[bytes]:
        """With a -j of the user's, and no jobserver; else as many as there are tokens for, and a
        trace if one is wanted."""
        words = {"engine": self.farm.name, "work": self.work, "path": self.environment["PATH"]}
        variables = {n: v.format(**words) for n, v in tree.builder.variables.items()}
        command = [tree.builder.program, "-C", str(tree.directory), *options]
        if jobs:
            command.append(f"-j{jobs}")
        else:
            wrapping = [f"-j{TOKENS}", f"--parent={self.server}", f"--report={self.work}/report"]
            if trace:
                wrapping.append(f"--trace={trace}")
            command = [self.program("jobwrap"), *wrapping, "--", *command]
        return self.start(*command, before=before, variables=variables)

    def tokens_wrong(self) -> int:
        """Of the last build with tokens: how many were lost, or were too many."""
        report = json.loads((self.work / "report").read_text())
        return int(report["lost"]) + int(report["dropped"])

    def stamps(self, kind: str) -> list[Job]:
        log = self.work / "jobs" / kind
        return read_log(str(log)) if log.exists() else []

    def forget_stamps(self) -> None:
        for log in (self.work / "jobs").iterdir():
            log.unlink()
