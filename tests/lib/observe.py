# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests see of processes, jobs and tokens without taking part."""

from __future__ import annotations

import ctypes
import fcntl
import os
import stat
import struct
import termios

PR_SET_CHILD_SUBREAPER = 36
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


def descendants(ancestor: int) -> dict[int, tuple[int, str]]:
    """The living ones: pid -> (parent, name)."""
    processes = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as file:
                    text = file.read()
            except OSError:
                continue
            fields = text[text.rindex(")") + 2 :].split()
            name = text[text.index("(") + 1 : text.rindex(")")]
            processes[int(entry)] = (int(fields[1]), name, fields[0])
    found: dict[int, tuple[int, str]] = {}
    generation = {ancestor}
    while generation:
        generation = {pid for pid, (parent, _, _) in processes.items() if parent in generation}
        found |= {pid: processes[pid][:2] for pid in generation if processes[pid][2] not in "ZX"}
    return found


def count_free(server: int) -> int:
    """The tokens in a FIFO, in a pipe, or at steved."""
    if stat.S_ISFIFO(os.fstat(server).st_mode):
        return int(struct.unpack("i", fcntl.ioctl(server, termios.FIONREAD, bytes(4)))[0])
    answer = fcntl.ioctl(server, STEVED_IOC_STATUS, bytes(STATUS_SIZE))
    return int(struct.unpack_from("4I", answer)[3])


def count_living(log: int) -> int:
    """The jobs of this log, which must be open for reading and writing."""
    living = 0
    for slot in range(SLOTS):
        query = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, FIRST_SLOT + slot, 1, 0)
        answer = struct.unpack(FLOCK, fcntl.fcntl(log, F_OFD_GETLK, query))
        living += answer[0] != fcntl.F_UNLCK
    return living
