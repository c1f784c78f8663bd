#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# jobgate around programs that know no jobserver: each of their children is a job that waits for a token.

# shellcheck disable=SC2016 # what is in single quotes is another shell's

load ../lib/bash/common

setup() {
    common_setup
    : "${JOBGATE:=$BUILD/ninja-shim/jobgate}"
    cd "$BATS_TEST_TMPDIR" || return
    # LeakSanitizer does not work in what is traced: the command, and what starts the jobs.
    export ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0
    # By the last one nothing_is_left finds whatever has been started.
    export JOBGATE LOG=$BATS_TEST_TMPDIR/log JOBGATE_TEST=$BATS_TEST_TMPDIR
}

# --- what is left ---

# Those that have the test's mark in their environment, but for zombies and whoever asks.
processes_left() {
    local file
    for file in $(env -u JOBGATE_TEST grep -lszxF "JOBGATE_TEST=$JOBGATE_TEST" /proc/[0-9]*/environ); do
        file=${file#/proc/}
        [ "${file%/*}" = "$BASHPID" ] || echo "${file%/*}"
    done
}

nothing_is_left() {
    [ -z "$(processes_left)" ]
}

# All tokens are back, the gate has gone, and nobody was left behind, stopped or not.
all_is_well() {
    wait_for 10 fifo_has "$PARENT" "$TOKENS"
    wait_for 10 nothing_is_left || { ps -o pid,stat,args -p "$(processes_left | paste -sd,)" && false; }
    fifo_has "$PARENT" "$TOKENS"
}

# highest OPTION...: of the jobs' stamps.
highest() {
    "$LIB/concurrency" "$@" "$LOG"
}

# sidecar: the process that keeps the gate of this test.
sidecar() {
    local pid
    for pid in $(processes_left); do
        [ "$(cat "/proc/$pid/comm")" != jobgate ] || echo "$pid"
    done
}

# --- programs ---

# The rest of a job, with a number: as many have started, and live for a while then. However slow the
# machine is, they are there at once.
MEETING='until [ "$(grep -c ^start "$LOG")" -ge "$1" ]; do sleep 0.01; done; sleep 0.1'

# twelve: jobs of xargs.
twelve() {
    seq 12 | "$JOBGATE" "$@" --jobs-of=xargs -- xargs -P8 -I{} "$STAMP" "$LOG" {} 0.1
}

# with_script NAME LINE...: an executable shell script in the working directory.
with_script() {
    local name=$1
    shift
    printf '%s\n' '#!/bin/sh' "$@" >"$name"
    chmod +x "$name"
}

# xargs_with K: twelve jobs on K tokens and the implicit slot.
xargs_with() {
    at_once $(($1 + 1))
    below_fifo "$1"
    twelve
    exactly $(($1 + 1)) 12
    all_is_well
}

@test 'xargs -P8, no token: one job at a time, in the implicit slot' {
    xargs_with 0
}

@test 'xargs -P8, one token: exactly 2 jobs' {
    xargs_with 1
}

@test 'xargs -P8, three tokens: exactly 4 jobs' {
    xargs_with 3
}

@test 'xargs -P8, three tokens, an implicit slot that nobody has paid for: exactly 3 jobs' {
    at_once 3
    below_fifo 3
    twelve --implicit=acquire
    exactly 3 12
    all_is_well
}

@test 'xargs -P8 at a pipe, which cannot be opened again' {
    local read_fd write_fd
    at_once 3
    below_fifo 2
    exec {read_fd}<"$PARENT"
    exec {write_fd}>"$PARENT"
    export MAKEFLAGS=" -j3 --jobserver-auth=$read_fd,$write_fd"
    twelve
    exactly 3 12
    all_is_well
}

@test 'xargs -P8 at steved: exactly 3 jobs of 3 tokens, and all are back' {
    at_once 3
    start_steved --jobs 3
    MAKEFLAGS=" --jobserver-auth=fifo:$SERVER" twelve
    exactly 3 12
    wait_for 10 steved_has free 3
    wait_for 10 gate_has_gone
}

gate_has_gone() {
    [ -z "$(sidecar)" ]
}

@test 'below jobwrap -j3: exactly 3 jobs' {
    at_once 3
    seq 12 | "$JOBWRAP" -j3 -- "$JOBGATE" --jobs-of=xargs -- \
        xargs -P8 -I{} "$STAMP" "$LOG" {} 0.1
    exactly 3 12
    wait_for 10 nothing_is_left
}

@test 'xargs -0: the arguments are what they were' {
    below_fifo 1
    printf '%s\0' 'a b' $'c\nd' '' |
        "$JOBGATE" --jobs-of=xargs -- xargs -0 -P3 -n1 sh -c 'printf "<%s>" "$1" >>said' -
    [ "$(tr '\n' / <said | sed 's/></>\n</g' | sort | tr '\n' ' ')" = '<> <a b> <c/d> ' ]
    all_is_well
}

@test 'xargs has the exit status that it has alone: 123, 124, 125, 126, 127' {
    local command alone
    below_fifo 1
    : >not-executable
    for command in 'exit 3' 'exit 255' 'kill -s KILL $$' 'exit 0'; do
        alone=0 && { seq 3 | xargs -P1 -n1 sh -c "$command" 2>/dev/null || alone=$?; }
        run -"$alone" --separate-stderr "$JOBGATE" --jobs-of=xargs -- \
            xargs -a <(seq 3) -P1 -n1 sh -c "$command"
        echo "alone $alone: $command"
    done
    [ "$alone" = 0 ]
    run -126 "$JOBGATE" --jobs-of=xargs -- xargs -a <(seq 3) -n1 ./not-executable
    run -127 "$JOBGATE" --jobs-of=xargs -- xargs -a <(seq 3) -n1 ./not-there
    all_is_well
}

@test 'GNU parallel: exactly K + 1 jobs for 0, 1 and 3 tokens' {
    local tokens
    require parallel
    for tokens in 0 1 3; do
        rm -f parent log
        at_once $((tokens + 1))
        below_fifo "$tokens"
        HOME=$PWD "$JOBGATE" --jobs-of=parallel -- \
            parallel --will-cite -j8 "$STAMP" "$LOG" {} 0.1 ::: $(seq 12)
        exactly $((tokens + 1)) 12
        all_is_well
    done
}

@test 'ctest -j8: exactly K + 1 jobs for 0, 1 and 3 tokens' {
    local tokens
    require cmake ctest make
    {
        printf 'cmake_minimum_required(VERSION 3.13)\nproject(twelve NONE)\nenable_testing()\n'
        printf 'foreach(n RANGE 1 12)\n  add_test(NAME t${n} COMMAND "%s" "%s" t${n} 0.1)\n' \
            "$STAMP" "$LOG"
        printf 'endforeach()\n'
    } >CMakeLists.txt
    env -u MAKEFLAGS cmake -G 'Unix Makefiles' -B tests . >cmake.log
    for tokens in 0 1 3; do
        rm -f parent log
        at_once $((tokens + 1))
        below_fifo "$tokens"
        (cd tests && "$JOBGATE" --jobs-of=ctest -- ctest -j8 --output-on-failure)
        exactly $((tokens + 1)) 12
        all_is_well
    done
}

@test 'a script is known by its own name' {
    at_once 2
    with_script parts 'for i in 1 2 3 4 5 6; do "$STAMP" "$LOG" $i 0.1 & done; wait'
    below_fifo 1
    "$JOBGATE" --jobs-of=parts -- ./parts
    exactly 2 6
    all_is_well
}

@test 'a name of more than 15 characters' {
    at_once 2
    with_script fifteen-and-some-more 'for i in 1 2 3 4; do "$STAMP" "$LOG" $i 0.1 & done; wait'
    below_fifo 1
    "$JOBGATE" --jobs-of=fifteen-and-some-more -- ./fifteen-and-some-more
    exactly 2 4
    all_is_well
}

@test 'several names: the jobs of all of them share the tokens' {
    at_once 3
    with_script parts 'for i in a b c d; do "$STAMP" "$LOG" $i 0.1 & done; wait'
    below_fifo 2
    "$JOBGATE" --jobs-of=parts --jobs-of=xargs -- \
        sh -c './parts & seq 8 | xargs -P8 -I{} "$STAMP" "$LOG" {} 0.1; wait'
    exactly 3 12
    all_is_well
}

@test 'whoever is called otherwise is not held back' {
    at_once 4
    below_fifo 0
    seq 4 | "$JOBGATE" --jobs-of=parts -- \
        xargs -P4 -I{} "$STAMP" "$LOG" {} -- sh -c "$MEETING" sh 4
    exactly 4 4
    all_is_well
}

@test 'a wrapper of the same name is no job, whether it becomes the real one or waits for it' {
    local how
    at_once 2
    mkdir wrapper
    for how in exec command; do
        rm -f parent log
        below_fifo 1
        (cd wrapper && with_script xargs "$how $(command -v xargs) \"\$@\"")
        PATH=$PWD/wrapper:$PATH twelve
        exactly 2 12
        all_is_well
    done
}

# --- pipelines ---

@test 'a pipeline is one job: it does not wait for itself' {
    below_fifo 0
    [ "$("$JOBGATE" --jobs-of=bash -- bash -c 'seq 100000 | sort -n | wc -l')" = 100000 ]
    all_is_well
}

# two_pipelines: in parallel, of two members each.
two_pipelines() {
    below_fifo "$1"
    "$JOBGATE" --jobs-of=bash -- bash -c 'for i in a b; do
            "$STAMP" "$LOG" $i.1 -- sh -c "$0" sh "$1" | "$STAMP" "$LOG" $i.2 -- sh -c "$0" sh "$1" &
        done
        wait' "$MEETING" "$2"
    exactly "$2" 4
    all_is_well
}

@test 'two pipelines are two jobs: one after the other in the implicit slot' {
    two_pipelines 0 2
}

@test 'two pipelines are two jobs: both at once on one token and the implicit slot' {
    two_pipelines 1 4
}

@test 'members of a pipeline that are late, or execute nothing, join the others' {
    below_fifo 0
    mkfifo go
    exec {go}<>go
    spawn "$JOBGATE" --jobs-of=bash -- bash -c '"$STAMP" "$LOG" first -- seq 30000 |
        { read -r _ <go; exec cat; } | { read -r _ <go; while read -r n; do echo "$n"; done; } |
        "$STAMP" "$LOG" last -- wc -l >said'
    wait_for 10 lives_jobs 2
    printf '\n\n' >&"$go"
    status_of "$spawned"
    [ "$(cat said)" = 30000 ]
    all_is_well
}

@test 'two pipelines with such members are two jobs' {
    at_once 2
    below_fifo 0
    "$JOBGATE" --jobs-of=bash -- bash -c 'for i in a b; do
            "$STAMP" "$LOG" $i.1 0.3 | while read -r _; do :; done | "$STAMP" "$LOG" $i.2 0.3 &
        done
        wait'
    exactly 2 4
    all_is_well
}

@test 'what is joined by standard error is one job' {
    local pipe
    below_fifo 0
    for pipe in '2>&1 |' '|&' '2>&1 >/dev/null |'; do
        [ "$("$JOBGATE" --jobs-of=bash -- \
            bash -c "sh -c 'seq 100000 >&2; echo' $pipe tail -n +100000 | head -n 1")" = 100000 ]
        all_is_well
    done
}

@test 'a member of a pipeline that starts when another has ended' {
    below_fifo 0
    mkfifo go go_on
    # If the third came first, it would have the only token, and wait for the second, which waits for the first.
    "$JOBGATE" --jobs-of=bash -- bash -c '"$STAMP" "$LOG" first -- sh -c "echo >go; echo >go_on" |
        { read -r _ <go; exec "$STAMP" "$LOG" second 0; } |
        { read -r _ <go_on; exec "$STAMP" "$LOG" third -- cat; }'
    highest --expect-jobs 3
    all_is_well
}

@test 'a socket for both input and output, as of sshd, joins nobody' {
    with_script parts 'exec 5<&0; for i in 1 2 3 4; do "$STAMP" "$LOG" $i 0.1 <&5 & done; wait'
    below_fifo 0
    python3 -c 'import socket, subprocess, sys
ours, theirs = socket.socketpair()
sys.exit(subprocess.run(sys.argv[1:], stdin=theirs, stdout=theirs).returncode)' \
        "$JOBGATE" --jobs-of=parts -- ./parts
    exactly 1 4
    all_is_well
}

# --- what else children do ---

@test 'a job that leaves a grandchild behind gives its token back when it has ended itself' {
    below_fifo 0
    mkfifo go
    seq 4 | "$JOBGATE" --jobs-of=xargs -- xargs -P4 -I{} \
        sh -c '("$STAMP" "$LOG" {} -- sh -c "read -r _ <go" &)'
    # Their jobs have ended, and four have run one after the other in one slot.
    wait_for 10 lives_jobs 4
    exec {go}<>go
    printf '\n\n\n\n' >&"$go"
    all_is_well
}

@test 'what a shell leaves in the background when it ends runs all the same, on tokens' {
    below_fifo 0
    "$JOBGATE" --jobs-of=bash -- bash -c 'for i in 1 2 3; do "$STAMP" "$LOG" $i 0.1 & done'
    all_is_well
    exactly 1 3
}

@test 'jobgate in a job shares the tokens' {
    at_once 3
    below_fifo 2
    seq 4 | "$JOBGATE" --jobs-of=xargs -- xargs -P4 -I{} sh -c \
        'seq 3 | "$JOBGATE" --jobs-of=xargs -- xargs -P3 -I[] "$STAMP" "$LOG" {}.[] 0.1'
    exactly 3 12
    all_is_well
}

# ninja_file: 12 jobs.
ninja_file() {
    printf 'rule job\n  command = "%s" "%s" $out 0.1\n' "$STAMP" "$LOG" >build.ninja
    printf 'build n%d: job\n' $(seq 12) >>build.ninja
}

@test 'ninja, with its shim, in a job: exactly K + 1' {
    require ninja
    at_once 3
    ninja_file
    below_fifo 2
    echo x | PATH=$BUILD/ninja-shim:$PATH "$JOBGATE" --jobs-of=xargs -- xargs -I{} ninja -j8
    exactly 3 12
    all_is_well
}

# What is traced cannot be traced once more: the shim finds another way.
@test 'ninja, with its shim, beside the jobs: never more than K + 1' {
    require ninja
    ninja_file
    below_fifo 2
    PATH=$BUILD/ninja-shim:$PATH "$JOBGATE" --jobs-of=xargs -- ninja -j8
    highest --expect-max 3 --expect-jobs 12
    all_is_well
}

# wild HOW ROUNDS: see tests/lib/wild.c.
wild() {
    ln -sf "$BUILD/tests/lib/wild" .
    below_fifo 2
    "$JOBGATE" --jobs-of="${3-wild}" -- ./wild "$1" "$2" true
    all_is_well
}

@test 'children by posix_spawn, that is, vfork, from several threads' {
    wild spawn 50
}

@test 'children that are killed on their way to the gate' {
    wild kill 200
}

@test 'a thread that executes while others fork' {
    wild exec 30
}

@test 'a thread that executes while others fork, of a program whose children are no jobs' {
    wild exec 30 other
}

@test 'a child, another thread of which executes the job' {
    wild thread 20
}

# forking_and_killed NAME: as whose job, or as no job.
forking_and_killed() {
    ln -sf "$BUILD/tests/lib/wild" .
    below_fifo 2
    "$JOBGATE" --jobs-of="$1" -- bash -c 'for i in $(seq 15); do
            ./wild loop 200 true & pid=$!
            for turn in $(seq $((RANDOM % 400))); do read -r _ </proc/self/stat; done
            kill -s KILL $pid
        done 2>/dev/null
        wait'
    all_is_well
}

@test 'programs that are killed while they fork' {
    forking_and_killed wild
}

@test 'programs that are killed while they fork, and whose children are no jobs' {
    forking_and_killed other
}

# --- the command ---

@test 'the command keeps the pid, and its exit status passes through' {
    below_fifo 1
    spawn "$JOBGATE" --jobs-of=xargs -- sh -c 'echo $$ >pid; exit 3'
    status_of "$spawned"
    [ "$status" = 3 ]
    [ "$(cat pid)" = "$spawned" ]
    all_is_well
}

@test 'a signal reaches the command, and ends jobgate as it ends that' {
    local signal
    below_fifo 1
    for signal in TERM HUP KILL; do
        rm -f there
        spawn "$JOBGATE" --jobs-of=xargs -- sh -c ': >there; exec sleep 1000'
        wait_for 10 test -e there
        kill -s "$signal" "$spawned"
        status_of "$spawned"
        [ "$status" = $((128 + $(kill -l "$signal"))) ]
        all_is_well
    done
}

# Whoever reads what jobgate says does not wait for that: the daemon lives a minute.
@test 'what holds the gate open when the command has ended is said, in a line' {
    local gate said
    below_fifo 1
    for gate in ptrace seccomp; do
        said=$("$JOBGATE" --gate=$gate --jobs-of=waf -- \
            sh -c 'setsid sleep 60 <&- >&- 2>&- & echo $! >daemon' 2>&1)
        [ "$said" = "jobgate: the gate keeps running as long as 'sleep 60' (pid $(cat daemon)) runs" ]
        kill "$(cat daemon)"
        all_is_well
        # A job that it has left behind.
        said=$("$JOBGATE" --gate=$gate --jobs-of=bash -- \
            bash -c 'sleep 60 <&- >&- 2>&- & echo $! >daemon' 2>&1)
        [ "$said" = "jobgate: the gate keeps running as long as 'sleep 60' (pid $(cat daemon)) runs" ]
        kill "$(cat daemon)"
        all_is_well
        # Nothing does.
        said=$("$JOBGATE" --gate=$gate --jobs-of=waf -- sleep 0.1 2>&1)
        [ -z "$said" ]
        all_is_well
    done
}

@test 'a command that does not exist, or cannot be executed' {
    below_fifo 1
    : >not-executable
    run -127 "$JOBGATE" --jobs-of=xargs -- ./not-there
    [ "$output" = 'jobgate: run ./not-there: No such file or directory' ]
    run -126 "$JOBGATE" --jobs-of=xargs -- ./not-executable
    [ "$output" = 'jobgate: run ./not-executable: Permission denied' ]
    all_is_well
}

@test 'without a jobserver the command runs as it is, and one line says so' {
    local mount=/dev/steve
    at_once 8
    [ ! -e "$mount" ] || missing "there is a $mount"
    seq 12 >names
    run -0 --separate-stderr "$JOBGATE" --jobs-of=xargs -- \
        xargs -a names -P8 -I{} "$STAMP" "$LOG" {} -- sh -c "$MEETING" sh 8
    # shellcheck disable=SC2154 # bats sets it
    [ "$stderr" = 'jobgate: there is no jobserver; jobs do not wait' ]
    exactly 8 12
}

@test 'a jobserver that cannot be opened is refused, and nothing is run' {
    local server
    for server in fifo:/nonexistent 98,99; do
        MAKEFLAGS=" -j3 --jobserver-auth=$server" run -125 --separate-stderr \
            "$JOBGATE" --jobs-of=xargs -- touch ran
        [ "${#stderr_lines[@]}" = 1 ]
        [[ $stderr == 'jobgate: '*'; nothing is run' ]]
        [ ! -e ran ]
    done
}

# --- when something is killed ---

# waiting_jobs TOKENS: eight jobs that last until the test writes to `go`, TOKENS of which run.
waiting_jobs() {
    below_fifo "$1"
    mkfifo go
    exec {go}<>go
    seq 8 >names
    spawn "$JOBGATE" --implicit=acquire --jobs-of=xargs -- \
        xargs -a names -P8 -I{} "$STAMP" "$LOG" {} -- sh -c 'read -r _ <go'
    command=$spawned
    wait_for 10 lives_jobs "$1"
}

# ended_with SIGNAL: the command; those that ran go on, hold their tokens, and nothing else has run.
ended_with() {
    status_of "$command"
    [ "$status" = $((128 + $(kill -l "$1"))) ]
    lives_jobs "$TOKENS"
    fifo_has "$PARENT" 0
    printf '\n\n\n\n' >&"$go"
    "$LIB/pool-watch" "$PARENT" "$TOKENS" "$LOG"
    exactly "$TOKENS" "$TOKENS"
    all_is_well
}

@test 'SIGKILL of the sidecar: nothing that waits runs, and each token is held until its job ends' {
    waiting_jobs 2
    kill -s KILL "$(sidecar)"
    ended_with KILL
}

@test 'SIGKILL of the command: nothing that waits runs, and each token is held until its job ends' {
    waiting_jobs 2
    kill -s KILL "$command"
    ended_with KILL
}

@test 'SIGTERM of the command: the same' {
    waiting_jobs 2
    kill "$command"
    ended_with TERM
}

@test 'a sidecar that somebody has stopped is continued, once said' {
    below_fifo 1
    mkfifo go
    spawn "$JOBGATE" --jobs-of=sh -- sh -c 'touch began; read -r _ <go; sleep 0; exit 0' 2>said
    wait_for 10 test -e began
    gate=$(sidecar)
    kill -STOP "$gate"
    timeout 10 sh -c 'echo >go'
    status_of "$spawned"
    [ "$status" = 0 ]
    [ "$(cat said)" = "jobgate: the gate (pid $gate) was stopped; continuing it" ]
    all_is_well
}

@test 'a keeper is stopped, and the sidecar killed: the tokens are back when their jobs have ended' {
    waiting_jobs 2
    gate=$(sidecar)
    keeper=$(pgrep -P "$gate")
    kill -STOP "$gate" "$keeper"
    wait_for 10 grep -q 'State:.T' "/proc/$keeper/status"
    kill -KILL "$gate"
    ended_with KILL
}

# The gate itself holds nothing up.
@test 'nobody reads what holds the gate open: the tokens come back all the same' {
    below_fifo 2
    mkfifo said
    exec {said}<>said
    run ! dd if=/dev/zero of=said oflag=nonblock bs=4096
    "$JOBGATE" --implicit=acquire --jobs-of=bash -- \
        bash -c 'sleep 60 <&- >&- 2>&- & echo $! >daemon' 2>&"$said"
    # What would be said is said after a second.
    run ! timeout 1.5 tail -f --pid="$(cat daemon)" /dev/null
    kill "$(cat daemon)"
    all_is_well
}

# --- set-id programs ---

# In a directory that everybody may enter, with `id` set-uid root and jobgate.
set_id_setup() {
    require_root
    require setpriv
    directory_for_all
    cd "$OTHER" || return
    cp "$JOBGATE" "$(command -v id)" .
    chmod 4755 id
    make_fifo parent 1
    chmod 0666 parent
    PARENT=$OTHER/parent TOKENS=1
    export MAKEFLAGS=" -j2 --jobserver-auth=fifo:$PARENT"
    echo -u >argument
    [ "$(as_nobody ./id -u)" = 0 ] || missing "set-id programs have no privilege in $OTHER"
}

@test 'a set-id program that is itself a job of an unprivileged user has its privilege' {
    set_id_setup
    run -0 as_nobody ./jobgate --jobs-of=xargs -- xargs -a argument ./id
    [ "$output" = 0 ]
    run -0 as_nobody ./jobgate --jobs-of=sh -- sh -c './id -u; exit $?'
    [ "$output" = 0 ]
    all_is_well
    require make
    printf 'all:; @./id -u\n\t@make -v >/dev/null; ./id -u\n\t@./id -u; true\n' >Makefile
    run -0 as_nobody env -u MAKEFLAGS ./jobgate --no-tokens --jobs-of=make -- make
    [ "$output" = $'0\n0\n0' ]
    all_is_well
}

@test 'a set-id program below a job has its privilege' {
    set_id_setup
    run -0 as_nobody ./jobgate --jobs-of=xargs -- xargs -a argument sh -c './id "$1"; exit $?' -
    [ "$output" = 0 ]
    all_is_well
}

@test 'a set-id program above the jobs has lost its privilege, and a line says why' {
    set_id_setup
    run -0 --separate-stderr as_nobody ./jobgate --jobs-of=xargs -- sh -c './id -u; exit $?'
    [ "$output" = "$(id -u nobody)" ]
    [[ $stderr == "jobgate: './id -u' is a set-id program, and runs without its privilege"* ]]
    all_is_well
}

@test 'as root a set-id program is a job like any other' {
    set_id_setup
    run -0 ./jobgate --jobs-of=xargs -- xargs -a argument ./id
    [ "$output" = 0 ]
    all_is_well
}

@test 'the /proc of another pid namespace: nothing is run' {
    require_root
    require unshare xargs
    below_fifo 1
    for gate in ptrace seccomp; do
        run -125 unshare --pid --fork "$JOBGATE" --gate=$gate --jobs-of=xargs -- touch run
        [ "$output" = 'jobgate: cannot hold jobs back (/proc: No such process); nothing is run' ]
        [ ! -e run ]
    done
    all_is_well
}

@test 'below a jobwrap, who is told of a token when a job of its own has just ended waits for the next' {
    mkfifo gate hold
    exec {gate}<>gate {hold}<>hold
    spawn "$JOBWRAP" -j3 --parent=none --style=fifo -- bash -c '
        echo "$JOBWRAP_FIFO" >server
        "$JOBWRAP" --implicit=acquire -- sh -c "touch held; read -r _ <hold" &
        until [ -e held ]; do :; done
        seq 8 | "$JOBGATE" --jobs-of=xargs xargs -P 8 -I @ "$STAMP" "$LOG" @ -- sh -c "read -r _ <gate"
        wait'
    wait_for 20 lives_jobs 2
    SERVER=$(cat server)
    sidecar=$(sidecar)
    # Stopped, so that it finds both when it goes on: the notice, and the ends.
    kill -STOP "$sidecar"
    echo >&"$hold"
    wait_for 10 steved_has free 1
    let_end 2
    wait_for 10 lives_jobs 0
    kill -CONT "$sidecar"
    wait_for 10 lives_jobs 3
    let_end 8
    status_of "$spawned"
    [ "$status" = 0 ]
}
