#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Where few descriptors may be open, memory runs out, and files may not grow: it is said, and nothing hangs and nothing
# is lost. By hand all numbers of descriptors from 3 to 40 are worth a try, and allocations up to 250.

load ../lib/bash/common

setup() {
    common_setup
    : "${JOBGATE:=$BUILD/ninja-shim/jobgate}" "${NINJA_SHIM:=$BUILD/ninja-shim/ninja}"
    : "${MAKE_SHIM:=$BUILD/ninja-shim/make}"
    export JOBGATE NINJA_SHIM MAKE_SHIM
    # needs_the_plain_build: a sanitizer wants descriptors of its own.
    ! is_sanitized || skip 'a build with sanitizers has more'
}

# few [OPTION...] KIND N...
few() {
    local options=()
    while [[ $1 == -* ]]; do
        options+=("$1")
        shift
    done
    mkdir -p "$BATS_TEST_TMPDIR/few.$1"
    "$LIB/few-descriptors" "${options[@]}" "$1" "$BATS_TEST_TMPDIR/few.$1" "${@:2}"
}

@test 'a jobwrap with a pool of its own' {
    few root 6 9 11 14 16
}

@test 'a jobwrap below a FIFO, and one below another' {
    few fifo 5 14 17 20 23 30
    few outer 22 30
}

@test 'a jobwrap that may raise its own limit, which is not that of its command' {
    few --soft root 14
}

@test 'jobgate' {
    few jobgate 5 8 20 40
}

@test "ninja's shim" {
    require ninja
    NINJA=$(command -v ninja)
    export NINJA
    few ninja 5 8 18 40
}

@test "ninja's shim says why its sidecar has ended, however soon that was" {
    require ninja
    cd "$BATS_TEST_TMPDIR"
    printf 'rule job\n  command = true\nbuild all: job\n' >build.ninja
    for _ in {1..10}; do
        # shellcheck disable=SC2016 # for that shell
        run "$JOBWRAP" -j2 --parent=none --no-shims --style=fifo sh -c 'ulimit -n 16; exec "$0"' "$NINJA_SHIM" 3>&- 4>&- 5>&- 6>&- 7>&-
        echo "$output"
        [[ $output == *'(sidecar: Too many open files); using -j1'* ]]
    done
}

@test "make's shim" {
    require make
    few make 4 13 18 40
}

@test 'memory runs out: a jobwrap with a pool of its own, and one below a FIFO' {
    few --allocations root 1-6 18-26 60
    few --allocations --once fifo 9 40
}

@test 'memory runs out: jobgate says that what it cannot hold back is ended' {
    few --allocations jobgate 1 60 125 140
}

@test 'memory runs out: the shims start no build that leaves the jobserver' {
    require make ninja
    NINJA=$(command -v ninja)
    export NINJA
    few --allocations --once make 3-9
    few --allocations --once ninja 2 20
}

