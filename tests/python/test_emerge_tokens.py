# SPDX-License-Identifier: GPL-2.0-or-later
"""The tokens of an emerge at a server that keeps accounts."""

from __future__ import annotations

from typing import Any, cast

from emerge_tokens import IMPLICIT, Tokens
from jobserver_client import Client, Kind


class FakeClient:
    kind = Kind.SERVER

    def __init__(self, tokens: int) -> None:
        self.free = tokens
        self.is_paid = False
        self.asked = 0
        self.paid = 0

    def pay_implicit(self) -> None:
        self.paid += 1

    def claim_implicit(self) -> bool:
        self.asked += 1
        return self.is_paid or self.paid > 0

    def try_acquire(self) -> bytes | None:
        if self.free == 0:
            return None
        self.free -= 1
        return b"+"

    def release(self, token: bytes) -> None:
        assert token == b"+"
        self.free += 1


def tokens_of(client: FakeClient, has_implicit: bool, may_come: bool) -> Tokens:
    return Tokens(cast("Client", cast("Any", client)), has_implicit, may_come)


def test_the_slot_may_come_late() -> None:
    client = FakeClient(1)
    tokens = tokens_of(client, has_implicit=False, may_come=True)
    assert tokens.take() == b"+"
    assert tokens.take() is None
    client.is_paid = True
    assert tokens.take() == IMPLICIT
    assert tokens.take() is None
    tokens.give(IMPLICIT)
    assert tokens.take() == IMPLICIT
    assert client.asked == 3
    assert client.paid == 0


def test_a_slot_that_is_paid_for_is_not_asked_for() -> None:
    client = FakeClient(0)
    client.is_paid = True
    tokens = tokens_of(client, has_implicit=True, may_come=True)
    assert tokens.take() == IMPLICIT
    assert tokens.take() is None
    assert client.asked == 0


def test_a_slot_that_cannot_come_is_not_asked_for() -> None:
    client = FakeClient(0)
    client.is_paid = True
    assert tokens_of(client, has_implicit=False, may_come=False).take() is None
    assert client.asked == 0


def test_the_first_of_those_held_is_the_slot_if_nothing_else_can_be() -> None:
    client = FakeClient(2)
    tokens = tokens_of(client, has_implicit=False, may_come=False)
    assert [tokens.take(), tokens.take()] == [b"+", b"+"]
    assert client.paid == 1
    tokens.give(b"+")
    tokens.give(b"+")
    assert tokens.take() == b"+"
    assert client.paid == 2
    client = FakeClient(1)
    tokens = tokens_of(client, has_implicit=True, may_come=False)
    assert [tokens.take(), tokens.take()] == [IMPLICIT, b"+"]
    assert client.paid == 0
