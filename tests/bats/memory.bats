#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Jobs at the gate wait for memory: builds that need more than there is, in a control group of their own.
# needs_the_plain_build: a sanitizer's own memory is not that of a compiler.

# shellcheck disable=SC2016 # what single quotes hold is for another shell
# shellcheck disable=SC2154 # common.bash sets spawned, run sets status
load ../lib/bash/common
load ../lib/bash/shim

GROUPS_MOUNT=/sys/fs/cgroup

setup() {
    shim_setup
    : "${JOBGATE:=$BUILD/ninja-shim/jobgate}"
    mkdir bin
    ln -s "$BUILD/tests/lib/eat" bin/cc
    GROUP=
}

teardown() {
    local pid
    common_teardown
    [ -n "$GROUP" ] || return 0
    # Of a test that has failed.
    while read -r pid; do kill -KILL "$pid"; done <"$GROUP/cgroup.procs"
    wait_for 10 gate_has_gone
    rmdir "$GROUP"
}

# limited_to MIB: a control group in $GROUP, of version 1 or 2.
limited_to() {
    require_root
    if [ -w "$GROUPS_MOUNT/memory/memory.limit_in_bytes" ]; then
        GROUP=$GROUPS_MOUNT/memory/steved-test.$BASHPID
        mkdir "$GROUP"
        limit memory.limit_in_bytes "$1"
        # Without swap accounting there is no such file, and what is swapped out is not counted.
        limit memory.memsw.limit_in_bytes "$1"
    else
        echo +memory >"$GROUPS_MOUNT/cgroup.subtree_control" || missing 'no memory controller'
        GROUP=$GROUPS_MOUNT/steved-test.$BASHPID
        mkdir "$GROUP"
        limit memory.max "$1"
        limit memory.swap.max 0
    fi
}

# limit FILE MIB: of the group, if it has that file.
limit() {
    [ ! -e "$GROUP/$1" ] || echo $(($2 << 20)) >"$GROUP/$1"
}

# limited COMMAND...: in the group.
limited() {
    sh -c 'echo 0 >"$1/cgroup.procs" && shift && exec "$@"' sh "$GROUP" "$@"
}

# in_group NAME: the process of the group that is called so.
in_group() {
    grep -lx "$1" /proc/[0-9]*/comm 2>/dev/null | cut -d/ -f3 | grep -xFf "$GROUP/cgroup.procs"
}

# kills_are N: so many processes of the group has the kernel killed.
kills_are() {
    local file=$GROUP/memory.oom_control # version 1
    [ -e "$file" ] || file=$GROUP/memory.events
    [ "$(awk '$1 == "oom_kill" { print $2 }' "$file")" = "$1" ]
}

# tree HEAVY MIB MS LIGHT: jobs of so many MiB, which they reach after so long, before light ones.
tree() {
    local i
    {
        printf 'rule cc\n  command = %s $options -c $in -o $out\n' "$PWD/bin/cc"
        for ((i = 0; i < $1; i++)); do
            echo "build heavy$i.o: cc heavy$i.c"
            echo "  options = -DMIB=$2 -DMS=$3 -DHOLD_MS=200"
        done
        for ((i = 0; i < $4; i++)); do
            echo "build light$i.o: cc light$i.c"
            echo '  options = -DMIB=4 -DMS=40'
        done
    } >build.ninja
    for ((i = 0; i < $1; i++)); do : >"heavy$i.c"; done
    for ((i = 0; i < $4; i++)); do : >"light$i.c"; done
}

# once_known: a build of two jobs that must not be run again, and of which the first needs much more than
# it has needed before.
once_known() {
    ln -sf "$BUILD/tests/lib/eat" bin/generate
    limited_to 256
    below_fifo 3
    jobs first '-DMIB=50 -DMS=100' second '-DMIB=60 -DMS=100'
    sed -i 's,bin/cc,bin/generate,' build.ninja
    limited "$NINJA_SHIM"
    again
    jobs first "-DMIB=170 -DMS=600 -DHOLD_MS=$1" second '-DMIB=60 -DMS=100 -DHOLD_MS=1000'
    sed -i 's,bin/cc,bin/generate,' build.ninja
}

