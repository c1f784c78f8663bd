#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Limits for clients without a gate: while memory is short or the load high, nothing is granted above min-jobs.
# 100 per cent of the memory is never available, and a load of 1000 never reached.

# shellcheck disable=SC2016 # what is in single quotes is make's, or another shell's
# shellcheck disable=SC2154 # run and spawn set variables

load ../lib/bash/common
load ../lib/bash/steved

setup() {
    common_setup
    cd "$BATS_TEST_TMPDIR"
    LOG=$BATS_TEST_TMPDIR/log
    # Jobs without sub-makes, which would be jobs themselves.
    printf 'jobs = %s\nall: $(jobs)\n$(jobs):; @"$(STAMP)" "%s" $@ 0.03\n' "$(seq -s ' ' 12)" \
        "$LOG" >Makefile
}

# limits_json EXPRESSION: of `limits` in the status, as Python.
limits_json() {
    "$STEVECTL" --server "$SERVER" status --json |
        python3 -c 'import json, sys; print(eval(sys.argv[1], {}, json.load(sys.stdin)["limits"]))' "$1"
}

@test 'steved grants min-jobs while memory is short, and all as soon as the limit is off' {
    start_steved --jobs 4 --min-jobs 2 --min-memory-avail=100%
    "$JOBWRAP" --parent="$SERVER" make
    exactly 2 12
    rm "$LOG"
    "$STEVECTL" --server "$SERVER" set min-memory-avail=0
    at_once 4
    "$JOBWRAP" --parent="$SERVER" make
    exactly 4 12
}

@test 'whoever waits is served at once when a limit goes off' {
    # When it looks again by itself would be too late.
    start_steved --jobs 4 --load-average=0 --min-memory-avail=100% --load-recheck-timeout=3600
    exec {held}<>"$SERVER"
    read -r -N 1 -u "$held"
    spawn head -c 1 "$SERVER"
    wait_for 10 steved_has waiting 1
    [ "$(steved_get free)" = 3 ]
    "$STEVECTL" --server "$SERVER" set min-memory-avail=1
    status_of "$spawned"
    [ "$status" = 0 ]
    # Again, live: and min-jobs lifts it, too.
    "$STEVECTL" --server "$SERVER" set min-memory-avail=100%
    spawn head -c 1 "$SERVER"
    wait_for 10 steved_has waiting 1
    "$STEVECTL" --server "$SERVER" set min-jobs=2
    status_of "$spawned"
    [ "$status" = 0 ]
}

@test 'the status says what holds back, and by which figures' {
    start_steved --jobs 4 --min-memory-avail=100% --load-average=1000 --load-recheck-timeout=2.095
    exec {held}<>"$SERVER"
    read -r -N 1 -u "$held"
    spawn head -c 1 "$SERVER"
    wait_for 10 steved_has waiting 1
    run -0 "$STEVECTL" --server "$SERVER" status
    [[ $output =~ limit\ +[0-9]+\ +MiB\ of\ memory\ wanted,\ [0-9]+\ available\;\ nothing\ is\ granted\ above\ 1,\ for\ [0-9]+\ s ]]
    [[ $output =~ limit\ +1000.00\ +of\ load,\ which\ is\ now\ [0-9.]+$'\n' ]]
    [ "$(limits_json 'held_back_by, min_memory_avail, load_average, load_recheck')" = \
        "(['memory'], '100%', 1000.0, 2.095)" ]
    [ "$(limits_json '0 < available_mib < wanted_mib, held_back_s > 0, load >= 0')" = '(True, True, True)' ]
    run ! grep -E '[0-9]\.[0-9]{4}' < <("$STEVECTL" --server "$SERVER" status --json)
    kill -USR1 "$STEVED_PID"
    wait_for 10 grep -qE 'memory available [0-9]+ MiB of [0-9]+ wanted, load [0-9.]+ of at most 1000.00, grants above 1 held back for [0-9]+ s' \
        "$BATS_TEST_TMPDIR/steved.log"
    "$STEVECTL" --server "$SERVER" set min-memory-avail=0 load-average=0
    [ "$(limits_json 'held_back_by, held_back_s, wanted_mib, load')" = '([], 0.0, 0, 0.0)' ]
    run -0 "$STEVECTL" --server "$SERVER" status
    run ! grep -q '^limit' <<<"$output"
    status_of "$spawned"
}

@test 'a load below its limit lets all through' {
    start_steved --jobs 4 --load-average=1000
    at_once 4
    "$JOBWRAP" --parent="$SERVER" make
    exactly 4 12
    [ "$(steved_get load-average)" = 1000 ]
    [ "$(limits_json held_back_by)" = '[]' ]
}

