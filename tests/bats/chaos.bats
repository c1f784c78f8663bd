#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Random signals to anything while builds of all kinds run beside one another: see tests/chaos/chaos for
# what must hold. CHAOS_SECONDS: for how long others follow the seeds that are always tried (by default
# 15). `tests/chaos/chaos --seed N` shows a round again that has failed.

load ../lib/bash/common
load ../lib/bash/shim
load ../lib/bash/pytest

@test 'signals to anything, at any moment' {
    require_fuse
    require cargo
    require_tool MAKE441 NINJA113
    require_python VENV_NEWEST
    export VENV_NEWEST
    # A leak checker is a process of its own; who has started one that is killed spins for ever.
    without_leak_checker
    timeout 150 "$LIB/../chaos/chaos" --verbose --seed 1 --seed 2 --seed 3 --seed 5 --seed 6 \
        --seed 9 --seed 11 --seconds "${CHAOS_SECONDS:-15}"
}
