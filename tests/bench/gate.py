# SPDX-License-Identifier: GPL-2.0-or-later
"""What the gate costs, and how fast it is: the shim's ninja against the plain one."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import json
import os
import random
import resource
import shlex
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from bench import CPUS, ROOT, Bench

PR_SET_CHILD_SUBREAPER = 36
KINDS = ("ptrace", "seccomp")
TRIVIAL_JOBS = 1000
EXECS = 2000
COMPILES = 200


@dataclass
class Ninjas:
    """The real ones: one that knows no jobserver, and one that does but never waits for a token."""

    plain: str
    native: str | None


def find_ninjas(plain: str | None, native: str | None) -> Ninjas:
    if not native:
        fetch = [str(ROOT / "tests/lib/fetch-tools"), "--cached", "NINJA113"]
        found = subprocess.run(fetch, stdout=subprocess.PIPE, text=True).stdout
        native = shlex.split(found)[0].partition("=")[2] if found else None
    plain = plain or shutil.which("ninja")
    if not plain:
        raise SystemExit("run: no ninja on PATH")
    return Ninjas(plain, native)


@dataclass
class Way:
    """A way to run ninja."""

    command: list[str]
    environment: Mapping[str, str]


@contextlib.contextmanager
def jobserver(directory: Path, tokens: int) -> Iterator[tuple[int, str]]:
    """Yields the descriptor of a FIFO with so many tokens, and the MAKEFLAGS that name it."""
    path = directory / "jobserver"
    os.mkfifo(path)
    fifo = os.open(path, os.O_RDWR)
    try:
        os.write(fifo, b"+" * tokens)
        yield fifo, f" -j{tokens + 1} --jobserver-auth=fifo:{path}"
    finally:
        os.close(fifo)
        path.unlink()


def gated(bench: Bench, ninjas: Ninjas, kind: str, makeflags: str) -> Way:
    environment = {
        "MAKEFLAGS": makeflags,
        "NINJA_SHIM_REAL": ninjas.plain,
        "NINJA_SHIM_GATE": kind,
    }
    return Way([str(bench.ninja_shim)], {**os.environ, **environment})


def write_manifest(directory: Path, commands: Iterable[str]) -> None:
    lines = ["rule job", "  command = $command"]
    for number, command in enumerate(commands):
        lines += [f"build {number}: job", f"  command = {command}"]
    (directory / "build.ninja").write_text("\n".join(lines) + "\n")
    (directory / ".ninja_log").unlink(missing_ok=True)  # another version may have written it


def is_available(bench: Bench, ninjas: Ninjas, kind: str, directory: Path) -> bool:
    write_manifest(directory, ["true"])
    with jobserver(directory, 1) as (_, makeflags):
        way = gated(bench, ninjas, kind, makeflags)
        done = subprocess.run(
            [*way.command, "-j2"],
            cwd=directory,
            env=way.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
    return done.returncode == 0 and "cannot hold jobs back" not in done.stderr


# --- from a new token to a new job ---


@contextlib.contextmanager
def busy_cpus() -> Iterator[None]:
    """Each CPU has something else to do as well."""
    loops = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in CPUS]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


@contextlib.contextmanager
def listening(directory: Path) -> Iterator[tuple[Path, TextIO]]:
    """A log for stamp that is a FIFO, so that we hear of a start as it happens."""
    log = directory / "log"
    os.mkfifo(log)
    with open(os.open(log, os.O_RDWR), encoding="ascii") as lines:
        yield log, lines
    log.unlink()


def start_ns(lines: TextIO, living: int) -> int:
    """When so many jobs were there first."""
    while True:
        words = lines.readline().split()
        if words[0] == "start" and int(words[4]) >= living:
            return int(words[3])


def latencies_ms(
    bench: Bench, way: Way, directory: Path, fifo: int, tokens: int, pause_s: float
) -> list[float]:
    """From the write of each token to the start of the job that makes them one more at once.

    The jobs take a second each.
    """
    found: list[float] = []
    with listening(directory) as (log, lines):
        write_manifest(directory, [f"{bench.stamp} {log} job 1"] * (4 * tokens + 20))
        ninja = subprocess.Popen(
            way.command, cwd=directory, env=way.environment, stdout=subprocess.DEVNULL
        )
        start_ns(lines, 1)
        for number in range(tokens):
            time.sleep(random.uniform(0, pause_s))
            written_ns = time.monotonic_ns()
            os.write(fifo, b"+")
            found.append((start_ns(lines, number + 2) - written_ns) / 1e6)
        ninja.terminate()
        ninja.wait()
    return found


def floor_ms(bench: Bench, directory: Path, jobs: int) -> list[float]:
    """The same job when a shell executes it at once."""
    found: list[float] = []
    with listening(directory) as (log, lines):
        for _ in range(jobs):
            time.sleep(random.uniform(0, 0.1))
            forked_ns = time.monotonic_ns()
            job = subprocess.Popen(["sh", "-c", f"{bench.stamp} {log} job 0"])
            found.append((start_ns(lines, 1) - forked_ns) / 1e6)
            job.wait()
    return found


def say_latencies(bench: Bench, name: str, found: list[float]) -> None:
    found.sort()
    median, p99 = statistics.median(found), found[int(len(found) * 0.99)]
    text = f"{median:8.2f} ms, 99 % in {p99:.2f} ms, all {len(found)} in {found[-1]:.2f} ms"
    bench.say(name, median, text)


def measure_gate(
    bench: Bench, directory: Path, ninjas: Ninjas, kind: str, builds: int
) -> list[float]:
    found: list[float] = []
    for _ in range(builds):
        with jobserver(directory, 0) as (fifo, makeflags):
            way = gated(bench, ninjas, kind, makeflags)
            way.command.append("-j22")  # so that always one waits
            found += latencies_ms(bench, way, directory, fifo, 20, 0.1)
    return found


def measure_native(bench: Bench, directory: Path, native: str, builds: int) -> list[float]:
    found: list[float] = []
    for _ in range(builds):
        with jobserver(directory, 0) as (fifo, makeflags):
            way = Way([native], {**os.environ, "MAKEFLAGS": makeflags})
            found += latencies_ms(bench, way, directory, fifo, 2, 1)
    return found


def bench_token(bench: Bench, directory: Path, ninjas: Ninjas, kinds: list[str]) -> None:
    """How soon a ninja makes use of a new token, when its jobs take a second each (goal: 5 ms)."""
    builds = max(2, bench.rounds // 5)
    for where, load in (("", contextlib.nullcontext), (", CPUs busy", busy_cpus)):
        with load():
            say_latencies(bench, f"job without a gate{where}", floor_ms(bench, directory, 50))
            for kind in kinds:
                found = measure_gate(bench, directory, ninjas, kind, builds)
                say_latencies(bench, f"token to job, {kind}{where}", found)
    if ninjas.native:
        found = measure_native(bench, directory, ninjas.native, builds)
        say_latencies(bench, "token to job, ninja 1.13", found)
    else:
        print(f"{'token to job, ninja 1.13':34} not available")


# --- what it costs ---


@dataclass
class Cost:
    cpu_s: float
    wall_s: float


def spend(way: Way, directory: Path) -> Cost:
    """What a build takes with all that it leaves to us (PR_SET_CHILD_SUBREAPER): the sidecar."""
    (directory / ".ninja_log").unlink(missing_ok=True)
    before, start_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(
        way.command, cwd=directory, env=way.environment, check=True, stdout=subprocess.DEVNULL
    )
    wall_s = time.monotonic() - start_s
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall_s)


def compare(ways: dict[str, Way], directory: Path, rounds: int) -> dict[str, Cost]:
    """Medians of all ways, which take turns."""
    costs: dict[str, list[Cost]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            costs[name].append(spend(way, directory))
    return {
        name: Cost(
            statistics.median(cost.cpu_s for cost in found),
            statistics.median(cost.wall_s for cost in found),
        )
        for name, found in costs.items()
    }


def compare_gated(
    bench: Bench, directory: Path, ninjas: Ninjas, kinds: list[str], rounds: int
) -> dict[str, Cost]:
    """The plain ninja and the gates, with the same -j and more tokens than that.

    The gates in two ways, of which "KIND, no memory" lets no job wait for memory.
    """
    jobs = f"-j{len(CPUS)}"
    with jobserver(directory, 4 * len(CPUS)) as (_, makeflags):
        ways = {"plain": Way([ninjas.plain, jobs], os.environ)}
        for kind in kinds:
            ways[kind] = gated(bench, ninjas, kind, makeflags)
            ways[kind].command.append(jobs)
            off = {**ways[kind].environment, "JOBWRAP_MEMORY": "off"}
            ways[f"{kind}, no memory"] = Way(ways[kind].command, off)
        return compare(ways, directory, rounds)


def say_each(bench: Bench, what: str, kinds: list[str], costs: dict[str, Cost], count: int) -> None:
    plain = costs["plain"]
    for kind in kinds:
        for what_of, ours_s, plain_s in (
            ("CPU", costs[kind].cpu_s, plain.cpu_s),
            ("wall", costs[kind].wall_s, plain.wall_s),
        ):
            more_us = (ours_s - plain_s) / count * 1e6
            ratio, plain_us = ours_s / plain_s, plain_s / count * 1e6
            text = f"{ratio:6.3f}   ({more_us:+.1f} us to {plain_us:.0f} us)"
            bench.say(f"{what}, {kind}, {what_of}", ratio, text)


def bench_jobs(bench: Bench, directory: Path, ninjas: Ninjas, kinds: list[str]) -> None:
    """What the gate adds to a job that does nothing, and to a program that a job executes."""
    rounds = max(5, bench.rounds // 5)
    write_manifest(directory, ["true"] * TRIVIAL_JOBS)
    costs = compare_gated(bench, directory, ninjas, kinds, rounds)
    say_each(bench, "trivial job", kinds, costs, TRIVIAL_JOBS)
    for kind in kinds:
        say_memory(bench, "trivial job", kind, costs)
    loop = f"i=0; while [ $$i -lt {EXECS} ]; do /bin/true; i=$$((i + 1)); done"
    write_manifest(directory, [loop] * len(CPUS))
    costs = compare_gated(bench, directory, ninjas, kinds, rounds)
    say_each(bench, "exec in a job", kinds, costs, EXECS * len(CPUS))


def say_memory(bench: Bench, what: str, kind: str, costs: dict[str, Cost]) -> None:
    ours, without = costs[kind], costs[f"{kind}, no memory"]
    text = (
        f"{ours.wall_s / without.wall_s:6.3f}   ({ours.wall_s:.2f} s / {without.wall_s:.2f} s,"
        f" CPU {ours.cpu_s / without.cpu_s:.3f}; goal 1.01)"
    )
    bench.say(f"{what}, {kind}, memory on / off", ours.wall_s / without.wall_s, text)


def compile_commands(build: Path, out: Path) -> Iterator[str]:
    """Compiles of what we have, by the commands of our own build, until there are enough."""
    known = json.loads((build / "compile_commands.json").read_text())
    for number, entry in zip(range(COMPILES), itertools.cycle(known)):
        words = shlex.split(entry["command"])
        words[words.index("-o") + 1] = words[words.index("-MF") + 1] = f"{out}/{number}"
        words[words.index("-MF") + 1] += ".d"
        yield f"cd {shlex.quote(entry['directory'])} && {shlex.join([*words, '-O2'])}"


def bench_compiles(bench: Bench, directory: Path, ninjas: Ninjas, kinds: list[str]) -> None:
    """Wall time of real compiles."""
    out = directory / "out"
    out.mkdir()
    write_manifest(directory, compile_commands(bench.build, out))
    costs = compare_gated(bench, directory, ninjas, kinds, max(5, bench.rounds // 5))
    plain = costs["plain"]
    for kind in kinds:
        ours = costs[kind]
        text = (
            f"{ours.wall_s / plain.wall_s:6.3f}   ({ours.wall_s:.2f} s / {plain.wall_s:.2f} s,"
            f" CPU {ours.cpu_s / plain.cpu_s:.3f}; goal 1.01)"
        )
        bench.say(f"{COMPILES} compiles, {kind} / plain", ours.wall_s / plain.wall_s, text)
        say_memory(bench, f"{COMPILES} compiles", kind, costs)


def write_makefile(directory: Path, commands: Iterable[str]) -> None:
    rules = [
        f"all: job{number}\njob{number}:; @{command.replace('$', '$$')}"
        for number, command in enumerate(commands)
    ]
    (directory / "Makefile").write_text("\n".join(rules) + "\n")


def client_gated(bench: Bench, memory: str) -> Mapping[str, str]:
    environment = {name: os.environ[name] for name in os.environ if name != "MAKEFLAGS"}
    path = f"{bench.ninja_shim.parent}:{environment['PATH']}"
    return {**environment, "PATH": path, "JOBWRAP_MEMORY": memory}


def bench_make(bench: Bench, directory: Path) -> None:
    """Wall time of a make whose jobs wait for memory, where there is enough, and of its shim."""
    make = shutil.which("make")
    if not make:
        print(f"{'make, memory on / off':34} not available")
        return
    jobs, rounds = f"-j{len(CPUS)}", max(5, bench.rounds // 5)
    ways = {
        memory: Way(["make", jobs], client_gated(bench, memory)) for memory in ("off", "on")
    }
    ways["plain"] = Way([make, jobs], client_gated(bench, "off"))
    (directory / "make").mkdir()
    for what, commands in (
        ("trivial recipes", ["true;"] * TRIVIAL_JOBS),
        (f"{COMPILES} compiles by make", compile_commands(bench.build, directory / "make")),
    ):
        write_makefile(directory, commands)
        costs = compare(ways, directory, rounds)
        for ours, other in (("on", "off"), ("off", "plain")):
            mine, others = costs[ours], costs[other]
            ratio = mine.wall_s / others.wall_s
            text = (
                f"{ratio:6.3f}   ({mine.wall_s:.2f} s / {others.wall_s:.2f} s,"
                f" CPU {mine.cpu_s / others.cpu_s:.3f}; goal 1.01)"
            )
            bench.say(f"{what}, memory {ours} / {other}", ratio, text)


def bench_gate(bench: Bench, directory: Path, ninjas: Ninjas) -> None:
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    os.environ["XDG_CACHE_HOME"] = str(directory)  # what jobs have needed is nothing for the user
    kinds = []
    for kind in KINDS:
        if is_available(bench, ninjas, kind, directory):
            kinds.append(kind)
        else:
            print(f"{'gate by ' + kind:34} not available")
    bench_token(bench, directory, ninjas, kinds)
    bench_jobs(bench, directory, ninjas, kinds)
    bench_compiles(bench, directory, ninjas, kinds)
    bench_make(bench, directory)
