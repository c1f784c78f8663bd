#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Launchers of compile farms below make: they take a token of the farm, and lend that of the cpu meanwhile. The farm is
# a program of the test. LAUNCHER_KILLS: how many are killed at random (by default 40, and 20).

# shellcheck disable=SC2016 # what single quotes hold is for another shell, or make's
# shellcheck disable=SC2154 # common.bash sets spawned, gate and SERVER, run sets status
load ../lib/bash/common

setup() {
    common_setup
    cd "$BATS_TEST_TMPDIR" || return
    export LOG=$PWD/log JOBWRAP_MEMORY=off
    [ -e "$BUILD/jobwrap/shims/launchers/icecc" ] || skip 'the shims are not built'
    mkfifo gate
    exec {gate}<>gate
    mkdir farm
    # Each a job that runs until the test lets it end, and logs to a file of its tool's name.
    for tool in farm/icecc tool; do
        printf '#!/bin/sh\nfor name; do :; done\nexec "%s" "%s" "$name" -- sh -c "read -r _ <gate"\n' \
            "$STAMP" "$PWD/${tool#farm/}.log" >$tool
        chmod +x $tool
    done
    PATH=$PWD/farm:$PATH
}

# farm_says SCRIPT: an icecc that runs this.
farm_says() {
    printf '#!/bin/sh\n%s\n' "$1" >farm/icecc
}

# makefile TARGETS...: rN runs on the farm, lN here.
makefile() {
    printf 'all: %s\nr%%:; @icecc g++ -c $@.cc\nl%%:; @./tool $@\n' "$*" >Makefile
}

# spawn_build OPTION... -- COMMAND...: a root, without the gate's other end.
spawn_build() {
    spawn bash -c "exec $gate>&-"' && exec "$@"' - "$JOBWRAP" --parent=none "$@"
}

# runs TOOL N: so many jobs of it now, for wait_for.
runs() {
    lives_jobs "$2" "$1.log"
}

# below OPTION... -- SCRIPT: what a root jobwrap's command says. Nobody lends but who is the command's child.
below() {
    run --separate-stderr "$JOBWRAP" --parent=none "$@"
}

# child_sleeps PID: for wait_for.
child_sleeps() {
    [ "$(ps -o s= --ppid "$1")" = S ]
}

# has_children N FILE: so many, of the process that the file names.
has_children() {
    [ "$(pgrep -c -P "$(<"$2")")" = "$1" ]
}

PARENT_OF_REAL='basename "$(readlink /proc/$PPID/exe)"'

# The build, which had two tokens: none was lost, and none made.
ends_well() {
    local expected
    status_of "$spawned" 120
    [ "$status" = 0 ]
    for expected in '"lost":0' '"dropped":0' '"highest_jobs":2'; do
        grep -q "$expected" report
    done
}

# shows_the_farm TRACE: four jobs, r1.cc to r4.cc, were there for a time, and the others were not.
shows_the_farm() {
    "$LIB/check-trace" "$1"
    for name in r1 r2 r3 r4; do
        grep -q '"ph":"E".*"name":"'$name'.cc".*"class":"remote"' "$1"
    done
    [ "$(grep -c '"ph":"X".*"name":"remote",.*"cat":"class"' "$1")" = 4 ]
    [ "$(grep -c '"class":"remote"' "$1")" = 4 ]
}

@test 'the farm is full, and no more jobs run here than there are tokens' {
    makefile r{1..8} l{1..4} r{9..12} l{5..8}
    spawn_build -j2 --class remote=8 --report=report -- make
    wait_for 60 runs icecc 8
    wait_for 60 runs tool 2
    let_end 20
    ends_well
    "$LIB/concurrency" --expect-exactly 8 --expect-jobs 12 icecc.log
    "$LIB/concurrency" --expect-exactly 2 --expect-jobs 8 tool.log
    tr -d ' \n' <report | grep -q '"classes":{"remote":{"mean_jobs":[0-9.]*,"highest_jobs":8}}'
}

@test 'the farm is full, and jobs that need none of it begin all the same' {
    makefile r{1..4} l{1..2} r{5..8}
    spawn_build -j2 --class remote=1 --report=report -- make
    wait_for 60 runs icecc 1
    wait_for 60 runs tool 2
    runs icecc 1
    let_end 10
    ends_well
    "$LIB/concurrency" --expect-exactly 1 --expect-jobs 8 icecc.log
    "$LIB/concurrency" --expect-exactly 2 --expect-jobs 2 tool.log
}

