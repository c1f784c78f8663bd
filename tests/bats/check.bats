#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# What ./check says before it tests anything, in a copy of the repository: with what it cannot do, and to
# an ordinary user who lacks packages; and where it builds. needs_the_plain_build: nothing runs that was
# built.

load ../lib/bash/common

# Other users must reach it; teardown_file removes it.
setup_file() {
    load ../lib/bash/common
    COPY=$(mktemp -d /tmp/check-test.XXXXXX)
    tar -c -C "$ROOT" --exclude='./build*' --exclude=./quickstart.d --exclude=./.git . | tar -x -C "$COPY"
    chmod 0777 "$COPY"
    export COPY
}

teardown_file() {
    rm -rf "$COPY"
}

setup() {
    common_setup
    cd "$COPY" || return
    BIN=$(mktemp -d "$COPY/bin.XXXXXX")
    chmod 0755 "$BIN"
    unset CI
}

# stub NAME LINE...: a program that comes first on PATH.
stub() {
    local name=$1
    shift
    printf '%s\n' '#!/bin/sh' "$@" >"$BIN/$name"
    chmod 0755 "$BIN/$name"
}

@test 'it builds in folders of its own, not in build/' {
    require meson
    # shellcheck disable=SC2016 # for that shell
    stub meson 'echo "$@" >>"$(dirname "$0")/calls"'
    for part in build asan.build; do
        PATH=$BIN:$PATH run -0 ./check --part $part
    done
    [ "$(grep -c "build-check/plain" "$BIN/calls")" = 2 ]
    [ "$(grep -c "build-check/sanitized" "$BIN/calls")" = 2 ]
    [ "$(wc -l <"$BIN/calls")" = 4 ]
}