# steved_without_memory N [once]: exported for what the test starts.
steved_without_memory() {
    export LD_PRELOAD=$BUILD/tests/lib/libno-memory.so NO_MEMORY_BELOW=$STEVED NO_MEMORY_AT=$1
    unset NO_MEMORY_ONCE
    [ $# = 1 ] || export NO_MEMORY_ONCE=1
}

# Where the greeting of the kernel is not answered, and where libseccomp dies, depends on versions.
@test 'memory runs out: steved says why it does not start, and leaves no mount' {
    require_fuse
    mount=$BATS_TEST_TMPDIR/steve
    STEVED_MOUNTS+=("$mount")
    for n in 1 7 30 100 {199..207} 400 700 1000; do
        steved_without_memory "$n"
        run -1 timeout 20 "$STEVED" --mount "$mount"
        echo "$n: $output"
        [ -n "$output" ]
        ! is_mounted "$mount"
    done
}

@test 'memory runs out while steved serves: who asks is told, no token is lost' {
    export NO_MEMORY_SINCE=$BATS_TEST_TMPDIR/since
    for n in 1 2 5 10 15 20 30 40; do
        printf '\0' >"$NO_MEMORY_SINCE"
        steved_without_memory "$n" once
        start_steved --jobs 2
        printf + | dd of="$NO_MEMORY_SINCE" conv=notrunc status=none
        for _ in 1 2; do
            "$JOBWRAP" --parent="$SERVER" --no-shims true || true
            dd if="$SERVER" bs=1 count=1 status=none of="$BATS_TEST_TMPDIR/token" || true
        done
        wait_for 10 steved_has free 2
        stop "$STEVED_PID"
    done
}

# without_files COMMAND...: what it says goes through a pipe.
without_files() {
    (ulimit -f 0 && "$@") 2>&1 | cat
    return "${PIPESTATUS[0]}"
}

@test 'ulimit -f 0: what cannot be written is said, and the build is as without' {
    cd "$BATS_TEST_TMPDIR"
    run -3 without_files "$JOBWRAP" --parent=none --report=report sh -c 'exit 3'
    [ "$output" = 'jobwrap: write report: File too large' ]
    [ -z "$(echo report*)" ] || [ "$(echo report*)" = 'report*' ]
    run -0 without_files "$JOBWRAP" --parent=none -j2 --memory=on \
        "$JOBGATE" --jobs-of=xargs xargs -a /dev/null true
    run -0 without_files "$JOBWRAP" --parent=none -j2 --memory=on \
        "$JOBGATE" --jobs-of=sh sh -c 'sleep 0; echo job; exit 0'
    [[ $output == *job* ]]
    [[ $output == *"jobgate: memory history: $XDG_CACHE_HOME/jobwrap/memory.sqlite: disk I/O error"* ]]
    run -125 without_files "$JOBWRAP" --memory-history list
    [[ $output == "jobwrap: memory history: "*": disk I/O error"* ]]
}

@test 'ulimit -f 0: the gate by seccomp needs no file' {
    run -0 without_files "$JOBWRAP" --parent=none -j2 --memory=off "$JOBGATE" --gate=seccomp \
        --jobs-of=sh sh -c 'sleep 0; echo job; exit 0'
    [ "$output" = job ]
}

@test 'a full file system: what cannot be written is said, the build is as without, and what was there stays' {
    require_root
    require unshare
    run -0 unshare --mount --propagation private bash -euc '
        gated() {
            "$JOBWRAP" --parent=none -j2 --memory=on \
                "$JOBGATE" --jobs-of=sh sh -c "sleep 0; echo \"$1\"; exit 0"
        }
        mount -t tmpfs -o size=300k,mode=0700 tmpfs "$XDG_CACHE_HOME"
        cd "$XDG_CACHE_HOME"
        gated "there is room"
        head -c 400k /dev/zero >fill || true
        gated "there is none"
        "$JOBWRAP" --parent=none --report=report sh -c "exit 3" || echo "status $?"
        rm fill
        "$JOBWRAP" --memory-history list'
    echo "$output"
    [ "${lines[0]}" = 'there is room' ]
    [[ $output == *'there is none'* ]]
    [[ $output == *"jobgate: memory history: $XDG_CACHE_HOME/jobwrap/memory.sqlite: "* ]]
    [[ $output == *'jobwrap: write report: No space left on device'* ]]
    [[ $output == *'status 3'* ]]
    [[ ${lines[-1]} == *' sleep '* ]]
}

@test 'pipes that may not grow: the ledger says how many tokens it has room for, and all come back' {
    local parent=$BATS_TEST_TMPDIR/parent said=$BATS_TEST_TMPDIR/said
    make_fifo "$parent" 300
    refused EPERM fcntl=1031 # F_SETPIPE_SZ
    export SAID=$said
    "${refused[@]}" "$JOBWRAP" --parent="$parent" --implicit=acquire python3 -c 'import os, select
fifo = os.open(os.environ["JOBWRAP_FIFO"], os.O_RDWR | os.O_NONBLOCK)
tokens = 0
while not os.path.getsize(os.environ["SAID"]):
    if select.select([fifo], [], [], 0.02)[0]:
        tokens += len(os.read(fifo, 1))
os.write(fifo, b"+" * tokens)' 2>"$said"
    grep -x 'jobwrap: ledger: there is no room for more than [0-9]* tokens' "$said"
    fifo_has "$parent" 300
}
