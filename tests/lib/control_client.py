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
import struct
import subprocess
import sys

HELLO, ACQUIRE, RETURN = 0, 2, 3


def connect() -> socket.socket:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client.settimeout(10)
    client.connect(os.path.join(os.path.dirname(os.environ["JOBWRAP_FIFO"]), "control"))
    return client


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
            client.send(struct.pack("=Ii", RETURN, 0))
        client.send(struct.pack("=Ii", ACQUIRE, 0))
        assert len(client.recv(6000)) == 8


def leave_at_once() -> None:
    clients = [connect() for _ in range(50)]
    for client in clients:
        client.send(struct.pack("=Ii", ACQUIRE, 0))
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
