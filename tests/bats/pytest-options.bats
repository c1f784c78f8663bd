#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# pytest with its plugin: how the jobserver is named, what it says of it, and the results of the tests.
# needs_the_plain_build: sanitizers see nothing of Python programs.

# shellcheck disable=SC2153,SC2154 # common.bash sets SERVER and spawned, run sets status and output
load ../lib/bash/common
load ../lib/bash/shim
load ../lib/bash/pytest

# --- where the jobserver is named ---

# below_named K: a FIFO that no variable names.
below_named() {
    below_fifo "$1"
    unset MAKEFLAGS
}

@test 'the jobserver of CARGO_MAKEFLAGS, JOBWRAP_FIFO, PYTEST_JOBSERVER' {
    suite many {a..d}
    below_named 1
    CARGO_MAKEFLAGS="-j --jobserver-auth=fifo:$PARENT" MEET=2 passes 100 -n 4
    exactly 2
    # In MAKEFLAGS, descriptors that a make of 4.3 has closed.
    MAKEFLAGS=' -j3 --jobserver-auth=97,98' JOBWRAP_FIFO=$PARENT MEET=2 passes 100 -n 4
    exactly 2
    all_back 1
    # Nobody paid for the slot of those whom the user names.
    PYTEST_JOBSERVER=$PARENT MEET=1 passes 100 -n 4
    exactly 1
    all_back 1
}

# workers N [ARGUMENT...]: -n auto starts that many.
workers() {
    rm -f "$LOG" "$LOG.met"
    run -0 "$PYTEST" -p no:cacheprovider -n auto "${@:2}"
    [[ $output == *"$1 workers [25 items]"* ]]
}

@test '-n auto: as many workers as the jobserver has jobs, however many CPUs there are' {
    suite many
    below_fifo 4
    workers 5
    # The jobserver of a jobwrap, by descriptors that are closed.
    MAKEFLAGS=' --jobserver-auth=97,98' JOBWRAP_FIFO=$PARENT JOBWRAP_JOBS=6 workers 6
    PYTEST_XDIST_AUTO_NUM_WORKERS=3 workers 3
    workers 2 --maxprocesses 2
    unset MAKEFLAGS
    PYTEST_XDIST_AUTO_NUM_WORKERS=3 workers 3
    use_pytest oldest
    export MAKEFLAGS=" -j4 --jobserver-auth=fifo:$PARENT"
    run -0 "$PYTEST" -p no:cacheprovider -n auto
    [[ $output == *'gw3 [25]'* && $output != *gw4* ]]
    below_steved 3
    export MAKEFLAGS="--jobserver-auth=fifo:$SERVER"
    use_pytest newest
    workers 3
    # A jobwrap that borrows what it needs, and has next to nothing yet.
    run -0 env -u MAKEFLAGS "$JOBWRAP" -j3 --parent=none -- "$JOBWRAP" -- "$PYTEST" -p no:cacheprovider -n auto
    [[ $output == *'3 workers [25 items]'* ]]
}

@test '--jobserver PATH, whatever the environment says' {
    suite many {a..d}
    below_named 1
    MAKEFLAGS=--jobserver-auth=fifo:/nowhere passes 100 -n 4 --jobserver "$PARENT"
    exactly 1
    passes 100 --jobserver "$PARENT"
    exactly 1
    all_back 1
}

@test 'a path below the directory in which pytest was started' {
    suite many
    below_named 1
    mkdir below
    passes 25 -n 2 --jobserver "${PARENT##*/}"
    exactly 1
    all_back 1
}

@test 'an unreachable jobserver: one line, and the run goes on' {
    suite many
    for auth in fifo:/nowhere fifo:/dev/null fifo: 97,98; do
        for workers in 0 2; do
            export MAKEFLAGS=" -j3 --jobserver-auth=$auth"
            pytest_run -n "$workers"
            [ "$status" = 0 ]
            ran 25
            [ "$(grep -c '^jobserver: .*; the run goes on without it' said)" = 1 ]
            [ "$(grep -c '^jobserver:' said)" = 1 ]
        done
    done
}

@test 'R,W: without xdist as any other; with it one line says what to do' {
    suite many {a..d}
    below_pipe 1
    passes 100
    exactly 1
    all_back 1
    passes 100 -n 4
    [ "$(grep -c '^jobserver: .*do not inherit.*fifo' said)" = 1 ]
    exactly 1
    all_back 1
}

# --- what it says and offers ---

@test 'a line in the header and one in the summary' {
    suite many {a..d}
    below_fifo 2
    MEET=3 passes 100 -n 4
    grep -q "^jobserver: .*$PARENT" said
    # The tests, and how many were at it at once.
    [[ $(grep -A 3 -i 'jobserver.*=\|= .*jobserver' said; grep '^jobserver:' said) == *100*3* ]]
}

@test 'the fixture jobserver, for tests that start jobs themselves' {
    suite many
    below_fifo 1
    cat >test_a.py <<'END'
def test_fixture(jobserver):
    assert jobserver is not None
END
    passes 1
    passes 1 -n 1
    MAKEFLAGS='' passes 1 -p no:xdist
    all_back 1
}

# --- results ---

@test 'a failed run: -x and --maxfail' {
    suite many {a..d}
    below_fifo 1
    for arguments in '-x' '-n 4 -x' '-n 4 --maxfail=2' '-n 4'; do
        # shellcheck disable=SC2086 # words
        FAIL='b.3 b.4 c.0' pytest_run $arguments
        [ "$status" = 1 ] || [ "$status" = 2 ]
        [[ $output == *' failed'* ]]
        all_back 1
    done
}

@test 'errors of collection, of options, and no tests at all' {
    suite many {a..d}
    below_fifo 1
    echo 'raise ValueError' >test_broken.py
    for workers in 0 2; do
        pytest_run -n "$workers"
        [ "$status" != 0 ]
        all_back 1
        pytest_run -n "$workers" --no-such-option
        [ "$status" = 4 ]
        all_back 1
        pytest_run -n "$workers" -k nothing_like_it --ignore test_broken.py
        [ "$status" = 5 ]
        all_back 1
        pytest_run -n "$workers" --collect-only -q --ignore test_broken.py
        [ "$status" = 0 ]
        all_back 1
    done
}

# What a real suite's tests do, in short: their names and results.
results_of() {
    sed -n 's/.*<testcase classname="\([^"]*\)" name="\([^"]*\)".*/\1 \2/p' "$1" | sort
    grep -o '<\(failure\|error\|skipped\)' "$1" | sort | uniq -c
    grep -o ' \(errors\|failures\|skipped\|tests\)="[0-9]*"' "$1"
}

@test "a real project's suite: the same results with the plugin and without" {
    require_python REAL_SUITE
    cp -a "$REAL_SUITE" project
    cd project
    below_fifo 4
    unset PYTHONPATH
    export XDG_CACHE_HOME=$BATS_TEST_TMPDIR/cache
    # Five of its 1351 tests take as long as all others.
    pytest_run -q -n 2 --junitxml=off.xml -k 'not on_itself' -p no:jobserver
    pytest_run -q -n 2 --junitxml=on.xml -k 'not on_itself'
    [ "$status" = 0 ]
    sed -i 's/></>\n</g' off.xml on.xml
    results_of off.xml >off
    results_of on.xml >on
    cmp on off
    [ "$(wc -l <on)" -gt 1000 ]
    all_back 4
}
