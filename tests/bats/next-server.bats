#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# The server that a jobwrap borrows from ends for good: the build goes on with what it has, and the next server
# that comes is joined, by jobwrap and its keeper.

# shellcheck disable=SC2016 # what single quotes hold is for another shell
load ../lib/bash/common

setup() {
    common_setup
    require_fuse
    require make
    MOUNT=$XDG_RUNTIME_DIR/steve
    SERVER=$MOUNT/jobserver
    LOG=$BATS_TEST_TMPDIR/log
    declare -gA ENDED=()
    cd "$BATS_TEST_TMPDIR" || return
}

# serve [OPTION...]: at the user's place, where nobody serves any more.
serve() {
    spawn "$STEVED" --mount "$MOUNT" "$@" 2>>steved.log
    STEVED_PID=$spawned
    wait_for 10 is_served_below "$STEVED_PID" 2>/dev/null
}

# gated_build NAME [OPTION...]: jobs of a log and a gate of its own; its jobwrap is $spawned.
gated_build() {
    local name=$1
    shift
    mkdir "$name"
    LOG=$PWD/$name/log
    pushd "$name" || return
    gated_jobs 60
    spawn_gated "$JOBWRAP" "$@" -- make -s 2>said
    popd || return
}

# says WORD [NAME]: for wait_for.
says() {
    grep -q "$1" "${2:-one}/said"
}

# lives N NAME
lives() {
    lives_jobs "$1" "$2/log"
}

@test 'a build goes on with what it has, and its tokens are those of the next server' {
    serve --jobs 3
    gated_build one
    build=$spawned
    wait_for 10 lives 3 one
    kill_steved
    wait_for 10 says 'going on with the tokens borrowed so far'
    # A job that ends is followed by another.
    let_end 1
    wait_for 10 has_stamps 5
    wait_for 10 lives 3 one
    serve --jobs 3
    wait_for 10 says "tokens come from fifo:$SERVER now"
    wait_for 10 steved_has held 3
    lives 3 one
    # It borrows on, and lends no more than before; fewer, where that is asked for.
    "$STEVECTL" set jobs=4
    wait_for 10 lives 4 one
    "$STEVECTL" set jobs=1
    # Between two jobs fewer live, too, and so steved is asked.
    wait_for 120 ends_until one "$gate" steved_has held 1
    wait_for 10 lives 1 one
    "$STEVECTL" set jobs=3
    wait_for 10 lives 3 one
    let_end 60
    status_of "$build"
    [ "$status" = 0 ]
    wait_for 10 steved_has free 3
    [ "$(steved_get dropped)" = 0 ]
}

# has_stamps N: as jobs begin and end, for wait_for.
has_stamps() {
    [ "$(grep -c . one/log)" -ge "$1" ]
}

# may_end NAME: a job of it runs, and the one that was told to end before has ended, and no longer counts as living.
may_end() {
    local starts ends
    ends=$(grep -c ^end "$1/log") starts=$(grep -c ^start "$1/log")
    [ "$starts" -gt "$ends" ] && [ "$ends" != "${ENDED[$1]-}" ] && lives $((starts - ends)) "$1" && ENDED[$1]=$ends
}

# ends_until NAME GATE COMMAND...: for wait_for. If the command fails, one more job ends: a make whose job ends may be
# faster than who is to take the token home.
ends_until() {
    "${@:3}" && return
    # What it looks at may have come about when the last one no longer lived.
    may_end "$1" || return 1
    "${@:3}" && return
    gate=$2 let_end 1
    return 1
}

# are_shared: both builds run four jobs together, and each one at least.
are_shared() {
    local one two
    one=$("$STAMP" --living one/log) two=$("$STAMP" --living two/log)
    [ $((one + two)) = 4 ] && [ "$one" -gt 0 ] && [ "$two" -gt 0 ]
}

# come_to_share: else one of each ends.
come_to_share() {
    ends_until one "$gate_one" are_shared || ends_until two "$gate_two" are_shared
}

@test 'others have all tokens of the next server: what runs runs on, is followed by nothing, and gets its share' {
    serve --jobs 4
    gated_build one
    one=$spawned gate_one=$gate
    wait_for 10 lives 4 one
    kill -s STOP "$one"
    stop "$STEVED_PID"
    serve --jobs 4
    gated_build two
    two=$spawned gate_two=$gate
    wait_for 10 lives 4 two
    kill -s CONT "$one"
    wait_for 10 says 'tokens come from' one
    lives 4 one
    # A job of the first build ends, and is followed by none.
    wait_for 60 ends_until one "$gate_one" lives 3 one
    [ "$(steved_get waiting)" -gt 0 ]
    wait_for 120 come_to_share
    wait_for 20 steved_has held 4
    gate=$gate_one let_end 60
    gate=$gate_two let_end 60
    status_of "$one" && [ "$status" = 0 ]
    status_of "$two" && [ "$status" = 0 ]
    wait_for 10 steved_has free 4
}

@test 'killed below the next server: the keeper has what is held, or jobwrap without it' {
    for victim in jobwrap jobwrap-keeper; do
        rm -rf one
        serve --jobs 2
        gated_build one
        build=$spawned
        wait_for 10 lives 2 one
        stop "$STEVED_PID"
        wait_for 10 says 'going on with the tokens borrowed so far'
        serve --jobs 2
        wait_for 10 steved_has held 2
        [ $victim = jobwrap ] && pid=$build || pid=$(pgrep -P "$build" -x jobwrap-keeper)
        kill -s KILL "$pid"
        if [ $victim = jobwrap ]; then
            # It ends the build first.
            wait_for 10 lives 0 one
        else
            wait_for 10 says 'going on without it'
            lives 2 one
            [ "$(steved_get held)" = 2 ]
            let_end 60
            status_of "$build" && [ "$status" = 0 ]
        fi
        wait_for 10 steved_has free 2
        stop "$STEVED_PID"
    done
}

