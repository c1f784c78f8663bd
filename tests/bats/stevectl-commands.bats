#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# stevectl: what it shows of a server, what it sets, and how it refuses.

# shellcheck disable=SC2016 # what is in single quotes is make's, or another shell's

load ../lib/bash/common
load ../lib/bash/steved

@test 'wrong usage is one line, and status 2' {
    start_steved --jobs 4 --min-jobs 2
    while read -r -a arguments; do
        echo "stevectl ${arguments[*]}"
        refuses 2 "$STEVECTL" --server "$SERVER" "${arguments[@]}"
        [[ $stderr == *"'${arguments[-1]}'"* ]]
    done <<'END'
frobnicate
status --xml
status --json extra
watch --xml
watch --json extra
get nothing
set jobs
set frobs=1
set jobs=
set jobs=0
set jobs=-1
set jobs=+1
set jobs=1.5
set jobs=0x4
set jobs=65537
set jobs=18446744073709551617
set free=1
set Jobs=1
set =1
set jobs=3 jobs=2
set jobs=3 min-jobs=0
set jobs=3 per-process-limit=65537
set jobs=3 per-user-limit=65537
set per-user-limit=x
END
    refuses 2 "$STEVECTL" --server "$SERVER"
    refuses 2 "$STEVECTL" --server "$SERVER" get
    refuses 2 "$STEVECTL" --server "$SERVER" set
    refuses 2 "$STEVECTL" --frobnicate
    [ "$(steved_get jobs)" = 4 ]
}

@test 'a server that refuses, or is none: one line, and status 1' {
    start_steved --jobs 4 --min-jobs 2
    refuses 1 "$STEVECTL" --server "$SERVER" set jobs=1
    refuses 1 "$STEVECTL" --server "$SERVER" set min-jobs=5
    refuses 1 "$STEVECTL" --server "$SERVER" set per-process-limit=1 per-user-limit=3 jobs=1
    [ "$(steved_get jobs) $(steved_get min-jobs) $(steved_get per-process-limit)" = '4 2 0' ]
    [ "$(steved_get per-user-limit)" = 0 ]
    refuses 1 "$STEVECTL" --server "$BATS_TEST_TMPDIR/missing" status
    refuses 1 "$STEVECTL" --server /dev/null status
    refuses 1 "$STEVECTL" --server "$ROOT/COPYING" status
    mkfifo "$BATS_TEST_TMPDIR/fifo"
    refuses 1 "$STEVECTL" --server "$BATS_TEST_TMPDIR/fifo" status
    [[ $stderr == *'not a steved'* ]]
    stop "$STEVED_PID"
    refuses 1 "$STEVECTL" --server "$SERVER" status
}

@test 'set and get' {
    start_steved --jobs 4
    "$STEVECTL" --server "$SERVER" set jobs=8 min-jobs=3 per-process-limit=2
    [ "$(steved_get jobs) $(steved_get min-jobs) $(steved_get per-process-limit)" = '8 3 2' ]
    [ "$(steved_get free) $(steved_get held)" = '8 0' ]
    pgrep -P "$STEVED_PID" -x steved | grep -qx "$(steved_get pid)"
    # The order of those named does not matter: 1 is below the min-jobs of before.
    "$STEVECTL" --server "$SERVER" set jobs=1 min-jobs=1
    [ "$(steved_get jobs)" = 1 ]
}

@test 'the status as a table' {
    start_steved --jobs 4
    run -0 "$STEVECTL" --server "$SERVER" status
    [[ ${lines[0]} =~ ^jobs\ +4\  ]]
    [[ $output != *PID* ]]
    exec {fd}<>"$SERVER"
    read -r -N 1 -u "$fd"
    run -0 "$STEVECTL" --server "$SERVER" status
    [[ $output =~ held\ +1 && $output =~ unpaid\ +1\ .*'nobody pays' ]]
    [[ $output =~ $'\n'\ +$BASHPID\ +1\ +0\ +0\ +unpaid\ +[^\ ] ]]
    printf ++ >&"$fd"
    run -0 "$STEVECTL" --server "$SERVER" status
    [[ $output =~ dropped\ +1 ]]
}

@test 'the status as JSON' {
    start_steved --jobs 4
    exec {fd}<>"$SERVER"
    read -r -N 1 -u "$fd"
    "$STEVECTL" --server "$SERVER" status --json >"$BATS_TEST_TMPDIR/json"
    python3 - "$BATS_TEST_TMPDIR/json" "$BASHPID" "$(steved_get pid)" <<'END'
import json, sys
status = json.load(open(sys.argv[1]))
assert (status["jobs"], status["free"], status["held"]) == (4, 3, 1), status
assert (status["reserved"], status["waiting"], status["unpaid"]) == (0, 0, 1), status
assert status["pid"] == int(sys.argv[3]), status
(client,) = status["clients"]
assert client["pid"] == int(sys.argv[2]) and client["command"], client
assert (client["held"], client["waiting"], client["unpaid"]) == (1, 0, True), client
END
}

