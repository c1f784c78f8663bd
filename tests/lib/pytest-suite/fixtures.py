# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures of each scope work too, before and after the tests, and each proves when."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from stamps import LOG


def work(name: str) -> Iterator[None]:
    with LOG.stamped(f"setup.{name}"):
        time.sleep(0.02)
    yield
    with LOG.stamped(f"teardown.{name}"):
        time.sleep(0.02)


@pytest.fixture(scope="session")
def of_session() -> Iterator[None]:
    yield from work("session")


@pytest.fixture(scope="module")
def of_module(of_session: None) -> Iterator[None]:
    yield from work("module")


@pytest.fixture(scope="class")
def of_class(of_module: None) -> Iterator[None]:
    yield from work("class")


@pytest.fixture(autouse=True)
def of_function(of_class: None) -> Iterator[None]:
    yield from work("function")


@pytest.mark.parametrize("number", range(8))
class TestFixtures:
    def test_fixtures(self, number: int) -> None:
        with LOG.stamped(f"test.{number}"):
            time.sleep(0.01)
