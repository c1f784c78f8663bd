# SPDX-License-Identifier: GPL-2.0-or-later
"""What `stamp` has written: its jobs, and how many of them ran at once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Job:
    name: str
    start_ns: int
    living: int
    end_ns: int | None = None


class BadLog(Exception):
    pass


def read_log(path: str) -> list[Job]:
    jobs: list[Job] = []
    running: dict[tuple[str, str], Job] = {}
    with open(path, encoding="utf-8") as log:
        for number, line in enumerate(log, 1):
            words = line.split()
            if len(words) == 5 and words[0] == "start":
                job = Job(words[1], int(words[3]), int(words[4]))
                running[words[1], words[2]] = job
                jobs.append(job)
            elif len(words) == 4 and words[0] == "end":
                ended = running.pop((words[1], words[2]), None)
                if ended is None:
                    raise BadLog(f"{path}:{number}: end of a job that has not started")
                ended.end_ns = int(words[3])
            else:
                raise BadLog(f"{path}:{number}: not a line of stamp: '{line.strip()}'")
    return jobs


def overlap(jobs: list[Job]) -> tuple[int, float, float]:
    """Highest and mean concurrency of the jobs that have ended, and the seconds they took."""
    steps: list[tuple[int, int]] = []
    for job in jobs:
        if job.end_ns is not None:
            steps += [(job.start_ns, 1), (job.end_ns, -1)]
    if not steps:
        return 0, 0.0, 0.0
    steps.sort()  # an end before a start of the same moment
    running = highest = area = 0
    last = steps[0][0]
    for moment, step in steps:
        area += running * (moment - last)
        running += step
        highest = max(highest, running)
        last = moment
    span = steps[-1][0] - steps[0][0]
    return highest, area / span if span else float(highest), span / 1e9
