# SPDX-License-Identifier: GPL-2.0-or-later
"""When a worker waits for its next test: with stand-ins for what xdist has had until now."""

from __future__ import annotations

import collections
import contextlib
import queue
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from pytest_jobwrap._queue import watch

QUEUE_REPLACED_MARK = object()


class OfFifo:
    """Of xdist 3.1 to 3.6: the worker waits in a method of its own."""

    def __init__(self, mark: object) -> None:
        self.torun: queue.Queue[object] = queue.Queue()
        self.QUEUE_REPLACED_MARK = mark

    def put(self, *items: object) -> None:
        for item in items:
            self.torun.put(item)

    def _get_next_item_index(self) -> object:
        return "waited"

    def next(self) -> object:
        return self._get_next_item_index()


class TorunDeque:
    def __init__(self) -> None:
        self.items: collections.deque[object] = collections.deque()

    @contextlib.contextmanager
    def lock(self) -> Iterator[collections.deque[object]]:
        yield self.items

    def get(self) -> object:
        return "waited"


class OfDeque:
    """Of xdist 3.7 on: its queue waits."""

    def __init__(self, _: object) -> None:
        self.torun = TorunDeque()

    def put(self, *items: object) -> None:
        self.torun.items.extend(items)

    def next(self) -> object:
        return self.torun.get()


class Unknown:
    torun: object = None


def config_with(*plugins: object) -> Any:  # noqa: ANN401
    return SimpleNamespace(pluginmanager=SimpleNamespace(get_plugins=lambda: list(plugins)))


def interactor(base: type, *arguments: object) -> Any:  # noqa: ANN401
    return type("WorkerInteractor", (base,), {})(*arguments)


@pytest.mark.parametrize("base", [OfFifo, OfDeque])
def test_told_before_it_waits_and_only_then(base: type) -> None:
    worker, told = interactor(base, QUEUE_REPLACED_MARK), []
    assert watch(config_with(object(), worker), lambda: told.append("told"))
    worker.put(0, 1)
    assert [worker.next(), worker.next(), told] == [0, 1, []]
    assert [worker.next(), told] == ["waited", ["told"]]
    worker.put(2)
    assert [worker.next(), told] == [2, ["told"]]


def test_the_mark_of_a_stolen_queue_is_no_test() -> None:
    worker, told = interactor(OfFifo, QUEUE_REPLACED_MARK), []
    watch(config_with(worker), lambda: told.append("told"))
    worker.put(QUEUE_REPLACED_MARK, 5, QUEUE_REPLACED_MARK)
    assert [worker.next(), told] == [5, []]
    assert [worker.next(), told] == ["waited", ["told"]]


def test_the_mark_is_found_in_the_module_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = interactor(OfFifo, None)
    marker = SimpleNamespace(QUEUE_REPLACED=object())
    monkeypatch.setitem(globals(), "Marker", marker)
    watch(config_with(worker), lambda: None)
    worker.put(marker.QUEUE_REPLACED)
    assert worker.next() == "waited"


def test_an_unknown_xdist_is_not_watched() -> None:
    assert not watch(config_with(interactor(Unknown)), lambda: None)
    assert not watch(config_with(Unknown(), object()), lambda: None)
