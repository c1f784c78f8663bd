#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# The guardian of steved: servers that die or are replaced, and builds that do not notice; and the end.

# shellcheck disable=SC2016 # what is in single quotes is for another shell

load ../lib/bash/common
load ../lib/bash/steved

setup() {
    common_setup
    require_fuse
    # A copy, to be replaced.
    cp "$STEVED" "$BATS_TEST_TMPDIR/steved"
    MOUNT=$BATS_TEST_TMPDIR/mount
    STEVED_MOUNTS+=("$MOUNT")
    SERVER=$MOUNT/jobserver
    LIMITED=()
}

teardown() {
    # A server whose guardian was killed.
    [ -z "${LEFT-}" ] || stop "$LEFT" KILL
    common_teardown
}

# guarded [OPTION...]: in a session of its own, so without a terminal; run by the command in LIMITED.
guarded() {
    spawn setsid --wait "${LIMITED[@]}" "$BATS_TEST_TMPDIR/steved" --mount mount --jobs 2 "$@" \
        2>>"$BATS_TEST_TMPDIR/steved.log"
    WAITER=$spawned
    # Of a dead mount it may be remembered that the file exists.
    wait_for 10 steved_get pid 2>/dev/null
    server=$(steved_get pid)
    guardian=$(parent_of "$server")
}

parent_of() {
    ps -o ppid= -p "$1" | tr -d ' '
}

# succeeded PID: another server serves, of the same guardian. It is $server then.
succeeded() {
    wait_for 10 is_another "$1"
    server=$(steved_get pid)
    [ "$(parent_of "$server")" = "$guardian" ]
}

is_run_by() {
    [ "$(ps -o user= -p "$2")" = "$1" ]
}

is_another() {
    [ "$(steved_get pid)" != "$1" ]
}

# One token is held by the test, the other by nobody; then a reader waits for a third.
hold_and_wait() {
    exec {fd}<>"$SERVER"
    read -r -N 2 -u "$fd" || true
    spawn dd if="$SERVER" of="$BATS_TEST_TMPDIR/token" bs=1 count=1 2>"$BATS_TEST_TMPDIR/error"
    reader=$spawned
    wait_for 10 steved_has waiting 1
}

reader_got_an_error() {
    status_of "$reader"
    [ "$status" = 1 ]
    grep -Eq 'connection abort|not connected' "$BATS_TEST_TMPDIR/error"
}

ends_with() {
    status_of "$WAITER"
    [ "$status" = "$1" ]
    run ! is_mounted "$MOUNT"
    has_ended "$server"
    has_ended "$guardian"
}

no_leak_checker() {
    ! is_sanitized || export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
}

@test 'killed, crashed, replaced: who holds a token holds it, who waits waits on' {
    cd "$BATS_TEST_TMPDIR"
    guarded
    hold_and_wait
    for signal in KILL ABRT HUP; do
        old=$server
        if [ $signal = HUP ]; then
            kill -s HUP "$guardian"
        else
            kill -s $signal "$server"
        fi
        succeeded "$old"
        wait_for 10 steved_has waiting 1
        [ "$(steved_get held)" = 2 ]
    done
    printf + >&"$fd"
    status_of "$reader"
    [ "$status" = 0 ]
    [ "$(cat token)" = + ]
    wait_for 10 steved_has free 1
    kill "$guardian"
    ends_with 0
}

@test 'nobody reads what it says: the next server is started all the same' {
    cd "$BATS_TEST_TMPDIR"
    mkfifo log
    exec {log}<>log
    spawn setsid --wait ./steved --mount mount --jobs 2 2>&"$log"
    wait_for 10 test -e "$SERVER"
    server=$(steved_get pid)
    guardian=$(parent_of "$server")
    run ! dd if=/dev/zero of=log oflag=nonblock bs=4096
    # Should it wait for a reader all the same.
    LEFT=$guardian
    for _ in 1 2; do
        old=$server
        kill -s KILL "$server"
        timeout 30 "$STEVECTL" --server "$SERVER" get pid
        succeeded "$old"
    done
    LEFT=
    stop "$guardian"
}

@test 'a signal to the server that asks it to end ends all' {
    cd "$BATS_TEST_TMPDIR"
    guarded
    hold_and_wait
    kill "$server"
    reader_got_an_error
    ends_with 0
}

