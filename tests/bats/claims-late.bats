#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Below one client of steved: whoever waits for a token waits for a claim on that client's as well, and has it
# when it becomes free, however few tokens there are.

# shellcheck disable=SC2016 # what single quotes hold is another shell's, or make's
# shellcheck disable=SC2153,SC2154 # common.bash sets SERVER and spawned, run sets status and output
load ../lib/bash/common
load ../lib/bash/shim
load ../lib/bash/pytest

setup() {
    pytest_setup
    : "${JOBGATE:=$BUILD/ninja-shim/jobgate}"
    printf 'rule job\n  command = "%s" "%s" $out 0.05\nbuild late: job\n' "$STAMP" "$LOG" >build.ninja
    mkfifo gate
    exec {gate}<>gate
}

waits() {
    [ "$(steved_get waiting)" -ge 1 ]
}

# comes_late COMMAND...: below a shell that has the only token, which a jobwrap has claimed (with -j1, or it
# would wait for more). Once that has
# ended the command's jobs run, at most one at a time, though the shell keeps its token until the end.
comes_late() {
    rm -f "$LOG" claimed
    start_steved --jobs 1
    MAKEFLAGS=" -j --jobserver-auth=fifo:$SERVER" spawn bash -euc "exec $gate>&-"'
        exec 3<>"$0"
        dd bs=1 count=1 <&3 >token 2>/dev/null
        "$JOBWRAP" -j1 -- "$STAMP" "$LOG" first -- sh -c ": >claimed; read -r _ <gate" 3>&- &
        until [ -e claimed ]; do sleep 0.01; done
        "$@" 3>&- </dev/null
        wait' "$SERVER" "$@" >said 2>&1
    # What waits before that might be the jobwrap.
    wait_for 20 test -e claimed
    wait_for 20 waits
    lives_jobs 1
    echo >&"$gate"
    status_of "$spawned" 60
    cat said
    [ "$status" = 0 ]
    wait_for 10 steved_has free 1
    [ "$(steved_get dropped)" = 0 ]
}

@test 'jobwrap' {
    comes_late "$JOBWRAP" -- "$STAMP" "$LOG" late 0.05
    exactly 1 2
}

@test 'two jobwraps in one another' {
    comes_late "$JOBWRAP" -- "$JOBWRAP" -- "$STAMP" "$LOG" late 0.05
    exactly 1 2
}

@test 'ninja, at each gate' {
    use_ninja 1.11
    for NINJA_SHIM_GATE in $SHIM_GATES; do
        export NINJA_SHIM_GATE
        comes_late "$NINJA_SHIM" -j 2
        exactly 1 2
    done
}

@test 'ninja with no gate, which runs one job at a time' {
    ! is_sanitized || skip 'sanitizers need ptrace themselves'
    use_ninja 1.11
    comes_late "$LIB/without-gates" refused "$NINJA_SHIM"
    grep -q 'using -j1' said
    exactly 1 2
}

@test 'ninja whose jobs have tokens uses the slot for the next' {
    use_ninja 1.11
    for number in 1 2 3 4 5 6; do
        printf 'build %s: job\n' "$number"
    done >>build.ninja
    comes_late "$NINJA_SHIM" -j 4
    exactly 1 8
}

@test 'jobgate' {
    comes_late "$JOBGATE" --jobs-of=xargs -- sh -c 'echo late | xargs -I@ "$STAMP" "$LOG" @ 0.05'
    exactly 1 2
}

@test 'pytest alone, and with workers' {
    ! is_sanitized || skip 'sanitizers see nothing of Python programs'
    suite many a
    for arguments in '' '-n 2'; do
        # shellcheck disable=SC2086 # words
        comes_late "$PYTEST" -p no:cacheprovider $arguments
        tail -n 1 said | grep ' passed in '
        exactly 1
    done
}

# --- make, whose recipes are two jobwraps beside one another ---

