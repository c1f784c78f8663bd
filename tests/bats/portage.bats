# SPDX-License-Identifier: GPL-2.0-or-later
# The adapter for a Portage that knows no jobserver: with a stand-in that has the names it uses, and
# with a real one from PyPI.

load ../lib/bash/common

setup() {
    common_setup
    cd "$BATS_TEST_TMPDIR"
    export LOG=$BATS_TEST_TMPDIR/log FEATURES=
    unset EMERGE_SHIM_REAL EMERGE_SHIM_STRICT EMERGE_SHIM_IMPLICIT PYTHONPATH PYTHONHOME
    unset FAILING MAKE_CONF
    SHIM=$BUILD/portage/emerge JOBSERVER_EMERGE=$BUILD/portage/jobserver-emerge
    STANDIN=$LIB/portage-standin
    export EMERGE_SHIM_REAL=$STANDIN/emerge PYTHONDONTWRITEBYTECODE=1
    PACKAGES=$(printf 'p%02d ' {1..12})
}

# configured_fifo K: MAKEFLAGS of make.conf, so that nobody has paid for a job of ours.
configured_fifo() {
    make_fifo "$BATS_TEST_TMPDIR/fifo" "$1"
    export MAKE_CONF="--jobserver-auth=fifo:$BATS_TEST_TMPDIR/fifo"
}

# emerge_all [OPTION...]: the stand-in, below the shim.
emerge_all() {
    # shellcheck disable=SC2086 # words
    "$SHIM" --jobs=8 "$@" $PACKAGES 3>&-
}

# all_at_once: as without a jobserver.
all_at_once() {
    "$LIB/concurrency" --expect-jobs 24 "$LOG"
    awk '$1 == "start" && $5 >= 8 { found = 1 } END { exit !found }' "$LOG"
}

@test 'twelve packages and three tokens: three at once, merges included, and three back' {
    at_once 3
    configured_fifo 3
    emerge_all
    exactly 3 24
    fifo_has fifo 3
}

@test 'merges that wait for all builds leave no token idle, and have one when they come' {
    at_once 3
    configured_fifo 3
    FEATURES=merge-wait STANDIN_LONG=p01 emerge_all
    exactly 3 24
    fifo_has fifo 3
    # The others were built while p01 was, although they could not be merged.
    [ "$(sed '/^end p01 /q' "$LOG" | grep -c ^start)" -gt 5 ]
}

@test 'parallel merges have a token each' {
    at_once 3
    configured_fifo 3
    FEATURES='merge-wait parallel-install' emerge_all
    exactly 3 24
    fifo_has fifo 3
}

@test 'MAKEFLAGS of the environment: one job more, on the implicit slot' {
    at_once 4
    configured_fifo 3
    MAKEFLAGS=$MAKE_CONF emerge_all
    exactly 4 24
    fifo_has fifo 3
}

@test '--implicit=acquire: there is no such slot' {
    at_once 3
    configured_fifo 3
    # shellcheck disable=SC2086 # words
    MAKEFLAGS=$MAKE_CONF "$JOBSERVER_EMERGE" --implicit=acquire -- --jobs=8 $PACKAGES 3>&-
    exactly 3 24
}

@test '--jobs caps what tokens allow' {
    configured_fifo 6
    emerge_all --jobs=2
    # Two that build, and one that is merged.
    exactly 3 24
    fifo_has fifo 6
}

@test 'a build that fails returns its token' {
    at_once 3
    configured_fifo 3
    FAILING='p02 p05 p06' run -1 emerge_all
    exactly 3 21
    fifo_has fifo 3
}

@test 'at steved each job holds a token, that of the environment too' {
    at_once 3
    start_steved --jobs 3
    MAKEFLAGS="--jobserver-auth=fifo:$SERVER" emerge_all
    exactly 3 24
    wait_for 10 steved_has free 3
}

@test 'at steved an emerge is one client, a group, and runs nothing that is not paid for' {
    start_steved --jobs 2
    export MAKEFLAGS="--jobserver-auth=fifo:$SERVER"
    STANDIN_SECONDS=30 spawn "$SHIM" --jobs=4 p01 p02 p03 p04
    wait_for 20 steved_has held 2
    [ "$(steved_get unpaid)" = 0 ]
    run -0 "$STEVECTL" --server "$SERVER" status
    [[ ${lines[-1]} =~ 2\ .*' group ' ]]
    stop "$spawned"
    wait_for 10 steved_has free 2
}

