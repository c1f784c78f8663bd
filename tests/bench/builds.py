# SPDX-License-Identifier: GPL-2.0-or-later
"""Real builds at once: what they take when they share tokens, and when they do not."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench import CPUS, ROOT, Bench

sys.path.insert(0, str(ROOT / "tests" / "lib"))
from memory_group import MIB, Group
from observe import become_subreaper

SAMPLE_S = 0.05
UNLIMITED_MIB = 1 << 30
CRATES = {"regex": "1.11", "serde_json": "1.0", "syn": "2.0"}
JSON_TESTS = ("bjdata", "bson", "cbor", "msgpack", "ubjson")
TINY_JOBS = 12


@dataclass
class Tree:
    """A build; `command` takes a -jN at its end."""

    name: str
    command: list[str]
    clean: Callable[[], None]


@dataclass
class Run:
    """What all builds of a round took by one way."""

    wall_s: float
    cpu_s: float
    switches: int
    peak_mib: int
    highest: int
    kills: int
    failed: int


@dataclass
class Place:
    """Where the trees are, and the tools of all ways: the same make, ninja and cargo."""

    work: Path
    bench: Bench
    cache: Path = field(init=False)
    environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        self.cache = Path(home) / "steved-quickstart"
        tools = self.work / "bin"
        tools.mkdir()
        for name, path in fetched_tools("MAKE441", "NINJA113").items():
            (tools / {"MAKE441": "make", "NINJA113": "ninja"}[name]).symlink_to(path)
        self.environment = {
            **os.environ,
            "PATH": f"{tools}:{os.environ['PATH']}",
            "XDG_CACHE_HOME": str(self.work / "cache"),  # what jobs have needed
        }
        self.environment.pop("MAKEFLAGS", None)

    def stamped(self, build: str) -> list[str]:
        return [str(self.bench.stamp), str(self.work / "stamps"), build, "--"]

    def compiler(self, build: str, name: str) -> str:
        """One that stamps, of the same name: gates run only tools that they know a second time."""
        real = shutil.which(name)
        if not real:
            raise SystemExit(f"run: no {name} on PATH")
        path = self.work / f"{build}.bin" / name
        path.parent.mkdir()
        stamped = shlex.join([*self.stamped(build), real])
        # rustc is asked for its version, too.
        skip = "*--crate-name\\ ___*) ;;\n*--crate-name*" if name == "rustc" else "*"
        path.write_text(
            f'#!/bin/sh\ncase $* in\n{skip}) exec {stamped} "$@" ;;\nesac\n'
            f'exec {shlex.quote(real)} "$@"\n'
        )
        path.chmod(0o755)
        return str(path)

    def do(self, *command: str | Path, directory: Path | None = None) -> None:
        """What is not measured."""
        words = [str(word) for word in command]
        log = self.work / "log"
        with open(log, "ab") as out:
            done = subprocess.run(
                words, cwd=directory, env=self.environment, stdout=out, stderr=out
            )
        if done.returncode != 0:
            raise SystemExit(f"run: {shlex.join(words)} failed:\n{log.read_text()[-2000:]}")


def fetched_tools(*names: str) -> dict[str, str]:
    tool = str(ROOT / "tests/lib/fetch-tools")
    done = subprocess.run([tool, *names], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit("run: builds needs what tests/lib/fetch-tools fetches")
    pairs = (word.partition("=") for word in shlex.split(done.stdout))
    return {name: path for name, _, path in pairs}


# --- the trees ---


def unpack(place: Place, package: str, name: str) -> Path:
    """A source archive of the system's Debian or Ubuntu."""
    fetch = [str(ROOT / "examples/quickstart/fetch-tree"), package, str(place.cache)]
    archive = subprocess.run(fetch, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    tree = place.work / name
    tree.mkdir()
    place.do("tar", "-xf", archive, "-C", tree, "--strip-components=1")
    return tree


def ninja_tree(place: Place, name: str, build: Path, *targets: str) -> Tree:
    def clean() -> None:
        place.do("ninja", "-C", build, "-t", "clean")
        for file in build.glob(".ninja_*"):
            file.unlink()

    return Tree(name, ["ninja", "-C", str(build), *targets], clean)


def zstd(place: Place) -> Tree:
    programs = unpack(place, "libzstd", "zstd") / "programs"
    command = ["make", "-C", str(programs), "zstd-release", f"CC={place.compiler('zstd', 'cc')}"]
    return Tree("zstd", command, lambda: place.do("make", "-C", programs, "clean"))


def pixman(place: Place) -> Tree:
    tree = unpack(place, "pixman", "pixman")
    place.environment["CC"] = place.compiler("pixman", "cc")
    off = ("gtk", "libpng", "openmp")
    place.do("meson", "setup", tree / "build", tree, *(f"-D{name}=disabled" for name in off))
    del place.environment["CC"]
    return ninja_tree(place, "pixman", tree / "build")


def json(place: Place) -> Tree:
    """C++, whose compilers need 400 MiB each."""
    tree = unpack(place, "nlohmann-json3", "json")
    compiler = f"-DCMAKE_CXX_COMPILER={place.compiler('json', 'c++')}"
    options = ["-G", "Ninja", compiler, "-DJSON_BuildTests=ON"]
    place.do("cmake", "-S", tree, "-B", tree / "build", *options)
    return ninja_tree(place, "json", tree / "build", *(f"test-{name}_cpp11" for name in JSON_TESTS))


def crates(place: Place) -> Tree:
    tree = place.work / "crates"
    (tree / "src").mkdir(parents=True)
    (tree / "src" / "lib.rs").write_text("")
    needs = "".join(f'{name} = "{version}"\n' for name, version in CRATES.items())
    package = '[package]\nname = "crates"\nversion = "0.1.0"\nedition = "2021"\n'
    (tree / "Cargo.toml").write_text(f"{package}[dependencies]\n{needs}")
    place.do("cargo", "fetch", directory=tree)
    place.environment["RUSTC"] = place.compiler("crates", "rustc")
    command = ["cargo", "build", "--offline", "--manifest-path", str(tree / "Cargo.toml")]
    return Tree("crates", command, lambda: shutil.rmtree(tree / "target", ignore_errors=True))


def tiny_make(place: Place) -> Tree:
    tree = place.work / "tiny-make"
    tree.mkdir()
    job = shlex.join([*place.stamped("tiny-make"), "sleep", "0.02"])
    names = " ".join(f"job{number}" for number in range(TINY_JOBS))
    (tree / "Makefile").write_text(f"all: {names}\n{names}:\n\t@{job}\n")
    return Tree("tiny-make", ["make", "-C", str(tree)], lambda: None)


def tiny_ninja(place: Place) -> Tree:
    tree = place.work / "tiny-ninja"
    tree.mkdir()
    job = shlex.join([*place.stamped("tiny-ninja"), "sleep", "0.02"])
    jobs = "".join(f"build job{number}: job\n" for number in range(TINY_JOBS))
    (tree / "build.ninja").write_text(f"rule job\n  command = {job}\n{jobs}")
    return ninja_tree(place, "tiny-ninja", tree)


# --- the ways ---


@dataclass
class Way:
    """How builds are kept from running too much at once."""

    name: str
    server: Callable[[Place, int], contextlib.AbstractContextManager[dict[str, str]]]
    wrapping: list[str] = field(default_factory=list)
    jobs: int = 0  # each build's own -jN; 0: none
    in_turn: bool = False


@contextlib.contextmanager
def no_server(place: Place, jobs: int) -> Iterator[dict[str, str]]:
    yield {}


def flags(jobs: int, path: Path) -> dict[str, str]:
    return {"MAKEFLAGS": f" -j{jobs} --jobserver-auth=fifo:{path}"}


@contextlib.contextmanager
def plain_fifo(place: Place, jobs: int) -> Iterator[dict[str, str]]:
    path = place.work / "fifo"
    os.mkfifo(path)
    fifo = os.open(path, os.O_RDWR)
    os.write(fifo, b"+" * jobs)
    try:
        yield flags(jobs, path)
    finally:
        os.close(fifo)
        path.unlink()


@contextlib.contextmanager
def served(place: Place, command: list[str], mount: Path) -> Iterator[Path]:
    mount.mkdir(exist_ok=True)
    with open(place.work / "log", "ab") as log:
        server = subprocess.Popen(command, stderr=log)
    while not (mount / "jobserver").exists():
        if server.poll() is not None:
            raise SystemExit(f"run: {command[0]} ended with status {server.returncode}")
        time.sleep(0.01)
    try:
        yield mount / "jobserver"
    finally:
        server.terminate()
        server.wait()


@contextlib.contextmanager
def first_come(place: Place, jobs: int) -> Iterator[dict[str, str]]:
    mount = place.work / "queue"
    command = [str(place.bench.tools / "floor"), str(mount), str(jobs)]
    with served(place, command, mount) as path:
        yield flags(jobs, path)


@contextlib.contextmanager
def steved(place: Place, jobs: int) -> Iterator[dict[str, str]]:
    mount = place.work / "steve"
    command = [str(place.bench.steved), "--config=/dev/null", "--jobs", str(jobs)]
    with served(place, [*command, "--mount", str(mount)], mount) as path:
        yield {"POOL": str(path)}


def ways(bench: Bench, jobs: int, is_short_of_memory: bool) -> list[Way]:
    each = Way(f"-j{jobs} each", no_server, jobs=jobs)
    shared = Way("jobwrap", steved, [str(bench.jobwrap), "--"])
    if is_short_of_memory:
        return [each, Way("-j1 each", no_server, jobs=1), shared]
    return [
        each,
        Way(f"in turn, -j{jobs}", no_server, jobs=jobs, in_turn=True),
        Way("plain FIFO", plain_fifo),
        Way("first come", first_come),
        shared,
    ]


# --- measuring ---


def start(
    place: Place, way: Way, tree: Tree, environment: dict[str, str]
) -> subprocess.Popen[bytes]:
    command = [*way.wrapping, *tree.command]
    if way.jobs:
        command.append(f"-j{way.jobs}")
    pool = environment.get("POOL")
    if pool:
        command.insert(1, f"--parent={pool}")
    with open(place.work / f"{tree.name}.log", "wb") as log:
        return subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )


