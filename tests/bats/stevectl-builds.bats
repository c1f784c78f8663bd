#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# stevectl: one build is paused, goes on, and has another weight; status --watch; metrics.

# shellcheck disable=SC2016 # what is in single quotes is the inner shell's
# shellcheck disable=SC2154 # common.bash sets spawned

load ../lib/bash/common
load ../lib/bash/steved

setup() {
    common_setup
    cd "$BATS_TEST_TMPDIR" || return
    # shellcheck disable=SC2034 # common.bash reads it
    LOG=$BATS_TEST_TMPDIR/log
    let_out=0
}

stevectl() {
    "$STEVECTL" --server "$SERVER" "$@"
}

# client_has PID FIELD VALUE: of the status, for wait_for.
client_has() {
    stevectl status --json | python3 -c 'import json, sys
sys.exit(not any(str(c[sys.argv[2]]) == sys.argv[3] for c in json.load(sys.stdin)["clients"]
                 if c["pid"] == int(sys.argv[1])))' "$@"
}

# client_called BEGINNING: the pid of the first whose command line begins so.
client_called() {
    stevectl status --json | python3 -c 'import json, sys
found = [c["pid"] for c in json.load(sys.stdin)["clients"] if c["command"].startswith(sys.argv[1])]
print(*found[:1])
sys.exit(not found)' "$1"
}

# spawn_build: a jobwrap with more jobs than there are tokens; its pid in $spawned.
spawn_build() {
    [ -p gate ] || gated_jobs 80
    spawn_gated "$JOBWRAP" --parent="$SERVER" -- make
}

# ends_and COMMAND...: for wait_for. A make may have its token again before the jobwrap sees it: so one job after the
# other ends.
ends_and() {
    if [ "$(grep -c ^end "$LOG")" = "$let_out" ]; then
        let_out=$((let_out + 1))
        let_end 1
    fi
    "$@"
}

@test 'a build that is paused is granted nothing, others have its tokens, and it goes on' {
    start_steved --jobs 4
    spawn_build
    local first=$spawned
    wait_for 20 lives_jobs 4
    stevectl pause "$first"
    client_has "$first" paused True
    # It keeps the token of its implicit slot.
    wait_for 120 ends_and client_has "$first" held 1
    wait_for 20 steved_has free 3
    wait_for 20 steved_has paused 1
    run -0 stevectl status
    [[ $output =~ paused\ +1\ +of && $output =~ \ $first\ .*,\ paused ]]
    wait_for 20 lives_jobs 1
    spawn_build
    wait_for 20 client_has "$spawned" held 3
    client_has "$spawned" paused False
    stevectl continue "$first"
    client_has "$first" paused False
    # The other is asked for one: two builds have two each.
    wait_for 120 ends_and client_has "$first" held 2
    let_end 160
    status_of "$first" 60
    [ "$status" = 0 ]
    status_of "$spawned" 60
    [ "$status" = 0 ]
    wait_for 20 steved_has free 4
}

@test 'any process of a build names it, and a weight is a share' {
    start_steved --jobs 8
    spawn_build
    local first=$spawned below
    wait_for 20 lives_jobs 8
    below=$(pgrep -P "$(pgrep -P "$first" | head -n 1)" | head -n 1)
    stevectl weight "$below" 300
    client_has "$first" weight 300
    spawn_build
    local second=$spawned
    # 6 and 2: while both want more, it has three times as many.
    wait_for 20 client_has "$second" waiting 1
    wait_for 120 ends_and client_has "$second" held 2
    wait_for 20 client_has "$first" held 6
}

@test 'a pause outlives the server' {
    start_steved --jobs 2
    spawn_build
    wait_for 20 lives_jobs 2
    stevectl pause "$spawned"
    local server
    server=$(steved_get pid)
    kill -s KILL "$server"
    wait_for 20 is_another "$server"
    client_has "$spawned" paused True
    wait_for 120 ends_and steved_has free 1
    stevectl continue "$spawned"
    let_end 80
    status_of "$spawned"
    [ "$status" = 0 ]
}

is_another() {
    local pid
    pid=$(steved_get pid) && [ "$pid" != "$1" ]
}

@test 'whoever waits for its first token because of a pause is told so' {
    start_steved --jobs 2
    # Below one that is paused; its own token is that of sleep.
    mkfifo go
    spawn "$JOBWRAP" --parent="$SERVER" -- sh -c 'read -r _ <go; exec "$0" --implicit=acquire true' "$JOBWRAP" 2>said
    wait_for 20 client_has "$spawned" paused False
    stevectl pause "$spawned"
    echo >go
    wait_for 20 grep -q 'this build is paused' said
    grep -q 'waiting for a token from .*stevectl continue' said
    stevectl continue "$spawned"
    status_of "$spawned"
    [ "$status" = 0 ]
}

@test 'one that begins to wait before the pause is told, too' {
    start_steved --jobs 1
    exec {fd}<>"$SERVER"
    read -r -N 1 -u "$fd"
    spawn "$JOBWRAP" --parent="$SERVER" --implicit=acquire true 2>said
    wait_for 20 grep -q 'waiting for a token' said
    run -1 grep -q paused said
    stevectl pause "$spawned"
    wait_for 20 grep -q 'this build is paused' said
    printf + >&"$fd"
    wait_for 20 steved_has free 1
    stevectl continue "$spawned"
    status_of "$spawned"
    [ "$status" = 0 ]
}

