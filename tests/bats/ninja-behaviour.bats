#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# What ninja does besides running jobs is what it does without the shim: failures, options, restat,
# regeneration. And where there is nothing to gate, there is no gate.

# shellcheck disable=SC2016 # what single quotes hold is for another shell
# shellcheck disable=SC2154 # common.bash sets spawned, run sets status and output
load ../lib/bash/common
load ../lib/bash/shim

# job NAME [COMMAND]: one more in build.ninja; the command is a shell's, and may use $LOG and $STAMP.
# Its parent is the stamp, which is ninja's own child.
job() {
    local command=0.01
    [ $# = 1 ] || command="-- sh -c '${2//\$/\$\$}'"
    mkdir -p tree
    [ -e tree/build.ninja ] ||
        printf 'rule job\n  command = exec "%s" "%s" $out $job\n' "$STAMP" "$LOG" >tree/build.ninja
    printf 'build %s: job %s\n  job = %s\n' "$1" "${NEEDS-}" "$command" >>tree/build.ninja
}

jobs_named() {
    local number
    for number in $(seq "$2"); do
        job "$1$number" "${@:3}"
    done
}

# once CONDITION: the beginning of a job that waits for it, though not for ever.
once() {
    printf 'n=0; until %s; do sleep 0.01; [ $((n += 1)) -lt 3000 ] || exit 99; done; ' "$1"
}

# Fails when as many live, which have their tokens then.
fails_among() {
    once "[ \$(\"\$STAMP\" --living \"\$LOG\") -ge $1 ]"
    printf 'echo $PPID >"$LOG.failed"; %s' "$2"
}

# Ends after that one has, and ninja has seen it.
ends_later() {
    once '[ -s "$LOG.failed" ] && ! kill -0 $(cat "$LOG.failed") 2>/dev/null'
}

# Which of many comes first to the gate is open, and so they wait until these have begun.
wait_for_start_of() {
    local name
    job begin "$(for name in "$@"; do once "grep -q \"^start $name \" \"\$LOG\""; done)"
    NEEDS='|| begin'
}

# fails_with_each OPTION...: as fails_alike, at two tokens, with each ninja and each gate.
fails_with_each() {
    for version in $SHIM_NINJAS; do
        fails_with "$version" "$SHIM_GATES" "$@"
    done
}

# fails_with NINJA GATES OPTION...
fails_with() {
    use_ninja "$1"
    below_fifo 2
    alone -j3 -C tree "${@:3}"
    [ "$(cat alone.status)" != 0 ]
    for gate in $2; do
        export NINJA_SHIM_GATE=$gate
        echo "ninja $1, $gate"
        fails_alike "${@:3}"
        all_back 2
    done
}

# fails_alike OPTION...: as many jobs, and the same status, as alone with three at once.
fails_alike() {
    gated -C tree "$@"
    cat gated.jobs
    [ "$(wc -l <alone.jobs)" = "$(wc -l <gated.jobs)" ]
    same status
}

# --- failures ---

@test 'a job fails with 3: no job that waits is run, and the status is the same' {
    job fail "$(fails_among 3 'exit 3')"
    wait_for_start_of fail
    jobs_named other 20 "$(ends_later)"
    fails_with_each
    [ "$(wc -l <gated.jobs)" = 4 ]
}

# Each way with each ninja, the gates in turn.
@test 'a job fails with 1, 2, 130, or is killed: the status is the same' {
    local turn=0 gates
    read -ra gates <<<"$SHIM_GATES"
    for how in 'exit 1' 'exit 2' 'exit 130' 'kill -INT 0' 'kill -TERM 0' 'kill -KILL 0'; do
        echo "$how"
        rm -rf tree
        unset NEEDS
        job fail "$(fails_among 3 "$how")"
        wait_for_start_of fail
        jobs_named other 10 "$(ends_later)"
        for version in $SHIM_NINJAS; do
            turn=$((turn + 1))
            fails_with "$version" "${gates[turn % ${#gates[@]}]}"
        done
        [ "$(wc -l <gated.jobs)" = 4 ]
    done
}

@test '-k 0: all the others run' {
    job fail "$(fails_among 3 'exit 3')"
    wait_for_start_of fail
    jobs_named other 10 "$(ends_later)"
    job fail2 'exit 4'
    jobs_named late 10
    fails_with_each -k 0
    [ "$(wc -l <gated.jobs)" = 23 ]
}

