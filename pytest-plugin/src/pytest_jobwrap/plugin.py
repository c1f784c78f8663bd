# SPDX-License-Identifier: GPL-2.0-or-later
"""The plugin `jobserver`: finds the jobserver of the run, and says what it did."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from pytest_jobwrap import _run
from pytest_jobwrap._client import (
    IMPLICIT_POLICIES,
    Client,
    JobserverError,
    Named,
    PauseNotice,
    find,
    implicit_is_paid,
    implicit_may_come,
    parse_named,
)
from pytest_jobwrap._fixture import Jobserver
from pytest_jobwrap._process import Process, Worker
from pytest_jobwrap._source import wait_until

WITHOUT = "the run goes on without it"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("jobserver", "tokens of a jobserver")
    group.addoption(
        "--jobserver",
        metavar="PATH",
        help="the jobserver to take tokens from: a FIFO or device, fifo:PATH, or R,W; default:"
        " PYTEST_JOBSERVER, the ini option, MAKEFLAGS, CARGO_MAKEFLAGS, JOBWRAP_FIFO",
    )
    group.addoption(
        "--jobserver-implicit",
        metavar="HOW",
        choices=IMPLICIT_POLICIES,
        help="whether the one job that the run may do without a token is paid for: auto (find out;"
        " the default), inherit (yes) or acquire (no)",
    )
    parser.addini("jobserver", "the jobserver to take tokens from, see --jobserver")


# --- finding it ---


def absolute(named: Named, directory: str) -> Named:
    """Workers may have another working directory."""
    if named.path is None:
        return named
    return replace(named, path=os.path.join(directory, named.path))


def with_path(named: Named) -> Named:
    """Descriptors that jobwrap hands on are those of a FIFO with a name: workers find it so."""
    try:
        path = os.readlink(f"/proc/self/fd/{named.read_fd}")
        if os.path.samestat(os.stat(path), os.fstat(named.read_fd)):
            return replace(named, path=path)
    except OSError:
        pass
    return named


def find_for(config: pytest.Config) -> Named | None:
    started_in = str(config.invocation_params.dir)
    chosen = config.getoption("--jobserver") or os.environ.get("PYTEST_JOBSERVER")
    from_ini = config.getini("jobserver")
    if chosen or not from_ini:
        named = find(os.environ, chosen)
        return named and absolute(named, started_in)
    return absolute(parse_named(from_ini), str(config.rootpath))


def policy_for(config: pytest.Config) -> str:
    policy = config.getoption("--jobserver-implicit")
    if policy is None:
        policy = os.environ.get("PYTEST_JOBSERVER_IMPLICIT") or "auto"
    if policy not in IMPLICIT_POLICIES:
        raise pytest.UsageError(
            f"PYTEST_JOBSERVER_IMPLICIT: {policy!r} is not auto, inherit or acquire"
        )
    return str(policy)


# --- what it says ---


class Report:
    """In the controller, and in pytest alone."""

    def __init__(self, run: _run.Run) -> None:
        self.run = run

    def pytest_report_header(self) -> str:
        slot = "inherited" if self.run.slot_is_paid else "acquired like any other token"
        return f"jobserver: {self.run.client.name}, implicit slot {slot}"

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for error in self.run.errors:
            terminalreporter.write_line(f"jobserver: {error}; {WITHOUT}", yellow=True)
        totals = self.run.add_up()
        if self.run.tests and terminalreporter.verbosity >= 0:
            terminalreporter.write_line(
                f"jobserver: {self.run.tests} tests, {totals.tokens} tokens taken,"
                f" {totals.waited_s:.2f} s waited, at most {totals.highest} at once"
            )


def say(config: pytest.Config, line: str) -> None:
    """Where -q leaves out the header, too."""
    terminal: Any = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None:
        terminal.write_line(f"jobserver: {line}", yellow=True)
    else:
        print(f"jobserver: {line}", file=sys.stderr)


def say_in_worker(line: str) -> None:
    """A worker has no terminal, but the controller's stderr, where the cursor may stand behind the
    dots of tests."""
    print(f"\njobserver: {line}", file=sys.stderr, flush=True)


# --- starting and ending ---


class Sessions:
    """Those of this process: a test that runs pytest in its own process holds a token already."""

    def __init__(self) -> None:
        self.open = 0


_sessions = Sessions()
_process_key = pytest.StashKey[Process]()


def start_controller(config: pytest.Config, run: _run.Controller) -> None:
    config.stash[_run.run_key] = run
    if not run.workers_take_tokens():
        say(
            config,
            f"the workers do not inherit the descriptors {run.named}, so they share one job"
            " slot; name a fifo by --jobserver, or use jobwrap --style=fifo",
        )
        if not run.claims_or_takes():
            notice = PauseNotice(run.client, functools.partial(say, config))
            wait_until(run.claims_or_takes, [run.own], notice)
    if run.slot_is_paid or run.own.tokens:
        run.lend_slot()
    run.await_slot()
    config.pluginmanager.register(run, "jobserver-run")
    config.pluginmanager.register(Report(run), "jobserver-report")


def start_alone(config: pytest.Config, run: _run.Run) -> None:
    config.stash[_run.run_key] = run
    holder = _run.open_holder_alone(run, functools.partial(say, config))
    process = Process(holder, run.named, is_limited=False)
    config.stash[_process_key] = process
    config.pluginmanager.register(run, "jobserver-run")
    config.pluginmanager.register(Report(run), "jobserver-report")
    config.pluginmanager.register(process, "jobserver-process")


def start_worker(config: pytest.Config, workerinput: dict[str, Any]) -> None:
    holder = _run.open_holder_of_worker(workerinput, say_in_worker)
    path = workerinput["path"]
    process = Worker(holder, Named(path) if path else None, is_limited=path is None)
    config.stash[_process_key] = process
    config.pluginmanager.register(process, "jobserver-process")


def join_group(client: Client) -> None:
    """At steved the run is one account, as a jobwrap is, and no worker is taken for a direct
    client, which runs one job more than it holds. A pytest that a test runs in its own process is
    in the group of the outer one already."""
    with contextlib.suppress(JobserverError):
        client.join_group()


def start(config: pytest.Config) -> None:
    named = find_for(config)
    if named is None:
        return
    is_controller = config.pluginmanager.hasplugin("dsession")
    if is_controller and named.path is None:
        named = with_path(named)
    client = Client.open(named)
    policy = "inherit" if _sessions.open > 1 else policy_for(config)
    is_paid = implicit_is_paid(client, policy, named.from_environment)
    may_come = implicit_may_come(client, policy)
    join_group(client)
    if is_controller:
        start_controller(config, _run.Controller(client, named, is_paid, may_come))
    else:
        start_alone(config, _run.Run(client, named, is_paid, may_come))


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """-n auto: as many workers as there can be tokens, whatever the number of CPUs is."""
    if os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS"):
        return None
    try:
        named = find_for(config)
        if named is None:
            return None
        client = Client.open(named)
    except JobserverError:
        return None  # what is wrong is said when the session starts
    try:
        return client.total_jobs(os.environ) or None
    finally:
        client.close()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    _sessions.open += 1
    workerinput = getattr(config, "workerinput", None)
    try:
        if workerinput is None:
            start(config)
        elif "jobserver" in workerinput:
            start_worker(config, workerinput["jobserver"])
    except (JobserverError, OSError) as error:
        say(config, f"{error}; {WITHOUT}")


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_sessionfinish() -> Iterator[None]:
    yield
    _sessions.open -= 1


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    process = config.stash.get(_process_key, None)
    if process is not None:
        process.close()
    run = config.stash.get(_run.run_key, None)
    if run is not None:
        run.close()


@pytest.fixture
def jobserver(request: pytest.FixtureRequest) -> Iterator[Jobserver]:
    """Tokens for the jobs that a test starts: acquire(), try_acquire(), environ, pass_fds."""
    process = request.config.stash.get(_process_key, None)
    tokens = process.fixture() if process is not None else Jobserver(None, None, is_limited=False)
    yield tokens
    tokens.close()
