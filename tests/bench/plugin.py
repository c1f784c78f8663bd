# SPDX-License-Identifier: GPL-2.0-or-later
"""What a token per test costs: our pytest plugin, the one of PyPI, and none."""

from __future__ import annotations

import os
import shlex
import shutil
import statistics
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench import ROOT, Bench
from gate import jobserver

TESTS = 2000
TOKENS = 8
SUITE = f"""\
import pytest

@pytest.mark.parametrize("number", range({TESTS}))
def test_nothing(number):
    pass
"""
# Each process that runs tests says what it took from the end of the collection to the end of its
# last test. A controller of xdist runs none.
CONFTEST = """\
import os
import time

def pytest_collection_finish(session):
    session.begun_ns = time.perf_counter_ns(), time.process_time_ns()

def pytest_sessionfinish(session):
    if session.config.getoption("numprocesses", None) is None:
        wall_ns, cpu_ns = session.begun_ns
        line = f"{time.perf_counter_ns() - wall_ns} {time.process_time_ns() - cpu_ns}\\n"
        with open(os.environ["COSTS"], "a") as costs:
            costs.write(line)
"""


@dataclass
class Venvs:
    ours: Path
    theirs: Path
    suite: Path


def make_venvs() -> Venvs | None:
    names = ["VENV_NEWEST", "VENV_PYPI", "REAL_SUITE"]
    tool = str(ROOT / "tests/lib/python-venvs")
    done = subprocess.run([tool, *names], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        return None
    return Venvs(*(Path(word.partition("=")[2]) for word in shlex.split(done.stdout)))


@dataclass
class Way:
    """pytest in one of the environments."""

    venv: Path
    arguments: list[str]

    def run(self, directory: Path, environment: Mapping[str, str]) -> float:
        """Seconds of wall time."""
        command = [str(self.venv / "bin" / "pytest"), "-q", "-p", "no:cacheprovider"]
        command += ["-p", "no:timeout", *self.arguments]
        start_s = time.monotonic()
        done = subprocess.run(
            command, cwd=directory, env=environment, stdout=subprocess.PIPE, text=True
        )
        if done.returncode != 0:
            raise SystemExit(f"run: {shlex.join(command)} failed:\n{done.stdout}")
        return time.monotonic() - start_s


def us_per_test(way: Way, directory: Path, environment: Mapping[str, str]) -> tuple[float, float]:
    """Wall time, of the process that takes longest, and CPU time of all."""
    costs = directory / "costs"
    costs.unlink(missing_ok=True)
    way.run(directory, {**environment, "COSTS": str(costs)})
    lines = [line.split() for line in costs.read_text().splitlines()]
    wall_ns = max(int(line[0]) for line in lines) * len(lines)
    return wall_ns / TESTS / 1e3, sum(int(line[1]) for line in lines) / TESTS / 1e3


def bench_tests(bench: Bench, directory: Path, venvs: Venvs, makeflags: str) -> None:
    """Tests that do nothing, with free tokens: what is more than without a plugin (goal: 20 us)."""
    (directory / "conftest.py").write_text(CONFTEST)
    (directory / "test_nothing.py").write_text(SUITE)
    environment = {**os.environ, "MAKEFLAGS": makeflags, "PYTHONDONTWRITEBYTECODE": "1"}
    for where, arguments in (("one process", ["-p", "no:xdist"]), ("-n 2", ["-n", "2"])):
        ways = {
            "none": Way(venvs.ours, ["-p", "no:jobserver", *arguments]),
            "ours": Way(venvs.ours, arguments),
            "PyPI's 1.1.0": Way(venvs.theirs, arguments),
        }
        rounds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(max(5, bench.rounds // 4)):
            for name, way in ways.items():
                rounds[name].append(us_per_test(way, directory, environment))
        for kind, index in (("wall", 0), ("CPU", 1)):
            medians = {n: statistics.median(r[index] for r in found) for n, found in rounds.items()}
            for name in ("ours", "PyPI's 1.1.0"):
                more_us = medians[name] - medians["none"]
                text = f"{more_us:+6.1f} us to {medians['none']:.0f} us   (goal for ours 20 us)"
                bench.say(f"test, {where}, {name}, {kind}", more_us, text)


def bench_suite(bench: Bench, directory: Path, venvs: Venvs, makeflags: str) -> None:
    """Wall time of a real suite with the plugin and without."""
    tree = directory / "suite"
    shutil.copytree(venvs.suite, tree)
    environment = {**os.environ, "MAKEFLAGS": makeflags, "XDG_CACHE_HOME": str(directory)}
    # As users have it: pytest compiles its plugins anew in each process otherwise.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    ways = {
        "off": Way(venvs.ours, ["-n", "2", "-p", "no:jobserver"]),
        "on": Way(venvs.ours, ["-n", "2"]),
    }
    for way in ways.values():
        way.run(tree, environment)  # what is compiled and cached is so for both
    rounds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(max(5, bench.rounds // 4)):
        for name in sorted(ways, reverse=bool(number % 2)):
            rounds[name].append(ways[name].run(tree, environment))
    off_s, on_s = statistics.median(rounds["off"]), statistics.median(rounds["on"])
    text = f"{on_s / off_s:6.3f}   ({on_s:.2f} s / {off_s:.2f} s; goal 1.02)"
    bench.say("real suite, -n 2, on / off", on_s / off_s, text)


def bench_plugin(bench: Bench, directory: Path) -> None:
    venvs = make_venvs()
    if venvs is None:
        print(f"{'pytest':34} not available")
        return
    for part in (bench_tests, bench_suite):
        work = directory / part.__name__
        work.mkdir()
        with jobserver(directory, TOKENS) as (_, makeflags):
            part(bench, work, venvs, makeflags)
