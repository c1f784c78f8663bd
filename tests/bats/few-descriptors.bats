#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Where few descriptors may be open, memory runs out, and files may not grow: it is said, and nothing hangs and nothing
# is lost. By hand all numbers of descriptors from 3 to 40 are worth a try, and allocations up to 250.

load ../lib/bash/common

setup() {
    common_setup
    : "${JOBGATE:=$BUILD/ninja-shim/jobgate}" "${NINJA_SHIM:=$BUILD/ninja-shim/ninja}"
    : "${MAKE_SHIM:=$BUILD/ninja-shim/make}"
    export JOBGATE NINJA_SHIM MAKE_SHIM
    # needs_the_plain_build: a sanitizer wants descriptors of its own.
    ! is_sanitized || skip 'a build with sanitizers has more'
}

# few [OPTION...] KIND N...
few() {
    local options=()
    while [[ $1 == -* ]]; do
        options+=("$1")
        shift
    done
    mkdir -p "$BATS_TEST_TMPDIR/few.$1"
    "$LIB/few-descriptors" "${options[@]}" "$1" "$BATS_TEST_TMPDIR/few.$1" "${@:2}"
}

@test 'a jobwrap with a pool of its own' {
    few root 6 9 11 14 16
}

@test 'a jobwrap below a FIFO, and one below another' {
    few fifo 5 14 17 20 23 30
    few outer 22 30
}

@test 'a jobwrap that may raise its own limit, which is not that of its command' {
    few --soft root 14
}

@test 'jobgate' {
    few jobgate 5 8 20 40
}

@test "ninja's shim" {
    require ninja
    NINJA=$(command -v ninja)
    export NINJA
    few ninja 5 8 18 40
}

@test "make's shim" {
    require make
    few make 4 13 18 40
}

@test 'memory runs out: a jobwrap with a pool of its own, and one below a FIFO' {
    few --allocations root 1-6 18-26 60
    few --allocations --once fifo 9 40
}

@test 'memory runs out: jobgate says that what it cannot hold back is ended' {
    few --allocations jobgate 1 60 125 140
}

@test 'memory runs out: the shims start no build that leaves the jobserver' {
    require make ninja
    NINJA=$(command -v ninja)
    export NINJA
    few --allocations --once make 3-9
    few --allocations --once ninja 2 20
}

# without_files COMMAND...: what it says goes through a pipe.
without_files() {
    (ulimit -f 0 && "$@") 2>&1 | cat
    return "${PIPESTATUS[0]}"
}

@test 'ulimit -f 0: what cannot be written is said, and the build is as without' {
    cd "$BATS_TEST_TMPDIR"
    run -3 without_files "$JOBWRAP" --parent=none --report=report sh -c 'exit 3'
    [ "$output" = 'jobwrap: write report: File too large' ]
    [ -z "$(echo report*)" ] || [ "$(echo report*)" = 'report*' ]
    run -0 without_files "$JOBWRAP" --parent=none -j2 --memory=on \
        "$JOBGATE" --jobs-of=xargs xargs -a /dev/null true
    run -0 without_files "$JOBWRAP" --parent=none -j2 --memory=on \
        "$JOBGATE" --jobs-of=sh sh -c 'sleep 0; echo job; exit 0'
    [[ $output == *job* ]]
    [[ $output == *"jobgate: memory history: $XDG_CACHE_HOME/jobwrap/memory.sqlite: disk I/O error"* ]]
    run -125 without_files "$JOBWRAP" --memory-history list
    [[ $output == "jobwrap: memory history: "*": disk I/O error"* ]]
}

@test 'ulimit -f 0: the gate by seccomp needs no file' {
    run -0 without_files "$JOBWRAP" --parent=none -j2 --memory=off "$JOBGATE" --gate=seccomp \
        --jobs-of=sh sh -c 'sleep 0; echo job; exit 0'
    [ "$output" = job ]
}
