# SPDX-License-Identifier: GPL-2.0-or-later
"""Compile farms on one machine: real schedulers, servers, clients and compilers, in namespaces of
their own. Their cores are as slow as one likes: a compiler sleeps after its work, so that a small
machine plays many."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Callable

from observe import count_living, living_below
from stamp_log import Job, read_log

ADDRESS = "10.0.0.1"  # as in-farm-network has it
IS_INSIDE = "COMPILE_FARM_IS_INSIDE"
LIMIT_S = 60.0
COMPILERS = {"gcc": "cc1", "g++": "cc1plus"}
# What a compiler does, for its log: the engine's own jobs at home are `compile`, too.
KINDS = """\
case " $* " in
*" -DHOME "*) kind=local ;;
*" -E "*) kind=preprocess ;;
*" -c "*) kind=compile ;;
*) kind=other ;;
esac
"""
# Preprocessors' options do not come to nodes.
MEET_OPTION = "-frandom-seed=meet"
MEETING = f"""\
case " $* " in
*" {MEET_OPTION} "*) export STAMP_MEET=3 ;;
esac
"""


def enter_network() -> None:
    """Runs this program again where a farm can be; all that it starts ends with it."""
    if IS_INSIDE not in os.environ:
        tool = str(Path(__file__).with_name("in-farm-network"))
        words = [tool, sys.executable, *sys.argv]
        os.execve(tool, words, {**os.environ, IS_INSIDE: "1"})


class Failure(Exception):
    pass


def wait_until(condition: Callable[[], object], what: str, limit_s: float = LIMIT_S) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            raise Failure(f"waited {limit_s:.0f} s in vain: {what}")
        time.sleep(0.02)


def find(program: str) -> Path:
    path = shutil.which(program)
    if not path:
        raise Failure(f"no {program} on PATH")
    return Path(path)


def libraries_of(programs: Iterable[Path]) -> set[Path]:
    found: set[Path] = set()
    for program in programs:
        words = ["ldd", str(program)]
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        found |= {Path(word) for word in done.stdout.split() if word.startswith("/")}
    return found


def write_script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}")
    path.chmod(0o755)


def public_directory(path: Path) -> Path:
    path.mkdir()
    path.chmod(0o777)
    return path


class Compilers:
    """Those of a machine: scripts that stamp what they do, in a log for each kind of job. Where
    they meet, jobs with MEET_OPTION wait until there are three of them."""

    def __init__(self, stamp: Path, slowness: float, meets: bool = False) -> None:
        self.stamp, self.slowness, self.meets = stamp, slowness, meets

    def script(self, stamp: Path | str, logs: Path | str, real: Path | str) -> str:
        meeting = MEETING if self.meets else ""
        return (
            f"{KINDS}{meeting}export STAMP_SLOWNESS={self.slowness:g}\n"
            f'exec "{stamp}" "{logs}/$kind" $kind -- {shlex.quote(str(real))} "$@"\n'
        )

    def install(self, directory: Path, logs: Path) -> None:
        public_directory(directory)
        for name in COMPILERS:
            write_script(directory / name, self.script(self.stamp, logs, find(name)))

    def pack(self, path: Path) -> None:
        """What icecc takes to its nodes: a root whose compilers need nothing else."""
        files = {"usr/bin/stamp": self.stamp}
        for name in ("as", "sh", "true"):
            files[f"usr/bin/{name}"] = files[f"bin/{name}"] = find(name)
        for name, inner in COMPILERS.items():
            files[f"usr/bin/{name}.real"] = find(name)
            words = [name, f"-print-prog-name={inner}"]
            place = subprocess.check_output(words, text=True).strip()
            files[place.lstrip("/")] = Path(place)
        for library in libraries_of(files.values()):
            files[str(library).lstrip("/")] = library
        script = path.with_suffix(".script")
        with tarfile.open(path, "w", dereference=True) as tar:
            for name, file in files.items():
                tar.add(file, name)
            for name in COMPILERS:
                write_script(script, self.script("/usr/bin/stamp", "/tmp", f"/usr/bin/{name}.real"))
                tar.add(script, f"usr/bin/{name}")
            tmp = tarfile.TarInfo("tmp")
            tmp.type, tmp.mode = tarfile.DIRTYPE, 0o1777
            tar.addfile(tmp)


class Farm(ABC):
    """An engine with its servers, and what a machine that uses it needs. Below `work`: bin, what is
    first on PATH there; jobs, the logs of what runs there. Home slots: how many jobs the engine may
    compile there by itself."""

    name = ""
    # At home, while no node is lost; 0: the engine promises nothing.
    preprocessors_max = 0
    # Does it say at which node a job runs?
    tells_places = False

    def __init__(self, root: Path, work: Path, compilers: Compilers, home_slots: int = 2) -> None:
        self.root, self.work, self.compilers = root, work, compilers
        self.home_slots = home_slots
        self.nodes: dict[str, subprocess.Popen[bytes]] = {}
        libraries = {str(path.parent) for path in root.rglob("*.so.*")}
        self.libraries = ":".join(sorted(libraries))
        public_directory(work / "jobs")

    def install_launcher(self) -> None:
        """And links to it by the names of compilers, for those who have these first on PATH."""
        program = shlex.quote(f"{self.root}/usr/bin/{self.name}")
        become = f'LD_LIBRARY_PATH={shlex.quote(self.libraries)} exec -a "$0" {program} "$@"'
        words = [str(self.compilers.stamp), str(self.work / "jobs" / "launcher"), "launcher", "--"]
        words += ["bash", "-c", become]
        write_script(self.work / "bin" / self.name, f'exec {shlex.join(words)} "${{0##*/}}" "$@"\n')
        links = public_directory(self.work / "links")
        for name in COMPILERS:
            (links / name).symlink_to(f"../bin/{self.name}")

    def serve(self, command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
        with open(self.work / "servers.log", "ab") as out:
            return subprocess.Popen(
                [str(self.root / command[0]), *command[1:]],
                env={**os.environ, "LD_LIBRARY_PATH": self.libraries, **environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )

    @staticmethod
    def kill(server: subprocess.Popen[bytes]) -> None:
        """With the jobs that it runs, as when the machine has gone."""
        server.send_signal(signal.SIGSTOP)
        for pid in [server.pid, *living_below(server.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        server.wait()

    def close(self) -> None:
        self.kill_all()

    def kill_node(self, name: str) -> None:
        self.kill(self.nodes[name])

    def kill_all(self) -> None:
        for node in self.nodes.values():
            if node.poll() is None:
                self.kill(node)

    def stamps(self, node: str) -> list[Job]:
        """What has been compiled there."""
        return [job for log in self.logs(node) for job in read_log(str(log))]

    def compiled(self, since_ns: int) -> list[Job]:
        """By all nodes."""
        jobs = [job for node in self.nodes for job in self.stamps(node)]
        return [job for job in jobs if job.start_ns > since_ns]

    def running(self, node: str) -> int:
        living = 0
        for log in self.logs(node):
            with open(log, "r+b") as file:
                living += count_living(file.fileno())
        return living

    @abstractmethod
    def start(self) -> None:
        """What there is without nodes."""

    @abstractmethod
    def add_node(self, name: str, slots: int) -> None: ...

    @abstractmethod
    def warm(self, name: str, environment: dict[str, str]) -> None:
        """What a node's first job would wait for; the environment is that of a build."""

    @abstractmethod
    def slots_known(self) -> int:
        """What the engine says."""

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """Of a build."""

    @abstractmethod
    def followed(self) -> str:
        """How stevefarm is told of it."""

    @abstractmethod
    def logs(self, node: str) -> list[Path]: ...