@test 'make has a gate for memory, or for a trace: its jobs lend all the same' {
    makefile r{1..4} l{1..2}
    JOBWRAP_MEMORY=on spawn_build -j2 --class remote=4 -- make
    wait_for 60 runs icecc 4
    wait_for 60 runs tool 2
    let_end 6
    status_of "$spawned" 120
    [ "$status" = 0 ]
    rm icecc.log tool.log
    JOBWRAP_MEMORY=auto spawn_build -j2 --class remote=4 --trace=t.json --report=r.html -- make
    wait_for 60 runs icecc 4
    wait_for 60 runs tool 2
    let_end 6
    status_of "$spawned" 120
    [ "$status" = 0 ]
    shows_the_farm t.json
    grep -q '<dt>Jobs at once of class remote</dt><dd>[0-9.]* on average, 4 at most<' r.html
}

@test 'who holds a token of the cpu and waits for the farm is served when the farm has no jobs any more' {
    makefile r{1..6}
    mkfifo go
    spawn_build -j2 --class remote=1 -- sh -c 'make & read -r _ <>go; "$STEVECTL" set remote.jobs=0; wait $!'
    wait_for 60 runs icecc 1
    echo 1<>go
    wait_for 60 runs icecc 3
    let_end 6
    status_of "$spawned" 120
    [ "$status" = 0 ]
    "$LIB/concurrency" --expect-exactly 3 --expect-jobs 6 icecc.log
    rm icecc.log
    spawn_build -j2 --class remote=0 -- make
    wait_for 60 runs icecc 2
    let_end 6
    status_of "$spawned" 120
    "$LIB/concurrency" --expect-exactly 2 --expect-jobs 6 icecc.log
}

@test 'the farm is away for a moment: jobs that have not begun here by then go there' {
    makefile r{1..6}
    mkfifo go
    exec {go}<>go
    spawn_build -j2 --class remote=1 -- sh -c 'make & echo $! >make; read -r _ <go; "$STEVECTL" set remote.jobs=0
        read -r _ <go; "$STEVECTL" set remote.jobs=4; wait $!'
    wait_for 60 runs icecc 1
    wait_for 60 has_children 6 make
    echo >&"$go"
    wait_for 60 runs icecc 3
    echo >&"$go"
    wait_for 60 runs icecc 6
    let_end 6
    status_of "$spawned" 120
    [ "$status" = 0 ]
}

@test 'what the real program reads, says, and exits with is as without us' {
    farm_says 'cat; echo "$*" >&2; exit "${CODE-0}"'
    below --class remote=1 -- sh -c 'echo in | CODE=7 icecc gcc -c "a b.c"; echo $?'
    [ "$output" = $'in\n7' ]
    [ "$stderr" = 'gcc -c a b.c' ]
    farm_says 'kill -s "$SIGNAL" $$'
    for signal in TERM INT HUP KILL; do
        SIGNAL=$signal below --class remote=1 -- sh -c 'icecc gcc -c a.c; exit 0'
        SIGNAL=$signal below --class remote=1 -- \
            python3 -c 'import subprocess as s; print(s.run(["icecc", "gcc", "-c", "a.c"]).returncode)'
        [ "$output" = "-$(kill -l $signal)" ]
    done
    farm_says 'trap "echo asked; exit 3" TERM; echo ready >&2; while :; do sleep 0.01; done'
    below --class remote=1 -- sh -c 'icecc gcc -c a.c 2>ready & until [ -s ready ]; do sleep 0.01; done
        kill $!; wait $!; echo $?'
    [ "$output" = $'asked\n3' ]
    cp farm/icecc farm/recc
    below --class remote=1 -- bash -c 'rm farm/recc; recc gcc -c a.c; echo $?'
    [ "$output" = 127 ]
}

