#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# A ninja below the gate at a terminal, and signals that are sent to it alone: it ends, stops and goes on
# as it does without the shim, and what waits for a token is not run. One token: two jobs run.

# shellcheck disable=SC2016 # what single quotes hold is for another shell
# shellcheck disable=SC2154 # common.bash sets spawned and status
load ../lib/bash/common
load ../lib/bash/shim

setup() {
    shim_setup
    unset NINJA_STATUS
}

# tree COMMAND [POOL]: twelve jobs of a shell's command, in a pool.
tree() {
    rm -rf tree
    mkdir tree
    {
        printf 'rule job\n  command = "%s" "%s" $out -- sh -c \x27%s\x27\n' "$STAMP" "$LOG" "$1"
        [ $# = 1 ] || printf '  pool = %s\n' "$2"
        printf 'build %d: job\n' $(seq "${JOBS:-12}")
    } >tree/build.ninja
}

# children: how many of the twelve are started, and wait but for two.
children() {
    local given
    given=$(jobs_given)
    echo $((given < 12 ? given : 12))
}

# alike SCENARIO: with each ninja, without and with each gate, where all others that are started wait.
alike() {
    for version in $SHIM_NINJAS; do
        use_ninja "$version"
        below_fifo 1
        typed alone "$1" 2 "MAKEFLAGS= $REAL -j2 -C tree"
        for gate in $SHIM_GATES; do
            export NINJA_SHIM_GATE=$gate
            echo "ninja $version, $gate"
            typed gated "$1" "$(children)" "$NINJA_SHIM -C tree"
            diff alone.typed gated.typed
            same jobs
            "$LIB/concurrency" --expect-max 2 --killed "$LOG"
            wait_for 10 all_back 1
        done
    done
}

# typed LABEL SCENARIO CHILDREN COMMAND: nothing is left behind, whatever was typed.
typed() {
    rm -f "$LOG"
    "$LIB/subreaper" "$LIB/terminal/ninja-terminal" "$2" "$3" "$4" "$LOG" >"$1.typed"
    # All are the same, and which of them comes first to the gate is open.
    grep -c ^start "$LOG" >"$1.jobs"
}

@test '^C: the status and words are the same, and no job that waits is run' {
    tree 'exec sleep 60'
    alike interrupt
    [ "$(cat gated.jobs)" = 2 ]
}

@test '^\: the status is the same, and no job that waits is run' {
    tree 'read -r line <../go'
    mkfifo go
    alike quit
}

@test '^Z and fg: it stops, goes on and completes' {
    tree 'read -r line <../go'
    mkfifo go
    alike suspend
    [ "$(cat gated.jobs)" = 12 ]
}

@test '^Z and fg while a job has the console' {
    JOBS=1 tree 'echo be""gun; read -r line; echo got $$line' console
    alike console
}

@test 'the terminal goes away: so does all of it' {
    tree 'exec sleep 60'
    alike hangup
    [ "$(cat gated.jobs)" = 2 ]
}

# In the background of a script, SIGINT and SIGQUIT are ignored from the start.
spawn_with_default_signals() {
    spawn "$LIB/subreaper" sh -c 'echo $$ >pid; exec env --default-signal=INT,QUIT "$@"' - "$@"
}

# signalled LABEL SIGNAL COMMAND...: to ninja alone, while two of its jobs run.
signalled() {
    local label=$1 signal=$2
    shift 2
    rm -f "$LOG" pid
    spawn_with_default_signals "$@" >"$label.raw" 2>&1
    wait_for 10 lives_jobs 2
    kill -s "$signal" "$(cat pid)"
    status_of "$spawned"
    echo "$status" >"$label.status"
    grep -c ^start "$LOG" >"$label.jobs"
}

@test 'INT, TERM, HUP to ninja alone: status and jobs are the same' {
    tree 'exec sleep 60'
    for version in $SHIM_NINJAS; do
        use_ninja "$version"
        below_fifo 1
        for signal in INT TERM HUP; do
            MAKEFLAGS='' signalled alone $signal "$REAL" -j2 -C tree
            for gate in $SHIM_GATES; do
                echo "ninja $version, $signal, $gate"
                NINJA_SHIM_GATE=$gate signalled gated $signal "$NINJA_SHIM" -C tree
                same jobs status
                [ "$(grep 'build stopped' alone.raw)" = "$(grep 'build stopped' gated.raw)" ]
                wait_for 10 all_back 1
            done
        done
    done
}

# It has no handlers of its own, unlike ninja, which even below nohup ends by a hangup.
@test 'a hangup that samurai ignores: the build goes on' {
    use_ninja samu
    tree 'until [ -e ../go ]; do sleep 0.01; done'
    below_fifo 0
    for gate in $SHIM_GATES; do
        rm -rf "$LOG" go tree/out tree/.ninja_log
        NINJA_SHIM_GATE=$gate spawn sh -c 'trap "" HUP; exec "$@"' sh "$NINJA_SHIM" -C tree
        wait_for 10 lives_jobs 1
        kill -s HUP "$spawned"
        touch go
        status_of "$spawned"
        [ "$status" = 0 ]
        all_back 0
    done
}
