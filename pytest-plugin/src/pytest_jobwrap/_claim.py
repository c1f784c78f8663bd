# SPDX-License-Identifier: GPL-2.0-or-later
"""The implicit slot of a run that is paid for only later, by a token that somebody else has claimed
when the run starts: see implicit_may_come() of _client.

A process by itself waits for it as it waits for a token. The controller of pytest-xdist waits for
nothing: its workers do, for the slot among others, so that a thread waits in its place.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from typing import Callable

from pytest_jobwrap._client import Client


class Claim:
    """A source of one slot, which then stays with this process."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.name = client.name
        self.is_paid = False

    def fileno(self) -> int:
        return self.client.fileno()

    def take(self) -> bool:
        self.is_paid = self.is_paid or self.client.claim_implicit()
        return self.is_paid

    def give_back(self) -> bool:
        return False

    def others_may_wait(self) -> bool:
        return False

    def close(self) -> None:
        """The client is somebody else's."""


class ClaimThread:
    """Calls `come` once there is a claim."""

    def __init__(self, client: Client, come: Callable[[], None]) -> None:
        self.claim = Claim(client)
        self.come = come
        self.end_fd, self.ending_fd = os.pipe2(os.O_CLOEXEC)
        self.thread = threading.Thread(target=self._wait, name="jobserver-claim", daemon=True)
        self.thread.start()

    def _wait(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        poll = select.poll()
        poll.register(self.end_fd, select.POLLIN)
        while True:
            fd, event = self.claim.client.claim_event()
            if self.claim.take():
                break
            poll.register(fd, event)
            for ready_fd, events in poll.poll():
                # The run has ended, or the server has gone.
                if ready_fd == self.end_fd or not events & event:
                    return
        self.come()

    def close(self) -> None:
        os.write(self.ending_fd, b"+")
        self.thread.join()
        os.close(self.ending_fd)
        os.close(self.end_fd)
