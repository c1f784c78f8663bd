# SPDX-License-Identifier: GPL-2.0-or-later
"""emerge_keeper.py PIDFD LEDGER FIFO: waits until emerge has died, whose pidfd the first is, and
puts the tokens that it had noted in the second, a pipe, back into the third. emerge ends us itself
when all of them have been returned. Only for a plain FIFO, where nobody else keeps account."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15


def main() -> None:
    # Somebody may have stopped us when emerge dies.
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGCONT))
    libc.prctl(PR_SET_NAME, b"emerge-keeper")
    pidfd, ledger, fifo = (int(number) for number in sys.argv[1:])
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.poll()
    try:
        while token := os.read(ledger, 1):
            os.write(fifo, token)
    except BlockingIOError:
        pass


if __name__ == "__main__":
    main()
