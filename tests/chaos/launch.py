#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""launch.py JSON

Starts builds beside one another, in this process's environment, and waits until all have ended.
JSON is a Launch; how each build has ended goes into the file DIRECTORY/statuses, by its number.
Below a jobwrap it says in DIRECTORY/fifo where the tokens are, waits for all of them in the end,
and says in DIRECTORY/missing if they are not back.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "lib"))

from build_kinds import Build, Programs, Server
from observe import count_free

BACK_S = 30.0
LOOK_PAUSE_S = 0.5


@dataclass
class Plan:
    """Of one build. They are numbered from 1 in the order of their start."""

    kind: str
    jobs: int
    job_s: float
    delay_s: float  # after the one before
    weight: int  # of the jobwrap around it, if there is one

    def directory(self, above: Path, number: int) -> Path:
        return above / f"{number}.{self.kind}"


@dataclass
class Launch:
    build: str  # the directory of the programs
    directory: str
    tokens: int
    file: str  # of steved, or "": below a jobwrap
    has_class: bool  # remote
    plans: list[Plan]

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Launch:
        fields = json.loads(text)
        fields["plans"] = [Plan(**plan) for plan in fields["plans"]]
        return Launch(**fields)


def read_statuses(directory: Path) -> dict[int, int]:
    file = directory / "statuses"
    if not file.exists():
        return {}
    return {int(number): status for number, status in json.loads(file.read_text()).items()}


def missing_tokens(stevectl: str, fifo: str, has_class: bool) -> str:
    """All but ours lie in the FIFO, or are free until somebody reads there.

    It is not open between two looks: a process that has it open may hold any number of tokens,
    so that none can be known to be lost.
    """
    deadline = time.monotonic() + BACK_S

    def get(name: str) -> int:
        return int(subprocess.check_output([stevectl, "--server", fifo, "get", name]))

    while True:
        jobs, free = get("jobs"), get("free")
        in_class = get("remote.held") if has_class else 0
        fd = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        lying = count_free(fd)
        os.close(fd)
        if lying + free == jobs - 1 and in_class == 0:
            return ""
        if time.monotonic() > deadline:
            return (
                f"of {jobs} tokens {lying} lie in the FIFO, and {free} are free;"
                f" of the class {in_class} are held"
            )
        time.sleep(LOOK_PAUSE_S)


def main() -> int:
    launch = Launch.from_json(sys.argv[1])
    directory = Path(launch.directory)
    fifo = "" if launch.file else os.environ["JOBWRAP_FIFO"]
    (directory / "fifo").write_text(fifo)
    server = Server(Programs(Path(launch.build)), "steved", launch.tokens, directory)
    server.file = launch.file or None
    builds = []
    for plan in launch.plans:
        time.sleep(plan.delay_s)
        options = [f"--weight={plan.weight}"]
        builds.append(Build(server, plan.kind, plan.jobs, plan.job_s, options))
    statuses = {number: build.process.wait() for number, build in enumerate(builds, 1)}
    new = directory / "statuses.new"
    new.write_text(json.dumps(statuses))
    new.rename(directory / "statuses")
    if fifo and (missing := missing_tokens(server.programs.stevectl, fifo, launch.has_class)):
        (directory / "missing").write_text(missing)
    return 0


if __name__ == "__main__":
    sys.exit(main())