class Icecc(Farm):
    name = "icecc"
    port = 8766
    node_port = 10300
    home_socket = "/run/icecc/iceccd.socket"
    tells_places = True

    def __init__(self, root: Path, work: Path, compilers: Compilers, home_slots: int = 2) -> None:
        super().__init__(root, work, compilers, home_slots)
        self.packed = work / "compilers.tar"
        compilers.pack(self.packed)
        self.start()
        self.home = self.start_daemon("home", ["--no-remote", "-m", str(self.home_slots)], {})

    def start(self) -> None:
        command = ["usr/sbin/icecc-scheduler", "-n", "test", "-u", "nobody"]
        self.scheduler = self.serve(command, {})
        wait_until(self.ask, "icecc-scheduler answers")

    def start_daemon(
        self, name: str, options: list[str], environment: dict[str, str]
    ) -> subprocess.Popen[bytes]:
        command = ["usr/sbin/iceccd", "-n", "test", "-s", ADDRESS, "-N", name, "-u", "nobody"]
        # It looks for a scheduler that has gone after three seconds, and not after 20 to 51.
        own = {"ICECC_TESTS": "1", **environment}
        return self.serve([*command, "-b", str(self.work / name), *options], own)

    def add_node(self, name: str, slots: int) -> None:
        port = self.node_port + len(self.nodes)
        environment = {"ICECC_TEST_SOCKET": str(self.work / f"{name}.socket")}
        options = ["-p", str(port), "-m", str(slots)]
        self.nodes[name] = self.start_daemon(name, options, environment)

    def warm(self, name: str, environment: dict[str, str]) -> None:
        """While a node unpacks the compilers, others get its jobs, and so does the client."""
        (self.work / "warm.c").write_text("")
        words = ["icecc", "gcc", "-c", str(self.work / "warm.c"), "-o", str(self.work / "warm.o")]
        deadline = time.monotonic() + LIMIT_S
        while not self.stamps(name):
            if time.monotonic() > deadline:
                raise Failure(f"{name} compiles nothing")
            subprocess.run(words, env={**environment, "ICECC_PREFERRED_HOST": name}, check=True)

    def kill_all(self) -> None:
        super().kill_all()
        self.kill(self.scheduler)

    def close(self) -> None:
        super().close()
        self.kill(self.home)

    def ask(self) -> list[str]:
        """What the scheduler says of nodes."""
        lines: list[str] = []
        with contextlib.suppress(OSError), socket.create_connection((ADDRESS, self.port)) as to:
            said = to.makefile()
            said.readline()
            to.sendall(b"listcs\n")
            for line in said:
                lines.append(line)
                if line.startswith("200 done"):
                    return lines
        return []

    def wake_daemons(self) -> None:
        """They connect, and tell that they are idle, whenever they have nothing to do for three
        seconds, or something to do: for that a caller will do who says nothing."""
        for number in range(len(self.nodes)):
            with contextlib.suppress(OSError):
                socket.create_connection((ADDRESS, self.node_port + number)).close()
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as to:
            to.connect(self.home_socket)

    def slots_known(self) -> int:
        slots = 0
        self.wake_daemons()
        for line in self.ask():
            found = re.search(r":(\d+)\) .* jobs=\d+/(\d+) load=(\d+)$", line)
            if found and int(found[1]) and int(found[3]) < 1000:
                slots += int(found[2])
        return slots

    def environment(self) -> dict[str, str]:
        return {"ICECC_VERSION": str(self.packed)}

    def followed(self) -> str:
        return f"icecc:{ADDRESS}"

    def logs(self, node: str) -> list[Path]:
        return sorted((self.work / node).glob("target=*/*/tmp/compile"))


