#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Jobs of a gated ninja that are clients of the jobserver themselves, and gated ninjas below others:
# with K tokens and a slot that is paid for, exactly K + 1 jobs at the bottom.

# shellcheck disable=SC2016 # what single quotes hold is make's, or another shell's
# shellcheck disable=SC2154 # common.bash sets spawned
load ../lib/bash/common
load ../lib/bash/shim

setup() {
    shim_setup
    # What calls ninja finds the shim.
    PATH=${NINJA_SHIM%/*}:$PATH
}

# ninja_file DIR COMMAND... -- NUMBER: jobs that run a command each, and so many stamps.
ninja_file() {
    local dir=$1 number=0
    shift
    mkdir -p "$dir"
    {
        printf 'rule run\n  command = $command\n'
        printf 'rule job\n  command = "%s" "%s" %s.$out 0.03\n' "$STAMP" "$LOG" "${dir##*/}"
        while [ "$1" != -- ]; do
            number=$((number + 1))
            printf 'build run%d: run\n  command = %s\n' $number "$1"
            shift
        done
        [ "$2" = 0 ] || printf 'build %d: job\n' $(seq "$2")
    } >"$dir/build.ninja"
}

# succeeds COMMAND...: and nothing is left of it.
succeeds() {
    build gated "$@"
    tail -n 5 gated.raw
    [ "$(cat gated.status)" = 0 ]
    run ! grep -i 'jobserver\|tokens\|ninja-shim:' gated.raw
}

@test 'make 4.4.1 -j4, and two ninjas below it: exactly 4 jobs' {
    require_tool MAKE441
    at_once 4
    ninja_file a -- 30
    ninja_file b -- 30
    makefile outer.mk 'ninja -C a' 'ninja -C b'
    for version in $SHIM_NINJAS; do
        use_ninja "$version"
        for gate in $SHIM_GATES; do
            NINJA_SHIM_GATE=$gate succeeds "$MAKE441" -j4 -f outer.mk
            exactly 4 60
        done
    done
}

@test 'ninja in make in ninja, beside its own jobs: exactly 4 jobs' {
    require_tool MAKE441
    at_once 4
    "$LIB/make-tree" made 0.02 "$LOG"
    ninja_file inner -- 30
    makefile middle.mk 'ninja -C inner' '$(MAKE) -C made'
    ninja_file outer "$MAKE441 -f ../middle.mk -C .." -- 30
    sed -i 's|-f ../middle.mk -C ..|-C .. -f middle.mk|' outer/build.ninja
    for version in 1.11 1.13; do
        use_ninja "$version"
        for gate in $SHIM_GATES; do
            below_fifo 3
            NINJA_SHIM_GATE=$gate succeeds ninja -C outer
            exactly 4 120
            all_back 3
            below_pipe 3
            NINJA_SHIM_GATE=$gate succeeds ninja -C outer
            exactly 4 120
            all_back 3
        done
    done
}

@test 'ninja in ninja in ninja, with no slot to spare: exactly 1 job' {
    use_ninja 1.12
    ninja_file c -- 10
    ninja_file b 'ninja -C ../c' -- 10
    ninja_file a 'ninja -C ../b' -- 10
    for gate in $SHIM_GATES; do
        below_fifo 0
        NINJA_SHIM_GATE=$gate succeeds ninja -C a
        exactly 1 30
    done
}

@test 'jobwrap -- ninja in a job of ninja, and jobwrap around both: exactly 4 jobs' {
    at_once 4
    use_ninja 1.11
    ninja_file inner -- 30
    ninja_file outer "$JOBWRAP -- ninja -C ../inner" -- 30
    for gate in $SHIM_GATES; do
        export NINJA_SHIM_GATE=$gate
        below_fifo 3
        succeeds ninja -C outer
        exactly 4 60
        all_back 3
        MAKEFLAGS='' succeeds "$JOBWRAP" -j4 -- ninja -C outer
        exactly 4 60
        start_steved --jobs 4
        MAKEFLAGS="--jobserver-auth=fifo:$SERVER" succeeds ninja -C outer
        exactly 4 60
        wait_for 10 steved_has free 4
        MAKEFLAGS='' succeeds "$JOBWRAP" --parent="$SERVER" -- ninja -C outer
        exactly 4 60
        wait_for 10 steved_has free 4
        [ "$(steved_get reclaimed) $(steved_get dropped)" = '0 0' ]
    done
}

@test 'cargo in a job of ninja: exactly 3 jobs' {
    require cargo rustc
    at_once 3
    export CARGO_HOME=$PWD/cargo-home CARGO_NET_OFFLINE=true CARGO_TARGET_DIR=$PWD/target
    unset RUSTC_WRAPPER RUSTFLAGS CARGO_BUILD_JOBS CARGO_ENCODED_RUSTFLAGS
    use_ninja 1.11
    local crate
    mkdir workspace
    printf '[workspace]\nmembers = ["a", "b", "c", "d", "e"]\n' >workspace/Cargo.toml
    for crate in a b c d e; do
        mkdir -p workspace/$crate/src
        printf '[package]\nname = "%s"\nversion = "0.1.0"\nedition = "2021"\n' $crate \
            >workspace/$crate/Cargo.toml
        printf 'pub fn answer() -> u32 { 42 }\n' >workspace/$crate/src/lib.rs
        printf 'fn main() { %s }\n' \
            'std::process::Command::new(env!("STAMP")).args([env!("LOG"), "script", "0.2"]).status().unwrap();' \
            >workspace/$crate/build.rs
    done
    printf '#!/bin/sh\nexec "$STAMP" "$LOG" rustc -- "$@"\n' >rustc-wrapper
    chmod +x rustc-wrapper
    export RUSTC_WRAPPER=$PWD/rustc-wrapper
    ninja_file tree 'cargo build --quiet --manifest-path ../workspace/Cargo.toml' -- 30
    for gate in $SHIM_GATES; do
        rm -rf target
        below_fifo 2
        NINJA_SHIM_GATE=$gate succeeds ninja -C tree
        exactly 3
        [ "$(grep -c '^end script' "$LOG")" = 5 ]
        [ "$(grep -c '^end tree' "$LOG")" = 30 ]
        all_back 2
    done
}
