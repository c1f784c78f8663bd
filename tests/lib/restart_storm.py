#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""restart_storm.py FILE KEEPER WAY ROUNDS [READERS POLLERS [HELD]]

Clients of a steved, of whose keeper (keeper.py) the pid is given, while it is replaced again and
again: blocked readers, some of which are killed, and pollers, some of them edge-triggered. WAY:
kill (SIGKILL), restart (by the keeper), both (by turns), or none (it ends by itself). Fails if a
client gets an error, more tokens are held than there are, one is missing in the end, or a client
hangs. Says how long the next answer was waited for. HELD tokens are somebody else's all the time.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import select
import signal
import statistics
import sys
import time
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from typing import Callable

from steved_client import open_file, status, wait_status

HELD_S = 0.003
BETWEEN_S = 0.02
END_S = 60.0


class Load:
    """What the clients share."""

    def __init__(self, path: str, jobs: int) -> None:
        self.path = path
        self.jobs = jobs
        self.is_over: Event = multiprocessing.Event()
        self.held: Synchronized[int] = multiprocessing.Value("i", 0)
        self.cycles: Synchronized[int] = multiprocessing.Value("i", 0)

    def hold(self, fd: int) -> None:
        """With a token."""
        with self.held:
            self.held.value += 1
            assert self.held.value <= self.jobs, f"{self.held.value} are held"
        time.sleep(random.uniform(0, HELD_S))
        with self.held:
            self.held.value -= 1
        assert os.write(fd, b"+") == 1
        with self.cycles:
            self.cycles.value += 1


def read_all_the_time(load: Load) -> None:
    fd = open_file(load.path)
    while not load.is_over.is_set():
        if random.random() < 0.05:
            os.close(fd)
            fd = open_file(load.path)
        assert os.read(fd, 1) == b"+"
        load.hold(fd)


def poll_all_the_time(load: Load, wait: Callable[[int], None]) -> None:
    fd = open_file(load.path, os.O_NONBLOCK)
    while not load.is_over.is_set():
        wait(fd)
        try:
            token = os.read(fd, 1)
        except BlockingIOError:
            continue
        assert token == b"+"
        load.hold(fd)


def poll_by_level(fd: int) -> None:
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    for _, events in poller.poll():
        assert not events & (select.POLLERR | select.POLLHUP), f"poll says {events:#x}"


def poll_by_edge(fd: int) -> None:
    with select.epoll() as poller:
        poller.register(fd, select.EPOLLIN | select.EPOLLET)
        for _, events in poller.poll():
            assert not events & (select.EPOLLERR | select.EPOLLHUP), f"epoll says {events:#x}"


def poll_edges_all_the_time(load: Load) -> None:
    """One epoll for all: after a token it is read until there is none."""
    fd = open_file(load.path, os.O_NONBLOCK)
    with select.epoll() as poller:
        poller.register(fd, select.EPOLLIN | select.EPOLLET)
        while not load.is_over.is_set():
            for _, events in poller.poll():
                assert not events & (select.EPOLLERR | select.EPOLLHUP), f"epoll says {events:#x}"
                while not load.is_over.is_set():
                    try:
                        assert os.read(fd, 1) == b"+"
                    except BlockingIOError:
                        break
                    load.hold(fd)


def be_killed(load: Load) -> None:
    """Takes what it gets, and never returns it."""
    fd = open_file(load.path)
    while True:
        os.read(fd, 1)


def expose(load: Load, end: Event) -> None:
    """Victims, one after the other, which wait or hold tokens when they are killed."""
    while not end.is_set():
        victim = multiprocessing.Process(target=be_killed, args=(load,))
        victim.start()
        time.sleep(random.uniform(0, BETWEEN_S))
        victim.kill()
        victim.join(END_S)
        assert victim.exitcode is not None, "who was killed hangs"


def replace(fd: int, keeper: int, by_kill: bool) -> float:
    """Returns how long the next answer was waited for."""
    before = status(fd)["pid"]
    start = time.monotonic()
    with contextlib.suppress(ProcessLookupError):  # it may end by itself
        os.kill(before if by_kill else keeper, signal.SIGKILL if by_kill else signal.SIGHUP)
    while status(fd)["pid"] == before:
        assert time.monotonic() - start < END_S, "there is no new server"
        time.sleep(0.0005)
    return time.monotonic() - start


def storm(fd: int, keeper: int, way: str, rounds: int) -> None:
    gaps = []
    for number in range(rounds):
        time.sleep(random.uniform(0, BETWEEN_S))
        if way != "none":
            by_kill = way == "kill" or (way == "both" and number % 2 == 0)
            gaps.append(replace(fd, keeper, by_kill) * 1000)
    if gaps:
        print(f"{way} x {rounds}: gap {statistics.median(gaps):.1f} ms, {max(gaps):.1f} at most")


def finish(load: Load, clients: list[multiprocessing.Process], fd: int) -> list[str]:
    """What is wrong."""
    load.is_over.set()
    deadline = time.monotonic() + END_S
    for client in clients:
        client.join(max(0.0, deadline - time.monotonic()))
    hung = [client.name for client in clients if client.exitcode is None]
    failed = [f"{client.name}: {client.exitcode}" for client in clients if client.exitcode]
    if hung:
        print(f"status {status(fd)}")
    for client in clients:
        client.kill()
    return [f"hung: {name}" for name in hung] + failed


def main() -> int:
    path, keeper, way, rounds = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    numbers = [int(word) for word in sys.argv[5:]] + [8, 4, 0][len(sys.argv) - 5 :]
    readers, pollers, held = numbers
    random.seed(os.environ.get("STORM_SEED"))
    fd = open_file(path)
    load = Load(path, status(fd)["jobs"] - held)
    kinds: list[tuple[str, Callable[..., None], tuple[object, ...]]] = []
    kinds += [("reader", read_all_the_time, (load,))] * readers
    kinds += [("poller", poll_all_the_time, (load, poll_by_level))] * (pollers // 2)
    kinds += [("epoller", poll_all_the_time, (load, poll_by_edge))] * (pollers // 4)
    kinds += [("edge", poll_edges_all_the_time, (load,))] * (pollers - pollers // 2 - pollers // 4)
    kinds += [("victims", expose, (load, load.is_over))]
    clients = []
    for name, run, arguments in kinds:
        clients.append(multiprocessing.Process(target=run, args=arguments, name=name))
        clients[-1].start()
    try:
        storm(fd, keeper, way, rounds)
    finally:
        wrong = finish(load, clients, fd)
    print(f"{load.cycles.value} tokens were taken and returned")
    for line in wrong:
        print(line)
    wait_status(fd, free=load.jobs, held=held)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