# beside RECIPE N: a make directly at steved with N tokens and N + 1 jobs of this recipe.
beside() {
    local jobs
    rm -f "$LOG" ./*.began
    at_once "$2"
    start_steved --jobs "$2"
    jobs=$(seq -s ' ' $(($2 + 1)))
    printf 'all: %s\n%s:\n\t@%s\n' "$jobs" "$jobs" "$1" >beside.mk
    MAKEFLAGS=" -j --jobserver-auth=fifo:$SERVER" run -0 timeout 200 "$MAKE441" -f beside.mk
    wait_for 10 steved_has free "$2"
}

@test 'make at steved whose recipes are A & B; wait: exactly as many jobs as tokens' {
    require_tool MAKE441
    for n in 1 2 3 4 6; do
        beside '"$(JOBWRAP)" -- "$(STAMP)" "$(LOG)" $@a 0.3 & "$(JOBWRAP)" -- "$(STAMP)" "$(LOG)" $@b 0.3; wait' "$n"
        exactly "$n" $((2 * n + 2))
    done
}

@test 'make at steved whose recipes are A | B, and A is first: exactly as many jobs as tokens' {
    require_tool MAKE441
    for n in 1 2 4; do
        beside '"$(JOBWRAP)" -- "$(STAMP)" "$(LOG)" $@a -- sh -c ": >$@.began; sleep 0.3; echo $@" | { until [ -e $@.began ]; do sleep 0.01; done; "$(JOBWRAP)" -- "$(STAMP)" "$(LOG)" $@b -- cat; }' "$n"
        exactly "$n" $((2 * n + 2))
        [ "$(sort -n <<<"$output" | grep -c '^[0-9]*$')" = $((n + 1)) ]
    done
}

# below_jobwrap RECIPE N [OPTION...]: as beside, below a jobwrap with N tokens.
below_jobwrap() {
    local jobs
    rm -f "$LOG" ./*.began
    at_once "$2"
    jobs=$(seq -s ' ' $(($2 + 1)))
    printf 'all: %s\n%s:\n\t@%s\n' "$jobs" "$jobs" "$1" >beside.mk
    run -0 timeout 200 "$JOBWRAP" -j"$2" "${@:3}" -- "$MAKE441" -f beside.mk
}

@test 'make below a jobwrap whose recipes are A & B; wait: exactly as many jobs as tokens' {
    require_tool MAKE441
    for n in 1 2 3 4; do
        below_jobwrap '"$(JOBWRAP)" -- "$(STAMP)" "$(LOG)" $@a 0.3 & "$(JOBWRAP)" -- "$(STAMP)" "$(LOG)" $@b 0.3; wait' "$n"
        exactly "$n" $((2 * n + 2))
    done
    start_steved --jobs 3
    below_jobwrap '"$(JOBWRAP)" -- "$(STAMP)" "$(LOG)" $@a 0.3 & "$(JOBWRAP)" -- "$(STAMP)" "$(LOG)" $@b 0.3; wait' 3 \
        --parent="$SERVER"
    exactly 3 8
    wait_for 10 steved_has free 3
}

@test 'make below a jobwrap whose recipes are pytest | pytest: exactly as many jobs as tokens' {
    require_tool MAKE441
    ! is_sanitized || skip 'sanitizers see nothing of Python programs'
    suite many a
    export PYTEST TESTS=1 JOB_SECONDS=0.2
    for n in 1 2; do
        rm -f "$LOG.met"
        MEET=$n below_jobwrap '"$(PYTEST)" -p no:cacheprovider -q | "$(PYTEST)" -p no:cacheprovider -q' "$n"
        # Each collects, and runs a test.
        exactly "$n" $((4 * n + 4))
        [ "$(grep -c '1 passed in' <<<"$output")" = $((n + 1)) ]
    done
}

# joined FIRST SECOND: a pipeline below the holder of the only token, whose two jobwraps say why they wait.
joined() {
    start_steved --jobs 1
    MAKEFLAGS=" -j --jobserver-auth=fifo:$SERVER" spawn bash -euc 'exec 3<>"$0"
        dd bs=1 count=1 <&3 >token 2>/dev/null
        { eval "$1"; } 3>&- | { eval "$2"; } 3>&-' "$SERVER" "$1" "$2" >said 2>&1
    wait_for 20 grep 'jobwrap: waiting for a token' said
}

@test 'B of A | B has the only claim, and waits for A: A says so, and goes on with the next token' {
    joined 'until [ -e began ]; do sleep 0.01; done; "$JOBWRAP" -- echo done' \
        '"$JOBWRAP" -- sh -c ": >began; cat"'
    [ "$(grep -c jobwrap: said)" = 1 ]
    grep -qE ' sh -c : >began; cat .*\(pid [0-9]+\) uses the slot of this pipeline and reads what this command will write: if it waits for that, neither continues until a token is free$' said
    "$STEVECTL" --server "$SERVER" set jobs=2
    status_of "$spawned"
    [ "$status" = 0 ]
    [ "$(tail -n 1 said)" = 'done' ]
}

@test 'A of A | B has the only claim, and has filled the pipe: B says so' {
    joined '"$JOBWRAP" -- sh -c ": >began; head -c 100000 /dev/zero"' \
        'until [ -e began ]; do sleep 0.01; done; "$JOBWRAP" -- wc -c'
    grep -qE '\(pid [0-9]+\) uses the slot of this pipeline and has filled the pipe that this command will read: if it' said
    "$STEVECTL" --server "$SERVER" set jobs=2
    status_of "$spawned"
    [ "$status" = 0 ]
    [ "$(tail -n 1 said)" = 100000 ]
}

@test 'A of A | B has the only claim, and may go on: nothing is said of it' {
    joined '"$JOBWRAP" -- sh -c ": >began; echo done; read -r _ <gate"' \
        'until [ -e began ]; do sleep 0.01; done; "$JOBWRAP" -- cat'
    run ! grep 'the slot of this pipeline' said
    echo >&"$gate"
    status_of "$spawned"
    [ "$status" = 0 ]
    [ "$(tail -n 1 said)" = 'done' ]
}

@test 'who waits for a claim and is killed leaves it to the next' {
    start_steved --jobs 1
    MAKEFLAGS=" -j --jobserver-auth=fifo:$SERVER" spawn bash -euc "exec $gate>&-"'
        exec 3<>"$0"
        dd bs=1 count=1 <&3 >token 2>/dev/null
        "$JOBWRAP" -j1 -- sh -c ": >claimed; read -r _ <gate" 3>&- &
        until [ -e claimed ]; do sleep 0.01; done
        "$JOBWRAP" -- : 3>&- & echo $! >second
        until [ -e next ]; do sleep 0.01; done
        "$JOBWRAP" -- "$STAMP" "$LOG" third 0 3>&-
        wait' "$SERVER" >said 2>&1
    wait_for 20 steved_has waiting 1
    : >next
    wait_for 20 steved_has waiting 2
    kill -KILL "$(cat second)"
    wait_for 20 steved_has waiting 1
    echo >&"$gate"
    status_of "$spawned"
    [ "$status" = 0 ]
    exactly 1 1
}
