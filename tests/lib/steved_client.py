# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients of a jobserver's file that behave in the ways a shell cannot.

steved_client.py SCENARIO FILE [ARGUMENT...] runs one of the functions below, named as it; it fails
with a traceback. Waiting is for events, or for a condition with a deadline; never for time to pass.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import io
import mmap
import os
import re
import select
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from typing import Callable

DEADLINE_S = 60.0
PROMPT_ATTEMPTS = 5
PR_SET_PDEATHSIG = 1

STATUS = struct.Struct("=IiIIIIIIIIII6QI4x56x")
CLIENT = struct.Struct("=QiiIIIIII64sQI4x")
CLIENTS = struct.Struct("=QII")
CLIENTS_SIZE = CLIENTS.size + 32 * CLIENT.size
SETTINGS = struct.Struct("=IIII48x")
LIMITS = struct.Struct("=I12xIIII32x")  # the same, other members
USER_LIMIT = struct.Struct("=I28xI28x")
LEASE = struct.Struct("=II28xI24x")  # of a class
CLASSES_SIZE = 8 + 8 * 96
CLAIM = struct.Struct("=Ii24x")
WEIGHT = struct.Struct("=I28x")

CLIENT_HAS_USER = 16
ALICE, MALLORY = 64250, 64251  # users that nothing else belongs to


def ioc(direction: int, number: int, size: int) -> int:
    return direction << 30 | size << 16 | ord("J") << 8 | number


IOC_STATUS = ioc(2, 0x50, STATUS.size)
IOC_CLIENTS = ioc(3, 0x51, CLIENTS_SIZE)
IOC_SET = ioc(1, 0x52, SETTINGS.size)
IOC_JOIN_GROUP = ioc(0, 0x53, 0)
IOC_PAY_IMPLICIT = ioc(0, 0x54, 0)
IOC_CLAIM_IMPLICIT = ioc(2, 0x55, CLAIM.size)
IOC_WEIGHT = ioc(1, 0x57, WEIGHT.size)
IOC_MEMORY = ioc(3, 0x58, 224)
IOC_THROTTLE = ioc(2, 0x59, 72)
IOC_CLASSES = ioc(2, 0x5D, CLASSES_SIZE)


def status(fd: int) -> dict[str, int]:
    names = (
        "version pid jobs free held reserved debt waiting unpaid min_jobs per_process_limit"
        " accounts granted returned foreign dropped reclaimed lapsed recalled"
    ).split()
    return dict(zip(names, STATUS.unpack(fcntl.ioctl(fd, IOC_STATUS, bytes(STATUS.size)))))


def open_file(path: str, flags: int = 0) -> int:
    return os.open(path, os.O_RDWR | os.O_CLOEXEC | flags)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.001)


def wait_status(fd: int, **wanted: int) -> None:
    def reached() -> bool:
        now = status(fd)
        return all(now[name] == value for name, value in wanted.items())

    try:
        wait_until(reached, str(wanted))
    except AssertionError:
        raise AssertionError(f"wanted {wanted}, is {status(fd)}") from None


def expect_errno(number: int, call: Callable[[], object]) -> None:
    try:
        result = call()
    except OSError as error:
        assert error.errno == number, error
    else:
        raise AssertionError(f"{errno.errorcode[number]} expected, not {result!r}")


def set_jobs(fd: int, jobs: int) -> None:
    fcntl.ioctl(fd, IOC_SET, SETTINGS.pack(1, jobs, 0, 0))


def take_all(fd: int) -> int:
    """Reads without blocking until there is no token more."""
    os.set_blocking(fd, False)
    taken = 0
    try:
        while os.read(fd, 1) == b"+":
            taken += 1
    except BlockingIOError:
        return taken
    raise AssertionError("a read gave something else than a token")


def end_with_parent() -> None:
    """Nobody is left behind when a test fails."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Child:
    """A process that does one thing; its end is an event."""

    def __init__(self, work: Callable[[], object]) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            end_with_parent()
            try:
                work()
                os._exit(0)
            except BaseException as error:
                print(f"child: {error!r}", file=sys.stderr, flush=True)
                os._exit(1)

    def kill(self, number: int = signal.SIGKILL) -> None:
        os.kill(self.pid, number)

    def wait(self) -> int:
        return os.waitpid(self.pid, 0)[1]

    def has_ended(self) -> bool:
        pid, result = os.waitpid(self.pid, os.WNOHANG)
        assert result == 0, result
        return pid != 0

    def state(self) -> str:
        with open(f"/proc/{self.pid}/stat") as stat:
            return stat.read().rpartition(") ")[2][0]


# --- read and write ---


def blocking(path: str) -> None:
    """A blocked read is served by a returned token, one byte whatever the size."""
    holder = open_file(path)
    total = take_all(holder)
    assert total == status(holder)["jobs"]
    child = Child(lambda: check_read(open_file(path), 100))
    wait_status(holder, waiting=1)
    assert os.write(holder, b"x") == 1
    assert child.wait() == 0
    wait_status(holder, waiting=0, free=1, reclaimed=1)


def check_read(fd: int, size: int) -> None:
    got = os.read(fd, size)
    assert got == b"+", got


def nonblocking(path: str) -> None:
    """EAGAIN at once; O_NONBLOCK counts as it is at the read."""
    fd = open_file(path)
    total = take_all(fd)
    expect_errno(errno.EAGAIN, lambda: os.read(fd, 1))
    os.set_blocking(fd, True)
    child = Child(lambda: check_read(fd, 1))
    wait_status(fd, waiting=1)
    os.set_blocking(fd, False)
    expect_errno(errno.EAGAIN, lambda: os.read(fd, 1))
    wait_until(lambda: child.state() == "S", "the child sleeps")
    os.write(fd, b"+" * total)
    assert child.wait() == 0


def sizes(path: str) -> None:
    """Nothing for a read of nothing, one for a read of much; returns of any size."""
    fd = open_file(path)
    total = status(fd)["jobs"]
    assert os.read(fd, 0) == b"" and status(fd)["held"] == 0
    assert os.read(fd, 1 << 20) == b"+" and status(fd)["held"] == 1
    # The kernel makes a read of its own of each part of a vector.
    assert 1 + os.readv(fd, [bytearray(1), bytearray(1)]) == status(fd)["held"] <= 3
    take_all(fd)
    assert os.write(fd, b"") == 0 and status(fd)["held"] == total
    assert os.write(fd, b"ab") == 2 and status(fd)["free"] == 2
    assert os.writev(fd, [b"\0", b"\xff"]) == 2
    # Far more than is owed: split by the kernel, dropped by the server.
    assert os.write(fd, b"+" * 100_000) == 100_000
    now = status(fd)
    assert now["free"] == total and now["held"] == 0, now
    assert now["dropped"] == 100_000 - (total - 4), now


def foreign(path: str) -> None:
    """A return by another process is credited if it comes through the holder's description."""
    holder, stranger = open_file(path), open_file(path)
    check_read(holder, 1)
    child = Child(lambda: os.write(stranger, b"+"))
    assert child.wait() == 0
    now = status(holder)
    assert now["held"] == 1 and now["dropped"] == 1 and now["foreign"] == 0, now
    child = Child(lambda: os.write(holder, b"+"))
    assert child.wait() == 0
    now = status(holder)
    assert now["held"] == 0 and now["dropped"] == 1 and now["foreign"] == 1, now


