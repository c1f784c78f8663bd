# SPDX-License-Identifier: GPL-2.0-or-later
"""jobserver_client against the same cases as libjobserver's auth.c, and on FIFOs and pipes."""

from __future__ import annotations

import os
import pty
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import jobserver_client
import pytest
from jobserver_client import (
    Client,
    JobserverError,
    Kind,
    Named,
    PauseNotice,
    find,
    implicit_is_paid,
    jobs_in_makeflags,
    parse_makeflags,
)

ROOT = Path(__file__).parents[2]


def table(name: str) -> list[Any]:
    """A table of tests/unit/test_auth.c: its strings and calls mean the same in Python."""
    source = (ROOT / "tests/unit/test_auth.c").read_text(encoding="utf-8")
    body = source.split(f"{name}[] = {{", 1)[1].split("\n};", 1)[0]
    token = re.compile(r'"(?:\\.|[^"\\])*"|/\*.*?\*/|X10|[{}]', re.DOTALL)
    replacements = {"{": "(", "}": ")", "X10": '"xxxxxxxxxx"'}

    def translate(match: re.Match[str]) -> str:
        text = match.group()
        return "" if text.startswith("/*") else replacements.get(text, text)

    names = {
        "NULL": None,
        "NONE": None,
        "FIFO": lambda path: Named(text_of(path), from_environment=True),
        "PIPE": lambda r, w: Named(None, r, w, True),
        "CLOSED": lambda r, w: Named(None, r, w, True),
        "INT_MAX": 2**31 - 1,
        "INT_MIN": -(2**31),
    }
    cases: list[Any] = eval(f"[{token.sub(translate, body)}]", names)
    return cases


def text_of(c_string: str | None) -> str:
    """As os.environ gives it: the bytes of the C string, decoded."""
    return os.fsdecode((c_string or "").encode("latin-1"))


PARSE_CASES = table("parse_cases")
BAD_CASES = table("bad_cases")
JOBS_CASES = table("jobs_cases")


def test_the_tables_are_read() -> None:
    assert len(PARSE_CASES) > 60
    assert len(BAD_CASES) > 20
    assert len(JOBS_CASES) > 20


@pytest.mark.parametrize(("flags", "jobs"), JOBS_CASES)
def test_jobs(flags: str | None, jobs: int) -> None:
    assert jobs_in_makeflags(text_of(flags)) == jobs


@pytest.mark.parametrize(
    ("makeflags", "wrapper_jobs", "total"),
    [
        ("", "", 0),
        (" -j4 --jobserver-auth=fifo:named", "7", 4),
        ("", "7", 7),
        ("-j --jobserver-auth=3,4", "7", 7),
        ("-j99999", "7", 7),
        ("-j65536", "", 65536),
        ("", "65537", 0),
        ("", "-1", 0),
        ("", "many", 0),
    ],
)
def test_total(tmp_path: Path, makeflags: str, wrapper_jobs: str, total: int) -> None:
    os.mkfifo(tmp_path / "fifo")
    client = Client.open(Named(str(tmp_path / "fifo")))
    assert client.total_jobs({"MAKEFLAGS": makeflags, "JOBWRAP_JOBS": wrapper_jobs}) == total
    client.close()


@pytest.mark.parametrize(("flags", "expected"), PARSE_CASES)
def test_parse(flags: str | None, expected: Named | None) -> None:
    assert parse_makeflags(text_of(flags)) == expected


@pytest.mark.parametrize(("flags", "quoted"), BAD_CASES)
def test_parse_errors(flags: str, quoted: str) -> None:
    with pytest.raises(JobserverError) as caught:
        parse_makeflags(text_of(flags))
    assert str(caught.value) == f"{text_of(quoted)}: not R,W and not fifo:PATH"


@pytest.mark.parametrize("path", ["/a", "/a b", "/a\tb\\c", "/a$b", "3,4", "/\udcff"])
def test_what_is_written_is_read(path: str) -> None:
    option = jobserver_client.format_auth(Named(path))
    assert parse_makeflags(f"k -j4 {option}") == Named(path, from_environment=True)


def test_named_by_the_user() -> None:
    assert jobserver_client.parse_named("fifo:/a") == Named("/a")
    assert jobserver_client.parse_named("/a") == Named("/a")
    assert jobserver_client.parse_named("3,4") == Named(None, 3, 4)
    assert jobserver_client.parse_named("3,4x") == Named("3,4x")


# --- finding ---


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for fd in ends:
        os.close(fd)


