#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Classes: other pools of the same server, a file each, at steved and at a jobwrap without a parent.
# STORM_ROUNDS: how often steved is replaced (by default 8 times).

# shellcheck disable=SC2016 # what is in single quotes is another shell's
# shellcheck disable=SC2030,SC2031 # each test has its own SERVER
# shellcheck disable=SC2154 # common.bash sets spawned

load ../lib/bash/common
load ../lib/bash/steved

setup() {
    common_setup
    # shellcheck disable=SC2153 # common.bash sets it
    WITH=$BUILD/tests/lib/with-class
    LOG=$BATS_TEST_TMPDIR/log
    export WITH LOG
}

# serve OPTION...: a steved whose classes are those of the environment.
serve() {
    start_steved "$@"
    JOBWRAP_CLASSES=$(mount_of)/
    export JOBWRAP_CLASSES
}

# many NUMBER CLASS LOG: so many jobs of a class, all at once.
many() {
    seq "$1" | xargs -P "$1" -I '{}' "$WITH" "$2" "$STAMP" "$3" '{}' 0.02
}

# children_of PID: of one that has one at most.
children_of() {
    tr -d ' ' <"/proc/$1/task/$1/children"
}

# holder CLASS: takes a token, until the test ends it. Sets `spawned`.
holder() {
    spawn setsid "$WITH" "$1" sleep 1000
}

@test 'steved: each class is a file and a pool of its own, with its own jobs' {
    serve --jobs 2 --class remote=3 --class link=1
    [ "$(cd "$(mount_of)" && echo *)" = 'jobserver link remote' ]
    [ "$(stat -c %a:%u "$(mount_of)/link")" = "$(stat -c %a:%u "$SERVER")" ]
    [ "$(stat -c %i "$(mount_of)"/* | sort -u | wc -l)" = 3 ]
    at_once 3
    many 8 remote "$LOG"
    exactly 3 8
    at_once 1
    many 4 link "$LOG.link"
    "$LIB/concurrency" --expect-exactly 1 --expect-jobs 4 "$LOG.link"
    # What all of one hold is nothing to the others.
    holder link
    wait_for 10 steved_has link.free 0
    [ "$(steved_get remote.free)" = 3 ]
    [ "$(steved_get free)" = 2 ]
    [ "$(steved_get link.dropped)" = 0 ]
    [ "$(steved_get unpaid)" = 0 ]
    [ "$(steved_get link.unpaid)" = 0 ]
    run -3 "$WITH" heavy true
    run -1 "$WITH" ../jobserver true
    run -1 "$WITH" cpu true
}

@test 'jobwrap: classes of an outermost one, and of those below it' {
    local script='
        [ "$(cd "$JOBWRAP_CLASSES" && echo *)" = "control jobserver link remote" ] || exit 9
        export STAMP_MEET=3
        "$JOBWRAP" -j1 -- sh -c "seq 8 | xargs -P 8 -I {} \"$WITH\" remote \"$STAMP\" \"$LOG\" {} 0.02" || exit 10
        seq 4 | STAMP_MEET=1 xargs -P 4 -I {} "$WITH" link "$STAMP" "$LOG.link" {} 0.02 || exit 11
        "$WITH" heavy true; [ $? = 3 ] || exit 12
        "$STEVECTL" set link.jobs=0 && "$STEVECTL" get link.jobs && "$STEVECTL" get remote.free
        "$JOBWRAP" -- "$STEVECTL" get remote.jobs
        "$JOBWRAP" -- "$STEVECTL" status | grep -c "^ .*  remote$"
        "$JOBWRAP" -- sh -c "exec \"\$STEVECTL\" --server \"\$JOBWRAP_FIFO\" status" | grep -c "^ .*  remote$" || :'
    run -0 --separate-stderr "$JOBWRAP" --parent=none -j2 --class remote=3 --class=link=1 -- sh -c "$script"
    [ "$output" = $'0\n3\n3\n1\n0' ]
    exactly 3 8
    "$LIB/concurrency" --expect-exactly 1 --expect-jobs 4 "$LOG.link"
    run -0 --separate-stderr "$JOBWRAP" --parent=none -j2 -- sh -c 'echo "${JOBWRAP_CLASSES-none}"'
    [ "$output" = none ]
}

