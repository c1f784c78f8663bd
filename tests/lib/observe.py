# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests see of processes, jobs and tokens without taking part."""

from __future__ import annotations

import ctypes
import fcntl
import os
import stat
import struct
import termios
from dataclasses import dataclass

PR_SET_CHILD_SUBREAPER = 36
# In the environment of each process of a build, whatever becomes of its parents.
BUILD_NUMBER = "TESTED_BUILD"
# stamp.c: a living job holds a lock on one of these bytes of its log. struct flock of a 64-bit
# system, or of a 32-bit one with 64-bit offsets.
SLOTS = 256
FIRST_SLOT = 1 << 40
FLOCK = "hhqqi4x"
F_OFD_GETLK = 36
# protocol.h: STEVED_IOC_STATUS, of struct steved_status the fourth number.
STATUS_SIZE = 12 * 4 + 6 * 8 + 8 * 8
STEVED_IOC_STATUS = (2 << 30) | (STATUS_SIZE << 16) | (ord("J") << 8) | 0x50


def become_subreaper() -> None:
    """Whatever our children leave behind becomes a child of ours."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_CHILD_SUBREAPER")


@dataclass
class Process:
    pid: int
    parent: int
    name: str
    state: str  # as in /proc: R, S, T, Z...
    build: int | None = None  # whose it is, by BUILD_NUMBER, if it was asked for


def read_process(pid: int) -> Process | None:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return Process(pid, int(fields[1]), text[text.index("(") + 1 : text.rindex(")")], fields[0])


def read_build(pid: int) -> int | None:
    """The number of the build that a process belongs to."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            words = file.read().split(b"\0")
    except OSError:
        return None
    mark = f"{BUILD_NUMBER}=".encode()
    return next((int(word[len(mark) :]) for word in words if word.startswith(mark)), None)


def living_below(ancestor: int) -> dict[int, Process]:
    processes = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (process := read_process(int(entry))):
            processes[process.pid] = process
    found: dict[int, Process] = {}
    generation = {ancestor}
    while generation:
        generation = {pid for pid, p in processes.items() if p.parent in generation}
        found |= {pid: processes[pid] for pid in generation if processes[pid].state not in "ZX"}
    return found


def descendants(ancestor: int) -> dict[int, tuple[int, str]]:
    """The living ones: pid -> (parent, name)."""
    return {pid: (p.parent, p.name) for pid, p in living_below(ancestor).items()}


def count_free(server: int) -> int:
    """The tokens in a FIFO, in a pipe, or at steved."""
    if stat.S_ISFIFO(os.fstat(server).st_mode):
        return int(struct.unpack("i", fcntl.ioctl(server, termios.FIONREAD, bytes(4)))[0])
    answer = fcntl.ioctl(server, STEVED_IOC_STATUS, bytes(STATUS_SIZE))
    return int(struct.unpack_from("4I", answer)[3])


def lock_name(path: str | os.PathLike[str]) -> str:
    """What /proc/locks calls a file."""
    status = os.stat(path)
    return f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"


def read_living() -> dict[str, int]:
    """The living jobs of all logs, by their lock_name: many logs at one moment, or nearly so."""
    slots = set()
    with open("/proc/locks", encoding="ascii") as locks:
        for line in locks:
            words = line.split()
            # Behind them are the second locks of the same jobs.
            slot = int(words[-2]) - FIRST_SLOT if words[-2].isdigit() else -1
            if words[1] == "OFDLCK" and 0 <= slot < SLOTS:
                slots.add((words[-3], slot))
    living: dict[str, int] = {}
    for name, _ in slots:
        living[name] = living.get(name, 0) + 1
    return living


def count_living(log: int) -> int:
    """The jobs of this log, which must be open for reading and writing."""
    living = 0
    for slot in range(SLOTS):
        query = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, FIRST_SLOT + slot, 1, 0)
        answer = struct.unpack(FLOCK, fcntl.fcntl(log, F_OFD_GETLK, query))
        living += answer[0] != fcntl.F_UNLCK
    return living
