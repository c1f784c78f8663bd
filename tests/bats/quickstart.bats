#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# The first command of the README, for real, in a clean copy of the repository: one full run, one by
# the other way, and one in which it must find that too many jobs ran.

load ../lib/bash/common

setup_file() {
    load ../lib/bash/common
    CLONE=$BATS_FILE_TMPDIR/clone
    if [ -e "$ROOT/.git" ]; then
        git clone --quiet "$ROOT" "$CLONE"
    else
        mkdir "$CLONE"
        tar -c -C "$ROOT" --exclude='./build*' --exclude=./quickstart.d . | tar -x -C "$CLONE"
    fi
    export CLONE
}

setup() {
    common_setup
    cd "$CLONE" || return
    export XDG_CACHE_HOME=$BATS_FILE_TMPDIR/cache # fetched once
    STAMPS=$CLONE/quickstart.d/stamps
}

# No steved may keep bats' own descriptor.
quickstart() {
    ./quickstart "$@" 3>&-
}

# Beside other tests on two processors, the full run may take minutes.
# shellcheck disable=SC2034 # bats reads it
BATS_TEST_TIMEOUT=600

# It builds its own programs, so that a run with sanitized ones would show nothing new.
needs_the_plain_build() {
    ! is_sanitized || skip 'builds its own programs, as the run with the plain build did'
    require gcc make meson ninja pkg-config apt-get
}

# program NAME LINE...: a script that comes first on PATH.
program() {
    local file=$BATS_TEST_TMPDIR/bin/$1
    shift
    mkdir -p "${file%/*}"
    printf '%s\n' '#!/bin/sh' "$@" >"$file"
    chmod +x "$file"
    PATH=${file%/*}:$PATH
}

# A new user has no cmocka, so that no unit test is compiled; and that what is built here is optimised as
# it should be is what the other parts show.
new_user_in_a_hurry() {
    # shellcheck disable=SC2016 # for those scripts
    program pkg-config 'case " $* " in *" cmocka "*) exit 1 ;; esac' "exec $(command -v pkg-config) \"\$@\""
    program cmake 'exit 1'
    export CFLAGS=-O0
}

@test 'quickstart builds two real trees under one pool' {
    needs_the_plain_build
    new_user_in_a_hurry
    run quickstart
    echo "$output"
    [ "$status" = 0 ]
    [[ $output == *'Shown: two builds shared '* ]]
    [[ $output == *'zstd'*'pixman'* ]]
    [[ ${lines[-1]} == *": $CLONE/quickstart.d/jobs.svg" ]]
    "$LIB/concurrency" --expect-max "$(nproc)" "$STAMPS"
    [ "$(grep -c '^start make ' "$STAMPS")" -gt 30 ]
    [ "$(grep -c '^start ninja ' "$STAMPS")" -gt 80 ]
    run -1 is_mounted "$CLONE/quickstart.d/pool"
    [ -z "$(git status --porcelain 2>/dev/null)" ]
}

@test 'quickstart runs again, without a daemon' {
    needs_the_plain_build
    fetched_once
    HOME=$BATS_TEST_TMPDIR/nowhere run quickstart --way=jobwrap --fast --jobs 3
    echo "$output"
    [ "$status" = 0 ]
    [[ $output == *'a jobwrap around both builds is the pool'* ]]
    "$LIB/concurrency" --expect-max 3 "$STAMPS"
    [ ! -e "$BATS_TEST_TMPDIR/nowhere" ]
    [ -d quickstart.d/downloads ]
}

# compiler_that_only_writes: of the trees, what the compiler would have written, empty; it configures them,
# though.
compiler_that_only_writes() {
    # shellcheck disable=SC2016 # for that script
    program cc "[ -n \"\${QUICKSTART_LOG-}\" ] || exec $(command -v cc) \"\$@\"" \
        'while [ $# -gt 0 ]; do' \
        '    [ "$1" != -o ] || : >"$2"' \
        '    shift' \
        'done'
}

# fetched_once: the trees come from what another test has fetched, wherever they go.
fetched_once() {
    local package
    for package in libzstd pixman; do
        examples/quickstart/fetch-tree $package "$BATS_FILE_TMPDIR/cache/steved-quickstart" >/dev/null
    done
    # shellcheck disable=SC2016 # for that script
    program apt-get 'case "$*" in' '*indextargets*) echo "http://localhost/debian stable main Debian" ;;' \
        "*source*) for package; do :; done && cp '$BATS_FILE_TMPDIR/cache/steved-quickstart/'\"\$package\"_* . ;;" \
        'esac'
    unset XDG_CACHE_HOME
}

# programs_are_built: meson only makes links to those that are there already.
programs_are_built() {
    # shellcheck disable=SC2016 # for that script
    program meson 'case "$1 $2" in' 'setup\ */steved-quickstart.??????/build)' \
        "    mkdir \"\$2\" && exec ln -s '$BUILD'/jobwrap '$BUILD'/ninja-shim '$BUILD'/tests \"\$2\" ;;" \
        'compile*) exit ;;' 'esac' "exec $(command -v meson) \"\$@\""
}

