# SPDX-License-Identifier: GPL-2.0-or-later
"""Where tokens are taken from, on real FIFOs, by who may die and who survives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from types import FrameType

import pytest
from pytest_jobwrap._client import Client, JobserverError, Kind, Named
from pytest_jobwrap._nameless import NamelessFifo, NamelessFile
from pytest_jobwrap._source import Direct, Noted, open_source, wait_for_any


@pytest.fixture
def jobserver() -> Iterator[NamelessFifo]:
    fifo = NamelessFifo()
    yield fifo
    fifo.close()


@pytest.fixture
def ledger() -> Iterator[NamelessFifo]:
    fifo = NamelessFifo()
    yield fifo
    fifo.close()


def client_of(fifo: NamelessFifo) -> Client:
    return Client.open(Named(fifo.path))


def free(fifo: NamelessFifo) -> int | None:
    client = client_of(fifo)
    count = client.count_free()
    client.close()
    return count


@pytest.mark.parametrize("is_noted", [True, False])
def test_each_token_is_taken_once_and_given_back_once(
    jobserver: NamelessFifo, ledger: NamelessFifo, is_noted: bool
) -> None:
    client = client_of(jobserver)
    source = Noted(client, ledger.path) if is_noted else Direct(client)
    jobserver.put(b"++")
    assert [source.take() for _ in range(3)] == [True, True, False]
    assert free(jobserver) == 0
    assert [source.give_back() for _ in range(3)] == [True, True, False]
    assert free(jobserver) == 2
    source.close()


def test_either_side_of_a_ledger_may_give_back_but_once(
    jobserver: NamelessFifo, ledger: NamelessFifo
) -> None:
    worker, controller = (Noted(client_of(jobserver), ledger.path) for _ in range(2))
    jobserver.put(b"++")
    assert worker.take()
    assert worker.take()
    assert controller.give_back()
    assert worker.give_back()
    assert not controller.give_back()
    assert free(jobserver) == 2
    worker.close()
    controller.close()


def test_what_lies_in_a_ledger_outlives_the_process(
    jobserver: NamelessFifo, ledger: NamelessFifo
) -> None:
    jobserver.put(b"+")
    pid = os.fork()
    if pid == 0:
        Noted(client_of(jobserver), ledger.path).take()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert free(jobserver) == 0
    controller = Noted(client_of(jobserver), ledger.path)
    assert controller.give_back()
    assert free(jobserver) == 1
    controller.close()


def test_an_interrupt_falls_behind_the_note(
    jobserver: NamelessFifo, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Direct(client_of(jobserver))
    jobserver.put(b"+")
    take_a_byte = source.client.try_acquire

    def interrupted() -> bytes | None:
        token = take_a_byte()
        os.kill(os.getpid(), signal.SIGUSR1)
        return token

    def handler(_: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, handler)
    monkeypatch.setattr(source.client, "try_acquire", interrupted)
    try:
        with pytest.raises(KeyboardInterrupt):
            source.take()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert source.give_back()
    assert free(jobserver) == 1
    source.close()


def test_somebody_may_wait_where_no_token_lies(jobserver: NamelessFifo) -> None:
    source = Direct(client_of(jobserver))
    assert source.others_may_wait()
    jobserver.put(b"+")
    assert not source.others_may_wait()
    source.close()


def test_a_fifo_is_noted_and_no_other(jobserver: NamelessFifo, ledger: NamelessFifo) -> None:
    source = open_source(jobserver.path, ledger.path)
    assert isinstance(source, Noted)
    source.close()
    with pytest.raises(JobserverError, match="open /nowhere: No such file"):
        open_source(jobserver.path, "/nowhere")
    with pytest.raises(JobserverError, match="open fifo:/nowhere: No such file"):
        open_source("/nowhere", ledger.path)


def test_whichever_is_there_first_ends_the_wait(
    jobserver: NamelessFifo, ledger: NamelessFifo
) -> None:
    sources = [Direct(client_of(jobserver)), Direct(client_of(ledger))]
    wait_for_any([*sources], timeout_s=0)
    ledger.put(b"+")
    wait_for_any([*sources])
    for source in sources:
        source.close()


def test_one_that_has_gone_ends_the_wait() -> None:
    read_end, write_end = os.pipe()
    os.close(write_end)
    source = Direct(Client("it", Kind.FIFO, read_end, read_end))
    with pytest.raises(JobserverError, match="^poll it: it has gone$"):
        wait_for_any([source])
    source.close()


# --- what a run shares with its workers ---


def test_another_process_opens_what_has_no_name() -> None:
    fifo, file = NamelessFifo(), NamelessFile()
    script = "import sys; [open(path, 'wb', 0).write(b'+') for path in sys.argv[1:]]"
    subprocess.run([sys.executable, "-c", script, fifo.path, file.path], check=True)
    assert free(fifo) == 1
    with open(file.path, "rb") as again:
        assert again.read() == b"+"
    assert not os.get_inheritable(fifo.fd)
    assert not os.get_inheritable(file.fd)
    fifo.close()
    file.close()
    assert not os.path.exists(fifo.path)
    assert not os.path.exists(file.path)
