# SPDX-License-Identifier: GPL-2.0-or-later
"""What the benchmarks of all subjects share."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CPUS = sorted(os.sched_getaffinity(0))


class Bench:
    """The programs that are measured, and the figures so far."""

    def __init__(self, build: Path, rounds: int) -> None:
        self.build = build
        self.steved = build / "steved" / "steved"
        self.jobwrap = build / "jobwrap" / "jobwrap"
        self.ninja_shim = build / "ninja-shim" / "ninja"
        self.stamp = build / "tests" / "lib" / "stamp"
        self.tools = build / "tests" / "bench"
        self.rounds = rounds
        self.figures: dict[str, float] = {}

    def say(self, name: str, value: float, text: str) -> None:
        self.figures[name] = value
        print(f"{name:34} {text}", flush=True)

    def cycle(self, cpu: int, cycles: int, *paths: str) -> list[float]:
        """Median ns of acquire + release on each path."""
        command = ["taskset", "-c", str(cpu), str(self.tools / "cycle"), str(self.rounds)]
        done = subprocess.run(
            [*command, str(cycles), *paths], check=True, stdout=subprocess.PIPE, text=True
        )
        return [float(line.split()[0]) for line in done.stdout.splitlines()]