# with_read_only CLONE COMMAND...
with_read_only() {
    # shellcheck disable=SC2016 # the inner shell expands it
    unshare -m bash -euc 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"' "$@" 3>&-
}

@test 'quickstart needs neither a home nor a checkout that it can write' {
    needs_the_plain_build
    require_root
    compiler_that_only_writes
    fetched_once
    programs_are_built
    export HOME=$CLONE TMPDIR=$BATS_TEST_TMPDIR
    run with_read_only "$CLONE" ./quickstart --way=jobwrap --jobs=2
    echo "$output"
    [ "$status" = 0 ]
    [[ ${lines[-1]} == *": $TMPDIR/steved-quickstart."*/quickstart.d/jobs.svg ]]
    [ -s "${lines[-1]##*: }" ]
}

# What says that no more jobs ran than there are tokens must be able to say the opposite.
@test 'quickstart fails if more jobs run than there are tokens' {
    needs_the_plain_build
    [ -x build/jobwrap/jobwrap ] || quickstart --fast
    mv build/jobwrap/jobwrap build/jobwrap/real
    # shellcheck disable=SC2016 # for that shell
    printf '%s\n' '#!/bin/sh' 'while [ "$1" != -- ]; do shift; done' 'shift' \
        'MAKEFLAGS=-j4 exec "$@"' >build/jobwrap/jobwrap
    chmod +x build/jobwrap/jobwrap
    compiler_that_only_writes
    STAMP_MEET=2 run quickstart --way=jobwrap --fast --jobs=1
    mv -f build/jobwrap/real build/jobwrap/jobwrap
    echo "$output"
    [ "$status" = 1 ]
    [[ $output == *'FAILED: '*' jobs ran at once, with 1 token'* ]]
}

@test 'quickstart names the packages where it cannot install them' {
    require_root
    require unshare
    local farm=$BATS_TEST_TMPDIR/bin
    mkdir "$farm"
    ln -sf /usr/bin/* /bin/* "$farm/"
    rm -f "$farm/meson" "$farm/xz"
    printf 'ID=somelinux\nID_LIKE="rhel fedora"\n' >"$BATS_TEST_TMPDIR/os-release"
    # shellcheck disable=SC2016 # the inner shell expands it
    run unshare -m sh -c 'mount --bind "$1" /etc/os-release && shift && exec "$@"' sh \
        "$BATS_TEST_TMPDIR/os-release" env PATH="$farm" ./quickstart
    echo "$output"
    [ "$status" = 1 ]
    [[ $output == *'please install: meson xz' ]]
}

@test 'quickstart quotes bad input and changes nothing' {
    local arguments
    while read -r arguments; do
        # shellcheck disable=SC2086 # words
        run quickstart $arguments
        echo "$arguments: $output"
        [ "$status" = 2 ]
        [ "${#lines[@]}" = 1 ]
        [[ $output == *"'"*"'"* ]]
    done <<'END'
--jobs
--jobs 0
--jobs -1
--jobs 1x
--jobs=
--way
--way=cuse
--no-such-option
word
END
}

@test 'quickstart --clean removes what runs have left, but not what they have built' {
    mkdir -p quickstart.d/zstd build "$XDG_CACHE_HOME/steved-quickstart"
    run -0 ./quickstart --clean
    [ ! -e quickstart.d ]
    [ ! -e "$XDG_CACHE_HOME/steved-quickstart" ]
    [ -d build ]
    run -0 ./quickstart --clean
    [ "$output" = '' ]
}

# A meson that is stuck in the middle, until the test has seen that.
@test 'quickstart shows how far it has come' {
    needs_the_plain_build
    require script
    mkfifo go
    program meson 'echo "[7/90] Compiling"' "read -r _ <'$CLONE/go'" 'exit 1'
    spawn script -qfec ./quickstart said
    wait_for 100 grep -q 's  \[7/90\] Compiling' said
    echo >go
    status_of "$spawned"
    rm go
    [ "$status" = 1 ]
    grep -q 'quickstart: the build failed' said
}

@test 'quickstart --help' {
    run quickstart --help
    [ "$status" = 0 ]
    [[ $output == *'--way steved|jobwrap'*'--clean'* ]]
}
