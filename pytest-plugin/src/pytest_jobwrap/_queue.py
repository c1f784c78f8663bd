# SPDX-License-Identifier: GPL-2.0-or-later
"""When does a worker of pytest-xdist wait for its next test? There is no hook for it.

A worker asks for a test before it runs the one before, so that it may wait with a test in hand, for
as long as others run theirs. It must not hold a token then: on a single one, nobody would go on.
"""

from __future__ import annotations

import queue
from typing import Any, Callable

import pytest


def _replaced_mark(interactor: Any) -> object:  # noqa: ANN401
    """What lies in a queue after others have stolen from it. The interactor's module is not the one
    that can be imported: it was executed by execnet."""
    mark = getattr(interactor, "QUEUE_REPLACED_MARK", None)
    if mark is not None:
        return mark
    names = type(interactor)._get_next_item_index.__globals__
    return getattr(names.get("Marker"), "QUEUE_REPLACED", None)


def _watch_fifo(interactor: Any, before_wait: Callable[[], None]) -> None:  # noqa: ANN401
    """Of xdist 3.1 to 3.6."""
    get = interactor._get_next_item_index
    mark = _replaced_mark(interactor)

    def get_next_item_index() -> object:
        while True:
            try:
                item = interactor.torun.get(block=False)
            except queue.Empty:
                before_wait()
                return get()
            if item is not mark:
                return item

    interactor._get_next_item_index = get_next_item_index


def _watch_deque(interactor: Any, before_wait: Callable[[], None]) -> None:  # noqa: ANN401
    """Of xdist 3.7 on."""
    torun = interactor.torun
    get = torun.get

    def get_or_wait() -> object:
        with torun.lock() as items:
            if items:
                return items.popleft()
        before_wait()
        return get()

    torun.get = get_or_wait


def watch(config: pytest.Config, before_wait: Callable[[], None]) -> bool:
    """Calls `before_wait` whenever the worker is about to wait. False: this xdist is not known, and
    each end of a test may be such a time."""
    for plugin in config.pluginmanager.get_plugins():
        if type(plugin).__name__ != "WorkerInteractor":
            continue
        torun = getattr(plugin, "torun", None)
        if hasattr(plugin, "_get_next_item_index") and hasattr(torun, "get"):
            _watch_fifo(plugin, before_wait)
        elif hasattr(torun, "lock") and hasattr(torun, "get"):
            _watch_deque(plugin, before_wait)
        else:
            return False
        return True
    return False
