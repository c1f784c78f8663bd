#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# How many jobs the shim lets ninja start: enough for a pool that grows, and no more than descriptors and
# processes allow.

# shellcheck disable=SC2016 # what single quotes hold is for another shell
# shellcheck disable=SC2154 # common.bash sets spawned and status
load ../lib/bash/common
load ../lib/bash/shim

# tree NUMBER COMMAND
tree() {
    rm -rf tree
    mkdir tree
    {
        printf 'rule job\n  command = %s\n' "$2"
        printf 'build %d: job\n' $(seq "$1")
    } >tree/build.ninja
}

# grows GATE: from 2 tokens at steved to 8 while ninja runs, and back.
grows() {
    rm -f "$LOG" go
    NINJA_SHIM_GATE=$1 spawn "$LIB/subreaper" "$NINJA_SHIM" -C tree >said 2>&1
    wait_for 10 lives_jobs 2
    "$STEVECTL" --server "$SERVER" set jobs=8
    # None ends before: they are those that had been started.
    wait_for 20 lives_jobs 8
    "$STEVECTL" --server "$SERVER" set jobs=2
    touch go
    status_of "$spawned"
    [ "$status" = 0 ]
    wait_for 10 steved_has free 2
}

@test 'the pool grows while ninja runs: its jobs are there before one ends' {
    tree 30 "$STAMP $LOG \$out -- sh -c 'until [ -e ../go ]; do sleep 0.01; done'"
    start_steved --jobs 2
    export MAKEFLAGS="--jobserver-auth=fifo:$SERVER"
    for version in $SHIM_NINJAS; do
        use_ninja "$version"
        for gate in $SHIM_GATES; do
            echo "ninja $version, $gate"
            grows "$gate"
        done
    done
}

@test 'descriptors: as many jobs as ninja can have, and it does not die' {
    tree 400 'sleep 0.2'
    use_ninja 1.11
    below_fifo 299
    (
        ulimit -Sn 256
        [ "$(jobs_given)" = 192 ]
        "$NINJA_SHIM" -C tree
    )
    all_back 299
    [ "$(jobs_given)" = 364 ]
}

# limited COMMAND...: as a user who has nothing else, in no test beside this either, and at most 100 processes.
limited() {
    local user=$((60000 + BASHPID % 5000))
    setpriv --reuid=$user --regid=$user --clear-groups -- prlimit --nproc=100 "$@"
}

@test 'processes: as many jobs as the user may have' {
    require_nobody "$NINJA_SHIM"
    require setpriv prlimit
    use_ninja 1.11
    tree 200 'sh -c "sleep 0.05; true"; true'
    directory_for_all
    cp -r tree "$OTHER"
    chmod -R a+rwX "$OTHER"
    mkfifo -m 0666 "$OTHER/fifo"
    exec {FIFO_FD}<>"$OTHER/fifo"
    printf '%0199d' 0 >&"$FIFO_FD"
    MAKEFLAGS=" -j200 --jobserver-auth=fifo:$OTHER/fifo" limited "$NINJA_SHIM" -C "$OTHER/tree"
    fifo_has "$OTHER/fifo" 199
}