@test 'a pause is told to the user of an emerge that waits, once, and it goes on' {
    start_steved --jobs 1
    # Not this shell: it would pay for the job of what it starts.
    spawn bash -c 'exec 3<>"$0"; read -r -N 1 -u 3; exec sleep 60' "$SERVER"
    local holder=$spawned
    wait_for 10 steved_has held 1
    MAKEFLAGS="--jobserver-auth=fifo:$SERVER" STANDIN_SECONDS=0.1 spawn "$SHIM" --jobs=2 p01 p02 2>said
    wait_for 20 steved_has waiting 1
    "$STEVECTL" --server "$SERVER" pause "$spawned"
    wait_for 20 grep -q paused said
    stop "$holder"
    wait_for 10 steved_has free 1
    [ ! -e "$LOG" ]
    "$STEVECTL" --server "$SERVER" continue "$spawned"
    status_of "$spawned"
    [ "$status" = 0 ]
    exactly 1 4
    [ "$(cat said)" = "emerge-shim: waiting for a token from fifo:$SERVER, which grants none because this build is paused (see stevectl continue)" ]
}

@test 'below jobwrap a plain emerge is the shim; one job uses its slot, with the others never above' {
    at_once 3
    "$JOBWRAP" -j 3 --style=fifo -- emerge --jobs=8 p01 p02 p03 p04 p05 p06 3>&-
    exactly 3 12
}

