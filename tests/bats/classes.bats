#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Jobs that need tokens of classes, at gates: links that are counted over all builds, and compilers' jobs that a farm
# does.

# shellcheck disable=SC2016 # what single quotes hold is for another shell
# shellcheck disable=SC2154 # common.bash sets spawned, run sets status
load ../lib/bash/common
load ../lib/bash/steved

setup() {
    common_setup
    : "${JOBGATE:=$BUILD/ninja-shim/jobgate}" "${NINJA_SHIM:=$BUILD/ninja-shim/ninja}"
    export NINJA_SHIM
    cd "$BATS_TEST_TMPDIR" || return
    # LeakSanitizer does not work in what is traced: the command, and what starts the jobs.
    export ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0 JOBWRAP_MEMORY=off JOBGATE CLASSES_TEST=$BATS_TEST_TMPDIR
    mkfifo gate
    exec {gate}<>gate
    # Each a job that runs until the test lets it end, and logs to a file of its tool's name.
    for tool in ld icecc tool; do
        printf '#!/bin/sh\nexec "%s" "%s" "$1" -- sh -c "read -r _ <gate"\n' "$STAMP" "$PWD/$tool.log" >$tool
        chmod +x $tool
    done
}

# serve OPTION...: what is started here is its client.
serve() {
    start_steved "$@"
    export MAKEFLAGS=" -j8 --jobserver-auth=fifo:$SERVER"
}

# jobs COMMAND...: of xargs, one for each line, in the background.
jobs_of_xargs() {
    spawn bash -c "exec $gate>&-"' && "$0" --implicit=acquire --jobs-of=xargs "$@" -- xargs -P32 -I{} sh -c "{}" <lines' \
        "$JOBGATE" "$@"
}

# line N COMMAND: N of them to the lines, with a number.
lines() {
    local i
    for ((i = 1; i <= $1; i++)); do
        echo "exec ./$2 $i $3"
    done >>lines
}

# runs TOOL N: so many jobs of it now, for wait_for.
runs() {
    lives_jobs "$2" "$1.log"
}

set_remote() {
    "$STEVECTL" --server "$SERVER" set "remote.jobs=$1"
}

