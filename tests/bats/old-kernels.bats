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
