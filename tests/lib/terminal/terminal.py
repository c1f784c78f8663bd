# SPDX-License-Identifier: GPL-2.0-or-later
"""An interactive shell in a terminal of its own, at which a test types."""

from __future__ import annotations

import os
import pty
import re
import select
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

LIMIT_S = 60.0


class Process(NamedTuple):
    pid: int
    state: str
    parent: int
    group: int


def processes() -> Iterator[Process]:
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as file:
                    state, parent, group = file.read().rsplit(")", 1)[1].split()[:3]
            except OSError:
                continue
            yield Process(int(entry), state, int(parent), int(group))


def group_states(group: int) -> set[str]:
    return {process.state for process in processes() if process.group == group}


def count_grouped_children(parent: int) -> int:
    """Its children that lead a process group of their own."""
    return sum(each.parent == parent and each.group == each.pid for each in processes())


class Terminal:
    def __init__(self) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ["PS1"] = "prompt> "
            os.environ["TERM"] = "dumb"
            os.execvp("bash", ["bash", "--norc", "--noprofile", "--noediting", "-i"])
        self.seen = ""

    def send(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def expect(self, pattern: str) -> str:
        """Waits until the pattern was printed, and forgets all up to its end."""
        deadline = time.monotonic() + LIMIT_S
        while not (match := re.search(pattern, self.seen)):
            ready, _, _ = select.select([self.fd], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                sys.exit(f"waited in vain for {pattern!r}, seen: {self.seen!r}")
            try:
                self.seen += os.read(self.fd, 4096).decode(errors="replace")
            except OSError:
                sys.exit(f"the shell ended before {pattern!r}, seen: {self.seen!r}")
        self.seen = self.seen[match.end() :]
        return match.group(0)

    def wait_for_foreground(self) -> int:
        """Until a job of the shell is in the foreground, and none of its processes is stopped: the
        shell names the job before it continues it. Returns its process group."""
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            group = os.tcgetpgrp(self.fd)
            states = group_states(group)
            if group != self.pid and states and not states & set("tT"):
                return group
            time.sleep(0.01)
        sys.exit("the job was not continued")

    def wait_for_stop(self, group: int, stopped: str = "T") -> None:
        """Until all of the job has stopped. The shell knows when its own child has, but a
        grandchild that is still on its way to stop would read what we type next."""
        deadline = time.monotonic() + LIMIT_S
        while not (states := group_states(group)) or not states <= set(stopped):
            if time.monotonic() > deadline:
                sys.exit(f"the job did not stop: {states or 'it has ended'}")
            time.sleep(0.01)

    def wait_for_children(self, number: int) -> None:
        """Until the shell's job in the foreground has so many, each in a group of its own."""
        deadline = time.monotonic() + LIMIT_S
        while (seen := count_grouped_children(os.tcgetpgrp(self.fd))) != number:
            if time.monotonic() > deadline:
                sys.exit(f"waited in vain for {number} children, there are {seen}")
            time.sleep(0.01)

    def status(self) -> int:
        self.send("echo status=$?.\n")
        return int(re.sub(r"\D", "", self.expect(r"status=\d+\.")))


def expect_status(terminal: Terminal, expected: int) -> None:
    status = terminal.status()
    if status != expected:
        sys.exit(f"status {status} instead of {expected}")