# sidecar: the process that keeps the gate of this test.
sidecar() {
    local file pid
    for file in $(env -u CLASSES_TEST grep -lszxF "CLASSES_TEST=$CLASSES_TEST" /proc/[0-9]*/environ); do
        pid=${file#/proc/} pid=${pid%/*}
        [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != jobgate ] || echo "$pid"
    done
}

# all_back CPU [NAME=N...]
all_back() {
    wait_for 10 steved_has free "$1"
    shift
    for class; do
        wait_for 10 steved_has "${class%=*}.free" "${class#*=}"
    done
}

@test 'remote jobs run instead of on the cpu, and the others beside them' {
    serve --jobs 2 --class remote=3
    lines 8 tool
    lines 8 icecc 'g++ -c a.cc'
    jobs_of_xargs
    wait_for 20 runs tool 2
    wait_for 20 runs icecc 3
    steved_has held 2
    steved_has remote.held 3
    let_end 16
    wait "$spawned"
    LOG=tool.log exactly 2 8
    LOG=icecc.log exactly 3 8
    all_back 2 remote=3
}

@test 'ccache with a prefix, which is a launcher' {
    serve --jobs 1 --class remote=3
    cp icecc ccache
    lines 3 ccache 'g++ -c a.cc'
    lines 1 tool
    CCACHE_PREFIX=$PWD/icecc jobs_of_xargs
    wait_for 20 runs icecc 3
    wait_for 20 runs tool 1
    steved_has remote.held 3
    let_end 4
    wait "$spawned"
    all_back 1 remote=3
}

@test 'links need both tokens, and hold up nobody who is none' {
    serve --jobs 4 --class link=1
    lines 3 ld a.o
    lines 5 tool
    jobs_of_xargs
    wait_for 20 runs ld 1
    wait_for 20 runs tool 3
    steved_has held 4
    let_end 8
    wait "$spawned"
    LOG=ld.log exactly 1 3
    all_back 4 link=1
}

@test 'two links at once over two builds of ninja' {
    require ninja
    serve --jobs 8 --class link=2
    printf '%s\n' 'rule link' '  command = : && ./ld $out a.o && :' 'rule run' '  command = ./tool $out' \
        >rules.ninja
    for build in one two; do
        { echo 'include rules.ninja'
            for ((i = 1; i <= 4; i++)); do
                echo "build $build-link$i: link"
            done
            echo "build $build-run: run"; } >$build.ninja
    done
    for build in one two; do
        NINJA_SHIM_REAL=$(command -v ninja) spawn bash -c "exec $gate>&-"' && exec "$@"' - \
            "$NINJA_SHIM" -j8 -f $build.ninja >$build.said 2>&1
        builds+=("$spawned")
    done
    wait_for 20 runs tool 2
    wait_for 20 runs ld 2
    let_end 10
    wait "${builds[@]}"
    LOG=ld.log exactly 2 8
    all_back 8 link=2
}

# make takes tokens of the cpu by itself; a job that is ended at the gate is not waited for.
@test 'links of make, too, over two builds; a make that is ended ends those that wait' {
    require make
    unset MAKEFLAGS
    printf '%s\n' 'all: l1 l2 l3 run' 'l%:' '	cd . && ./ld $@ a.o && :' 'run:' '	./tool $@' >Makefile
    mkfifo later
    spawn bash -c "exec $gate>&-"' && exec "$@"' - "$JOBWRAP" -j9 --parent=none --class link=1 -- \
        sh -c 'make & make & read -r _ <later; make l4 l5 & echo $! >third; wait' >said 2>&1
    wait_for 20 runs tool 2
    wait_for 20 runs ld 1
    echo >later
    wait_for 20 grep -q 'ld l5' said
    kill "$(<third)"
    wait_for 20 has_ended "$(<third)"
    let_end 8
    status_of "$spawned"
    LOG=ld.log exactly 1 6
}

@test 'a link whose line starts a build that links waits for nobody' {
    require ninja
    serve --jobs 2 --class link=1
    printf '%s\n' 'rule link' '  command = : && ./ld $out a.o && :' 'build inner: link' >inner.ninja
    printf '%s\n' 'rule both' "  command = ./ld outer a.o && '$NINJA_SHIM' -f inner.ninja" 'build outer: both' >build.ninja
    NINJA_SHIM_REAL=$(command -v ninja) spawn bash -c "exec $gate>&-"' && exec "$@"' - "$NINJA_SHIM" -j8
    let_end 2
    status_of "$spawned" 30
    [ "$status" = 0 ]
    all_back 2 link=1
}

@test 'without a capacity remote jobs take tokens of the cpu, those that wait already too' {
    serve --jobs 2 --class remote=1
    lines 12 icecc 'g++ -c a.cc'
    jobs_of_xargs
    wait_for 20 runs icecc 1
    steved_has held 0
    set_remote 0
    wait_for 20 runs icecc 3
    steved_has held 2
    set_remote 4
    wait_for 20 runs icecc 6
    let_end 12
    wait "$spawned"
    LOG=icecc.log exactly 6 12
    all_back 2 remote=4
}

@test 'a class that loses its tokens is noticed by jobs that wait for another besides' {
    serve --jobs 2 --class fast=1 --class slow=1
    printf '%s instead tool\n' fast slow >rules
    lines 3 tool
    jobs_of_xargs --class-rules=rules
    wait_for 20 runs tool 1
    steved_has held 0
    "$STEVECTL" --server "$SERVER" set slow.jobs=0
    wait_for 20 runs tool 3
    let_end 3
    wait "$spawned"
}

@test 'whoever is killed, all tokens are back' {
    serve --jobs 3 --class remote=3 --class link=2
    lines 6 icecc 'g++ -c a.cc'
    lines 6 ld a.o
    for killed in sidecar xargs job sidecar-of-seccomp; do
        rm -f ./*.log
        [ $killed = sidecar-of-seccomp ] && jobs_of_xargs --gate=seccomp || jobs_of_xargs
        wait_for 20 runs icecc 3
        wait_for 20 runs ld 2
        case $killed in
        sidecar*) pid=$(sidecar) ;;
        xargs) pid=$(awk '$1 == "start" { print $3; exit }' ld.log) pid=$(ps -o ppid= -p "$pid") ;;
        job) pid=$(awk '$1 == "start" { print $3; exit }' icecc.log) ;;
        esac
        kill -KILL "${pid// /}"
        let_end 12
        wait "$spawned" || true
        all_back 3 remote=3 link=2
        # Of those that never ran the lines are still there.
        while read -r -t 0 -u "$gate"; do
            read -r -u "$gate"
        done
    done
}

@test 'the seccomp gate, whose jobs are looked at when they have executed' {
    serve --jobs 3 --class remote=2 --class link=1
    lines 3 ld a.o
    lines 5 icecc 'g++ -c a.cc'
    lines 2 tool
    jobs_of_xargs --gate=seccomp
    wait_for 20 runs ld 1
    wait_for 20 runs tool 2
    wait_for 20 runs icecc 2
    steved_has held 3
    set_remote 0
    "$STEVECTL" --server "$SERVER" set jobs=4
    wait_for 20 runs icecc 3
    let_end 10
    wait "$spawned"
    LOG=tool.log exactly 2 2
    LOG=ld.log exactly 1 3
    all_back 4 link=1
}

@test 'the seccomp gate within another, which stops the jobs of both' {
    serve --jobs 2 --class remote=3
    lines 4 tool
    lines 5 icecc 'g++ -c a.cc'
    # The outer one's program must not become the inner one itself.
    printf '"$JOBGATE" --gate=seccomp --implicit=acquire --jobs-of=xargs -- xargs -P32 -I{} sh -c "{}" <lines\nexit\n' >inner
    spawn bash -c "exec $gate>&-"' && exec "$JOBGATE" --gate=seccomp --jobs-of=nobody -- sh inner'
    wait_for 20 runs tool 2
    wait_for 20 runs icecc 3
    steved_has remote.held 3
    let_end 9
    wait "$spawned"
    LOG=icecc.log exactly 3 5
    all_back 2 remote=3
}

@test 'a gate finds a steved with classes by itself, or is told which one' {
    serve --jobs 2 --class link=3
    unset MAKEFLAGS
    lines 5 ld a.o
    jobs_of_xargs --jobserver="$SERVER"
    wait_for 20 runs ld 2
    steved_has link.held 2
    let_end 5
    wait "$spawned"
    all_back 2 link=3
    rm ld.log
    next_steved --jobs 5 --class link=1
    jobs_of_xargs
    wait_for 20 runs ld 1
    steved_has link.held 1
    let_end 5
    wait "$spawned"
    LOG=ld.log exactly 1 5
    all_back 5 link=1
}

# next_steved OPTION...: at the user's place, where nobody serves any more.
next_steved() {
    require_fuse
    SERVER=$XDG_RUNTIME_DIR/steve/jobserver
    spawn "$STEVED" --mount "${SERVER%/*}" "$@" 2>>"$BATS_TEST_TMPDIR/steved.log"
    STEVED_PID=$spawned
    wait_for 10 is_served_below "$STEVED_PID" 2>/dev/null
}

# ninja_of N TOOL [ARGUMENT...]: a build of so many jobs, at the user's steved, in the background; sets `build`.
ninja_of() {
    local i count=$1
    shift
    { printf 'rule job\n  command = ./%s $out %s\n' "$1" "${*:2}"
        for ((i = 1; i <= count; i++)); do
            echo "build $1$i: job"
        done; } >build.ninja
    MAKEFLAGS=" -j8 --jobserver-auth=fifo:$SERVER" NINJA_SHIM_REAL=$(command -v ninja) \
        spawn bash -c "exec $gate>&-"' && exec "$NINJA_SHIM" -j32' >said 2>&1
    build=$spawned
}

# ends_down_to N TOOL: for wait_for. One of them ends, when the one before has. A start is the last that was heard:
# after an end, another one may be on its way.
ends_down_to() {
    local lines running last
    read -r lines running last < <(awk '{ $1 == "start" ? n++ : n--; last = $1 } END { print NR, n, last }' "$2.log")
    [ "$running $last" = "$1 start" ] || {
        [ "$lines" = "${ended-}" ] || { ended=$lines && let_end 1; }
        false
    }
}

@test 'the server ends for good while jobs hold class tokens: the next one counts them' {
    require ninja
    next_steved --jobs 1 --class remote=3
    ninja_of 16 icecc g++ -c a.cc
    wait_for 20 runs icecc 3
    steved_has held 0
    kill_steved
    # Only then it is noticed.
    let_end 1
    wait_for 10 grep -q 'going on with one job at a time' said
    wait_for 10 runs icecc 2
    next_steved --jobs 1 --class remote=1
    wait_for 10 grep -q "tokens come from fifo:$SERVER now" said
    wait_for 10 steved_has remote.held 1
    # One has no token there. It runs on, and nothing follows it.
    wait_for 20 ends_down_to 1 icecc
    wait_for 20 steved_has remote.held 1
    steved_has held 0
    set_remote 4
    wait_for 20 runs icecc 4
    steved_has remote.held 4
    # The keeper has them, too.
    kill -KILL "$(sidecar)"
    status_of "$build"
    [ "$status" != 0 ]
    runs icecc 4
    steved_has remote.held 4
    let_end 3
    wait_for 10 steved_has remote.held 1
    let_end 1
    all_back 1 remote=4
    [ "$(steved_get remote.dropped)" = 0 ]
}

@test 'a server without classes, and then one that has some: jobs that wait already have them' {
    require ninja
    local kind
    for kind in ptrace seccomp; do
        rm -f icecc.log
        next_steved --jobs 2
        NINJA_SHIM_GATE=$kind ninja_of 16 icecc g++ -c a.cc
        wait_for 20 runs icecc 2
        kill_steved
        let_end 1
        wait_for 10 grep -q 'going on with one job at a time' said
        next_steved --jobs 2 --class remote=3
        wait_for 20 steved_has remote.held 3
        # One is of the cpu, as it was.
        wait_for 20 runs icecc 4
        steved_has held 1
        # And a server without any again.
        kill_steved
        let_end 1
        wait_for 10 eval '[ "$(grep -c "going on with one job at a time" said)" = 2 ]'
        next_steved --jobs 5
        wait_for 20 ends_down_to 5 icecc
        wait_for 20 steved_has held 5
        let_end 16
        status_of "$build"
        [ "$status" = 0 ]
        all_back 5
        stop "$STEVED_PID"
        while read -r -t 0 -u "$gate"; do
            read -r -u "$gate"
        done
    done
}

@test 'below a jobwrap the classes belong to another server: they go, and come back' {
    next_steved --jobs 2 --class remote=3
    lines 20 icecc 'g++ -c a.cc'
    spawn bash -c "exec $gate>&-"' && exec "$0" -- "$1" --jobs-of=xargs -- xargs -P32 -I{} sh -c "{}" <lines' \
        "$JOBWRAP" "$JOBGATE" 2>said
    build=$spawned
    wait_for 20 runs icecc 3
    steved_has remote.held 3
    kill_steved
    let_end 1
    # What jobwrap has, at most two, joins what is left of the class. It may do so before the line is read, so whose
    # job has ended is open.
    wait_for 20 eval '(($(grep -c ^start icecc.log) > 3))'
    [ "$("$STAMP" --living icecc.log)" -le 5 ]
    next_steved --jobs 2 --class remote=5
    wait_for 20 steved_has remote.held 5
    [ "$(steved_get held)" -le 2 ]
    let_end 20
    status_of "$build"
    [ "$status" = 0 ]
    all_back 2 remote=5
    [ "$(steved_get remote.dropped)" = 0 ]
}

@test 'a file of rules' {
    serve --jobs 2 --class slow=1
    echo 'slow besides tool # ours' >rules
    lines 3 tool
    jobs_of_xargs --class-rules=rules
    wait_for 20 runs tool 1
    steved_has held 1
    let_end 3
    wait "$spawned"
    LOG=tool.log exactly 1 3
    echo 'slow beside tool' >rules
    run -2 "$JOBGATE" --class-rules=rules --jobs-of=xargs true
    [ "$output" = "jobgate: rules:1: 'beside' is neither 'instead' nor 'besides'" ]
    # What others around us have named may vanish or be changed in the middle of a build, which goes on.
    for named in none rules; do
        run -0 env JOBWRAP_CLASS_RULES="$PWD/$named" "$JOBGATE" --jobs-of=xargs -- echo runs
        [[ $output == "jobgate: "*"; only the built-in rules count"*runs ]]
    done
}

@test 'the classes are those of the server that is there, whatever an old environment says' {
    serve --jobs 1 --class remote=3
    lines 5 icecc 'g++ -c a.cc'
    export JOBWRAP_CLASSES=$PWD/gone/
    jobs_of_xargs
    wait_for 20 runs icecc 3
    let_end 5
    wait "$spawned"
    LOG=icecc.log exactly 3 5
    # Nor has a server classes because another one has.
    export JOBWRAP_CLASSES=${SERVER%jobserver}
    serve --jobs 1
    rm icecc.log
    jobs_of_xargs
    wait_for 20 runs icecc 1
    let_end 5
    wait "$spawned"
    LOG=icecc.log exactly 1 5
    run -0 "$JOBWRAP" -- sh -c 'echo "<$JOBWRAP_CLASSES>"'
    [ "$output" = '<>' ]
}

@test 'below a jobwrap with classes of its own' {
    unset MAKEFLAGS
    echo 'slow besides tool' >rules
    lines 3 ld a.o
    lines 3 tool
    lines 3 icecc 'g++ -c a.cc'
    spawn bash -c "exec $gate>&-"' && exec "$@"' - \
        "$JOBWRAP" -j9 --parent=none --class link=1 --class slow=2 --class remote=3 --class-rules=rules -- \
        sh -c '[ "$JOBWRAP_CLASS_RULES" = "$PWD/rules" ] &&
            "$JOBGATE" --jobs-of=xargs -- xargs -P32 -I{} sh -c "{}" <lines'
    wait_for 20 runs ld 1
    wait_for 20 runs tool 2
    wait_for 20 runs icecc 3
    let_end 9
    wait "$spawned"
    LOG=ld.log exactly 1 3
    LOG=tool.log exactly 2 3
    LOG=icecc.log exactly 3 3
    run -2 "$JOBWRAP" --class-rules=none -- true
    [ "$output" = "jobwrap: --class-rules: 'none': No such file or directory" ]
}
