# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What all tests share: `load ../lib/bash/common`. A file that has a setup() or teardown() of its own
# calls common_setup or common_teardown in it.

bats_require_minimum_version 1.5.0

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
LIB=$ROOT/tests/lib
: "${BUILD:=$ROOT/build}"
: "${STEVED:=$BUILD/steved/steved}" "${STEVECTL:=$BUILD/steved/stevectl}"
: "${JOBWRAP:=$BUILD/jobwrap/jobwrap}" "${STAMP:=$BUILD/tests/lib/stamp}"
export ROOT LIB BUILD STEVED STEVECTL JOBWRAP STAMP

setup() {
    common_setup
}

teardown() {
    common_teardown
}

# No jobserver of whoever runs the tests, and a runtime directory that is nobody else's.
common_setup() {
    unset STAMP_MEET
    unset MAKEFLAGS MFLAGS MAKELEVEL CARGO_MAKEFLAGS JOBWRAP_FIFO JOBWRAP_JOBS JOBWRAP_MEMORY
    XDG_RUNTIME_DIR=$BATS_TEST_TMPDIR/runtime
    # What was fetched once for all tests stays where it is; what a gate learns is for this test alone.
    : "${STEVED_TEST_TOOLS:=${XDG_CACHE_HOME:-${HOME-}/.cache}/steved-tests}"
    XDG_CACHE_HOME=$BATS_TEST_TMPDIR/cache
    export XDG_RUNTIME_DIR XDG_CACHE_HOME STEVED_TEST_TOOLS
    mkdir -m 0700 "$XDG_RUNTIME_DIR" "$XDG_CACHE_HOME"
    SPAWNED=()
    # A jobwrap that finds a steved beside it or on PATH starts one there.
    STEVED_MOUNTS=("$XDG_RUNTIME_DIR/steve")
    OTHER=
}

# Ends what spawn and start_steved have started; a mount that a test has left behind goes too, and what
# directory_for_all has made.
common_teardown() {
    local pid mount
    for pid in "${SPAWNED[@]}"; do
        # Its pid may be another process's by now.
        is_child "$pid" || continue
        kill -s TERM "$pid" 2>/dev/null || true
        # Some heed no SIGTERM.
        look_until 10 has_ended "$pid" >/dev/null || stop "$pid" KILL || true
    done
    for mount in "${STEVED_MOUNTS[@]}"; do
        ! is_mounted "$mount" || unmount "$mount"
    done
    [ -z "$OTHER" ] || rm -rf "$OTHER"
}

# --- what a test needs ---

# Does it run what was built with sanitizers?
is_sanitized() {
    grep -qs __asan_init "$JOBWRAP"
}

# The leak checker of a build with sanitizers traces, too.
without_leak_checker() {
    export ASAN_OPTIONS="${ASAN_OPTIONS-}:detect_leaks=0"
}

# A test that cannot run is skipped, but in CI that is a failure.
missing() {
    if [ "${CI-}" = true ]; then
        echo "in CI this must not be missing: $*"
        return 1
    fi
    skip "$*"
}

# require PROGRAM...
require() {
    local program
    for program in "$@"; do
        command -v "$program" >/dev/null || missing "no $program"
    done
}

require_root() {
    [ "$(id -u)" = 0 ] || missing 'needs root'
}

# A FUSE file system can be mounted here, by root or through fusermount3.
require_fuse() {
    { [ -c /dev/fuse ] && : <>/dev/fuse; } 2>/dev/null || missing 'no usable /dev/fuse'
    [ "$(id -u)" = 0 ] || require fusermount3
}

# require_tool MAKE441: sets the variable to the path of a tool of tests/lib/fetch-tools.
require_tool() {
    local name lines
    for name in "$@"; do
        if [ -z "${!name-}" ]; then
            lines=$("$LIB/fetch-tools" "$name") || missing "no $name: see tests/lib/fetch-tools"
            eval "$lines"
        fi
        # shellcheck disable=SC2163 # the variable that it names
        export "$name"
    done
}

# install_services: OpenRC and udev over the system; only in a guest, which forgets them.
install_services() {
    [ -d "${SERVICES-}" ] || missing 'no OpenRC and udev: see tests/lib/fetch-services'
    tar -C "$SERVICES" -c . | tar -C / -x --keep-directory-symlink
}

