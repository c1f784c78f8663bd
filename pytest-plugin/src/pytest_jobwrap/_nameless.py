# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run shares with its workers, which inherit no descriptors: they open those of the
controller. No directory has a name for it, so that nothing is left behind whatever ends the run."""

from __future__ import annotations

import os


def path_of(fd: int) -> str:
    return f"/proc/{os.getpid()}/fd/{fd}"


class NamelessFile:
    def __init__(self) -> None:
        self.fd = os.memfd_create("jobserver-run")  # a full disk is no matter
        self.path = path_of(self.fd)

    def close(self) -> None:
        os.close(self.fd)


class NamelessFifo:
    def __init__(self) -> None:
        ends = os.pipe2(os.O_CLOEXEC)
        try:
            self.fd = os.open(path_of(ends[0]), os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        finally:
            for fd in ends:
                os.close(fd)
        self.path = path_of(self.fd)

    def put(self, token: bytes) -> None:
        os.write(self.fd, token)

    def close(self) -> None:
        os.close(self.fd)