@test 'jobwrap below steved: its classes are told to the command, and --class is left to it' {
    serve --jobs 2 --class remote=1
    unset JOBWRAP_CLASSES
    run -0 --separate-stderr "$JOBWRAP" --parent "$SERVER" --class link=3 -- \
        sh -c 'echo "$JOBWRAP_CLASSES" && "$JOBWRAP" -- "$WITH" remote echo built'
    [ "$output" = "$(mount_of)/"$'\nbuilt' ]
    [[ $stderr == "jobwrap: --class 'link=3': only a jobwrap without a parent has classes"* ]]
    start_steved --jobs 1
    run -0 env JOBWRAP_CLASSES=/stale/ "$JOBWRAP" --parent "$SERVER" -- sh -c 'echo "${JOBWRAP_CLASSES-none}"'
    [ "$output" = none ]
}

@test 'no implicit slot is paid by, or claimed at, a class' {
    local answers=$'claim: Invalid argument\npay, with 1: Invalid argument'
    serve --class remote=1
    run -0 "$WITH" --slots remote
    [ "$output" = "$answers" ]
    unset JOBWRAP_CLASSES
    run -0 "$JOBWRAP" --parent=none --class remote=1 -- "$WITH" --slots remote
    [ "$output" = "$answers" ]
}

# One of $LOG that has a token: it has a child. Sets `first`.
first_has_begun() {
    while read -r first; do
        [ -z "$(children_of "$first")" ] || return 0
    done <"$LOG"
    return 1
}

@test 'of one class the build that has none comes first, however many another has waiting' {
    local first other
    serve --jobs 1 --class remote=2
    spawn setsid bash -c 'for _ in 1 2 3; do "$WITH" remote sleep 1000 & echo $! >>"$LOG"; done; wait'
    local build=$spawned
    wait_for 10 steved_has remote.waiting 1
    [ "$(steved_get remote.held)" = 2 ]
    # By a read: who polls loses its turn when it is slow to come back.
    spawn setsid head -c 1 "$(mount_of)/remote" >"$BATS_TEST_TMPDIR/other"
    other=$spawned
    wait_for 10 steved_has remote.waiting 2
    wait_for 10 first_has_begun
    kill "$first" "$(children_of "$first")"
    status_of "$other"
    [ "$status" = 0 ]
    [ -s "$BATS_TEST_TMPDIR/other" ]
    [ "$(steved_get waiting)" = 0 ]
    # Who dies holds nothing.
    kill -s KILL -- "-$build"
    wait_for 10 steved_has remote.free 2
}

@test 'a build is paused, and has a weight, in the pool of the file that is named' {
    serve --jobs 2 --class remote=1
    holder remote
    wait_for 10 steved_has remote.held 1
    "$STEVECTL" --server "$(mount_of)/remote" pause "$spawned"
    "$STEVECTL" --server "$(mount_of)/remote" weight "$spawned" 50
    "$STEVECTL" --server "$(mount_of)/remote" status --json |
        python3 -c 'import json, sys
assert [(c["weight"], c["paused"]) for c in json.load(sys.stdin)["clients"] if c["held"]] == [(50, True)]'
}

@test 'capacity 0: who waits waits on, and is served as soon as there are jobs; not so for the server itself' {
    serve --jobs 2 --class remote=0
    spawn "$WITH" remote touch "$BATS_TEST_TMPDIR/done"
    local waiting=$spawned
    wait_for 10 steved_has remote.waiting 1
    "$STEVECTL" -s "$SERVER" set remote.jobs=1
    status_of "$waiting"
    [ "$status" = 0 ]
    holder remote
    wait_for 10 steved_has remote.held 1
    "$STEVECTL" -s "$SERVER" set remote.jobs=0
    [ "$(steved_get remote.debt)" = 1 ]
    run -2 "$STEVECTL" -s "$SERVER" set jobs=0
    [ "$(steved_get jobs)" = 2 ]
}

