# SPDX-License-Identifier: GPL-2.0-or-later
"""On what a process runs its tests, and for how long: with sources that say what they are told."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_jobwrap._client import JobserverError
from pytest_jobwrap._holder import Holder
from pytest_jobwrap._stamps import GIVEN_BACK, RECORD, SLOT, TOKEN, Stamps


class FakeSource:
    def __init__(self, name: str, tokens: int = 0) -> None:
        self.name = name
        self.free = tokens
        self.taken = 0
        self.is_wanted = False
        self.has_gone = False
        self.is_closed = False
        self.ends = os.pipe()
        os.write(self.ends[1], b"+")

    def fileno(self) -> int:
        """Always readable: who waits tries again."""
        self.free += 1
        return self.ends[0]

    def take(self) -> bool:
        if self.has_gone:
            raise JobserverError(f"read {self.name}: it has gone")
        if self.free == 0:
            return False
        self.free -= 1
        self.taken += 1
        return True

    def give_back(self) -> bool:
        if self.has_gone:
            raise JobserverError(f"write {self.name}: it has gone")
        if self.taken == 0:
            return False
        self.taken -= 1
        self.free += 1
        return True

    def others_may_wait(self) -> bool:
        return self.is_wanted

    def close(self) -> None:
        self.is_closed = True


class Fixture:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.path.touch()
        self.slot = FakeSource("slot", 1)
        self.jobserver = FakeSource("jobserver", 1)
        self.holder = Holder(self.slot, self.jobserver, Stamps(str(path)))

    def noted(self) -> list[int]:
        return [what for _, _, what in RECORD.iter_unpack(self.path.read_bytes())]

    def taken(self) -> tuple[int, int]:
        return self.slot.taken, self.jobserver.taken

    def is_impatient(self) -> None:
        self.holder.look_again_at = 0.0


@pytest.fixture
def f(tmp_path: Path) -> Iterator[Fixture]:
    fixture = Fixture(tmp_path / "stamps")
    yield fixture
    for source in (fixture.slot, fixture.jobserver):
        for fd in source.ends:
            os.close(fd)


def test_the_slot_comes_first(f: Fixture) -> None:
    f.holder.hold()
    assert f.taken() == (1, 0)
    f.holder.release()
    assert f.taken() == (0, 0)
    assert f.noted() == [SLOT, GIVEN_BACK]


def test_a_token_where_the_slot_is_taken(f: Fixture) -> None:
    f.slot.free = 0
    f.holder.hold()
    assert f.taken() == (0, 1)
    assert f.noted() == [TOKEN]


def test_waits_for_either_and_notes_how_long(f: Fixture) -> None:
    f.slot.free = f.jobserver.free = 0
    f.holder.hold()
    assert sum(f.taken()) == 1
    ((_, waited_ns, _),) = RECORD.iter_unpack(f.path.read_bytes())
    assert waited_ns > 0


def test_a_claim_becomes_the_slot(f: Fixture) -> None:
    claim = FakeSource("claim")
    holder = Holder(None, f.jobserver, f.holder.stamps, claim)
    holder.hold()
    assert f.taken() == (0, 1)
    holder.release()
    claim.free, f.jobserver.free = 1, 0
    holder.hold()
    assert claim.taken == 1
    assert holder.held is holder.slot is claim
    f.jobserver.is_wanted = True
    f.is_impatient()
    holder.hold()
    assert f.noted() == [TOKEN, GIVEN_BACK, SLOT]
    holder.close()
    assert claim.is_closed


def test_a_claim_is_not_asked_for_while_a_token_is_held(f: Fixture) -> None:
    claim = FakeSource("claim")
    holder = Holder(None, f.jobserver, f.holder.stamps, claim)
    holder.hold()
    claim.has_gone = True
    holder.look_again_at = 0.0
    holder.hold()
    assert holder.error is None
    assert f.taken() == (0, 1)


def test_without_a_jobserver_there_is_nothing_to_wait_for(f: Fixture) -> None:
    holder = Holder(None, None, f.holder.stamps)
    holder.hold()
    holder.release()
    assert f.noted() == []


def test_kept_from_one_test_to_the_next(f: Fixture) -> None:
    f.slot.free = 0
    f.jobserver.is_wanted = True
    for _ in range(3):
        f.holder.hold()
    assert f.noted() == [TOKEN]


def test_given_up_when_the_time_has_come_and_somebody_waits(f: Fixture) -> None:
    f.slot.free = 0
    f.holder.hold()
    f.is_impatient()
    f.holder.hold()
    assert f.noted() == [TOKEN]
    f.jobserver.is_wanted = True
    f.holder.hold()
    assert f.noted() == [TOKEN]  # it has just looked
    f.is_impatient()
    f.holder.hold()
    assert f.noted() == [TOKEN, GIVEN_BACK, TOKEN]
    assert f.taken() == (0, 1)


def test_the_slot_is_kept_whoever_waits(f: Fixture) -> None:
    f.holder.hold()
    f.is_impatient()
    f.jobserver.is_wanted = f.slot.is_wanted = True
    f.holder.hold()
    assert f.noted() == [SLOT]


def test_a_token_goes_back_for_a_slot_that_has_become_free(f: Fixture) -> None:
    f.slot.free = 0
    f.holder.hold()
    f.slot.free = 1
    f.is_impatient()
    f.holder.hold()
    assert f.taken() == (1, 0)
    assert f.noted() == [TOKEN, SLOT]


def test_what_cannot_wait_takes_one_only_if_it_is_free(f: Fixture) -> None:
    f.slot.free = f.jobserver.free = 0
    f.holder.hold_if_free()
    assert f.taken() == (0, 0)
    f.jobserver.free = 1
    f.holder.hold_if_free()
    f.holder.hold_if_free()
    assert f.taken() == (0, 1)


@pytest.mark.parametrize("operation", ["hold", "release", "hold_if_free", "close"])
def test_goes_on_by_itself_when_the_jobserver_has_gone(f: Fixture, operation: str) -> None:
    f.slot.free = 0
    if operation == "release":
        f.holder.hold()
    if operation == "close":
        f.jobserver.taken = 1
    f.jobserver.has_gone = True
    getattr(f.holder, operation)()
    assert f.holder.error is not None
    assert f.holder.error.endswith("jobserver: it has gone")
    f.holder.hold()
    assert f.holder.held is None


def test_a_child_that_was_forked_gives_nothing_back(f: Fixture, tmp_path: Path) -> None:
    f.holder.hold()
    pid = os.fork()
    if pid == 0:
        f.holder.release()
        f.holder.close()
        os._exit(f.slot.taken)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    assert f.noted() == [SLOT]


def test_close_gives_back_what_was_never_noted(f: Fixture) -> None:
    f.jobserver.taken = 2
    f.holder.hold()
    f.holder.close()
    f.holder.close()
    assert f.taken() == (0, 0)
    assert f.slot.is_closed
    assert f.jobserver.is_closed
    assert f.noted() == [SLOT, GIVEN_BACK]


def test_who_was_woken_has_the_cpu_first(f: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr("time.sleep", lambda _: seen.append(f.taken()))
    f.slot.free = 0
    f.holder.hold()
    f.jobserver.is_wanted = True
    f.is_impatient()
    f.holder.hold()
    assert seen == [(0, 0)]
