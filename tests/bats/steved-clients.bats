#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# What clients see through the file: steved_client.py has them.

# shellcheck disable=SC2016 # what is in single quotes is make's, or another shell's

load ../lib/bash/common
load ../lib/bash/steved

@test 'a client of 32 bits' {
    [ "$(uname -m)" = x86_64 ] || skip 'no machine that runs programs for i386'
    cc -m32 -nostdlib -static -ffreestanding -fno-stack-protector -fno-pic -O1 -I"$ROOT" \
        -idirafter "/usr/include/$(cc -print-multiarch)" "$LIB/ioctls32.c" -o "$BATS_TEST_TMPDIR/ioctls32"
    start_steved --jobs 3
    "$BATS_TEST_TMPDIR/ioctls32" "$SERVER"
    wait_for 10 steved_has free 2
    [ "$(steved_get load-recheck)" = 7 ]
}

@test 'clients for whom there is no descriptor are charged by their own, and no token is lost' {
    start_steved --jobs 30
    prlimit --nofile=24:24 --pid "$STEVED_PID"
    mkfifo "$BATS_TEST_TMPDIR/hold"
    exec {hold}<>"$BATS_TEST_TMPDIR/hold"
    for ((i = 0; i < 30; i++)); do
        spawn bash -c 'exec 3<>"$1" && read -r -N 1 -u 3 && read -r _ <"$2"' - "$SERVER" \
            "$BATS_TEST_TMPDIR/hold"
    done
    wait_for 20 steved_has held 30
    [ "$(steved_log)" = "$(steved_log | grep 'watch process [0-9]*: Too many open files; its tokens belong to the open file description instead$')" ]
    # By its own death, or by the last close of what it has opened.
    kill -KILL "${SPAWNED[@]:1}"
    wait_for 10 steved_has free 30
}

@test 'a blocked read is served by a returned token' {
    run_client blocking
}

@test 'O_NONBLOCK: EAGAIN, as it is set at the read' {
    run_client nonblocking
}

@test 'a read takes one token, a write returns as many as it has bytes' {
    run_client sizes
}

@test 'a return by another process is credited through the description only' {
    run_client foreign
}

@test 'a signal ends a blocked read with EINTR' {
    run_client interrupted
}

@test 'a killed waiter leaves nothing behind' {
    run_client killed_waiter
}

@test 'a make that reads after the make below it has paid for that one' {
    run_client late_parent
}

@test 'a group is asked to give tokens back' {
    run_client recall
}

@test 'poll, select and epoll are told of a token' {
    run_client polling
}

@test 'edge-triggered epoll is told of each token' {
    run_client edge_again
}

@test 'who polls for writing does not stand in the queue' {
    run_client poll_for_writing
}

@test 'a reservation is kept, and expires' {
    run_client reservation
}

@test 'a reservation ends with its process' {
    run_client reservation_dies
}

@test 'the dead hold nothing, whoever has their description open' {
    run_client open_elsewhere
}

@test 'a token outlives the thread that read it' {
    run_client thread_ends
}

@test 'a token outlives the exec of a thread' {
    run_client thread_execs
}

@test 'ten processes share one description' {
    run_client shared
}

@test 'fifty threads are one process' {
    run_client threads 50
}

@test 'down to 1 and up to 8 jobs with blocked readers' {
    run_client resize
}

@test 'bad ioctls are refused and change nothing' {
    run_client bad_ioctls
}

@test 'all clients are listed' {
    run_client clients
}

@test 'who only asks is no client' {
    run_client observer
}

@test 'a group holds until its last member has died' {
    run_client group
}

@test "an ancestor's token pays for one implicit slot" {
    run_client claim
}

@test 'who waits for a token waits for a claim as well' {
    run_client late_claim
}

@test 'a client that asks for a claim only once still waits for a token' {
    run_client old_claimant
}

@test 'a token that is claimed and returned pays on for who claimed it' {
    run_client passed_on
}

@test 'whatever else is done with the file has a clean answer' {
    run_client file_operations
}

@test 'an account of 200 waiting processes beside one of one' {
    start_steved --jobs 1
    client fair 200
}

@test 'what a killed process held is granted within a millisecond' {
    local first=() pid
    start_steved --jobs 1
    # By the clock: on a machine that is busy with others neither of the two would have the processor in time.
    if chrt -r 1 true 2>/dev/null; then
        first=(chrt -r 1)
        for pid in "$STEVED_PID" "$(steved_get pid)"; do chrt -r -p 1 "$pid"; done
    fi
    run -0 "${first[@]}" python3 "$LIB/steved_client.py" reclaim "$SERVER" 50
    echo "# from death to grant: ${output//$'\n'/, }" >&3
}

