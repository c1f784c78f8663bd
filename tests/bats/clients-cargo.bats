#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# cargo below jobwrap: what runs at once is stamped by rustc's wrapper, by the build scripts, and by the
# jobs of a make that one of them starts. cargo itself loses tokens when a build fails.
# needs_the_plain_build: with sanitizers jobwrap-builds goes the same ways, in less time.

# shellcheck disable=SC2154 # common.bash sets spawned
load ../lib/bash/common

setup() {
    common_setup
    require cargo rustc
    export LOG=$BATS_TEST_TMPDIR/log CARGO_NET_OFFLINE=true CARGO_TERM_COLOR=never
    export CARGO_HOME=$BATS_TEST_TMPDIR/cargo-home CARGO_TARGET_DIR=$BATS_TEST_TMPDIR/target
    unset RUSTC_WRAPPER RUSTFLAGS CARGO_BUILD_JOBS CARGO_ENCODED_RUSTFLAGS
    workspace "$BATS_TEST_TMPDIR/workspace"
    cd "$BATS_TEST_TMPDIR/workspace" || return
}

# workspace DIR: seven crates with a build script each that runs a stamp, and one whose build script
# is a client of the jobserver: it runs make, as those of crates with C code do.
workspace() {
    local crate
    mkdir -p "$1"
    printf '[workspace]\nmembers = ["a", "b", "c", "d", "e", "f", "g", "native"]\n' >"$1/Cargo.toml"
    for crate in a b c d e f g; do
        crate "$1/$crate" 'new(env!("STAMP")).arg(env!("LOG")).arg("script").arg("0.3")'
    done
    crate "$1/native" 'new(env!("MAKE_PROGRAM")).env("MAKEFLAGS",
            std::env::var("CARGO_MAKEFLAGS").unwrap()).args(["-f", "../native.mk"])'
    # shellcheck disable=SC2016 # make's
    printf 'jobs = 1 2 3 4 5 6 7 8\nall: $(jobs)\n$(jobs):; @"$(STAMP)" "$(LOG)" native.$@ 0.1\n' \
        >"$1/native.mk"
    # shellcheck disable=SC2016 # the wrapper's
    printf '#!/bin/sh\nexec env -u STAMP_MEET "$STAMP" "$LOG" rustc -- "$@"\n' >"$1/rustc-wrapper"
    chmod +x "$1/rustc-wrapper"
}

crate() {
    mkdir -p "$1/src"
    printf '[package]\nname = "%s"\nversion = "0.1.0"\nedition = "2021"\n' "${1##*/}" >"$1/Cargo.toml"
    printf 'pub fn answer() -> u32 { 42 }\n' >"$1/src/lib.rs"
    printf 'fn main() {\n    let status = std::process::Command::%s.status().unwrap();\n%s\n}\n' \
        "$2" '    assert!(status.success());' >"$1/build.rs"
}

# The cargo of Debian 12 knows no fifo: and would run as many jobs as there are CPUs.
takes_fifo() {
    local version
    version=$(cargo --version)
    [[ $version =~ ^cargo\ 1\.([0-9]+) ]] && [ "${BASH_REMATCH[1]}" -ge 72 ]
}

# wrapped STYLE OPTION... -- CARGO-ARGUMENT...: with a make that takes the style.
wrapped() {
    local style=$1 options=()
    shift
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    shift
    MAKE_PROGRAM="make"
    if [ "$style" = fifo ]; then
        require_tool MAKE441
        MAKE_PROGRAM=$MAKE441
    fi
    export MAKE_PROGRAM
    "$JOBWRAP" --style="$style" "${options[@]}" cargo "$@"
}

# Scripts and rustc each of eight crates, make's eight jobs, and rustc when it is asked who it is.
all_built_by() {
    "$LIB/concurrency" --expect-exactly "$1" "$LOG"
    [ "$(grep -c '^end script ' "$LOG")" = 7 ]
    [ "$(grep -c '^end native' "$LOG")" = 8 ]
    [ "$(grep -c '^end rustc ' "$LOG")" -ge 16 ]
}

@test 'jobwrap -j3 cargo build, style auto: exactly 3 jobs' {
    at_once 3
    RUSTC_WRAPPER=$PWD/rustc-wrapper wrapped auto -j3 -- build --quiet
    all_built_by 3
}

@test 'jobwrap -j3 cargo build, style fifo: exactly 3 jobs' {
    at_once 3
    if takes_fifo; then
        RUSTC_WRAPPER=$PWD/rustc-wrapper wrapped fifo -j3 -- build --quiet
        all_built_by 3
    else
        # It makes a pool of its own, and its build still is what it would be without us.
        wrapped fifo -j3 -- build --quiet
    fi
}

@test 'cargo below a FIFO of 3: exactly 3 jobs, and all tokens back' {
    at_once 3
    make_fifo "$BATS_TEST_TMPDIR/parent" 3
    RUSTC_WRAPPER=$PWD/rustc-wrapper wrapped auto --parent="$BATS_TEST_TMPDIR/parent" -- build --quiet
    all_built_by 3
    fifo_has "$BATS_TEST_TMPDIR/parent" 3
}

@test 'cargo below steved --jobs 3: exactly 3 jobs, and all tokens back' {
    at_once 3
    start_steved --jobs 3
    RUSTC_WRAPPER=$PWD/rustc-wrapper wrapped auto --parent="$SERVER" -- build --quiet
    all_built_by 3
    wait_for 10 steved_has free 3
    [ "$(steved_get reclaimed) $(steved_get dropped)" = '0 0' ]
}

# It fails while others are under way, each with a token.
break_a_crate() {
    printf 'compile_error!("broken");\n' >>b/src/lib.rs
    sed -i 's/"0.3"/"0.5"/' [c-g]/build.rs
}

@test 'a cargo build that fails: its status, and all tokens back at a FIFO' {
    make_fifo "$BATS_TEST_TMPDIR/parent" 4
    break_a_crate
    run -101 wrapped auto --parent="$BATS_TEST_TMPDIR/parent" -- build --quiet
    [[ $output == *broken* ]]
    wait_for 10 fifo_has "$BATS_TEST_TMPDIR/parent" 4
}

@test 'a cargo build that fails: its status, and all tokens back at steved' {
    start_steved --jobs 4
    break_a_crate
    run -101 wrapped auto --parent="$SERVER" -- build --quiet
    [[ $output == *broken* ]]
    wait_for 10 steved_has free 4
}

@test 'a cargo build that is interrupted or killed: all tokens back at a FIFO' {
    make_fifo "$BATS_TEST_TMPDIR/parent" 4
    for signal in INT TERM; do
        rm -rf "$CARGO_TARGET_DIR" "$LOG"
        sed -i 's/"0.3"/"120"/' [a-g]/build.rs
        MAKE_PROGRAM="make" spawn setsid env --default-signal=INT "$JOBWRAP" \
            --parent="$BATS_TEST_TMPDIR/parent" cargo build --quiet
        wait_for 60 scripts_run 4
        # As the terminal does it: to all of them.
        kill -s "$signal" -- "-$spawned"
        wait_for 20 has_ended "$spawned"
        wait_for 20 fifo_has "$BATS_TEST_TMPDIR/parent" 4
        [ "$("$STAMP" --living "$LOG")" = 0 ]
    done
}

scripts_run() {
    [ -e "$LOG" ] && [ "$("$STAMP" --living "$LOG")" = "$1" ]
}
