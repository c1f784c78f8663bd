#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Where tokens come from, where the private jobserver is made, and what travels between the two.

# shellcheck disable=SC2016 # what single quotes hold is for the command's shell
# shellcheck disable=SC2153,SC2154 # common.bash sets SERVER and spawned, run sets status
load ../lib/bash/common

setup() {
    common_setup
    PARENT=$BATS_TEST_TMPDIR/parent
    cd "$BATS_TEST_TMPDIR" || return
    directory_for_all
}

as_user() {
    if [ "$(id -u)" = 0 ]; then
        as_nobody "$@"
    else
        "$@"
    fi
}

@test 'the implicit slot: acquired at a named parent, inherited by MAKEFLAGS, as --implicit says' {
    make_fifo "$PARENT" 4
    held() {
        "$@" sh -c 'exec "$0" -c "exec(open(\"'"$BATS_TEST_TMPDIR"'/free.py\").read())"' python3
    }
    echo 'import os, struct, fcntl, termios
fd = os.open("parent", os.O_RDWR)
print(struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))[0])' >free.py
    # One more is the float.
    [ "$(held "$JOBWRAP" --parent="$PARENT")" = 2 ]
    [ "$(held "$JOBWRAP" --parent="$PARENT" --implicit=inherit)" = 3 ]
    [ "$(MAKEFLAGS="-j5 --jobserver-auth=fifo:$PARENT" held "$JOBWRAP")" = 3 ]
    [ "$(MAKEFLAGS="-j5 --jobserver-auth=fifo:$PARENT" held "$JOBWRAP" --implicit=acquire)" = 2 ]
    [ "$(MAKEFLAGS="-j5 --jobserver-auth=fifo:$PARENT" held "$JOBWRAP" --parent=none)" = 4 ]
    fifo_has "$PARENT" 4
}

@test 'MAKEFLAGS that names no usable jobserver: one line, and -j1 as make does' {
    for auth in 7,8 -2,-2 0,0 99999999,99999999 fifo:/no/such/fifo "fifo:$PWD"; do
        run -0 env MAKEFLAGS="-j8 --jobserver-auth=$auth" "$JOBWRAP" sh -c 'echo "$JOBWRAP_JOBS"' \
            7<&- 8<&- </dev/null
        [ "${#lines[@]}" = 2 ]
        [[ ${lines[0]} == 'jobwrap: '*'using -j1' ]]
        [ "${lines[1]}" = 1 ]
        run -0 env MAKEFLAGS="-j8 --jobserver-auth=$auth" "$JOBWRAP" -j3 sh -c 'echo "$JOBWRAP_JOBS"' \
            7<&- 8<&- </dev/null
        [ "${lines[1]}" = 3 ]
    done
}

@test 'a named parent that cannot be used: one line, 125, nothing is run' {
    touch file
    for server in /no/such file "$PWD" fifo:file 7,8 /dev/null/x; do
        run -125 "$JOBWRAP" --parent="$server" touch run 7<&- 8<&-
        [ "${#lines[@]}" = 1 ]
        [[ $output == jobwrap:* ]]
    done
    [ ! -e run ]
}

@test 'descriptors that MAKEFLAGS names but that are other files now: JOBWRAP_FIFO is used' {
    make_fifo "$PARENT" 3
    touch file
    run -0 env MAKEFLAGS='-j4 --jobserver-auth=7,8' JOBWRAP_FIFO="$PARENT" JOBWRAP_JOBS=4 "$JOBWRAP" \
        sh -c 'echo "$JOBWRAP_JOBS"; ls -l /proc/self/fd | grep -c "/file$"' 7<file 8<file
    [ "${lines[*]}" = '4 2' ]
}

@test 'bytes that were never lent do not reach the parent, and what is lost comes back' {
    make_fifo "$PARENT" 3
    "$JOBWRAP" --parent="$PARENT" --report=report sh -c 'printf +++++++ >"$JOBWRAP_FIFO"; sleep 0.2'
    fifo_has "$PARENT" 3
    grep -q '"dropped": *7' report
    # A client that takes all there are and ends.
    "$JOBWRAP" --parent="$PARENT" python3 -c 'import os
fd = os.open(os.environ["JOBWRAP_FIFO"], os.O_RDWR)
assert os.read(fd, 1) + os.read(fd, 1) == b"++"'
    fifo_has "$PARENT" 3
}

# So many, in one line of `said` or in several.
has_lost() {
    [ "$(awk '/^jobwrap: [0-9]+ tokens? (was|were) lost/ { n += $2 } END { print n + 0 }' said)" = "$1" ]
}

