#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Jobs at the gate wait for memory: builds that need more than there is, in a control group of their own.
# needs_the_plain_build: a sanitizer's own memory is not that of a compiler.

# shellcheck disable=SC2016 # what single quotes hold is for another shell
# shellcheck disable=SC2154 # common.bash sets spawned, run sets status
load ../lib/bash/common
load ../lib/bash/shim
load ../lib/bash/memory

setup() {
    shim_setup
    memory_setup
    : "${JOBGATE:=$BUILD/ninja-shim/jobgate}"
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
    run ! kills_are 0
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

@test 'a job that has come to its end before a look is remembered with all that it had' {
    use_ninja 1.11
    jobs one -DMIB=90 two -DMIB=90
    limited_to 256
    below_fifo 0
    limited "$NINJA_SHIM"
    wait_for 10 gate_has_gone
    run -0 "$JOBWRAP" --memory-history
    echo "$output"
    [ "$(awk '$NF ~ /^(one|two).o$/ && $1 >= 90 && $1 < 100' <<<"$output" | wc -l)" = 2 ]
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

@test 'what a copy has lived through does not end the job in another way' {
    printf '%s\n' '#!/bin/sh' 'grep -qx gcc "/proc/$PPID/comm" && kill -TERM "$PPID" && exit 5' >bin/gcc
    chmod +x bin/gcc
    echo "$PWD/bin/gcc -DTERM -c a.c -o a.o" >commands
    limited_to 600
    below_fifo 1
    limited "$JOBGATE" --jobs-of=python3 python3 "$LIB/run-each" commands started >gated </dev/zero
    [ "$(cut -d' ' -f1,2 gated)" = '-DTERM 5' ]
    all_back 1
}

@test '^C while a job is put off: all end, and nothing is left' {
    use_ninja 1.11
    jobs first '-DMIB=150 -DMS=500 -DHOLD_MS=60000' second '-DMIB=150 -DMS=800'
    limited_to 256
    below_fifo 3
    limited "$NINJA_SHIM" >said 2>&1 &
    wait_for 60 grep -qs 'put off' said
    kill -INT "$(in_group ninja)"
    status=0
    wait "$!" || status=$?
    [ "$status" = 2 ] || [ "$status" = 130 ]
    wait_for 10 gate_has_gone
    all_back 3
    kills_are 0
    run ! grep -q "^end [fs]" "$LOG"
}

@test 'a killed compiler leaves no temporary file' {
    use_ninja 1.11
    jobs first '-DMIB=150 -DMS=500 -DHOLD_MS=800' second '-DMIB=150 -DMS=800 -DTEMPORARY'
    limited_to 256
    below_fifo 3
    mkdir temporaries # no other compiler's
    run -0 limited env TMPDIR="$PWD/temporaries" "$NINJA_SHIM"
    [[ $output == *'second.o needed '*' put off'* ]]
    [ -z "$(ls temporaries)" ]
}

@test 'the sidecar is killed while a job is put off: no stopped process is left, and no token' {
    use_ninja 1.11
    jobs first '-DMIB=150 -DMS=500 -DHOLD_MS=2000' second '-DMIB=150 -DMS=800'
    limited_to 256
    below_fifo 3
    limited "$NINJA_SHIM" >said 2>&1 &
    wait_for 60 grep -qs 'put off' said
    kill -KILL "$(in_group jobgate)"
    status=0
    wait "$!" || status=$?
    [ "$status" = 137 ]
    wait_for 10 gate_has_gone
    all_back 3
    # What ran has run on.
    [ "$(grep -c '^end first' "$LOG")" = 1 ]
    run ! grep -q '^end second' "$LOG"
}

@test 'the report of jobwrap: what was used, what was done for it, and what would have been' {
    use_ninja 1.11
    tree 4 80 500 6
    limited_to 256
    run -0 limited "$JOBWRAP" -j6 --parent=none --report "$NINJA_SHIM"
    [[ $output == *'jobwrap: memory of all jobs: at most '*' MiB'*'jobwrap: jobs waited for memory: '*' s; put off and run again: '[1-9]*'; stopped for a time: 0'* ]]
    again
    limited "$JOBWRAP" -j6 --parent=none --report=report "$NINJA_SHIM"
    kills_are 0
    python3 - report <<-'END'
		import json, sys
		report = json.load(open(sys.argv[1]))
		memory, mib = report["memory"], 1 << 20
		assert 150 * mib < memory["peak_bytes"] < 256 * mib, report
		# All four at once.
		assert 320 * mib < memory["unheld_peak_bytes"] < 400 * mib, report
		assert 0.3 < memory["waited_s"] < report["wall_s"], report
		assert memory["put_off"] == memory["stopped"] == 0, report
		assert 2 <= report["highest_jobs"] <= 6, report
	END
}

@test 'a build fails while a job is being put off: it ends, and shows that failure alone' {
    use_ninja 1.11
    # The failure is seen before the memory of the other job, which is large, has gone.
    printf '%s\n' 'rule fail' "  command = until grep -qs 'put off' said; do :; done; exit 7" 'build failed: fail' \
        'rule cc' "  command = $PWD/bin/cc -DMIB=1200 -DMS=1200 -c \$in -o \$out" >build.ninja
    for name in one two three; do
        echo "build $name.o: cc $name.c || failed_begun" >>build.ninja
        : >"$name.c"
    done
    printf '%s\n' 'rule sleep' '  command = sleep 0.1' 'build failed_begun: sleep' >>build.ninja
    limited_to 1024
    below_fifo 1
    status=0
    limited timeout 100 "$NINJA_SHIM" >said 2>&1 || status=$?
    [ "$status" = 1 ]
    [ "$(grep -c '^FAILED' said)" = 1 ]
    all_back 1
}

@test 'one job alone does not fit: the message says what it had' {
    use_ninja 1.11
    jobs large '-DMIB=200 -DMS=500'
    limited_to 128
    below_fifo 3
    run -1 limited "$NINJA_SHIM"
    [[ $output == *'ninja-shim: large.o failed when it had '*' MiB of 128 MiB, and nothing ran beside it: one job alone does not fit'* ]]
    run ! kills_are 0
}

@test '^C to a large job that runs alone: it is not said that it does not fit' {
    use_ninja 1.11
    mkfifo never
    jobs large '-DMIB=110 -DMS=100 -DLINE=never'
    limited_to 128
    below_fifo 3
    limited "$NINJA_SHIM" >said 2>&1 &
    local build=$!
    # It is opened when the job, which has grown, reads from it.
    spawn sh -c 'exec 3>never && : >has_grown && sleep 100'
    wait_for 60 test -e has_grown
    kill -INT "$(in_group ninja)"
    status=0
    wait "$build" || status=$?
    [ "$status" != 0 ]
    run ! grep 'does not fit' said
    kills_are 0
}

@test '--memory=off and JOBWRAP_MEMORY=off: nothing waits; what makes no sense is refused' {
    limited_to 256
    below_fifo 5
    use_ninja 1.11
    tree 5 70 800 0
    JOBWRAP_MEMORY=off run limited "$NINJA_SHIM"
    [ "$status" != 0 ]
    run ! kills_are 0
    [ ! -e "$XDG_CACHE_HOME/jobwrap" ]
    JOBWRAP_MEMORY=much run -2 "$NINJA_SHIM"
    [ "$output" = "ninja-shim: JOBWRAP_MEMORY: 'much' is not auto, on or off" ]
    run -2 "$JOBGATE" --memory=much --jobs-of=xargs true
    [ "${#lines[@]}" = 1 ]
}

@test 'what must not run twice is stopped, and goes on' {
    use_ninja 1.11
    for NINJA_SHIM_GATE in $SHIM_GATES; do
        export NINJA_SHIM_GATE
        rm -rf "$XDG_CACHE_HOME/jobwrap" .ninja_*
        once_known 300
        run -0 limited "$NINJA_SHIM"
        kills_are 0
        [[ $output == *'second.o has '*' MiB and is stopped until there is memory again'* ]]
        [ "$(grep -c ^start "$LOG")" = 3 ]
        all_back 3
        again
        rmdir "$GROUP"
    done
    GROUP=
}

@test 'a job that waits for one which does not fit beside it does not wait for ever' {
    use_ninja 1.11
    jobs first '-DMIB=150 -DMS=100' second '-DMIB=150 -DMS=100'
    known 256
    jobs first '-DLINE=made' second '-DMIB=150 -DMS=100'
    mkfifo made
    spawn limited "$NINJA_SHIM" >said 2>&1
    wait_for 40 test -e second.o
    echo >made
    status_of "$spawned"
    [ "$status" = 0 ]
    kills_are 0
    all_back 5
    grep -q '^start first' "$LOG"
    run ! grep -q 'put off' said
}

@test '^C, and the end of the sidecar, while a job is stopped: nothing stopped is left' {
    use_ninja 1.11
    for NINJA_SHIM_GATE in $SHIM_GATES; do
        export NINJA_SHIM_GATE
        rm -rf "$XDG_CACHE_HOME/jobwrap" .ninja_*
        once_known 1000
        for killed in 'INT ninja' 'KILL jobgate'; do
            echo "$NINJA_SHIM_GATE: $killed"
            rm -f said
            limited "$NINJA_SHIM" >said 2>&1 &
            wait_for 60 grep -qs 'is stopped' said
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

# as_before DIRECTORY: as if nothing had been built there. What is known to be small is not copied.
as_before() {
    rm -rf "$LOG" "$1"/[0-9]* "$1"/.ninja_* "$XDG_CACHE_HOME/jobwrap"
}

@test '^Z and fg with copies: what runs ends meanwhile, as without the gate, and the rest follows' {
    mkdir tree
    mkfifo go
    limited_to 600
    for version in $SHIM_NINJAS; do
        use_ninja "$version"
        below_fifo 1
        {
            printf 'rule cc\n  command = exec %s $copy -DLINE=../go -c in.c -o $out\n' "$PWD/bin/cc"
            printf 'build %d: cc\n' {1..12}
        } >tree/build.ninja
        as_before tree
        "$LIB/terminal/ninja-terminal" suspend 2 "MAKEFLAGS= $REAL -j2 -C tree" "$LOG" >alone
        as_before tree
        # What its shell has become is then the child of a shell, not of ninja.
        sed -i 's/\$copy/-DCOPY/' tree/build.ninja
        limited "$LIB/terminal/ninja-terminal" suspend 12 "$NINJA_SHIM -C tree" "$LOG" >gated
        diff alone gated
        [ "$(grep -c '^end' "$LOG")" = 12 ]
        wait_for 10 all_back 1
    done
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

# pair HEAVY MIB MS LIGHT: two trees, and ./pair COMMAND..., which builds both at once and says who failed.
pair() {
    local name
    for name in one two; do
        mkdir -p "$name"
        (cd "$name" && ln -sfn ../bin bin && tree "$@")
    done
    cat >pair <<'END'
#!/bin/sh
(cd one && exec "$@") & one=$!
(cd two && exec "$@") & two=$!
wait "$one" || { echo "one: $?"; failed=1; }
wait "$two" || { echo "two: $?"; failed=1; }
exit "${failed-0}"
END
    chmod +x pair
}

# pair_again: what they have learnt stays.
pair_again() {
    wait_for 10 gate_has_gone
    rm -f {one,two}/*.o {one,two}/.ninja_* "$LOG"
}

@test 'two builds, each of which alone would fit: under one steved, one jobwrap, nested jobwraps' {
    local server
    use_ninja 1.11
    limited_to 256
    pair 2 80 500 2
    MAKEFLAGS='' run limited ./pair "$REAL" -j6
    [ "$status" != 0 ]
    run ! kills_are 0
    rmdir "$GROUP"
    limited_to 256
    start_steved --jobs 8
    export NINJA_SHIM_REAL=$REAL
    for server in steved jobwrap nested; do
        echo "# $server"
        pair_again
        case $server in
        steved) MAKEFLAGS="--jobserver-auth=fifo:$SERVER" run -0 limited ./pair "$NINJA_SHIM" ;;
        jobwrap) run -0 limited "$JOBWRAP" -j8 --parent=none ./pair "$NINJA_SHIM" ;;
        nested) run -0 limited "$JOBWRAP" -j8 --parent=none ./pair "$JOBWRAP" "$NINJA_SHIM" ;;
        esac
        kills_are 0
    done
    wait_for 10 steved_has free 8
}

# held_up SERVER_FILE COMMAND...: a build waits for as long as somebody claims all memory, and no longer.
held_up() {
    local liar
    SERVER=$1
    shift
    spawn python3 "$LIB/memory_claims.py" "$SERVER"
    liar=$spawned
    wait_for 10 steved_has memory-running 1048576
    MAKEFLAGS="--jobserver-auth=fifo:$SERVER" spawn "$@"
    wait_for 20 steved_has memory-waiting 4
    [ ! -e "$LOG" ]
    run -0 "$STEVECTL" --server "$SERVER" status
    [[ $output == *$'\nin line         4   jobs that wait for memory\n'* ]]
    run -0 --separate-stderr "$STEVECTL" --server "$SERVER" status --json
    [[ $output == *'"memory_waiting":4,'* ]]
    stop "$liar" KILL
    status_of "$spawned"
    [ "$status" = 0 ]
    [ "$(grep -c '^end' "$LOG")" = 4 ]
    wait_for 10 steved_has memory-running 0
    [ "$(steved_get memory-waiting)" = 0 ]
    rm -f ./*.o .ninja_* "$LOG"
}

@test 'who claims all memory stops others for as long as it lives, and no longer' {
    use_ninja 1.11
    tree 0 0 0 4
    start_steved --jobs 8
    # What nobody knows anything of is not asked for where there is plenty.
    MAKEFLAGS="--jobserver-auth=fifo:$SERVER" "$NINJA_SHIM"
    rm -f ./*.o .ninja_* "$LOG"
    held_up "$SERVER" "$NINJA_SHIM"
    spawn "$JOBWRAP" -j8 --parent=none sh -c 'printf %s "$JOBWRAP_FIFO" >fifo; exec sleep 60'
    wait_for 10 test -s fifo
    held_up "$(cat fifo)" "$NINJA_SHIM"
}

@test 'a gate in a job of a gate does not wait for that job' {
    use_ninja 1.11
    limited_to 256
    start_steved --jobs 4
    export MAKEFLAGS="--jobserver-auth=fifo:$SERVER"
    mkdir sub
    (cd sub && ln -s ../bin bin && tree 1 225 300 0)
    printf 'rule sub\n  command = cd sub && %s\nbuild sub.o: sub\n' "$NINJA_SHIM" >build.ninja
    # The second time it is known that it does not fit beside anything.
    for _ in first second; do
        run -0 timeout -s KILL 120 sh -c 'echo 0 >"$1/cgroup.procs" && exec "$2"' sh "$GROUP" "$NINJA_SHIM"
        kills_are 0
        wait_for 10 gate_has_gone
        rm -f sub/*.o sub/.ninja_* .ninja_*
    done
}
