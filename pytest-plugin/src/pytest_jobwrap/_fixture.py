# SPDX-License-Identifier: GPL-2.0-or-later
"""The fixture `jobserver`, for tests that start jobs themselves."""

from __future__ import annotations

import os
import time
from types import TracebackType

from pytest_jobwrap._client import Named, format_auth
from pytest_jobwrap._source import Source, wait_for_any


class Token:
    """The right to run one job, until release() or the end of the `with` block."""

    def __init__(self, source: Source | None) -> None:
        self._source = source

    def release(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            source.give_back()

    def __enter__(self) -> Token:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


def environment_for(named: Named | None) -> dict[str, str]:
    """Ours, and in MAKEFLAGS the jobserver that is used; of several the last counts."""
    environ = dict(os.environ)
    if named is not None and named.path is not None:
        flags, dashes, definitions = environ.get("MAKEFLAGS", "").partition(" -- ")
        environ["MAKEFLAGS"] = f"{flags} {format_auth(named)}{dashes}{definitions}"
    return environ


class Jobserver:
    """A test has a token already: its first job runs on that, and needs no other. Each job beside
    it needs a token of its own. Where the run has no jobserver, there is nothing to wait for.

    `environ` is the environment for jobs that are clients themselves, such as make; of descriptors
    that only this process has inherited, `pass_fds` is for subprocess."""

    def __init__(self, source: Source | None, named: Named | None, is_limited: bool) -> None:
        self.environ = environment_for(named)
        is_pipe = named is not None and named.path is None
        self.pass_fds = (named.read_fd, named.write_fd) if named is not None and is_pipe else ()
        self._source = source
        self._is_limited = is_limited
        self._tokens: list[Token] = []

    def _lend(self) -> Token:
        self._tokens.append(Token(self._source))
        return self._tokens[-1]

    def try_acquire(self) -> Token | None:
        """One if one is free."""
        if self._source is None:
            return None if self._is_limited else self._lend()
        return self._lend() if self._source.take() else None

    def acquire(self, timeout: float | None = None) -> Token:
        """Waits for one, `timeout` seconds at most (TimeoutError). Tests that all hold one and wait
        for a second wait for ever, hence the timeout."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            token = self.try_acquire()
            if token is not None:
                return token
            left_s = None if deadline is None else deadline - time.monotonic()
            if self._source is None or (left_s is not None and left_s <= 0):
                raise TimeoutError("no token of the jobserver is free")
            wait_for_any([self._source], left_s)

    def close(self) -> None:
        while self._tokens:
            self._tokens.pop().release()
