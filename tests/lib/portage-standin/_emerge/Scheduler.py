# SPDX-License-Identifier: GPL-2.0-or-later
"""The stand-in for Portage: a scheduler of our own, with those names of Portage's that the adapter
uses. A package is a stamp while it builds and another one while it is merged; merges come one after
the other."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace

import portage.const  # noqa: F401 # the adapter looks for it

Listener = Callable[["Task"], None]


class Package:
    def __init__(self, name: str) -> None:
        self.name = name
        self.installed = False


class Task:
    def __init__(self, loop: asyncio.AbstractEventLoop, name: str, seconds: str) -> None:
        self.loop = loop
        fails = name in os.environ.get("FAILING", "").split()
        self.command = [os.environ["STAMP"], os.environ["LOG"], name]
        self.command += ["--", "false"] if fails else [seconds]
        self.returncode: int | None = None
        self.listeners: list[Listener] = []
        self.process: asyncio.Task[None] | None = None

    def addExitListener(self, listener: Listener) -> None:
        self.listeners.append(listener)

    def start(self) -> None:
        self.process = self.loop.create_task(self.run())

    async def run(self) -> None:
        process = await asyncio.create_subprocess_exec(*self.command)
        self.returncode = await process.wait()
        for listener in self.listeners:
            self.loop.call_soon(listener, self)


class Merge(Task):
    def __init__(self, build: Task) -> None:
        super().__init__(build.loop, build.command[2] + "-merge", "0.05")
        self.merge = build


class Queue:
    def __init__(self, max_jobs: int | bool) -> None:
        self.max_jobs = max_jobs
        self.waiting: deque[Task] = deque()
        self.running: set[Task] = set()

    def __len__(self) -> int:
        return len(self.waiting) + len(self.running)

    def add(self, task: Task) -> None:
        self.waiting.append(task)
        self.schedule()

    def schedule(self) -> None:
        while self.waiting and (self.max_jobs is True or len(self.running) < self.max_jobs):
            task = self.waiting.popleft()
            self.running.add(task)
            task.addExitListener(self.ended)
            task.start()

    def ended(self, task: Task) -> None:
        self.running.remove(task)
        self.schedule()


class Scheduler:
    def __init__(self, packages: list[str], max_jobs: int, settings: SimpleNamespace) -> None:
        self.settings = settings
        self._event_loop = asyncio.new_event_loop()
        self._sched_iface = self._event_loop
        self._pkg_queue = [Package(name) for name in packages]
        self._max_jobs = max_jobs
        self._running_tasks: dict[int, Task] = {}
        parallel = "parallel-install" in settings.features
        self._task_queues = SimpleNamespace(merge=Queue(True if parallel else 1))
        self.merge_wait: list[Merge] = []
        self.builds = 0
        self.failed = 0
        self.terminated = False

    def terminate(self) -> None:
        self.terminated = True

    def _main_loop(self) -> None:
        self._main_exit = self._event_loop.create_future()
        self._schedule()
        self._event_loop.run_until_complete(self._main_exit)

    def _can_add_job(self) -> bool:
        return self.builds < self._max_jobs

    def _choose_pkg(self) -> Package | None:
        return self._pkg_queue.pop(0) if self._pkg_queue else None

    def _task(self, package: Package) -> Task:
        seconds = os.environ.get("STANDIN_SECONDS", "0.3")
        if package.name == os.environ.get("STANDIN_LONG"):
            seconds = "2"
        return Task(self._event_loop, package.name, seconds)

    def _schedule(self) -> None:
        if self.merge_wait and self.builds == 0:
            for merge in self.merge_wait:
                self._task_queues.merge.add(merge)
            self.merge_wait.clear()
        while not self.terminated and self._can_add_job():
            package = self._choose_pkg()
            if package is None:
                break
            task = self._task(package)
            self.builds += 1
            self._running_tasks[id(task)] = task
            task.start()
            task.addExitListener(self._build_exit)
        if not self._running_tasks and (self.terminated or not self._pkg_queue):
            if not self._main_exit.done():
                self._main_exit.set_result(None)

    def _build_exit(self, build: Task) -> None:
        del self._running_tasks[id(build)]
        self.builds -= 1
        if build.returncode != 0:
            self.failed += 1
        else:
            merge = Merge(build)
            self._running_tasks[id(merge)] = merge
            merge.addExitListener(self._merge_exit)
            if "merge-wait" in self.settings.features:
                self.merge_wait.append(merge)
            else:
                self._task_queues.merge.add(merge)
        self._schedule()

    def _merge_exit(self, merge: Task) -> None:
        del self._running_tasks[id(merge)]
        self._schedule()


for lacking in os.environ.get("STANDIN_LACKS", "").split():
    delattr(Scheduler, lacking)
