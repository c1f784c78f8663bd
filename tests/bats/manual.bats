#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# The manual pages: what is wrong with them for man(1) and for those who index them, and every example in
# them, run as it stands there, in a directory with tiny projects. Those that need /dev/steve, or a service
# manager, are in tests/vm. needs_the_plain_build: what they run is run under the sanitizers by tests of its own.

# shellcheck disable=SC1003 # a name of a block may end with a backslash
load ../lib/bash/common
load ../lib/bash/documented

setup() {
    common_setup
    PROJECT=$BATS_TEST_TMPDIR/project
    LOG=$BATS_TEST_TMPDIR/log
    mkdir "$PROJECT" "$BATS_TEST_TMPDIR/bin"
    ln -s "$JOBWRAP" "$STEVED" "$STEVECTL" "$BUILD/ninja-shim/jobgate" "$BUILD/portage/jobserver-emerge" \
        "$BATS_TEST_TMPDIR/bin/"
    PATH=$BATS_TEST_TMPDIR/bin:$PATH
    export LOG
    cd "$PROJECT"
}

page() {
    DOCUMENT=$ROOT/docs/$1.scd
}

# Those that were built.
pages() {
    require scdoc
    local page
    for page in "$ROOT"/docs/*.scd; do
        page=${page##*/}
        echo "$BUILD/docs/${page%.scd}"
    done
}

# makefile_of DIRECTORY: six jobs, which prove when they ran.
makefile_of() {
    mkdir -p "$1"
    # shellcheck disable=SC2016 # make's variables
    printf '%s\n' 'jobs := 1 2 3 4 5 6' 'all: $(jobs)' '.PHONY: all $(jobs)' '$(jobs):' \
        "	@'$STAMP' '$LOG' $1.\$@ 0.1" >"$1/Makefile"
}

ran_within() {
    "$LIB/concurrency" --expect-max "$1" --expect-jobs "$2" "$LOG"
}

# stands_in NAME COMMANDS: for a program that need not be here.
stands_in() {
    printf '#!/bin/sh\n%s\n' "$2" >"$BATS_TEST_TMPDIR/bin/$1"
    chmod +x "$BATS_TEST_TMPDIR/bin/$1"
}

@test 'manual: no warnings, nothing wider than a terminal, and a name that can be indexed' {
    require man lexgrog
    export LC_ALL=C.UTF-8
    local page name
    for page in $(pages); do
        name=${page##*/}
        echo "$page"
        run -0 --separate-stderr env MANWIDTH=80 man --warnings=w -E UTF-8 -l "$page"
        [ -z "$stderr" ]
        run ! grep -E '.{81}' <<<"$output"
        [[ $(lexgrog "$page") == *"\"${name%.*} - "* ]]
    done
}

# What scdoc writes between paragraphs is too much for it, and man(7) knows no document but in capitals.
@test 'manual: mandoc has nothing to complain of' {
    require mandoc
    local all
    mapfile -t all < <(pages)
    run mandoc -Tlint -Wwarning "${all[@]}"
    run ! grep -v 'skipping paragraph macro' <<<"$output"
}

@test 'manual: a page of ours that is named is there, in that section' {
    local reference
    for reference in $(grep -rhoE '\*?(jobgate|jobserver|jobserver-emerge|jobwrap|ninja-shim|stevectl|stevefarm|steved|steved\.conf)\*?\([1-9]\)' \
        "$ROOT"/docs "$ROOT"/README.md "$ROOT"/steved "$ROOT"/jobwrap "$ROOT"/ninja-shim "$ROOT"/portage \
        "$ROOT"/libjobserver "$ROOT"/pytest-plugin "$ROOT"/packaging | tr -d '*' | sort -u); do
        echo "$reference"
        reference=${reference%)}
        [ -e "$ROOT/docs/${reference%(*}.${reference#*(}.scd" ]
    done
}

