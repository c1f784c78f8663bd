#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Whatever ends a worker, or all of the run: each token is back, once.
# needs_the_plain_build: sanitizers see nothing of Python programs.

# shellcheck disable=SC2016 # what single quotes hold is another shell's, or make's
# shellcheck disable=SC2153,SC2154 # common.bash sets SERVER and spawned, run sets status and output
load ../lib/bash/common
load ../lib/bash/shim
load ../lib/bash/pytest

worker_has_started() {
    [ -s "worker.$1" ]
}

# --- a worker ---

# xdist sends tests to a worker whose end it has not seen yet, and ends by that: an error of its own
# (3.0 to 3.8), which is no reason to lose a token.
xdist_gave_up() {
    [ "$status" = 3 ] && grep -q 'OSError: cannot send (already closed?)' said
}

# crashes MOST FAILED PASSED [ARGUMENT...]: so many run at once; workers are killed, and others take
# their place.
crashes() {
    local most=$1 failed=$2 passed=$3
    shift 3
    MEET=$most pytest_run "$@"
    if xdist_gave_up; then
        "$LIB/concurrency" --killed --expect-max "$most" "$LOG"
        return
    fi
    [ "$status" = 1 ]
    [[ ${lines[-1]} == *" $failed failed, $passed passed in "* ]]
    [ "$(grep -c "worker '.*' crashed while running" said)" -ge "$failed" ]
    run ! grep -iE 'internal ?error' said
    "$LIB/concurrency" --killed --expect-exactly "$most" "$LOG"
    ran "$passed"
}

@test 'workers that are killed in a test: a FIFO has its tokens back, and none more' {
    suite many {a..d}
    for name in newest oldest; do
        use_pytest "$name"
        below_fifo 2
        KILL='a.3 b.7 c.11' crashes 3 3 97 -n 4
        all_back 2
    done
}

@test 'a worker that is killed on the slot: another has it then' {
    suite many {a..d}
    below_fifo 0
    KILL='a.3 b.7 c.11' crashes 1 3 97 -n 2
    all_back 0
}

@test 'workers that are killed in a test: steved gives their tokens to others' {
    suite many {a..d}
    below_steved 3
    KILL='a.3 b.7 c.11' crashes 3 3 97 -n 4
    steved_is_whole
}

@test 'workers that are killed in a test: a jobwrap gives their tokens to others' {
    suite many {a..d}
    export KILL='a.3 b.7 c.11' MEET=3 TESTS=12
    in_jobwrap 3 '"$PYTEST" -p no:cacheprovider -n 4 || echo "status $?"
        LOG=$LOG.again KILL= "$PYTEST" -p no:cacheprovider -n 4'
    status_of "$spawned" 120
    cat said
    [ "$status" = 0 ]
    "$LIB/concurrency" --killed --expect-exactly 3 "$LOG"
    "$LIB/concurrency" --expect-exactly 3 --expect-jobs 64 "$LOG.again"
}

