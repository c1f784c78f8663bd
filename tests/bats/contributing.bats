#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Every command of CONTRIBUTING.md is run here as it stands there, in a tree of links to this one.
# needs_the_plain_build: one of the blocks builds with sanitizers itself.

load ../lib/bash/common
load ../lib/bash/documented

DOCUMENT=$ROOT/CONTRIBUTING.md

# Compiling takes as long as a busy machine lets it.
BATS_TEST_TIMEOUT=600

setup() {
    common_setup
    require meson
    mkdir "$BATS_TEST_TMPDIR/root" "$BATS_TEST_TMPDIR/bin"
    cd "$BATS_TEST_TMPDIR/root" || return
    link_tree
    stub_programs
}

# `check` only says which parts it would run: it is what runs this.
link_tree() {
    local file
    for file in "$ROOT"/*; do
        case ${file##*/} in
        build* | quickstart.d | check) ;;
        *) ln -s "$file" . ;;
        esac
    done
    ln -s "$BUILD" build
    printf '#!/bin/sh\nexec "%s" "$@" --list\n' "$ROOT/check" >check
    chmod +x check
}

# The log of `meson test` is not that which another part of check reads, and the bats of a block knows
# nothing of this one.
stub_programs() {
    printf '#!/bin/bash\n[ "$1" != test ] || set -- "$@" --logbase contributing\nexec "%s" "$@"\n' \
        "$(command -v meson)" >"$BATS_TEST_TMPDIR/bin/meson"
    printf '#!/bin/bash\nunset "${!BATS_@}" STEVED STEVECTL JOBWRAP STAMP\nexec "%s" "$@"\n' \
        "$(command -v bats)" >"$BATS_TEST_TMPDIR/bin/bats"
    chmod +x "$BATS_TEST_TMPDIR/bin"/*
    PATH=$BATS_TEST_TMPDIR/bin:$PATH
}

@test 'contributing: every command block has its test' {
    every_block_has_its_test
    [ "$(grep -c '^```' "$DOCUMENT")" = $((2 * $(grep -c '^```sh$' "$DOCUMENT"))) ]
}

@test 'contributing: a test by itself' {
    run_block 'One test'
    [[ $output == *' ledger '*OK*'ok 1 wrong usage'* ]]
    [[ $output == *$'\nbats.stevectl-commands\n'*$'\nunit\n'* ]]
}

@test 'contributing: the same with sanitizers' {
    export CFLAGS=-O0 # it compiles in half the time
    run_block 'With sanitizers'
    [[ $output == *' ledger '*OK*'ok 1 wrong usage'* ]]
    nm build-asan/steved/stevectl | grep -q __asan
}

# What they would run is shown; a root is not made for it.
@test 'contributing: other systems' {
    require_root
    require debootstrap
    run_block 'Other systems'
    [[ $output == *$'\nbats.stevectl-commands\n'*$'\nbats.steved-start\n'*$'\nfresh.quickstart'* ]]
}