class Distcc(Farm):
    name = "distcc"
    preprocessors_max = 2
    port = 3700
    stats_port = 3800
    nodes_max = 8

    def __init__(self, root: Path, work: Path, compilers: Compilers, home_slots: int = 2) -> None:
        super().__init__(root, work, compilers, home_slots)
        self.hosts = public_directory(work / "state") / "hosts"
        self.start()

    def start(self) -> None:
        options = [f"--localslots={self.home_slots or 1}"]
        options += [f"--localslots_cpp={self.preprocessors_max}"]
        self.hosts.write_text(f"{' '.join(options)}\n")

    def add_node(self, name: str, slots: int) -> None:
        number = len(self.nodes)
        directory = public_directory(self.work / name)
        self.compilers.install(directory / "bin", directory)
        command = ["usr/bin/distccd", "--no-detach", "--daemon", "--user", "nobody", "--stats"]
        command += ["--allow", f"{ADDRESS}/24", "--jobs", str(slots), "--enable-tcp-insecure"]
        command += ["--port", str(self.port + number)]
        command += ["--stats-port", str(self.stats_port + number)]
        path = f"{directory}/bin:{os.environ['PATH']}"
        self.nodes[name] = self.serve(command, {"PATH": path})
        wait_until(lambda: self.slots_of(number), f"{name} answers")
        with open(self.hosts, "a") as hosts:
            hosts.write(f"{ADDRESS}:{self.port + number}/{slots}\n")

    def warm(self, name: str, environment: dict[str, str]) -> None:
        pass

    def slots_of(self, number: int) -> int:
        place = (ADDRESS, self.stats_port + number)
        with contextlib.suppress(OSError), socket.create_connection(place, 1) as to:
            to.sendall(b"GET / HTTP/1.0\r\n\r\n")
            found = re.search(r"dcc_max_kids (\d+)", to.makefile().read())
            return int(found[1]) if found else 0
        return 0

    def slots_known(self) -> int:
        return sum(self.slots_of(number) for number in range(self.nodes_max))

    def environment(self) -> dict[str, str]:
        # A gcc by another name would be none of ours.
        return {"DISTCC_DIR": str(self.work / "state"), "DISTCC_NO_REWRITE_CROSS": "1"}

    def followed(self) -> str:
        places = [f"{ADDRESS}:{self.stats_port + number}" for number in range(self.nodes_max)]
        return f"distcc:{','.join(places)}"

    def logs(self, node: str) -> list[Path]:
        return sorted((self.work / node).glob("compile"))


ENGINES: dict[str, type[Farm]] = {"icecc": Icecc, "distcc": Distcc}