@test 'manual: every example has its test' {
    for DOCUMENT in "$ROOT"/docs/*.scd; do
        every_block_has_its_test "$ROOT"/tests/vm/{cuse,systemd}.bats
    done
}

# --- jobwrap(1) ---

@test 'jobwrap(1): one build, two builds' {
    require make cmake
    makefile_of .
    makefile_of one
    makefile_of two
    page jobwrap.1
    run_block '$ jobwrap make'
    ran_within "$(nproc)" 6
    rm "$LOG"
    printf '#!/bin/sh\nexec make -C "$2"\n' >"$BATS_TEST_TMPDIR/bin/cmake"
    chmod +x "$BATS_TEST_TMPDIR/bin/cmake"
    run_block '$ jobwrap make -C one & jobwrap cmake --build two & wait'
    [ "$(grep -c '^start' "$LOG")" = 12 ]
}

@test 'jobwrap(1): the heaviest jobs' {
    page jobwrap.1
    run_block '$ jobwrap --memory-history | sort -n | tail'
}

# There need be no rpmbuild: what it is told is what counts.
@test 'jobwrap(1): rpmbuild' {
    stands_in rpmbuild 'printf "[%s]" "$@"'
    page jobwrap.1
    run_block '$ jobwrap -- rpmbuild --define'
    [[ $output == *'[--define][_smp_mflags %{nil}][-bb][tiny.spec]'* ]]
}

@test 'jobwrap(1): a makefile that adds a -j itself' {
    require make
    makefile_of .
    echo 'MAKEFLAGS += -j8' >>Makefile
    page jobwrap.1
    run_block '$ jobwrap -- jobgate --jobs-of=make -- make'
    ran_within "$(nproc)" 6
}

@test 'jobwrap(1): a profile that puts the shims first' {
    page jobwrap.1
    run_block '[ -z' env JOBWRAP_FIFO=/nowhere
    [[ $output == *'PATH=/usr/local/libexec/jobwrap/shims:'* ]]
    run -0 env -u JOBWRAP_FIFO bash -ec "$(block '[ -z'); echo \$PATH"
    [[ $output != *jobwrap* ]]
}

# --- jobgate(1), ninja-shim(1) ---

@test 'jobgate(1): images, by xargs' {
    touch {1..6}.png
    stands_in optipng "'$STAMP' '$LOG' optipng.\$1 0.1"
    page jobgate.1
    run_block '$ jobgate --jobs-of=xargs -- \' jobwrap -j2 --parent=none --
    ran_within 2 6
}

@test 'jobgate(1): rules for classes, and that these are built in' {
    page jobgate.1
    block 'remote instead icecc distcc recc rewrapper gomacc sccache' >rules
    [ "$(wc -l <rules)" = 2 ]
    while read -r rule; do
        grep -qF "\"$rule\\n\"" "$ROOT/libjobserver/classes/rules.c"
    done <rules
    run -0 "$JOBWRAP" -j2 --parent=none --class-rules=rules -- true
}

@test 'jobgate(1): GNU parallel' {
    require parallel
    touch {1..6}.log
    page jobgate.1
    run_block '$ jobgate --jobs-of=parallel -- parallel -j8 gzip ::: *.log' jobwrap -j2 --parent=none --
    [ "$(ls)" = "$(printf '%s.log.gz\n' {1..6})" ]
}

@test 'ninja-shim(1): ninja' {
    require ninja
    local i
    # shellcheck disable=SC2016 # ninja's variable
    {
        printf 'rule job\n  command = "%s" "%s" ninja.$out 0.1\n' "$STAMP" "$LOG"
        for i in 1 2 3 4 5 6; do
            printf 'build job%s: job\n' $i
        done
    } >build.ninja
    page ninja-shim.1
    run_block '$ jobwrap -- ninja'
    ran_within "$(nproc)" 6
}

# --- jobserver-emerge(1) ---

# No Debian has an emerge.
@test 'jobserver-emerge(1): by a stand-in for emerge' {
    stands_in emerge 'echo "emerge $*"'
    page jobserver-emerge.1
    run_block '# jobserver-emerge --jobs=8 @world'
    [[ $output == *'emerge --jobs=8 @world'* ]]
    run_block '# jobwrap -j8 --style=fifo -- emerge --jobs=8 @world'
    [[ $output == *'emerge --jobs=8 @world'* ]]
}

# --- steved(8), steved.conf(5), stevectl(1) ---

@test 'steved(8): a server of one'\''s own; stevectl(1)' {
    require_fuse
    page steved.8
    run_block '$ steved --daemon --mount $XDG_RUNTIME_DIR/steve'
    stevectl set jobs=8
    page stevectl.1
    run_block '$ stevectl status'
    [[ $output == *'jobs            8   tokens that may be held at once'* ]]
    [ "$(stevectl get jobs) $(stevectl get min-memory-avail) $(stevectl get load-average)" = '4 4096 24' ]
    stop "$(stevectl get pid)"
}

# The directory is that of the reader's machine.
@test 'steved(8): classes, a file each' {
    require_fuse
    local command mount=$BATS_TEST_TMPDIR/steve
    page steved.8
    command=$(block '# steved --mount /run/steve --class remote=40 --class link=2')
    command=${command#'# '}
    STEVED_MOUNTS+=("$mount")
    spawn bash -euc "exec ${command/\/run/$BATS_TEST_TMPDIR}"
    wait_for 10 test -e "$mount/jobserver"
    [ "$(cd "$mount" && echo *)" = 'jobserver link remote' ]
    [ "$(stevectl --server "$mount/jobserver" get remote.jobs)" = 40 ]
    [ "$(stevectl --server "$mount/jobserver" get link.jobs)" = 2 ]
}

holds_one() {
    [ "$(stevectl get held)" = 1 ]
}

# The pid, and the directory, are those of the reader's machine.
@test 'stevectl(1): watch, pause, metrics' {
    require_fuse
    local command
    start_steved --jobs 4
    export STEVECTL SERVER
    stevectl() { "$STEVECTL" --server "$SERVER" "$@"; }
    export -f stevectl
    page stevectl.1
    [[ $(block '$ stevectl watch') == *' watching '* ]]
    spawn bash -c "$(commands_of '$ stevectl watch')" >watched
    wait_for 10 grep -q ' watching ' watched
    # shellcheck disable=SC2016 # the client's
    spawn bash -c 'exec 3<>"$1" && read -r -N 1 -u 3 && sleep 100' - "$SERVER"
    wait_for 10 holds_one
    command=$(block '$ stevectl pause 4802')
    command=${command#'$ '}
    bash -euc "${command/4802/${SPAWNED[-1]}}"
    [[ $(stevectl status) == *', paused'* ]]
    command=$(block '# stevectl metrics >/var/lib/node_exporter/steved.prom')
    command=${command#'# '}
    bash -euc "${command//\/var\/lib\/node_exporter/$BATS_TEST_TMPDIR}"
    grep -qx 'jobserver_jobs 4' "$BATS_TEST_TMPDIR/steved.prom"
}

@test 'steved.conf(5)' {
    require_fuse
    page steved.conf.5
    block '# What all builds may use together.' >steved.conf
    # There need be no builders, and only root can serve a group.
    sed -i "s/^group = builders$/group = root/; $([ "$(id -u)" = 0 ] || echo /^group/d)" steved.conf
    start_steved --config "$PROJECT/steved.conf"
    [ "$(steved_get jobs) $(steved_get min-memory-avail) $(steved_get load-average)" = '12 10% 24' ]
}

# --- jobserver(7) ---

@test 'jobserver(7): a script that holds a token' {
    page jobserver.7
    block '#!/bin/sh' >with-token
    run_block '$ jobwrap --jobs=2 --style=fifo -- sh with-token echo hello'
    [[ $output == *hello* ]]
}

@test 'jobserver(7): a client in Python' {
    require make
    python3 -c 'import os; os.pidfd_open' || missing 'no Python 3.9'
    local name
    for name in one two three; do
        makefile_of $name
    done
    page jobserver.7
    block '#!/usr/bin/env python3' >run-lines
    at_once 2
    run_block '$ jobwrap --jobs=2 --style=fifo -- \'
    "$LIB/concurrency" --expect-exactly 2 --expect-jobs 18 "$LOG"
}

@test 'jobserver(7): who holds which tokens' {
    page jobserver.7
    run_block '$ jobwrap -- stevectl status'
    [[ $output == *'tokens that may be held at once'* ]]
}