@test 'tokens that are lost while the build goes on are returned when that is certain' {
    make_fifo "$PARENT" 4
    # Three are read and forgotten; then only this shell lives, and the sleep.
    spawn "$JOBWRAP" --parent="$PARENT" sh -c 'dd bs=1 count=3 of=/dev/null status=none <"$JOBWRAP_FIFO"
        exec sleep 1000' 2>said
    wait_for 10 has_lost 3 || { cat said && false; }
    wait_for 10 eval '[ "$(tokens_in "$PARENT")" -ge 1 ]'
    stop "$spawned"
    wait_for 10 fifo_has "$PARENT" 4
}

@test 'an idle float goes home when the parent has no other token, and comes back on demand' {
    make_fifo "$PARENT" 2
    spawn "$JOBWRAP" --parent="$PARENT" sh -c 'echo "$JOBWRAP_FIFO" >where; exec sleep 60'
    wait_for 10 fifo_has "$PARENT" 1
    wait_for 10 test -s where
    # Somebody who blocks on the FIFO gets it, though it was at home.
    timeout 30 dd bs=1 count=1 status=none <"$(cat where)" >token
    [ "$(cat token)" = + ]
    stop "$spawned"
    wait_for 10 fifo_has "$PARENT" 2
}

@test 'an idle jobwrap hardly wakes up' {
    make_fifo "$PARENT" 4
    spawn "$JOBWRAP" --parent="$PARENT" sh -c 'touch began; exec sleep 60'
    wait_for 10 test -e began
    # It has its slot and one token more, and nothing to do; who else runs may take the processor from it.
    wait_for 10 fifo_has "$PARENT" 2
    switches() {
        awk '/^voluntary_ctxt_switches/ { print $2 }' "/proc/$spawned/status"
    }
    before=$(switches)
    # Time has to pass here; nothing is synchronised by it.
    sleep 2
    after=$(switches)
    echo "$((after - before)) times"
    [ $((after - before)) -le 20 ]
    stop "$spawned"
}

