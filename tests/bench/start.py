# SPDX-License-Identifier: GPL-2.0-or-later
"""How long it is to the first job of a jobwrap that has to start the user's steved."""

from __future__ import annotations

import os
import shutil
import signal
import statistics
import subprocess
import time
from pathlib import Path

from bench import Bench

NOBODY = 65534


class User:
    """Who is not root, with programs beside one another, and a place for a steved."""

    def __init__(self, bench: Bench, directory: Path) -> None:
        self.programs = directory / "programs"
        self.runtime = directory / "runtime"
        self.programs.mkdir()
        for program in (bench.jobwrap, bench.steved, bench.steved.parent / "stevectl"):
            shutil.copy(program, self.programs)
        self.runtime.mkdir(mode=0o700)
        self.becomes: list[str] = []
        if os.geteuid() == 0:
            directory.chmod(0o755)
            os.chown(self.runtime, NOBODY, NOBODY)
            self.becomes = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        self.environment = os.environ | {"XDG_RUNTIME_DIR": str(self.runtime)}

    def run(self, program: str, *arguments: str) -> str:
        command = [*self.becomes, str(self.programs / program), *arguments]
        done = subprocess.run(
            command, env=self.environment, check=True, stdout=subprocess.PIPE, text=True
        )
        return done.stdout

    def time_to_first_job(self, *options: str) -> float:
        """In ms, to its own stamp."""
        begun_ns = time.time_ns()
        return (int(self.run("jobwrap", *options, "--", "date", "+%s%N")) - begun_ns) / 1e6

    def end_server(self) -> None:
        server = str(self.runtime / "steve" / "jobserver")
        pid = int(self.run("stevectl", "--server", server, "get", "pid"))
        os.kill(pid, signal.SIGTERM)
        while os.path.ismount(self.runtime / "steve"):
            time.sleep(0.01)


def bench_start(bench: Bench, directory: Path) -> None:
    """With no server, with one that serves, and with none wanted, in turn."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK) or not shutil.which("fusermount3"):
        print("start: no usable /dev/fuse, or no fusermount3")
        return
    if os.geteuid() == 0 and os.stat("/dev/fuse").st_mode & 0o6 != 0o6:
        print("start: /dev/fuse is root's alone")
        return
    user = User(bench, directory)
    times: dict[str, list[float]] = {"cold": [], "warm": [], "none": []}
    for _ in range(max(5, bench.rounds // 3)):
        times["cold"].append(user.time_to_first_job())
        times["warm"].append(user.time_to_first_job())
        user.end_server()
        times["none"].append(user.time_to_first_job("--parent=none"))
    cold, warm, none = (statistics.median(times[name]) for name in ("cold", "warm", "none"))
    for name, ms in (("warm", warm), ("no server wanted", none)):
        text = f"{cold / ms:6.3f}   ({cold:.1f} ms / {ms:.1f} ms)"
        bench.say(f"first job, cold / {name}", cold / ms, text)
    bench.say("first job, cold", cold, f"{cold:6.1f} ms  (goal 50)")
