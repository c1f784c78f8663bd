#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# pytest with its plugin beside others at one pool: steved, jobwrap, make and ninja.
# needs_the_plain_build: sanitizers see nothing of Python programs.

# shellcheck disable=SC2016 # what single quotes hold is another shell's, or make's
# shellcheck disable=SC2153,SC2154 # common.bash sets SERVER and spawned, run sets status and output
load ../lib/bash/common
load ../lib/bash/shim
load ../lib/bash/pytest

@test 'steved: nobody has paid for the slot, so exactly as many as it has tokens' {
    suite many {a..h}
    below_steved 3
    for name in newest oldest; do
        use_pytest "$name"
        MEET=3 passes 200 -n 4
        exactly 3
        steved_is_whole
        [ "$(steved_get reclaimed)" = 0 ]
    done
    passes 200
    exactly 1
    steved_is_whole
}

@test 'steved: the status counts no worker as a job that nobody has paid for' {
    suite many {a..d}
    below_steved 3
    for arguments in '-n 4' ''; do
        # shellcheck disable=SC2086 # words
        HANG='a.0 b.0 c.0 d.0' pytest_spawn $arguments
        wait_for 30 runs '[a-d]\.0'
        [ "$(steved_get held)" -ge 1 ]
        [ "$(steved_get unpaid)" = 0 ]
        : >go
        spawned_status
        [ "$status" = 0 ]
        steved_is_whole
    done
}

@test 'steved: a pytest in a test, and a jobwrap in a test of that, need no token but the first' {
    below_steved 1
    cat >test_outer.py <<'END'
import subprocess
import sys


def test_outer():
    for workers in "0", "2":
        words = ["-m", "pytest", "-p", "no:cacheprovider", "-n", workers, "inner.py"]
        subprocess.run([sys.executable, *words], check=True)
END
    cat >inner.py <<'END'
import os
import subprocess


def test_inner():
    subprocess.run([os.environ["JOBWRAP"], "--", "true"], check=True)
END
    passes 1
    passes 1 -n 2
    steved_is_whole
}

# wrapped_run OPTION... -- ARGUMENT...: like pytest_run, by a jobwrap with these options.
wrapped_run() {
    local options=()
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    rm -rf "$LOG" "$LOG.met"
    MAKEFLAGS='' run "$LIB/subreaper" timeout 60 "$JOBWRAP" "${options[@]}" -- \
        "$PYTEST" -p no:cacheprovider "${@:2}" 3>&-
    echo "$output"
    [ "$status" = 0 ]
    [[ $output == *' 200 passed in '* ]]
}

@test 'jobwrap -j3, of each style: exactly 3; and a single token is enough' {
    suite many {a..h}
    for style in fifo pipe auto; do
        MEET=3 wrapped_run -j3 --parent=none --style=$style -- -n 4
        exactly 3
    done
    wrapped_run -j1 --parent=none -- -n 3
    exactly 1
}

@test 'jobwrap at steved: exactly as many as there are tokens, and all come back' {
    suite many {a..h}
    start_steved --jobs 3
    MEET=3 wrapped_run --parent="$SERVER" --style=fifo -- -n 4
    exactly 3
    steved_is_whole
}

# --- a build that is paused ---

BECAUSE_OF_A_PAUSE='which grants none because this build is paused (see stevectl continue)'

@test 'steved: a pause is told to the user of a run that waits' {
    suite many
    below_steved 1
    # Not this shell: it would pay for the job of what it starts.
    spawn bash -c 'exec 3<>"$0"; read -r -N 1 -u 3; exec sleep 60' "$SERVER"
    local holder=$spawned
    wait_for 10 steved_has held 1
    pytest_spawn
    wait_for 20 steved_has waiting 1
    "$STEVECTL" --server "$SERVER" pause "$(pgrep -g "$spawned" -x pytest)"
    wait_for 20 grep -q paused said
    "$STEVECTL" --server "$SERVER" continue "$(pgrep -g "$spawned" -x pytest)"
    kill "$holder"
    spawned_status
    [ "$status" = 0 ]
    [ "$(grep -cxF "jobserver: waiting for a token from fifo:$SERVER, $BECAUSE_OF_A_PAUSE" said)" = 1 ]
}

@test 'below a jobwrap that is paused: of all workers that wait one says so' {
    suite many {a..d}
    start_steved --jobs 6
    local pool=$SERVER
    mkfifo start
    # In its own session: it is no part of what starts it.
    spawn setsid "$JOBWRAP" --parent="$SERVER" --style=fifo -- sh -c ': >begun; read -r _ <start
        HANG="a.0 b.0 c.0 d.0" exec "$0" -p no:cacheprovider -n 4' "$PYTEST" >said 2>&1
    wait_for 20 test -e begun
    "$STEVECTL" --server "$pool" pause "$spawned"
    # That of its implicit slot.
    wait_for 20 steved_has held 1
    echo >start
    wait_for 30 grep -q paused said
    "$STEVECTL" --server "$pool" continue "$spawned"
    : >go
    status_of "$spawned" 60
    cat said
    [ "$status" = 0 ]
    [ "$(grep -c "^jobserver: waiting for a token from fifo:.*, $BECAUSE_OF_A_PAUSE\$" said)" = 1 ]
}

