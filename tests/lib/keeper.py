#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""keeper.py PROGRAM [ARGUMENT...]

Run a steved as systemd would do with Restart=on-failure and a descriptor store: listens at a
socket that NOTIFY_SOCKET names, keeps what is sent there with FDSTORE=1, and hands it to the next
server by LISTEN_FDS. A server that ends is started again, unless five have ended in a row without
having been ready.

SIGHUP: restart (the server gets a SIGTERM). SIGTERM: stop (the same, and what is kept is closed).
SIGUSR1: whoever ends is not started again before SIGUSR2. Before a start the file that
KEEPER_PROGRAM names is looked for: the program in its first line is run from then on. Says on
stdout, a line each: "pid N", "ready", "ended STATUS", "kept NAME", "dropped NAME", "paused",
"gave up".
"""

from __future__ import annotations

import array
import os
import selectors
import signal
import socket
import sys
import tempfile
from pathlib import Path

DEATHS_MAX = 5
HANDLED = (signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD)


class Keeper:
    def __init__(self, command: list[str], directory: str) -> None:
        self.command = command
        self.address = f"{directory}/notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.address)
        self.kept: dict[str, int] = {}
        self.deaths = 0
        self.is_stopping = self.is_restarting = self.is_paused = False
        self.pid = 0

    def say(self, text: str) -> None:
        print(text, flush=True)

    def start(self) -> None:
        override = Path(os.environ.get("KEEPER_PROGRAM", ""))
        if override.is_file():
            self.command[0] = override.read_text(encoding="utf-8").strip()
        # What is meant for the child is not to be taken for ours before it is another program.
        signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
        self.pid = os.fork()
        if self.pid == 0:
            self.become()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
        self.say(f"pid {self.pid}")

    def become(self) -> None:
        names = list(self.kept)
        # Out of the way of those numbers that they are to have.
        for index, name in enumerate(names):
            os.dup2(self.kept[name], 64 + index, inheritable=False)
        for index in range(len(names)):
            os.dup2(64 + index, 3 + index, inheritable=True)
        environment = {**os.environ, "NOTIFY_SOCKET": self.address, "FDSTORE": "8"}
        if names:
            environment["LISTEN_PID"] = str(os.getpid())
            environment["LISTEN_FDS"] = str(len(names))
            environment["LISTEN_FDNAMES"] = ":".join(names)
        else:
            environment.pop("STEVED_STEPS", None)  # before it serves there is nothing to go on with
        for number in HANDLED:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        try:
            os.execve(self.command[0], self.command, environment)
        except OSError as error:
            print(f"keeper: {self.command[0]}: {error}", file=sys.stderr)
            os._exit(127)

    def receive(self) -> None:
        size = array.array("i").itemsize
        text, control, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(4 * size))
        fds = array.array("i")
        for level, kind, data in control:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(data[: len(data) - len(data) % size])
        lines = dict(line.split("=", 1) for line in text.decode().splitlines())
        if lines.get("READY") == "1":
            self.deaths = 0
            self.say("ready")
        name = lines.get("FDNAME", "")
        if "FDSTORE" in lines and fds:
            self.drop(name)
            self.kept[name] = fds.pop()
            self.say(f"kept {name}")
        elif "FDSTOREREMOVE" in lines:
            self.drop(name)
        for fd in fds:
            os.close(fd)

    def drop(self, name: str) -> None:
        if name in self.kept:
            os.close(self.kept.pop(name))
            self.say(f"dropped {name}")

    def ended(self, status: int) -> bool:
        """Is there to be another?"""
        code = os.waitstatus_to_exitcode(status)
        self.say(f"ended {code}")
        self.pid = 0
        if self.is_stopping or (code == 0 and not self.is_restarting):
            return False
        self.is_restarting = False
        self.deaths += 1
        if self.deaths > DEATHS_MAX:
            self.say("gave up")
            return False
        if self.is_paused:
            self.say("paused")
        else:
            self.start()
        return True

    def on_signal(self, number: int) -> None:
        if number == signal.SIGUSR1:
            self.is_paused = True
        elif number == signal.SIGUSR2:
            self.is_paused = False
            if not self.pid:
                self.start()
        else:
            self.is_stopping |= number == signal.SIGTERM
            self.is_restarting = True
            if self.pid:
                os.kill(self.pid, signal.SIGTERM)


def main() -> int:
    if len(sys.argv) < 2 or sys.argv[1] == "--help":
        print(__doc__)
        return 0 if sys.argv[1:] == ["--help"] else 2
    with tempfile.TemporaryDirectory(prefix="keeper-") as directory:
        keeper = Keeper(sys.argv[1:], directory)
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writer)
        for number in HANDLED:
            signal.signal(number, lambda *_: None)
        selector = selectors.DefaultSelector()
        selector.register(keeper.socket, selectors.EVENT_READ)
        selector.register(reader, selectors.EVENT_READ)
        keeper.start()
        while True:
            ready = [key.fileobj for key, _ in selector.select()]
            if keeper.socket in ready:
                keeper.receive()
                continue  # what a server has said comes before its end
            for number in os.read(reader, 64):
                if number != signal.SIGCHLD:
                    keeper.on_signal(number)
            if keeper.is_stopping and not keeper.pid:
                return 0
            pid, status = os.waitpid(-1, os.WNOHANG) if keeper.pid else (0, 0)
            if pid and not keeper.ended(status):
                return 0


if __name__ == "__main__":
    sys.exit(main())
