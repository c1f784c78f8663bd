#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# stevectl watch: what happens at a steved and at a jobwrap, and what gates tell of their jobs.

# shellcheck disable=SC2016 # what is in single quotes is another shell's
# shellcheck disable=SC2154 # common.bash sets spawned

load ../lib/bash/common
load ../lib/bash/steved

# STEVED_EVENT_JOB_*
export TELL=$BUILD/tests/lib/tell JOB_STARTED=18 JOB_ENDED=19 JOB_MOVED=24

setup() {
    common_setup
    cd "$BATS_TEST_TMPDIR"
}

# watch FILE SERVER [OPTION]: in the background; returns when the server tells it what happens.
watch() {
    spawn "$STEVECTL" --server "$2" watch "${@:3}" >"$1" 2>"$1.errors"
    wait_for 20 grep -q watching "$1"
}

# seen FILE CONDITION...: an event for each, in this order, others between them. A condition is of Python, on `e`.
seen() {
    python3 - "$@" <<'END'
import json, sys

events = [json.loads(line) for line in open(sys.argv[1]) if line.endswith("\n")]
rest = iter(events)
for condition in sys.argv[2:]:
    if not any(eval(condition, {"e": e}) for e in rest):
        sys.exit(f"no {condition} in " + "\n".join(map(str, events)))
END
}

@test 'tokens: who comes, is granted one, waits, returns it, dies with one, and leaves' {
    start_steved --jobs 1
    watch json "$SERVER" --json
    watch text "$SERVER"
    exec {fd}<>"$SERVER"
    read -r -N 1 -u "$fd"
    spawn dd if="$SERVER" of=/dev/null bs=1 count=1
    wait_for 20 steved_has waiting 1
    printf + >&"$fd"
    status_of "$spawned"
    "$STEVECTL" --server "$SERVER" set jobs=3
    wait_for 20 grep -q '"jobs",' json
    seen json \
        'e["event"] == "watching" and e["jobs"] == 1 and e["used"] == 0' \
        "e['event'] == 'came' and e['pid'] == $BASHPID and e['count'] == 100 and 'ba' in e['command']" \
        "e['event'] == 'granted' and e['pid'] == $BASHPID and (e['held'], e['used'], e['status']) == (1, 1, 0)" \
        "e['event'] == 'came' and e['pid'] == $spawned and e['command'] == 'dd'" \
        "e['event'] == 'waits' and e['pid'] == $spawned and (e['used'], e['waiting']) == (1, 1)" \
        "e['event'] == 'returned' and e['pid'] == $BASHPID and e['used'] == 0" \
        "e['event'] == 'granted' and e['pid'] == $spawned and e['status'] == 1 and e['duration_ns'] > 0" \
        "e['event'] == 'reclaimed' and e['pid'] == $spawned and e['count'] == 1 and e['used'] == 0" \
        "e['event'] == 'left' and e['pid'] == $spawned" \
        'e["event"] == "jobs" and e["count"] == 3'
    seen json "e['event'] == 'granted' and abs(e['time_ms'] / 1000 - ${EPOCHREALTIME/,/.}) < 300"
    wait_for 20 grep -q ' jobs  *3;' text
    grep -qE "^[0-9:]{8}\.[0-9]{3} granted +$spawned dd, after [0-9.]+ s; has 1; 1 used, 0 waiting\$" text
    grep -qE "^[0-9:]{8}\.[0-9]{3} reclaimed +$spawned dd; has 0; 0 used, 0 waiting\$" text
}

@test 'classes: whose tokens they are, and jobs that have one, or wait for one' {
    : "${JOBGATE:=$BUILD/ninja-shim/jobgate}"
    # LeakSanitizer does not work in what is traced.
    export ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0
    start_steved --jobs 2 --class link=1 --class remote=1
    watch json "$SERVER" --json
    watch text "$SERVER"
    grep -q '; 0 used, 0 waiting; class link, 1 job; class remote, 1 job$' text
    printf '#!/bin/sh\nexec sleep 0.1\n' | tee icecc >ld
    chmod +x icecc ld
    printf '%s\n' './icecc -c a.cc' './icecc -c b.cc' './ld a.o' |
        MAKEFLAGS=" -j2 --jobserver-auth=fifo:$SERVER" JOBWRAP_MEMORY=off \
            "$JOBGATE" --implicit=acquire --jobs-of=xargs -- xargs -P4 -I{} sh -c 'exec {}'
    "$STEVECTL" --server "$SERVER" set link.jobs=3
    wait_for 20 grep -q ' jobs  *3;.*; class link' text
    seen json 'e["event"] == "watching" and [(c["name"], c["jobs"], c["held"]) for c in e["classes"]] == [
            ("link", 1, 0), ("remote", 1, 0)]' \
        'e["event"] == "granted" and e.get("class") == "remote" and e["used"] == 1' \
        'e["event"] == "job-started" and e.get("class") == "remote" and e["count"] == 2' \
        'e["event"] == "job-ended" and e.get("class") == "remote"'
    seen json 'e["event"] == "job-waits" and e.get("class") == "remote"'
    seen json 'e["event"] == "job-started" and e.get("class") == "link" and e["count"] == 1'
    seen json 'e["event"] == "jobs" and e.get("class") == "link" and e["count"] == 3'
}