@test 'SIGHUP runs the program that is installed by then, with the options of the start' {
    cd "$BATS_TEST_TMPDIR"
    guarded --min-jobs 2
    cp "$STEVED" new
    printf '\0' >>new
    mv new steved
    for _ in 1 2; do
        kill -s HUP "$guardian"
        wait_for 10 is_another "$server"
        server=$(steved_get pid)
    done
    [ "$(stat -Lc %i "/proc/$server/exe")" = "$(stat -c %i steved)" ]
    [ "$(steved_get jobs) $(steved_get min-jobs)" = '2 2' ]
    [ "$(tr '\0' ' ' <"/proc/$server/cmdline")" = "$BATS_TEST_TMPDIR/steved --mount mount --jobs 2 --min-jobs 2 " ]
    kill "$guardian"
    ends_with 0
}

@test 'a program that could not go on is refused before the server ends' {
    cd "$BATS_TEST_TMPDIR"
    guarded
    hold_and_wait
    printf '#!/bin/sh\necho "$*" >>%s\nexit 2\n' "$BATS_TEST_TMPDIR/asked" >new
    chmod +x new
    mv new steved
    kill -s HUP "$guardian"
    wait_for 10 grep -q 'is not replaced' steved.log
    [ "$(cat asked)" = '--mount mount --jobs 2 --check' ]
    [ "$(steved_get pid)" = "$server" ]
    [ "$(steved_get held) $(steved_get waiting)" = '2 1' ]
    kill "$guardian"
    reader_got_an_error
    ends_with 0
}

@test '--check says what is wrong' {
    refuses 3 "$STEVED" --check
    : >"$BATS_TEST_TMPDIR/state"
    run -3 --separate-stderr env STEVED="$STEVED" LISTEN_FDS=2 LISTEN_FDNAMES=device:state bash -c \
        'export LISTEN_PID=$$ && exec "$STEVED" --check 3<>/dev/null 4<>"$0"' "$BATS_TEST_TMPDIR/state"
    [[ $stderr == *'not a state of steved'* ]]
}

@test 'its program is not there any more: the one of the start goes on' {
    cd "$BATS_TEST_TMPDIR"
    guarded
    hold_and_wait
    rm steved
    for signal in KILL KILL; do
        old=$server
        kill -s $signal "$server"
        succeeded "$old"
    done
    printf + >&"$fd"
    status_of "$reader"
    [ "$status" = 0 ]
    kill "$guardian"
    ends_with 0
}

@test 'five servers in a row that do not serve: it gives up, and clients get an error' {
    cd "$BATS_TEST_TMPDIR"
    guarded
    hold_and_wait
    printf '#!/bin/sh\necho "$LISTEN_FDNAMES" >>%s\nexit 3\n' "$BATS_TEST_TMPDIR/started" >new
    chmod +x new
    mv new steved
    kill -s KILL "$server"
    reader_got_an_error
    ends_with 1
    [ "$(cat started)" = "$(yes device:state | head -n 5)" ]
    grep -q '5 servers in a row' steved.log
}

@test 'servers that crash one after the other are not followed without end, and a signal to end is heard' {
    cd "$BATS_TEST_TMPDIR"
    guarded
    for _ in 1 2 3 4; do
        old=$server
        kill -s ABRT "$server"
        succeeded "$old"
    done
    hold_and_wait
    kill -s ABRT "$server"
    wait_for 10 grep -q '^steved: 5 servers have died within 10 s: the next one is started in [0-9.]* s$' steved.log
    is_alive "$reader"
    # Who has no server passes it on to nobody.
    kill -s USR1 "$guardian"
    kill "$guardian"
    reader_got_an_error
    ends_with 1
}

