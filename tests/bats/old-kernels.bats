#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Kernels and containers that refuse system calls: what can be done without them is done.

# shellcheck disable=SC2016 # what single quotes hold is for the command's shell
load ../lib/bash/common
load ../lib/bash/steved

PIDFDS=pidfd_open,pidfd_send_signal,pidfd_getfd

setup() {
    common_setup
    cd "$BATS_TEST_TMPDIR" || return
}

# without_pidfds ERRNO: the ways in which they are refused, one after the other in $refused.
without_pidfds() {
    case $1 in
    ENOSYS) refused ENOSYS $PIDFDS,clone3 ;;
    EPERM) refused EPERM $PIDFDS ;;
    send) refused EPERM pidfd_send_signal ;;
    esac
}

@test 'no pidfds: a signal to jobwrap reaches the command' {
    for way in ENOSYS EPERM send; do
        without_pidfds $way
        rm -f ready
        spawn "${refused[@]}" "$JOBWRAP" sh -c 'trap "exit 3" TERM; >ready; sleep 60 & wait'
        wait_for 10 test -e ready
        kill "$spawned"
        status_of "$spawned"
        [ "$status" = 3 ]
    done
}

# tree_is_there: the command has started what is to be ended with it.
tree_is_there() {
    [ -s pids ] && is_alive "$(<pids)"
}

@test 'no pidfds: the death of jobwrap ends its build, and the tokens return' {
    make_fifo parent 2
    for way in ENOSYS EPERM send; do
        without_pidfds $way
        rm -f pids
        spawn "${refused[@]}" "$JOBWRAP" --parent=parent --implicit=acquire \
            sh -c 'sleep 60 & echo $! >pids; wait'
        wait_for 10 tree_is_there
        stop "$spawned" KILL
        wait_for 10 has_ended "$(<pids)"
        wait_for 10 fifo_has parent 2
    done
}

@test 'no pidfds: a build at steved, whose own kernel has them' {
    start_steved --jobs 2
    without_pidfds ENOSYS
    run -0 "${refused[@]}" "$JOBWRAP" --parent="$SERVER" sh -c 'echo ran'
    [ "$output" = ran ]
    wait_for 10 steved_has free 2
}

@test 'no pidfds: steved does not serve, and says why' {
    for way in ENOSYS EPERM; do
        without_pidfds $way
        run -1 --separate-stderr "${refused[@]}" "$STEVED" --mount "$BATS_TEST_TMPDIR/mount"
        [ "${#stderr_lines[@]}" = 1 ]
        [[ $stderr == 'steved: start: pidfd_open(2), which tells when a client dies: '* ]]
        [ ! -e mount ]
    done
}

# --- no FIFOs ---

# below_a_fifo OPTION... -- COMMAND...: jobwrap below a FIFO of 3 tokens, which are whole afterwards.
below_a_fifo() {
    [ -e parent ] || make_fifo parent 3
    "$JOBWRAP" --parent=parent --implicit=inherit "$@"
    wait_for 10 fifo_has parent 3
}

make_four() {
    export LOG=$PWD/log
    at_once 4
    rm -f "$LOG"
    [ -e tree ] || "$LIB/make-tree" "$PWD/tree" 0.03 "$LOG"
}

@test 'mkfifo is refused in one directory: the next one is used, and nothing stays' {
    require strace
    mkdir -m 700 first
    # A sanitizer that looks for leaks cannot be traced.
    ASAN_OPTIONS=detect_leaks=0 XDG_RUNTIME_DIR=$PWD/first TMPDIR=$PWD/first run -0 --separate-stderr \
        strace -f -qq -o trace -e trace=mknod,mknodat -e inject=mknod,mknodat:error=EPERM:when=1 \
        "$JOBWRAP" sh -c 'stat -c %F "$JOBWRAP_FIFO"; echo "$JOBWRAP_FIFO"'
    [ "${lines[0]}" = fifo ]
    [ "$stderr" = '' ]
    refused=$(sed -n 's/.*"\(.*\)\/jobserver".*EPERM.*/\1/p' trace)
    [ -n "$refused" ]
    [[ ${lines[1]} != "$refused"/* ]]
    [ ! -e "$refused" ]
    [ ! -e "${lines[1]%/*}" ]
}

@test 'mkfifo is refused everywhere: a pipe serves, by its path and by descriptors' {
    require_tool MAKE441
    refused EPERM mknod,mknodat
    make_four
    for options in --style=fifo --style=pipe; do
        for make in make "$MAKE441"; do
            [ "$make $options" != 'make --style=fifo' ] || continue
            rm -f "$LOG"
            run -0 --separate-stderr "${refused[@]}" "$JOBWRAP" -j4 $options "$make" -C tree
            exactly 4 60
            [ "${#stderr_lines[@]}" = 1 ]
            [[ $stderr == "jobwrap: cannot make a FIFO ("*': Operation not permitted'*'); using a pipe, '* ]]
        done
    done
}

@test 'mkfifo is refused everywhere: tokens are borrowed, nested, and return' {
    refused EPERM mknod,mknodat
    make_four
    JOBWRAP_UNREFUSED=$JOBWRAP JOBWRAP=$PWD/jobwrap
    printf '#!/bin/sh\nexec %s %s "$@"\n' "${refused[*]}" "$JOBWRAP_UNREFUSED" >jobwrap
    chmod +x jobwrap
    below_a_fifo make -C tree
    exactly 4 60
    rm "$LOG"
    below_a_fifo "$JOBWRAP" make -C tree
    exactly 4 60
    # Its own death ends the build here, too.
    printf 'all: a b c d\na b c d:; echo $$$$$$$$ >$@; sleep 60\n' >Makefile
    spawn "${refused[@]}" "$JOBWRAP_UNREFUSED" --parent=parent --implicit=inherit make
    wait_for 10 test -s a -a -s b -a -s c -a -s d
    job=$(<a)
    stop "$spawned" KILL
    wait_for 10 fifo_has parent 3
    wait_for 10 has_ended "$job"
}

@test 'no directory can be written: that is said once, with all that were tried' {
    require_root
    require unshare
    unshare --mount true || missing 'no mount namespaces'
    cat >read-only <<'END'
for directory in /run /tmp /dev/shm; do
    mount --bind "$directory" "$directory"
    mount -o remount,bind,ro "$directory"
done
exec "$@"
END
    TMPDIR=/no/such run -0 --separate-stderr unshare --mount --propagation private bash -eu read-only \
        "$JOBWRAP" sh -c 'test -p "$JOBWRAP_FIFO"'
    [ "${#stderr_lines[@]}" = 1 ]
    [[ $stderr == *'(/tmp: Read-only file system'* ]]
}