def test_find_in_order() -> None:
    environ = {
        "MAKEFLAGS": " -j4 --jobserver-auth=fifo:/make",
        "CARGO_MAKEFLAGS": "--jobserver-auth=fifo:/cargo",
        "JOBWRAP_FIFO": "/wrapper",
    }
    assert find(environ, "/explicit") == Named("/explicit")
    assert find(environ) == Named("/make", from_environment=True)
    environ["MAKEFLAGS"] = "k"
    assert find(environ) == Named("/cargo", from_environment=True)
    del environ["CARGO_MAKEFLAGS"]
    assert find(environ) == Named("/wrapper", from_environment=True)
    assert find({}) is None


def test_descriptors_are_believed_if_they_are_one_pipe(pipe: tuple[int, int]) -> None:
    flags = {"MAKEFLAGS": f" -j3 --jobserver-auth={pipe[0]},{pipe[1]}"}
    assert find(flags) == Named(None, *pipe, from_environment=True)
    assert find({**flags, "JOBWRAP_FIFO": "/w"}) == Named(None, *pipe, from_environment=True)


def test_descriptors_of_something_else(pipe: tuple[int, int]) -> None:
    with tempfile.TemporaryFile() as file:
        bad = [(pipe[0], file.fileno()), (pipe[1], pipe[0]), (pipe[0], 9999), (9999, 9998)]
        for ends in bad:
            flags = {"MAKEFLAGS": " -j3 --jobserver-auth={},{}".format(*ends)}
            with pytest.raises(JobserverError, match=f"open {ends[0]},{ends[1]}: not "):
                find(flags)
            assert find({**flags, "JOBWRAP_FIFO": "/w"}) == Named("/w", from_environment=True)


def test_withheld() -> None:
    flags = {"MAKEFLAGS": " -j4 --jobserver-auth=3,4 --jobserver-auth=-2,-2"}
    with pytest.raises(JobserverError, match="did not pass on the jobserver in MAKEFLAGS"):
        find(flags)
    assert find({**flags, "JOBWRAP_FIFO": "/w"}) == Named("/w", from_environment=True)


# --- a client ---


def fill(client: Client, tokens: bytes) -> None:
    os.write(client.fileno(), tokens)


def test_a_fifo(fifo: Path) -> None:
    client = Client.open(Named(str(fifo)))
    assert client.kind is jobserver_client.FIFO
    assert client.name == f"fifo:{fifo}"
    assert not os.get_inheritable(client.fileno())
    assert client.try_acquire() is None
    fill(client, b"+x")
    assert client.count_free() == 2
    assert [client.try_acquire() for _ in range(3)] == [b"+", b"x", None]
    client.release(b"x")
    assert client.try_acquire() == b"x"
    assert client.wanted() is None
    assert client.status() is None
    client.close()
    client.close()


def test_inherited_descriptors_keep_their_flags(pipe: tuple[int, int]) -> None:
    os.write(pipe[1], b"+")
    client = Client.open(Named(None, *pipe))
    assert client.try_acquire() == b"+"
    assert client.try_acquire() is None
    client.release(b"+")
    assert os.get_blocking(pipe[0])
    client.close()
    assert os.read(pipe[0], 1) == b"+"


@pytest.mark.parametrize("own_splice", [True, False])
def test_descriptors_that_cannot_be_reopened(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch, own_splice: bool
) -> None:
    """Another user's pipe. Root can reopen it, so open() is made to refuse."""
    if not own_splice:
        monkeypatch.delattr(os, "splice", raising=False)
    with monkeypatch.context() as patch:

        def refuse(*_: object) -> int:
            raise PermissionError(13, "Permission denied")

        patch.setattr(os, "open", refuse)
        client = Client.open(Named(None, *pipe))
    os.write(pipe[1], b"xy")
    assert [client.try_acquire() for _ in range(3)] == [b"x", b"y", None]
    client.release(b"y")
    assert os.get_blocking(pipe[0])
    assert os.read(pipe[0], 1) == b"y"
    client.close()


def test_a_full_fifo_does_not_hang(fifo: Path) -> None:
    client = Client.open(Named(str(fifo)))
    with pytest.raises(BlockingIOError):
        while True:
            fill(client, bytes(4096))
    with pytest.raises(JobserverError, match=f"write fifo:{fifo}: Resource temporarily"):
        client.release(b"+")
    client.close()


@pytest.mark.parametrize("silent", [True, False])
def test_a_token_is_moved_in_one_step(
    fifo: Path, pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch, silent: bool
) -> None:
    monkeypatch.setattr(jobserver_client, "_SPLICE_IS_SILENT", silent)
    client = Client.open(Named(str(fifo)))
    assert not client.splice_to(pipe[1])
    assert not client.splice_from(pipe[0])
    fill(client, b"x")
    assert client.splice_to(pipe[1])
    assert client.count_free() == 0
    assert client.splice_from(pipe[0])
    assert not client.splice_from(pipe[0])
    assert client.try_acquire() == b"x"
    client.close()


