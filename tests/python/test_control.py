# SPDX-License-Identifier: GPL-2.0-or-later
"""jobserver_client's end of a jobwrap's control socket, with a server that does as it is told."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, cast

import jobserver_client
import pytest
from jobserver_client import (
    CONTROL_HEADER,
    FIFO,
    SERVER,
    Client,
    JobserverError,
    Named,
    Operation,
    implicit_is_paid,
    implicit_may_come,
)

ROOT = Path(__file__).parents[2]
HELLO, STATUS, CLAIM = jobserver_client._HELLO, jobserver_client._STATUS, jobserver_client._CLAIM


class Server:
    """One thread a connection. `tokens` are free; `log` is what was asked, with the connection's
    number before it."""

    def __init__(self, directory: Path) -> None:
        self.fifo = directory / "fifo"
        os.mkfifo(self.fifo)
        self.inode = self.fifo.stat().st_ino
        self.version = 1
        self.tokens = 0
        self.is_paid = 0
        self.log: list[tuple[int, int]] = []
        self.ready: list[int] = []  # the ends of pipes that are written to, one a connection
        self.interrupts = False
        self.connections: list[socket.socket] = []
        self.threads: list[threading.Thread] = []
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        here = os.open(directory, os.O_PATH)
        self.listener.bind(f"/proc/self/fd/{here}/control")
        os.close(here)
        self.listener.listen()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.connections.append(connection)
                arguments = (len(self.connections) - 1, connection)
                thread = threading.Thread(target=self.serve, args=arguments, daemon=True)
                self.threads.append(thread)
                thread.start()

    def serve(self, number: int, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while packet := connection.recv(4096):
                operation, _ = CONTROL_HEADER.unpack_from(packet)
                self.log.append((number, operation))
                if self.interrupts:
                    self.interrupts = False
                    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
                if operation == Operation.HELLO:
                    self.greet(number, connection)
                elif operation == Operation.RETURN:
                    self.tokens += 1
                else:
                    result, argument = self.answer(operation)
                    connection.send(CONTROL_HEADER.pack(operation, result) + argument)

    def greet(self, number: int, connection: socket.socket) -> None:
        device = self.fifo.stat().st_dev
        packet = CONTROL_HEADER.pack(Operation.HELLO, 0 if number == len(self.ready) else -114)
        packet += HELLO.pack(self.version, device, self.inode)
        if number < len(self.ready):
            connection.send(packet)
            return
        read_end, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.ready.append(write_end)
        socket.send_fds(connection, [packet], [read_end])
        os.close(read_end)

    def answer(self, operation: int) -> tuple[int, bytes]:
        if operation == Operation.ACQUIRE:
            granted = self.tokens > 0
            self.tokens -= granted
            return granted, b""
        if operation == Operation.STATUS:
            return 0, STATUS.pack(1, 0, 7, self.tokens, *[0] * 16)
        if operation == Operation.CLAIM_IMPLICIT:
            return 0, CLAIM.pack(self.is_paid, 0)
        return -22, b""

    def asked(self) -> list[str]:
        return [f"{number}:{Operation(operation).name}" for number, operation in self.log]

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for fd in self.ready:
            os.close(fd)
        self.ready = []


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    # Longer than the address of a socket may be.
    directory = tmp_path / ("d" * 120)
    directory.mkdir()
    made = Server(directory)
    yield made
    made.close()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    opened = Client.open(Named(str(server.fifo)))
    yield opened
    opened.close()


def is_ready(client: Client) -> bool:
    return jobserver_client._is_readable(client.fileno())


def test_the_operations_are_those_of_the_header() -> None:
    header = (ROOT / "libjobserver/control.h").read_text(encoding="utf-8")
    body = header.split("enum control_operation {", 1)[1].split("};", 1)[0]
    names = re.findall(r"CONTROL_(\w+),", body)
    assert {each.name: each.value for each in Operation}.items() <= {
        name: number for number, name in enumerate(names)
    }.items()
    assert f"#define CONTROL_VERSION {jobserver_client.CONTROL_VERSION}u\n" in header


def test_a_server_is_used_in_place_of_its_fifo(server: Server, client: Client) -> None:
    assert client.kind is SERVER
    assert client.name == f"fifo:{server.fifo}"
    server.tokens = 1
    assert [client.try_acquire(), client.try_acquire()] == [b"+", None]
    client.release(b"+")
    assert client.count_free() == 1
    assert client.wanted() == 0
    client.join_group()
    assert not implicit_is_paid(client, "auto", from_environment=True)
    assert implicit_may_come(client, "auto")
    server.is_paid = 1
    assert client.claim_implicit()
    with pytest.raises(JobserverError, match=r"^pay at fifo:.*: Invalid argument$"):
        client.pay_implicit()


def has_fifo_open(server: Server) -> bool:
    paths = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
    return any(server.fifo.samefile(path) for path in paths if os.path.exists(path))


def test_its_fifo_does_not_stay_open(server: Server, client: Client) -> None:
    server.tokens = 1
    assert client.try_acquire() == b"+"
    assert not has_fifo_open(server)
    pid = os.fork()
    if pid == 0:
        client.try_acquire()
        os._exit(has_fifo_open(server))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_by_descriptors_too(server: Server) -> None:
    fd = os.open(server.fifo, os.O_RDWR | os.O_NONBLOCK)
    client = Client.open(Named(None, fd, fd))
    assert client.kind is SERVER
    client.close()
    os.close(fd)


def test_it_tells_when_to_ask_again(server: Server, client: Client) -> None:
    assert client.try_acquire() is None
    assert not is_ready(client)
    os.write(server.ready[0], b"++")
    assert is_ready(client)
    server.tokens = 1
    assert client.try_acquire() == b"+"
    assert not is_ready(client)
    os.write(server.ready[0], b"+")
    fd, _ = client.claim_event()
    assert fd == client.fileno()
    assert not is_ready(client)


def test_a_jobwrap_that_borrows_says_less_than_the_environment(client: Client) -> None:
    assert client.total_jobs({}) == 7
    assert client.total_jobs({"JOBWRAP_JOBS": "9"}) == 9
    assert client.total_jobs({"JOBWRAP_JOBS": "5"}) == 7


@pytest.mark.parametrize(("name", "value"), [("inode", 1), ("version", 2)])
def test_another_server_is_not_believed(server: Server, name: str, value: int) -> None:
    setattr(server, name, value)
    client = Client.open(Named(str(server.fifo)))
    assert client.kind is FIFO
    # Neither its connection nor its pipe is left open.
    server.threads[0].join(20)
    assert not server.threads[0].is_alive()
    with pytest.raises(BrokenPipeError):
        os.write(server.ready[0], b"+")
    client.close()


def test_no_server(server: Server) -> None:
    server.close()
    client = Client.open(Named(str(server.fifo)))
    assert client.kind is FIFO
    assert implicit_is_paid(client, "auto", from_environment=True)
    client.close()


@pytest.mark.parametrize(
    ("uid", "peer", "is_trusted"),
    [(0, 1000, True), (1000, 0, True), (1000, 1000, True), (1000, 1001, False)],
)
def test_whose_server(
    uid: int, peer: int, is_trusted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    patience = [2.0]

    class Connection:
        def settimeout(self, seconds: float) -> None:
            patience[:] = [seconds]

        def getsockopt(self, level: int, option: int, _: int) -> bytes:
            assert (level, option) == (socket.SOL_SOCKET, socket.SO_PEERCRED)
            return jobserver_client._CREDENTIALS.pack(1, peer, 0)

    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert jobserver_client._is_trusted(cast("Any", Connection())) is is_trusted
    assert patience == [None if peer in (0, uid) else 2.0]


def test_a_server_that_has_gone(server: Server, client: Client) -> None:
    assert client.try_acquire() is None
    server.close()
    with pytest.raises(JobserverError, match=r"^read fifo:.*: Broken pipe$"):
        client.try_acquire()
    with pytest.raises(JobserverError, match=r"^write fifo:.*: Broken pipe$"):
        client.release(b"+")
    assert client.status() is None
    assert client.count_free() is None
    assert not client.claim_implicit()


def test_a_child_that_was_forked_has_a_connection_of_its_own(
    server: Server, client: Client
) -> None:
    server.tokens = 2
    assert client.try_acquire() == b"+"
    pid = os.fork()
    if pid == 0:
        has_acquired = client.try_acquire() == b"+"
        client.close()
        os._exit(not has_acquired)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert server.asked() == ["0:HELLO", "0:ACQUIRE", "1:HELLO", "1:ACQUIRE"]


def has_ended(connection: socket.socket, timeout_s: float = 0) -> bool:
    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    return bool(poll.poll(timeout_s * 1000))


@pytest.fixture
def gate() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for fd in ends:
        os.close(fd)


def is_killed_with(server: Server, start_job: Callable[[Client], object]) -> None:
    """A process that leaves a job behind."""
    pid = os.fork()
    if pid == 0:
        client = Client.open(Named(str(server.fifo)))
        client.try_acquire()
        start_job(client)
        os._exit(0)
    os.waitpid(pid, 0)


def test_an_account_lives_as_long_as_a_child_of_its_process(
    server: Server, gate: tuple[int, int]
) -> None:
    def start_job(_: Client) -> None:
        if os.fork() == 0:
            os.read(gate[0], 1)

    is_killed_with(server, start_job)
    assert not has_ended(server.connections[0])
    os.write(gate[1], b"+")
    assert has_ended(server.connections[0], 20)


@pytest.mark.parametrize("holds", [False, True])
def test_and_of_a_program_that_inherits_it(
    server: Server, gate: tuple[int, int], holds: bool
) -> None:
    def start_job(client: Client) -> None:
        if holds:
            client.hold_while_jobs_run()
        subprocess.Popen(["head", "-c", "1"], stdin=gate[0], close_fds=False)

    is_killed_with(server, start_job)
    assert has_ended(server.connections[0]) is not holds
    os.write(gate[1], b"\n")
    assert has_ended(server.connections[0], 20)


def test_who_closes_it_holds_nothing_whatever_runs_on(
    server: Server, gate: tuple[int, int]
) -> None:
    client = Client.open(Named(str(server.fifo)))
    client.hold_while_jobs_run()
    with subprocess.Popen(["head", "-c", "1"], stdin=gate[0], close_fds=False):
        client.close()
        assert has_ended(server.connections[0])
        os.write(gate[1], b"\n")


class Interrupted(Exception):
    pass


def interrupt(*_: object) -> None:
    raise Interrupted


@pytest.mark.parametrize("ask", [Client.try_acquire, Client.status, Client.claim_implicit])
def test_an_interrupt_leaves_no_answer_behind(server: Server, client: Client, ask: Any) -> None:  # noqa: ANN401
    server.tokens = 1
    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        server.interrupts = True
        with pytest.raises(Interrupted):
            ask(client)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert client.claim_implicit() is False
    assert client.count_free() == 1
    assert client.try_acquire() == b"+"