# jobs NAME OPTIONS...: of build.ninja. The first is the oldest for certain.
jobs() {
    local needs=
    printf 'rule cc\n  command = %s $options -c $in -o $out\n' "$PWD/bin/cc" >build.ninja
    printf 'build begun: cc begun.c\n  options = -DMS=200\n' >>build.ninja
    : >begun.c
    while [ $# -gt 0 ]; do
        printf 'build %s.o: cc %s.c %s\n  options = %s\n' "$1" "$1" "$needs" "$2" >>build.ninja
        : >"$1.c"
        needs='|| begun'
        shift 2
    done
}

# The gate has gone, and what it has learnt is written.
gate_has_gone() {
    ! grep -qs . "$GROUP/cgroup.procs"
}

again() {
    wait_for 10 gate_has_gone
    rm -f ./*.o begun .ninja_log .ninja_deps "$LOG"
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
    tree 4 80 500 6
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

# copies_differ: what has run is not what the lazy client has started.
copies_differ() {
    awk '$1 == "start" { print $3 }' "$LOG" | sort >ran
    sort started | comm -12 - ran >same
    [ -s ran ] && [ ! -s same ]
}

@test 'a copy is to its parent the job itself: exit status, signal, what it has used' {
    local options
    for options in STATUS=0 STATUS=3 STATUS=255 SIGNAL=2 SIGNAL=6 SIGNAL=9 SIGNAL=11 SIGNAL=15 CPU_MS=300; do
        echo "$PWD/bin/cc -D$options -c a.c -o a.o"
    done >commands
    limited_to 600
    below_fifo 1
    limited "$JOBGATE" --memory=off --jobs-of=python3 python3 "$LIB/run-each" commands started >alone </dev/zero
    rm -f "$LOG" started
    limited "$JOBGATE" --jobs-of=python3 python3 "$LIB/run-each" commands started >gated </dev/zero
    diff alone gated
    copies_differ
    all_back 1
}

@test '^C while a job is put off: all end, and nothing is left' {
    use_ninja 1.11
    jobs first '-DMIB=150 -DMS=500 -DHOLD_MS=60000' second '-DMIB=150 -DMS=800'
    limited_to 256
    below_fifo 3
    limited "$NINJA_SHIM" >said 2>&1 &
    wait_for 20 grep -qs 'put off' said
    kill -INT "$(in_group ninja)"
    status=0
    wait "$!" || status=$?
    [ "$status" = 2 ] || [ "$status" = 130 ]
    wait_for 10 gate_has_gone
    all_back 3
    kills_are 0
    ! grep -q "^end [fs]" "$LOG"
}

@test 'a killed compiler leaves no temporary file' {
    use_ninja 1.11
    jobs first '-DMIB=150 -DMS=500 -DHOLD_MS=800' second '-DMIB=150 -DMS=800 -DTEMPORARY'
    limited_to 256
    below_fifo 3
    find /tmp -maxdepth 1 -name 'cc??????.s' | sort >before
    run -0 limited "$NINJA_SHIM"
    [[ $output == *'second.o needed '*' put off'* ]]
    find /tmp -maxdepth 1 -name 'cc??????.s' | sort >after
    comm -13 before after >left
    [ ! -s left ]
}

@test 'the sidecar is killed while a job is put off: no stopped process is left, and no token' {
    use_ninja 1.11
    jobs first '-DMIB=150 -DMS=500 -DHOLD_MS=2000' second '-DMIB=150 -DMS=800'
    limited_to 256
    below_fifo 3
    limited "$NINJA_SHIM" >said 2>&1 &
    wait_for 20 grep -qs 'put off' said
    kill -KILL "$(in_group jobgate)"
    status=0
    wait "$!" || status=$?
    [ "$status" = 137 ]
    wait_for 10 gate_has_gone
    all_back 3
    # What ran has run on.
    [ "$(grep -c '^end first' "$LOG")" = 1 ]
    ! grep -q '^end second' "$LOG"
}

@test 'one job alone does not fit: the message says what it had' {
    use_ninja 1.11
    jobs large '-DMIB=200 -DMS=500'
    limited_to 128
    below_fifo 3
    run -1 limited "$NINJA_SHIM"
    ! kills_are 0
    [[ $output == *'ninja-shim: large.o failed when it had '*' MiB of 128 MiB, and nothing ran beside it: one job alone does not fit'* ]]
}

@test '--memory=off and JOBWRAP_MEMORY=off: nothing waits; what makes no sense is refused' {
    limited_to 256
    below_fifo 5
    use_ninja 1.11
    tree 5 70 800 0
    JOBWRAP_MEMORY=off run limited "$NINJA_SHIM"
    [ "$status" != 0 ]
    ! kills_are 0
    [ ! -e "$XDG_CACHE_HOME/jobwrap" ]
    JOBWRAP_MEMORY=much run -2 "$NINJA_SHIM"
    [ "$output" = "ninja-shim: JOBWRAP_MEMORY: 'much' is not auto, on or off" ]
    run -2 "$JOBGATE" --memory=much --jobs-of=xargs true
    [ "${#lines[@]}" = 1 ]
}

@test 'what must not run twice stands still, and goes on' {
    use_ninja 1.11
    for NINJA_SHIM_GATE in $SHIM_GATES; do
        export NINJA_SHIM_GATE
        rm -rf "$XDG_CACHE_HOME/jobwrap" .ninja_*
        once_known 300
        run -0 limited "$NINJA_SHIM"
        kills_are 0
        [[ $output == *'second.o has '*' MiB and stands still until there is memory again'* ]]
        [ "$(grep -c ^start "$LOG")" = 3 ]
        all_back 3
        again
        rmdir "$GROUP"
    done
    GROUP=
}

@test '^C, and the end of the sidecar, while a job stands still: nothing stopped is left' {
    use_ninja 1.11
    for NINJA_SHIM_GATE in $SHIM_GATES; do
        export NINJA_SHIM_GATE
        rm -rf "$XDG_CACHE_HOME/jobwrap" .ninja_*
        once_known 1000
        for killed in 'INT ninja' 'KILL jobgate'; do
            echo "$NINJA_SHIM_GATE: $killed"
            rm -f said
            limited "$NINJA_SHIM" >said 2>&1 &
            wait_for 20 grep -qs 'stands still' said
            kill -s "${killed% *}" "$(in_group "${killed#* }")"
            ! wait "$!"
            wait_for 10 gate_has_gone
            all_back 3
            again
        done
        rmdir "$GROUP"
    done
    GROUP=
}

@test 'signals that come while a copy is made do not disturb the job' {
    for _ in {1..20}; do echo "$PWD/bin/cc -DSTATUS=3 -c a.c -o a.o"; done >commands
    limited_to 600
    below_fifo 1
    limited "$JOBGATE" --jobs-of=python3 python3 "$LIB/run-each" commands started SIGCHLD >gated </dev/zero
    [ "$(grep -c -- '^-DSTATUS=3 3 ' gated)" = 20 ]
    copies_differ
    all_back 1
}

@test 'a fork that is refused: the job runs itself, once' {
    local python
    python=$(python3 -c 'import sys; print(sys.executable)')
    refused EAGAIN clone=0 # a fork: what starts the job gives it a stack
    limited_to 600
    below_fifo 1
    printf '%s\n' "$PWD/bin/cc -DSTATUS=3 -c a.c -o a.o" "$PWD/bin/cc -DSIGNAL=15 -c a.c -o a.o" >commands
    run -0 limited "$JOBGATE" --jobs-of="${python##*/}" "${refused[@]}" "$python" "$LIB/run-each" \
        commands started </dev/zero
    [ "$(cut -d' ' -f1,2 <<<"$output")" = "$(printf '%s\n' '-DSTATUS=3 3' '-DSIGNAL=15 -15')" ]
    awk '$1 == "start" { print $3 }' "$LOG" | diff - started
    all_back 1
}

@test 'builds for which memory does not suffice, and random deaths' {
    limited_to 600 # is it there at all?
    use_ninja 1.11
    "$LIB/memory-rounds" --seed "$RANDOM" "${MEMORY_ROUNDS:-2}" "$NINJA_SHIM" "$BUILD/tests/lib/eat" "$REAL"
}
