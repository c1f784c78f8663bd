# SPDX-License-Identifier: GPL-2.0-or-later
"""The tokens of one emerge: its implicit slot, if that is paid for, and those of the jobserver."""

from __future__ import annotations

import os
import subprocess
import sys

from jobserver_client import Client, Kind

IMPLICIT = b""
NOTED = b"noted"  # its byte lies in the ledger

KEEPER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "emerge_keeper.py")


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

    def borrow(self) -> bool:
        return self.client.splice_to(self.write_fd)

    def repay(self) -> None:
        self.client.splice_from(self.read_fd)


class Tokens:
    """Taken one by one, and given back in any order."""

    def __init__(self, client: Client, has_implicit: bool, implicit_may_come: bool) -> None:
        self.client = client
        self.has_implicit = has_implicit
        self.implicit_may_come = implicit_may_come and not has_implicit
        self.acquires_implicit = not has_implicit and not implicit_may_come
        self.taken = 0
        self.ledger: Ledger | None = None
        if client.kind is Kind.FIFO:
            self.ledger = Ledger(client)

    def take(self) -> bytes | None:
        """None: there is none now; the client is readable when there may be. JobserverError: there
        will be none."""
        if self.implicit_may_come and self.client.claim_implicit():
            self.implicit_may_come = False
            self.has_implicit = True
        if self.has_implicit:
            self.has_implicit = False
            return IMPLICIT
        if self.ledger is None:
            return self.acquire()
        return NOTED if self.ledger.borrow() else None

    def acquire(self) -> bytes | None:
        """Where no claim can come the first is our implicit slot, which a server does not count in
        our share. Who has said so is told of no claim any more."""
        token = self.client.try_acquire()
        if token is not None:
            self.taken += 1
            if self.taken == 1 and self.acquires_implicit:
                self.client.pay_implicit()
        return token

    def give(self, token: bytes) -> None:
        if token == IMPLICIT:
            self.has_implicit = True
        elif token == NOTED and self.ledger is not None:
            self.ledger.repay()
        else:
            self.client.release(token)
            self.taken -= 1

    def close(self) -> None:
        if self.ledger is not None:
            self.ledger.close()
        self.client.close()
