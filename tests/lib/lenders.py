#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""lenders.py [SAID]

The command of a jobwrap with two tokens, whose jobs lend what they have, and what they have not, by
its control socket, as launchers of compile farms do. Fails if more is lent than there is, or if not
all is as before in the end. With the file SAID, to which the jobwrap writes its messages, only one
thing: a token is lost while all that the build has are lent, and others have them.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Callable

from observe import count_free

sys.path.insert(0, str(Path(__file__).parents[2] / "libjobserver/python"))

from jobserver_client import CONTROL_HEADER, connect_in, open_directory

ACQUIRE = 2
LEND = 18
TAKE_BACK = 19
SPARE = 20
LIMIT_S = 60.0


class Lender:
    """A connection to the jobwrap around us."""

    def __init__(self) -> None:
        directory_fd = open_directory(os.environ["JOBWRAP_FIFO"])
        self.socket = connect_in(directory_fd)
        self.socket.settimeout(LIMIT_S)
        os.close(directory_fd)

    def ask(self, operation: int) -> int:
        self.socket.send(CONTROL_HEADER.pack(operation, 0))
        return int(struct.unpack_from("=Ii", self.socket.recv(6000))[1])

    def take_back(self) -> None:
        deadline = time.monotonic() + LIMIT_S
        while (answer := self.ask(TAKE_BACK)) != 1:
            assert answer == 0 and time.monotonic() < deadline
            time.sleep(0.01)

    def acquire(self) -> None:
        deadline = time.monotonic() + LIMIT_S
        while self.ask(ACQUIRE) != 1:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def close(self) -> None:
        self.socket.close()


def lend(lender: Lender) -> int:
    return lender.ask(LEND)


def spare(lender: Lender) -> int:
    return lender.ask(SPARE)


class Child:
    """A process with a connection of its own, that lends at once, or does something else."""

    def __init__(self, begin: Callable[[Lender], int] = lend) -> None:
        self.ours, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            self.ours.close()
            lender = Lender()
            theirs.send(bytes([begin(lender)]))
            theirs.recv(1)
            os._exit(0)
        theirs.close()
        self.has_lent = self.ours.recv(1) == b"\1"

    def end(self) -> None:
        self.ours.send(b"e")
        os.waitpid(self.pid, 0)
        self.ours.close()


def wait_for_bytes(fifo: int, count: int) -> None:
    deadline = time.monotonic() + LIMIT_S
    while (lying := count_free(fifo)) != count:
        assert time.monotonic() < deadline, f"{lying} bytes lie in the FIFO, not {count}"
        time.sleep(0.01)


def lend_the_only_slot(fifo: int) -> None:
    wait_for_bytes(fifo, 1)
    lender = Lender()
    assert lender.ask(TAKE_BACK) == -errno.EINVAL
    assert lender.ask(LEND) == 1
    wait_for_bytes(fifo, 2)
    assert lender.ask(LEND) == 0
    # Neither by another connection of the same process, nor by another process: nothing else is
    # in use.
    other = Lender()
    assert other.ask(LEND) == 0
    child = Child()
    assert not child.has_lent
    child.end()
    other.close()
    lender.take_back()
    wait_for_bytes(fifo, 1)
    assert lender.ask(LEND) == 1
    wait_for_bytes(fifo, 2)
    lender.close()
    wait_for_bytes(fifo, 1)


def lend_and_return(fifo: int) -> None:
    """A token is lent and comes back all the same: then it is not lent any more."""
    token = os.read(fifo, 1)
    children = [Child(), Child()]
    assert all(child.has_lent for child in children)
    wait_for_bytes(fifo, 2)
    os.write(fifo, token)
    wait_for_bytes(fifo, 2)
    for child in children:
        child.end()
    wait_for_bytes(fifo, 1)


def wait_for_a_token(fifo: int) -> None:
    """Both of them are in use when it is to be taken back."""
    lender = Lender()
    assert lender.ask(LEND) == 1
    wait_for_bytes(fifo, 2)
    tokens = os.read(fifo, 2)
    assert lender.ask(TAKE_BACK) == 0
    os.write(fifo, tokens[:1])
    lender.take_back()
    # Nobody waits for one whose job was killed.
    assert lender.ask(LEND) == 1
    wait_for_bytes(fifo, 1)
    tokens += os.read(fifo, 1)
    lender.close()
    os.write(fifo, tokens[:1])
    wait_for_bytes(fifo, 0)
    os.write(fifo, tokens[:1])
    wait_for_bytes(fifo, 1)


def lend_while_they_wait(fifo: int) -> None:
    token = os.read(fifo, 1)
    waiting = Child(spare)
    assert waiting.has_lent
    wait_for_bytes(fifo, 1)
    waiting.end()
    wait_for_bytes(fifo, 0)
    os.write(fifo, token)
    wait_for_bytes(fifo, 1)
    lender = Lender()
    assert lender.ask(SPARE) == 1
    wait_for_bytes(fifo, 2)
    assert lender.ask(SPARE) == lender.ask(LEND) == 1
    wait_for_bytes(fifo, 2)
    lender.take_back()
    wait_for_bytes(fifo, 1)


def come_and_go(fifo: int) -> None:
    for _ in range(100):
        lender = Lender()
        lender.socket.send(CONTROL_HEADER.pack(LEND, 0))
        lender.close()
    wait_for_bytes(fifo, 1)


def read_token(lender: Lender) -> int:
    """As a client of the FIFO."""
    lender.close()
    os.read(os.open(os.environ["JOBWRAP_FIFO"], os.O_RDWR | os.O_CLOEXEC), 1)
    return 1


def acquire_all(lender: Lender) -> int:
    lender.acquire()
    lender.acquire()
    return 1


def lose_what_is_lent(said: Path) -> None:
    client = Child(read_token)
    lenders = [Child(), Child()]
    assert all(lender.has_lent for lender in lenders)
    other = Child(acquire_all)
    client.end()
    deadline = time.monotonic() + LIMIT_S
    while "1 token was lost" not in said.read_text(encoding="utf-8"):
        assert time.monotonic() < deadline, "nothing is found lost"
        time.sleep(0.01)
    for lender in [other, *lenders]:
        lender.end()


def main() -> int:
    if len(sys.argv) > 1:
        lose_what_is_lent(Path(sys.argv[1]))
    fifo = os.open(os.environ["JOBWRAP_FIFO"], os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    if len(sys.argv) > 1:
        wait_for_bytes(fifo, 1)
        return 0
    lend_the_only_slot(fifo)
    lend_and_return(fifo)
    wait_for_a_token(fifo)
    lend_while_they_wait(fifo)
    come_and_go(fifo)
    return 0


if __name__ == "__main__":
    sys.exit(main())
