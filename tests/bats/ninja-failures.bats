#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# What ninja says when jobs fail is what it says without the shim, though jobs wait at the gate then: none
# of these is shown, and no output of theirs is removed. With the seccomp gate, which cannot do that, their
# output says why they were not run.

# shellcheck disable=SC2016 # what single quotes hold is for another shell
# shellcheck disable=SC2154 # common.bash sets spawned, run sets status and output
load ../lib/bash/common
load ../lib/bash/shim

setup() {
    shim_setup
    unset NINJA_STATUS
    new_tree
}

new_tree() {
    rm -rf tree
    mkdir tree
    printf '%s\n' 'rule job' '  command = $command' 'rule compile' '  command = $command' \
        '  depfile = $out.d' 'rule console' '  command = $command' '  pool = console' \
        >tree/build.ninja
}

# job RULE NAME COMMAND: a shell's, which tells its pid.
job() {
    local command="echo \$\$ >pid.$2; $3"
    printf 'build %s: %s %s\n  command = %s\n' "$2" "$1" "${NEEDS-}" "${command//\$/\$\$}" >>tree/build.ninja
}

# What comes when is decided by files and pids, not by time.
once() {
    printf 'n=0; until %s; do sleep 0.01; [ $((n += 1)) -lt 3000 ] || exit 99; done' "$1"
}

# Ninja has seen the end of that job.
reaped() {
    printf '[ -s pid.%s ] && ! kill -0 $(cat pid.%s) 2>/dev/null' "$1" "$1"
}

# failing_tree A B: of three at once, a ends first, then b, then one of twenty-one others, which stands for
# all of them. Who comes first to the gate is open, and so they wait until a and b have begun.
failing_tree() {
    job job begin "$(once '[ -s pid.a ] && [ -s pid.b ]')"
    job job a "$(once "$(reaped begin) && [ -e ran ]"); $1"
    job job b "$(once "$(reaped a)"); echo b says this; $2"
    NEEDS='|| begin'
    for number in $(seq 21); do
        job compile "w$number" "touch ran; $(once "$(reaped b)"); echo w"
    done
    NEEDS=
}

fresh() {
    rm -f tree/.ninja_* tree/pid.* tree/ran
    # Outputs of before, which are out of date, stay.
    for number in $(seq 21); do echo old >"tree/w$number"; done
}

# said_by LABEL COMMAND...: all that it says in its order, its status, and what it leaves behind.
said_by() {
    local label=$1 status=0
    shift
    fresh
    "$LIB/subreaper" "$@" >"$label.said" 2>&1 3>&- || status=$?
    echo "status $status" >>"$label.said"
    sed -i 's/w[0-9][0-9]*/w/g' "$label.said"
    find tree -name 'w*' | wc -l >"$label.outputs"
}

# alike OPTION...: the same words without the shim, three at once, and with it.
alike() {
    MAKEFLAGS='' said_by alone "$REAL" -j3 -C tree "$@"
    said_by gated "$NINJA_SHIM" -C tree "$@"
    diff alone.said gated.said
    all_back 2
    grep -q 'build stopped' gated.said
}

# fails_alike OPTION...: and no output is missing that is there alone.
fails_alike() {
    alike "$@"
    cmp alone.outputs gated.outputs
}

# with_each_ninja COMMAND...: at two tokens, by ptrace.
with_each_ninja() {
    export NINJA_SHIM_GATE=ptrace
    for version in $SHIM_NINJAS; do
        use_ninja "$version"
        below_fifo 2
        [ "$(jobs_given)" -ge 8 ]
        echo "ninja $version"
        "$@"
    done
}

@test 'a job fails: the same lines, the same status, the same files' {
    failing_tree 'echo the error; exit 3' true
    with_each_ninja fails_alike
    [ "$(grep -c FAILED gated.said)" = 1 ]
}

@test 'output without an end of its line' {
    failing_tree 'printf "an error"; exit 1' 'printf "more"'
    with_each_ninja fails_alike
}

@test 'a second one fails while what ran ends' {
    failing_tree 'echo the error; exit 3' 'exit 4'
    with_each_ninja fails_alike
    [ "$(grep -c FAILED gated.said)" = 2 ]
}

@test '-k 2, --quiet, -v, a status of its own' {
    failing_tree 'echo the error; exit 3' 'exit 4'
    with_each_ninja fails_alike -k2
    grep -q 'subcommands failed' gated.said
    with_each_ninja fails_alike --quiet
    with_each_ninja fails_alike -v
    export NINJA_STATUS='%f of %t: '
    with_each_ninja fails_alike
    export NINJA_STATUS=''
    with_each_ninja fails_alike
}

# ninja, interrupted, removes what it takes for half made.
@test 'a job that exits with 130, or is killed' {
    for how in 'exit 130' 'kill -INT $$' 'kill -TERM $$' 'kill -KILL $$'; do
        echo "$how"
        new_tree
        failing_tree "$how" true
        with_each_ninja alike
    done
}