@test 'the keeper is dead already: jobwrap joins alone' {
    serve --jobs 2
    gated_build one
    build=$spawned
    wait_for 10 lives 2 one
    kill -s KILL "$(pgrep -P "$build" -x jobwrap-keeper)"
    wait_for 10 says 'going on without it'
    stop "$STEVED_PID"
    wait_for 10 says 'going on with the tokens borrowed so far'
    serve --jobs 2
    wait_for 10 steved_has held 2
    let_end 60
    status_of "$build" && [ "$status" = 0 ]
    wait_for 10 steved_has free 2
}

@test 'a server that the user has named has no successor elsewhere' {
    start_steved --jobs 2
    named=$SERVER
    gated_build one --parent="$named"
    build=$spawned
    wait_for 10 lives 2 one
    stop "$STEVED_PID"
    wait_for 10 says 'going on with the tokens borrowed so far'
    SERVER=$MOUNT/jobserver
    serve --jobs 2
    spawn "$STEVED" --mount "${named%/*}" --jobs 2
    SERVER=$named
    wait_for 10 steved_has held 2 2>/dev/null
    SERVER=$MOUNT/jobserver
    [ "$(steved_get granted)" = 0 ]
    let_end 60
    status_of "$build" && [ "$status" = 0 ]
}

@test 'after its server has ended a jobwrap is a pool like others: what one client gives up the next has' {
    "$LIB/make-tree" inside 0.05 "$LOG.inside"
    "$LIB/make-tree" tree 0.05 "$LOG"
    at_once 3
    serve --jobs 3
    # An inner jobwrap has an account of its own, and so have those that use the FIFO.
    run -0 "$JOBWRAP" -- bash -euc '
        kill "$1" && while kill -0 "$1" 2>/dev/null; do sleep 0.05; done
        "$2" -- make -s -C inside && make -s -C tree' - "$STEVED_PID" "$JOBWRAP"
    "$LIB/concurrency" --expect-exactly 3 --expect-jobs 60 "$LOG.inside"
    exactly 3 60
}

# take_one: somebody beside the test has a token, until $taker is ended.
take_one() {
    spawn bash -c 'exec 3<>"$0" && read -r -N 1 -u 3 && exec sleep 1000' "$SERVER"
    taker=$spawned
    wait_for 10 steved_has free 0
}

# gate_of N: a gate around as many jobs, which has no token yet; sets its sidecar.
gate_of() {
    : "${JOBGATE:=$BUILD/ninja-shim/jobgate}"
    # LeakSanitizer does not work in what is traced.
    export JOBGATE LOG ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0
    gated_jobs 1
    spawn_gated bash -c 'seq "$1" | "$JOBGATE" --jobs-of=xargs -- xargs -P8 -I{} \
        "$STAMP" "$LOG" {} -- sh -c "read -r _ <gate"' - "$1" 2>said
    gated=$spawned
    wait_for 10 steved_has waiting 1
    find_sidecar
}

# The first member of the group is what it gates, the second the sidecar.
find_sidecar() {
    sidecar=$("$STEVECTL" --server "$SERVER" status --json | sed -n 's/^ *"keeper":\([0-9]*\),$/\1/p')
    [ -n "$sidecar" ]
}

@test 'a gate that has no token yet looks for the next server, too: one job at a time until then' {
    serve --jobs 1
    take_one
    gate_of 6
    kill_steved
    wait_for 10 grep -q 'going on with one job at a time' said
    wait_for 10 lives_jobs 1
    serve --jobs 1
    wait_for 10 grep -q "tokens come from fifo:$SERVER now" said
    # The job that runs is paid for, and the next one is.
    wait_for 10 steved_has held 1
    lives_jobs 1
    let_end 1
    wait_for 10 steved_has granted 2
    wait_for 10 lives_jobs 1
    "$STEVECTL" set jobs=3
    wait_for 10 lives_jobs 3
    [ "$(steved_get held)" = 3 ]
    # The keeper holds what runs.
    kill -s KILL "$sidecar"
    wait_for 10 has_ended "$sidecar"
    [ "$(steved_get held)" = 3 ]
    let_end 1
    wait_for 10 steved_has held 2
    let_end 5
    wait_for 10 steved_has free 3
}

@test 'a gate comes to a server whose tokens others have: what runs is followed by nothing before there is a token' {
    serve --jobs 1
    take_one
    gate_of 3
    keeper=$(pgrep -P "$sidecar")
    kill -s STOP "$keeper" "$sidecar"
    stop "$STEVED_PID"
    stop "$taker"
    serve --jobs 1
    take_one
    kill -s CONT "$sidecar" "$keeper"
    wait_for 10 grep -q "tokens come from fifo:$SERVER now" said
    wait_for 10 lives_jobs 1
    let_end 1
    wait_for 10 lives_jobs 0
    wait_for 10 steved_has waiting 1
    lives_jobs 0
    stop "$taker"
    wait_for 10 lives_jobs 1
    [ "$(steved_get held)" = 1 ]
    let_end 2
    status_of "$gated"
    [ "$status" = 0 ]
    exactly 1 3
    wait_for 10 steved_has free 1
}
