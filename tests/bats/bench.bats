#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# The tool that compares builds that share tokens with builds that do not: that each way is what it says.
# needs_the_plain_build: its figures are those of programs as they are installed.

load ../lib/bash/common

@test 'bench: builds by all ways' {
    require_fuse
    require_root
    require_tool MAKE441 NINJA113
    [ -w /sys/fs/cgroup/memory ] || [ -w /sys/fs/cgroup/cgroup.subtree_control ] || missing 'no memory groups'
    [ "$(nproc)" -ge 2 ] || missing 'one processor only'
    at_once 2
    run -0 --separate-stderr taskset -c "$(two_cpus)" \
        "$ROOT/tests/bench/run" --build "$BUILD" --tiny --rounds 1 builds
    echo "$output"
    [ "${#lines[@]}" = 8 ]
    [[ ${lines[0]} == '2 builds (tiny-make, tiny-ninja), 2 tokens, 1 rounds' ]]
    # Where tokens are shared each client of make's protocol may have one job more, but for jobwrap's.
    [ "$(jobs_of '-j2 each')" -le 4 ]
    [ "$(jobs_of 'in turn, -j2')" = 2 ]
    [ "$(jobs_of 'plain FIFO')" -le 4 ]
    [ "$(jobs_of 'jobwrap')" = 2 ]
    run ! grep -v ' 0 | 0 |$' < <(printf '%s\n' "${lines[@]:3}")
}

two_cpus() {
    python3 -c 'import os; print(*sorted(os.sched_getaffinity(0))[:2], sep=",")'
}

# jobs_of WAY: the most at once.
jobs_of() {
    printf '%s\n' "${lines[@]}" | awk -F ' *[|] *' -v way="$1" '$2 == way { print $7 }'
}
