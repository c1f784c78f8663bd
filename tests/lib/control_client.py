#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""control_client.py STEVECTL

A client of the control socket beside $JOBWRAP_FIFO that breaks its rules: packets of every size and
of no known kind, tokens returned that were never acquired, many connections that are left at once,
any numbers about memory, and more looks at processes than anybody may have. Prints what the server
holds after all that.
"""

from __future__ import annotations

import errno
import os
import random
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "libjobserver/python"))

from jobserver_client import CONTROL_HEADER, Operation, connect_in, open_directory
from memory_packet import CONTROL_MEMORY, MEMORY_SIZE, TOLD


def connect() -> socket.socket:
    directory_fd = open_directory(os.environ["JOBWRAP_FIFO"])
    try:
        client = connect_in(directory_fd)
    finally:
        os.close(directory_fd)
    client.settimeout(60)
    return client


def question(operation: Operation) -> bytes:
    return CONTROL_HEADER.pack(operation, 0)


def send_nonsense(dice: random.Random) -> None:
    with connect() as client:
        try:
            for _ in range(dice.randrange(1, 6)):
                client.send(dice.randbytes(dice.randrange(1, 6000)))
        except (BrokenPipeError, ConnectionResetError):
            pass


def return_too_much() -> None:
    with connect() as client:
        for _ in range(100):
            client.send(question(Operation.RETURN))
        client.send(question(Operation.ACQUIRE))
        assert len(client.recv(6000)) == CONTROL_HEADER.size


def leave_at_once() -> None:
    clients = [connect() for _ in range(50)]
    for client in clients:
        client.send(question(Operation.ACQUIRE))
        client.close()


def greet(operations: int) -> int:
    """Who does not say how many it knows is not told either."""
    with connect() as client:
        client.send(question(Operation.HELLO) + struct.pack("=II16x", 1, operations))
        packet, fds, _, _ = socket.recv_fds(client, 6000, 1)
        for fd in fds:
            os.close(fd)
    answered: int = struct.unpack_from("=II", packet, CONTROL_HEADER.size)[1]
    return answered


def tell_anything(dice: random.Random) -> None:
    clients = [connect() for _ in range(20)]
    for _ in range(400):
        client = dice.choice(clients)
        told = struct.pack("=I", dice.randrange(2)) + dice.randbytes(TOLD - 4)
        wrong = dice.random() < 0.1
        answer = dice.randbytes(MEMORY_SIZE - TOLD) if wrong else bytes(MEMORY_SIZE - TOLD)
        client.send(CONTROL_HEADER.pack(CONTROL_MEMORY, 0) + told + answer)
        packet = client.recv(6000)
        assert len(packet) == CONTROL_HEADER.size + MEMORY_SIZE
        assert CONTROL_HEADER.unpack_from(packet)[1] == (-22 if wrong else 0)
    for client in clients:
        client.close()


def ask_until(client: socket.socket, operation: Operation, wanted: int, before: int) -> None:
    """Asks again as long as the result is `before`."""
    deadline = time.monotonic() + 60
    result = before
    while result != wanted:
        assert result == before
        assert time.monotonic() < deadline
        client.send(question(operation))
        result = CONTROL_HEADER.unpack_from(client.recv(6000))[1]


def ask_for_too_much() -> None:
    with connect() as client:
        ask_until(client, Operation.CLAIM_IMPLICIT, -errno.EAGAIN, before=0)
        # It has its tokens all the same.
        ask_until(client, Operation.ACQUIRE, 1, before=0)


def main() -> None:
    dice = random.Random(1)
    assert greet(0) == 0
    assert greet(1) > CONTROL_MEMORY
    tell_anything(dice)
    for _ in range(300):
        send_nonsense(dice)
    return_too_much()
    leave_at_once()
    ask_for_too_much()
    values = [
        subprocess.run(
            [sys.argv[1], "get", name], check=True, capture_output=True, text=True
        ).stdout.strip()
        for name in ("held", "jobs")
    ]
    print("held {} of {}".format(*values))


main()