@test 'a lease: jobs become 0 when it ends, are kept while it is renewed, and forever when they are set without' {
    serve --jobs 2 --class remote=4
    "$STEVECTL" -s "$SERVER" set remote.jobs=8 remote.lease=0.2
    wait_for 10 steved_has remote.jobs 0
    grep -q 'class remote: the lease of its jobs has ended' "$BATS_TEST_TMPDIR/steved.log"
    "$STEVECTL" -s "$SERVER" set remote.jobs=8 remote.lease=1000
    [ "$(steved_get remote.jobs)" = 8 ]
    [[ $(steved_get remote.lease) == 99[0-9].* ]]
    "$STEVECTL" -s "$SERVER" set remote.jobs=7
    [ "$(steved_get remote.lease)" = 0.000 ]
    # And the same at a jobwrap.
    run -0 --separate-stderr "$JOBWRAP" --parent=none --class remote=4 -- sh -c '
        "$STEVECTL" set remote.jobs=8 remote.lease=0.2
        while [ "$("$STEVECTL" get remote.jobs)" = 8 ]; do sleep 0.05; done
        "$STEVECTL" get remote.jobs'
    [ "$output" = 0 ]
}

@test 'killed: held is held in each class, who waits waits on, and settings and leases stay' {
    serve --jobs 1 --class remote=2 --class link=1
    holder remote
    holder link
    local link=$spawned
    wait_for 10 steved_has link.held 1
    spawn "$WITH" link touch "$BATS_TEST_TMPDIR/linked"
    local waiting=$spawned before
    wait_for 10 steved_has link.waiting 1
    wait_for 10 steved_has remote.held 1
    "$STEVECTL" -s "$SERVER" set remote.jobs=5 remote.lease=1000
    before=$(steved_get pid)
    kill -s KILL "$before"
    wait_for 30 is_another "$before"
    wait_for 30 steved_has link.waiting 1
    [ "$(steved_get remote.jobs)" = 5 ]
    [ "$(steved_get remote.held)" = 1 ]
    [ "$(steved_get link.held)" = 1 ]
    [ "$(steved_get free)" = 1 ]
    [[ $(steved_get remote.lease) == 9[0-9][0-9].* ]]
    [ ! -e "$BATS_TEST_TMPDIR/linked" ]
    kill "$link"
    status_of "$waiting"
    [ "$status" = 0 ]
    [ -e "$BATS_TEST_TMPDIR/linked" ]
}

is_another() {
    [ "$(steved_get pid)" != "$1" ]
}

@test 'killed between any two steps, and replaced, under load on two classes: no token is made or lost in either' {
    local mount=$BATS_TEST_TMPDIR/steve0 keeper other steps=$BUILD/tests/lib/steved-steps
    [ -x "$steps" ] || skip 'steved is not built'
    require_fuse
    STEVED_MOUNTS+=("$mount")
    SERVER=$mount/jobserver
    export KEEPER_PROGRAM=$BATS_TEST_TMPDIR/program
    STEVED_STEPS=250 spawn python3 "$LIB/keeper.py" "$steps" --mount "$mount" --jobs 3 --class remote=4 --class link=0 \
        >"$BATS_TEST_TMPDIR/notes" 2>>"$BATS_TEST_TMPDIR/steved.log"
    keeper=$spawned
    wait_for 30 grep -qx ready "$BATS_TEST_TMPDIR/notes"
    spawn timeout 300 python3 "$LIB/restart_storm.py" "$SERVER" "$keeper" none 30 4 4
    other=$spawned
    timeout 300 python3 "$LIB/restart_storm.py" "$mount/remote" "$keeper" both "${STORM_ROUNDS-8}" 6 8
    status_of "$other"
    [ "$status" = 0 ]
    [ "$(steved_get remote.dropped)" = 0 ]
    [ "$(steved_get dropped)" = 0 ]
    [ "$(steved_get link.jobs)" = 0 ]
}

@test 'ioctls with garbage at the file of a class' {
    serve --jobs 2 --class link=1 --class remote=3
    python3 "$LIB/steved_client.py" bad_ioctls_of_class "$(mount_of)/remote" remote
    [ "$(steved_get free) $(steved_get remote.free)" = '2 3' ]
}

