# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests that prove when they ran; so does the collection of their module. A run has this file under
several names, test_NAME.py. In the environment:

TESTS        how many are in each (25)
JOB_SECONDS  how long each takes (0.01)
COLLECT_SECONDS   and how long the collection of each file takes (0)
MEET         the first of each file waits until so many have run at once (1)
FAIL, KILL, HANG  NAME.NUMBER ...: these fail; kill their process; wait for the file `go`
"""

from __future__ import annotations

import os
import signal
import time

import pytest
from stamps import LOG, wait_until

NAME = __name__.partition("_")[2]


def setting(name: str, default: float) -> float:
    return float(os.environ.get(name) or default)


def is_among(name: str, number: int) -> bool:
    return f"{NAME}.{number}" in os.environ.get(name, "").split()


with LOG.stamped(f"collect.{NAME}"):
    time.sleep(setting("COLLECT_SECONDS", 0))


def numbered(number: int) -> object:
    return pytest.param(number, marks=pytest.mark.xdist_group(f"group{number % 16}"))


@pytest.mark.parametrize("number", [numbered(n) for n in range(int(setting("TESTS", 25)))])
def test_stamped(number: int) -> None:
    with LOG.stamped(f"test.{NAME}.{number}"):
        if number == 0:
            LOG.meet(int(setting("MEET", 1)))
        time.sleep(setting("JOB_SECONDS", 0.01))
        if is_among("HANG", number):
            wait_until(lambda: os.path.exists("go"), "go")
        if is_among("KILL", number):
            os.kill(os.getpid(), signal.SIGKILL)
        assert not is_among("FAIL", number)
