# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What the tests of ninja-shim share, besides common.bash.

: "${NINJA_SHIM:=$BUILD/ninja-shim/ninja}"
# Where one of them cannot be had, the other can be tested alone.
: "${SHIM_GATES:=ptrace seccomp}"
: "${SHIM_NINJAS:=1.11 1.12 1.13}" # versions
export NINJA_SHIM

setup() {
    shim_setup
}

# In a directory of its own, with the log of all jobs; no shim but the one that a test calls.
shim_setup() {
    common_setup
    unset NINJA_SHIM_GATE NINJA_SHIM_REAL NINJAFLAGS SAMUFLAGS
    cd "$BATS_TEST_TMPDIR" || return
    export LOG=$BATS_TEST_TMPDIR/log NINJA_STATUS=
    # Before a test puts the shim first on PATH.
    SYSTEM_NINJA=$(command -v ninja || true)
}

# use_ninja 1.11|1.12|1.13|static|samu: the one that the shim is to find; also in $REAL. The first is
# the system's.
use_ninja() {
    case $1 in
    1.11) require ninja && REAL=$SYSTEM_NINJA ;;
    1.12) require_tool NINJA112 && REAL=$NINJA112 ;;
    1.13) require_tool NINJA113 && REAL=$NINJA113 ;;
    static) require_tool NINJASTATIC && REAL=$NINJASTATIC ;;
    samu) require_tool SAMU && REAL=$SAMU ;;
    esac
    export NINJA_SHIM_REAL=$REAL
}

# --- jobservers ---

# below_pipe K: as below_fifo, by its two ends, which are all that there is of it.
below_pipe() {
    below_fifo "$1"
    exec {READ_FD}<"$PARENT"
    exec {WRITE_FD}>"$PARENT" {FIFO_FD}>&-
    rm "$PARENT"
    PARENT=/proc/$BASHPID/fd/$READ_FD
    export MAKEFLAGS=" -j$(($1 + 1)) --jobserver-auth=$READ_FD,$WRITE_FD"
}

# --- builds ---

# build LABEL COMMAND...: leaves what it says in LABEL.said, the jobs that it ran in LABEL.jobs and its
# status in LABEL.status, in whatever order they come. No process of it is left. A job's description
# is not counted: while a job has the console, ninja keeps the last one only.
build() {
    local label=$1 status=0
    shift
    rm -f "$LOG" "$LOG".*
    "$LIB/subreaper" "$@" >"$label.raw" 2>&1 3>&- || status=$?
    echo "$status" >"$label.status"
    grep -v '^out/' "$label.raw" | sort >"$label.said" || true
    : >>"$LOG"
    awk '$1 == "start" { print $2 }' "$LOG" | sort >"$label.jobs"
    if [ "$status" = 99 ]; then
        tail -n 20 "$label.raw"
        return 1
    fi
}

# jobs_given: how many jobs ninja may start here, if the user does not say it.
jobs_given() {
    # shellcheck disable=SC2016 # the script's
    printf '#!/bin/sh\nfor word; do echo "$word"; done\n' >"$BATS_TEST_TMPDIR/print-words"
    chmod +x "$BATS_TEST_TMPDIR/print-words"
    NINJA_SHIM_REAL=$BATS_TEST_TMPDIR/print-words "$NINJA_SHIM" | sed -n 's/^-j//p'
}

# clean DIR: as if nothing had been built there.
clean() {
    rm -rf "$1/out" "$1/.ninja_log" "$1/.ninja_deps"
    mkdir "$1/out"
}

# alone COMMAND...: the real ninja without a jobserver, to compare with.
alone() {
    MAKEFLAGS='' build alone "$REAL" "$@"
}

# gated COMMAND...: by the shim, with the jobserver that was chosen.
gated() {
    build gated "$NINJA_SHIM" "$@"
}

# same KIND...: said, jobs or status of both.
same() {
    local kind
    for kind in "$@"; do
        diff "alone.$kind" "gated.$kind" | head -n 40
        cmp "alone.$kind" "gated.$kind"
    done
}

# all_back K: every token is there when the build has ended.
all_back() {
    fifo_has "$PARENT" "$1"
}