# clients_json FIELD...: a line for each client.
clients_json() {
    "$STEVECTL" --server "$SERVER" status --json | python3 -c 'import json, sys
for client in json.load(sys.stdin)["clients"]:
    print(*(client[field] for field in sys.argv[1:]))' "$@"
}

@test 'builds are told apart: by their commands, and where they run' {
    start_steved --jobs 2
    export HOME=$BATS_TEST_TMPDIR
    mkdir "$HOME/one" "$HOME/two"
    mkfifo "$HOME/gate"
    long=$(printf '%05000d' 0)
    for directory in one two; do
        cd "$HOME/$directory"
        spawn "$JOBWRAP" -j 1 --parent="$SERVER" -- sh -c 'read -r _ <../gate' make -C $directory "$long"
    done
    cd "$HOME"
    wait_for 10 steved_has held 2
    run -0 "$STEVECTL" --server "$SERVER" status
    for directory in one two; do
        [[ $output =~ wrapped\ +sh\ -c\ read\ -r\ _\ \<../gate\ make\ -C\ $directory\ 0+\.\.\.\ in\ ~/$directory ]]
    done
    clients_json command directory stopped | sort >said
    for directory in one two; do
        echo "sh -c read -r _ <../gate make -C $directory $long $HOME/$directory False"
    done | diff - said
    # One that is stopped is the reason why the others wait.
    kill -STOP "$spawned"
    wait_for 10 grep -q '^[0-9]* (jobwrap) T' "/proc/$spawned/stat"
    [ "$(clients_json directory stopped | grep True)" = "$HOME/two True" ]
    run -0 "$STEVECTL" --server "$SERVER" status
    [[ $output =~ in\ ~/two,\ stopped ]]
    stopped=$spawned
    spawn "$JOBWRAP" --parent="$SERVER" true 2>waiting
    wait_for 10 grep -q 'held by' waiting
    grep -qE 'make -C one 0+\.\.\. in ~/one \(pid [0-9]+\): 1' waiting
    grep -qE "make -C two 0+\.\.\. in ~/two \(pid $stopped, stopped\): 1" waiting
    kill -CONT "$stopped"
    printf '\n\n' >gate
    status_of "$spawned"
}

@test 'a process of another pid namespace is called by what the server knows' {
    start_steved --jobs 1
    require unshare
    [ "$(id -u)" = 0 ] || missing 'needs root'
    exec {fd}<>"$SERVER"
    read -r -N 1 -u "$fd"
    run -0 unshare --pid --fork --mount-proc "$STEVECTL" --server "$SERVER" status
    [[ $output =~ $BASHPID\ .*unpaid\ +\(bash\)$ ]]
}

@test 'a command line with odd bytes is printable, and valid JSON' {
    start_steved --jobs 4
    spawn bash -c 'exec 3<>"$0"; read -r -N 1 -u 3; echo held; read -r -u 3 -N 9' \
        "$SERVER" $'\e[31m"\\\xff\n' >"$BATS_TEST_TMPDIR/said"
    wait_for 10 grep -q held "$BATS_TEST_TMPDIR/said"
    "$STEVECTL" --server "$SERVER" status --json | python3 -m json.tool >/dev/null
    run -0 "$STEVECTL" --server "$SERVER" status
    [[ $output != *$'\e'* ]]
    kill -KILL "$spawned"
}

@test 'the server of the user is found' {
    require_fuse
    STEVED_MOUNTS+=("$XDG_RUNTIME_DIR/steve")
    "$STEVED" --mount "$XDG_RUNTIME_DIR/steve" --jobs 3 --daemon
    [ "$("$STEVECTL" get jobs)" = 3 ]
    pid=$("$STEVECTL" get pid)
    kill "$pid"
    wait_for 10 has_ended "$pid"
    [ -e /dev/steve ] || refuses 1 "$STEVECTL" get jobs
}

@test 'help, version, and an output that is full' {
    run -0 --separate-stderr "$STEVECTL" --help
    [[ $output == Usage:* && $stderr = '' ]]
    run -0 "$STEVECTL" --version
    [[ $output == 'stevectl '[0-9]* ]]
    start_steved
    run -1 bash -c '"$1" --server "$2" status >/dev/full' - "$STEVECTL" "$SERVER"
}
