#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""memory_claims.py FILE

A party to the arbiter of memory at FILE, steved's or the FIFO of a jobwrap, that claims all there
is and a job that has run for ever, as often as is needed to be believed, until it is killed.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "libjobserver/python"))

from jobserver_client import CONTROL_HEADER, connect_in, open_directory
from memory_packet import CONTROL_MEMORY, MEMORY_SIZE, TOLD

IOC_MEMORY = (3 << 30) | (MEMORY_SIZE << 16) | (ord("J") << 8) | 0x58
MAX = 0xFFFFFFFF
INTERVAL_S = 1


def claims() -> bytes:
    """A job asks, none waits, and the largest numbers else."""
    return struct.pack("=IIII", 1, MAX, MAX, 0) + b"\xff" * (TOLD - 16) + bytes(MEMORY_SIZE - TOLD)


def main() -> None:
    is_jobwrap = Path(sys.argv[1]).with_name("control").exists()
    if is_jobwrap:
        client = connect_in(open_directory(sys.argv[1]))
    else:
        fd = os.open(sys.argv[1], os.O_RDWR | os.O_NONBLOCK)
    while True:
        if is_jobwrap:
            client.send(CONTROL_HEADER.pack(CONTROL_MEMORY, 0) + claims())
            assert CONTROL_HEADER.unpack_from(client.recv(4096))[1] == 0
        else:
            fcntl.ioctl(fd, IOC_MEMORY, claims())
        time.sleep(INTERVAL_S)


main()