# shares LOG...: of the jobs' time, from when all of these builds run until the first has ended, in percent.
shares() {
    python3 - "$@" <<'END'
import sys


def jobs(name: str) -> list[tuple[int, int]]:
    with open(name) as log:
        lines = [line.split() for line in log]
    begun = {tuple(words[1:3]): int(words[3]) for words in lines if words[0] == "start"}
    return [(begun[tuple(words[1:3])], int(words[3])) for words in lines if words[0] == "end"]


builds = [jobs(name) for name in sys.argv[1:]]
begin = max(min(each)[0] for each in builds) + 10**9
end = min(max(end for _, end in each) for each in builds)
used = [sum(max(0, min(b, end) - max(a, begin)) for a, b in each) for each in builds]
print(*(round(100 * each / sum(used)) for each in used))
END
}

@test 'below a jobwrap with no daemon two runs and a make have a share each, of exactly 6' {
    local number share
    suite many {a..f}
    mkdir make
    number=$(seq -s ' ' 120)
    printf 'all: %s\n%s:\n\t@"%s" "%s" $@ 0.2\n' "$number" "$number" "$STAMP" "$PWD/make.log" >make/Makefile
    export TESTS=20 JOB_SECONDS=0.2
    in_jobwrap 6 'for n in 1 2; do LOG=$PWD/run$n.log "$PYTEST" -p no:cacheprovider -q -n 6 & done
        until [ -s run1.log ] && [ -s run2.log ]; do sleep 0.1; done
        "$JOBWRAP" make -C make; wait'
    for number in run1 run2 make; do
        wait_for 30 test -s $number.log
    done
    # Each is an account, its workers too.
    run -0 "$STEVECTL" --server "$SERVER" status --json
    [ "$(grep -oE '"command": *"[^"]*/pytest -p no:cacheprovider -q -n 6"' <<<"$output" | wc -l)" = 2 ]
    [ "$(steved_get accounts)" = 5 ] # those, the make's, the FIFO's, and who asks
    status_of "$spawned" 90
    cat said
    [ "$(grep -c '120 passed in ' said)" = 2 ]
    "$LIB/concurrency" --expect-exactly 6 run1.log run2.log make.log
    for share in $(shares run1.log run2.log make.log); do
        echo "$share %"
        # On a busy machine a run has pauses between its tests, and the others have its tokens meanwhile.
        [ "$share" -ge 10 ]
    done
}

@test 'two runs, a make and a ninja at one steved: all end, never more than the pool in all' {
    require_tool MAKE441
    suite many {a..h}
    use_ninja 1.11
    "$LIB/make-tree" made 0.02 "$LOG"
    "$LIB/make-ninja-tree" --jobs 60 ninja "$LOG"
    below_steved 4
    spawn "$JOBWRAP" --parent="$SERVER" -- "$MAKE441" -C made >make.said 2>&1
    spawn "$JOBWRAP" --parent="$SERVER" -- "$NINJA_SHIM" -C ninja >ninja.said 2>&1
    spawn "$PYTEST" -p no:cacheprovider -n 4 >pytest1.said 2>&1
    spawn "$PYTEST" -p no:cacheprovider -n 4 >pytest2.said 2>&1
    for pid in "${SPAWNED[@]: -4}"; do
        status_of "$pid" 120
        [ "$status" = 0 ] || { tail -n 20 ./*.said && return 1; }
    done
    exactly 4
    ran 400
    [ "$(grep -c ' passed in ' pytest1.said pytest2.said)" = $'pytest1.said:1\npytest2.said:1' ]
    steved_is_whole
}

# --- giving a token up to those who wait ---

# a_make JOBS: its jobs meet, so that it cannot end on its slot alone.
a_make() {
    local number
    {
        echo 'all:'
        for number in $(seq "$1"); do
            printf 'all: %s\n%s:\n\t@"%s" make.log make.%s -- sh met.sh\n' \
                "$number" "$number" "$STAMP" "$number"
        done
    } >Makefile
    cat >met.sh <<END
until [ -e make.met ]; do
    [ "\$("$STAMP" --living make.log)" -lt $1 ] || : >make.met
    sleep 0.01
done
END
}

# make_has_a_turn [ARGUMENT...]: beside a run that has enough to do for minutes, and all tokens.
make_has_a_turn() {
    TESTS=500 JOB_SECONDS=0.06 pytest_spawn "$@"
    wait_for 30 runs '[a-d]\.3'
    runner=$spawned
    rm -f make.log make.met
    spawn "$MAKE441" -s
    # The slot is one job; the other needs a token, which the run does not need to have for ever.
    status_of "$spawned" 40
    [ "$status" = 0 ]
    is_alive "$runner"
    kill -s INT -- "-$runner"
    spawned=$runner
    spawned_status
    [ "$status" = 2 ]
}

@test 'a make that waits gets a token between two tests, at a FIFO' {
    require_tool MAKE441
    suite many {a..d}
    below_fifo 1
    a_make 2
    make_has_a_turn -n 2
    wait_for 10 all_back 1
    # One that is not distributed keeps no token that it does not need.
    make_has_a_turn
    wait_for 10 all_back 1
}

@test 'a make that waits gets a token between two tests, at steved' {
    require_tool MAKE441
    suite many {a..d}
    a_make 2
    below_steved 2
    make_has_a_turn -n 2
    steved_is_whole
    below_steved 1
    make_has_a_turn
    steved_is_whole
}
