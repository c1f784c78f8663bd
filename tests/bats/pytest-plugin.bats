#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# pytest with its plugin: as many workers at once as there are tokens and the slot, in each mode.
# needs_the_plain_build: sanitizers see nothing of Python programs.

# shellcheck disable=SC2153,SC2154 # common.bash sets SERVER and spawned, run sets status and output
load ../lib/bash/common
load ../lib/bash/shim
load ../lib/bash/pytest

# in_modes MODE...: 200 tests by 6 workers with 3 tokens, in these ways to share them out.
in_modes() {
    local mode
    suite many {a..h}
    below_fifo 3
    for mode in "$@"; do
        echo "--dist $mode"
        MEET=4 passes 200 -n 6 --dist "$mode"
        exactly 4
        ran 200
        all_back 3
    done
}

@test '200 tests, 6 workers, 3 tokens: exactly 4 at once in each mode' {
    in_modes load loadscope loadgroup worksteal
}

@test '200 tests, 6 workers, 3 tokens: so it is with the oldest versions' {
    use_pytest oldest
    in_modes load loadscope loadgroup
}

@test '--dist each: four workers run all of 100 tests each, exactly 3 at once' {
    suite many {a..d}
    below_fifo 2
    for name in newest oldest; do
        use_pytest "$name"
        MEET=3 passes 400 --dist each --tx '4*popen'
        exactly 3
        ran 400
        all_back 2
    done
}

@test 'no token but the slot: exactly one works at a time, be it collecting or testing' {
    suite many {a..d}
    below_fifo 0
    COLLECT_SECONDS=0.02 TESTS=10 passes 40 -n 4
    exactly 1 $((4 * 4 + 40))
    all_back 0
}

@test 'the slot is for whoever needs it: a worker that idles leaves it to another' {
    # The first worker has one short test, and others must go on without a single token.
    suite many a b
    below_fifo 0
    TESTS=30 passes 60 -n 3 --dist loadscope
    exactly 1
    [ "$(sed -n 's/^end test.*\.gw\([0-9]*\) .*/\1/p' "$LOG" | sort -u | wc -l)" -ge 2 ]
}

@test 'fixtures of each scope are set up and torn down within a token' {
    suite fixtures {a..f}
    below_fifo 1
    passes 48 -n 4
    exactly 2
    all_back 1
    passes 48
    exactly 1
    all_back 1
}

@test 'without xdist it runs on the slot' {
    suite many
    below_fifo 0
    passes 25
    exactly 1 26
    PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 passes 25 -p jobserver
    exactly 1 26
    passes 25 -p no:xdist
    exactly 1 26
    all_back 0
}

@test 'as Gentoo loads plugins: PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 -p jobserver -p xdist' {
    suite many {a..d}
    below_fifo 1
    export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1
    MEET=2 passes 100 -p jobserver -p xdist -n 4
    exactly 2
    MEET=2 passes 100 -p xdist -p jobserver -n 4
    exactly 2
    all_back 1
    # Not asked for, it has no say.
    MEET=4 passes 100 -p xdist -n 4
    exactly 4
}

@test 'named twice it is loaded once' {
    suite many {a..d}
    below_fifo 1
    MEET=2 passes 100 -p jobserver -n 4
    exactly 2
    all_back 1
}

@test 'no jobserver: nothing changes, and nothing is said' {
    suite many {a..d}
    MEET=4 passes 100 -n 4
    run ! grep -i token said
    passes 100
    run ! grep -i token said
}
