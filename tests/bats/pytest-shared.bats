#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# pytest with its plugin beside others at one pool: steved, jobwrap, make and ninja.

# shellcheck disable=SC2154 # common.bash sets spawned, run sets status and output
load common
load shim
load pytest

setup() {
    pytest_setup
    needs_the_plain_build
}

below_steved() {
    start_steved --jobs "$1"
    export MAKEFLAGS=" -j$1 --jobserver-auth=fifo:$SERVER"
}

steved_is_whole() {
    wait_for 5 steved_has free "$(steved_get jobs)"
    [ "$(steved_get dropped)" = 0 ]
}

@test 'steved: nobody has paid for the slot, so exactly as many as it has tokens' {
    suite many {a..h}
    below_steved 3
    for name in newest oldest; do
        use_pytest "$name"
        MEET=3 passes 200 -n 6
        exactly 3
        steved_is_whole
        [ "$(steved_get reclaimed)" = 0 ]
    done
    passes 200
    exactly 1
    steved_is_whole
}

@test 'jobwrap -j3: exactly 3, and a single token is enough' {
    suite many {a..h}
    unset MAKEFLAGS
    PYTEST_PLAIN=$PYTEST
    for style in fifo auto; do
        MEET=3
        [ $style = fifo ] || ! is_old_make || continue
        wrapped=("$JOBWRAP" -j3 --parent=none --style=$style --)
        PYTEST=$BATS_TEST_TMPDIR/wrapped
        { echo '#!/bin/sh'; printf 'exec'; printf ' "%s"' "${wrapped[@]}" "$PYTEST_PLAIN"; echo ' "$@"'; } \
            >"$PYTEST"
        chmod +x "$PYTEST"
        MEET=3 passes 200 -n 8
        exactly 3
    done
    sed -i 's/"-j3"/"-j1"/' "$PYTEST"
    passes 200 -n 8
    exactly 1
}

# --style=auto is R,W where a make of 4.3 may be called.
is_old_make() {
    ! make --version | head -n 1 | grep -qE ' 4\.([4-9]|[1-9][0-9])|[5-9]\.'
}

@test 'jobwrap at steved: exactly as many as there are tokens, and all come back' {
    suite many {a..h}
    below_steved 3
    unset MAKEFLAGS
    MEET=3
    export MEET
    run "$LIB/subreaper" "$JOBWRAP" --parent="$SERVER" --style=fifo -- \
        "$PYTEST" -p no:cacheprovider -n 6 3>&-
    echo "$output"
    [ "$status" = 0 ]
    [[ $output == *' 200 passed in '* ]]
    exactly 3
    steved_is_whole
}

# together NAME COMMAND...: in the background, with a log of its own.
together() {
    local name=$1
    shift
    LOG=$BATS_TEST_TMPDIR/$name.log spawn "$@" >"$name.said" 2>&1
    TOGETHER+=("$spawned")
}

@test 'two runs, a make and a ninja at one steved: all end, never more than the pool in all' {
    require_tool MAKE441
    suite many {a..h}
    use_ninja 1.11
    "$LIB/make-tree" made 0.02 "$LOG"
    "$LIB/make-ninja-tree" --jobs 60 ninja "$LOG"
    below_steved 4
    TOGETHER=()
    # One log, so that each start counts the jobs of all.
    spawn "$JOBWRAP" --parent="$SERVER" --style=fifo -- "$MAKE441" -C made >make.said 2>&1
    TOGETHER+=("$spawned")
    MEET=1 spawn "$JOBWRAP" --parent="$SERVER" --style=fifo -- "$NINJA_SHIM" -C ninja >ninja.said 2>&1
    TOGETHER+=("$spawned")
    for number in 1 2; do
        spawn "$PYTEST" -p no:cacheprovider -n 4 >"pytest$number.said" 2>&1
        TOGETHER+=("$spawned")
    done
    for pid in "${TOGETHER[@]}"; do
        status_of "$pid" 120
        [ "$status" = 0 ] || { tail -n 20 ./*.said && return 1; }
    done
    exactly 4
    ran 400
    [ "$(grep -c ' passed in ' pytest1.said pytest2.said)" = $'pytest1.said:1\npytest2.said:1' ]
    steved_is_whole
}

# --- giving a token up to those who wait ---

# a_make JOBS: its jobs meet, so that it cannot end on its slot alone.
a_make() {
    local number
    {
        echo 'all:'
        for number in $(seq "$1"); do
            printf 'all: %s\n%s:\n\t@"%s" make.log make.%s -- sh met.sh\n' \
                "$number" "$number" "$STAMP" "$number"
        done
    } >Makefile
    cat >met.sh <<END
until [ -e make.met ]; do
    [ "\$("$STAMP" --living make.log)" -lt $1 ] || : >make.met
    sleep 0.01
done
END
}

# make_has_a_turn [ARGUMENT...]: beside a run that has enough to do for minutes, and all tokens.
make_has_a_turn() {
    TESTS=500 JOB_SECONDS=0.06 pytest_spawn "$@"
    wait_for 30 runs '[a-d]\.3'
    runner=$spawned
    rm -f make.log make.met
    spawn "$MAKE441" -s
    # The slot is one job; the other needs a token, which the run does not need to have for ever.
    status_of "$spawned" 40
    [ "$status" = 0 ]
    is_alive "$runner"
    kill -s INT -- "-$runner"
    spawned=$runner
    spawned_status
    [ "$status" = 2 ]
}

@test 'a make that waits gets a token between two tests, at a FIFO' {
    require_tool MAKE441
    suite many {a..d}
    below_fifo 1
    a_make 2
    make_has_a_turn -n 2
    wait_for 5 all_back 1
    # One that is not distributed keeps no token that it does not need.
    make_has_a_turn
    wait_for 5 all_back 1
}

@test 'a make that waits gets a token between two tests, at steved' {
    require_tool MAKE441
    suite many {a..d}
    a_make 2
    below_steved 2
    make_has_a_turn -n 2
    steved_is_whole
    below_steved 1
    make_has_a_turn
    steved_is_whole
}
