#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Processes that block whoever looks at them hold up nobody else, and not for ever.

# shellcheck disable=SC2016 # what is in single quotes is another shell's
load ../lib/bash/common
load ../lib/bash/steved

setup() {
    common_setup
    require_fuse
    DIR=$BATS_TEST_TMPDIR/blocking
    mkdir "$DIR"
    STEVED_MOUNTS+=("$DIR")
}

# blocking_client [JOBSERVER]: on $DIR; its file system is served.
blocking_client() {
    spawn "$BUILD/tests/lib/blocking-client" "$DIR" "$@"
    wait_for 10 is_mounted "$DIR"
}

# Both threads: see tests/lib/blocking_client.c.
is_locked() {
    [ "$(cat /proc/"$1"/task/*/stat | grep -c ') D ')" = 2 ]
}

child_of() {
    cat "/proc/$1/task/$1/children"
}

has_child() {
    [ -n "$(child_of "$1")" ]
}

# locked_client JOBSERVER: a holder whose memory is locked; its pid is in $locked.
locked_client() {
    blocking_client "$1"
    wait_for 10 has_child "$spawned"
    locked=$(($(child_of "$spawned")))
    wait_for 10 is_locked "$locked"
}

@test 'a client that locks its memory: steved serves all others, and the status is shown without it' {
    start_steved --jobs 2
    locked_client "$SERVER"
    # Through a pipe, which nobody keeps open; all the time others are answered.
    spawn bash -c '"$1" --server "$2" status | cat >"$3"' - "$STEVECTL" "$SERVER" "$BATS_TEST_TMPDIR/said"
    while is_alive "$spawned"; do
        [ "$(timeout 30 "$STEVECTL" --server "$SERVER" get free)" = 1 ]
    done
    cat "$BATS_TEST_TMPDIR/said"
    grep -qE "^ +$locked +1 .* \(blocking\)" "$BATS_TEST_TMPDIR/said"
    run -0 --separate-stderr timeout 30 "$STEVECTL" --server "$SERVER" status --json
    [[ $output == *'"command":"(blocking)"'* ]]
    # Who does not want to wait need not.
    spawn "$STEVECTL" --server "$SERVER" status
    wait_for 10 has_child "$spawned"
    kill "$spawned"
    status_of "$spawned" 1
    [ "$status" = 143 ]
}

@test 'a client that locks its memory: who waits for its token says so, and is served' {
    start_steved --jobs 1
    locked_client "$SERVER"
    holder=$spawned
    spawn "$JOBWRAP" --parent="$SERVER" true 2>"$BATS_TEST_TMPDIR/said"
    wait_for 10 grep -q "held by (blocking) .*(pid $locked): 1$" "$BATS_TEST_TMPDIR/said"
    kill "$holder"
    status_of "$spawned"
    [ "$status" = 0 ]
}

@test 'a job whose input is a file of a server that does not answer runs all the same' {
    blocking_client
    below_fifo 2
    run -0 timeout 20 "$BUILD/ninja-shim/jobgate" --jobs-of=bash -- \
        bash -c '/bin/true <"$0"; /bin/true; echo done' "$DIR/file"
    [ "$output" = 'done' ]
}