def test_many_tokens_moved_back_leave_room_to_write(fifo: Path, pipe: tuple[int, int]) -> None:
    client = Client.open(Named(str(fifo)))
    for _ in range(100):
        os.write(pipe[1], b"x")
        assert client.splice_from(pipe[0])
        fill(client, b"+")
        assert client.try_acquire() is not None
    assert client.count_free() == 100
    client.close()


def test_moved_back_where_a_fifo_cannot_grow(
    fifo: Path, pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Client, "_ensure_slots", lambda _: False)
    client = Client.open(Named(str(fifo)))
    assert not client.splice_from(pipe[0])
    os.write(pipe[1], b"x")
    assert client.splice_from(pipe[0])
    assert client.try_acquire() == b"x"
    client.close()


def test_what_is_no_jobserver(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    controller, terminal = pty.openpty()
    refused = {
        str(tmp_path): "a directory, not a jobserver",
        str(file): "a regular file, not a jobserver",
        "/dev/null": "a terminal or memory device, not a jobserver",
        os.ttyname(terminal): "a terminal or memory device, not a jobserver",
        str(tmp_path / "none"): "No such file or directory",
    }
    for path, reason in refused.items():
        with pytest.raises(JobserverError) as caught:
            Client.open(Named(path))
        assert str(caught.value) == f"open fifo:{path}: {reason}"
    os.close(controller)
    os.close(terminal)


def test_implicit(fifo: Path) -> None:
    client = Client.open(Named(str(fifo)))
    assert implicit_is_paid(client, "auto", from_environment=True)
    assert not implicit_is_paid(client, "auto", from_environment=False)
    assert implicit_is_paid(client, "inherit", from_environment=False)
    assert not implicit_is_paid(client, "acquire", from_environment=True)
    with pytest.raises(ValueError, match="'maybe' is not auto, inherit or acquire"):
        implicit_is_paid(client, "maybe", from_environment=True)
    client.close()


# --- a build that is paused ---


class PausingClient:
    name = "it"
    kind = Kind.SERVER

    def __init__(self) -> None:
        self.paused = False
        self.asked = 0

    def is_paused(self) -> bool:
        self.asked += 1
        return self.paused


class Waiting:
    """Processes of one build, and a clock that stands."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.client = PausingClient()
        self.said: list[str] = []
        self.now = 100.0
        monkeypatch.setattr("time.monotonic", lambda: self.now)

    def process(self, lock_fd: int = -1) -> PauseNotice:
        notice = PauseNotice(cast("Client", cast("Any", self.client)), self.said.append, lock_fd)
        notice.begin()
        return notice

    def look(self, *notices: PauseNotice) -> int:
        """As soon as it is due: how often it has been said by then."""
        self.now += max(notice.left_s() or 0 for notice in notices)
        for notice in notices:
            notice.look()
        return len(self.said)


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> Waiting:
    return Waiting(monkeypatch)


def test_a_pause_is_told_once_and_the_next_one_again(waiting: Waiting) -> None:
    notice = waiting.process()
    assert waiting.look(notice) == 0
    waiting.client.paused = True
    assert [waiting.look(notice) for _ in range(3)] == [1, 1, 1]
    assert waiting.said[0] == (
        "waiting for a token from it, which grants none because this build is paused"
        " (see stevectl continue)"
    )
    waiting.client.paused = False
    assert waiting.look(notice) == 1
    waiting.client.paused = True
    assert waiting.look(notice) == 2


def test_a_pause_that_begins_after_a_token_is_another_one(waiting: Waiting) -> None:
    notice = waiting.process()
    waiting.client.paused = True
    assert waiting.look(notice) == 1
    # What came was the implicit slot.
    notice.end()
    notice.begin()
    assert waiting.look(notice) == 1
    waiting.client.paused = False
    notice.end()
    waiting.client.paused = True
    notice.begin()
    assert waiting.look(notice) == 2


def test_of_a_short_wait_nothing_is_asked(waiting: Waiting) -> None:
    notice = waiting.process()
    waiting.client.paused = True
    waiting.now += 0.9
    notice.look()
    notice.end()
    assert (waiting.client.asked, waiting.said) == (0, [])


def test_of_several_processes_one_tells(waiting: Waiting, fifo: Path) -> None:
    fds = [os.open(fifo, os.O_RDWR) for _ in range(2)]
    first, second = (waiting.process(fd) for fd in fds)
    waiting.client.paused = True
    assert [waiting.look(first, second) for _ in range(2)] == [1, 1]
    waiting.client.paused = False
    first.end()
    assert waiting.look(second) == 1
    waiting.client.paused = True
    # The first does not wait any more.
    assert [waiting.look(second) for _ in range(2)] == [2, 2]
    for fd in fds:
        os.close(fd)


def test_only_a_server_pauses(waiting: Waiting) -> None:
    waiting.client.kind = Kind.FIFO
    assert waiting.process().left_s() is None