def build_all(place: Place, way: Way, trees: list[Tree], jobs: int) -> int:
    """In a process of its own, whose children count; how many builds have failed."""
    become_subreaper()
    failed = 0
    with way.server(place, jobs) as variables:
        environment = {**place.environment, **variables}
        builds = []
        for tree in trees:
            builds.append(start(place, way, tree, environment))
            if way.in_turn:
                builds[-1].wait()
        failed = sum(build.wait() != 0 for build in builds)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    return failed


def highest_jobs(place: Place) -> int:
    tool = [str(ROOT / "tests/lib/concurrency"), "--killed", str(place.work / "stamps")]
    said = subprocess.run(tool, stdout=subprocess.PIPE, text=True).stdout
    return int(dict(word.split("=") for word in said.split())["highest"])


def sample(group: Group, peaks: list[int], ended: threading.Event) -> None:
    while not ended.wait(SAMPLE_S):
        peaks[0] = max(peaks[0], group.anonymous_bytes())


def measure(place: Place, way: Way, trees: list[Tree], jobs: int, group: Group) -> Run:
    for tree in trees:
        tree.clean()
    (place.work / "stamps").write_text("")
    kills, began = group.kills(), time.monotonic()
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            group.enter()
            status = build_all(place, way, trees, jobs)
        finally:
            os._exit(status)
    peaks, ended = [0], threading.Event()
    sampler = threading.Thread(target=sample, args=(group, peaks, ended))
    sampler.start()
    _, status, usage = os.wait4(pid, 0)
    wall_s = time.monotonic() - began
    ended.set()
    sampler.join()
    return Run(
        wall_s,
        usage.ru_utime + usage.ru_stime,
        usage.ru_nvcsw + usage.ru_nivcsw,
        peaks[0] // MIB,
        highest_jobs(place),
        group.kills() - kills,
        os.waitstatus_to_exitcode(status),
    )