# refused ERRNO CALL,...: a command in $refused that runs another one whose system calls are refused.
refused() {
    refused=("$BUILD/tests/lib/refuse" "$@")
    "${refused[@]}" true || missing 'no seccomp filters'
}

# --- another user ---

# as_nobody COMMAND...: who must be able to reach it.
as_nobody() {
    setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all -- "$@"
}

# require_nobody PROGRAM: that another user can reach.
require_nobody() {
    require_root
    require setpriv
    as_nobody test -x "$1" || missing "another user cannot reach $1"
}

# directory_for_all: in $OTHER, for users who cannot reach into bats' own directories.
directory_for_all() {
    OTHER=$(mktemp -d /tmp/steved-test.XXXXXX)
    chmod 0777 "$OTHER"
}

# --- events ---

# wait_for SECONDS COMMAND...: until the command succeeds; fails when the time is over, which is half a minute
# at least: what takes a moment takes many of them on a busy machine.
wait_for() {
    local -
    # Bats notes each command where functions are traced, which takes longer than what is looked for.
    set +T
    look_until $(($1 < 30 ? 30 : $1)) "${@:2}"
}

# It looks again after a tenth of the time that it has waited, at least 10 ms and at most 50.
look_until() {
    local begun_us=${EPOCHREALTIME/[.,]/} seconds=$1 waited_us
    shift
    until "$@"; do
        waited_us=$((${EPOCHREALTIME/[.,]/} - begun_us))
        if [ $waited_us -gt $((seconds * 1000000)) ]; then
            echo "waited $seconds s in vain for: $*"
            return 1
        fi
        rest $((waited_us < 100000 ? 10000 : waited_us > 500000 ? 50000 : waited_us / 10))
    done
}

# rest MICROSECONDS: less than a second; without a process, since tests would start thousands of them.
rest() {
    local nobody_writes=$BATS_RUN_TMPDIR/nobody-writes us
    [ -p "$nobody_writes" ] || mkfifo "$nobody_writes"
    printf -v us %06d "$1"
    read -r -t "0.$us" <>"$nobody_writes" || true
}

# --- processes ---

