#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""control_client.py STEVECTL

A client of the control socket beside $JOBWRAP_FIFO that breaks its rules: packets of every size and
of no known kind, tokens returned that were never acquired, many connections that are left at once.
Prints what the server holds after all that.
"""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "libjobserver/python"))

from jobserver_client import CONTROL_HEADER, Operation, connect_in, open_directory


def connect() -> socket.socket:
    directory_fd = open_directory(os.environ["JOBWRAP_FIFO"])
    try:
        client = connect_in(directory_fd)
    finally:
        os.close(directory_fd)
    client.settimeout(10)
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


def main() -> None:
    dice = random.Random(1)
    for _ in range(300):
        send_nonsense(dice)
    return_too_much()
    leave_at_once()
    values = [
        subprocess.run(
            [sys.argv[1], "get", name], check=True, capture_output=True, text=True
        ).stdout.strip()
        for name in ("held", "jobs")
    ]
    print("held {} of {}".format(*values))


main()
