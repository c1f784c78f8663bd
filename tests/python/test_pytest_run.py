# SPDX-License-Identifier: GPL-2.0-or-later
"""What belongs to a run with workers, which here are in the same process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pytest_jobwrap._client import Client, Named
from pytest_jobwrap._holder import Holder
from pytest_jobwrap._nameless import NamelessFifo
from pytest_jobwrap._run import Controller, Run, open_holder_alone, open_holder_of_worker

OF_DESCRIPTORS = Named(None, 97, 98)


class Fixture:
    def __init__(self) -> None:
        self.fifo = NamelessFifo()
        self.named = Named(self.fifo.path)
        self.run = self.controller(self.named)

    def client(self) -> Client:
        return Client.open(Named(self.fifo.path))

    def controller(self, named: Named) -> Controller:
        return Controller(self.client(), named, slot_is_paid=True)

    def free(self) -> int | None:
        client = self.client()
        count = client.count_free()
        client.close()
        return count


@pytest.fixture
def f() -> Iterator[Fixture]:
    fixture = Fixture()
    yield fixture
    fixture.run.close()
    fixture.fifo.close()


def node_called(name: str, popen: bool = True, via: str | None = None) -> Any:  # noqa: ANN401
    spec = SimpleNamespace(popen=popen, via=via)
    return SimpleNamespace(gateway=SimpleNamespace(id=name, spec=spec), workerinput={})


def start_worker(run: Controller, name: str) -> Holder:
    node = node_called(name)
    run.pytest_configure_node(node)
    return open_holder_of_worker(node.workerinput["jobserver"], print)


def dies(run: Controller, name: str, error: object | None = "crashed") -> None:
    run.pytest_testnodedown(node_called(name), error)


def held(holder: Holder) -> str | None:
    if holder.held is None:
        return None
    return "slot" if holder.held is holder.slot else "token"


def test_the_slot_is_whose_who_needs_it_first(f: Fixture) -> None:
    f.run.lend_slot()
    f.fifo.put(b"+")
    first, second = start_worker(f.run, "gw0"), start_worker(f.run, "gw1")
    second.hold()
    first.hold()
    assert (held(first), held(second)) == ("token", "slot")
    second.release()
    first.release()
    first.hold()
    assert held(first) == "slot"
    first.close()
    second.close()
    assert f.free() == 1


@pytest.mark.parametrize("held_by_dead", ["slot", "token"])
def test_what_a_dead_worker_held_goes_back_once(f: Fixture, held_by_dead: str) -> None:
    f.fifo.put(b"+")
    if held_by_dead == "slot":
        f.run.lend_slot()
    dead, other = start_worker(f.run, "gw1"), start_worker(f.run, "gw2")
    dead.hold()
    assert held(dead) == held_by_dead
    dies(f.run, "gw2")
    other.hold_if_free()
    assert held(other) == ("token" if held_by_dead == "slot" else None)
    other.release()
    dies(f.run, "gw1")
    dies(f.run, "gw1")
    assert f.free() == 1
    other.hold()
    assert held(other) == held_by_dead
    other.close()


def test_who_lives_keeps_what_he_holds(f: Fixture) -> None:
    f.fifo.put(b"++")
    for name in ("gw1", "gw10"):
        start_worker(f.run, name).hold()
    dies(f.run, "gw1")
    assert f.free() == 1


def test_who_ends_in_order_gives_back_himself(f: Fixture) -> None:
    f.fifo.put(b"+")
    worker = start_worker(f.run, "gw0")
    worker.hold()
    dies(f.run, "gw0", error=None)
    assert f.free() == 0
    worker.close()
    assert f.free() == 1


def test_the_end_of_the_run_gives_back_what_is_left(f: Fixture) -> None:
    f.fifo.put(b"++")
    for name in ("gw0", "gw1"):
        start_worker(f.run, name).hold()
    f.run.close()
    assert f.free() == 2
    f.run = f.controller(f.named)


def test_without_a_path_the_workers_share_the_slot(f: Fixture) -> None:
    run = f.controller(OF_DESCRIPTORS)
    assert not run.workers_take_tokens()
    run.lend_slot()
    f.fifo.put(b"+")
    first, second = start_worker(run, "gw0"), start_worker(run, "gw1")
    first.hold()
    second.hold_if_free()
    assert (held(first), held(second)) == ("slot", None)
    dies(run, "gw0")
    second.hold()
    assert held(second) == "slot"
    run.close()


def test_a_worker_of_another_machine_is_no_business_of_ours(f: Fixture) -> None:
    for node in (node_called("gw0", popen=False), node_called("gw0", via="ssh")):
        f.run.pytest_configure_node(node)
        assert node.workerinput == {}


def test_errors_of_workers_are_said_once(f: Fixture) -> None:
    for _ in range(2):
        node = node_called("gw0")
        node.workeroutput = {"jobserver_error": "it has gone"}
        f.run.pytest_testnodedown(node, None)
    assert f.run.errors == ["it has gone"]


def test_the_stamps_of_all_workers_are_added_up(f: Fixture) -> None:
    f.fifo.put(b"++")
    workers = [start_worker(f.run, name) for name in ("gw0", "gw1")]
    for worker in workers:
        worker.hold()
    for worker in workers:
        worker.close()
    totals = f.run.add_up()
    assert (totals.tokens, totals.highest) == (2, 2)


def test_a_dead_worker_counts_until_it_was_seen_to_be_dead(f: Fixture) -> None:
    f.fifo.put(b"+")
    for name in ("gw0", "gw1"):
        start_worker(f.run, name).hold()
        dies(f.run, name)
    dies(f.run, "gw2")  # of another machine
    assert f.run.add_up().highest == 1


@pytest.mark.parametrize(("is_paid", "left"), [(True, 1), (False, 0)])
def test_alone_it_runs_on_the_slot_that_is_paid_for(f: Fixture, is_paid: bool, left: int) -> None:
    f.fifo.put(b"+")
    run = Run(f.client(), f.named, is_paid)
    holder = open_holder_alone(run, print)
    holder.hold()
    assert f.free() == left
    assert run.add_up().highest == 1
    holder.close()
    assert f.free() == 1
    run.close()


def test_a_run_leaves_nothing_in_a_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, f: Fixture
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    f.run.lend_slot()
    start_worker(f.run, "gw0").hold()
    assert list(tmp_path.iterdir()) == []