@test 'settings are set and got as they are written, all or none' {
    start_steved --jobs 4
    [ "$(steved_get min-memory-avail) $(steved_get load-average) $(steved_get load-recheck)" = '0 0 5' ]
    "$STEVECTL" --server "$SERVER" set min-memory-avail=64 load-average=7.25 load-recheck=0.5
    [ "$(steved_get min-memory-avail) $(steved_get load-average) $(steved_get load-recheck)" = '64 7.25 0.5' ]
    refuses 1 "$STEVECTL" --server "$SERVER" set min-memory-avail=65 jobs=1 min-jobs=2
    "$STEVECTL" --server "$SERVER" set min-memory-avail=3%
    [ "$(steved_get min-memory-avail) $(steved_get load-average)" = '3% 7.25' ]
    "$STEVECTL" --server "$SERVER" set load-recheck-timeout=1.5
    [ "$(steved_get load-recheck) $(steved_get load-recheck-timeout)" = '1.5 1.5' ]
    refuses 2 "$STEVECTL" --server "$SERVER" set load-recheck=1 load-recheck-timeout=2
    [ "$(steved_get load-recheck)" = 1.5 ]
}

@test 'what makes no sense is refused in one line that quotes it' {
    local setting option
    start_steved --jobs 4
    for setting in min-memory-avail=101% min-memory-avail=1.5 min-memory-avail=-1 min-memory-avail= \
        load-average=1.234 load-average=x load-average=-1 load-average= load-recheck=0 load-recheck=3601; do
        refuses 2 "$STEVECTL" --server "$SERVER" set "$setting"
        [[ $stderr == *"'$setting'"* ]]
        option=--${setting/#load-recheck/load-recheck-timeout}
        refuses 2 "$STEVED" --mount "$BATS_TEST_TMPDIR/other" "$option"
        [[ $stderr == *"${option%%=*}"*"'${option#*=}'"* ]]
        refuses 2 "$JOBWRAP" "$option" touch ran
        [[ $stderr == *"${option%%=*}"*"'${option#*=}'"* ]]
    done
    refuses 2 "$STEVECTL" --server "$SERVER" set load-average=1 load-average=2
    [ "$(steved_get load-average)" = 0 ]
    [ ! -e ran ] && [ ! -e "$BATS_TEST_TMPDIR/other" ]
}

switches() {
    sed -n 's/^voluntary_ctxt_switches:\t*//p' "/proc/$server/status"
}

@test 'a limit is not looked at while nobody waits' {
    local before
    start_steved --jobs 4 --min-memory-avail=100% --load-average=1000 --load-recheck-timeout=0.1
    server=$(steved_get pid)
    exec {held}<>"$SERVER"
    read -r -N 1 -u "$held"
    # What the kernel says of closed descriptors comes late.
    is_quiet() { before=$(switches) && sleep 0.3 && [ "$(switches)" = "$before" ]; }
    wait_for 10 is_quiet
    spawn head -c 1 "$SERVER"
    wait_for 10 steved_has waiting 1
    before=$(switches)
    switches_grew() { [ "$(switches)" -gt $((before + 1)) ]; }
    wait_for 10 switches_grew
    kill "$spawned"
    wait_for 10 has_ended "$spawned"
}

@test 'a jobwrap that is the pool: one job while memory is short' {
    local style
    for style in fifo pipe; do
        rm -f "$LOG"
        "$JOBWRAP" -j4 --parent=none --style=$style --min-memory-avail=100% make
        exactly 1 12
    done
}

@test 'a limit that comes on and goes off while a jobwrap runs: its tokens go home, and lie there again' {
    run -0 "$JOBWRAP" -j4 --parent=none --style=fifo --report=report sh -c '
        "$0" set min-memory-avail=100%
        make
        cp "$1" limited
        "$0" get held
        "$0" status
        "$0" set min-memory-avail=0 load-average=1000
        rm "$1"
        STAMP_MEET=4 make
        "$0" get held' "$STEVECTL" "$LOG"
    [ "${lines[0]} ${lines[-1]}" = '1 4' ]
    [[ $output =~ MiB\ of\ memory\ wanted.*nothing\ is\ granted\ above\ 1 ]]
    exactly 4 12
    LOG=limited exactly 1 12
    grep -q '"lost": *0' report
    grep -q '"dropped": *0' report
}

@test 'below steved a jobwrap with a limit borrows no more than the token of its first job' {
    start_steved --jobs 4
    gated_jobs 2
    spawn_gated "$JOBWRAP" --parent="$SERVER" --style=fifo --min-memory-avail=100% sh -c \
        'echo "$JOBWRAP_FIFO" >fifo; make'
    wait_for 10 lives_jobs 1
    [ "$(steved_get held) $(steved_get waiting)" = '1 0' ]
    "$STEVECTL" --server "$(cat fifo)" set min-memory-avail=0
    wait_for 10 lives_jobs 2
    # What it holds besides goes home again; the jobs' tokens stay.
    "$STEVECTL" --server "$(cat fifo)" set min-memory-avail=100%
    wait_for 10 steved_has held 2
    let_end 2
    status_of "$spawned"
    [ "$status" = 0 ]
    wait_for 10 steved_has free 4
}

@test 'two builds beside each other below a jobwrap with a limit: one job, then all' {
    "$JOBWRAP" -j3 --parent=none --min-memory-avail=100% sh -c '"$0" make & "$0" make & wait' "$JOBWRAP"
    exactly 1 24
    rm "$LOG"
    at_once 3
    "$JOBWRAP" -j3 --parent=none --load-average=1000 sh -c '"$0" make & "$0" make & wait' "$JOBWRAP"
    exactly 3 24
}