# A zombie has ended. No program is started: most waiting is for an end.
is_alive() {
    local stat
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null && [[ ${stat##*) } != [ZX]* ]]
}

is_child() {
    grep -qx "PPid:[[:space:]]*$BASHPID" "/proc/$1/status" 2>/dev/null
}

has_ended() {
    ! is_alive "$1"
}

# spawn COMMAND...: in the background, its pid in $spawned; ended after the test if it still runs then.
spawn() {
    "$@" 3>&- &
    spawned=$!
    SPAWNED+=("$spawned")
}

# stop PID [SIGNAL]: sends the signal (TERM) and waits for the end.
stop() {
    kill -s "${2:-TERM}" "$1" 2>/dev/null || true
    wait_for 10 has_ended "$1"
}

# status_of PID: waits for a spawned process and puts its exit status into $status.
# shellcheck disable=SC2034 # the test reads it
status_of() {
    wait_for "${2:-30}" has_ended "$1"
    status=0
    wait "$1" || status=$?
}

# --- steved ---

is_mounted() {
    grep -qF " $1 " /proc/self/mountinfo
}

unmount() {
    if [ "$(id -u)" = 0 ]; then
        umount -l "$1"
    else
        fusermount3 -uz "$1"
    fi
}

# start_steved [OPTION...]: on a FUSE mount of its own; sets STEVED_PID, the guardian, and SERVER, its
# file. What it says goes to $BATS_TEST_TMPDIR/steved.log.
start_steved() {
    local mount log=$BATS_TEST_TMPDIR/steved.log
    require_fuse
    mount=$BATS_TEST_TMPDIR/steve${#STEVED_MOUNTS[@]}
    STEVED_MOUNTS+=("$mount")
    spawn "$STEVED" --mount "$mount" "$@" 2>>"$log"
    STEVED_PID=$spawned
    SERVER=$mount/jobserver
    if ! wait_for 10 steved_is_up_or_gone || [ ! -e "$SERVER" ]; then
        cat "$log"
        return 1
    fi
}

steved_is_up_or_gone() {
    [ -e "$SERVER" ] || has_ended "$STEVED_PID"
}

# steved_get NAME: of the steved that start_steved has started last.
steved_get() {
    "$STEVECTL" --server "$SERVER" get "$1"
}

# kill_steved: so that no other follows. The mount is left, and dead.
kill_steved() {
    local server
    server=$(steved_get pid)
    stop "$STEVED_PID" KILL
    stop "$server" KILL
}

# steved_has NAME VALUE: for wait_for.
steved_has() {
    [ "$(steved_get "$1")" = "$2" ]
}

# is_served_below GUARDIAN: for wait_for. Not whether the file exists: of a dead mount, too, it may be
# remembered that it did.
is_served_below() {
    [ "$(ps -o ppid= -p "$(steved_get pid)")" -eq "$1" ]
}

# --- FIFOs ---

# make_fifo PATH TOKENS: a plain jobserver; the test keeps it open.
make_fifo() {
    mkfifo "$1"
    # shellcheck disable=SC2034 # it lives as long as the test
    exec {FIFO_FD}<>"$1"
    [ "$2" = 0 ] || printf "%0$2d" 0 | tr 0 + >"$1"
}

# tokens_in PATH: how many bytes lie in it.
tokens_in() {
    perl -e 'open(my $f, "+<", $ARGV[0]) or die "$ARGV[0]: $!\n"; my $n = pack("i", 0);
        ioctl($f, 0x541B, $n) or die "FIONREAD: $!\n"; print unpack("i", $n), "\n"' "$1"
}

# fifo_has PATH TOKENS: for wait_for.
fifo_has() {
    [ "$(tokens_in "$1")" = "$2" ]
}

# below_fifo K: as somebody's client, with a token for the implicit slot. Sets PARENT and TOKENS.
below_fifo() {
    FIFOS=$((${FIFOS-0} + 1))
    PARENT=$BATS_TEST_TMPDIR/parent$FIFOS TOKENS=$1
    make_fifo "$PARENT" "$1"
    export MAKEFLAGS=" -j$(($1 + 1)) --jobserver-auth=fifo:$PARENT"
}

# --- jobs, which stamp in $LOG ---

# exactly N [JOBS]: that many at once, and all of them.
exactly() {
    "$LIB/concurrency" --expect-exactly "$1" ${2+--expect-jobs "$2"} "$LOG"
}

# lives_jobs N [LOG]: that many live, for wait_for.
lives_jobs() {
    local log=${2-$LOG}
    [ -e "$log" ] && [ "$("$STAMP" --living "$log")" = "$1" ]
}

# gated_jobs N: a Makefile of jobs each of which runs until the test writes one more line to the gate.
gated_jobs() {
    mkfifo gate
    exec {gate}<>gate
    # shellcheck disable=SC2016 # make's variables
    printf 'jobs = %s\nall: $(jobs)\n$(jobs):; @"$(STAMP)" "%s" $@ -- sh -c "read -r _ <gate"\n' \
        "$(seq -s ' ' "$1")" "$LOG" >Makefile
}

# spawn_gated COMMAND...: without the gate's other end, so that its jobs end with the test.
spawn_gated() {
    # shellcheck disable=SC2016 # for the inner shell
    spawn bash -c "exec $gate>&-"' && exec "$@"' - "$@"
}

# let_end N: so many of them.
let_end() {
    yes '' | head -n "$1" >&"$gate"
}

# --- builds ---

# at_once N: the jobs that stamp logs wait until as many of their log have lived at once. Only where
# they can: not for one that is alone first, nor below ninja 1.13, which asks when a job has ended.
at_once() {
    export STAMP_MEET=$1
}

# makefile NAME RECIPE...: each a target of its own, and a client, as a sub-make is.
makefile() {
    local name=$1 recipe number=0
    shift
    echo 'all:' >"$name"
    for recipe in "$@"; do
        number=$((number + 1))
        printf 'all: %d\n%d:\n\t+@%s\n' $number $number "$recipe" >>"$name"
    done
}
