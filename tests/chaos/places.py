# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the tokens of a round come from: a steved of its own, or a jobwrap above all builds."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from build_kinds import Failure, Programs
from launch import Launch
from observe import Process, read_process
from steved_client import open_file, status

LAUNCHER = Path(__file__).parent / "launch.py"
LIMIT_S = 60.0


@dataclass(frozen=True)
class Held:
    """Tokens that are held at one moment."""

    cpu: int
    remote: int

    def most(self, other: Held) -> Held:
        return Held(max(self.cpu, other.cpu), max(self.remote, other.remote))


def start(command: list[str], said: Path) -> int:
    """Whoever ends is for the round to reap; so there is no more of it than a pid."""
    with open(said, "a") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    process.returncode = 0  # it is nothing of the class's any more
    return process.pid


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise Failure(f"{what}: not within {LIMIT_S:.0f} s")
        time.sleep(0.002)


def has_ended(pid: int) -> bool:
    process = read_process(pid)
    return process is None or process.state == "Z"


def set_at(place: Steved | Jobwrap, server: str, setting: str) -> None:
    command = [place.programs.stevectl, "--server", server, "set", setting]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise Failure(f"set {setting}: {done.stderr}")
    name, _, value = setting.partition("=")
    if name == "jobs":
        # What is held stays so when there are fewer.
        place.jobs = int(value)
        place.most = max(place.most, place.jobs)
    elif name == "remote.jobs":
        place.remote = int(value)
        place.most_remote = max(place.most_remote, place.remote)


def class_options(remote: int | None) -> list[str]:
    return [] if remote is None else [f"--class=remote={remote}"]


def held_at(fd: int) -> int:
    """And whether the pool's own numbers add up."""
    now = status(fd)
    total = now["free"] + now["held"] + now["reserved"]
    if total != now["jobs"] + now["debt"] or (now["debt"] and total != now["held"]):
        raise Failure(f"steved does not add up: {now}")
    return now["held"]


class Steved:
    """A steved and its guardian."""

    name = "steved"

    def __init__(self, programs: Programs, directory: Path, jobs: int, remote: int | None) -> None:
        self.programs = programs
        self.jobs = jobs
        self.most = jobs  # at any time so far
        self.remote = remote
        self.most_remote = remote or 0
        self.mount = directory / "steve"
        self.said = directory / "steved.said"
        self.file = str(self.mount / "jobserver")
        self.fd = self.remote_fd = -1

    def begin(self) -> None:
        self.mount.mkdir()
        command = [self.programs.steved, "--mount", str(self.mount), "--jobs", str(self.jobs)]
        command += class_options(self.remote)
        self.guardian = start(command, self.said)
        wait_until(
            lambda: os.path.exists(self.file) or has_ended(self.guardian), "steved starts"
        )
        if has_ended(self.guardian):
            raise Failure("steved does not start")
        self.fd = open_file(self.file)
        if self.remote is not None:
            self.remote_fd = open_file(str(self.mount / "remote"))

    def launch(self, launch: Launch) -> int:
        launch.file = self.file
        command = [sys.executable, str(LAUNCHER), launch.to_json()]
        return start(command, Path(launch.directory) / "launcher.said")

    def own(self, processes: dict[int, Process]) -> dict[str, int]:
        """What is to be hit."""
        own = {"guardian": self.guardian}
        own.update((self.name, p.pid) for p in processes.values() if p.name == self.name)
        return own

    def held(self) -> Held | None:
        return Held(held_at(self.fd), 0 if self.remote_fd < 0 else held_at(self.remote_fd))

    def set(self, setting: str) -> None:
        set_at(self, self.file, setting)

    def check_whole(self) -> None:
        """When all builds have ended."""

        pools = [(self.fd, self.jobs)]
        if self.remote is not None:
            pools.append((self.remote_fd, self.remote))

        def is_whole() -> bool:
            return all(
                (now := status(fd))["free"] == now["jobs"] == jobs and now["held"] == 0
                for fd, jobs in pools
            )

        try:
            wait_until(is_whole, "all tokens are free")
        except Failure as failure:
            raise Failure(f"{failure}: {[status(fd) for fd, _ in pools]}") from None

    def close(self) -> None:
        for fd in (self.fd, self.remote_fd):
            if fd >= 0:
                os.close(fd)


class Jobwrap:
    """One that is the pool, and has all builds below it."""

    name = "jobwrap"

    def __init__(self, programs: Programs, directory: Path, jobs: int, remote: int | None) -> None:
        self.programs = programs
        self.jobs = self.most = jobs
        self.remote = remote
        self.most_remote = remote or 0
        self.directory = directory
        self.said = directory / "jobwrap.said"

    def begin(self) -> None:
        """With its builds."""

    def launch(self, launch: Launch) -> int:
        # By name: a python that has inherited the descriptors counts as a client that may hold
        # tokens, and what is below it may claim these, whoever has them.
        command = [self.programs.jobwrap, f"-j{self.jobs}", "--parent=none", "--style=fifo"]
        command += [*class_options(self.remote), "--"]
        self.pid = start([*command, sys.executable, str(LAUNCHER), launch.to_json()], self.said)
        return self.pid

    def own(self, processes: dict[int, Process]) -> dict[str, int]:
        keepers = [
            p.pid
            for p in processes.values()
            if p.name == "jobwrap-keeper" and p.parent == self.pid and p.build is None
        ]
        own = {"outermost": self.pid}
        own.update(("its keeper", pid) for pid in keepers)
        return own

    def held(self) -> Held | None:
        return None

    def set(self, setting: str) -> None:
        is_steveds = setting.startswith(("per-process-limit", "per-user-limit"))
        if not (self.directory / "fifo").exists() or is_steveds:
            return
        try:
            set_at(self, (self.directory / "fifo").read_text(), setting)
        except Failure as failure:
            # It ends with its builds, at any moment.
            wait_until(lambda: has_ended(self.pid), f"{failure}; jobwrap ends")

    def check_whole(self) -> None:
        missing = self.directory / "missing"
        if missing.exists():
            raise Failure(missing.read_text())

    def close(self) -> None:
        pass


def mounts_below(directory: Path) -> list[str]:
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        points = [line.split()[4] for line in file]
    return [point for point in points if point.startswith(f"{directory}/")]


def unmount(directory: Path) -> None:
    """Whatever a server left that was killed for good, or a round that has failed."""
    for point in mounts_below(directory):
        with contextlib.suppress(OSError):
            umount = ["umount", "-l"] if os.getuid() == 0 else ["fusermount3", "-uz"]
            subprocess.run([*umount, point], stderr=subprocess.DEVNULL, check=False)
