#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Builds that use steved directly, and builds while its number of jobs is changed.

# shellcheck disable=SC2016 # what single quotes hold is make's
# shellcheck disable=SC2154 # common.bash sets spawned
load ../lib/bash/common

setup() {
    common_setup
    require_tool MAKE441
    cd "$BATS_TEST_TMPDIR" || return
    export LOG=$BATS_TEST_TMPDIR/log
}

# started NUMBER: that many jobs began, and no others.
started() {
    [ "$(grep -c ^start "$LOG")" = "$1" ]
}

set_jobs() {
    "$STEVECTL" --server "$SERVER" set jobs="$1"
}

@test 'two makes 4.4.1 directly at steved: N jobs and two that nobody paid for, and the status says so' {
    start_steved --jobs 3
    mkfifo gate
    exec {gate}<>gate
    "$LIB/make-tree" a "-- sh -c 'read -r _ <$PWD/gate'" "$LOG"
    "$LIB/make-tree" b "-- sh -c 'read -r _ <$PWD/gate'" "$LOG"
    export MAKEFLAGS="--jobserver-auth=fifo:$SERVER"
    spawn_gated "$MAKE441" -C a
    first=$spawned
    spawn_gated "$MAKE441" -C b
    second=$spawned
    wait_for 20 lives_jobs 5
    steved_has unpaid 2
    run -0 "$STEVECTL" --server "$SERVER" status
    [[ $output =~ unpaid\ +2\ .*'nobody pays' ]]
    let_end 120
    status_of "$first"
    [ "$status" = 0 ]
    status_of "$second"
    [ "$status" = 0 ]
    exactly 5 120
    wait_for 10 steved_has free 3
    steved_has unpaid 0
    [ "$(steved_get reclaimed) $(steved_get dropped)" = '0 0' ]
}

@test 'set jobs down to 1 and up to 8 during a direct build: its jobs follow, upward at once' {
    start_steved --jobs 4
    gated_jobs 24
    MAKEFLAGS="--jobserver-auth=fifo:$SERVER" spawn_gated "$MAKE441"
    # One more than the tokens: its own implicit slot is not paid for.
    wait_for 10 lives_jobs 5
    set_jobs 1
    steved_has debt 3
    # What runs runs on; what ends is not followed by another, until the debt is paid.
    let_end 3
    wait_for 10 lives_jobs 2
    wait_for 10 steved_has debt 0
    steved_has held 1
    started 5
    let_end 1
    wait_for 10 started 6
    lives_jobs 2
    # Nothing ends now: that there are more is the doing of the new number alone.
    set_jobs 8
    wait_for 10 lives_jobs 9
    started 13
    steved_has held 8
    let_end 20
    status_of "$spawned"
    [ "$status" = 0 ]
    exactly 9 24
    wait_for 10 steved_has free 8
}

# A job that ends may be followed by another before jobwrap has its token, which is why they end one
# by one until steved has what it asks for. Three tokens take about five ends, as make and jobwrap are
# first about as often; 15, which was the limit, is passed by chance in one run of some hundred.
wrapped_jobs_follow() {
    start_steved --jobs 4
    gated_jobs 60
    spawn_gated "$JOBWRAP" --parent="$SERVER" "$1"
    wait_for 10 lives_jobs 4
    let_out=0
    set_jobs 1
    wait_for 120 debt_is_paid
    wait_for 10 lives_jobs 1
    steved_has held 1
    started $((let_out + 1))
    echo "$let_out jobs ended until one was left"
    [ "$let_out" -le 30 ]
    # Nothing ends now.
    set_jobs 8
    wait_for 10 lives_jobs 8
    started $((let_out + 8))
    steved_has held 8
    let_end $((60 - let_out))
    status_of "$spawned"
    [ "$status" = 0 ]
    exactly 8 60
    wait_for 10 steved_has free 8
}

# If not, and the last job that was told to has ended, and its token is steved's or the next job's, lets
# another one end.
debt_is_paid() {
    ! steved_has debt 0 || return 0
    if [ "$(grep -c ^end "$LOG")" = $let_out ] && lives_jobs "$(steved_get held)"; then
        let_out=$((let_out + 1))
        let_end 1
    fi
    return 1
}

@test 'set jobs down to 1 and up to 8 around jobwrap make: its jobs follow, upward at once' {
    wrapped_jobs_follow make
}

@test 'set jobs down to 1 and up to 8 around jobwrap make 4.4.1: its jobs follow, upward at once' {
    wrapped_jobs_follow "$MAKE441"
}
