#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# ninja-shim with K tokens and an implicit slot that somebody has paid for: exactly K + 1 of 60 mixed
# jobs at once, every token back, and what ninja says and returns is what it does alone. The first
# twelve jobs of the tree wait for K + 1 of them to live.
# needs_the_plain_build: with sanitizers the other files about ninja go the same ways, in less time.

# shellcheck disable=SC2016 # what single quotes hold is for another shell
# shellcheck disable=SC2154 # common.bash sets spawned, run sets status
load ../lib/bash/common
load ../lib/bash/shim

JOBS=60

# tree_alone: what the real one makes of the tree.
tree_alone() {
    "$LIB/make-ninja-tree" --jobs "$JOBS" tree "$LOG"
    MEET=9 alone -j9 -C tree
    [ "$(cat alone.status)" = 0 ]
}

# build_of N: a build of which N jobs run at once is the same as alone. What the jobs of samurai print
# is mixed with what those at the console do.
build_of() {
    clean tree
    MEET=$1 gated -C tree
    exactly "$1" "$JOBS"
    [ "$REAL" = "${SAMU-}" ] || same said
    same jobs status
}

# with_tokens fifo|pipe K...
with_tokens() {
    local kind=$1 tokens
    shift
    [ -e tree ] || tree_alone
    for tokens in "$@"; do
        "below_$kind" "$tokens"
        build_of $((tokens + 1))
        all_back "$tokens"
    done
}

@test 'ninja 1.11, a FIFO of 0, 1, 3, 8 tokens' {
    use_ninja 1.11
    with_tokens fifo 0 1 3 8
}

@test 'ninja 1.12, a FIFO of 0, 1, 3, 8 tokens' {
    use_ninja 1.12
    with_tokens fifo 0 1 3 8
}

@test 'ninja 1.13, a FIFO of 0, 1, 3, 8 tokens' {
    use_ninja 1.13
    with_tokens fifo 0 1 3 8
}

@test 'a pipe of 0, 1, 3, 8 tokens' {
    use_ninja 1.11
    with_tokens pipe 0 8
    use_ninja 1.13
    with_tokens pipe 1 3
}

@test 'a static ninja: there is nothing to preload into it' {
    use_ninja static
    run ! ldd "$REAL"
    with_tokens fifo 1 3
}

@test 'samurai' {
    use_ninja samu
    NINJA_SHIM=${NINJA_SHIM%/*}/samu
    with_tokens fifo 0 3
}

@test "the seccomp gate: a FIFO, a pipe" {
    export NINJA_SHIM_GATE=seccomp
    use_ninja 1.11
    with_tokens fifo 3
    use_ninja 1.12
    with_tokens pipe 1
    use_ninja 1.13
    with_tokens fifo 0 8
}

@test 'the ptrace gate, forced: a FIFO, a pipe' {
    export NINJA_SHIM_GATE=ptrace
    use_ninja 1.12
    with_tokens fifo 3
    with_tokens pipe 1
}

@test 'jobwrap -j4 -- ninja: exactly 4 jobs' {
    for version in $SHIM_NINJAS; do
        use_ninja "$version"
        [ -e tree ] || tree_alone
        clean tree
        MEET=4 build gated "$JOBWRAP" -j4 -- "$NINJA_SHIM" -C tree
        exactly 4 "$JOBS"
        same said jobs status
    done
    clean tree
    NINJA_SHIM_GATE=seccomp MEET=4 build gated "$JOBWRAP" -j4 -- "$NINJA_SHIM" -C tree
    exactly 4 "$JOBS"
}

# Nobody has paid for its implicit slot there: the shim does.
at_steved() {
    use_ninja "$1"
    [ -e tree ] || tree_alone
    start_steved --jobs "$2"
    export MAKEFLAGS="--jobserver-auth=fifo:$SERVER"
    build_of "$2"
    wait_for 10 steved_has free "$2"
    [ "$(steved_get reclaimed) $(steved_get dropped) $(steved_get unpaid)" = '0 0 0' ]
}

@test 'steved with K tokens, directly: exactly K jobs, since the slot is not paid for' {
    at_steved 1.11 1
    at_steved 1.12 3
    at_steved 1.13 8
    NINJA_SHIM_GATE=seccomp at_steved 1.11 3
}

@test 'another user: a FIFO, and the pipe of a root, which cannot be opened again' {
    require_nobody "$NINJA_SHIM"
    use_ninja 1.11
    as_nobody "$REAL" --version || missing 'another user cannot reach ninja'
    directory_for_all
    LOG=$OTHER/log
    "$LIB/make-ninja-tree" --jobs "$JOBS" "$OTHER/tree" "$LOG"
    chmod -R a+rwX "$OTHER"
    MEET=9 alone -j9 -C "$OTHER/tree"
    for gate in $SHIM_GATES; do
        for kind in fifo pipe; do
            "below_$kind" 3
            if [ $kind = fifo ]; then
                mkfifo -m 0666 "$OTHER/$gate"
                PARENT=$OTHER/$gate
                exec {FIFO_FD}<>"$PARENT"
                printf +++ >&"$FIFO_FD"
                MAKEFLAGS=" -j4 --jobserver-auth=fifo:$PARENT"
            fi
            clean "$OTHER/tree"
            chmod 0777 "$OTHER/tree/out"
            MEET=4 NINJA_SHIM_GATE=$gate build gated setpriv --reuid=65534 --regid=65534 \
                --clear-groups -- "$NINJA_SHIM" -C "$OTHER/tree"
            exactly 4 "$JOBS"
            same said jobs status
            all_back 3
        done
    done
}
