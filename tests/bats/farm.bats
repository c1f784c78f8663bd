#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# stevefarm, at real schedulers and servers in a network namespace of the test's own.

# shellcheck disable=SC2016 # what is in single quotes is another shell's
# shellcheck disable=SC2154 # common.bash sets spawned

load ../lib/bash/common
load ../lib/bash/steved

setup() {
    common_setup
    STEVEFARM=$BUILD/stevefarm/stevefarm
}

# Servers stay in the network namespace of a process that does nothing; each node sees a machine without load.
start_network() {
    local stat
    require_root
    require ip nsenter unshare
    FARM_ROOT=$("$LIB/fetch-farm") || missing 'no icecc and distcc: see tests/lib/fetch-farm'
    directory_for_all
    stat=$OTHER/stat
    echo 'cpu  0 0 0 1000000 0 0 0 0 0 0' >"$stat"
    spawn unshare --net --mount --propagation private sh -euc \
        'ip link set lo up && mount --bind "$0" /proc/stat && touch "$0.ready" && exec sleep 1000' "$stat"
    NETWORK=$spawned
    wait_for 10 test -e "$stat.ready"
}

# inside COMMAND...: spawned in that network; ended with the test.
inside() {
    spawn nsenter --target "$NETWORK" --net --mount env \
        LD_LIBRARY_PATH="$(dirname "$(find "$FARM_ROOT" -name 'libpopt.so.0' | head -n 1)")" "$@" >>"$OTHER/log" 2>&1
}

start_scheduler() {
    inside "$FARM_ROOT/usr/sbin/icecc-scheduler" -n test -u nobody
    SCHEDULER=$spawned
}

# start_node NAME PORT SLOTS
start_node() {
    mkdir -m 0777 "$OTHER/$1"
    inside ICECC_TEST_SOCKET="$OTHER/$1/socket" "$FARM_ROOT/usr/sbin/iceccd" -n test -s 127.0.0.1 \
        -N "$1" -p "$2" -m "$3" -b "$OTHER/$1/base" -u nobody
}

# follow OPTION...
follow() {
    spawn nsenter --target "$NETWORK" --net "$STEVEFARM" --server "$SERVER" --class remote "$@" \
        2>"$BATS_TEST_TMPDIR/farm.log"
    FOLLOWER=$spawned
}

@test 'fixed: a lease that is renewed, and ends with the follower' {
    start_steved --jobs 1 --class remote=0
    spawn "$STEVEFARM" --server "$SERVER" --class remote --max 6 --reserve 1 fixed:5
    wait_for 10 steved_has remote.jobs 4
    stop "$spawned" TERM
    [ "$(steved_get remote.jobs)" = 0 ]
    spawn "$STEVEFARM" -s "$SERVER" -c remote -m 3 fixed:5
    wait_for 10 steved_has remote.jobs 3
    stop "$spawned" KILL
    [ "$(steved_get remote.jobs)" = 3 ]
    wait_for 10 steved_has remote.jobs 0
}

@test 'what cannot be followed is one line' {
    start_steved --jobs 1
    refuses 1 "$STEVEFARM" --server "$SERVER" --class remote fixed:5
    refuses 1 "$STEVEFARM" --server "$BATS_TEST_TMPDIR/none" --class remote fixed:5
    refuses 2 "$STEVEFARM" --class remote
    refuses 2 "$STEVEFARM" fixed:5
    refuses 2 "$STEVEFARM" --class cpu fixed:5
    refuses 2 "$STEVEFARM" --class remote --max x fixed:5
    refuses 2 "$STEVEFARM" --class remote reapi:host
    refuses 2 "$STEVEFARM" --class remote fixed:5 fixed:6
    run -0 "$STEVEFARM" --help
    [[ $output == 'Usage: stevefarm'* ]]
}

@test 'icecc: nodes come and go, and so does the scheduler' {
    local node
    start_network
    start_steved --jobs 1 --class remote=0
    start_scheduler
    start_node node1 10301 4
    node=$spawned
    start_node node2 10302 4
    follow icecc:127.0.0.1
    wait_for 30 steved_has remote.jobs 8
    stop "$node" KILL
    wait_for 15 steved_has remote.jobs 4
    stop "$SCHEDULER" KILL
    wait_for 5 steved_has remote.jobs 0
    start_scheduler
    wait_for 60 steved_has remote.jobs 4
    stop "$FOLLOWER" TERM
    [ "$(steved_get remote.jobs)" = 0 ]
    cat "$BATS_TEST_TMPDIR/farm.log"
    [ "$(wc -l <"$BATS_TEST_TMPDIR/farm.log")" -le 8 ]
}

@test 'distcc: the sum of the hosts that answer' {
    local first
    start_network
    start_steved --jobs 1 --class remote=0
    inside "$FARM_ROOT/usr/bin/distccd" --no-detach --daemon --user nobody --allow 127.0.0.0/8 --jobs 4 \
        --listen 127.0.0.1 --port 3701 --stats --stats-port 3633 --enable-tcp-insecure
    first=$spawned
    inside "$FARM_ROOT/usr/bin/distccd" --no-detach --daemon --user nobody --allow 127.0.0.0/8 --jobs 2 \
        --listen 127.0.0.1 --port 3702 --stats --stats-port 3634 --enable-tcp-insecure
    follow distcc:127.0.0.1,127.0.0.1:3634
    wait_for 20 steved_has remote.jobs 6
    stop "$first" TERM
    wait_for 15 steved_has remote.jobs 2
}
