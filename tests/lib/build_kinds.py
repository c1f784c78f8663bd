# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds of all kinds, whose jobs stamp, at one server: what `starvation` and `shares` try."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from observe import BUILD_NUMBER

LIB = Path(__file__).resolve().parent
# And cargo; native and shim: ninja as a client of a jobwrap, or behind a gate of the server's.
KINDS = ("make", "ninja", "jobgate", "pytest", "direct", "nested")
# Where the server is, and whether its builds have an inotify instance.
PLACES = ("steved", "jobwrap", "steved-no-inotify", "jobwrap-no-inotify")
TIMEOUT_S = 60.0

PYTEST_FILE = """\
import os, subprocess, pytest

# A worker has a token while it collects, too.
subprocess.run([os.environ["STAMP"], {log!r}, "collect", "0"], check=True)

@pytest.mark.parametrize("number", range({jobs}))
def test(number: int) -> None:
    subprocess.run([os.environ["STAMP"], {log!r}, str(number), {seconds!r}], check=True)
"""


# When the first worker is there, and is about to wait: python takes its time until then.
CONFTEST = """\
import os, time

def pytest_sessionstart() -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        with open({asked!r}, "a") as asked:
            asked.write(f"{{time.monotonic_ns()}}\\n")
"""


class Failure(Exception):
    pass


def find_tool(name: str, program: str) -> str:
    """What fetch-tools or python-venvs has made, unless the environment names it."""
    if name not in os.environ:
        made = subprocess.run([LIB / program, name], stdout=subprocess.PIPE, text=True)
        if made.returncode != 0:
            raise Failure(f"no {name}: see tests/lib/{program}")
        os.environ[name] = made.stdout.strip().partition("=")[2]
    return os.environ[name]


@dataclass
class Programs:
    """Those that are tried."""

    build: Path

    def __post_init__(self) -> None:
        self.jobwrap = str(self.build / "jobwrap" / "jobwrap")
        self.steved = str(self.build / "steved" / "steved")
        self.stevectl = str(self.build / "steved" / "stevectl")
        self.ninja_shim = str(self.build / "ninja-shim" / "ninja")
        self.jobgate = str(self.build / "ninja-shim" / "jobgate")
        self.stamp = str(self.build / "tests" / "lib" / "stamp")
        self.refuse = str(self.build / "tests" / "lib" / "refuse")


@dataclass
class Jobs:
    """What a log says so far: start and end of each job, in ns, by what it held."""

    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    with_another: list[int] = field(default_factory=list)  # starts, while another lived


def read_jobs(log: Path) -> Jobs:
    jobs = Jobs()
    if not log.exists():
        return jobs
    for line in log.read_text().splitlines():
        words = line.split()
        if words[0] == "start":
            jobs.starts.append(int(words[3]))
            if int(words[4]) > 1:
                jobs.with_another.append(int(words[3]))
        else:
            jobs.ends.append(int(words[3]))
    return jobs


def overlap_ns(log: Path, begin_ns: int, end_ns: int) -> int:
    """How long the jobs of this log have run between the two, summed up."""
    running: dict[str, int] = {}
    total = 0
    for line in log.read_text().splitlines():
        words = line.split()
        if words[0] == "start":
            running[words[2]] = int(words[3])
        else:
            start = max(running.pop(words[2]), begin_ns)
            total += max(0, min(int(words[3]), end_ns) - start)
    return total + sum(max(0, end_ns - max(start, begin_ns)) for start in running.values())


@dataclass
class Server:
    """Where the builds' tokens come from; below a jobwrap we are its command."""

    programs: Programs
    place: str
    tokens: int
    directory: Path
    file: str | None = None  # of steved
    numbers: int = 0

    @property
    def environment(self) -> dict[str, str]:
        changes = {"STAMP": self.programs.stamp, "PYTHONDONTWRITEBYTECODE": "1"}
        if self.file:
            changes["MAKEFLAGS"] = f" -j{self.tokens} --jobserver-auth=fifo:{self.file}"
        return changes

    def set_jobs(self, jobs: int) -> None:
        assert self.file
        command = [self.programs.stevectl, "--server", self.file, "set", f"jobs={jobs}"]
        subprocess.run(command, check=True)


@contextlib.contextmanager
def steved(server: Server, options: list[str]) -> Iterator[None]:
    mount = server.directory / "steve"
    mount.mkdir()
    file = mount / "jobserver"
    command = [server.programs.steved, "--mount", str(mount), "--jobs", str(server.tokens)]
    daemon = subprocess.Popen([*command, *options])
    try:
        wait_until(lambda: file.exists() or daemon.poll() is not None, "steved to start")
        server.file = str(file)
        yield
    finally:
        daemon.terminate()
        daemon.wait()


