# SPDX-License-Identifier: GPL-2.0-or-later
"""What belongs to the run: its directory, its implicit slot, and what its dead workers leave.

The slot is a FIFO with one byte, from which whoever needs it first takes it. So it can be waited
for together with the jobserver, and is noted in a ledger as a token is.
"""

from __future__ import annotations

import glob
import os
import shutil
import tempfile
from typing import Any

import pytest

from pytest_jobserver._client import FIFO, Client, JobserverError, Named
from pytest_jobserver._holder import Holder
from pytest_jobserver._source import Direct, Noted, open_source
from pytest_jobserver._stamps import Stamps, Totals, add_up

SLOT_NAME = "slot"


def stamps_of(directory: str, process: str) -> str:
    return os.path.join(directory, f"{process}.stamps")


def ledger_of(directory: str, process: str, source: str) -> str:
    return os.path.join(directory, f"{process}.{source}")


class Run:
    """In pytest alone, or in the controller of pytest-xdist."""

    def __init__(self, client: Client, named: Named, slot_is_paid: bool) -> None:
        self.client = client
        self.named = named
        self.slot_is_paid = slot_is_paid
        self.tests = 0
        self.errors: list[str] = []
        self.totals: Totals | None = None
        self.directory = tempfile.mkdtemp(prefix="pytest-jobserver-")

    @pytest.hookimpl
    def pytest_runtest_logstart(self) -> None:
        self.tests += 1

    def add_up(self) -> Totals:
        return add_up(glob.glob(os.path.join(glob.escape(self.directory), "*.stamps")))

    def close(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)


run_key = pytest.StashKey[Run]()


def open_holder_alone(run: Run) -> Holder:
    """A slot that is paid for is all that a process by itself needs."""
    stamps = Stamps(stamps_of(run.directory, "main"))
    source = Direct(run.client)
    return Holder(PaidSlot() if run.slot_is_paid else None, source, stamps)


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


class Controller(Run):
    """Gives each worker what it needs to share the slot, and returns what a dead one held."""

    def __init__(self, client: Client, named: Named, slot_is_paid: bool) -> None:
        super().__init__(client, named, slot_is_paid)
        self.ledgers: list[Noted] = []
        self.own = Direct(client)
        slot_path = os.path.join(self.directory, SLOT_NAME)
        os.mkfifo(slot_path, 0o600)
        self.slot = Client.open(Named(slot_path))

    def lend_slot(self) -> None:
        self.slot.release(b"+")

    def workers_take_tokens(self) -> bool:
        return self.named.path is not None

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:  # noqa: ANN401
        """A worker on another machine is no business of this one's jobserver."""
        spec = node.gateway.spec
        if not spec.popen or getattr(spec, "via", None):
            return
        process = node.gateway.id
        self.add_ledger(process, SLOT_NAME, self.slot.name)
        if self.workers_take_tokens() and self.client.kind is FIFO:
            self.add_ledger(process, "tokens", self.client.name)
        node.workerinput["jobserver"] = {
            "directory": self.directory,
            "process": process,
            "path": self.named.path,
        }

    def add_ledger(self, process: str, source: str, name: str) -> None:
        path = ledger_of(self.directory, process, source)
        os.mkfifo(path, 0o600)
        self.ledgers.append(Noted(Client.open(Named(name.partition(":")[2])), path))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object | None) -> None:  # noqa: ANN401
        message = getattr(node, "workeroutput", {}).get("jobserver_error")
        if message is not None and message not in self.errors:
            self.errors.append(message)
        if error is not None:  # else it gives back what it holds, and is about to
            self.settle(node.gateway.id)

    def settle(self, process: str | None = None) -> None:
        """What lies in the ledgers of a process that has ended, or of all, goes back."""
        start = ledger_of(self.directory, process or "", "")
        for ledger in self.ledgers:
            if process is None or ledger.path.startswith(start):
                try:
                    while ledger.give_back():
                        pass
                except JobserverError as error:
                    self.errors.append(str(error))

    def close(self) -> None:
        self.settle()
        try:
            while self.own.give_back():
                pass
        except JobserverError as error:
            self.errors.append(str(error))
        for ledger in self.ledgers:
            ledger.close()
        self.ledgers = []
        self.slot.close()
        self.client.close()
        super().close()


def open_holder_of_worker(workerinput: dict[str, Any]) -> Holder:
    directory, process = workerinput["directory"], workerinput["process"]
    slot_path = os.path.join(directory, SLOT_NAME)
    slot = open_source(slot_path, ledger_of(directory, process, SLOT_NAME))
    path = workerinput["path"]
    source = open_source(path, ledger_of(directory, process, "tokens")) if path else None
    return Holder(slot, source, Stamps(stamps_of(directory, process)))
