# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a process takes tokens from, so that they return whatever ends it.

At a plain FIFO nobody keeps account. A worker's tokens lie in a FIFO of its own, its ledger, which
the controller has open too: taking and noting one is one step (splice(2)), giving it back another.
Who survives can move what lies there, and each byte moves once. At steved, or by the control socket
of a jobwrap, the server does all that.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Iterator
from typing import Callable, Protocol

from pytest_jobwrap._client import FIFO, Client, JobserverError, Named, PauseNotice


class Source(Protocol):
    name: str

    def fileno(self) -> int:
        """Readable when a token may be there."""

    def take(self) -> bool: ...

    def give_back(self) -> bool:
        """One of those taken; False: there is none."""

    def others_may_wait(self) -> bool: ...

    def close(self) -> None: ...


@contextlib.contextmanager
def signals_blocked() -> Iterator[None]:
    """What a handler raises would fall between taking a token and noting it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def others_may_wait(client: Client) -> bool:
    """Who blocks on a FIFO cannot be seen, but while a token lies there nobody does."""
    wanted = client.wanted()
    return wanted > 0 if wanted is not None else client.count_free() in (0, None)


class Direct:
    """Tokens that this process holds, known to it alone or to the server. The first may be the
    implicit slot of the run, which is not counted in its share."""

    def __init__(self, client: Client, pays_implicit: bool = False) -> None:
        self.client = client
        self.pays_implicit = pays_implicit
        self.name = client.name
        self.tokens: list[bytes] = []

    def fileno(self) -> int:
        return self.client.fileno()

    def take(self) -> bool:
        with signals_blocked():
            token = self.client.try_acquire()
            if token is None:
                return False
            self.tokens.append(token)
        if self.pays_implicit and len(self.tokens) == 1:
            self.client.pay_implicit()
        return True

    def give_back(self) -> bool:
        if not self.tokens:
            return False
        with signals_blocked():
            self.client.release(self.tokens[-1])
            del self.tokens[-1]
        return True

    def others_may_wait(self) -> bool:
        return others_may_wait(self.client)

    def close(self) -> None:
        self.client.close()


class Noted:
    """Tokens of a FIFO that lie in a ledger. Both who have it open may give them back."""

    def __init__(self, client: Client, ledger_path: str) -> None:
        self.client = client
        self.name = client.name
        self.path = ledger_path
        self.ledger = os.open(ledger_path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def fileno(self) -> int:
        return self.client.fileno()

    def take(self) -> bool:
        return self.client.splice_to(self.ledger)

    def give_back(self) -> bool:
        return self.client.splice_from(self.ledger)

    def others_may_wait(self) -> bool:
        return others_may_wait(self.client)

    def close(self) -> None:
        self.client.close()
        os.close(self.ledger)


def open_source(path: str, ledger_path: str | None = None) -> Direct | Noted:
    """At a FIFO a ledger is needed."""
    client = Client.open(Named(path))
    if client.kind is not FIFO or ledger_path is None:
        return Direct(client)
    try:
        return Noted(client, ledger_path)
    except OSError as error:
        client.close()
        raise JobserverError(f"open {ledger_path}: {error.strerror}") from error


def wait_for_any(sources: list[Source], timeout_s: float | None = None) -> None:
    """Until one of them may have a token. What a signal's handler raises ends it."""
    poll = select.poll()
    names = {source.fileno(): source.name for source in sources}
    for fd in names:
        poll.register(fd, select.POLLIN)
    for fd, events in poll.poll(None if timeout_s is None else timeout_s * 1000):
        if not events & select.POLLIN:
            raise JobserverError(f"poll {names[fd]}: it has gone")


def wait_until(
    take: Callable[[], bool], sources: list[Source], pause_notice: PauseNotice | None
) -> None:
    """Until `take`, which has just failed, has had one of them."""
    if pause_notice is not None:
        pause_notice.begin()
    while True:
        wait_for_any(sources, pause_notice and pause_notice.left_s())
        if take():
            break
        if pause_notice is not None:
            pause_notice.look()
    if pause_notice is not None:
        pause_notice.end()
