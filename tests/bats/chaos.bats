#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Random signals to anything while builds of all kinds run beside one another: see tests/chaos/chaos for
# what must hold. CHAOS_SECONDS: until when others follow the seeds that are always tried (by default 25;
# 7200 for a release). `tests/chaos/chaos --seed N` shows a round again that has failed.

load ../lib/bash/common
load ../lib/bash/shim
load ../lib/bash/pytest

@test 'signals to anything, at any moment' {
    local seed seeds=()
    require_fuse
    require cargo
    require_tool MAKE441 NINJA113
    require_python VENV_NEWEST
    export VENV_NEWEST
    # A leak checker is a process of its own; who has started one that is killed spins for ever.
    without_leak_checker
    for seed in 125230 196367 224613 314426 369317 410895 419834 534646 549904 944372; do
        seeds+=(--seed "$seed")
    done
    timeout 150 "$LIB/../chaos/chaos" --verbose "${seeds[@]}" --seconds "${CHAOS_SECONDS:-25}"
}