@test 'a worker that is killed while it waits for a token' {
    suite many {a..d}
    for kind in fifo steved; do
        if [ $kind = fifo ]; then below_fifo 0; else below_steved 1; fi
        HANG='a.0 b.0 c.0 d.0' pytest_spawn -n 2
        wait_for 30 runs '[a-d]\.0'
        wait_for 30 worker_has_started gw0
        wait_for 30 worker_has_started gw1
        runner=$(sed -n 's/^start test.*\.\(gw[01]\) .*/\1/p' "$LOG" | head -n 1)
        waiter=gw$((1 - ${runner#gw}))
        kill -s KILL "$(cat "worker.$waiter")"
        # Its place is taken before anybody may go on.
        wait_for 30 worker_has_started gw2
        : >go
        spawned_status
        [ "$status" = 1 ]
        # What it had been about to run counts as failed, and nothing else.
        [[ $(tail -n 1 said) == *' 1 failed, 99 passed in '* ]]
        "$LIB/concurrency" --killed --expect-exactly 1 "$LOG"
        ran 99
        if [ $kind = fifo ]; then all_back 0; else steved_is_whole; fi
    done
}

# --- the run ---

# is_interrupted: the run that waits for `go` ends of ^C, with nothing left of it.
is_interrupted() {
    kill -s INT -- "-$spawned"
    spawned_status
    [ "$status" = 2 ]
    grep -q KeyboardInterrupt said
    run ! grep -iE 'internal ?error' said
}

@test '^C while workers run, and others wait' {
    suite many {a..d}
    below_fifo 1
    for arguments in '-n 4' '-n 1' ''; do
        # shellcheck disable=SC2086 # words
        HANG='a.0 b.0 c.0 d.0 a.1 b.1 c.1 d.1' pytest_spawn $arguments
        wait_for 30 runs '[a-d]\.[01]'
        is_interrupted
        wait_for 10 all_back 1
    done
    below_steved 2
    for arguments in '-n 4' ''; do
        # shellcheck disable=SC2086 # words
        HANG='a.0 b.0 c.0 d.0 a.1 b.1 c.1 d.1' pytest_spawn $arguments
        wait_for 30 runs '[a-d]\.[01]'
        is_interrupted
        steved_is_whole
    done
}

waits() {
    [ "$(steved_get waiting)" -gt 0 ]
}

@test '^C while all wait for their first token' {
    suite many {a..d}
    below_steved 1
    # No ancestor, whose token would pay for the slot.
    spawn python3 "$LIB/steved_client.py" hold "$SERVER" 1 >held
    holder=$spawned
    wait_for 10 grep -q held held
    for arguments in '-n 2' ''; do
        # shellcheck disable=SC2086 # words
        pytest_spawn $arguments
        wait_for 30 waits
        kill -s INT -- "-$spawned"
        spawned_status
        [ "$status" = 2 ]
        [ ! -s "$LOG" ]
        wait_for 10 steved_has waiting 0
    done
    stop "$holder" KILL
    steved_is_whole
}

@test 'SIGTERM and SIGKILL of the whole run: steved has all back, a FIFO what is left' {
    suite many {a..d}
    for signal in TERM KILL; do
        below_steved 3
        HANG='a.0 b.0 c.0 d.0' pytest_spawn -n 4
        wait_for 30 steved_has free 0
        wait_for 30 runs '[a-d]\.0'
        kill -s $signal -- "-$spawned"
        spawned_status
        [ "$status" != 0 ]
        steved_is_whole
    done
}

# Of the FIFO, and of whoever asks.
has_two_accounts() {
    [ "$(steved_get accounts)" = 2 ]
}

@test 'SIGKILL of the whole run, or of one without workers: a jobwrap has all back' {
    suite many {a..d}
    export arguments HANG='a.0 b.0 c.0 d.0' STAMP_MEET
    printf 'all: 1 2 3 4\n1 2 3 4:\n\t@"$(STAMP)" "$(LOG)" $@ 0\n' >Makefile
    for arguments in '-n 4' '--jobserver-implicit=acquire'; do
        rm -rf "$LOG" again
        in_jobwrap 4 'setsid "$PYTEST" -p no:cacheprovider $arguments & echo $! >runner
            until [ -e again ]; do sleep 0.01; done
            rm "$LOG"; STAMP_MEET=4 make'
        if [ "$arguments" = '-n 4' ]; then
            wait_for 30 lives_jobs 4
        else
            wait_for 30 runs a.0
            [ "$(steved_get accounts)" = 3 ]
        fi
        kill -s KILL -- "-$(cat runner)"
        wait_for 10 has_two_accounts
        : >again
        status_of "$spawned"
        cat said
        [ "$status" = 0 ]
        exactly 4 4
    done
}

# Who has a connection to the jobwrap is none of those who might have what its FIFO has lent.
@test 'a make that a test has started is killed: its tokens serve others while the run goes on' {
    suite many
    gated_jobs 3
    cat >test_a.py <<'END'
import os
import subprocess

from observe import count_living
from stamps import LOG, wait_until


def test_make():
    make = subprocess.Popen("make")
    wait_until(lambda: count_living(LOG.fd) == 3, "3 jobs")
    make.kill()
    make.wait()
    os.close(os.open("killed", os.O_CREAT))
    wait_until(lambda: os.path.exists("go"), "go")
END
    in_jobwrap 4 "exec $gate>&-"'; "$PYTEST" -p no:cacheprovider -n 4'
    wait_for 30 test -e killed
    run=$spawned
    # It needs two tokens, of which one may be free now.
    spawn bash -c "exec $gate>&-"'; exec "$JOBWRAP" --parent="$1" sh -c '\''exec head -c 1 "$JOBWRAP_FIFO"'\' - "$SERVER" >others
    others=$spawned
    lives_jobs 3
    is_alive "$others"
    let_end 3
    status_of "$others"
    [ "$(cat others)" = + ]
    : >go
    status_of "$run"
    cat said
    [ "$status" = 0 ]
}

# The controller alone: its workers see that their channel is closed, and end.
@test 'SIGKILL of the controller' {
    suite many {a..d}
    below_fifo 2
    for kind in fifo steved; do
        [ $kind = fifo ] || below_steved 3
        HANG='a.0 b.0 c.0 d.0' pytest_spawn -n 4
        wait_for 30 runs '[a-d]\.0'
        wait_for 30 worker_has_started gw3
        controller=$(ps -o ppid= -p "$(cat worker.gw0)")
        kill -s KILL "$controller"
        : >go
        spawned_status
        [ "$status" = 137 ]
        if [ $kind = fifo ]; then all_back 2; else steved_is_whole; fi
    done
}

# --- pytest-timeout ---

@test 'a test that waits for its token is not late' {
    suite many {a..d}
    below_fifo 0
    # Each in turn takes far less than the time that it may, but the last waits for longer than that.
    for method in signal thread; do
        TESTS=1 JOB_SECONDS=1.5 passes 4 -n 4 --timeout=4 --timeout-method=$method
        exactly 1
        all_back 0
    done
}

@test 'a test that is too late gives its token back' {
    suite many {a..d}
    below_fifo 1
    HANG=b.2 pytest_run -n 2 --timeout=4 --timeout-method=signal
    [ "$status" = 1 ]
    [[ ${lines[-1]} == *' 1 failed, 99 passed in '* ]]
    all_back 1
    # This one ends the process.
    HANG=b.2 pytest_run -n 2 --timeout=4 --timeout-method=thread
    [ "$status" = 1 ]
    [[ ${lines[-1]} == *' 1 failed, 99 passed in '* ]]
    all_back 1
}