@test 'ten thousand blocked readers cost at most 1 KiB each, and all are served' {
    ! is_sanitized || skip 'sanitizers have another memory'
    start_steved --jobs 2
    run -0 client many 10000
    echo "# $output" >&3
}

@test 'a shell keeps the token that dd has read for it' {
    start_steved --jobs 2
    exec {fd}<>"$SERVER"
    token=$(dd bs=1 count=1 <&"$fd" 2>/dev/null)
    [ "$token" = + ]
    [ "$(steved_get held)" = 1 ]
    [ "$(steved_get reclaimed)" = 0 ]
    printf %s "$token" >&"$fd"
    [ "$(steved_get free)" = 2 ]
    [ "$(steved_get dropped)" = 0 ]
    # With the shell it is gone.
    bash -c 'exec 3<>"$1" && token=$(dd bs=1 count=1 <&3 2>/dev/null) && [ "$token" = + ]' - "$SERVER"
    wait_for 10 steved_has reclaimed 1
    [ "$(steved_get free)" = 2 ]
}

@test 'a reader in a child pid namespace is a process like others' {
    require_root
    start_steved --jobs 2
    spawn unshare --pid --fork --kill-child python3 "$LIB/steved_client.py" \
        hold "$SERVER" 1 >"$BATS_TEST_TMPDIR/said"
    wait_for 10 grep -q held "$BATS_TEST_TMPDIR/said"
    run -0 "$STEVECTL" --server "$SERVER" status --json
    [[ $output == *'"command"'* && $output != *'"pid":0,'* ]]
    stop "$spawned" KILL
    wait_for 10 steved_has free 2
    [ "$(steved_get reclaimed)" = 1 ]
}

@test "a reader outside of the server's pid namespace holds by its description" {
    require_root
    require_fuse
    mount=$BATS_TEST_TMPDIR/outside
    STEVED_MOUNTS+=("$mount")
    spawn unshare --pid --fork --kill-child "$STEVED" --mount "$mount" --jobs 2
    SERVER=$mount/jobserver
    wait_for 10 test -e "$SERVER"
    exec {fd}<>"$SERVER" {other}<>"$SERVER"
    read -r -N 1 -u "$fd" token
    [ "$token" = + ]
    read -r -N 1 -u "$other" token
    [ "$(steved_get held)" = 2 ]
    exec {other}>&-
    wait_for 10 steved_has held 1
    printf + >&"$fd"
    [ "$(steved_get free)" = 2 ]
    # unshare heeds no SIGTERM.
    stop "$spawned" KILL
}

@test 'make 4.4.1 keeps to the pool, and returns what it took' {
    require_tool MAKE441
    start_steved --jobs 3
    printf 'all: $(addprefix j,1 2 3 4 5 6 7 8 9 10 11 12)\nj%%:\n\t@"$(STAMP)" "$(LOG)" $@ 0.1\n' \
        >"$BATS_TEST_TMPDIR/Makefile"
    export LOG=$BATS_TEST_TMPDIR/stamps
    at_once 4
    MAKEFLAGS="-j --jobserver-auth=fifo:$SERVER" "$MAKE441" -C "$BATS_TEST_TMPDIR"
    # Nobody has paid for its implicit slot.
    "$LIB/concurrency" --expect-exactly 4 --expect-jobs 12 "$LOG"
    wait_for 10 steved_has free 3
    [ "$(steved_get dropped)" = 0 ]
    [ "$(steved_get reclaimed)" = 0 ]
    [ "$(steved_get granted)" = "$(steved_get returned)" ]
}

@test 'make 4.4.1 that is killed by a signal loses nothing' {
    require_tool MAKE441
    start_steved --jobs 3
    printf 'all: a b c d\na b c d:\n\t@sleep 1000\n' >"$BATS_TEST_TMPDIR/Makefile"
    for signal in INT TERM KILL; do
        # The shell lets what it starts in the background ignore SIGINT.
        MAKEFLAGS="-j --jobserver-auth=fifo:$SERVER" spawn \
            setsid env --default-signal=INT "$MAKE441" -C "$BATS_TEST_TMPDIR"
        wait_for 10 steved_has held 3
        # As the terminal does it; setsid and env have become make.
        kill -s "$signal" -- "-$spawned"
        wait_for 10 steved_has free 3
        pkill -KILL -s "$spawned" || true
    done
}
