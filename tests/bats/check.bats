#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# What ./check says before it tests anything, where it builds, and how it reads unit tests, in a copy of
# the repository. needs_the_plain_build: nothing runs that was built.

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
    refused "option '--user' needs an argument" --user
    refused "'Bad Name' is not a user's name" --root trixie --user 'Bad Name'
    refused "'somebody' is for a run with --root" --user somebody unit
    refused "'' is not SUITE" --root= unit
    refused "'Trixie' is not SUITE" --root Trixie
    refused "'trixie/' is not SUITE" --root trixie/
    refused "'../x' is not SUITE" --root=../x
    refused "'trixie/vax': no programs of 'vax' run here" --root trixie/vax
}

@test 'a root needs root' {
    run -2 --separate-stderr as_ordinary_user ./check --root trixie unit
    [[ $stderr == "check: --root: 'trixie' needs root, "* ]]
}

@test 'a root needs debootstrap, and a suite that it knows' {
    require_root
    require debootstrap
    refused "debootstrap knows no suite 'no-such-suite'" --root no-such-suite unit
    ln -sf /usr/bin/* /bin/* "$BIN/"
    rm -f "$BIN/debootstrap" "$BIN/apt-get"
    PATH=$BIN refused "'trixie' needs debootstrap, which cannot be installed: " --root trixie unit
}

@test 'a part is there for a fresh root only' {
    require_root
    require debootstrap
    run -0 ./check --list
    run ! grep -x fresh.quickstart <<<"$output"
    for arguments in --root '--root trixie' --root=trixie; do
        # shellcheck disable=SC2086 # words
        run -0 ./check $arguments --list
        [ "${lines[0]}" = fresh.quickstart ]
    done
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

# tap_of STATUS STDOUT RESULT: what is made of a unit test that meson says this of, and ends so.
tap_of() {
    printf '{"name": "it", "returncode": 0, "stderr": "", "stdout": "%s", "result": "%s"}\n' "$2" "$3" \
        >"$BATS_TEST_TMPDIR/log"
    # shellcheck disable=SC2016 # for that shell
    stub meson 'cp "$BATS_TEST_TMPDIR/log" "$3/meson-logs/testlog.json"' "exit $1"
    mkdir -p "$BATS_TEST_TMPDIR/meson-logs"
    PATH=$BIN:$PATH tests/lib/meson-tap "$BATS_TEST_TMPDIR"
}

@test 'a unit test that cmocka skips has not failed, whatever meson says' {
    run -0 tap_of 1 '1..2\nok 1 - a\nnot ok 2 - b # SKIP\n' FAIL
    [ "$output" = $'ok 1 it: a\nnot ok 2 it: b # SKIP\n1..2' ]
    run -1 tap_of 1 '1..2\nnot ok 1 - a\nnot ok 2 - b # SKIP\n' FAIL
    [ "$output" = $'not ok 1 it: a\nnot ok 2 it: b # SKIP\n1..2' ]
}

@test 'a unit test that prints before its plan has failed, whatever meson says' {
    run -0 tap_of 0 '# seed 1\n1..1\nok 1 - a\n' OK
    [ "$output" = $'ok 1 it: a\nnot ok 2 it: something is printed before the plan\n1..2' ]
    run -0 tap_of 0 'TAP version 13\n1..1\nok 1 - a\n' OK
    [ "$output" = $'ok 1 it: a\n1..1' ]
}

@test 'how each failure begins is said once more before the closing line' {
    local dir=$BATS_TEST_TMPDIR
    printf '%s\n' 1..3 'ok 1 a' 'not ok 2 b' '# where' '# what' '# more' '# and more' 'ok 3 c' >"$dir/bats.x.tap"
    echo 1 2.0 1.0 >"$dir/bats.x.status"
    : >"$dir/bats.x.err"
    run -1 tests/lib/tally all "$dir"
    [ "$output" = $'failed: bats.x: not ok 2 b\n    # where\n    # what\n    # more\n2 passed, 1 failed' ]
}