@test 'classes of the server around, where a jobwrap passes on what a gate tells' {
    : "${JOBGATE:=$BUILD/ninja-shim/jobgate}"
    export JOBGATE ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0 JOBWRAP_MEMORY=off
    start_steved --jobs 2 --class remote=1
    printf '#!/bin/sh\nexec sleep 0.1\n' >icecc
    chmod +x icecc
    run -0 "$JOBWRAP" --parent "$SERVER" -- bash -c '
        "$STEVECTL" watch --json >json & until grep -q watching json; do sleep 0.05; done
        "$STEVECTL" watch >text & until grep -q watching text; do sleep 0.05; done
        echo "./icecc -c a.cc" | "$JOBGATE" --jobs-of=xargs -- xargs -I{} sh -c "exec {}"
        until grep -q job-ended json && grep -q job-ended text; do sleep 0.05; done
        kill %1 %2'
    seen json 'e["event"] == "job-started" and e.get("class") == "remote"' \
        'e["event"] == "job-ended" and e.get("class") == "remote"'
    grep -q ' job-started .*; class remote$' text
}

@test 'a build that is paused, goes on, and has another weight is named by a process of it' {
    start_steved --jobs 1
    exec {fd}<>"$SERVER"
    read -r -N 1 -u "$fd"
    watch text "$SERVER"
    "$STEVECTL" --server "$SERVER" pause "$BASHPID"
    "$STEVECTL" --server "$SERVER" continue "$BASHPID"
    "$STEVECTL" --server "$SERVER" weight "$BASHPID" 50
    wait_for 20 grep -qE " paused +$BASHPID [^ ]+; 1 used" text
    wait_for 20 grep -qE " paused +$BASHPID [^ ]+, no more; 1 used" text
    wait_for 20 grep -qE " weight +$BASHPID [^ ]+, 50; 1 used" text
}

has_memory_events() {
    [ "$(grep -c '"memory"' json)" -ge "$1" ]
}

@test 'memory has a line a second, and every event in JSON' {
    start_steved --jobs 2
    watch json "$SERVER" --json
    watch text "$SERVER"
    spawn "$LIB/tell-memory" "$SERVER" grows
    wait_for 20 has_memory_events 12
    "$STEVECTL" --server "$SERVER" set jobs=3
    wait_for 20 grep -q ' jobs  *3;' text
    python3 - <<'END'
import json

times = [e["time_ns"] for e in map(json.loads, open("json")) if e["event"] == "memory"]
lines = sum(" memory " in line for line in open("text"))
assert len(times) >= 2 and 1 <= lines <= 1 + (times[-1] - times[0]) // 10**9, (lines, times)
END
}

@test 'it ends with a signal, with who reads its output, and with the server, which it says' {
    start_steved --jobs 2
    watch json "$SERVER" --json
    stop "$spawned" TERM
    status_of "$spawned"
    [ "$status" = 143 ] && [ ! -s json.errors ]
    # Nothing has to happen for that.
    timeout 20 bash -c '"$0" --server "$1" watch | head -n 1' "$STEVECTL" "$SERVER" | grep -q watching
    watch json "$SERVER" --json
    stop "$STEVED_PID"
    status_of "$spawned"
    [ "$status" = 1 ]
    [ "$(cat json.errors)" = "stevectl: watch fifo:$SERVER: the server has ended" ]
    mkfifo fifo
    refuses 1 "$STEVECTL" --server fifo watch
}

@test 'a signal ends it while nobody reads its output, too' {
    start_steved --jobs 1
    mkfifo unread
    exec {unread}<>unread
    spawn "$STEVECTL" --server "$SERVER" watch --json >&"$unread"
    read -r -u "$unread"
    run ! dd if=/dev/zero of=unread oflag=nonblock bs=4096
    dd if="$SERVER" of=/dev/null bs=1 count=1
    # It has begun to write by now; should it not, the signal ends it all the same.
    sleep 0.3
    kill -s TERM "$spawned"
    status_of "$spawned"
    [ "$status" = 143 ]
}

@test 'a signal ends all that asks, while the server is stopped, too' {
    local command pid server
    start_steved --jobs 1
    server=$(steved_get pid)
    watch json "$SERVER" --json
    spawn "$STEVECTL" --server "$SERVER" status -w >table
    wait_for 20 test -s table
    kill -s STOP "$server"
    for command in status metrics 'get jobs' 'weight 1 50'; do
        # shellcheck disable=SC2086 # words
        spawn "$STEVECTL" --server "$SERVER" $command
        wait_for 20 grep -q stevectl "/proc/$spawned/comm"
    done
    for pid in "${SPAWNED[@]: -6}"; do
        kill -s TERM "$pid"
        status_of "$pid"
        [ "$status" = 143 ]
    done
    kill -s CONT "$server"
}