@test 'no process can be made: the next server is started when one can' {
    require_root
    require prlimit setpriv
    cd "$BATS_TEST_TMPDIR"
    no_leak_checker # it cannot trace who has become another user
    # The limit is for who is not root: guardian and server. The user is nobody's in other tests, nor in this one
    # with the other build, which may run beside it.
    local others user=games
    ! is_sanitized || user=news
    others=$(ps -o pid= -u $user | wc -l)
    LIMITED=(prlimit "--nproc=$((others + 2))")
    guarded --user $user --group $user
    hold_and_wait
    spawn setpriv --reuid=$user --clear-groups sleep 1000
    other=$spawned
    wait_for 10 is_run_by $user "$other"
    old=$server
    kill -s KILL "$server"
    wait_for 10 grep -q '^steved: start another server: fork: ' steved.log
    is_alive "$reader"
    stop "$other"
    succeeded "$old"
    printf + >&"$fd"
    status_of "$reader"
    [ "$status" = 0 ]
    kill "$guardian"
    ends_with 0
}

@test 'killed itself: the server goes on, and its end is an error for clients' {
    cd "$BATS_TEST_TMPDIR"
    guarded
    LEFT=$server
    kill -s KILL "$guardian"
    wait_for 10 has_ended "$guardian"
    hold_and_wait
    stop "$server" KILL
    LEFT=
    reader_got_an_error
    # The mount is dead until the next start.
    is_mounted "$MOUNT"
    exec {fd}>&-
    guarded
    [ "$(steved_get free)" = 2 ]
    kill "$guardian"
    ends_with 0
}

@test 'killed both: clients get an error' {
    cd "$BATS_TEST_TMPDIR"
    guarded
    hold_and_wait
    kill -s KILL "$guardian" "$server"
    reader_got_an_error
}

@test 'a server that dies before it has said that it has mounted' {
    require_root
    require strace
    no_leak_checker # it cannot trace who is traced
    cd "$BATS_TEST_TMPDIR"
    # At its first look at what the kernel asks.
    run -1 strace -f -o trace -P /dev/fuse -e trace=read,readv -e inject=read,readv:signal=KILL \
        ./steved --mount mount
    grep -q SIGKILL trace
    run ! is_mounted "$MOUNT"
}

@test 'stopped: clients wait for it' {
    cd "$BATS_TEST_TMPDIR"
    guarded
    hold_and_wait
    old=$server
    kill -s STOP "$guardian"
    kill -s KILL "$server"
    wait_for 10 has_ended "$server"
    is_alive "$reader"
    kill -s CONT "$guardian"
    succeeded "$old"
    printf + >&"$fd"
    status_of "$reader"
    [ "$status" = 0 ]
}

@test 'a server that does not end when asked to is killed' {
    cd "$BATS_TEST_TMPDIR"
    guarded
    kill -s STOP "$server"
    kill "$guardian"
    ends_with 1
    grep -q 'does not end' steved.log
}

@test 'a server that hangs is replaced, and builds do not notice' {
    cd "$BATS_TEST_TMPDIR"
    # Less than a second would be too much to ask.
    export WATCHDOG_USEC=2
    guarded
    hold_and_wait
    old=$server
    kill -s STOP "$server"
    # It is asked while it hangs, too.
    succeeded "$old"
    wait_for 10 steved_has waiting 1
    [ "$(steved_get held)" = 2 ]
    grep -q 'silent for 1000 ms: killed' steved.log
    printf + >&"$fd"
    status_of "$reader"
    [ "$status" = 0 ]
    kill "$guardian"
    ends_with 0
}

# switches_of PID: how often it has waited.
switches_of() {
    sed -n 's/^voluntary_ctxt_switches:\t*//p' "/proc/$1/status"
}

# has_waited PID SWITCHES: again since then.
has_waited() {
    [ "$(switches_of "$1")" -gt "$2" ]
}

@test 'a server that was frozen together with its guardian has time to be heard' {
    cd "$BATS_TEST_TMPDIR"
    export WATCHDOG_USEC=4000000
    guarded
    kill -s STOP "$guardian" "$server"
    # As long as it may be silent, and a second more.
    sleep 3.5
    switches=$(switches_of "$guardian")
    kill -s CONT "$guardian"
    # Who would kill it does so before it waits again.
    wait_for 10 has_waited "$guardian" "$switches"
    kill -s CONT "$server"
    hold_and_wait
    [ "$(steved_get pid)" = "$server" ]
    kill "$guardian"
    ends_with 0
    run ! grep silent steved.log
}