@test 'only what compiles takes tokens, and only where there are some' {
    farm_says "$PARENT_OF_REAL"
    below --class remote=1 -- bash -c 'icecc gcc -c a.c; true'
    [ "$output" = launcher-shim ]
    for arguments in --version 'gcc --version' 'gcc -E a.c' 'gcc -c -E a.c' 'g++ -o prog a.o' ''; do
        below --class remote=1 -- bash -c "icecc $arguments; true"
        [ "$output" = bash ]
    done
    below --class link=1 -- bash -c 'icecc gcc -c a.c; command -v icecc'
    [ "$output" = "bash"$'\n'"$PWD/farm/icecc" ]
    below --class remote=0 -- bash -c 'icecc gcc -c a.c; true'
    [ "$output" = bash ]
    below --class remote=1 --no-shims -- bash -c 'icecc gcc -c a.c; true'
    [ "$output" = bash ]
    # A gate has seen to it.
    JOBWRAP_CLASS_GATE=1 below --class remote=1 -- bash -c 'JOBWRAP_CLASS_GATE=1 icecc gcc -c a.c; true'
    [ "$output" = bash ]
    JOBWRAP_CLASS_GATE=1 below --class remote=1 -- bash -c 'icecc gcc -c a.c; true'
    [ "$output" = launcher-shim ]
}

@test 'the classes are those of the server that is there, whatever an old environment says' {
    farm_says "$PARENT_OF_REAL"
    start_steved --jobs 2 --class remote=1
    with_classes=$SERVER
    start_steved --jobs 2
    below --class remote=1 -- bash -c '"$JOBWRAP" --parent "$1" --no-shims -- bash -c "icecc gcc -c a.c; true"
        export MAKEFLAGS=" -j --jobserver-auth=fifo:$1" JOBWRAP_CLASSES=${2%jobserver}
        icecc gcc -c a.c
        MAKEFLAGS=" -j --jobserver-auth=fifo:$2" JOBWRAP_CLASSES=$PWD/gone/ icecc gcc -c a.c' - "$SERVER" "$with_classes"
    [ "$output" = $'bash\nbash\nlauncher-shim' ]
}

@test 'the file of rules vanishes in the middle of a build' {
    farm_says "$PARENT_OF_REAL"
    echo 'remote instead tool' >rules
    below --class remote=1 --class-rules rules -- bash -c 'icecc gcc -c a.c; rm rules; icecc gcc -c a.c; echo $?'
    [ "$output" = $'bash\nlauncher-shim\n0' ]
    [ -z "$stderr" ]
}