def interrupted(path: str) -> None:
    """A signal ends a blocked read with EINTR, with SA_RESTART too, and takes no token."""
    fd = open_file(path)
    total = take_all(fd)
    for restart in (False, True):
        child = Child(lambda again=restart: read_until_signal(open_file(path), again))
        wait_status(fd, waiting=1)
        child.kill(signal.SIGUSR1)
        assert child.wait() == 0
        wait_status(fd, waiting=0, held=total)


def read_until_signal(fd: int, restart: bool) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    signal.signal(signal.SIGUSR1, lambda number, frame: None)
    signal.siginterrupt(signal.SIGUSR1, not restart)
    # Not os.read(): it would try again by itself.
    assert libc.read(fd, ctypes.create_string_buffer(1), 1) == -1
    assert ctypes.get_errno() == errno.EINTR, ctypes.get_errno()


def killed_waiter(path: str) -> None:
    """A waiter that is killed leaves nothing behind: the next token goes to the next."""
    fd = open_file(path)
    take_all(fd)
    first = Child(lambda: os.read(open_file(path), 1))
    wait_status(fd, waiting=1)
    second = Child(lambda: check_read(open_file(path), 1))
    wait_status(fd, waiting=2)
    first.kill()
    assert os.WTERMSIG(first.wait()) == signal.SIGKILL
    wait_status(fd, waiting=1)
    os.write(fd, b"+")
    assert second.wait() == 0


# --- poll ---


def poll_now(fd: int, events: int = select.POLLIN) -> int:
    poller = select.poll()
    poller.register(fd, events)
    ready = poller.poll(0)
    return ready[0][1] if ready else 0


def when_prompt(scenario: Callable[[str], None]) -> Callable[[str], None]:
    """A client that the machine keeps from its second poll for 5 ms lets its offer lapse, and
    should (rule 9): an attempt that fails while something lapsed is made again, a few times."""

    def attempts(path: str) -> None:
        fd = open_file(path)
        for _ in range(PROMPT_ATTEMPTS):
            before = status(fd)["lapsed"]
            attempt = Child(lambda: scenario(path))
            if attempt.wait() == 0:
                return
            assert status(fd)["lapsed"] > before, "it failed, and no client was late"
            wait_status(fd, free=status(fd)["jobs"], waiting=0)
        raise AssertionError(f"it failed {PROMPT_ATTEMPTS} times, and each time something lapsed")

    return attempts


@when_prompt
def polling(path: str) -> None:
    """poll, select and epoll (level- and edge-triggered) tell of a token, and are woken by one."""
    holder = open_file(path)
    lapsed = status(holder)["lapsed"]
    assert poll_now(holder, select.POLLIN | select.POLLOUT) == select.POLLIN | select.POLLOUT
    for client in (poll_client, select_client, level_client, edge_client):
        take_all(holder)
        child = Child(lambda run=client: run(open_file(path, os.O_NONBLOCK)))
        wait_status(holder, waiting=1)
        os.write(holder, b"+")
        assert child.wait() == 0, client.__name__
        # What the child held is there again, and nothing is lost.
        wait_status(holder, free=1, reserved=0, waiting=0)
        assert status(holder)["lapsed"] == lapsed, client.__name__
    take_all(holder)
    assert poll_now(holder, select.POLLIN | select.POLLOUT) == select.POLLOUT


def poll_client(fd: int) -> None:
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    assert poller.poll(DEADLINE_S * 1000)
    check_read(fd, 1)


def select_client(fd: int) -> None:
    assert select.select([fd], [], [], DEADLINE_S)[0]
    check_read(fd, 1)


def level_client(fd: int) -> None:
    epoll = select.epoll()
    epoll.register(fd, select.EPOLLIN)
    assert epoll.poll(DEADLINE_S)
    check_read(fd, 1)


def edge_client(fd: int) -> None:
    epoll = select.epoll()
    # Before it is seen to wait, which is what the token waits for. The other order: edge_again.
    expect_errno(errno.EAGAIN, lambda: os.read(fd, 1))
    epoll.register(fd, select.EPOLLIN | select.EPOLLET)
    assert epoll.poll(DEADLINE_S)
    check_read(fd, 1)


@when_prompt
def edge_again(path: str) -> None:
    """Edge-triggered: after it has read until EAGAIN, the next token is told of again."""
    holder = open_file(path)
    total = take_all(holder)
    before = status(holder)

    def client() -> None:
        fd = open_file(path, os.O_NONBLOCK)
        epoll = select.epoll()
        epoll.register(fd, select.EPOLLIN | select.EPOLLET)
        while epoll.poll(DEADLINE_S):
            try:
                while True:
                    check_read(fd, 1)
            except BlockingIOError:
                continue

    child = Child(client)
    for i in range(total):
        # Not before it waits: the kernel would merge the two.
        wait_status(holder, waiting=1, granted=before["granted"] + i)
        os.write(holder, b"+")
    wait_status(holder, granted=before["granted"] + total)
    assert status(holder)["lapsed"] == before["lapsed"]
    child.kill()
    child.wait()


def poll_for_writing(path: str) -> None:
    """Who polls only for writing does not stand in the queue."""
    fd = open_file(path)
    take_all(fd)
    other = open_file(path)
    assert poll_now(other, select.POLLOUT) == select.POLLOUT
    assert status(fd)["waiting"] == 0
    assert poll_now(other, select.POLLIN) == 0


@when_prompt
def reservation(path: str) -> None:
    """A token is set aside for who has polled twice, for a quarter of a second."""
    holder, thief = open_file(path), open_file(path, os.O_NONBLOCK)
    take_all(holder)
    lapsed = status(holder)["lapsed"]
    ready, told = os.pipe()

    def wait_only() -> None:
        poll_client_once(open_file(path))
        os.write(told, b"r")
        signal.pause()

    child = Child(wait_only)
    wait_status(holder, waiting=1)
    begin = time.monotonic()
    os.write(holder, b"+")
    assert os.read(ready, 1) == b"r"
    assert status(holder)["reserved"] == 1
    expect_errno(errno.EAGAIN, lambda: os.read(thief, 1))
    os.set_blocking(thief, True)
    check_read(thief, 1)  # it waits until the reservation has run out
    waited = time.monotonic() - begin
    assert 0.24 < waited < 2.0, waited
    assert status(holder)["lapsed"] == lapsed + 1
    child.kill()
    child.wait()


def poll_client_once(fd: int) -> None:
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    assert poller.poll(DEADLINE_S * 1000)