@test 'the holder that steved shows is jobwrap, not its keeper' {
    start_steved --jobs 1
    # They join as soon as they can: once would prove nothing.
    for _ in {1..20}; do
        spawn "$JOBWRAP" --parent="$SERVER" sleep 60
        wait_for 10 steved_has held 1
        run -0 --separate-stderr "$STEVECTL" --server "$SERVER" status --json
        [ "$(python3 -c 'import json, sys
print([c["pid"] for c in json.loads(sys.argv[1])["clients"] if c["held"]])' "$output")" = "[$spawned]" ]
        stop "$spawned"
        wait_for 10 steved_has free 1
    done
}

@test 'the ledger grows with what is borrowed: 300 tokens, of a FIFO' {
    make_fifo "$PARENT" 300
    run -0 "$JOBWRAP" --parent="$PARENT" python3 -c 'import os
fifo = os.open(os.environ["JOBWRAP_FIFO"], os.O_RDWR)
tokens = b"".join(os.read(fifo, 1) for _ in range(299))
print(len(tokens))
os.write(fifo, tokens)'
    [ "$output" = 299 ]
    fifo_has "$PARENT" 300
}

@test 'twenty jobwraps of a user leave pipes to his other programs' {
    # Root's pipes are not counted, see pipe(7); sizes beyond the limit are two pages.
    mkfifo "$OTHER/parent" "$OTHER/gate"
    chmod 666 "$OTHER"/*
    # shellcheck disable=SC2034 # it lives as long as the test
    exec {FIFO_FD}<>"$OTHER/parent"
    cp "$JOBWRAP" "$OTHER/jobwrap"
    # Not as_user: spawn has to know the pid of jobwrap itself.
    local user=()
    [ "$(id -u)" != 0 ] || user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
    for i in {1..20}; do
        spawn "${user[@]}" env TMPDIR="$OTHER" "$OTHER/jobwrap" --parent="$OTHER/parent" --implicit=inherit \
            sh -c 'touch "$0/began$1"; read -r line <"$0/gate"' "$OTHER" "$i"
    done
    for i in {1..20}; do
        wait_for 20 test -e "$OTHER/began$i"
    done
    run -0 as_user perl -e 'pipe(my $read, my $write); print fcntl($read, 1032, 0)' # F_GETPIPE_SZ
    [ "$output" = 65536 ] # 16 slots
}

@test 'no inotify instance is left: that is said, and the build gets all tokens, if later' {
    require unshare
    require_root
    make_fifo "$PARENT" 3
    "$LIB/make-tree" tree 0.2 "$BATS_TEST_TMPDIR/log"
    run -0 unshare --user --map-root-user sh -c '
        echo 0 >/proc/sys/user/max_inotify_instances || exit 99
        TMPDIR=/tmp exec "$1" --parent="$2" make -C tree' sh "$JOBWRAP" "$PARENT"
    [[ ${lines[0]} == 'jobwrap: inotify: '*'; jobs may start later than they could' ]]
    LOG=$BATS_TEST_TMPDIR/log exactly 3 60
    fifo_has "$PARENT" 3
}

@test 'few descriptors: a clean error or a build, and no token lost' {
    make_fifo "$PARENT" 3
    for limit in 6 8 10 12 14 16 18 20 24 32 64; do
        # LeakSanitizer needs descriptors of its own.
        ASAN_OPTIONS=detect_leaks=0 run sh -c 'ulimit -n "$3"; exec "$1" --parent="$2" true' sh "$JOBWRAP" "$PARENT" "$limit"
        [ "$status" = 0 ] || [ "$status" = 125 ]
        [ "$status" = 0 ] || [ -n "$output" ]
        wait_for 10 fifo_has "$PARENT" 3
    done
    [ "$status" = 0 ]
}

@test 'the directory: private, removed, and never at a place that clients or make clean trip over' {
    [ "$(id -u)" != 0 ] || require setpriv
    as_user mkdir -m 700 "$OTHER/runtime"
    chmod 1777 "$OTHER"
    export XDG_RUNTIME_DIR=$OTHER/runtime
    show='stat -c %a "${JOBWRAP_FIFO%/*}" "$JOBWRAP_FIFO"; echo "$JOBWRAP_FIFO"'
    as_user test -x "$JOBWRAP" || skip 'another user cannot reach the program'
    cd /
    run -0 as_user "$JOBWRAP" sh -c "$show"
    [ "${lines[0]} ${lines[1]}" = '700 600' ]
    [[ ${lines[2]} == "$XDG_RUNTIME_DIR/jobwrap-"*/jobserver ]]
    [ -z "$(ls "$XDG_RUNTIME_DIR")" ]
    odd="$OTHER/a b"
    as_user mkdir "$odd"
    run -0 as_user env XDG_RUNTIME_DIR="$odd" TMPDIR="$odd" "$JOBWRAP" sh -c "$show"
    [[ ${lines[2]} == /tmp/jobwrap-* ]]
    run -0 as_user env XDG_RUNTIME_DIR=/proc TMPDIR=/no/such "$JOBWRAP" sh -c "$show"
    [[ ${lines[2]} == /tmp/jobwrap-* ]]
    # Where others may rename it, they could put a FIFO of their own in its place.
    as_user mkdir -m 700 "$OTHER/safe"
    run -0 as_user env -u XDG_RUNTIME_DIR TMPDIR="$OTHER/safe" "$JOBWRAP" sh -c "$show"
    [[ ${lines[2]} == "$OTHER/safe/jobwrap-"* ]]
    chmod 0777 "$OTHER"
    run -0 as_user env -u XDG_RUNTIME_DIR TMPDIR="$OTHER/safe" "$JOBWRAP" sh -c "$show"
    [[ ${lines[2]} == /tmp/jobwrap-* ]]
    chmod 1777 "$OTHER"
    if [ "$(id -u)" = 0 ]; then
        mkdir -m 1777 "$OTHER/daemons"
        chown daemon "$OTHER/daemons"
        run -0 as_user env -u XDG_RUNTIME_DIR TMPDIR="$OTHER/daemons" "$JOBWRAP" sh -c "$show"
        [[ ${lines[2]} == /tmp/jobwrap-* ]]
    fi
    # A build in $TMPDIR might remove what is below it.
    as_user mkdir "$OTHER/build"
    cd "$OTHER/build"
    run -0 as_user env -u XDG_RUNTIME_DIR TMPDIR="$OTHER/build" "$JOBWRAP" sh -c "$show"
    [[ ${lines[2]} == /tmp/jobwrap-* ]]
}

@test 'root: builders of another user share the FIFO through its group, and no others' {
    require_root
    require setpriv getent
    at_once 4
    group=$(getent group daemon | cut -d: -f1)
    [ -n "$group" ] || skip 'no group daemon'
    number=$(getent group daemon | cut -d: -f3)
    run -0 "$JOBWRAP" -j3 --group="$group" setpriv --reuid=65534 --regid=65534 --groups="$number" \
        sh -c 'stat -c "%a %U:%G" "$JOBWRAP_FIFO"; dd bs=1 count=2 status=none <>"$JOBWRAP_FIFO"'
    [ "${lines[0]}" = "660 root:$group" ]
    [ "${lines[1]}" = ++ ]
    run ! "$JOBWRAP" -j3 --group="$group" setpriv --reuid=65534 --regid=65534 --clear-groups \
        sh -c ': <>"$JOBWRAP_FIFO"'
    as_user test -x "$STAMP" || skip 'another user cannot reach stamp'
    as_user "$LIB/make-tree" "$OTHER/tree" 0.03
    "$JOBWRAP" -j4 --group="$group" setpriv --reuid=65534 --regid=65534 --groups="$number" \
        make -C "$OTHER/tree"
    "$LIB/concurrency" --expect-exactly 4 --expect-jobs 60 "$OTHER/tree/log"
}
