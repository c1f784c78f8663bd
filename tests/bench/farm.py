# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds on a compile farm: tokens of a class, against a -j that somebody has chosen.

All of it is on this machine, whose cores play slower ones (see tests/lib/compile_farm.py). What
runs at home has as much of them, by a control group, as two such cores.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from bench import ROOT, Bench

sys.path.insert(0, str(ROOT / "tests" / "lib"))
from compile_farm import ENGINES, Compilers, Farm, enter_network, wait_until
from farm_builds import BUILDERS, TOKENS, Builder, Home, Tree
from memory_group import MIB, Processors
from stamp_log import Job, overlap

SAMPLE_S = 0.2
NODES, SLOTS = 2, 4
FIXED_JOBS = (8, 10, 16, 40)
# What is compared with in a mixed build.
MIXED_JOBS = 10
PREAMBLE = "#include <cstdio>\n#include <regex>\n"


@dataclass
class Run:
    """What a build took. Slots: of the farm, busy in the mean; the others are the most at once."""

    wall_s: float
    slots: float
    preprocessors: int
    compilers: int
    peak_mib: int
    status: int


def length_ns(job: Job) -> int:
    return (job.end_ns or job.start_ns) - job.start_ns


def resident_bytes(pid: int) -> int:
    """What is shared counts for each only in part."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            return next(int(line.split()[1]) << 10 for line in file if line.startswith("Pss:"))
    except (OSError, StopIteration):
        return 0


class Sampler:
    def __init__(self, group: Processors) -> None:
        self.group, self.peak_bytes = group, 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.sample)
        self.thread.start()

    def sample(self) -> None:
        while not self.ended.wait(SAMPLE_S):
            self.peak_bytes = max(self.peak_bytes, sum(map(resident_bytes, self.group.pids())))

    def end(self) -> int:
        self.ended.set()
        self.thread.join()
        return self.peak_bytes


@dataclass
class Place:
    farm: Farm
    home: Home
    group: Processors

    def measure(self, tree: Tree, jobs: int) -> Run:
        tree.clean()
        self.home.forget_stamps()
        sampler = Sampler(self.group)
        began_ns = time.monotonic_ns()
        build = self.home.build(tree, jobs=jobs, before=self.group.enter)
        status = build.wait()
        wall_ns = time.monotonic_ns() - began_ns
        peak_bytes = sampler.end()
        at_home = self.home.stamps("compile") + self.home.stamps("local")
        return Run(
            wall_ns / 1e9,
            sum(map(length_ns, self.farm.compiled(began_ns))) / wall_ns,
            overlap(self.home.stamps("preprocess"))[0],
            overlap(at_home)[0],
            peak_bytes // MIB,
            status,
        )


def name_of(builder: Builder, jobs: int) -> str:
    return f"{builder.program} -j{jobs}" if jobs else f"jobwrap -j{TOKENS} {builder.program}"


def row(name: str, runs: list[Run]) -> str:
    wall = [run.wall_s for run in runs]
    cells = [
        name,
        f"{statistics.median(wall):.1f} ({min(wall):.1f} to {max(wall):.1f})",
        f"{statistics.median(run.slots for run in runs):.2f}",
        f"{max(run.preprocessors for run in runs)}",
        f"{max(run.compilers for run in runs)}",
        f"{statistics.median(run.peak_mib for run in runs):.0f}",
        f"{sum(run.status != 0 for run in runs)}",
    ]
    return f"| {' | '.join(cells)} |"


COLUMNS = "way|wall, s|slots busy|preprocessors|compilers at home|memory, MiB|failed".split("|")


def compare(bench: Bench, place: Place, title: str, tree: Tree, ways: list[int]) -> None:
    """In every other round in the opposite order."""
    found: dict[int, list[Run]] = {jobs: [] for jobs in ways}
    for number in range(max(1, bench.rounds // 10)):
        for jobs in ways if number % 2 == 0 else reversed(ways):
            run = place.measure(tree, jobs)
            found[jobs].append(run)
            print(
                f"round {number + 1}: {name_of(tree.builder, jobs)}: {run}",
                file=sys.stderr,
                flush=True,
            )
    print(f"\n{title}, {len(found[0])} rounds\n\n| {' | '.join(COLUMNS)} |")
    print("|---" * len(COLUMNS) + "|")
    for jobs, runs in found.items():
        print(row(name_of(tree.builder, jobs), runs))
    for what in ("slots", "wall_s", "peak_mib"):
        say_ratio(bench, f"{title}, {what}", tree.builder, found, what)


def say_ratio(
    bench: Bench, title: str, builder: Builder, found: dict[int, list[Run]], what: str
) -> None:
    """Ours against the fixed -j that is fastest, in the median of rounds."""
    fixed = [jobs for jobs in found if jobs]
    best = min(fixed, key=lambda jobs: statistics.median(run.wall_s for run in found[jobs]))
    pairs = zip(found[0], found[best])
    ratio = statistics.median(
        getattr(ours, what) / (getattr(its, what) or 1) for ours, its in pairs
    )
    bench.say(title, ratio, f"{ratio:6.3f}   ({name_of(builder, 0)} / {name_of(builder, best)})")


def bench_engine(
    bench: Bench, builder: Builder, engine: str, work: Path, slowness: float, files: int
) -> None:
    root = subprocess.check_output([str(ROOT / "tests/lib/fetch-farm")], text=True).strip()
    # To icecc this home is idle, and would get more jobs than one that is busy.
    farm = ENGINES[engine](Path(root), work, Compilers(bench.stamp, slowness), home_slots=0)
    home = Home(bench.build, work, farm, slowness)
    group = Processors(TOKENS / slowness)
    try:
        place = Place(farm, home, group)
        for number in range(NODES):
            farm.add_node(f"node{number + 1}", SLOTS)
        home.follow()
        wait_until(lambda: farm.slots_known() == NODES * SLOTS, "the engine knows its nodes")
        wait_until(lambda: home.get("remote.jobs") == NODES * SLOTS, "the farm is followed")
        for name in farm.nodes:
            farm.warm(name, home.environment)
        for title, local in (("remote jobs alone", 0), ("mixed", files // 3)):
            tree = Tree(work / title.split()[0], builder, farm, "cc")
            tree.preamble = PREAMBLE
            tree.write(files, local=local)
            ways = [0, *(FIXED_JOBS if not local else [MIXED_JOBS])]
            compare(bench, place, f"{engine}, {title}", tree, ways)
    finally:
        farm.close()
        home.close()
        group.close()


def bench_farm(bench: Bench, builder: str, engines: list[str], slowness: float, files: int) -> None:
    for engine in engines or ENGINES:
        # The servers, who are nobody, make their directories there.
        work = Path(tempfile.mkdtemp(prefix="bench-farm-", dir="/tmp"))
        work.chmod(0o777)
        try:
            bench_engine(bench, BUILDERS[builder], engine, work, slowness, files)
        finally:
            shutil.rmtree(work, ignore_errors=True)


def enter() -> None:
    """Runs the program again, where a farm can be."""
    if os.getuid() != 0:
        raise SystemExit("run: farm is for root: it makes a network of its own")
    enter_network()