def write_crates(workspace: Path, count: int) -> None:
    """For cargo: none needs another."""
    crates = [f"c{number}" for number in range(count)]
    for crate in crates:
        (workspace / crate / "src").mkdir(parents=True)
        (workspace / crate / "src" / "lib.rs").write_text("pub fn one() -> u32 { 1 }\n")
        (workspace / crate / "Cargo.toml").write_text(
            f'[package]\nname = "{crate}"\nversion = "0.1.0"\nedition = "2021"\n'
        )
    members = ", ".join(f'"{crate}"' for crate in crates)
    (workspace / "Cargo.toml").write_text(f"[workspace]\nmembers = [{members}]\n")


def wait_until(condition: object, what: str, limit_s: float = TIMEOUT_S) -> None:
    assert callable(condition)
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            raise Failure(f"waited {limit_s:.0f} s in vain for {what}")
        time.sleep(0.005)


class Build:
    """One that runs, in a session of its own."""

    def __init__(
        self, server: Server, kind: str, jobs: int, seconds: float, options: list[str] | None = None
    ) -> None:
        server.numbers += 1
        self.server = server
        self.kind = kind
        self.jobs = jobs
        self.seconds = str(seconds)
        self.counts_with_another = False
        self.options = options or []
        self.directory = server.directory / f"{server.numbers}.{kind}"
        self.directory.mkdir()
        self.log = self.directory / "log"
        self.remote_log = self.directory / "remote.log"
        self.stop_file = self.directory / "stop"
        command = getattr(self, "_" + kind)()
        if "no-inotify" in server.place:
            command = [server.programs.refuse, "EMFILE", "inotify_init1", *command]
        self.started_ns = time.monotonic_ns()
        with open(self.directory / "said", "w") as said:
            self.process = subprocess.Popen(
                command,
                cwd=self.directory,
                env={**os.environ, **server.environment, BUILD_NUMBER: str(server.numbers)},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                close_fds=False,
            )

    # --- the kinds ---

    def _job(self, name: str, what: str = "") -> str:
        words = [self.server.programs.stamp, str(self.log), name, what or self.seconds]
        return " ".join(shlex.quote(word) if word != name else word for word in words)

    def _makefile(self) -> list[str]:
        numbers = " ".join(map(str, range(self.jobs)))
        recipe = f"test -e stop || exec {self._job('$@')}"
        (self.directory / "Makefile").write_text(
            f"JOBS = {numbers}\nall: $(JOBS)\n$(JOBS): ; @{recipe}\n"
        )
        return ["make"]

    def _wrapped(self, command: list[str]) -> list[str]:
        return [self.server.programs.jobwrap, *self.options, "--", *command]

    def _make(self) -> list[str]:
        return self._wrapped(self._makefile())

    def _nested(self) -> list[str]:
        return self._wrapped([self.server.programs.jobwrap, *self._makefile()])

    def _direct(self) -> list[str]:
        make = self._makefile()
        needs_name = self.server.file or "fifo:" in os.environ.get("MAKEFLAGS", "")
        return [find_tool("MAKE441", "fetch-tools")] if needs_name else make

    def _manifest(self) -> None:
        rule = f"rule r\n  command = exec {self._job('$out')}\n"
        edges = "".join(f"build j{number}: r\n" for number in range(self.jobs))
        (self.directory / "build.ninja").write_text(rule + edges)

    def _ninja(self) -> list[str]:
        self._manifest()
        return self._wrapped(["ninja"])

    def _shim(self) -> list[str]:
        """The gate is a client of the server itself."""
        self._manifest()
        return [self.server.programs.ninja_shim]

    def _native(self) -> list[str]:
        """A ninja that is a client, of the jobwrap around it."""
        self._manifest()
        ninja = find_tool("NINJA113", "fetch-tools")
        return [self.server.programs.jobwrap, "--no-shims", "--style=fifo", "--", ninja]

    def _jobgate(self) -> list[str]:
        gated = f"{shlex.quote(self.server.programs.jobgate)} --jobs-of=xargs"
        script = f"seq {self.jobs} | {gated} xargs -P 64 -I @ {self._job('@')}"
        return ["sh", "-c", script]

    def _farm(self) -> Path:
        """Where a program of a compile farm is to be."""
        farm = self.directory / "farm"
        farm.mkdir()
        return farm / "icecc"

    def _launcher(self) -> list[str]:
        """Every other job runs on the farm, by its launcher."""
        icecc = self._farm()
        stamp = shlex.join([self.server.programs.stamp, str(self.remote_log)])
        icecc.write_text(f'#!/bin/sh\nexec {stamp} "$3" {self.seconds}\n')
        icecc.chmod(0o755)
        remote = " ".join(map(str, range(0, self.jobs, 2)))
        local = " ".join(map(str, range(1, self.jobs, 2)))
        (self.directory / "Makefile").write_text(
            f"REMOTE = {remote}\nLOCAL = {local}\nall: $(REMOTE) $(LOCAL)\n"
            f"$(REMOTE): ; @exec icecc g++ -c $@.cc\n$(LOCAL): ; @exec {self._job('$@')}\n"
        )
        return ["env", f"PATH={icecc.parent}:{os.environ['PATH']}", *self._wrapped(["make"])]

    def _remotegate(self) -> list[str]:
        """The same by a gate, which is a client of the server itself."""
        icecc = self._farm()
        icecc.symlink_to(self.server.programs.stamp)
        remote = shlex.join([str(icecc), str(self.remote_log)])
        local = shlex.join([self.server.programs.stamp, str(self.log)])
        jobs = [f"{local if n % 2 else remote} {n} {self.seconds}\n" for n in range(self.jobs)]
        (self.directory / "jobs").write_text("".join(jobs))
        gate = [self.server.programs.jobgate, "--jobs-of=xargs", "--"]
        return [*gate, "xargs", "-a", "jobs", "-P", "64", "-L", "1", "env"]

    def _pytest(self) -> list[str]:
        text = PYTEST_FILE.format(jobs=self.jobs, log=str(self.log), seconds=self.seconds)
        (self.directory / "test_jobs.py").write_text(text)
        conftest = CONFTEST.format(asked=str(self.directory / "asked"))
        (self.directory / "conftest.py").write_text(conftest)
        pytest = find_tool("VENV_NEWEST", "python-venvs") + "/bin/pytest"
        workers = min(self.server.tokens, self.jobs)
        return [pytest, "-q", "-p", "no:cacheprovider", "-n", str(workers)]

    def _cargo(self) -> list[str]:
        """It asks the compiler for its version, too, so there are a few jobs more."""
        write_crates(self.directory, self.jobs)
        wrapper = self.directory / "rustc"
        wrapper.write_text(f'#!/bin/sh\nexec {self._job("rustc", "--")} "$@"\n')
        wrapper.chmod(0o755)
        variables = [f"RUSTC_WRAPPER={wrapper}", "CARGO_NET_OFFLINE=true"]
        return self._wrapped(["env", *variables, "cargo", "build", "-q"])

    def _recursive(self) -> list[str]:
        """Sub-makes, more than tokens, each of which runs four jobs one after the other."""
        parts = " ".join(f"part{number}" for number in range(self.jobs))
        (self.directory / "Makefile").write_text(
            f"PARTS = {parts}\nall: $(PARTS)\n$(PARTS): ; +@$(MAKE) -f part.mk PART=$@\n"
        )
        chain = "".join(f"{number}: {number - 1}\n" for number in range(1, 4))
        (self.directory / "part.mk").write_text(
            f"all: 3\n{chain}0 1 2 3: ; @exec {self._job('$(PART).$@')}\n"
        )
        return self._wrapped(["make", "--no-print-directory"])

    # --- what it does ---

    def first_ns(self) -> int | None:
        """When its first job began; or, of a make that is a client itself and has a slot that its
        parent gave it, the first that needed a token."""
        jobs = read_jobs(self.log)
        starts = jobs.with_another if self.counts_with_another else jobs.starts
        return min(starts) if starts else None

    def asked_ns(self) -> int:
        """From when on it may have waited."""
        asked = self.directory / "asked"
        return int(asked.read_text().split()[0]) if asked.exists() else self.started_ns

    def wait_for_first(self, limit_s: float = TIMEOUT_S) -> int:
        def has_begun() -> bool:
            if self.first_ns() is not None:
                return True
            if self.process.poll() is not None:
                raise Failure(f"{self.kind} has ended: {(self.directory / 'said').read_text()}")
            return False

        wait_until(has_begun, f"the first job of {self.kind}", limit_s)
        first = self.first_ns()
        assert first is not None
        return first

    def count_living(self) -> int:
        jobs = read_jobs(self.log)
        return len(jobs.starts) - len(jobs.ends)

    def end(self) -> None:
        """Jobs that have not begun do nothing, where that can be said; else it is ended."""
        self.stop_file.touch()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=TIMEOUT_S)

    def stop(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=10)
                return


def clean_environment() -> None:
    for name in list(os.environ):
        if name.startswith(("MAKE", "MFLAGS", "JOBWRAP", "CARGO_MAKEFLAGS", "PYTEST_")):
            if name != "MAKE441":
                del os.environ[name]


def below_jobwrap(programs: Programs, place: str, tokens: int, arguments: list[str]) -> object:
    """Runs this program as the command of a jobwrap that is the server; what it prints is JSON."""
    command = [programs.jobwrap, f"-j{tokens}", "--parent=none", "--", sys.executable]
    if "no-inotify" in place:
        command = [programs.refuse, "EMFILE", "inotify_init1", *command]
    done = subprocess.run(
        [*command, sys.argv[0], *arguments], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode != 0:
        raise Failure(f"below a jobwrap: exit status {done.returncode}: {done.stdout}")
    return json.loads(done.stdout)
