# SPDX-License-Identifier: GPL-2.0-or-later
"""The tokens of one emerge: its implicit slot, if that is paid for, and those of the jobserver."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import sys
import termios

import jobserver_client
from jobserver_client import Client, Kind

IMPLICIT = b""
NOTED = b"noted"  # its byte lies in the ledger

F_SETPIPE_SZ, F_GETPIPE_SZ = 1031, 1032  # of fcntl(2); Python has them since 3.10
KEEPER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "emerge_keeper.py")


def count_bytes(fd: int) -> int:
    number: int = struct.unpack("=i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))[0]
    return number


class Ledger:
    """The tokens taken from a plain FIFO, one byte each in a pipe, which a keeper holds as well:
    they are moved there and back in one step (splice(2)), so that it can return them whenever
    emerge is killed. Each takes one of a pipe's slots."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.read_fd, self.write_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        pidfd = os.pidfd_open(os.getpid())
        inherited = (pidfd, self.read_fd, client.fileno())
        try:
            # Of no terminal: ^C is for emerge alone.
            self.keeper = subprocess.Popen(
                [sys.executable, "-I", "-S", KEEPER, *map(str, inherited)],
                pass_fds=inherited,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
            )
        finally:
            os.close(pidfd)

    def close(self) -> None:
        """When all have been returned."""
        self.keeper.kill()
        self.keeper.wait()
        os.close(self.read_fd)
        os.close(self.write_fd)

    def announce(self) -> None:
        """Up to Linux 6.5 splice(2) between pipes sends no inotify event, and a jobwrap would not
        see that its float is gone; an open it does see."""
        os.close(os.open(f"/proc/self/fd/{self.client.fileno()}", os.O_RDONLY | os.O_NONBLOCK))

    def borrow(self) -> bool:
        if not self.client.splice_to(self.write_fd):
            return False
        self.announce()
        return True

    def repay(self) -> None:
        if not (has_room(self.client.fileno()) and self.splice_back()):
            self.client.release(os.read(self.read_fd, 1))
        self.announce()

    def splice_back(self) -> bool:
        return jobserver_client.splice_one(self.read_fd, self.client.fileno())


def has_room(fifo: int) -> bool:
    """A byte that was spliced in takes a slot, and writers find no room when all are taken."""
    page = os.sysconf("SC_PAGESIZE")
    size = fcntl.fcntl(fifo, F_GETPIPE_SZ)
    if count_bytes(fifo) < size // page // 2:
        return True
    try:
        fcntl.fcntl(fifo, F_SETPIPE_SZ, 2 * size)
    except OSError:
        return False
    return True


class Tokens:
    """Taken one by one, and given back in any order."""

    def __init__(self, client: Client, has_implicit: bool) -> None:
        self.client = client
        self.has_implicit = has_implicit
        self.ledger: Ledger | None = None
        if client.kind is Kind.FIFO:
            self.ledger = Ledger(client)

    def take(self) -> bytes | None:
        """None: there is none now. JobserverError: there will be none."""
        if self.has_implicit:
            self.has_implicit = False
            return IMPLICIT
        if self.ledger is None:
            return self.client.try_acquire()
        return NOTED if self.ledger.borrow() else None

    def give(self, token: bytes) -> None:
        if token == IMPLICIT:
            self.has_implicit = True
        elif token == NOTED and self.ledger is not None:
            self.ledger.repay()
        else:
            self.client.release(token)

    def close(self) -> None:
        if self.ledger is not None:
            self.ledger.close()
        self.client.close()
