# SPDX-License-Identifier: GPL-2.0-or-later
"""An implicit slot that is paid for late: with a client that says what it is told."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Iterator
from typing import Any, cast

import pytest
from pytest_jobwrap._claim import Claim, ClaimThread
from pytest_jobwrap._client import Client


class FakeClient:
    """Urgent data at a socket is POLLPRI, by which steved tells of a claim."""

    name = "fake"

    def __init__(self) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        self.own = socket.create_connection(listener.getsockname())
        self.server, _ = listener.accept()
        listener.close()
        self.is_paid = False
        self.asked = 0

    def fileno(self) -> int:
        return self.own.fileno()

    def claim_implicit(self) -> bool:
        self.asked += 1
        return self.is_paid

    def claim_event(self) -> tuple[int, int]:
        return self.fileno(), select.POLLPRI

    def tell(self, is_paid: bool) -> None:
        self.is_paid = is_paid
        self.server.send(b"!", socket.MSG_OOB)

    def close(self) -> None:
        self.own.close()
        self.server.close()


@pytest.fixture
def client() -> Iterator[FakeClient]:
    fake = FakeClient()
    yield fake
    fake.close()


def as_client(client: FakeClient) -> Client:
    return cast("Client", cast("Any", client))


def test_a_claim_is_asked_for_until_it_has_come(client: FakeClient) -> None:
    claim = Claim(as_client(client))
    assert not claim.take()
    client.is_paid = True
    assert claim.take()
    assert claim.take()
    assert client.asked == 2
    assert not claim.give_back()
    assert not claim.others_may_wait()


def test_the_thread_tells_once_when_it_has_come(client: FakeClient) -> None:
    come = threading.Event()
    thread = ClaimThread(as_client(client), come.set)
    client.tell(is_paid=True)
    assert come.wait(20)
    thread.close()


def test_the_thread_tells_at_once_where_it_has_come_before(client: FakeClient) -> None:
    come = threading.Event()
    client.is_paid = True
    thread = ClaimThread(as_client(client), come.set)
    assert come.wait(20)
    thread.close()
    assert client.asked == 1


def test_the_thread_ends_with_the_run(client: FakeClient) -> None:
    before = len(os.listdir("/proc/self/fd"))
    come = threading.Event()
    thread = ClaimThread(as_client(client), come.set)
    thread.close()
    assert not come.is_set()
    assert not thread.thread.is_alive()
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_thread_ends_with_the_server(client: FakeClient) -> None:
    come = threading.Event()
    thread = ClaimThread(as_client(client), come.set)
    client.own.shutdown(socket.SHUT_RDWR)  # POLLHUP
    thread.thread.join(20)
    assert not thread.thread.is_alive()
    assert not come.is_set()
    thread.close()