@test 'a jobwrap: who holds its tokens, and its end' {
    mkfifo gate
    spawn "$JOBWRAP" -j 2 --parent=none -- bash -c 'echo "$JOBWRAP_FIFO" >fifo && read -r _ <gate &&
        exec "$0" bash -c "read -r _ <gate"' "$JOBWRAP"
    local wrapper=$spawned
    wait_for 20 test -s fifo
    watch json "$(cat fifo)" --json
    local watcher=$spawned
    "$STEVECTL" --server "$(cat fifo)" set jobs=3
    echo >gate
    wait_for 20 grep -q '"came".*"jobwrap"' json
    echo >gate
    status_of "$wrapper"
    [ "$status" = 0 ]
    status_of "$watcher"
    [ "$status" = 1 ]
    grep -q 'the server has ended' json.errors
    seen json 'e["event"] == "watching" and e["jobs"] == 2 and 1 <= e["held"] <= 2' \
        'e["event"] == "jobs" and e["count"] == 3' \
        'e["event"] == "came" and e["command"] == "jobwrap"'
    seen json 'e["event"] == "granted" and e["command"] == "jobwrap"'
}

@test 'what a gate tells is seen at the jobwrap around it, and at the steved above that' {
    start_steved --jobs 3
    [ "$("$TELL" "$SERVER")" = 0 ]
    watch steved "$SERVER" --json
    [ "$("$TELL" "$SERVER")" = 1 ]
    timeout 60 "$JOBWRAP" --parent="$SERVER" -- bash -eu -c '
        [ "$("$TELL" "$JOBWRAP_FIFO" "$JOB_STARTED" $'"'"'cc \e[31m one.c'"'"')" = 1 ]
        [ "$("$TELL" "$JOBWRAP_FIFO" "$JOB_ENDED" "cc one.c" 1234567)" = 1 ]
        [ "$("$TELL" "$JOBWRAP_FIFO" "$JOB_MOVED" "")" = 1 ]
        "$STEVECTL" --server "$JOBWRAP_FIFO" watch --json >jobwrap &
        until grep -q watching jobwrap; do read -r -t 0.05 <> <(:) || true; done
        "$TELL" "$JOBWRAP_FIFO" "$JOB_ENDED" "cc two.c"
        until grep -q two.c jobwrap; do read -r -t 0.05 <> <(:) || true; done
        kill %1'
    wait_for 20 grep -q two.c steved
    seen steved "e['event'] == 'job-started' and e['name'] == 'cc ?[31m one.c' and e['job'] == 7 and e['uid'] == $UID and e['expected_bytes'] == (1 << 64) - 1" \
        "e['event'] == 'job-ended' and e['pid'] == 1234567 and e['duration_ns'] == 2 * 10**9 and e['bytes'] == 1 << 20" \
        "e['event'] == 'job-moved' and e['process'] == 51"
    run ! grep -qE '":4711[,}]' steved
    seen jobwrap 'e["event"] == "job-ended" and e["name"] == "cc two.c"'
}

@test 'it asks the parent at the next job, a second later, whether somebody reads by now' {
    start_steved --jobs 3
    export SERVER
    timeout 60 "$JOBWRAP" --parent="$SERVER" -- bash -eu -c '
        [ "$("$TELL" "$JOBWRAP_FIFO" "$JOB_STARTED" unread)" = 0 ]
        "$STEVECTL" --server "$SERVER" watch --json >steved &
        until grep -q watching steved; do read -r -t 0.05 <> <(:) || true; done
        until [ "$("$TELL" "$JOBWRAP_FIFO" "$JOB_STARTED" read)" = 1 ]; do read -r -t 0.05 <> <(:) || true; done
        until grep -q read steved; do read -r -t 0.05 <> <(:) || true; done
        kill %1'
    run ! grep -q unread steved
}

@test 'what is no event of a job is not told' {
    start_steved --jobs 3
    watch json "$SERVER" --json
    refuses 1 "$TELL" "$SERVER" 2 granted
    refuses 1 "$TELL" "$SERVER" 99 nothing
    [ "$(wc -l <json)" = 1 ]
}

@test 'a server that is replaced: who watches is told that something is lost, and watches on' {
    require_fuse
    STEVED_MOUNTS+=("$BATS_TEST_TMPDIR/steve")
    SERVER=$BATS_TEST_TMPDIR/steve/jobserver
    export KEEPER_PROGRAM=$BATS_TEST_TMPDIR/program
    spawn python3 "$LIB/keeper.py" "$STEVED" --mount "$BATS_TEST_TMPDIR/steve" --jobs 2 >notes
    local keeper=$spawned
    wait_for 30 grep -qx ready notes
    exec {fd}<>"$SERVER"
    watch json "$SERVER" --json
    read -r -N 1 -u "$fd"
    wait_for 20 grep -q '"granted"' json
    kill -s KILL "$(steved_get pid)" || true
    wait_for 30 grep -q '"lost"' json
    printf + >&"$fd"
    wait_for 20 grep -q '"returned"' json
    seen json 'e["event"] == "granted"' 'e["event"] == "lost" and e["count"] == 0' \
        "e['event'] == 'returned' and e['pid'] == $BASHPID"
    stop "$keeper"
    status_of "$spawned"
    [ "$status" = 1 ]
}