@test 'at a jobwrap: of what is below it, by its own account or at the FIFO' {
    gated_jobs 60
    cp Makefile inner.mk
    spawn_gated "$JOBWRAP" -j4 --parent=none -- sh -c 'echo "$JOBWRAP_FIFO" >fifo
        "$0" make -f inner.mk & make; wait' "$JOBWRAP"
    wait_for 20 test -s fifo
    local SERVER outer=$spawned inner
    SERVER=$(cat fifo)
    wait_for 20 client_called 'make -f'
    wait_for 20 steved_has held 4
    inner=$(client_called 'make -f')
    # What uses the FIFO is one account, under the jobwrap itself.
    stevectl pause "$outer"
    client_has "$outer" paused True
    wait_for 120 ends_and client_has "$outer" held 1
    wait_for 20 client_has "$inner" held 3
    stevectl continue "$outer"
    # The slot of this one is paid by a token of the other.
    stevectl pause "$inner"
    wait_for 120 ends_and client_has "$inner" held 0
    wait_for 20 client_has "$outer" held 4
    stevectl continue "$inner"
    let_end 120
    status_of "$outer"
    [ "$status" = 0 ]
}

@test 'bad input is one line, and changes nothing' {
    start_steved --jobs 2
    exec {fd}<>"$SERVER"
    read -r -N 1 -u "$fd"
    while read -r -a arguments; do
        echo "stevectl ${arguments[*]}"
        refuses 2 "$STEVECTL" --server "$SERVER" "${arguments[@]}"
        [[ $stderr == *"'${arguments[-1]}'"* ]]
    done <<END
pause make
pause 0
continue -1
continue 4294967296
weight $BASHPID 0
weight $BASHPID 10001
weight $BASHPID 1.5
metrics all
top now
status --watch=0
status -wx
status --watchful
status -w=3
END
    refuses 2 "$STEVECTL" --server "$SERVER" pause
    refuses 2 "$STEVECTL" --server "$SERVER" continue 1 2
    refuses 2 "$STEVECTL" --server "$SERVER" weight 1
    refuses 2 "$STEVECTL" --server "$SERVER" weight 1x 100
    refuses 1 "$STEVECTL" --server "$SERVER" pause 1
    [[ $stderr == *'neither this process nor one above it'* ]]
    client_has "$BASHPID" paused False
    client_has "$BASHPID" weight 100
}

@test 'status --watch: again at each change, as a table or a line of JSON' {
    start_steved --jobs 3
    spawn "$STEVECTL" --server "$SERVER" status --json --watch >watched
    wait_for 20 grep -q '"jobs":3' watched
    stevectl set jobs=5
    wait_for 20 grep -q '"jobs":5' watched
    exec {fd}<>"$SERVER"
    read -r -N 1 -u "$fd"
    wait_for 20 grep -q '"held":1' watched
    while read -r line; do
        python3 -m json.tool <<<"$line" >/dev/null
    done <watched
    # Nothing happens, and nothing is printed.
    stop "$spawned"
    spawn "$STEVECTL" --server "$SERVER" status -w1 >watched
    wait_for 20 eval '[ "$(grep -c ^jobs watched)" -ge 3 ]'
    kill_steved
    status_of "$spawned"
    [ "$status" = 1 ]
}

@test 'metrics are what Prometheus reads' {
    python3 -c 'import prometheus_client' 2>/dev/null || missing 'no python3-prometheus-client'
    start_steved --jobs 4 --min-jobs 1 --min-memory-avail 1 --load-average 1000
    exec {fd}<>"$SERVER"
    read -r -N 2 -u "$fd"
    printf +++ >&"$fd"
    read -r -N 1 -u "$fd"
    stevectl metrics >numbers
    python3 - <<'END'
from prometheus_client.parser import text_string_to_metric_families

families = {family.name: family for family in text_string_to_metric_families(open("numbers").read())}
values = {(s.name, *sorted(s.labels.items())): s.value for f in families.values() for s in f.samples}
assert all(name.startswith("jobserver_") for name in families), families
assert all(f.documentation and f.type in ("gauge", "counter") for f in families.values())
assert values["jobserver_jobs",] == 4
assert values["jobserver_tokens", ("state", "held")] == 1
assert sum(v for k, v in values.items() if k[0] == "jobserver_tokens") == 4
assert families["jobserver_tokens_granted"].type == "counter"
assert values["jobserver_tokens_granted_total",] == 3
assert values["jobserver_dropped_bytes_total",] == 1
assert values["jobserver_held_back", ("by", "memory")] == 0
assert values["jobserver_limit_load_average",] == 1000
assert values["jobserver_limit_memory_wanted_bytes",] == 1 << 20
assert values["jobserver_info", ("kind", "steved"), ("protocol", "1")] == 1
(held,) = (v for k, v in values.items() if k[0] == "jobserver_user_held_tokens")
assert held == 1
# Nothing is told by process: a series a process would be one too many.
assert {label for f in families.values() for s in f.samples for label in s.labels} == {
    "state", "by", "uid", "kind", "protocol"}
END
}