@test 'a prefix of ccache, a wrapper of rustc, and compilers that are links' {
    for name in distcc recc sccache; do
        cp farm/icecc farm/$name
    done
    for name in icecc distcc recc sccache; do
        printf '#!/bin/sh\necho "$(basename "$(readlink /proc/$PPID/exe)") $0 $*"\n' >farm/$name
    done
    below --class remote=1 -- bash -c 'CCACHE_PREFIX=icecc; $CCACHE_PREFIX g++ -c a.cc; true'
    [ "$output" = "launcher-shim $PWD/farm/icecc g++ -c a.cc" ]
    below --class remote=1 -- bash -c 'sccache rustc -vV; sccache rustc --crate-name a --emit=obj a.rs; distcc -c a.c; true'
    [ "${lines[0]}" = "bash $PWD/farm/sccache rustc -vV" ]
    [ "${lines[1]}" = "launcher-shim $PWD/farm/sccache rustc --crate-name a --emit=obj a.rs" ]
    [ "${lines[2]}" = "launcher-shim $PWD/farm/distcc -c a.c" ]
    # As where icecc and distcc are installed: links, before the compilers.
    mkdir links bin
    ln -s ../farm/icecc links/g++
    ln -s ../farm/distcc links/cc
    cp farm/recc bin/gcc
    PATH=$PWD/links:$PWD/bin:$PATH below --class remote=1 -- bash -c 'g++ -c a.cc; cc -c a.c; gcc -c a.c; g++ a.o; true'
    [ "${lines[0]}" = "launcher-shim $PWD/links/g++ -c a.cc" ]
    [ "${lines[1]}" = "launcher-shim $PWD/links/cc -c a.c" ]
    [ "${lines[2]}" = "bash $PWD/bin/gcc -c a.c" ]
    [ "${lines[3]}" = "bash $PWD/links/g++ a.o" ]
    # Nothing is found that was not there.
    PATH=$PWD/links:$PATH below --class remote=1 -- bash -c 'command -v g++ cc gcc sccache icecc'
    [[ ${lines[0]} == */shims/* && ${lines[1]} == */shims/* && ${lines[2]} != */shims/* ]]
    rm farm/sccache
    below --class remote=1 -- bash -c 'command -v icecc g++ sccache'
    [[ ${lines[0]} == */shims/* && ${lines[1]} != */shims/* && ${lines[2]} != */shims/* ]]
    # Below a jobwrap that has done it, PATH stays as it is.
    PATH=$PWD/links:$PATH below --class remote=1 -- bash -c 'echo "$PATH"; exec "$JOBWRAP" -- bash -c "echo \"\$PATH\""'
    [ "${lines[0]}" = "${lines[1]}" ]
}

# A shell plays distcc: what it is told to run says by what it was called, and which cc it finds.
@test 'whoever stands before a compiler finds its own link first, and then the compiler' {
    local says='echo "$0 $(command -v cc)"'
    mkdir links
    cp "$(command -v bash)" farm/distcc
    ln -s ../farm/distcc links/cc
    export PATH=$PWD/links:$PATH
    below --class remote=1 -- bash -c 'cc -c "$1"; "$(command -v cc)" -c "$1"; distcc -c "$1"' - "$says"
    [ "${lines[0]}" = "cc $PWD/links/cc" ]
    [ "${lines[1]}" = "$PWD/links/cc $PWD/links/cc" ]
    [ "${lines[2]}" = "distcc $PWD/links/cc" ]
    # When nothing is compiled, too, and with empty names on PATH, which are the directory where one is.
    PATH=:$PATH:: below --class remote=1 -- bash -c 'cc -c "command -v cc; echo \$PATH" -M'
    [ "${lines[0]}" = "$PWD/links/cc" ]
    [[ ${lines[1]} == *:: && ${lines[1]} != */compilers/* && ${lines[1]} != */launchers/* ]]
}

@test 'below a steved with classes, and in a jobwrap in a jobwrap' {
    makefile r{1..4} l{1..3}
    start_steved --jobs 2 --class remote=4
    JOBWRAP_MEMORY=auto spawn bash -c "exec $gate>&-"' && exec "$@"' - \
        "$JOBWRAP" --parent "$SERVER" -j2 --report=r.html -- "$JOBWRAP" --trace=t.json -- make
    wait_for 60 runs icecc 4
    wait_for 60 runs tool 2
    [ "$(steved_get remote.held)" = 4 ]
    [ "$(steved_get held)" = 2 ]
    let_end 7
    status_of "$spawned" 120
    [ "$status" = 0 ]
    "$LIB/concurrency" --expect-exactly 4 --expect-jobs 4 icecc.log
    "$LIB/concurrency" --expect-exactly 2 --expect-jobs 3 tool.log
    # The inner one has told the outer one.
    shows_the_farm t.json
    grep -q '<dt>Jobs at once of class remote</dt><dd>[0-9.]* on average, 4 at most<' r.html
    wait_for 30 steved_has free 2
    wait_for 30 steved_has remote.free 4
}

@test 'what is lent goes to whoever needs it, in another build too' {
    start_steved --jobs 1 --class remote=2
    makefile r1
    spawn bash -c "exec $gate>&-"' && exec "$@"' - "$JOBWRAP" --parent "$SERVER" -- make
    wait_for 60 runs icecc 1
    # Another build, while the only job of the first one runs elsewhere.
    "$JOBWRAP" --parent "$SERVER" -- true
    let_end 1
    status_of "$spawned" 120
    [ "$status" = 0 ]
    wait_for 30 steved_has free 1
}

@test 'who goes on here waits for a token, though all that its build had went home' {
    mkfifo farm-gate
    exec {farm_gate}<>farm-gate
    farm_says 'echo $PPID >launcher; read -r _ <farm-gate'
    start_steved --jobs 1 --class remote=1
    # As below nohup, where a hangup ends nobody.
    spawn bash -c "exec $gate>&- $farm_gate>&-"' && exec "$@"' - "$JOBWRAP" --parent "$SERVER" -- \
        sh -c 'trap "" HUP; echo $$ >build; icecc g++ -c r1.cc; exec ./tool l1'
    first=$spawned
    wait_for 60 steved_has remote.held 1
    spawn bash -c "exec $gate>&-"' && exec "$@"' - "$JOBWRAP" --parent "$SERVER" -- ./tool l2
    wait_for 60 runs tool 1
    wait_for 60 test -s launcher
    kill -HUP "$(<launcher)"
    echo >&"$farm_gate"
    wait_for 60 steved_has remote.held 0
    wait_for 60 child_sleeps "$(<build)"
    let_end 2
    for pid in "$spawned" "$first"; do
        status_of "$pid" 120
        [ "$status" = 0 ]
    done
    "$LIB/concurrency" --expect-exactly 1 --expect-jobs 2 tool.log
    wait_for 30 steved_has free 1
}

@test 'the server ends for good while jobs run elsewhere, and another one comes' {
    mkfifo farm-gate
    exec {farm_gate}<>farm-gate
    farm_says 'read -r _ <farm-gate'
    start_steved --jobs 1 --class remote=2
    spawn bash -c "exec $gate>&- $farm_gate>&-"' && exec "$@"' - "$JOBWRAP" --parent "$SERVER" --report=report -- \
        sh -c 'icecc g++ -c r1.cc; ./tool l1; icecc g++ -c r2.cc' 2>said
    first=$spawned
    wait_for 60 steved_has remote.held 1
    # It has what was lent; then nobody has anything, but one job of each runs on.
    spawn bash -c "exec $gate>&-"' && exec "$@"' - "$JOBWRAP" --parent "$SERVER" -- ./tool l2
    wait_for 60 runs tool 1
    kill_steved
    echo >&"$farm_gate"
    wait_for 60 runs tool 2
    second=$spawned
    spawn "$STEVED" --mount "${SERVER%/*}" --jobs 1 --class remote=2 2>>steved.log
    wait_for 60 is_served_below "$spawned" 2>/dev/null
    wait_for 60 steved_has held 1
    let_end 1
    wait_for 60 runs tool 1
    echo >&"$farm_gate"
    let_end 1
    for pid in "$second" "$first"; do
        status_of "$pid" 120
        [ "$status" = 0 ]
    done
    wait_for 30 steved_has free 1
    wait_for 30 steved_has remote.free 2
    [ "$(steved_get dropped)" = 0 ]
    grep -q '"lost":0$' report
}

@test 'nobody lends more than there is, or twice, or what is not his' {
    below -j2 --class remote=8 -- python3 "$LIB/lenders.py"
    echo "$output" "$stderr"
    [ "$status" = 0 ]
}

# What its jobs had lent to others of them is more than there ever was.
@test 'a make is killed with all its jobs: no more tokens are lost than there were' {
    makefile r{1..12}
    mkfifo go
    spawn_build -j2 --class remote=12 --report=report -- \
        sh -c 'setsid make & echo $! >pid; wait; read -r _ <>go' 2>said
    wait_for 60 runs icecc 12
    kill -s KILL -- "-$(<pid)"
    wait_for 60 grep -q 'lost in the build' said
    echo 1<>go
    status_of "$spawned" 120
    [ "$status" = 0 ]
    grep -q '"lost":[12]$' report
}

@test 'a token is lost while all of the build are lent, and others have them' {
    : >said
    # shellcheck disable=SC2094 # it waits for what jobwrap says
    "$JOBWRAP" --parent=none -j2 --class remote=8 --report=report -- python3 "$LIB/lenders.py" said 2>said
    grep -q '"lost":1$' report
    grep -q '"dropped":0,' report
}

@test 'where tokens cannot move nobody lends, and no descriptor stays open' {
    farm_says 'exit 0'
    refused EAGAIN eventfd2
    run --separate-stderr -0 timeout 100 "${refused[@]}" "$JOBWRAP" --parent=none -j2 --class remote=1 --report=report -- bash -c '
        open_in_server() { ls /proc/$(ps -o ppid= $PPID | tr -d " ")/fd | wc -l; }
        at_first=$(open_in_server)
        for i in 1 2 3 4; do icecc gcc -c a.c || exit; done
        until [ "$(open_in_server)" -le $((at_first + 1)) ]; do sleep 0.01; done'
    [ "$(grep -c 'start the relay' <<<"$stderr")" = 1 ]
    grep -q '"dropped":0,' report
}

# The leak checker's tracer is a process of the launcher's program: if that is killed, the launcher waits for it for ever.
@test 'killed at random, by SIGKILL: both pools are exact afterwards' {
    without_leak_checker
    mkdir rounds
    "$LIB/launcher-rounds" --kills "${LAUNCHER_KILLS-40}" rounds
}

@test 'killed at random below a steved, the same' {
    without_leak_checker
    mkdir rounds
    start_steved --jobs 3 --class remote=4
    "$LIB/launcher-rounds" --kills "${LAUNCHER_KILLS-20}" --parent "$SERVER" rounds
}
