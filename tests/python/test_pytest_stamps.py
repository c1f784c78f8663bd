# SPDX-License-Identifier: GPL-2.0-or-later
"""What the summary of a run adds up, from the stamps of its processes."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import pytest
from pytest_jobwrap._stamps import GIVEN_BACK, RECORD, SLOT, TOKEN, Stamps, Totals, add_up

S = 1_000_000_000

AddUp = Callable[..., Totals]


@pytest.fixture
def written(tmp_path: Path) -> AddUp:
    """Adds up what processes have noted: of each, when, after how long, what."""

    def add(*processes: list[tuple[int, int, int]], torn: bytes = b"") -> Totals:
        paths = [tmp_path / f"{number}" for number in range(len(processes))]
        for path, records in zip(paths, processes):
            path.write_bytes(b"".join(RECORD.pack(*record) for record in records) + torn)
        return add_up([str(path) for path in paths])

    return add


def test_nobody_has_run(written: AddUp) -> None:
    assert written() == (0, 0, 0)
    assert written([], []) == (0, 0, 0)


def test_the_slot_is_no_token_but_counts_as_running(written: AddUp) -> None:
    on_the_slot = [(1, 0, SLOT), (4, 0, GIVEN_BACK)]
    assert written(on_the_slot, [(2, 0, TOKEN), (3, 0, GIVEN_BACK)]) == (1, 0, 2)


def test_waits_are_added_in_seconds(written: AddUp) -> None:
    totals = written([(5 * S, 2 * S, TOKEN)], [(9 * S, S // 2, SLOT)])
    assert totals.waited_s == 2.5


def test_one_after_the_other_is_one_at_once(written: AddUp) -> None:
    first = [(1, 0, TOKEN), (2, 0, GIVEN_BACK), (4, 0, TOKEN), (5, 0, GIVEN_BACK)]
    # The one that is given back at 2 is taken at 2.
    second = [(2, 0, TOKEN), (3, 0, GIVEN_BACK)]
    assert written(first, second) == (3, 0, 1)
    assert written(second, first) == (3, 0, 1)


def test_a_token_changed_for_the_slot_is_one_job(written: AddUp) -> None:
    assert written([(1, 0, TOKEN), (2, 0, SLOT), (3, 0, GIVEN_BACK)]) == (1, 0, 1)


def test_who_ended_without_a_note_held_it_to_the_end(written: AddUp) -> None:
    assert written([(1, 0, TOKEN)], [(2, 0, TOKEN), (3, 0, GIVEN_BACK)]).highest == 2


def test_a_torn_record_is_passed_over(written: AddUp) -> None:
    assert written([(1, 0, TOKEN)], torn=b"x" * (RECORD.size - 1)) == (1, 0, 1)


def test_what_is_noted_is_added_up(tmp_path: Path) -> None:
    path = tmp_path / "stamps"
    path.touch()
    stamps = Stamps(str(path))
    stamps.note(TOKEN, waited_ns=3 * S)
    stamps.note(GIVEN_BACK)
    stamps.close()
    stamps.close()
    assert add_up([str(path)]) == (1, 3.0, 1)


def test_what_cannot_be_written_is_missing() -> None:
    stamps = Stamps("/dev/full")
    stamps.note(TOKEN)
    stamps.close()