@test 'what is no class is refused in one line' {
    local class
    for class in remote =3 cpu=3 jobserver=3 control=3 Remote=3 9x=3 ../x=3 r.x=3 remote=-1 remote=x remote= \
        remote=65537 "$(printf 'r%.0s' {1..32})=1" $'a\nb=1'; do
        run -2 --separate-stderr "$STEVED" --mount "$BATS_TEST_TMPDIR/none" --class "$class"
        [[ $stderr == "steved: --class: '${class/$'\n'/?}' is not NAME=N"* ]]
        run -2 --separate-stderr "$JOBWRAP" --class "$class" true
        [[ $stderr == "jobwrap: --class: '${class/$'\n'/?}' is not NAME=N"* ]]
    done
    refuses 2 "$STEVED" --mount "$BATS_TEST_TMPDIR/none" --class a=1 --class b=1 --class c=1 --class d=1 \
        --class e=1 --class f=1 --class g=1 --class h=1 --class i=1
    [ "$stderr" = "steved: --class: 'i=1' is not allowed: a server has at most 8 classes" ]
    refuses 2 "$JOBWRAP" --class a=1 --class b=1 --class c=1 --class d=1 --class e=1 --class f=1 --class g=1 \
        --class h=1 --class a=2 --class i=1 touch run
    [ "$stderr" = "jobwrap: --class: 'i=1' is not allowed: a server has at most 8 classes" ]
    printf 'class = %s=1\n' {a..i} >"$BATS_TEST_TMPDIR/conf"
    refuses 2 "$STEVED" --config "$BATS_TEST_TMPDIR/conf" --mount "$BATS_TEST_TMPDIR/none"
    [[ $stderr == *"'i=1' is not allowed: a server has at most 8 classes" ]]
    [ ! -e run ]
    [ ! -e "$BATS_TEST_TMPDIR/none" ]
}

@test 'stevectl: classes are listed, set and asked about; what makes no sense is refused' {
    serve --jobs 2 --class remote=3 --class link=0
    run -0 "$STEVECTL" -s "$SERVER" status
    [[ $output == *$'\n     3      3      0       0  remote\n     0      0      0       0  link'* ]]
    [ "$("$STEVECTL" -s "$SERVER" status --json |
        python3 -c 'import json, sys; print([(c["name"], c["jobs"]) for c in json.load(sys.stdin)["classes"]])')" = \
        "[('remote', 3), ('link', 0)]" ]
    "$STEVECTL" -s "$SERVER" metrics | grep -qx 'jobserver_class_jobs{class="remote"} 3'
    [ "$("$STEVECTL" -s "$(mount_of)/remote" get jobs)" = 3 ]
    refuses 1 "$STEVECTL" -s "$SERVER" get heavy.jobs
    refuses 1 "$STEVECTL" -s "$SERVER" set heavy.jobs=1
    refuses 2 "$STEVECTL" -s "$SERVER" set remote=1
    [[ $stderr == *' CLASS.jobs and CLASS.lease can be set' ]]
    local wrong
    for wrong in remote.min-jobs=1 remote.jobs=x remote.jobs=-1 remote.jobs remote.lease=1 remote.lease=x \
        'remote.jobs=1 remote.lease=0' 'remote.jobs=1 link.jobs=1' 'remote.jobs=1 jobs=1' 'remote.jobs=1 remote.jobs=2'; do
        # shellcheck disable=SC2086 # words
        refuses 2 "$STEVECTL" -s "$SERVER" set $wrong
    done
    [ "$(steved_get remote.jobs)" = 3 ]
}

@test 'steved.conf: class = NAME=N, and the command line is stronger' {
    printf 'class = remote=4\nclass=link=2\n' >"$BATS_TEST_TMPDIR/conf"
    serve --config "$BATS_TEST_TMPDIR/conf" --class link=5
    [ "$(steved_get remote.jobs)" = 4 ]
    [ "$(steved_get link.jobs)" = 5 ]
    echo 'class = remote' >"$BATS_TEST_TMPDIR/conf"
    refuses 2 "$STEVED" --config "$BATS_TEST_TMPDIR/conf" --mount "$BATS_TEST_TMPDIR/none"
}
