# SPDX-License-Identifier: GPL-2.0-or-later
"""What belongs to the run: its implicit slot, and what its dead workers leave.

The slot is a FIFO with one byte, from which whoever needs it first takes it. So it can be waited
for together with the jobserver, and is noted in a ledger as a token is.
"""

from __future__ import annotations

from typing import Any, Callable

import pytest

from pytest_jobwrap._claim import Claim, ClaimThread
from pytest_jobwrap._client import FIFO, Client, JobserverError, Named, PauseNotice
from pytest_jobwrap._holder import Holder
from pytest_jobwrap._nameless import NamelessFifo, NamelessFile
from pytest_jobwrap._source import Direct, Noted, Source, open_source
from pytest_jobwrap._stamps import GIVEN_BACK, Stamps, Totals, add_up


class Run:
    """In pytest alone, or in the controller of pytest-xdist."""

    def __init__(
        self, client: Client, named: Named, slot_is_paid: bool, slot_may_come: bool = False
    ) -> None:
        self.client = client
        self.named = named
        self.slot_is_paid = slot_is_paid
        self.slot_may_come = slot_may_come and not slot_is_paid
        self.tests = 0
        self.errors: list[str] = []
        self.stamps: list[NamelessFile] = []

    @pytest.hookimpl
    def pytest_runtest_logstart(self) -> None:
        self.tests += 1

    def add_stamps(self) -> NamelessFile:
        self.stamps.append(NamelessFile())
        return self.stamps[-1]

    def add_up(self) -> Totals:
        return add_up([file.path for file in self.stamps])

    def close(self) -> None:
        for file in self.stamps:
            file.close()
        self.stamps = []


run_key = pytest.StashKey[Run]()


def open_holder_alone(run: Run, say: Callable[[str], None]) -> Holder:
    """A slot that is paid for is all that a process by itself needs."""
    stamps = Stamps(run.add_stamps().path)
    source = Direct(run.client, pays_implicit=not run.slot_is_paid)
    claim = Claim(run.client) if run.slot_may_come else None
    slot = PaidSlot() if run.slot_is_paid else None
    return Holder(slot, source, stamps, claim, PauseNotice(run.client, say))


class PaidSlot:
    """Of a process by itself: nobody else takes it."""

    name = "the implicit slot"

    def fileno(self) -> int:
        raise JobserverError("the implicit slot is held already")

    def take(self) -> bool:
        return True

    def give_back(self) -> bool:
        return False

    def others_may_wait(self) -> bool:
        return False

    def close(self) -> None:
        pass


class Ledger:
    """The controller's view of it: what a dead worker has left there it gives back."""

    def __init__(self, source_path: str) -> None:
        self.fifo = NamelessFifo()
        self.path = self.fifo.path
        self.noted = Noted(Client.open(Named(source_path)), self.path)

    def close(self) -> None:
        self.noted.close()
        self.fifo.close()


class Controller(Run):
    """Gives each worker what it needs to share the slot, and returns what a dead one held."""

    def __init__(
        self, client: Client, named: Named, slot_is_paid: bool, slot_may_come: bool = False
    ) -> None:
        super().__init__(client, named, slot_is_paid, slot_may_come)
        self.ledgers: dict[str, list[Ledger]] = {}  # of each worker
        self.stamps_paths: dict[str, str] = {}
        self.own = Direct(client)
        self.slot = NamelessFifo()
        self.claim_thread: ClaimThread | None = None

    def lend_slot(self) -> None:
        self.slot.put(b"+")

    def claim_slot(self) -> bool:
        self.slot_is_paid = self.slot_is_paid or (
            self.slot_may_come and self.client.claim_implicit()
        )
        return self.slot_is_paid

    def claims_or_takes(self) -> bool:
        return self.claim_slot() or self.own.take()

    def await_slot(self) -> None:
        if self.slot_may_come and not self.slot_is_paid and not self.own.tokens:
            self.claim_thread = ClaimThread(self.client, self.lend_slot)

    def workers_take_tokens(self) -> bool:
        return self.named.path is not None

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:  # noqa: ANN401
        """A worker on another machine is no business of this one's jobserver."""
        spec = node.gateway.spec
        if not spec.popen or getattr(spec, "via", None):
            return
        ledgers = self.ledgers.setdefault(node.gateway.id, [])
        self.stamps_paths[node.gateway.id] = self.add_stamps().path
        ledgers.append(Ledger(self.slot.path))
        if self.named.path is not None and self.client.kind is FIFO:
            ledgers.append(Ledger(self.named.path))
        node.workerinput["jobserver"] = {
            "path": self.named.path,
            "slot": self.slot.path,
            "ledgers": [ledger.path for ledger in ledgers],
            "stamps": self.stamps_paths[node.gateway.id],
        }

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object | None) -> None:  # noqa: ANN401
        message = getattr(node, "workeroutput", {}).get("jobserver_error")
        if message is not None and message not in self.errors:
            self.errors.append(message)
        if error is not None:  # else it gives back what it holds, and is about to
            self.note_end(node.gateway.id)
            self.settle(node.gateway.id)

    def note_end(self, process: str) -> None:
        """In its place, before others have what it held."""
        if process in self.stamps_paths:
            stamps = Stamps(self.stamps_paths[process])
            stamps.note(GIVEN_BACK)
            stamps.close()

    def settle(self, process: str | None = None) -> None:
        """What lies in the ledgers of a process that has ended, or of all, goes back."""
        for owner, ledgers in self.ledgers.items():
            if process is None or process == owner:
                for ledger in ledgers:
                    self.give_all_back(ledger.noted)

    def give_all_back(self, source: Source) -> None:
        try:
            while source.give_back():
                pass
        except JobserverError as error:
            self.errors.append(str(error))

    def close(self) -> None:
        if self.claim_thread is not None:
            self.claim_thread.close()
            self.claim_thread = None
        self.settle()
        self.give_all_back(self.own)
        for ledgers in self.ledgers.values():
            for ledger in ledgers:
                ledger.close()
        self.ledgers = {}
        self.slot.close()
        self.client.close()
        super().close()


def open_holder_of_worker(workerinput: dict[str, Any], say: Callable[[str], None]) -> Holder:
    slot_ledger, *token_ledger = workerinput["ledgers"]
    slot = open_source(workerinput["slot"], slot_ledger)
    path = workerinput["path"]
    source = open_source(path, *token_ledger) if path is not None else None
    notice = PauseNotice(source.client, say, slot.fileno()) if source is not None else None
    return Holder(slot, source, Stamps(workerinput["stamps"]), pause_notice=notice)