@test 'a server that serves tells so, and the guardian the service manager' {
    cd "$BATS_TEST_TMPDIR"
    # Four times, which takes twice as long as a server may be silent.
    spawn python3 -c 'import socket, sys
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.bind(sys.argv[1])
while manager.recv(8192) != b"WATCHDOG=1": pass
for _ in range(3): assert manager.recv(8192) == b"WATCHDOG=1"' "$BATS_TEST_TMPDIR/manager"
    listener=$spawned
    wait_for 10 test -S manager
    NOTIFY_SOCKET=$BATS_TEST_TMPDIR/manager WATCHDOG_USEC=4000000 guarded
    status_of "$listener" 60
    [ "$status" = 0 ]
    [ "$(steved_get pid)" = "$server" ]
    kill "$guardian"
    ends_with 0
}

@test 'a terminal that goes away is the end' {
    require script
    cd "$BATS_TEST_TMPDIR"
    spawn script --quiet --command "$BATS_TEST_TMPDIR/steved --mount mount" /dev/null </dev/null
    wait_for 10 test -e "$SERVER"
    server=$(steved_get pid)
    guardian=$(parent_of "$server")
    stop "$spawned" KILL
    wait_for 10 has_ended "$guardian"
    has_ended "$server"
    run ! is_mounted "$MOUNT"
}

@test 'the next server has the user, and no capability from its beginning' {
    require_root
    require setpriv
    cd "$BATS_TEST_TMPDIR"
    no_leak_checker # it cannot trace who has become another user
    guarded --user nobody --group nogroup
    old=$server
    kill -s KILL "$server"
    succeeded "$old"
    for pid in "$guardian" "$server"; do
        grep -qP "^Uid:(\t$(id -u nobody)){4}$" "/proc/$pid/status"
        grep -q 'NoNewPrivs:.1$' "/proc/$pid/status"
        # Others who are this user cannot look into it.
        [ "$(stat -c %u "/proc/$pid/mem")" = 0 ]
    done
    grep -q 'CapPrm:.0*$' "/proc/$server/status"
    [ "$(stat -c '%a %U %G' "$SERVER")" = '660 root nogroup' ]
    kill "$guardian"
    ends_with 0
}

@test 'what the next server could not read as its user is refused at the start' {
    require_root
    directory_for_all
    echo 'jobs = 2' >"$OTHER/steved.conf"
    chmod 0600 "$OTHER/steved.conf"
    refuses 1 "$STEVED" --mount "$MOUNT" --user nobody --group nogroup --config "$OTHER/steved.conf"
    [[ $stderr == "steved: --user 'nobody': this user cannot read $OTHER/steved.conf, "* ]]
    run ! is_mounted "$MOUNT"
}

@test 'a daemon goes on, too, and reads the file that it was given anew' {
    cd "$BATS_TEST_TMPDIR"
    echo 'jobs = 2' >options
    ./steved --mount mount --config=options --daemon
    server=$(steved_get pid)
    guardian=$(parent_of "$server")
    old=$server
    kill -s KILL "$server"
    succeeded "$old"
    [ "$(readlink "/proc/$server/fd/"{0,1,2} | sort -u)" = /dev/null ]
    old=$server
    echo 'jobs = 3' >options
    kill -s KILL "$server"
    succeeded "$old"
    [ "$(steved_get jobs)" = 3 ]
    kill "$guardian"
    wait_for 10 has_ended "$guardian"
    has_ended "$server"
    run ! is_mounted "$MOUNT"
}

@test 'a daemon finds the file again that was its standard input' {
    cd "$BATS_TEST_TMPDIR"
    echo 'jobs = 7' >options
    ./steved --mount mount --config /dev/stdin --daemon <options
    server=$(steved_get pid)
    guardian=$(parent_of "$server")
    old=$server
    kill -s KILL "$server"
    succeeded "$old"
    [ "$(steved_get jobs)" = 7 ]
    kill "$guardian"
    wait_for 10 has_ended "$guardian"
}

@test 'rounds: a busy server is killed and replaced' {
    mkdir "$BATS_TEST_TMPDIR/rounds"
    STEVED_MOUNTS+=("$BATS_TEST_TMPDIR/rounds/mount")
    "$LIB/restart-rounds" --rounds "${RESTART_ROUNDS:-20}" --other "$STEVED" --no-cargo \
        "$BATS_TEST_TMPDIR/rounds"
}
