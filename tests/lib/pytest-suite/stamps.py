# SPDX-License-Identifier: GPL-2.0-or-later
"""Stamps of tests, in the format of tests/lib/stamp.c and counted together with its own. A test is
no process: each process of a run has the log open once, and holds a lock on it while a test runs or
while it collects."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import time
from collections.abc import Iterator
from typing import Callable

from observe import FIRST_SLOT, FLOCK, SLOTS, count_living

F_OFD_SETLK = 37
LIMIT_S = 60.0
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")


def flock(kind: int, slot: int, length: int = 1) -> bytes:
    return struct.pack(FLOCK, kind, os.SEEK_SET, FIRST_SLOT + slot, length, 0)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.005)


class Log:
    def __init__(self, path: str) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self.met = f"{path}.met"

    def take_slot(self) -> int:
        """Which one."""
        for slot in range(SLOTS):
            try:
                fcntl.fcntl(self.fd, F_OFD_SETLK, flock(fcntl.F_WRLCK, slot))
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
            else:
                return slot
        raise RuntimeError(f"more than {SLOTS} jobs at once")

    def living(self) -> int:
        """Own locks are not seen as such: this process's job is the one more."""
        return count_living(self.fd) + 1

    def append(self, *words: object) -> None:
        os.write(self.fd, (" ".join(map(str, words)) + "\n").encode())

    @contextlib.contextmanager
    def stamped(self, name: str) -> Iterator[None]:
        name = f"{name}.{WORKER}"
        slot = self.take_slot()
        living = self.living()
        self.append("start", name, os.getpid(), time.monotonic_ns(), living)
        # As stamp.c does it: the start is there to be read.
        fcntl.fcntl(self.fd, F_OFD_SETLK, flock(fcntl.F_WRLCK, SLOTS + slot))
        try:
            yield
        finally:
            self.append("end", name, os.getpid(), time.monotonic_ns())
            fcntl.fcntl(self.fd, F_OFD_SETLK, flock(fcntl.F_UNLCK, 0, 2 * SLOTS))

    def meet(self, wanted: int) -> None:
        """Waits until so many jobs run at once, or did: the first who sees it tells the others."""

        def have_met() -> bool:
            if not os.path.exists(self.met) and self.living() >= wanted:
                os.close(os.open(self.met, os.O_CREAT | os.O_WRONLY))
            return os.path.exists(self.met)

        wait_until(have_met, f"{wanted} jobs at once")


LOG = Log(os.environ["LOG"])