@test 'two emerges below a jobwrap with no daemon: exactly 4 together; each is one client, a group' {
    at_once 4
    # shellcheck disable=SC2016 # the inner shell's
    STANDIN_SECONDS=1 run -0 timeout 60 "$JOBWRAP" -j4 --parent=none --style=fifo -- sh -c '
        "$0" --jobs=8 p01 p02 p03 p04 & "$0" --jobs=8 p05 p06 p07 p08 &
        until [ "$("$1" get accounts)" = 4 ]; do sleep 0.02; done # these, the FIFO, and who asks
        "$1" status --json; wait' "$SHIM" "$STEVECTL"
    echo "$output"
    exactly 4 16
    [ "$(grep -cE '"command":"[^"]*/emerge --jobs=8 p' <<<"$output")" = 2 ]
}

@test 'below a jobwrap: the slot is paid for as soon as nobody else claims it, and what a killed emerge held is back' {
    export STANDIN_SECONDS=0.1
    # Each in the recipe of a make, which holds the only token.
    printf 'all: a b\na b:\n\t@"$(SHIM)" --jobs=8 $@1 | "$(SHIM)" --jobs=8 $@2\n' >recipe.mk
    export SHIM
    run -0 timeout 60 "$JOBWRAP" -j1 --parent=none --style=fifo -- make -f recipe.mk
    exactly 1 8
    rm "$LOG"
    # shellcheck disable=SC2016 # the inner shell's
    STANDIN_SECONDS=60 run -0 timeout 60 "$JOBWRAP" -j3 --parent=none --style=fifo -- sh -c '"$0" --jobs=8 p01 p02 p03 p04 &
        until [ "$(grep -c ^start "$LOG")" = 3 ]; do sleep 0.01; done
        "$1" get accounts; kill -KILL $!; until [ "$("$1" get accounts)" = 2 ]; do :; done
        xargs -r kill <<END
$(awk "{ print \$3 }" "$LOG")
END
        rm "$LOG"; STANDIN_SECONDS=0.1 STAMP_MEET=3 "$0" --jobs=8 p05 p06 p07 p08' "$SHIM" "$STEVECTL"
    echo "$output"
    exactly 3 8
}

# by_descriptors MAKE: the option for them, where there is one.
by_descriptors() {
    ! "$1" --help | grep -o -- '--jobserver-style=' || echo pipe
}

@test 'in a recipe of make its descriptors serve emerge, and a line says that they serve no builds' {
    require_tool MAKE441
    local make
    at_once 3
    export SHIM
    # make itself looks at its tokens when it ends.
    printf 'all:\n\t+@"$(SHIM)" --jobs=8 p01 p02 p03 p04 p05 p06\n' >recipe.mk
    for make in make "$MAKE441"; do
        # shellcheck disable=SC2046 # one word or none
        run -0 --separate-stderr "$make" -j3 $(by_descriptors "$make" | tr -d '\n') -f recipe.mk
        [[ $stderr == 'emerge-shim: builds cannot use the jobserver '+([0-9]),+([0-9])': Portage does not pass descriptors on '* ]]
        [ "${#stderr_lines[@]}" = 1 ]
        exactly 3 12
        rm "$LOG"
    done
}

@test 'in a recipe of make without its + they are not for emerge: a message, and it goes on' {
    export SHIM STANDIN_SECONDS=0.1
    printf 'all:\n\t@"$(SHIM)" --jobs=8 p01\n' >recipe.mk
    # shellcheck disable=SC2046 # one word or none
    run -0 --separate-stderr make -j3 $(by_descriptors make | tr -d '\n') -f recipe.mk
    echo "$stderr"
    [[ $stderr == 'emerge-shim: open '+([0-9]),+([0-9])': not '*'; continuing without a jobserver' ]]
}

@test 'killed at a plain FIFO: its keeper returns what it held' {
    configured_fifo 3
    # shellcheck disable=SC2086 # words
    STANDIN_SECONDS=60 spawn "$SHIM" --jobs=8 $PACKAGES
    # Then it has noted what it took.
    wait_for 20 lives_jobs 3
    fifo_has fifo 0
    kill -s KILL "$spawned"
    wait_for 20 fifo_has fifo 3
    # The jobs of a killed emerge run on.
    awk '$1 == "start" { print $3 }' "$LOG" | xargs -r kill 2>/dev/null || true
}

@test 'killed while its keeper is stopped: the keeper returns what it held all the same' {
    configured_fifo 3
    # shellcheck disable=SC2086 # words
    STANDIN_SECONDS=60 spawn "$SHIM" --jobs=8 $PACKAGES
    wait_for 20 lives_jobs 3
    fifo_has fifo 0
    keeper=$(pgrep -P "$spawned" -f emerge_keeper.py)
    wait_for 10 grep -qx emerge-keeper "/proc/$keeper/comm"
    kill -s STOP "$keeper"
    wait_for 10 grep -q 'State:.T' "/proc/$keeper/status"
    kill -s KILL "$spawned"
    wait_for 20 fifo_has fifo 3
    awk '$1 == "start" { print $3 }' "$LOG" | xargs -r kill 2>/dev/null || true
}

@test 'an unreachable jobserver: a message, and it goes on; --strict stops' {
    at_once 8
    export MAKE_CONF="--jobserver-auth=fifo:$BATS_TEST_TMPDIR/gone"
    STANDIN_SECONDS=1 run -0 --separate-stderr emerge_all
    # shellcheck disable=SC2154 # bats sets it
    [[ $stderr == "emerge-shim: open fifo:$BATS_TEST_TMPDIR/gone: No such file or directory; continuing"* ]]
    all_at_once
    rm "$LOG"
    run -1 --separate-stderr "$JOBSERVER_EMERGE" --strict --jobs=8 p01
    [[ $stderr == *'stopping, because of --strict' ]]
    [ ! -e "$LOG" ]
}

@test 'a server that ends meanwhile: a message, and it goes on; --strict stops' {
    start_steved --jobs 1
    export MAKE_CONF="--jobserver-auth=fifo:$SERVER"
    STANDIN_SECONDS=1 spawn "$SHIM" --jobs=2 p01 p02 2>said
    wait_for 20 steved_has held 1
    stop "$STEVED_PID"
    status_of "$spawned"
    [ "$status" = 0 ]
    grep -q "^emerge-shim: .*$SERVER.*; continuing without a jobserver" said
    "$LIB/concurrency" --expect-jobs 4 "$LOG"
    rm "$LOG"
    start_steved --jobs 1
    export MAKE_CONF="--jobserver-auth=fifo:$SERVER"
    # No other follows before the server ends.
    STANDIN_SECONDS=3 spawn "$JOBSERVER_EMERGE" --strict --jobs=2 p01 p02 2>said
    wait_for 20 steved_has held 1
    stop "$STEVED_PID"
    status_of "$spawned"
    [ "$status" = 1 ]
    grep -q 'stopping, because of --strict' said
    run ! grep -q p02 "$LOG"
}

@test 'no jobserver: as if there were no shim' {
    at_once 8
    MAKE_CONF=-j4 STANDIN_SECONDS=1 run -0 --separate-stderr emerge_all
    [ "$stderr" = '' ]
    all_at_once
}

@test 'a Portage with the feature: left alone, with a hint where it is not set' {
    at_once 8
    configured_fifo 3
    export STANDIN_SUPPORTS=jobserver-token
    STANDIN_SECONDS=1 run -0 --separate-stderr emerge_all
    [[ $stderr == 'emerge-shim: this Portage acquires tokens itself with FEATURES="jobserver-token"'* ]]
    all_at_once
    FEATURES=jobserver-token run -0 --separate-stderr emerge_all
    [ "$stderr" = '' ]
}

@test 'a Portage that lacks one of the names: a message, and it goes on; --strict stops' {
    at_once 8
    configured_fifo 3
    export STANDIN_LACKS=terminate
    STANDIN_SECONDS=1 run -0 --separate-stderr emerge_all
    [[ $stderr == 'emerge-shim: this Portage (0.stand-in) is not supported: it has no terminate; continuing'* ]]
    all_at_once
    rm "$LOG"
    run -1 --separate-stderr "$JOBSERVER_EMERGE" --strict --jobs=8 p01
    [ ! -e "$LOG" ]
}

@test 'PYTHONPATH and a sitecustomize of the user are left as they were' {
    mkdir path
    echo 'print("customized")' >path/sitecustomize.py
    run -0 "$SHIM" --print-environment
    [ "$output" = unset ]
    PYTHONPATH=$PWD/path run -0 "$SHIM" --print-environment
    [ "$output" = $'customized\n'"$PWD/path" ]
}

@test 'the real emerge is found behind the shim on PATH, whatever wraps it' {
    at_once 3
    configured_fifo 3
    mkdir bin
    printf '#!/bin/sh\nexec "%s" "$@"\n' "$STANDIN/emerge" >bin/emerge
    chmod +x bin/emerge
    unset EMERGE_SHIM_REAL
    # shellcheck disable=SC2086 # words
    PATH=$BUILD/portage:$PWD/bin:$PATH "$JOBSERVER_EMERGE" --jobs=8 $PACKAGES 3>&-
    exactly 3 24
}

# installed_by_gentoo OPTIONS: bin/emerge, which is python-exec, and the script that this chooses, whose #!
# line has these options.
installed_by_gentoo() {
    local scripts=lib/python-exec
    mkdir -p bin $scripts/python3.9
    printf '#!/bin/sh\nexec "%s/${0##*/}" "$@"\n' "$PWD/$scripts/python3.9" >$scripts/python-exec2
    ln -sfn ../$scripts/python-exec2 bin/emerge
    cat >$scripts/python3.9/emerge <<END
#!$(python3 -c 'import sys; print(sys.executable)')${1:+ $1}
import os, runpy, sys
if sys.argv[1:] == ["--version"]:
    sys.exit("Portage of no version" if "MAKEFLAGS" in os.environ else print("Portage", os.environ["VERSION"]))
sys.path.insert(0, "$STANDIN")
runpy.run_path("$STANDIN/emerge", run_name="__main__")
END
    chmod +x $scripts/python-exec2 $scripts/python3.9/emerge
    export VERSION=3.0.73.1
}

@test 'as Gentoo installs it: python-exec chooses the script' {
    at_once 3
    configured_fifo 3
    installed_by_gentoo -bs
    EMERGE_SHIM_REAL=$PWD/bin/emerge run -0 --separate-stderr emerge_all
    [ "$stderr" = '' ]
    exactly 3 24
}

@test 'a #! line that keeps the adapter out: a message, and it goes on; --strict stops' {
    local options
    at_once 8
    configured_fifo 3
    export EMERGE_SHIM_REAL=$PWD/bin/emerge
    for options in -I -bE -S; do
        installed_by_gentoo "$options"
        STANDIN_SECONDS=1 MAKEFLAGS=$MAKE_CONF run -0 --separate-stderr emerge_all
        [[ $stderr == "emerge-shim: the first line of $PWD/lib/python-exec/python3.9/emerge makes Python "* ]]
        [[ ${#stderr_lines[@]} = 1 && $stderr == *'; continuing without a jobserver' ]]
        all_at_once
        rm "$LOG"
        run -1 --separate-stderr "$JOBSERVER_EMERGE" --strict --jobs=8 p01
        [[ $stderr == *'stopping, because of --strict' ]]
        [ ! -e "$LOG" ]
    done
    # The same without a wrapper, and with another one.
    EMERGE_SHIM_REAL=$PWD/lib/python-exec/python3.9/emerge run -1 "$JOBSERVER_EMERGE" --strict p01
    sed -i '1s|.*|#!/usr/bin/env -S python3 -I|' lib/python-exec/python3.9/emerge
    run -1 "$JOBSERVER_EMERGE" --strict p01
    [[ $output == *' makes Python ignore PYTHONPATH '* ]]
}

@test 'a #! line that keeps the adapter out, where none is needed: nothing is said' {
    configured_fifo 3
    export EMERGE_SHIM_REAL=$PWD/bin/emerge STANDIN_SECONDS=0.1
    installed_by_gentoo -I
    # No jobserver that the shim could know of.
    run -0 --separate-stderr "$SHIM" p01
    [ "$stderr" = '' ]
    # shellcheck disable=SC2030,SC2031 # a test is a subshell
    for VERSION in 3.0.74 3.1 4.0.1; do
        MAKEFLAGS=$MAKE_CONF run -0 --separate-stderr "$JOBSERVER_EMERGE" --strict p01
        echo "$VERSION: $stderr"
        [ "$stderr" = '' ]
    done
}

@test 'no emerge, or an option that makes no sense: a message' {
    unset EMERGE_SHIM_REAL
    PATH=/usr/bin:/bin run -127 "$SHIM" --version
    [[ $output == 'emerge-shim: run emerge: '* ]]
    run -2 "$JOBSERVER_EMERGE" --implicit=perhaps p01
    [ "$output" = "emerge-shim: --implicit: 'perhaps' is not auto, inherit or acquire" ]
}
