#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Tokens that the parent asks for come home, although the build could use them.

# shellcheck disable=SC2154 # common.bash sets spawned, run sets status
load ../lib/bash/common

# A build that has all tokens in use, and at a word ends one job while another of its jobs already
# waits for the token.
build() {
    exec python3 -c '
import os, sys, threading

fifo = os.environ["JOBWRAP_FIFO"]

def wait_for_another() -> None:
    os.read(os.open(fifo, os.O_RDWR), 1)
    print("another job of the build\n", end="", flush=True)

own = os.open(fifo, os.O_RDWR)
for _ in range(int(sys.argv[1])):
    os.read(own, 1)
print("busy", flush=True)
for line in sys.stdin:
    if line == "wait\n":
        threading.Thread(target=wait_for_another, daemon=True).start()
    else:
        os.write(own, b"+")
    print(line, end="", flush=True)
os._exit(0)
' "$@"
}

# Some thread of process $1, but not of those below it, is blocked in a read of the file $2.
reads() {
    local task number fd
    for task in /proc/"$1"/task/*; do
        read -r number fd _ 2>/dev/null <"$task/syscall" || continue
        [ "$number" = 0 ] || continue
        [ "$(readlink "/proc/$1/fd/$((fd))")" != "$2" ] || return 0
    done
    return 1
}

# Its threads say what they say in any order.
says() {
    grep -qx "$1" "$BATS_TEST_TMPDIR/said"
}

# begin JOBS BUSY: a steved, and a wrapped build that has taken BUSY tokens.
begin() {
    [ "$(uname -m)" = x86_64 ] || missing 'the number of read(2) is known for x86_64 only'
    start_steved --jobs "$1"
    export -f build
    mkfifo "$BATS_TEST_TMPDIR/told"
    exec {told}<>"$BATS_TEST_TMPDIR/told"
    # Without the other end of what the build reads, which so ends with the test.
    # shellcheck disable=SC2016 # for the command's shell
    spawn bash -c "exec $told>&-"' && exec "$@"' - "$JOBWRAP" --parent="$SERVER" -- \
        bash -c 'echo "$JOBWRAP_FIFO" >"$1/fifo"; echo $$ >"$1/pid"; build "$2" <"$1/told"' bash \
        "$BATS_TEST_TMPDIR" "$2" >"$BATS_TEST_TMPDIR/said"
    wrapper=$spawned
    wait_for 20 says busy
    fifo=$(cat "$BATS_TEST_TMPDIR/fifo") builder=$(cat "$BATS_TEST_TMPDIR/pid")
}

# tell WORD: a job that waits stands behind jobwrap then; one that came later might have the token that wakes jobwrap.
tell() {
    echo "$1" >&"$told"
    wait_for 20 says "$1"
    [ "$1" != wait ] || wait_for 20 reads "$builder" "$fifo"
}

# later_build: comes while the first has all tokens. Sets has_lost: it was kept from an offer, which lapsed. Else it has
# got the token that a job of the first gave up, and for which another one waited.
later_build() {
    local before
    begin 3 2
    spawn "$JOBWRAP" --parent="$SERVER" -- true
    wait_for 20 reads "$wrapper" "$fifo"
    tell wait
    before=$(steved_get lapsed)
    tell end
    # What the later build had is lent again.
    wait_for 20 says 'another job of the build'
    has_lost=false
    if is_alive "$spawned" && [ "$(steved_get lapsed)" != "$before" ]; then
        has_lost=true
        return
    fi
    status_of "$spawned"
    [ "$status" = 0 ]
}

# A machine that keeps it from what it is offered for 5 ms lets that lapse, as it should (rule 9), and the job has it.
@test 'a later build gets its token, though a job of the first waits for it too' {
    local has_lost
    for _ in {1..10}; do
        later_build
        $has_lost || return 0
        stop "$spawned"
        stop "$wrapper"
        rm "$BATS_TEST_TMPDIR/told"
    done
    echo 'an offer has lapsed each time'
    false
}

@test 'fewer jobs: the debt is paid before a job that waits is served' {
    begin 3 2
    "$STEVECTL" --server "$SERVER" set jobs=2
    wait_for 20 reads "$wrapper" "$fifo"
    tell wait
    tell end
    wait_for 20 steved_has debt 0
    [ "$(steved_get held)" = 2 ]
    tell end
    wait_for 20 says 'another job of the build'
    [ "$(steved_get held)" = 2 ]
}

@test 'a limit comes on: a token that is put back goes home, and no job that waits has it' {
    begin 3 2
    "$STEVECTL" --server "$fifo" set min-memory-avail=100%
    wait_for 20 reads "$wrapper" "$fifo"
    tell wait
    tell end
    wait_for 20 steved_has held 2
    ! says 'another job of the build' || return 1
    "$STEVECTL" --server "$fifo" set min-memory-avail=0
    wait_for 20 says 'another job of the build'
}

@test 'a limit of steved comes on: the same, and what it lets go is lent again when it goes off' {
    begin 3 2
    "$STEVECTL" --server "$SERVER" set min-memory-avail=100%
    wait_for 20 reads "$wrapper" "$fifo"
    tell wait
    tell end
    wait_for 20 steved_has held 2
    ! says 'another job of the build' || return 1
    "$STEVECTL" --server "$SERVER" set min-memory-avail=0
    wait_for 20 says 'another job of the build'
}

# Of two tokens the second would be a matter of luck if a job waited: it may stand before jobwrap then.
@test 'fewer jobs: tokens come home until the debt is paid, and not that of the implicit slot' {
    begin 3 2
    "$STEVECTL" --server "$SERVER" set jobs=1
    wait_for 20 reads "$wrapper" "$fifo"
    tell end
    wait_for 20 steved_has held 2
    tell end
    wait_for 20 steved_has held 1
    [ "$(steved_get debt)" = 0 ]
    tell wait
    "$STEVECTL" --server "$SERVER" set jobs=3
    wait_for 20 says 'another job of the build'
}
