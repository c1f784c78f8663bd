# SPDX-License-Identifier: GPL-2.0-or-later
"""When each process held a token: what it notes itself, in a file that outlives it."""

from __future__ import annotations

import contextlib
import os
import struct
import time
from typing import NamedTuple

RECORD = struct.Struct("=qqq")  # when, after waiting how long (ns of the monotonic clock), what
GIVEN_BACK, TOKEN, SLOT = range(3)


class Stamps:
    def __init__(self, path: str) -> None:
        self.fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def note(self, what: int, waited_ns: int = 0) -> None:
        """What cannot be written (ulimit -f) is missing at the end, and nothing else is."""
        with contextlib.suppress(OSError):
            os.write(self.fd, RECORD.pack(time.monotonic_ns(), waited_ns, what))

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1


class Totals(NamedTuple):
    tokens: int
    waited_s: float
    highest: int


def _read(path: str) -> list[tuple[int, int, int]]:
    with open(path, "rb") as file:
        data = file.read()
    return list(RECORD.iter_unpack(data[: len(data) - len(data) % RECORD.size]))


def add_up(paths: list[str]) -> Totals:
    """One file a process. One that ended without a note has its last token to the end."""
    tokens = waited_ns = 0
    changes: list[tuple[int, int]] = []
    for path in paths:
        is_holding = False
        for when, waited, what in _read(path):
            tokens += what == TOKEN
            waited_ns += waited
            if is_holding != (what != GIVEN_BACK):
                is_holding = not is_holding
                changes.append((when, 1 if is_holding else -1))
    running = highest = 0
    for _, change in sorted(changes):
        running += change
        highest = max(highest, running)
    return Totals(tokens, waited_ns / 1e9, highest)
