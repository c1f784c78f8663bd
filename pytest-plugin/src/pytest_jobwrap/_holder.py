# SPDX-License-Identifier: GPL-2.0-or-later
"""The one token, or the run's implicit slot, on which a process collects and runs its tests."""

from __future__ import annotations

import os
import time

from pytest_jobwrap._client import SERVER, Client, JobserverError, PauseNotice
from pytest_jobwrap._source import Source, wait_until
from pytest_jobwrap._stamps import GIVEN_BACK, SLOT, TOKEN, Stamps

# How long a token is kept from one test to the next before we look whether somebody else wants it.
# Asking steved costs a test no more than a hundredth of that. At a FIFO somebody may always wait,
# and the FIFO of a jobwrap always does.
PATIENCE_S = 0.05
PATIENCE_STEVED_S = 0.01

# Somebody who was woken by the token that we gave back needs the CPU before we try for another one,
# and nothing tells when he has had it.
COURTESY_S = 0.001


class Holder:
    """`slot` is preferred; `claim` may become the slot. Without a source there is nothing to wait
    for. `pause_notice` is of the jobserver."""

    def __init__(
        self,
        slot: Source | None,
        jobserver: Source | None,
        stamps: Stamps,
        claim: Source | None = None,
        pause_notice: PauseNotice | None = None,
    ) -> None:
        self.slot = slot
        self.claim = claim
        self.jobserver = jobserver
        self.stamps = stamps
        self.pause_notice = pause_notice
        self.held: Source | None = None
        self.look_again_at = 0.0
        self.error: str | None = None
        self.left: list[Source] = []  # what it went on without
        self.pid = os.getpid()
        self.patience_s = PATIENCE_S
        client: Client | None = getattr(jobserver, "client", None)
        if client is not None and client.kind is SERVER and not client.is_jobwrap:
            self.patience_s = PATIENCE_STEVED_S

    def _sources(self) -> list[Source]:
        sources = (self.slot, self.claim, self.jobserver)
        return [source for source in sources if source is not None]

    def _take_any(self) -> bool:
        for source in self._sources():
            if source.take():
                if source is self.claim:
                    self.slot, self.claim = source, None
                self.held = source
                self.look_again_at = time.monotonic() + self.patience_s
                return True
        return False

    def hold(self) -> None:
        """Waits for one, or keeps what is held unless it is somebody else's turn."""
        try:
            if self.held is not None:
                self._keep()
            if self.held is None:
                self._acquire()
        except JobserverError as error:
            self._give_up(error)

    def hold_if_free(self) -> None:
        """For what is to be done whether or not there is a token."""
        try:
            if self.held is None and self._take_any():
                self._note_taken(0)
        except JobserverError as error:
            self._give_up(error)

    def _note_taken(self, waited_ns: int) -> None:
        self.stamps.note(SLOT if self.held is self.slot else TOKEN, waited_ns)

    def _acquire(self) -> None:
        if not self._sources():
            return
        began_ns = time.monotonic_ns()
        waited_ns = 0
        if not self._take_any():
            wait_until(self._take_any, self._sources(), self.pause_notice)
            waited_ns = time.monotonic_ns() - began_ns
        self._note_taken(waited_ns)

    def _keep(self) -> None:
        if self.held is self.slot or time.monotonic() < self.look_again_at:
            return
        assert self.held is not None
        self.look_again_at = time.monotonic() + self.patience_s
        if self.slot is not None and self.slot.take():
            self.held.give_back()
            self.held = self.slot
            self._note_taken(0)
        elif self.held.others_may_wait():
            self.release()
            time.sleep(COURTESY_S)

    def release(self) -> None:
        """A child of a test that gets here by fork(2) has nothing to give."""
        if self.held is None or os.getpid() != self.pid:
            return
        self.stamps.note(GIVEN_BACK)
        held, self.held = self.held, None
        try:
            held.give_back()
        except JobserverError as error:
            self._give_up(error)

    def _give_up(self, error: JobserverError) -> None:
        """The jobserver has gone: from here on we are by ourselves."""
        self.error = str(error)
        self.left += self._sources()
        self.slot = self.claim = self.jobserver = None
        self.held = None

    def close(self) -> None:
        """Gives back all there is, what an interrupt has left unnoted too."""
        if os.getpid() != self.pid:
            return
        self.release()
        for source in self._sources():
            try:
                while source.give_back():
                    pass
            except JobserverError as error:
                self.error = str(error)
            source.close()
        for source in self.left:
            source.close()
        self.left = []
        self.slot = self.claim = self.jobserver = None
        self.stamps.close()
