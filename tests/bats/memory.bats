#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Jobs at the gate wait for memory: builds that need more than there is, in a control group of their own.
# needs_the_plain_build: a sanitizer's own memory is not that of a compiler.

# shellcheck disable=SC2016 # what single quotes hold is for another shell
# shellcheck disable=SC2154 # common.bash sets spawned, run sets status
load ../lib/bash/common
load ../lib/bash/shim

GROUPS_MOUNT=/sys/fs/cgroup/memory

setup() {
    shim_setup
    : "${JOBGATE:=$BUILD/ninja-shim/jobgate}"
    mkdir bin
    ln -s "$BUILD/tests/lib/eat" bin/cc
    GROUP=
}

teardown() {
    common_teardown
    [ -z "$GROUP" ] || wait_for 10 rmdir "$GROUP"
}

# limited_to MIB: a control group in $GROUP.
limited_to() {
    require_root
    [ -w "$GROUPS_MOUNT/memory.limit_in_bytes" ] || missing 'no memory controller (version 1)'
    GROUP=$GROUPS_MOUNT/steved-test.$BASHPID
    mkdir "$GROUP"
    echo $(($1 << 20)) >"$GROUP/memory.limit_in_bytes"
    # Without swap accounting there is no such file, and what is swapped out is not counted.
    [ ! -e "$GROUP/memory.memsw.limit_in_bytes" ] ||
        echo $(($1 << 20)) >"$GROUP/memory.memsw.limit_in_bytes"
}

# limited COMMAND...: in the group.
limited() {
    sh -c 'echo 0 >"$1/cgroup.procs" && shift && exec "$@"' sh "$GROUP" "$@"
}

# kills_are N: so many processes of the group has the kernel killed.
kills_are() {
    [ "$(awk '$1 == "oom_kill" { print $2 }' "$GROUP/memory.oom_control")" = "$1" ]
}

# tree HEAVY MIB MS LIGHT: jobs of so many MiB, which they reach after so long, before light ones.
tree() {
    local i
    {
        printf 'rule cc\n  command = %s $options -c $in -o $out\n' "$PWD/bin/cc"
        for ((i = 0; i < $1; i++)); do
            echo "build heavy$i.o: cc heavy$i.c"
            echo "  options = -DMIB=$2 -DMS=$3"
        done
        for ((i = 0; i < $4; i++)); do
            echo "build light$i.o: cc light$i.c"
            echo '  options = -DMIB=4 -DMS=40'
        done
    } >build.ninja
    for ((i = 0; i < $1; i++)); do : >"heavy$i.c"; done
    for ((i = 0; i < $4; i++)); do : >"light$i.c"; done
}

# The gate has gone, and what it has learnt is written.
gate_has_gone() {
    ! grep -qs . "$GROUP/cgroup.procs"
}

again() {
    wait_for 10 gate_has_gone
    rm -f ./*.o .ninja_log .ninja_deps "$LOG"
}

# known MIB: what the tree needs has been learnt by a build with one job at a time; from now on there are five
# tokens in a group of so many MiB.
known() {
    limited_to "$1"
    below_fifo 0
    limited "$NINJA_SHIM"
    kills_are 0
    again
    below_fifo 5
}

# passed: so many light jobs were started when the last heavy one was not yet.
passed() {
    awk '/^start heavy/ { before = light } /^start light/ { light++ } END { print before + 0 }' "$LOG"
}

@test 'a build that the kernel kills alone waits for what it needed the last time, and light jobs pass' {
    use_ninja 1.11
    tree 5 70 700 10
    known 256
    limited "$NINJA_SHIM"
    kills_are 0
    all_back 5
    [ "$(passed)" -ge 1 ]
    again
    MAKEFLAGS='' run limited "$REAL" -j6
    [ "$status" != 0 ]
    ! kills_are 0
}

@test 'first build: what does not fit is killed and run again, and looks like one job' {
    use_ninja 1.11
    tree 5 70 800 10
    limited_to 256
    below_fifo 5
    run -0 limited "$NINJA_SHIM"
    kills_are 0
    all_back 5
    [[ $output == *'ninja-shim: heavy'*.o' needed '*' MiB and was put off; run again when there are '*' MiB'* ]]
    [[ $output != *FAILED* ]]
    again
    run -0 limited "$NINJA_SHIM"
    kills_are 0
    [[ $output != *'put off'* ]]
}
