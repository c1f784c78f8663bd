#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# A random signal at a random moment to ninja, the sidecar, its keeper or a job, 80 times
# ($SHIM_ROUNDS; of each other kind a fourth as often): see shim-rounds for what must hold. What it
# prints of a round that has failed, the seed and all, shows that round again.

# shellcheck disable=SC2154 # common.bash sets spawned
load ../lib/bash/common
load ../lib/bash/shim

setup() {
    shim_setup
    SERVER=
}

# rounds NUMBER PARENT [OPTION...]
rounds() {
    local number=$1 parent=$2 real=()
    shift 2
    for version in $SHIM_NINJAS; do
        use_ninja "$version"
        real+=(--real "$REAL")
    done
    unset NINJA_SHIM_REAL
    mkdir rounds
    "$LIB/shim-rounds" --rounds "$number" "${real[@]}" \
        ${SERVER:+--server "$SERVER"} "$@" "$parent" rounds
}

all() {
    echo "${SHIM_ROUNDS:-80}"
}

some() {
    echo $((($(all) + 3) / 4))
}

@test 'a FIFO' {
    rounds "$(all)" fifo
}

@test 'a pipe' {
    rounds "$(some)" pipe
}

@test 'steved' {
    start_steved --jobs 2
    rounds "$(some)" steved
}

@test 'the seccomp gate' {
    export NINJA_SHIM_GATE=seccomp
    rounds "$(some)" fifo
}

@test 'two signals, one after the other' {
    rounds "$(some)" fifo --kills 2
}

@test 'two signals, one after the other, the seccomp gate at steved' {
    export NINJA_SHIM_GATE=seccomp
    start_steved --jobs 2
    rounds "$(some)" steved --kills 2
}