@test '-k 2: after one failure it goes on, after the second it stops' {
    job first "$(fails_among 3 'exit 3')"
    # The second one fails when another job has followed on the first.
    job second "$(once '[ $(grep -c "^start other" "$LOG") -ge 2 ]'; fails_among 3 'exit 4')"
    wait_for_start_of first second
    jobs_named other 10 "$(once 'grep -q "^end second" "$LOG"'; ends_later)"
    fails_with_each -k2
    [ "$(wc -l <gated.jobs)" = 5 ]
}

# --- building again ---

# after COMMAND...: what is built again then, in the tree that was built before.
builds_alike_after() {
    local label
    for label in alone gated; do
        rm -rf tree
        "$LIB/make-ninja-tree" --jobs 80 --regenerate tree "$LOG"
        $label -C tree
        "$@"
        $label -C tree
        [ "$(cat $label.status)" = 0 ]
    done
    same said jobs
}

change_input() {
    echo 2 >tree/restat.in
}

@test 'restat: who needs what has not changed is not run; regeneration comes first' {
    use_ninja 1.11
    below_fifo 2
    builds_alike_after touch tree/restat.in
    [ "$(sed 's/[.0-9]*$//' gated.jobs | sort -u)" = restat ]
    use_ninja 1.13
    builds_alike_after change_input
    grep -q restat gated.jobs
    grep -qv restat gated.jobs
    builds_alike_after touch tree/regenerate
    [ "$(cat gated.jobs)" = regenerate ]
    builds_alike_after true
    [ ! -s gated.jobs ]
    all_back 2
}

# --- options ---

