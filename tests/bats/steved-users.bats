#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Users beside one another at one steved: none has more for having more sessions, or for asking more.

load ../lib/bash/common
load ../lib/bash/steved

# serve_all [OPTION...]: where every user may use the file that is of group nogroup.
serve_all() {
    require_root
    require_fuse
    directory_for_all
    STEVED_MOUNTS+=("$OTHER/steve")
    spawn "$STEVED" --mount "$OTHER/steve" --group nogroup "$@" 2>>"$BATS_TEST_TMPDIR/steved.log"
    SERVER=$OTHER/steve/jobserver
    SHARED_GID=$(getent group nogroup | cut -d: -f3)
    export SHARED_GID
    wait_for 10 test -e "$SERVER"
}

@test 'a user with twelve sessions has no more than a user with one' {
    serve_all --jobs 8
    client sessions
    wait_for 10 steved_has free 8
}

@test 'per-user-limit holds for all processes of a user' {
    start_steved --jobs 4 --per-user-limit 2
    [ "$(steved_get per-user-limit)" = 2 ]
    for _ in 1 2; do
        spawn setsid bash -c 'read -r -N 1 <>"$0"; exec sleep 60' "$SERVER"
    done
    wait_for 10 steved_has held 2
    exec {fd}<>"$SERVER"
    run ! timeout 0.2 dd bs=1 count=1 <&"$fd"
    "$STEVECTL" --server "$SERVER" status | grep -q ', at most 2 by one user'
    "$STEVECTL" --server "$SERVER" status --json | jq -e ".per_user_limit == 2 and
        ([.clients[].held] | add) == 2 and all(.clients[]; .uid == $(id -u))"
    "$STEVECTL" --server "$SERVER" set per-user-limit=3
    read -r -N 1 -u "$fd"
    [ "$(steved_get held)" = 3 ]
    "$STEVECTL" --server "$SERVER" set per-user-limit=0
    [ "$(steved_get per-user-limit)" = 0 ]
    read -r -N 1 -u "$fd"
}

@test 'another user is charged for what is read through its description, and no other joins its group' {
    serve_all --jobs 4
    client passed_on_to_others
    wait_for 10 steved_has free 4
}

@test 'what is below a group counts for the user of the group' {
    serve_all --jobs 4
    client below_a_group
    wait_for 10 steved_has free 4
}

@test 'what /proc hides of other users is accounted for by process, and by user' {
    require_root
    require_fuse
    directory_for_all
    SHARED_GID=$(getent group nogroup | cut -d: -f3)
    export SHARED_GID STEVED LIB OTHER
    # shellcheck disable=SC2016 # for the inner shell
    unshare --mount --pid --fork --kill-child bash -euc '
        mount -t proc -o hidepid=2 proc /proc
        "$STEVED" --mount "$OTHER/steve" --group nogroup --user nobody --jobs 4 &
        until [ -e "$OTHER/steve/jobserver" ]; do sleep 0.02; done
        python3 "$LIB/steved_client.py" hidden "$OTHER/steve/jobserver"
        kill %1
        wait %1' 3>&-
}

@test 'who stays in a system call on the file holds up no other user' {
    serve_all --jobs 4
    client stuck "$BUILD/tests/lib/stuck"
    client unlisted "$BUILD/tests/lib/stuck"
    wait_for 10 steved_has free 4
}

@test 'who floods the server with what costs much is refused, and nobody else' {
    serve_all --jobs 8
    client flood
    wait_for 10 steved_has free 8
}

# as UID STEVECTL-ARGUMENT...
as() {
    setpriv --reuid="$1" --regid="$SHARED_GID" --clear-groups --inh-caps=-all -- \
        "$OTHER/stevectl" --server "$SERVER" "${@:2}"
}

@test 'a build is paused and weighed by root and by its own user, who does not undo what root has paused' {
    serve_all --jobs 4
    cp "$STEVECTL" "$OTHER/stevectl"
    # shellcheck disable=SC2016 # for the inner shell
    spawn setpriv --reuid=65534 --regid="$SHARED_GID" --clear-groups -- \
        bash -c 'exec 3<>"$0"; read -r -N 1 -u 3; exec sleep 60' "$SERVER"
    wait_for 10 steved_has held 1
    local user pid
    pid=$(as 0 status --json | jq '.clients[0].pid')
    for user in 65534 0; do
        as "$user" pause "$pid"
        run -1 as 65533 continue "$pid"
        as "$user" continue "$pid"
    done
    for command in "pause $pid" "weight $pid 50"; do
        # shellcheck disable=SC2086 # words
        run -1 as 65533 $command
        [[ $output == *'only root, the server'* || $output == *'only root and the server'* ]]
    done
    as 0 pause "$pid"
    run -1 as 65534 continue "$pid"
    [[ $output == *'may continue a build that one of them has paused'* ]]
    as 65534 weight "$pid" 50
    run -1 as 65534 weight "$pid" 101
    as 0 weight "$pid" 300
    [ "$(as 65533 status --json | jq -c '.clients[0] | [.weight, .paused, .uid]')" = '[300,true,65534]' ]
}

# 23: STEVED_EVENT_JOB_PLACED
@test 'where jobs run on a farm is told by the owner of the server alone, and seen by all' {
    serve_all --jobs 1
    cp "$STEVECTL" "$BUILD/tests/lib/tell" "$OTHER/"
    # shellcheck disable=SC2031 # serve_all has set it
    local other=(setpriv --reuid=65534 --regid="$SHARED_GID" --clear-groups --)
    spawn "${other[@]}" "$OTHER/stevectl" --server "$SERVER" watch >"$OTHER/seen"
    wait_for 20 grep -q watching "$OTHER/seen"
    run -1 "${other[@]}" "$OTHER/tell" "$SERVER" 23 'node a.cc'
    [[ $output == *'Operation not permitted'* ]]
    [ "$("$OTHER/tell" "$SERVER" 23 'node b.cc')" = 1 ]
    wait_for 20 grep -q 'b.cc at node' "$OTHER/seen"
    run ! grep -q a.cc "$OTHER/seen"
}