@when_prompt
def reservation_dies(path: str) -> None:
    """A reservation ends with its process, not with its time."""
    holder, reader = open_file(path), open_file(path)
    take_all(holder)
    lapsed = status(holder)["lapsed"]
    ready, told = os.pipe()

    def wait_only() -> None:
        poll_client_once(open_file(path))
        os.write(told, b"r")
        signal.pause()

    child = Child(wait_only)
    wait_status(holder, waiting=1)
    os.write(holder, b"+")
    assert os.read(ready, 1) == b"r"
    child.kill()
    check_read(reader, 1)
    assert status(holder)["lapsed"] == lapsed
    child.wait()


# --- death ---


def reclaim(path: str, rounds: str) -> None:
    """From when we see a death to the grant; less than nothing if the server saw it first."""
    holder, reader = open_file(path), open_file(path)
    jobs = status(holder)["jobs"]
    assert jobs == 1
    times = []
    for _ in range(int(rounds)):
        victim = Child(lambda: hold_until_killed(path))
        wait_status(holder, held=1)
        times.append(time_of_reclaim(holder, reader, victim))
        os.write(holder, b"+")  # what the reader thread has read is this process's
        wait_status(holder, free=1)
    times.sort()
    for name, at in (("best", 0), ("median", len(times) // 2), ("worst", -1)):
        print(f"{name} {times[at] * 1e6:.0f} us")
    assert status(holder)["reclaimed"] == int(rounds)
    assert times[len(times) // 2] < 0.001, times


def time_of_reclaim(holder: int, reader: int, victim: Child) -> float:
    granted = []

    def wait() -> None:
        check_read(reader, 1)
        granted.append(time.monotonic())

    thread = threading.Thread(target=wait)
    thread.start()
    wait_status(holder, waiting=1)
    pidfd = os.pidfd_open(victim.pid)
    victim.kill()
    select.select([pidfd], [], [])
    died = time.monotonic()
    thread.join()
    victim.wait()
    os.close(pidfd)
    return granted[0] - died


def open_elsewhere(path: str) -> None:
    """The dead hold nothing, even while their description is open in another process."""
    fd = open_file(path)
    child = Child(lambda: check_read(open_file(path), 1))
    assert child.wait() == 0
    wait_status(fd, held=0, reclaimed=1)

    ready, told = os.pipe()
    inner_ready, inner_told = os.pipe()

    def opener() -> None:
        own = open_file(path)
        check_read(own, 1)
        if os.fork() == 0:  # inherits `own`, and outlives its opener
            os.write(inner_told, b"i")
            os.read(ready, 1)
            os._exit(0)
        os.read(inner_ready, 1)

    child = Child(opener)
    assert child.wait() == 0
    wait_status(fd, held=0, reclaimed=2)
    os.write(told, b"go")


def thread_ends(path: str) -> None:
    """A token is the process's: it stays when the thread that read it ends, the main thread too."""
    fd = open_file(path)

    def main_thread_ends() -> None:
        own = open_file(path)
        check_read(own, 1)
        threading.Thread(target=signal.pause).start()
        ctypes.CDLL(None).pthread_exit(None)

    reader = threading.Thread(target=lambda: check_read(fd, 1))
    reader.start()
    reader.join()
    assert status(fd)["held"] == 1
    child = Child(main_thread_ends)
    wait_until(lambda: child.state() == "Z", "the main thread has ended")
    assert status(fd)["held"] == 2
    child.kill()
    child.wait()
    wait_status(fd, held=1, reclaimed=1)
    os.write(fd, b"+")
    assert status(fd)["held"] == 0


def thread_execs(path: str) -> None:
    """When a thread execs, the others end, and for a moment the process looks dead; it is not."""
    fd = open_file(path)

    def work() -> None:
        own = open_file(path)
        check_read(own, 1)
        threading.Thread(target=lambda: os.execv("/bin/sleep", ["sleep", "1000"])).start()
        signal.pause()

    def has_become_sleep(pid: int) -> bool:
        with open(f"/proc/{pid}/comm") as name:
            return name.read() == "sleep\n"

    for _ in range(20):
        child = Child(work)
        wait_until(lambda pid=child.pid: has_become_sleep(pid), "exec")
        now = status(fd)
        assert now["held"] == 1 and child.pid in list_clients(fd), now
        child.kill()
        child.wait()
        wait_status(fd, held=0)


# --- sharing ---


def shared(path: str) -> None:
    """Ten processes block on one inherited description; none sleeps unkillably, all are served."""
    fd = open_file(path)
    total = take_all(fd)
    os.set_blocking(fd, True)
    children = [Child(lambda: check_read(fd, 1)) for _ in range(10)]
    wait_status(fd, waiting=10)
    assert "D" not in [child.state() for child in children]
    # A writer on the same description is not held up by the readers.
    for _ in range(3):
        os.write(fd, b"+")
    wait_status(fd, waiting=7)
    for child in children[5:]:
        child.kill()
    for child in children[5:]:
        child.wait()
    # The opener lives, and so it holds what they have read (rule 6).
    while status(fd)["waiting"]:
        os.write(fd, b"+")
    for child in children[:5]:
        assert child.wait() == 0
    now = status(fd)
    assert now["held"] + now["free"] == total and now["reclaimed"] == 0, now
    os.write(fd, b"+" * now["held"])
    assert status(fd)["free"] == total


def threads(path: str, count: str) -> None:
    """Many threads read and return; they are one process."""
    fd = open_file(path)
    total = status(fd)["jobs"]

    def work() -> None:
        own = open_file(path)
        for _ in range(50):
            check_read(own, 1)
            os.write(own, b"+")
        os.close(own)

    workers = [threading.Thread(target=work) for _ in range(int(count))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    now = status(fd)
    assert now["free"] == total and now["foreign"] == 0 and now["dropped"] == 0, now
    assert now["granted"] == now["returned"] == 50 * int(count), now


def hold(path: str, count: str) -> None:
    """Takes tokens, says so, and holds them until it is killed."""
    fd = open_file(path)
    for _ in range(int(count)):
        check_read(fd, 1)
    print("held", flush=True)
    signal.pause()


def server_memory_kib(pid: int) -> int:
    with open(f"/proc/{pid}/status") as lines:
        return int(re.search(r"VmRSS:\s+(\d+)", lines.read())[1])


def resident(path: str) -> None:
    print(server_memory_kib(status(open_file(path))["pid"]))


def many(path: str, count: str) -> None:
    """Many blocked readers: what each costs the server, and all are served."""
    wanted = int(count)
    holder = open_file(path)
    take_all(holder)
    server = status(holder)["pid"]
    before = server_memory_kib(server)
    threading.stack_size(64 * 1024)
    fds = [open_file(path) for _ in range(100)]
    served = []
    workers = [
        threading.Thread(target=lambda fd=fds[i % 100]: (check_read(fd, 1), served.append(1)))
        for i in range(wanted)
    ]
    for worker in workers:
        worker.start()
    wait_status(holder, waiting=wanted)
    each = (server_memory_kib(server) - before) * 1024 / wanted
    states = [open(f"/proc/self/task/{tid}/stat").read() for tid in os.listdir("/proc/self/task")]
    assert not [state for state in states if state.rpartition(") ")[2][0] == "D"]
    begin = time.monotonic()
    for _ in range(wanted):
        os.write(holder, b"+")
    for worker in workers:
        worker.join()
    took = time.monotonic() - begin
    print(f"{each:.0f} bytes a waiter, {took / wanted * 1e6:.0f} us a grant")
    assert len(served) == wanted
    assert each <= 1024, each
    wait_status(holder, waiting=0)


def fair(path: str, many_processes: str) -> None:
    """One account with many waiting processes beside one with a single one: they take turns."""
    holder = open_file(path)
    assert take_all(holder) == 1
    left = {b"m": int(many_processes), b"1": 20}
    ready, told = os.pipe()
    proceed, go = os.pipe()

    def crowd(size: int, letter: bytes, turns: int) -> None:
        def work() -> None:
            own = open_file(path)
            for _ in range(turns):
                check_read(own, 1)
                os.write(told, letter)
                os.read(proceed, 1)
                os.write(own, b"+")

        os.setsid()
        members = [Child(work) for _ in range(size)]
        for member in members:
            assert member.wait() == 0

    crowded = Child(lambda: crowd(left[b"m"], b"m", 1))
    wait_status(holder, waiting=left[b"m"])
    single = Child(lambda: crowd(1, b"1", 20))
    wait_status(holder, waiting=left[b"m"] + 1)
    os.write(holder, b"+")
    order = b""
    while sum(left.values()) > 0:
        order += os.read(ready, 1)
        left[order[-1:]] -= 1
        # It is returned only when all others wait again.
        single_waits = order[-1:] == b"m" and left[b"1"] > 0
        wait_status(holder, waiting=left[b"m"] + single_waits)
        os.write(go, b"g")
    assert single.wait() == 0 and crowded.wait() == 0
    assert re.fullmatch(rb"(m1){20}m*", order), order


# --- users ---


def become(uid: int) -> None:
    os.setsid()
    os.setgroups([])
    os.setgid(int(os.environ["SHARED_GID"]))
    os.setuid(uid)
    end_with_parent()  # which another user need not


def sessions(path: str) -> None:
    """One user with twelve sessions beside another with one: each has half. For root; the file is
    SHARED_GID's."""
    holder = open_file(path)
    total = take_all(holder)

    def session(uid: int) -> Child:
        def work() -> None:
            become(uid)
            hold_until_killed(path)

        return Child(work)

    many = [session(MALLORY) for _ in range(12)]
    wait_status(holder, waiting=12)
    other = Child(lambda: blocked_readers(path, ALICE, total))
    wait_status(holder, waiting=12 + total)
    os.write(holder, b"+" * total)
    wait_status(holder, held=total, waiting=12)
    assert held_by_user(holder) == {MALLORY: total // 2, ALICE: total // 2}, held_by_user(holder)
    for child in (*many, other):
        child.kill()
        child.wait()
    wait_status(holder, held=0, waiting=0)


def users_go_on(path: str) -> None:
    """How many tokens a user may hold, whose a token and a description are, and whose turn is next:
    all this is the same when the server has been killed. For root; the file is SHARED_GID's, with
    four tokens."""
    own = open_file(path)
    told, tell = os.pipe()
    asked, ask = os.pipe()

    def as_mallory() -> None:
        become(MALLORY)
        hold_until_killed(path)

    def as_alice() -> None:
        become(ALICE)
        theirs = open_file(path)
        os.write(tell, b"t")
        os.read(asked, 1)
        fcntl.ioctl(theirs, IOC_JOIN_GROUP)
        check_read(theirs, 1)
        os.read(asked, 1)
        check_read(theirs, 1)
        signal.pause()

    fcntl.ioctl(own, IOC_SET, USER_LIMIT.pack(64, 2))
    children = [Child(as_mallory) for _ in range(3)]
    wait_status(own, held=2, waiting=1)
    children.append(Child(as_alice))
    assert os.read(told, 1) == b"t"
    kill_server(own)
    wait_status(own, held=2, waiting=1)
    os.write(ask, b"a")
    wait_status(own, held=3)
    fcntl.ioctl(own, IOC_SET, USER_LIMIT.pack(64, 0))
    wait_status(own, held=4, waiting=0)
    assert held_by_user(own) == {MALLORY: 3, ALICE: 1}, held_by_user(own)
    # Were they one user, she would be the last.
    children.append(Child(as_mallory))
    wait_status(own, waiting=1)
    os.write(ask, b"a")
    wait_status(own, waiting=2)
    kill_server(own)
    wait_status(own, waiting=2)
    children[0].kill()
    wait_status(own, held=4, waiting=1)
    assert held_by_user(own) == {MALLORY: 2, ALICE: 2}, held_by_user(own)
    for child in children:
        child.kill()
        child.wait()


def kill_server(fd: int) -> None:
    before = status(fd)["pid"]
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: status(fd)["pid"] != before, "another server")


def blocked_readers(path: str, uid: int, count: int) -> None:
    become(uid)
    for reader in [Child(lambda: hold_until_killed(path)) for _ in range(count)]:
        reader.wait()


def held_by_user(fd: int) -> dict[int, int]:
    page = bytearray(CLIENTS_SIZE)
    fcntl.ioctl(fd, IOC_CLIENTS, page)
    _, count, _ = CLIENTS.unpack_from(page)
    held: dict[int, int] = {}
    for i in range(count):
        record = CLIENT.unpack_from(page, CLIENTS.size + i * CLIENT.size)
        assert record[3] & CLIENT_HAS_USER
        held[record[11]] = held.get(record[11], 0) + record[5]
    return {uid: tokens for uid, tokens in held.items() if tokens}


def passed_on_to_others(path: str) -> None:
    """Who was given another user's description reads and writes on that one's account, and is no
    member of its group. For root; the file is SHARED_GID's."""
    own = open_file(path)
    fcntl.ioctl(own, IOC_JOIN_GROUP)

    def as_mallory() -> None:
        become(MALLORY)
        expect_errno(errno.EPERM, lambda: fcntl.ioctl(own, IOC_JOIN_GROUP))
        check_read(own, 1)
        assert held_by_user(own) == {0: 1}
        theirs = open_file(path)
        fcntl.ioctl(theirs, IOC_JOIN_GROUP)
        check_read(theirs, 1)
        assert held_by_user(own) == {0: 2}  # it is below that group
        os.write(own, b"+")  # its own first
        assert held_by_user(own) == {0: 1}
        os.write(own, b"+")
        assert held_by_user(own) == {}

    assert Child(as_mallory).wait() == 0


def below_a_group(path: str) -> None:
    """What is below a group counts for who founded it, whoever it has become; in a session alone
    each counts for itself. For root; the file is SHARED_GID's."""

    def alone() -> None:
        os.setgroups([])
        os.setgid(int(os.environ["SHARED_GID"]))
        os.setuid(ALICE)
        own = open_file(path)
        check_read(own, 1)
        assert held_by_user(own) == {0: 1, ALICE: 1}

    def below() -> None:
        become(MALLORY)
        own = open_file(path)
        check_read(own, 1)
        assert held_by_user(own) == {0: 2}

    own = open_file(path)
    check_read(own, 1)
    assert Child(alone).wait() == 0
    wait_status(own, held=1)
    os.write(own, b"+")
    fcntl.ioctl(own, IOC_JOIN_GROUP)
    check_read(own, 1)
    assert Child(below).wait() == 0


def hidden(path: str) -> None:
    """A process that the server cannot look at is still one: its tokens are its own, and return
    with its death. For root; the file is SHARED_GID's."""
    own = open_file(path)
    ready, told = os.pipe()
    passed = socket.socketpair()

    def client() -> None:
        become(ALICE)
        theirs = open_file(path)
        socket.send_fds(passed[0], [b"f"], [theirs])
        check_read(theirs, 1)
        thread = threading.Thread(target=check_read, args=(theirs, 1))
        thread.start()
        thread.join()
        os.write(told, b"t")
        signal.pause()

    child = Child(client)
    assert os.read(ready, 1) == b"t"
    _, fds, _, _ = socket.recv_fds(passed[1], 1, 1)
    listed = list_clients(own)
    assert listed[child.pid][0] == 2 and listed[child.pid][2] == b"(gone)", listed
    assert held_by_user(own) == {ALICE: 2}
    child.kill()
    child.wait()
    wait_status(own, held=0, reclaimed=2)
    os.close(fds[0])


def flood(path: str) -> None:
    """Who asks again and again for what costs much is refused, and others are not. For root; the
    file is SHARED_GID's."""
    flooding, refused = os.pipe()

    def ask_until_refused() -> None:
        own = open_file(path)
        check_read(own, 1)
        while not is_refused(lambda: ask_claim(own)):
            pass
        while list_clients(own)[os.getpid()][2] != b"(busy)":
            pass
        os.write(own, b"+")  # what others ask for as well is not refused
        check_read(own, 1)
        os.write(refused, b"r")
        while True:
            is_refused(lambda: ask_claim(own))

    def descend(depth: int) -> None:
        if depth > 0:
            Child(lambda: descend(depth - 1)).wait()
            return
        for leaf in [Child(ask_until_refused) for _ in range(4)]:
            leaf.wait()

    def hostile() -> None:
        become(MALLORY)
        descend(64)

    child = Child(hostile)
    for _ in range(4):
        assert os.read(flooding, 1) == b"r"
    own = open_file(path)
    check_read(own, 1)
    assert not ask_claim(own)
    assert list_clients(own)[os.getpid()][2] != b"(busy)"
    child.kill()
    child.wait()


def is_refused(call: Callable[[], object]) -> bool:
    try:
        call()
    except BlockingIOError:
        return True
    return False


def stuck(path: str, program: str) -> None:
    """Who stays in a system call on the file, with a lock of the kernel, holds up no other user,
    and on a device nobody. For root; the file is SHARED_GID's."""
    holder = open_file(path)
    total = take_all(holder)
    others = (0, ALICE, MALLORY) if is_device(holder) else (0, ALICE)
    for way in ("write", "append", "read", "truncate"):
        attempt = start_stuck(program, way, path)
        assert attempt.stdout is not None and attempt.stdout.readline() == b"stuck\n", way
        for uid in others:
            child = Child(lambda own=uid: use_beside(path, own))
            wait_until(lambda own=child: own.has_ended(), f"user {uid} beside a {way}")
        assert os.write(holder, b"+") == 1
        check_read(holder, 1)
        attempt.kill()
        attempt.wait()
    wait_status(holder, held=total)


def unlisted(path: str, program: str) -> None:
    """The same for the directory of a mount, where that is prevented."""
    attempt = start_stuck(program, "list", path)
    assert attempt.wait(DEADLINE_S) == 1 and attempt.stderr is not None
    assert b"Permission denied" in attempt.stderr.read()


def start_stuck(program: str, way: str, path: str) -> subprocess.Popen[bytes]:
    command = [program, str(MALLORY), os.environ["SHARED_GID"], way, path]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def use_beside(path: str, uid: int) -> None:
    if uid:
        become(uid)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC))
    assert os.stat(path).st_size == 0
    own = open_file(path, os.O_NONBLOCK)
    expect_errno(errno.EAGAIN, lambda: os.read(own, 1))
    assert os.write(own, b"+") == 1
    with open(path, "ab", buffering=0) as file:
        file.write(b"+")
    if not is_device(own):
        os.truncate(path, 0)
    status(own)


def is_device(fd: int) -> bool:
    return stat.S_ISCHR(os.fstat(fd).st_mode)


# --- settings ---


def resize(path: str) -> None:
    """Down to 1 and up to 8 with blocked readers: the debt is paid first, and up is at once."""
    holder = open_file(path)
    assert take_all(holder) == 4
    set_jobs(holder, 1)
    now = status(holder)
    assert (now["held"], now["debt"], now["jobs"]) == (4, 3, 1), now
    readers = [Child(lambda: hold_until_killed(path)) for _ in range(6)]
    wait_status(holder, waiting=6)
    os.write(holder, b"+++")
    now = status(holder)
    assert (now["held"], now["debt"], now["waiting"]) == (1, 0, 6), now
    os.write(holder, b"+")
    wait_status(holder, held=1, waiting=5)
    set_jobs(holder, 8)
    wait_status(holder, held=6, free=2, waiting=0)
    set_jobs(holder, 1)
    wait_status(holder, held=6, debt=5)
    for reader in readers:
        reader.kill()
        reader.wait()
    wait_status(holder, held=0, debt=0, free=1)


def hold_until_killed(path: str) -> None:
    check_read(open_file(path), 1)
    signal.pause()


def may_not_set(path: str) -> None:
    fd = open_file(path)
    expect_errno(errno.EPERM, lambda: set_jobs(fd, 1))
    expect_errno(errno.EPERM, lambda: fcntl.ioctl(fd, IOC_SET, LEASE.pack(129, 1, 1000)))


# --- ioctls ---


def list_classes(fd: int) -> dict[str, tuple[int, ...]]:
    """By their names; what is behind them is 0."""
    answer = fcntl.ioctl(fd, IOC_CLASSES, b"\xff" * CLASSES_SIZE)
    count, spare = struct.unpack_from("=II", answer)
    assert spare == 0 and answer[8 + count * 96 :] == bytes((8 - count) * 96)
    rows = [struct.unpack_from("=32s8I32s", answer, 8 + i * 96) for i in range(count)]
    assert all(row[-1] == bytes(32) for row in rows)
    return {row[0].rstrip(b"\0").decode(): row[1:-1] for row in rows}


def bad_ioctls_of_class(path: str, name: str) -> None:
    """On the file of a class: it is refused, and changes nothing."""
    fd = open_file(path)
    before, classes = status(fd), list_classes(fd)
    assert classes[name][0] == before["jobs"]
    settings = [
        (0, 3, 0),
        (2, 3, 0),
        (3, 3, 0),
        (0xFFFFFFFF, 3, 1000),
        (1, 65537, 0),
        (1, 0xFFFFFFFF, 0),
        (1, 3, 1000),
        (128, 3, 1000),
        (129, 3, 0),
        (129, 3, 86400001),
        (129, 3, 0xFFFFFFFF),
        (129, 65537, 1000),
    ]
    for values in settings:
        expect_errno(errno.EINVAL, lambda v=values: fcntl.ioctl(fd, IOC_SET, LEASE.pack(*v)))
    spare = bytearray(LEASE.pack(129, 3, 1000))
    spare[-1] = 1
    expect_errno(errno.EINVAL, lambda: fcntl.ioctl(fd, IOC_SET, bytes(spare)))
    for command in (ioc(2, 0x5D, CLASSES_SIZE - 96), ioc(2, 0x5D, 0), ioc(3, 0x5D, CLASSES_SIZE)):
        expect_errno(errno.ENOTTY, lambda c=command: raw_ioctl(fd, c))
    expect_errno(errno.EFAULT, lambda: bad_address(fd, IOC_CLASSES))
    expect_errno(errno.EINVAL, lambda: fcntl.ioctl(fd, IOC_PAY_IMPLICIT))
    expect_errno(errno.EINVAL, lambda: fcntl.ioctl(fd, IOC_CLAIM_IMPLICIT, bytes(CLAIM.size)))
    expect_errno(errno.ENOTTY, lambda: fcntl.ioctl(fd, IOC_MEMORY, bytes(224)))
    expect_errno(errno.ENOTTY, lambda: fcntl.ioctl(fd, IOC_THROTTLE, bytes(72)))
    os.write(fd, b"+" * 100)
    assert status(fd) == {**before, "dropped": before["dropped"] + 100}, (status(fd), before)
    assert list_classes(fd) == classes


def bad_ioctls(path: str) -> None:
    """Garbage is refused, and changes nothing."""
    fd = open_file(path)
    before = status(fd)
    unknown = [
        ioc(2, 0x4F, STATUS.size),
        ioc(2, 0x50, STATUS.size - 1),
        ioc(2, 0x50, STATUS.size + 8),
        ioc(2, 0x50, 0),
        ioc(0, 0x50, 0),
        ioc(3, 0x50, STATUS.size),
        ioc(3, 0x51, CLIENTS.size),
        ioc(2, 0x51, CLIENTS_SIZE),
        ioc(1, 0x52, 4),
        ioc(1, 0x53, 64),
        ioc(2, 0x55, CLAIM.size + 4),
        0,
        0x5401,
    ]
    for command in unknown:
        expect_errno(errno.ENOTTY, lambda c=command: raw_ioctl(fd, c))
    # Too much for the kernel, or for the server.
    for command in (ioc(2, 0x50, 16383), ioc(1, 0x52, 16383), 0xFFFFFFFF):
        try:
            raw_ioctl(fd, command)
        except OSError as error:
            assert error.errno in (errno.ENOMEM, errno.ENOTTY), error
    settings = [
        (128, 0, 0, 0),
        (0xFFFFFFFF, 4, 1, 0),
        (1, 0, 0, 0),
        (1, 65537, 0, 0),
        (1, 0xFFFFFFFF, 0, 0),
        (2, 0, 0, 0),
        (2, 0, before["jobs"] + 1, 0),
        (3, 3, 4, 0),
        (4, 0, 0, 65537),
        (5, 3, 0, 0xFFFFFFFF),
        (7, 3, 0, 1),
    ]
    for values in settings:
        expect_errno(errno.EINVAL, lambda v=values: fcntl.ioctl(fd, IOC_SET, SETTINGS.pack(*v)))
    limits = [
        (8, 1, 1, 0, 0),
        (8, 0, 101, 0, 0),
        (8, 0xFFFFFFFF, 0, 0, 0),
        (16, 0, 0, 0xFFFFFFFF, 0),
        (32, 0, 0, 0, 99),
        (56, 1, 0, 1, 0xFFFFFFFF),
    ]
    for values in limits:
        expect_errno(errno.EINVAL, lambda v=values: fcntl.ioctl(fd, IOC_SET, LIMITS.pack(*v)))
    spare = bytearray(SETTINGS.pack(1, 3, 0, 0))
    spare[-1] = 1
    expect_errno(errno.EINVAL, lambda: fcntl.ioctl(fd, IOC_SET, bytes(spare)))
    reserved = bytearray(CLIENTS_SIZE)
    CLIENTS.pack_into(reserved, 0, 0, 0, 1)
    expect_errno(errno.EINVAL, lambda: fcntl.ioctl(fd, IOC_CLIENTS, reserved))
    page = bytearray(b"\xff" * CLIENTS_SIZE)
    CLIENTS.pack_into(page, 0, (1 << 64) - 1, 0xFFFFFFFF, 0)
    fcntl.ioctl(fd, IOC_CLIENTS, page)
    assert CLIENTS.unpack_from(page)[1] == 0
    assert page[CLIENTS.size :] == bytes(CLIENTS_SIZE - CLIENTS.size)
    expect_errno(errno.EFAULT, lambda: bad_address(fd, IOC_STATUS))
    expect_errno(errno.EFAULT, lambda: bad_address(fd, IOC_SET))
    expect_errno(errno.EINVAL, lambda: fcntl.ioctl(fd, IOC_PAY_IMPLICIT))
    assert status(fd) == before, (status(fd), before)


def raw_ioctl(fd: int, command: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(16384)
    if libc.ioctl(fd, ctypes.c_ulong(command), buffer) < 0:
        raise OSError(ctypes.get_errno(), f"ioctl {command:#x}")
    raise AssertionError(f"ioctl {command:#x} was accepted")


def bad_address(fd: int, command: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ioctl(fd, ctypes.c_ulong(command), ctypes.c_void_p(8)) < 0:
        raise OSError(ctypes.get_errno(), "ioctl")


def fionread(path: str) -> None:
    """Only on a device: a FUSE file has the kernel's answer, 0."""
    fd = open_file(path)
    answer = bytearray(4)
    fcntl.ioctl(fd, 0x541B, answer)
    print(int.from_bytes(answer, sys.byteorder))


def clients(path: str) -> None:
    """All are listed, over several pages, each once, with who it is and what it holds."""
    fd = open_file(path)
    set_jobs(fd, 100)
    children = [Child(lambda: hold_until_killed(path)) for _ in range(70)]
    wait_status(fd, held=70)
    listed = list_clients(fd)
    assert sorted(listed) == sorted(child.pid for child in children), listed
    assert all(held == 1 for held, _, _, _ in listed.values()), listed
    for pid, (_, _, command, start_ticks) in listed.items():
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            before, _, after = stat.read().rpartition(") ")
        assert command.decode() == before.partition(" (")[2]
        assert start_ticks == int(after.split()[19])
    for child in children:
        child.kill()
        child.wait()
    wait_status(fd, free=100)
    wait_until(lambda: list_clients(fd) == {}, "all have gone")


def list_clients(fd: int) -> dict[int, tuple[int, int, bytes, int]]:
    """pid: (held, flags, command, start_ticks)"""
    found = {}
    cursor = 0
    while True:
        page = bytearray(CLIENTS_SIZE)
        CLIENTS.pack_into(page, 0, cursor, 0, 0)
        fcntl.ioctl(fd, IOC_CLIENTS, page)
        cursor, count, _ = CLIENTS.unpack_from(page)
        if count == 0:
            return found
        for i in range(count):
            record = CLIENT.unpack_from(page, CLIENTS.size + i * CLIENT.size)
            assert record[1] not in found
            flags = record[3] & ~CLIENT_HAS_USER
            found[record[1]] = (record[5], flags, record[9].rstrip(b"\0"), record[10])


def observer(path: str) -> None:
    """Who only asks is no client."""
    fd = open_file(path)
    status(fd)
    list_clients(fd)
    fcntl.ioctl(fd, IOC_CLAIM_IMPLICIT, bytes(CLAIM.size))
    assert list_clients(fd) == {} and status(fd)["unpaid"] == 0


def late_parent(path: str) -> None:
    """A make opens the file, and a make below it reads first: one implicit slot is unpaid."""
    fd = open_file(path)
    ready, told = os.pipe()

    def parent() -> None:
        own = open_file(path)

        def child() -> None:
            check_read(open_file(path), 1)
            os.write(told, b".")
            signal.pause()

        Child(child)
        signal.sigwait({signal.SIGUSR1})
        check_read(own, 1)
        os.write(told, b".")
        signal.pause()

    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    make = Child(parent)
    os.read(ready, 1)
    assert status(fd)["unpaid"] == 1
    make.kill(signal.SIGUSR1)
    os.read(ready, 1)
    assert status(fd)["unpaid"] == 1


def recall(path: str) -> None:
    """A group is asked by POLLPRI when somebody with less waits, and when there is a debt."""
    fd = open_file(path)
    total = status(fd)["jobs"]
    ready, told = os.pipe()

    def wrapper() -> None:
        own = open_file(path)
        fcntl.ioctl(own, IOC_JOIN_GROUP)
        for _ in range(total):
            check_read(own, 1)
        poller = select.poll()
        poller.register(own, select.POLLPRI)
        assert poller.poll(0) == [] and status(own)["recalled"] == 0
        os.write(told, b".")
        assert poller.poll(DEADLINE_S * 1000) == [(own, select.POLLPRI)]
        assert status(own)["recalled"] == 1
        os.write(own, b"+")
        assert poller.poll(0) == [] and status(own)["recalled"] == 0
        os.write(told, b".")
        assert poller.poll(DEADLINE_S * 1000) == [(own, select.POLLPRI)]
        assert status(own)["recalled"] == total - 1

    child = Child(wrapper)
    os.read(ready, 1)
    check_read(fd, 1)
    assert status(fd)["recalled"] == 0
    os.read(ready, 1)
    set_jobs(fd, 1)
    assert child.wait() == 0


def group(path: str) -> None:
    """What a group reads returns when its last member has died, and not before."""
    fd = open_file(path)
    total = status(fd)["jobs"]
    ready, told = os.pipe()

    def wrapper() -> None:
        own = open_file(path)
        fcntl.ioctl(own, IOC_JOIN_GROUP)
        check_read(own, 1)
        check_read(own, 1)
        fcntl.ioctl(own, IOC_PAY_IMPLICIT)
        keeper = os.fork()
        if keeper == 0:
            fcntl.ioctl(own, IOC_JOIN_GROUP)
            os.write(told, struct.pack("=i", os.getpid()))
        signal.pause()

    first = Child(wrapper)
    keeper = struct.unpack("=i", os.read(ready, 4))[0]
    listed = list_clients(fd)
    assert listed[first.pid][0] == 2 and listed[first.pid][1] == 3, listed
    assert status(fd)["unpaid"] == 0
    first.kill()
    first.wait()
    other = open_file(path, os.O_NONBLOCK)
    wait_until(lambda: first.pid not in list_clients(fd), "the first member is gone")
    assert list_clients(fd)[keeper][0] == 2
    assert take_all(other) == total - 2
    os.kill(keeper, signal.SIGKILL)
    wait_status(fd, held=total - 2, free=2, reclaimed=2)


def claim(path: str) -> None:
    """An ancestor's token pays for one implicit slot below it."""
    fd = open_file(path)
    check_read(fd, 1)
    ready, told = os.pipe()
    proceed, go = os.pipe()

    def below(waits: bool = False) -> None:
        own = open_file(path)
        answer = bytearray(CLAIM.size)
        for _ in range(2):  # a second claim is granted by the first
            fcntl.ioctl(own, IOC_CLAIM_IMPLICIT, answer)
        if waits and not CLAIM.unpack(answer)[0] and polled(own, select.POLLPRI):
            fcntl.ioctl(own, IOC_CLAIM_IMPLICIT, answer)
        os.write(told, bytes(answer))
        os.read(proceed, 1)

    first = Child(below)
    assert CLAIM.unpack(os.read(ready, CLAIM.size)) == (1, os.getpid())
    second = Child(below)
    assert CLAIM.unpack(os.read(ready, CLAIM.size)) == (0, 0)
    first.kill()
    first.wait()
    second.kill()
    second.wait()
    # The server hears of their deaths when it comes to that.
    third = Child(lambda: below(waits=True))
    assert CLAIM.unpack(os.read(ready, CLAIM.size)) == (1, os.getpid())
    os.write(go, b"g")
    assert third.wait() == 0


def ask_claim(fd: int) -> bool:
    return bool(CLAIM.unpack(fcntl.ioctl(fd, IOC_CLAIM_IMPLICIT, bytes(CLAIM.size)))[0])


def polled(fd: int, wanted: int, timeout_s: float = DEADLINE_S) -> int:
    poll = select.poll()
    poll.register(fd, wanted)
    return sum(events for _, events in poll.poll(timeout_s * 1000))


class Claimant(Child):
    """Has a claim, until it is killed. The server may not have heard yet that the last one who had
    it has ended."""

    def __init__(self, path: str) -> None:
        ready, told = os.pipe()

        def below() -> None:
            own = open_file(path)
            has_claim = ask_claim(own) or (bool(polled(own, select.POLLPRI)) and ask_claim(own))
            os.write(told, b"y" if has_claim else b"n")
            signal.pause()

        super().__init__(below)
        assert os.read(ready, 1) == b"y"

    def end(self) -> None:
        self.kill()
        self.wait()


def late_claim(path: str) -> None:
    """Who has asked in vain is told as soon as it has a claim, by what it polls for, until it asks
    again; and it waits for no token any more."""
    fd = open_file(path)
    total = take_all(fd)
    claimants = [Claimant(path) for _ in range(total)]

    def by_poll() -> None:
        own = open_file(path, os.O_NONBLOCK)
        assert not ask_claim(own)
        assert polled(own, select.POLLIN) == select.POLLIN
        assert polled(own, select.POLLIN) == select.POLLIN
        assert status(own)["waiting"] == 0
        assert ask_claim(own)
        assert ask_claim(own)
        assert polled(own, select.POLLIN, 0) == 0

    def by_pollpri() -> None:
        own = open_file(path)
        assert not ask_claim(own)
        assert polled(own, select.POLLPRI, 0) == 0
        assert status(own)["waiting"] == 0
        os.write(told, b"t")
        assert polled(own, select.POLLPRI) == select.POLLPRI
        assert ask_claim(own)
        assert polled(own, select.POLLPRI, 0) == 0

    def by_epoll() -> None:
        own = open_file(path, os.O_NONBLOCK)
        edge = select.epoll()
        assert not ask_claim(own)
        edge.register(own, select.EPOLLIN | select.EPOLLET)
        expect_errno(errno.EAGAIN, lambda: os.read(own, 1))
        assert edge.poll(DEADLINE_S) == [(own, select.EPOLLIN)]
        assert ask_claim(own)

    waiting, told = os.pipe()
    for below in by_poll, by_epoll:
        child = Child(below)
        wait_status(fd, waiting=1)
        claimants.pop().end()
        assert child.wait() == 0
        claimants.append(Claimant(path))
    child = Child(by_pollpri)
    assert os.read(waiting, 1) == b"t"
    claimants.pop().end()
    assert child.wait() == 0
    assert status(fd)["held"] == total


def old_claimant(path: str) -> None:
    """A client that does not know that a claim can come late, and asks once, is told once; then it
    sleeps until there is a token."""
    fd = open_file(path)
    total = take_all(fd)
    claimants = [Claimant(path) for _ in range(total)]
    ready, told = os.pipe()

    def below() -> None:
        own = open_file(path, os.O_NONBLOCK)
        assert not ask_claim(own)
        in_vain = 0
        while polled(own, select.POLLIN) == select.POLLIN:
            try:
                assert os.read(own, 1) == b"+"
                break
            except BlockingIOError:
                in_vain += 1
                os.write(told, b"v")
        assert in_vain == 1, in_vain

    child = Child(below)
    wait_status(fd, waiting=1)
    claimants.pop().end()
    assert os.read(ready, 1) == b"v"
    wait_status(fd, waiting=1)
    set_jobs(fd, total + 1)
    assert child.wait() == 0
    set_jobs(fd, total)


def passed_on(path: str) -> None:
    """A token that is returned while all that its holder has is claimed is the claimer's, until it
    dies."""
    fd = open_file(path)
    total = take_all(fd)
    claimants = [Claimant(path) for _ in range(total)]
    assert os.write(fd, b"x") == 1
    now = status(fd)
    assert (now["free"], now["held"], now["returned"]) == (0, total, 1), now
    # What has died has nothing, even if nobody has noticed it before the token came.
    claimants.pop().kill()
    claimants.pop().end()
    assert os.write(fd, b"x" * (total - 1)) == total - 1
    wait_status(fd, free=2, held=total - 2, dropped=0)
    for claimant in claimants:
        claimant.end()
    wait_status(fd, free=total)


def set_weight(path: str) -> None:
    fd = open_file(path)
    fcntl.ioctl(fd, IOC_JOIN_GROUP)
    fcntl.ioctl(fd, IOC_WEIGHT, WEIGHT.pack(50))


def listen(address: str) -> None:
    """A service manager: prints what it is told, until the end."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(address.replace("@", "\0", 1))
    print("bound", flush=True)
    notice = ""
    while notice != "STOPPING=1":
        notice = listener.recv(8192).decode()
        print(notice, flush=True)


# --- the file ---


def file_operations(path: str) -> None:
    """What else can be done with a file gives a clean answer, and never a token."""
    os.close(open_file(path, os.O_CREAT | os.O_TRUNC | os.O_APPEND))
    fd = open_file(path, os.O_CREAT | os.O_TRUNC)
    attributes = os.fstat(fd)
    assert attributes.st_size == 0 and attributes.st_nlink == 1
    expect_errno(errno.ESPIPE, lambda: os.lseek(fd, 0, os.SEEK_SET))
    expect_errno(errno.ESPIPE, lambda: os.pread(fd, 1, 0))
    expect_errno(errno.ENODEV, lambda: map_shared(fd))
    expect_errno(errno.EPERM, lambda: os.fchmod(fd, 0o777))
    expect_errno(errno.EPERM, lambda: os.fchown(fd, 1, 1))
    expect_errno(errno.EPERM, lambda: os.unlink(path))
    expect_errno(errno.ENOTDIR, lambda: os.rmdir(path))
    directory = os.path.dirname(path)
    expect_errno(errno.EPERM, lambda: os.mkdir(directory + "/x"))
    expect_errno(errno.EPERM, lambda: os.open(directory + "/x", os.O_CREAT | os.O_RDWR))
    expect_errno(errno.EPERM, lambda: os.rename(path, directory + "/x"))
    expect_errno(errno.EPERM, lambda: os.symlink("x", directory + "/x"))
    expect_errno(errno.ENOENT, lambda: os.stat(directory + "/x"))
    try:
        os.posix_fallocate(fd, 0, 1)
    except OSError as error:
        assert error.errno in (errno.EOPNOTSUPP, errno.ESPIPE, errno.ENODEV), error
    else:
        raise AssertionError("fallocate")
    os.ftruncate(fd, 0)
    os.truncate(path, 0)
    os.fsync(fd)
    fcntl.flock(fd, fcntl.LOCK_EX)
    write_only = os.open(path, os.O_WRONLY)
    expect_errno(errno.EBADF, lambda: os.read(write_only, 1))
    assert os.listdir(directory) == ["jobserver"]
    now = status(fd)
    assert now["held"] == 0 and now["free"] == now["jobs"], now
    with io.FileIO(os.dup(fd), "r+") as stream:
        assert not stream.seekable()
    os.write(fd, b"x")
    assert os.stat(path).st_size == 0


def map_shared(fd: int) -> None:
    """mmap.mmap() would look at the size first."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    size, offset = ctypes.c_size_t(4096), ctypes.c_long(0)
    result = libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, fd, offset)
    if result == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "mmap")


def main() -> None:
    # A child that hangs must not hang the test.
    signal.alarm(240)
    globals()[sys.argv[1]](*sys.argv[2:])


if __name__ == "__main__":
    main()