# --- the table ---

COLUMNS = "way wall,_s of_the_first CPU,_s memory,_MiB jobs switches killed failed".split()


def row(name: str, runs: list[Run], first: list[Run]) -> str:
    """Medians; the ratio is that of the rounds, each against the first way of the same round."""
    wall = [run.wall_s for run in runs]
    ratio = statistics.median(run.wall_s / other.wall_s for run, other in zip(runs, first))
    cells = [
        name,
        f"{statistics.median(wall):.1f} ({min(wall):.1f} to {max(wall):.1f})",
        f"{ratio:.3f}",
        f"{statistics.median(run.cpu_s for run in runs):.1f}",
        f"{max(run.peak_mib for run in runs)}",
        f"{max(run.highest for run in runs)}",
        f"{statistics.median(run.switches for run in runs):.0f}",
        f"{sum(run.kills for run in runs)}",
        f"{sum(run.failed for run in runs)}",
    ]
    return f"| {' | '.join(cells)} |"


def say_table(bench: Bench, title: str, found: dict[str, list[Run]]) -> None:
    print(f"\n{title}\n\n| {' | '.join(name.replace('_', ' ') for name in COLUMNS)} |")
    print("|---" * len(COLUMNS) + "|")
    first = next(iter(found.values()))
    for name, runs in found.items():
        print(row(name, runs, first), flush=True)
        bench.figures[f"{title}, {name}, s"] = statistics.median(run.wall_s for run in runs)


def compare(place: Place, trees: list[Tree], jobs: int, limit_mib: int) -> None:
    """All ways in each round, every other round in the opposite order."""
    chosen = ways(place.bench, jobs, limit_mib < UNLIMITED_MIB)
    found: dict[str, list[Run]] = {way.name: [] for way in chosen}
    rounds = max(1, place.bench.rounds // 10)
    group = Group(limit_mib)
    try:
        for number in range(rounds):
            for way in chosen if number % 2 == 0 else reversed(chosen):
                run = measure(place, way, trees, jobs, group)
                found[way.name].append(run)
                print(f"round {number + 1}: {way.name}: {run.wall_s:.1f} s", file=sys.stderr)
    finally:
        group.close()
    names = ", ".join(tree.name for tree in trees)
    memory = f" in {limit_mib} MiB" if limit_mib < UNLIMITED_MIB else ""
    title = f"{len(trees)} builds ({names}){memory}, {jobs} tokens, {rounds} rounds"
    say_table(place.bench, title, found)


def bench_builds(bench: Bench, directory: Path, limit_mib: int, is_tiny: bool) -> None:
    place = Place(directory, bench)
    jobs = len(CPUS)
    if is_tiny:
        compare(place, [tiny_make(place), tiny_ninja(place)], jobs, UNLIMITED_MIB)
        return
    trees = [zstd(place), pixman(place), json(place), crates(place)]
    compare(place, trees[:2], jobs, UNLIMITED_MIB)
    compare(place, trees, jobs, UNLIMITED_MIB)
    compare(place, trees, jobs, limit_mib)
