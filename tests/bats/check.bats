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

# as_ordinary_user COMMAND...: who has our stubs first on PATH, and no right to install.
as_ordinary_user() {
    local other=()
    stub sudo 'exit 1'
    [ "$(id -u)" != 0 ] || other=(setpriv --reuid=65534 --regid=65534 --clear-groups --)
    "${other[@]}" env PATH="$BIN:$PATH" TMPDIR=/tmp "$@"
}

# refused SAID ARGUMENT...: one line, which says that, status 2, and nothing is built.
refused() {
    local said=$1
    shift
    run -2 --separate-stderr ./check "$@"
    echo "$* : $stderr"
    [ "$output" = '' ] && [ "${#stderr_lines[@]}" = 1 ]
    [[ $stderr == "check: "*"$said"* ]]
    [ ! -e build ] && [ ! -e build-check ]
}

@test 'wrong arguments are quoted, and nothing is done' {
    refused "unknown option '--frob'" --frob
    refused "contains 'no-such-part'" no-such-part
    refused "contains 'no-such-part'" unit no-such-part
}

@test 'an ordinary user without the packages is told how to install them, and nothing is begun' {
    require apt-get
    stub dpkg-query 'exit 1'
    run -1 --separate-stderr as_ordinary_user ./check unit
    echo "$output $stderr"
    [ "$output" = '' ] && [ "${#stderr_lines[@]}" = 1 ]
    [[ $stderr =~ ^'check: please install, as root: apt-get install '([a-z0-9+.-]+ )+libcmocka-dev ]]
    [ ! -e build ] && [ ! -e build-check/plain ]
    # What other parts need is not asked for.
    [[ $stderr != *clang-tidy* && $stderr != *user-mode-linux* ]]
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
