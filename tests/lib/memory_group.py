# SPDX-License-Identifier: GPL-2.0-or-later
"""Control groups (version 1 or 2) for builds: with little memory, or a part of the processors."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import tempfile
import time

MOUNT = pathlib.Path("/sys/fs/cgroup")
MIB = 1 << 20


class ControlGroup:
    """One of a controller; what is left in it is killed at the end."""

    def __init__(self, controller: str) -> None:
        self.is_version_1 = (MOUNT / controller).is_dir()
        if not self.is_version_1:
            (MOUNT / "cgroup.subtree_control").write_text(f"+{controller}")
        mount = MOUNT / controller if self.is_version_1 else MOUNT
        # Pids are no names: there are namespaces of them.
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="steved-rounds.", dir=mount))

    def enter(self) -> None:
        (self.directory / "cgroup.procs").write_text("0")

    def pids(self) -> list[int]:
        return [int(pid) for pid in (self.directory / "cgroup.procs").read_text().split()]

    def close(self) -> None:
        for pid in self.pids():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        while self.pids():
            time.sleep(0.01)
        self.directory.rmdir()


class Processors(ControlGroup):
    """What runs there has so much of the processors, 0.25 is a quarter of one."""

    PERIOD_US = 100_000

    def __init__(self, processors: float) -> None:
        super().__init__("cpu")
        quota_us = int(processors * self.PERIOD_US)
        if self.is_version_1:
            (self.directory / "cpu.cfs_period_us").write_text(str(self.PERIOD_US))
            (self.directory / "cpu.cfs_quota_us").write_text(str(quota_us))
        else:
            (self.directory / "cpu.max").write_text(f"{quota_us} {self.PERIOD_US}")


class Group(ControlGroup):
    def __init__(self, limit_mib: int) -> None:
        super().__init__("memory")
        self._limit("memory.limit_in_bytes", limit_mib * MIB)
        self._limit("memory.memsw.limit_in_bytes", limit_mib * MIB)
        self._limit("memory.max", limit_mib * MIB)
        self._limit("memory.swap.max", 0)

    def _limit(self, name: str, size: int) -> None:
        if (self.directory / name).exists():
            (self.directory / name).write_text(str(size))

    def called(self, name: str) -> list[int]:
        found = []
        for pid in self.pids():
            with contextlib.suppress(OSError):
                comm = pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
                if comm.startswith(name) and (name != "jobgate" or comm == name):
                    found.append(pid)
        return found

    def kills(self) -> int:
        name = "memory.oom_control" if self.is_version_1 else "memory.events"
        text = (self.directory / name).read_text()
        return int(dict(line.split() for line in text.splitlines())["oom_kill"])

    def peak_mib(self) -> int:
        """The most since it was last asked for, or ever (version 2 before Linux 6.12). Cached files
        count."""
        name = "memory.max_usage_in_bytes" if self.is_version_1 else "memory.peak"
        file = self.directory / name
        peak = int(file.read_text()) // MIB
        with contextlib.suppress(OSError):
            file.write_text("0")
        return peak

    def anonymous_bytes(self) -> int:
        """Of all its processes now, without cached files."""
        text = (self.directory / "memory.stat").read_text()
        name = "total_rss" if self.is_version_1 else "anon"
        return int(dict(line.split() for line in text.splitlines())[name])

    def wait_until_empty(self, patience_s: float) -> list[int]:
        """What is left then."""
        deadline = time.monotonic() + patience_s
        while (left := self.pids()) and time.monotonic() < deadline:
            time.sleep(0.005)
        return left