@test 'the console pool: what waits has it, and nothing of what ran is lost' {
    job job a "echo first of a; $(once '[ -e started ]'); echo the error; exit 3"
    job console c 'touch ran'
    with_each_ninja console_waits
}

# One slot, for a, as a rule: then ninja keeps what a says for when the console is free.
console_waits() {
    local tries
    below_fifo 0
    for tries in {1..20}; do
        fresh
        rm -f tree/started
        spawn "$LIB/subreaper" "$NINJA_SHIM" -C tree >gated.said 2>&1 3>&-
        wait_for 10 sees 'touch ran' gated.said
        touch tree/started
        status_of "$spawned"
        [ -e tree/ran ] || break
    done
    cat gated.said
    [ ! -e tree/ran ]
    grep -q 'first of a' gated.said
    grep -q 'the error' gated.said
    [ "$(grep -c FAILED gated.said)" = 1 ]
    grep -q 'build stopped: subcommand failed' gated.said
    all_back 0
}

sees() {
    grep -q "$1" "$2"
}

@test 'a terminal: the same lines stay on it' {
    failing_tree 'echo the error; exit 3' true
    with_each_ninja on_terminal
}

# in_terminal COMMAND: what it shows, without the lines that are written over. Which of the two jobs that wait
# for the failing one ends last is a matter of chance.
in_terminal() {
    script -qec "$1" /dev/null </dev/null | tr -d '\r' | sed 's/.*\x1b\[K\(.\)/\1/; s/\x1b\[K//' |
        sed 's/pid\.w[12]/pid.w/' | grep -v '^\[[01]/' || true
}

on_terminal() {
    require script
    fresh
    MAKEFLAGS='' in_terminal "TERM=xterm $REAL -j3 -C tree" >alone.said
    fresh
    in_terminal "TERM=xterm $NINJA_SHIM -C tree" >gated.said
    diff alone.said gated.said
    grep -q 'build stopped' gated.said
}

@test 'output to a file that others append to' {
    failing_tree 'echo the error; exit 3' true
    use_ninja 1.13
    below_fifo 2
    echo before >log
    NINJA_SHIM_GATE=ptrace "$NINJA_SHIM" -C tree >>log || true
    echo after >>log
    [ "$(head -n 1 log) $(tail -n 2 log | tr '\n' ' ')" = \
        'before ninja: build stopped: subcommand failed. after ' ]
    [ "$(grep -c FAILED log)" = 1 ]
}

@test 'whoever started ninja has left it children of its own' {
    failing_tree 'echo the error; exit 3' true
    with_each_ninja beside_strangers
}

beside_strangers() {
    fresh
    "$LIB/subreaper" --limit 5 sh -c 'sleep 0.05 & sleep 60 & echo $! >sleeper; exec "$@"' - \
        "$NINJA_SHIM" -C tree >gated.said 2>&1 3>&- || true
    grep -q 'build stopped: subcommand failed' gated.said
    [ "$(grep -c FAILED gated.said)" = 1 ]
}

@test 'an interruption while what ran ends is one' {
    job job begin "$(once '[ -s pid.a ] && [ -s pid.b ]')"
    job job a "$(once "$(reaped begin) && [ -e ran ]"); exit 3"
    job job b 'exec sleep 60'
    NEEDS='|| begin' job compile w1 'touch ran; exec sleep 60'
    NEEDS='|| begin' job compile w2 'touch ran; exec sleep 60'
    with_each_ninja interrupted_late
}

interrupted_late() {
    fresh
    spawn env --default-signal=INT "$NINJA_SHIM" -C tree >gated.said 2>&1
    wait_for 10 sees FAILED gated.said
    kill -s INT "$spawned"
    status_of "$spawned"
    [ "$status" = 2 ] || [ "$status" = 130 ]
    grep -q 'build stopped: interrupted by user' gated.said
    [ ! -s tree/pid.w1 ] || [ ! -s tree/pid.w2 ]
    # Its gate may outlive it by a moment.
    wait_for 10 all_back 2
}

@test 'seccomp, samurai: what was not run says so, and they are few' {
    failing_tree 'echo the error; exit 3' true
    below_fifo 2
    use_ninja 1.11
    export NINJA_SHIM_GATE=seccomp
    [ "$(jobs_given)" -le $(($(nproc) + 3)) ]
    said_by gated "$NINJA_SHIM" -C tree -j8
    cat gated.said
    [ "$(grep -c FAILED gated.said)" = "$(($(grep -c 'not run, since another job has failed' gated.said) + 1))" ]
    [ "$(grep -c 'not run' gated.said)" -gt 1 ]
    all_back 2
    # Where the pool may grow, they are many.
    start_steved --jobs 2
    export MAKEFLAGS="--jobserver-auth=fifo:$SERVER"
    [ "$(jobs_given)" -ge 8 ]
}