# alike OPTIONS...: what it says to each, words in one argument, and its status. It prints its name.
alike() {
    local each='for options; do
        ninja $options >each 2>&1 || echo "$options: $?"
        sed "s/^/$options: /" each
    done'
    PATH=${REAL%/*}:$PATH MAKEFLAGS='' build alone sh -c "$each" - "$@"
    PATH=${NINJA_SHIM%/*}:$PATH build gated sh -c "$each" - "$@"
    # The usage names the default, which the shim decides, if it cannot know that there is a mistake.
    sed -i 's/default=[0-9]*/default=N/' alone.said gated.said
    same said jobs
}

@test '--version, -t, -n and what is wrong: as without the shim' {
    "$LIB/make-ninja-tree" --jobs 40 tree "$LOG"
    mkdir empty
    for version in $SHIM_NINJAS; do
        use_ninja "$version"
        below_fifo 2
        alike --version -h --help '-C tree -t list' '-C tree -t targets all' '-C tree -t commands' \
            '-C tree -t compdb' '-C tree -tclean' '-C tree -n' '-C tree -nv' '-d list' '-w list' \
            -Z --nonsense -j -jx -kx -lx -C '-C nowhere' '-C empty' '-C tree nosuch' \
            '-C tree -f nosuch.ninja'
        grep -q '^-C tree -n: out/meet.1$' gated.said
        all_back 2
        [ ! -s gated.jobs ]
    done
}

# capped 'TOKENS OPTION MOST'
capped() {
    local tokens option most
    read -r tokens option most <<<"$1"
    below_fifo "$tokens"
    clean tree
    MEET=$most gated -C tree "$option"
    echo "$1: $(tail -n 3 gated.raw)"
    exactly "$most" 30
    all_back "$tokens"
}

@test 'a -j of the user is a cap' {
    "$LIB/make-ninja-tree" --jobs 30 tree "$LOG"
    use_ninja 1.11
    for case in '8 -j2 2' '1 -j2 2' '1 -j9 2' '3 -j1 1'; do
        capped "$case"
    done
    use_ninja 1.13
    for case in '8 -j2 2' '3 -j0 4' '3 -vj3 3' '0 -j4 1'; do
        capped "$case"
    done
    below_fifo 8
    clean tree
    MEET=3 build gated "$NINJA_SHIM" -j 8 -C tree -j 3 all -k 1
    [ "$(cat gated.status)" = 1 ] # no target all
    clean tree
    MEET=3 build gated "$NINJA_SHIM" -j 8 -C tree -j 3 -k 1
    exactly 3 30
    start_steved --jobs 3
    export MAKEFLAGS="--jobserver-auth=fifo:$SERVER"
    clean tree
    MEET=2 gated -C tree -j2
    exactly 2 30
    wait_for 10 steved_has free 3
}

@test '-l: a load that is never reached, and one that always is' {
    "$LIB/make-ninja-tree" --jobs 30 tree "$LOG"
    for version in $SHIM_NINJAS; do
        use_ninja "$version"
        below_fifo 3
        clean tree
        MEET=4 gated -C tree -l 10000
        exactly 4 30
        clean tree
        gated -C tree -l 0.0001
        exactly 1 30
        all_back 3
    done
}

# --- where there is nothing to gate, or no way to ---

# sees_gate: whether a job finds the gate's processes beside ninja.
sees_gate() {
    rm -rf tree
    job look "\"$LIB/subreaper\" --list \"\$SUBREAPER\" >\"\$LOG.seen\""
    gated -C tree
    [ "$(cat gated.status)" = 0 ]
    cat "$LOG.seen"
    grep -q ' jobgate$' "$LOG.seen" && grep -q ' jobgate-keeper$' "$LOG.seen"
}

@test 'no jobserver, or no gate wanted: as alone, and there is no sidecar' {
    use_ninja 1.11
    "$LIB/make-ninja-tree" --jobs 60 tree "$LOG"
    MEET=3 alone -C tree -j3
    clean tree
    MEET=3 gated -C tree -j3
    exactly 3 60
    same said jobs status
    clean tree
    MAKEFLAGS='-j --no-print-directory' MEET=3 gated -C tree -j3
    exactly 3 60
    same said jobs status
    run ! sees_gate
    [ -s "$LOG.seen" ]
    run ! grep jobgate "$LOG.seen"
    below_fifo 1
    NINJA_SHIM_GATE=none run ! sees_gate
    run ! grep jobgate "$LOG.seen"
    # The check can see it.
    sees_gate
}

@test 'the sidecar and its keeper have a session of their own' {
    use_ninja 1.11
    below_fifo 1
    job look 'cut -d " " -f 2,6 /proc/[0-9]*/stat >"$LOG.sid"; cut -d " " -f 6 /proc/self/stat >"$LOG.own"'
    gated -C tree
    [ "$(cat gated.status)" = 0 ]
    grep -q '^(jobgate) ' "$LOG.sid"
    grep -q '^(jobgate-keeper) ' "$LOG.sid"
    run ! grep "^(jobgate.* $(cat "$LOG.own")\$" "$LOG.sid"
}

@test 'a ninja that waits for tokens itself is run as it is, where it takes the server' {
    printf '#!/bin/sh
[ "$1" = --version ] && echo 1.14.0 || echo "arguments: $*"
' >newer
    chmod +x newer
    export NINJA_SHIM_REAL=$PWD/newer
    below_fifo 3
    gated all
    [ "$(cat gated.raw)" = 'arguments: all' ]
    below_pipe 3
    gated all
    [[ "$(cat gated.raw)" == 'arguments: '*-j* ]]
}

@test "pip's ninja is a script that runs the real one: exactly K + 1 jobs" {
    use_ninja 1.11
    printf '#!/usr/bin/env python3
import subprocess, sys
%s
'         "raise SystemExit(subprocess.call(['$REAL', *sys.argv[1:]], close_fds=False))" >wrapper
    chmod +x wrapper
    export NINJA_SHIM_REAL=$PWD/wrapper
    "$LIB/make-ninja-tree" --jobs 100 tree "$LOG"
    for gate in $SHIM_GATES; do
        below_fifo 3
        clean tree
        NINJA_SHIM_GATE=$gate MEET=4 gated -C tree
        exactly 4 100
        [ "$(cat gated.status)" = 0 ]
        all_back 3
    done
}

@test 'under strace, which leaves no ptrace: never more than K + 1' {
    require strace
    # LeakSanitizer does not work in what is traced.
    export ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0
    use_ninja 1.11
    "$LIB/make-ninja-tree" --jobs 60 tree "$LOG"
    below_fifo 3
    build gated strace -f -qq -e trace=none -o /dev/null "$NINJA_SHIM" -C tree
    [ "$(cat gated.status)" = 0 ]
    "$LIB/concurrency" --expect-max 4 --expect-jobs 60 "$LOG"
    all_back 3
}

@test 'the shim never runs itself, whoever stands before it on PATH' {
    below_fifo 1
    job one
    mkdir first second
    ln -s "$NINJA_SHIM" first/ninja
    cp "$NINJA_SHIM" second/ninja
    PATH=$PWD/first:$PWD/second:${NINJA_SHIM%/*}:$PATH build gated ninja -C tree
    [ "$(cat gated.status) $(cat gated.jobs)" = '0 one' ]
    PATH=$PWD/first:${NINJA_SHIM%/*} run -127 "$NINJA_SHIM" -C tree
    NINJA_SHIM_REAL=$NINJA_SHIM run "$NINJA_SHIM" -C tree
    [ "$status" != 0 ]
}

@test 'ninja-build: the one that is there, else ninja; exactly K + 1 jobs' {
    local build=${NINJA_SHIM%/*}/ninja-build
    use_ninja 1.11
    unset NINJA_SHIM_REAL
    "$LIB/make-ninja-tree" --jobs 60 tree "$LOG"
    below_fifo 3
    # Beside a shim called ninja, which passes on what is gated already.
    PATH=${NINJA_SHIM%/*}:${REAL%/*}:/usr/bin:/bin MEET=4 build gated "$build" -C tree
    [ "$(cat gated.status)" = 0 ]
    exactly 4 60
    all_back 3
    mkdir fedora
    printf '#!/bin/sh\necho the other: "$1"\n' >fedora/ninja-build
    chmod +x fedora/ninja-build
    PATH=${NINJA_SHIM%/*}:$PWD/fedora:$PATH run -0 ninja-build --version
    [ "$output" = 'the other: --version' ]
    PATH=${NINJA_SHIM%/*} run -127 "$build" --version
    [ "$output" = 'ninja-shim: run ninja: there is none on PATH besides this shim' ]
}

# --- who else is there ---

@test 'a set-id program in a job keeps its privilege under ptrace' {
    require_nobody "$NINJA_SHIM"
    use_ninja 1.11
    directory_for_all
    cp "$(command -v id)" "$OTHER/id"
    chmod 4755 "$OTHER/id"
    [ "$(as_nobody "$OTHER/id" -u)" = 0 ] || missing "set-id programs do not work in $OTHER"
    printf 'rule job
  command = "%s" -u >out
build out: job
' "$OTHER/id" >"$OTHER/build.ninja"
    mkfifo -m 0666 "$OTHER/parent"
    PARENT=$OTHER/parent
    exec {FIFO_FD}<>"$PARENT"
    printf + >&"$FIFO_FD"
    export MAKEFLAGS=" -j2 --jobserver-auth=fifo:$PARENT" NINJA_SHIM_GATE=ptrace
    build gated setpriv --reuid=65534 --regid=65534 --clear-groups "$NINJA_SHIM" -C "$OTHER"
    [ "$(cat gated.status) $(cat "$OTHER/out")" = '0 0' ]
    all_back 1
}

@test 'the FIFO is removed during the build: it goes on' {
    at_once 2
    use_ninja 1.11
    below_fifo 1
    job remove "rm \"$PARENT\""
    jobs_named late 20
    gated -C tree
    [ "$(cat gated.status)" = 0 ]
    exactly 2 21
}

stop_steved() {
    stop "$STEVED_PID"
}

# dies_below kill_steved|stop_steved: while jobs run and others wait.
dies_below() {
    start_steved --jobs 2
    MAKEFLAGS="--jobserver-auth=fifo:$SERVER" spawn "$LIB/subreaper" "$NINJA_SHIM" -C tree
    building=$spawned
    wait_for 10 lives_jobs 2
    "$1"
    echo >go
    status_of "$building" 60
    echo "status $status"
    # No process of it is left, and it does not say that all is well without having built it.
    [ "$status" != 99 ]
    [ "$status" != 0 ] || [ "$(grep -c '^end' "$LOG")" = 22 ]
    "$LIB/concurrency" --expect-max 2 --killed "$LOG"
    rm -f "$LOG" go
}

@test 'steved dies during the build: it ends, and does not hang' {
    use_ninja 1.11
    jobs_named running 2 "until [ -e ../go ]; do sleep 0.01; done"
    jobs_named late 20
    for gate in $SHIM_GATES; do
        export NINJA_SHIM_GATE=$gate
        dies_below kill_steved
        dies_below stop_steved
    done
}
