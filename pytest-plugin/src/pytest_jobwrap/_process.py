# SPDX-License-Identifier: GPL-2.0-or-later
"""What a process does that runs tests: a worker of pytest-xdist, or pytest alone."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator

import pytest

from pytest_jobwrap import _queue
from pytest_jobwrap._client import Named
from pytest_jobwrap._fixture import Jobserver
from pytest_jobwrap._holder import Holder
from pytest_jobwrap._run import run_key


def set_implicit() -> list[str]:
    """A pytest that a test starts has its slot paid for by the test's token; but who names the
    jobserver by PYTEST_JOBSERVER says so to nobody."""
    name = "PYTEST_JOBSERVER_IMPLICIT"
    if not os.environ.get("PYTEST_JOBSERVER") or name in os.environ:
        return []
    os.environ[name] = "inherit"
    return [name]


class Process:
    """Holds a token while it collects and while it runs a test, fixtures included."""

    def __init__(self, holder: Holder, named: Named | None, is_limited: bool) -> None:
        self.holder = holder
        self.named = named
        self.is_limited = is_limited
        self.may_keep = True
        self.set_variables = set_implicit()
        atexit.register(holder.close)

    def fixture(self) -> Jobserver:
        return Jobserver(self.holder.jobserver, self.named, self.is_limited)

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_collection(self) -> Iterator[None]:
        self.holder.hold()
        yield
        self.holder.release()

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self) -> Iterator[None]:
        """Outside of all others, so that no test's time limit counts what it waited."""
        self.holder.hold()
        yield
        if not self.may_keep:
            self.holder.release()

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Iterator[None]:
        """Tears down what an interrupted run has left set up, and cannot wait."""
        self.holder.hold_if_free()
        self.report_error(session.config)
        yield
        self.holder.release()

    def report_error(self, config: pytest.Config) -> None:
        run = config.stash.get(run_key, None)
        if run is not None and self.holder.error is not None:
            run.errors.append(self.holder.error)

    def close(self) -> None:
        self.holder.close()
        atexit.unregister(self.holder.close)
        for name in self.set_variables:
            os.environ.pop(name, None)
        self.set_variables = []


class Worker(Process):
    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Iterator[None]:
        self.may_keep = _queue.watch(session.config, self.holder.release)
        yield

    def report_error(self, config: pytest.Config) -> None:
        if self.holder.error is not None:
            output = config.workeroutput  # type: ignore[attr-defined]
            output["jobserver_error"] = self.holder.error
