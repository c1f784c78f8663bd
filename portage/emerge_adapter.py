# SPDX-License-Identifier: GPL-2.0-or-later
"""FEATURES="jobserver-token" for a Portage that has none (before 3.0.74): every job of emerge holds
a token while it builds and while it is merged. Of Portage's scheduler this knows the names in
NEEDED and uses them from outside; a Portage that lacks one goes on without us, and says so."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import jobserver_client
from emerge_tokens import Tokens
from jobserver_client import Client, JobserverError, PauseNotice

NEEDED_OF_CLASS = ("_main_loop", "_choose_pkg", "_task", "_schedule", "terminate")
NEEDED_OF_OBJECT = ("settings", "_sched_iface", "_pkg_queue", "_running_tasks", "_task_queues")

FEATURE = "jobserver-token"
STATUS_STRICT = 1

Scheduler = Any  # Portage's, and what belongs to it
SchedulerClass = Any
TimerHandle = Any
Task = Any
Package = Any


class Choice:
    """What the user has told the shim."""

    def __init__(self) -> None:
        # Not for what emerge starts.
        self.strict = bool(os.environ.pop("EMERGE_SHIM_STRICT", ""))
        self.implicit = os.environ.pop("EMERGE_SHIM_IMPLICIT", "") or "auto"


def say(text: str) -> None:
    print(f"emerge-shim: {text}", file=sys.stderr, flush=True)


def do_without(why: str, choice: Choice) -> None:
    """Why there will be no tokens; the user may have decided that then there is no emerge."""
    if choice.strict:
        say(f"{why}; stopping, because of --strict")
        sys.exit(STATUS_STRICT)
    say(f"{why}; continuing without a jobserver")


# --- the jobs ---


class Jobs:
    """Those of one scheduler, and the tokens that they hold. A job is a build and the merge that
    follows it. A build that has ended passes its token on to a merge that can run now; where merges
    wait (for each other, or for all builds: FEATURES="merge-wait") no token lies idle for them."""

    def __init__(self, scheduler: Scheduler, tokens: Tokens, choice: Choice) -> None:
        self.scheduler = scheduler
        self.choice = choice
        self.tokens: Tokens | None = tokens
        self.reserved: bytes | None = None  # for the job that the scheduler is about to make
        self.building: dict[int, bytes] = {}
        self.ended: list[bytes] = []  # of builds and merges that have; and of the merges that run
        self.merges: set[int] = set()
        self.is_waiting = False
        self.is_stopped = False
        self.pause_notice = PauseNotice(tokens.client, say)
        self.look: TimerHandle | None = None  # for a pause, while it waits
        self.merges_at_most = scheduler._task_queues.merge.max_jobs

    # --- taking and giving ---

    def fail(self, error: JobserverError) -> None:
        """Nothing can be returned to a server that has gone."""
        self.stop_waiting()
        self.stop_looking()
        if self.tokens is not None:
            self.tokens.close()
        self.tokens = None
        self.free_merges()
        if self.choice.strict:
            say(f"{error}; stopping, because of --strict")
            self.is_stopped = True
            self.scheduler.terminate()
        else:
            say(f"{error}; continuing without a jobserver")
            self.scheduler._sched_iface.call_soon(self.scheduler._schedule)

    def free_merges(self) -> None:
        queue = self.scheduler._task_queues.merge
        queue.max_jobs = self.merges_at_most
        queue.schedule()

    def take(self) -> bytes | None:
        if self.tokens is None:
            return None
        try:
            return self.tokens.take()
        except JobserverError as error:
            self.fail(error)
            return None

    def give(self, token: bytes) -> None:
        if self.tokens is None:
            return
        try:
            self.tokens.give(token)
        except JobserverError as error:
            self.fail(error)

    def wait(self) -> None:
        if self.tokens is not None and not self.is_waiting:
            fd = self.tokens.client.fileno()
            self.scheduler._sched_iface.add_reader(fd, self.schedule_again)
            self.is_waiting = True
            if self.look is None:
                self.pause_notice.begin()
                self.look_later()

    def stop_waiting(self) -> None:
        if self.tokens is not None and self.is_waiting:
            self.scheduler._sched_iface.remove_reader(self.tokens.client.fileno())
        self.is_waiting = False

    def look_later(self) -> None:
        left_s = self.pause_notice.left_s()
        if left_s is not None:
            self.look = self.scheduler._sched_iface.call_later(left_s, self.look_for_pause)

    def look_for_pause(self) -> None:
        self.look = None
        if self.is_waiting:
            self.pause_notice.look()
            self.look_later()

    def stop_looking(self) -> None:
        if self.look is not None:
            self.look.cancel()
            self.look = None
            self.pause_notice.end()

    def schedule_again(self) -> None:
        self.stop_waiting()
        self.scheduler._schedule()

    # --- what happens to a job ---

    def may_start(self) -> bool:
        """A job of which the scheduler asks nothing else before it starts."""
        if self.reserved is None:
            self.reserved = self.take()
        if self.reserved is None:
            self.wait()
        else:
            self.stop_looking()
        return not self.is_stopped and (self.tokens is None or self.reserved is not None)

    def started(self, task: Task) -> None:
        if self.reserved is not None:
            self.building[id(task)] = self.reserved
            self.reserved = None
            task.addExitListener(self.build_ended)

    def build_ended(self, task: Task) -> None:
        token = self.building.pop(id(task), None)
        if token is not None:
            self.ended.append(token)
            # The scheduler's own listener, which is called after us, puts the merge into its queue.
            self.scheduler._sched_iface.call_soon(self.settle)

    def merge_ended(self, merge: Task) -> None:
        self.merges.discard(id(merge))
        self.scheduler._sched_iface.call_soon(self.settle)

    def watch_merges(self) -> None:
        for task in list(self.scheduler._running_tasks.values()):
            if hasattr(task, "merge") and id(task) not in self.merges:
                self.merges.add(id(task))
                task.addExitListener(self.merge_ended)

    def settle(self) -> None:
        """As many tokens as merges that can run now. The first of these never waits: whose token it
        was has just ended. More than one at once (FEATURES="parallel-install") only with tokens."""
        if self.tokens is None:
            return
        self.watch_merges()
        queue, limit = self.scheduler._task_queues.merge, self.merges_at_most
        wanted = len(queue) if limit is True else min(len(queue), limit)
        while len(self.ended) > wanted:
            self.give(self.ended.pop())
        while len(self.ended) < wanted and (token := self.take()) is not None:
            self.ended.append(token)
        if self.tokens is None:
            return
        queue.max_jobs = max(1, len(self.ended))
        queue.schedule()
        if self.is_waiting and self.tokens.has_implicit:
            self.schedule_again()

    def close(self) -> None:
        self.stop_waiting()
        self.stop_looking()
        left = [*self.building.values(), *self.ended]
        if self.reserved is not None:
            left.append(self.reserved)
        for token in left:
            self.give(token)
        self.building.clear()
        if self.tokens is not None:
            self.free_merges()
            self.tokens.close()
            self.tokens = None


# --- which jobserver ---


def open_tokens(scheduler: Scheduler, choice: Choice) -> Tokens | None:
    """What MAKEFLAGS names, which emerge has from its environment or from make.conf. None: none."""
    flags = scheduler.settings.get("MAKEFLAGS") or ""
    in_flags = jobserver_client.parse_makeflags(flags)
    if in_flags is None:
        return None
    environ = {"MAKEFLAGS": flags, "JOBWRAP_FIFO": os.environ.get("JOBWRAP_FIFO", "")}
    named = jobserver_client.find(environ)
    if named is None:
        return None
    if in_flags.path is None:
        say(f"builds cannot use the jobserver {named}: Portage does not pass descriptors on to them"
            " (use jobwrap --style=fifo)")
    client = Client.open(named)
    paid = jobserver_client.implicit_is_paid(client, choice.implicit, "MAKEFLAGS" in os.environ)
    # At steved an emerge is one account, as a jobwrap is, and runs as many jobs as it has tokens.
    with contextlib.suppress(JobserverError):
        client.join_group()
    client.hold_while_jobs_run()
    return Tokens(client, paid, jobserver_client.implicit_may_come(client, choice.implicit))


def names_missing(thing: object, names: tuple[str, ...]) -> list[str]:
    return [name for name in names if not hasattr(thing, name)]


def describe(missing: list[str]) -> str:
    return f"this Portage ({portage_version()}) is not supported: it has no {', '.join(missing)}"


def portage_version() -> str:
    return str(getattr(sys.modules.get("portage"), "VERSION", "unknown version"))


def find_jobs(scheduler: Scheduler, choice: Choice) -> Jobs | None:
    """None: as if there were no adapter."""
    missing = names_missing(scheduler, NEEDED_OF_OBJECT)
    try:
        if missing:
            raise JobserverError(describe(missing))
        tokens = open_tokens(scheduler, choice)
    except JobserverError as error:
        do_without(str(error), choice)
        return None
    return None if tokens is None else Jobs(scheduler, tokens, choice)


# --- Portage's scheduler ---


def run_main_loop(
    scheduler: Scheduler, main_loop: Callable[[Scheduler], None], choice: Choice
) -> None:
    """--keep-going runs it again without what has failed."""
    jobs = find_jobs(scheduler, choice)
    scheduler.jobserver_jobs = jobs
    try:
        main_loop(scheduler)
    finally:
        if jobs is not None:
            jobs.close()
    if jobs is not None and jobs.is_stopped:
        sys.exit(STATUS_STRICT)


def choose_package(
    scheduler: Scheduler, choose: Callable[[Scheduler], Package]
) -> Package | None:
    """One that cannot have a token yet is the next to be chosen. To uninstall is no job."""
    package = choose(scheduler)
    jobs: Jobs | None = getattr(scheduler, "jobserver_jobs", None)
    if jobs is None or package is None or package.installed or jobs.may_start():
        return package
    scheduler._pkg_queue.insert(0, package)
    return None


def make_task(
    scheduler: Scheduler, package: Package, make: Callable[[Scheduler, Package], Task]
) -> Task:
    task = make(scheduler, package)
    jobs: Jobs | None = getattr(scheduler, "jobserver_jobs", None)
    if jobs is not None and not package.installed:
        jobs.started(task)
    return task


def wrap(scheduler_class: SchedulerClass, choice: Choice) -> None:
    main_loop, choose = scheduler_class._main_loop, scheduler_class._choose_pkg
    make = scheduler_class._task
    scheduler_class._main_loop = lambda self: run_main_loop(self, main_loop, choice)
    scheduler_class._choose_pkg = lambda self: choose_package(self, choose)
    scheduler_class._task = lambda self, package: make_task(self, package, make)


def complain_later(scheduler_class: SchedulerClass, why: str, choice: Choice) -> None:
    """When something is to be built, and there is a jobserver: only then it matters."""
    main_loop = scheduler_class._main_loop

    def complain(self: Scheduler) -> None:
        if names_jobserver(self.settings.get("MAKEFLAGS") or ""):
            do_without(why, choice)
        main_loop(self)

    scheduler_class._main_loop = complain


def names_jobserver(flags: str) -> bool:
    try:
        return jobserver_client.parse_makeflags(flags) is not None
    except JobserverError:
        return True


# --- Portage itself ---


def advise(scheduler_class: SchedulerClass) -> None:
    """Portage can do it itself, if it is told to."""
    main_loop = scheduler_class._main_loop

    def run(self: Scheduler) -> None:
        if FEATURE not in self.settings.features and names_jobserver(
            self.settings.get("MAKEFLAGS") or ""
        ):
            say(f'this Portage acquires tokens itself with FEATURES="{FEATURE}", which is not set')
        main_loop(self)

    scheduler_class._main_loop = run


def has_feature() -> bool:
    features = getattr(sys.modules.get("portage.const"), "SUPPORTED_FEATURES", ())
    return FEATURE in features


def adapt(module: ModuleType) -> None:
    """Of _emerge.Scheduler, as soon as it has been imported."""
    choice = Choice()
    scheduler_class = getattr(module, "Scheduler", None)
    missing = names_missing(scheduler_class, NEEDED_OF_CLASS)
    if not hasattr(scheduler_class, "_main_loop"):
        do_without(describe(missing), choice)
    elif has_feature():
        advise(scheduler_class)
    elif missing:
        complain_later(scheduler_class, describe(missing), choice)
    else:
        wrap(scheduler_class, choice)
