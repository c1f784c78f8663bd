#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# A steved that ends, however it does, and the next one, which goes on. keeper.py stands for the service
# manager; steved-steps is a steved that kills itself between any two steps.
# STORM_ROUNDS: how often it is replaced (by default 15 times).

# shellcheck disable=SC2016 # what is in single quotes is another shell's
# shellcheck disable=SC2154 # common.bash sets spawned

load ../lib/bash/common
load ../lib/bash/steved

STEPS=$BUILD/tests/lib/steved-steps

# keep PROGRAM [OPTION...]: it serves $SERVER from now on. Sets KEEPER.
keep() {
    local mount=${OTHER:-$BATS_TEST_TMPDIR}/steve${#STEVED_MOUNTS[@]}
    require_fuse
    STEVED_MOUNTS+=("$mount")
    SERVER=$mount/jobserver NOTES=$BATS_TEST_TMPDIR/notes
    export KEEPER_PROGRAM=$BATS_TEST_TMPDIR/program
    spawn python3 "$LIB/keeper.py" "$1" --mount "$mount" "${@:2}" \
        >"$NOTES" 2>>"$BATS_TEST_TMPDIR/steved.log"
    KEEPER=$spawned
    wait_for 30 noted ready
}

# noted LINE [TIMES]: the keeper has said so.
noted() {
    [ "$(grep -cx "$1" "$NOTES")" -ge "${2-1}" ]
}

server_pid() {
    steved_get pid
}

# kill_server: SIGKILL; returns when the next one serves.
kill_server() {
    local pid
    pid=$(server_pid)
    kill -s KILL "$pid" || true # it may have ended by itself
    wait_for 30 is_another "$pid"
}

is_another() {
    [ "$(server_pid)" != "$1" ]
}

# replace_server: as `systemctl restart`.
replace_server() {
    local pid
    pid=$(server_pid)
    kill -s HUP "$KEEPER"
    wait_for 30 is_another "$pid"
}

# hold: opens $SERVER as $1, and reads a token.
hold() {
    exec {opened}<>"$SERVER"
    read -r -N 1 -u "$opened"
    printf -v "$1" %s "$opened"
}

storm() {
    timeout 300 python3 "$LIB/restart_storm.py" "$SERVER" "$KEEPER" "$@"
}

@test 'killed and replaced: held is held, who waits waits on, and nobody gets an error' {
    keep "$STEVED" --jobs 2
    hold first && hold second
    spawn dd if="$SERVER" of="$BATS_TEST_TMPDIR/got" bs=1 count=1
    local reader=$spawned
    wait_for 30 steved_has waiting 1
    kill_server
    wait_for 30 steved_has waiting 1
    [ "$(steved_get held)" = 2 ]
    replace_server
    wait_for 30 steved_has waiting 1
    [ ! -s "$BATS_TEST_TMPDIR/got" ]
    printf + >&"$first"
    status_of "$reader"
    [ "$status" = 0 ]
    [ "$(cat "$BATS_TEST_TMPDIR/got")" = + ]
    # A token of the dead is back, one that is returned twice is dropped.
    wait_for 30 steved_has free 1
    printf ++ >&"$second"
    [ "$(steved_get free)" = 2 ]
    [ "$(steved_get dropped)" = 1 ]
    run ! noted 'kept device' 2
}

@test 'stopped: clients get an error, and none hangs' {
    keep "$STEVED" --jobs 1
    hold first
    spawn dd if="$SERVER" of=/dev/null bs=1 count=1
    local reader=$spawned
    wait_for 30 steved_has waiting 1
    stop "$KEEPER"
    status_of "$reader"
    [ "$status" = 1 ]
    run ! bash -c 'printf + >&"$0"' "$first"
}

@test 'killed and replaced under load' {
    keep "$STEVED" --jobs 5
    storm both "${STORM_ROUNDS-15}" 12 8
    [ "$(steved_get dropped)" = 0 ]
}

@test 'killed between any two steps, and again while it takes over' {
    [ -x "$STEPS" ] || skip 'steved is not built'
    STEVED_STEPS=250 keep "$STEPS" --jobs 5
    storm both "${STORM_ROUNDS-15}" 12 8
}

# A libfuse may be built without custom I/O (steved/channel.h).
@test 'with a libfuse that knows no custom I/O: killed between any two steps' {
    [ -x "$STEPS" ] || skip 'steved is not built'
    export STEVED_NO_CUSTOM_IO=1
    STEVED_STEPS=250 keep "$STEPS" --jobs 5
    find -L "/proc/$(server_pid)/fd" -type p | grep -q .
    storm both "${STORM_ROUNDS-5}" 12 8
}

@test 'killed between any two steps below a make and a jobwrap' {
    ! is_sanitized || skip 'sanitizers are slow, and see the rounds before'
    require_tool MAKE441
    local log=$BATS_TEST_TMPDIR/log builds=() build
    STEVED_STEPS=400 keep "$STEPS" --jobs 3
    for build in a b; do
        "$LIB/make-tree" "$BATS_TEST_TMPDIR/$build" 0.02 "$log"
    done
    kill_server # the first one counts no steps
    MAKEFLAGS="-j --jobserver-auth=fifo:$SERVER" spawn "$MAKE441" -s -C "$BATS_TEST_TMPDIR/a"
    builds+=("$spawned")
    spawn "$JOBWRAP" --parent="fifo:$SERVER" -- "$MAKE441" -s -C "$BATS_TEST_TMPDIR/b"
    builds+=("$spawned")
    while is_alive "${builds[0]}" || is_alive "${builds[1]}"; do
        kill_server
    done
    for build in "${builds[@]}"; do
        status_of "$build"
        [ "$status" = 0 ]
    done
    # The make has one more, which nobody pays for.
    "$LIB/concurrency" --expect-max 4 --expect-jobs 120 "$log"
    wait_for 30 steved_has free 3
    [ "$(steved_get dropped)" = 0 ]
}

@test 'more open descriptions than a server can keep: the next open is refused, and nothing happens to the server' {
    [ -x "$STEPS" ] || skip 'steved is not built'
    keep "$STEPS" --jobs 2 --group "$(id -gn)"
    local pid
    pid=$(server_pid)
    # Half of what there is room for is left to other users, by the next server, too.
    run -0 python3 -c '
import errno, os, signal, sys, time

directory = os.open(os.path.dirname(sys.argv[1]), os.O_PATH)

def open_all(count):
    opened = []
    try:
        while True:
            opened.append(os.open("jobserver", os.O_RDWR, dir_fd=directory))
    except OSError as error:
        assert error.errno == errno.EMFILE, error
    assert len(opened) == count, len(opened)
    return opened

opened = open_all(256)
os.close(opened.pop())
opened += open_all(1)
os.kill(int(sys.argv[2]), signal.SIGKILL)
open_all(0)
if os.getuid() == 0:
    os.setegid(os.getgid())
    os.seteuid(1)
    open_all(128)' "$SERVER" "$pid"
    [ "$(server_pid)" != "$pid" ]
}

@test 'who dies while there is no server holds nothing when there is one' {
    keep "$STEVED" --jobs 2
    hold first
    spawn sh -c 'exec 3<>"$0" && dd bs=1 count=1 <&3 2>/dev/null && exec sleep 1000' "$SERVER"
    local holder=$spawned
    wait_for 30 steved_has held 2
    spawn dd if="$SERVER" of=/dev/null bs=1 count=1
    local reader=$spawned
    wait_for 30 steved_has waiting 1
    kill -s USR1 "$KEEPER"
    kill -s KILL "$(server_pid)"
    wait_for 30 noted paused
    # Its description is released when there is a server again; it has ended before.
    kill -s KILL "$holder"
    kill -s USR2 "$KEEPER"
    status_of "$reader"
    [ "$status" = 0 ]
    wait_for 30 steved_has free 1
    [ "$(steved_get held)" = 1 ]
}

@test 'who is killed, or gets a signal, while there is no server has left the queue' {
    keep "$STEVED" --jobs 1
    hold first
    spawn dd if="$SERVER" of=/dev/null bs=1 count=1
    local reader=$spawned
    wait_for 30 steved_has waiting 1
    kill -s USR1 "$KEEPER"
    kill -s KILL "$(server_pid)"
    wait_for 30 noted paused
    kill -s KILL "$reader"
    kill -s USR2 "$KEEPER"
    wait_for 30 has_ended "$reader"
    wait_for 30 steved_has waiting 0
    printf + >&"$first"
    [ "$(steved_get free)" = 1 ]
}

@test 'what was set stays set; what the next is told otherwise holds' {
    keep "$STEVED" --jobs 4
    "$STEVECTL" --server "$SERVER" set jobs=6 min-jobs=2 per-process-limit=3 per-user-limit=5 load-average=500
    kill_server
    for setting in jobs=6 min-jobs=2 per-process-limit=3 per-user-limit=5 load-average=500; do
        [ "$(steved_get "${setting%=*}")" = "${setting#*=}" ]
    done
    # Another command line.
    printf '#!/bin/sh\nexec "%s" "$@" --min-jobs 3\n' "$STEVED" >"$BATS_TEST_TMPDIR/other"
    chmod +x "$BATS_TEST_TMPDIR/other"
    echo "$BATS_TEST_TMPDIR/other" >"$KEEPER_PROGRAM"
    replace_server
    [ "$(steved_get min-jobs)" = 3 ]
    [ "$(steved_get jobs)" = 6 ]
    [ "$(steved_get per-process-limit)" = 3 ]
}

@test 'users keep their limit, their shares, and what they have opened' {
    require_root
    directory_for_all
    keep "$STEVED" --jobs 4 --group nogroup
    SHARED_GID=$(getent group nogroup | cut -d: -f3)
    export SHARED_GID
    client users_go_on
    wait_for 10 steved_has free 4
}

@test 'jobwraps keep their groups, and one below a make what it has claimed' {
    require_tool MAKE441
    keep "$STEVED" --jobs 4
    mkfifo "$BATS_TEST_TMPDIR/gate"
    exec {gate}<>"$BATS_TEST_TMPDIR/gate"
    makefile "$BATS_TEST_TMPDIR/makefile" '"$(JOBWRAP)" -- sh -c "echo >>started; read -r _ <gate"' \
        '"$(JOBWRAP)" -- sh -c "echo >>started; read -r _ <gate"'
    MAKEFLAGS="-j --jobserver-auth=fifo:$SERVER" spawn \
        "$MAKE441" -s -C "$BATS_TEST_TMPDIR" -f makefile
    local make=$spawned
    wait_for 30 have_started 2
    list_clients >"$BATS_TEST_TMPDIR/before"
    grep "'claims': 1" "$BATS_TEST_TMPDIR/before"
    kill_server
    wait_for 30 same_clients
    replace_server
    wait_for 30 same_clients
    printf '\n\n' >&"$gate"
    status_of "$make"
    [ "$status" = 0 ]
    wait_for 30 steved_has free 4
    [ "$(steved_get dropped)" = 0 ]
}

# have_started N: so many of its jobs.
have_started() {
    [ -e "$BATS_TEST_TMPDIR/started" ] && [ "$(wc -l <"$BATS_TEST_TMPDIR/started")" = "$1" ]
}

# list_clients: of the status what stays. What jobwraps lend goes to and fro.
list_clients() {
    "$STEVECTL" --server "$SERVER" status --json | python3 -c 'import json, sys
for client in json.load(sys.stdin)["clients"]:
    print({name: value for name, value in sorted(client.items())
        if name not in ("held", "reserved", "waiting", "command", "directory")})'
}

same_clients() {
    list_clients | cmp -s - "$BATS_TEST_TMPDIR/before"
}

@test 'a request that kills the server gets an error, and all others go on' {
    [ -x "$STEPS" ] || skip 'steved is not built'
    STEVED_POISON=1 keep "$STEPS" --jobs 2
    hold first
    run ! client set_weight
    [[ $output == *'Input/output error'* ]]
    steved_log | grep 'ended at the same request of process'
    [ "$(grep -c '^ended -9' "$NOTES")" = 4 ]
    [ "$(steved_get held)" = 1 ]
    printf + >&"$first"
    [ "$(steved_get free)" = 2 ]
}

# patch_state OFFSET: writes something else into the state of the server that runs.
patch_state() {
    python3 -c 'import os, sys
directory = f"/proc/{sys.argv[1]}/fd"
for fd in os.listdir(directory):
    if os.readlink(f"{directory}/{fd}").startswith("/memfd:steved"):
        os.pwrite(os.open(f"{directory}/{fd}", os.O_RDWR), b"\1\2\3\4", int(sys.argv[2]))' \
        "$(server_pid)" "$1"
}

@test 'a state of another version is refused: an error for clients, and a new beginning' {
    require_root
    keep "$STEVED" --jobs 2
    hold first
    spawn dd if="$SERVER" of=/dev/null bs=1 count=2 iflag=fullblock
    local reader=$spawned
    wait_for 30 steved_has held 2
    patch_state 8
    kill -s KILL "$(server_pid)"
    wait_for 30 noted 'ended 3'
    status_of "$reader"
    [ "$status" = 1 ]
    steved_log | grep 'another version'
    wait_for 30 noted ready 2
    [ "$(steved_get free)" = 2 ]
}

# refuses_inherited -STATUS NAMES MESSAGE: two of these names, or $FDS, and says so in one line.
refuses_inherited() {
    run "$1" bash -c 'exec 3<>/dev/null 4<>/dev/null && export LISTEN_PID=$$ LISTEN_FDS=$3 &&
        LISTEN_FDNAMES=$2 exec "$1" --mount "$0" --jobs 2' "$BATS_TEST_TMPDIR/none" "$STEVED" "$2" "${FDS-2}"
    echo "$output"
    [ "${#lines[@]}" = 1 ]
    [[ $output == *"$3"* ]]
    [ ! -e "$BATS_TEST_TMPDIR/none" ]
}

@test 'what is handed on and makes no sense is refused in one line' {
    refuses_inherited -1 state:state "names 'state' twice"
    refuses_inherited -3 state:device 'it is not a file'
    refuses_inherited -3 device:state 'it is not a file'
    for FDS in 2x -1 2000000000 ''; do
        refuses_inherited -1 device:state "LISTEN_FDS '$FDS' is not a number"
    done
}

@test 'one of the two alone is a new beginning' {
    STEVED_MOUNTS+=("$BATS_TEST_TMPDIR/mount")
    SERVER=$BATS_TEST_TMPDIR/mount/jobserver
    require_fuse
    spawn bash -c 'exec 3<>/dev/null 4<>/dev/null && export LISTEN_PID=$$ LISTEN_FDS=2 &&
        LISTEN_FDNAMES=state:else exec "$1" --mount "$0" --jobs 2' \
        "$BATS_TEST_TMPDIR/mount" "$STEVED" 2>"$BATS_TEST_TMPDIR/steved.log"
    wait_for 30 test -e "$SERVER"
    [ "$(steved_get free)" = 2 ]
    wait_for 10 grep 'start anew: only the state of the last server has been kept' "$BATS_TEST_TMPDIR/steved.log"
}

@test 'where no file may be written it serves, and says what it cannot do' {
    require_fuse
    STEVED_MOUNTS+=("$BATS_TEST_TMPDIR/mount")
    SERVER=$BATS_TEST_TMPDIR/mount/jobserver
    spawn bash -c 'ulimit -f 0 && exec "$1" --mount "$0" --jobs 2' \
        "$BATS_TEST_TMPDIR/mount" "$STEVED" 2> >(cat >"$BATS_TEST_TMPDIR/steved.log")
    wait_for 30 test -e "$SERVER"
    hold first
    [ "$(steved_get held)" = 1 ]
    wait_for 10 grep 'no other server will be able to take over: make a file in memory: File too large' \
        "$BATS_TEST_TMPDIR/steved.log"
}
