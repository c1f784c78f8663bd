#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# The second gate: execve is heard of by seccomp, and SIGSTOP holds back what must wait.

# shellcheck disable=SC2016 # what single quotes hold is for the command's shell
# shellcheck disable=SC2154 # common.bash sets spawned and status, run sets output
load ../lib/bash/common

: "${SHIM:=$BUILD/ninja-shim/ninja}" "${JOBGATE:=$BUILD/ninja-shim/jobgate}"
CONCURRENCY=$LIB/concurrency

setup() {
    common_setup
    # Other users cannot reach into bats' directories; and the shims of this test are known by it.
    WORK=$(mktemp -d /tmp/ninja-seccomp.XXXXXX)
    chmod 777 "$WORK"
    cd "$WORK" || return
    export WORK NINJA_SHIM_GATE=seccomp
}

teardown() {
    common_teardown
    wait_for 20 nothing_left || sidecars
    rm -rf "$WORK"
}

# jobserver TOKENS: what the shims are given.
jobserver() {
    make_fifo "$WORK/fifo" "$1"
    chmod 666 "$WORK/fifo"
    export MAKEFLAGS="-j8 --jobserver-auth=fifo:$WORK/fifo"
}

tokens_are() {
    fifo_has "$WORK/fifo" "$1"
}

# The pids of the gates' processes that this test has started, a name (jobgate, jobgate-keeper) and a
# pattern for the command line of the shim that they come from.
gates() {
    local pid
    for pid in $(pgrep -x -- "$1"); do
        # A zombie has no command line.
        if tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q -- "$2"; then
            echo "$pid"
        fi
    done 2>/dev/null
}

sidecars() {
    gates 'jobgate(-keeper)?' "$WORK"
}

nothing_left() {
    [ -z "$(sidecars)" ]
}

# manifest DIRECTORY COMMAND [N]: N jobs j1, j2, ... (`$out`).
manifest() {
    mkdir -p "$1"
    {
        printf 'rule job\n  command = %s\n' "$2"
        seq "${3:-1}" | sed 's/.*/build j&: job/'
    } >"$1/build.ninja"
}

# $STAMP $WORK/log ...
stamps() {
    manifest "$1" "$STAMP $WORK/log \$out $2" "$3"
}

started() {
    grep -c ^start "$WORK/log"
}

# has_started N: or more.
has_started() {
    [ -e "$WORK/log" ] && [ "$(started)" -ge "$1" ]
}

# How many processes are stopped, of the jobs with this command line.
stopped_are() {
    local n=0 pid
    for pid in $(pgrep -f -- "$2"); do
        ! grep -q '^State:[[:space:]]*T' "/proc/$pid/status" 2>/dev/null || n=$((n + 1))
    done
    [ "$n" = "$1" ]
}

# --- how many run ---

sixty_jobs() {
    local k
    stamps "$WORK/build" 0.02 60
    for k in 0 1 3; do
        rm -f fifo log
        at_once $((k + 1))
        jobserver "$k"
        NINJA_SHIM_REAL=$1 run -0 "$SHIM" -C "$WORK/build" -j8
        [[ $output != *ninja-shim:* ]]
        "$CONCURRENCY" --expect-jobs 60 --expect-exactly $((k + 1)) log
        wait_for 10 tokens_are "$k"
    done
}

@test 'sixty jobs with 0, 1 and 3 tokens: ninja of the system' {
    require ninja
    sixty_jobs "$(command -v ninja)"
}

@test 'sixty jobs with 0, 1 and 3 tokens: ninja 1.12' {
    require_tool NINJA112
    sixty_jobs "$NINJA112"
}

@test 'sixty jobs with 0, 1 and 3 tokens: ninja 1.13' {
    require_tool NINJA113
    sixty_jobs "$NINJA113"
}

@test 'as an unprivileged user' {
    require setpriv ninja
    at_once 3
    [ "$(id -u)" = 0 ] || skip 'the other tests show that'
    setpriv --reuid=65534 --regid=65534 --clear-groups test -x "$SHIM" ||
        missing 'a build that others can read'
    stamps "$WORK/build" 0.02 30
    chmod -R 777 "$WORK/build"
    jobserver 2
    run -0 setpriv --reuid=65534 --regid=65534 --clear-groups "$SHIM" -C "$WORK/build" -j8
    [[ $output != *ninja-shim:* ]]
    "$CONCURRENCY" --expect-jobs 30 --expect-exactly 3 log
    wait_for 10 tokens_are 2
}

# nest DIRECTORY LEVELS: six jobs, and two more that are builds of their own, each by a shim.
nest() {
    stamps "$1" 0.02 6
    [ "$2" -gt 1 ] || return 0
    {
        printf 'rule build\n  command = exec %s -C $dir\n' "$SHIM"
        printf 'build build%s: build\n  dir = %s/%s\n' 1 "$1" 1 2 "$1" 2
    } >>"$1/build.ninja"
    nest "$1/1" $(($2 - 1))
    nest "$1/2" $(($2 - 1))
}

@test 'three levels of shims, of which one has the listener' {
    local k
    require ninja
    nest "$WORK/build" 3
    for k in 0 3; do
        rm -f fifo log
        at_once $((k + 1))
        jobserver "$k"
        run -0 "$SHIM" -C "$WORK/build" -j8
        [[ $output != *ninja-shim:* ]]
        "$CONCURRENCY" --expect-jobs 42 --expect-exactly $((k + 1)) log
        wait_for 10 tokens_are "$k"
    done
}

@test 'where ptrace is refused, seccomp takes its place' {
    require ninja python3
    at_once 3
    without_leak_checker
    stamps "$WORK/build" 0.02 20
    jobserver 2
    run -0 env -u NINJA_SHIM_GATE "$LIB/without-gates" no-ptrace \
        "$SHIM" -C "$WORK/build" -j8
    [[ $output != *ninja-shim:* ]]
    "$CONCURRENCY" --expect-jobs 20 --expect-exactly 3 log
}

@test 'under strace -f, which traces already' {
    require ninja strace
    at_once 3
    without_leak_checker
    stamps "$WORK/build" 0.02 20
    jobserver 2
    run -0 env -u NINJA_SHIM_GATE strace -f -o /dev/null "$SHIM" -C "$WORK/build" -j8
    [[ $output != *ninja-shim:* ]]
    "$CONCURRENCY" --expect-jobs 20 --expect-exactly 3 log
    wait_for 10 tokens_are 2
}

@test 'where both are refused, or the listener is a stranger: a line, and -j1' {
    local how
    require ninja python3
    without_leak_checker
    stamps "$WORK/build" 0.02 10
    jobserver 3
    for how in refused listener; do
        rm -f log
        run -0 env -u NINJA_SHIM_GATE "$LIB/without-gates" "$how" \
            "$SHIM" -C "$WORK/build"
        [[ $output == *'ninja-shim: cannot hold jobs back (ptrace: '*'; seccomp: '*'); using -j1'* ]]
        "$CONCURRENCY" --expect-jobs 10 --expect-exactly 1 log
    done
    tokens_are 3
}

# proot traces all that runs in it, and lets go what SIGSTOP has stopped.
@test 'below a tracer that drops stops: a line, and -j1' {
    require ninja proot
    without_leak_checker
    stamps "$WORK/build" 0.02 10
    jobserver 3
    run -0 env -u NINJA_SHIM_GATE proot "$SHIM" -C "$WORK/build"
    [[ $output == *'ninja-shim: cannot hold jobs back (ptrace: '*'; seccomp: Operation not supported); using -j1'* ]]
    "$CONCURRENCY" --expect-jobs 10 --expect-exactly 1 log
    wait_for 10 tokens_are 3
    # jobgate cannot tell its command to run one at a time. The exit status of proot is its own.
    run proot "$BUILD/ninja-shim/jobgate" --gate=seccomp --jobs-of=xargs -- sh -c 'touch ran'
    [[ $output == *'cannot hold jobs back (seccomp: Operation not supported); nothing is run'* ]]
    [ ! -e ran ]
    wait_for 10 tokens_are 3
}

@test 'the sidecar is killed before it traces: a line, and -j1' {
    require ninja python3
    without_leak_checker
    stamps "$WORK/build" 0.02 10
    jobserver 3
    ulimit -c 0
    run -0 env -u NINJA_SHIM_GATE "$LIB/without-gates" killed "$SHIM" -C "$WORK/build"
    [[ $output == *'ninja-shim: cannot hold jobs back (ptrace: '*'; seccomp: Broken pipe); using -j1'* ]]
    "$CONCURRENCY" --expect-jobs 10 --expect-exactly 1 log
    tokens_are 3
}

# killed_at CALL,WHEN COMMAND...: each process, in the system call that is its WHENth of that name; what
# is left then keeps strace waiting.
killed_at() {
    run -125 "$LIB/subreaper" timeout 100 strace -f -qq -o trace -e trace="${1%:*}" \
        -e inject="${1%:*}:signal=KILL:when=${1#*:}" "${@:2}"
    grep -q "^[0-9]* *${1%:*}(.*= ?$" trace
}

# Who tries whether a stop holds has stopped its child by the first kill(2), and ends it by the second.
@test 'who puts up the gate is killed: a line, nobody waits and nothing is left' {
    local at
    require strace
    without_leak_checker
    jobserver 1
    for at in kill:1 kill:2 bind:1; do
        killed_at "$at" "$JOBGATE" --gate=seccomp --jobs-of=xargs -- touch ran
        [[ $output == *'jobgate: cannot hold jobs back (seccomp: '*'); nothing is run'* ]]
        [ ! -e ran ]
    done
    tokens_are 1
}

# --- what is a job ---

@test 'what a job executes after its first program is its own business' {
    require ninja
    manifest "$WORK/build" \
        "$STAMP $WORK/log \$out -- sh -c 'for i in 1 2 3 4 5; do /bin/true; done; exec env sh -c \"exec true\"'" 12
    # A second execve that waited for a token would wait for ever.
    jobserver 0
    run -0 timeout 60 "$SHIM" -C "$WORK/build" -j4
    "$CONCURRENCY" --expect-jobs 12 --expect-exactly 1 log
}

# A parent in vfork(2) must not wait for the token of a child whose exec has failed: by PATH it tries
# one file after the other.
@test 'an exec that fails while its job waits' {
    require python3
    at_once 2
    cat >jobs.py <<'EOF'
import subprocess, sys
jobs = [subprocess.Popen(["stamp", sys.argv[1], str(i), "0.02"], close_fds=False) for i in range(12)]
sys.exit(max(job.wait() for job in jobs))
EOF
    jobserver 1
    PATH=/no/such:/nor/such:${STAMP%/*}:$PATH run -0 timeout 60 \
        "$JOBGATE" --gate=seccomp --jobs-of=python3 -- python3 jobs.py "$WORK/log"
    "$CONCURRENCY" --expect-jobs 12 --expect-exactly 2 log
    wait_for 10 tokens_are 1
}

@test 'jobgate: a job of a lazy client that is one itself, and one that only looks so' {
    require xargs
    at_once 3
    seq 6 >six
    jobserver 2
    run -0 timeout 60 "$JOBGATE" --gate=seccomp --jobs-of=xargs -- sh -c 'seq 3 |
        xargs -P3 -I{} xargs -a six -P8 -I[] "$STAMP" "$WORK/log" {}[] 0.02'
    "$CONCURRENCY" --expect-jobs 18 --expect-exactly 3 log
    wait_for 10 tokens_are 2
    rm log
    run -0 timeout 60 "$JOBGATE" --gate=seccomp --jobs-of=xargs -- sh -c 'seq 3 |
        xargs -P3 -I{} "$STAMP" "$WORK/log" {} -- sh -c "xargs -a six -P8 -n1 sleep 0.0; :"'
    "$CONCURRENCY" --expect-jobs 3 --expect-exactly 3 log
    wait_for 10 tokens_are 2
}

@test 'jobgate: whatever number of names' {
    require xargs
    at_once 2
    jobserver 1
    run -0 timeout 60 "$JOBGATE" --gate=seccomp --jobs-of=a --jobs-of=b --jobs-of=c --jobs-of=d \
        --jobs-of=e --jobs-of=f --jobs-of=g --jobs-of=h --jobs-of=xargs -- \
        sh -c 'seq 8 | xargs -P8 -I{} "$STAMP" "$WORK/log" {} 0.02'
    "$CONCURRENCY" --expect-jobs 8 --expect-exactly 2 log
}

# Who is a job is read in /proc, which takes a descriptor, too.
@test 'descriptors run out: what cannot be held back is ended, nothing runs without a token' {
    local limit
    require ninja
    without_leak_checker
    stamps "$WORK/build" 0.02 30
    for limit in 28 30 32 36; do
        echo "$limit descriptors"
        rm -f fifo log
        jobserver 1
        run -1 sh -c 'ulimit -n "$1"; exec 3>&-; exec timeout 60 "$2" -C "$3" -j16 -k0' sh \
            "$limit" "$SHIM" "$WORK/build"
        [[ $output == *'ninja-shim: hold back process '*': Too many open files; killing it'* ]]
        [ ! -e log ] || "$CONCURRENCY" --expect-max 2 log
        wait_for 10 tokens_are 1
    done
}

@test 'a daemon that a job has left behind executes something when the build is over' {
    require ninja setsid
    manifest "$WORK/build" \
        "setsid sh -c 'until [ -e $WORK/go ]; do sleep 0.02; done; sh -c : && : >$WORK/finished' \
        >/dev/null 2>&1 &"
    jobserver 1
    run -0 timeout 60 "$SHIM" -C "$WORK/build"
    wait_for 10 tokens_are 1
    [ -n "$(gates jobgate "$WORK")" ]
    touch go
    wait_for 10 test -e finished
    wait_for 20 nothing_left
}

# Root's sidecar serves other users' shims. What one of them says of his jobs must not end root's.
@test 'another user registers, and his lazy client, called as processes of root, ends' {
    local shim
    require_root
    require ninja setpriv
    setpriv --reuid=65534 --regid=65534 --clear-groups /usr/bin/python3 -c '' ||
        missing 'a python3 for other users'
    cat >register.py <<'EOF'
import socket, struct, subprocess, sys
names = [line.split()[-1] for line in open("/proc/net/unix") if f"@jobgate/{sys.argv[1]}/" in line]
connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
connection.connect("\0" + names[0][1:])
lazy = subprocess.Popen(["sleep", "60"])
message = struct.pack("iiii?", 0, 0, lazy.pid, 0, True) + b"sh".ljust(8 * 16, b"\0")
connection.send(message.ljust((len(message) + 3) // 4 * 4, b"\0"))
print("registered:", struct.unpack("ii", connection.recv(1000)[:8]) == (1, 0), flush=True)
lazy.kill()
lazy.wait()
open("ended", "w").close()
open("stay").read()
EOF
    mkfifo -m 666 stay
    manifest "$WORK/build" \
        "(until [ -e $WORK/go ]; do sleep 0.02; done; exec touch $WORK/survived) >/dev/null 2>&1 & :"
    jobserver 1
    spawn "$SHIM" -C "$WORK/build" >/dev/null
    shim=$spawned
    status_of "$shim"
    [ "$status" = 0 ]
    wait_for 10 tokens_are 1
    exec {STAY}<>stay
    spawn setpriv --reuid=65534 --regid=65534 --clear-groups \
        /usr/bin/python3 register.py "$shim" >registered
    wait_for 10 test -e ended
    grep -x 'registered: True' registered
    touch go
    wait_for 10 test -e survived
}

# keeper_is_not PID: another one has taken its place.
keeper_is_not() {
    keeper=$(gates jobgate-keeper "$WORK")
    [ -n "$keeper" ] && [ "$keeper" != "$1" ]
}

@test 'the keeper is killed again and again: its successors leave no descriptors behind' {
    local keeper='' sidecar before=''
    require ninja
    manifest "$WORK/build" "until [ -e $WORK/go ]; do sleep 0.02; done"
    jobserver 1
    spawn "$SHIM" -C "$WORK/build" >/dev/null
    wait_for 10 keeper_is_not ''
    sidecar=$(gates jobgate "$WORK")
    for _ in 1 2 3 4 5; do
        kill -s KILL "$keeper"
        wait_for 10 keeper_is_not "$keeper"
        [ -n "$before" ] || before=$(find "/proc/$sidecar/fd" | wc -l)
    done
    no_more() { [ "$(find "/proc/$sidecar/fd" | wc -l)" -le "$before" ]; }
    wait_for 10 no_more
    touch go
    status_of "$spawned"
    [ "$status" = 0 ]
}

# --- ends ---

@test 'a job fails: none that waits is run' {
    require ninja
    require_tool NINJA113
    {
        echo 'rule fail'
        echo "  command = $STAMP $WORK/log fail -- sh -c '"\
            "until [ -e $WORK/go ]; do sleep 0.01; done; exit 3'"
        echo 'build fail: fail'
    } >failing
    check() {
        stamps "$WORK/build" 60 8
        cat failing "$WORK/build/build.ninja" >both
        mv both "$WORK/build/build.ninja"
        rm -f fifo log go
        jobserver 0
        NINJA_SHIM_REAL=$1 spawn "$SHIM" -C "$WORK/build" -j4 >/dev/null
        wait_for 10 stopped_are 3 "$WORK/log j"
        touch go
        status_of "$spawned"
        [ "$status" = "$2" ]
        [ "$(started)" = 1 ]
        tokens_are 0
    }
    check "$(command -v ninja)" 1
    check "$NINJA113" 3
}

@test 'ninja is interrupted while nothing but waiting jobs is there' {
    local signal
    require ninja
    stamps "$WORK/build" 0.02 20
    for signal in INT TERM HUP; do
        rm -f fifo
        jobserver 0
        NINJA_SHIM_IMPLICIT=acquire spawn env --default-signal=INT "$SHIM" -C "$WORK/build" -j4 \
            >/dev/null
        wait_for 10 stopped_are 4 "$WORK/log"
        kill -s "$signal" "$spawned"
        status_of "$spawned"
        [ "$status" = 2 ]
        [ ! -e log ]
    done
}

@test 'ninja is killed: what waits is ended and never runs' {
    require ninja
    manifest "$WORK/build" "$STAMP $WORK/log \$out -- sh -c 'until [ -e $WORK/go ]; do sleep 0.01; done'" 8
    jobserver 1
    spawn "$SHIM" -C "$WORK/build" -j6 >/dev/null
    wait_for 10 stopped_are 4 "$WORK/log"
    wait_for 10 has_started 2
    stop "$spawned" KILL
    wait_for 10 stopped_are 0 "$WORK/log"
    [ "$(started)" = 2 ]
    # One runs in the implicit slot, one on the token.
    tokens_are 0
    touch go
    wait_for 10 tokens_are 1
}

@test 'a waiting job that somebody continues is stopped again' {
    require ninja
    manifest "$WORK/build" "sleep 5 # $WORK/log" 1
    jobserver 0
    NINJA_SHIM_IMPLICIT=acquire spawn "$SHIM" -C "$WORK/build" >/dev/null
    wait_for 10 stopped_are 1 "sleep 5 # $WORK/log"
    kill -s CONT "$(pgrep -f "sleep 5 # $WORK/log")"
    wait_for 10 stopped_are 1 "sleep 5 # $WORK/log"
    stop "$spawned" KILL
}

# --- SIGKILL of what keeps the gate ---

@test 'the sidecar is killed: nothing that waits runs, and what runs can execute things still' {
    require ninja
    manifest "$WORK/build" \
        "$STAMP $WORK/log \$out -- sh -c 'until [ -e $WORK/go ]; do sleep 0.01; done; : >$WORK/\$out'" 8
    jobserver 1
    spawn "$SHIM" -C "$WORK/build" -j6 >/dev/null
    wait_for 10 stopped_are 4 "$WORK/log"
    wait_for 10 has_started 2
    kill -s KILL "$(gates jobgate "$WORK")"
    status_of "$spawned"
    [ "$status" = 137 ]
    wait_for 10 stopped_are 0 "$WORK/log"
    tokens_are 0
    touch go
    wait_for 10 tokens_are 1
    [ "$(started)" = 2 ]
    wait_for 20 nothing_left
    "$CONCURRENCY" --expect-jobs 2 log
}

@test 'the sidecar is killed at any moment' {
    local round pid
    require ninja
    stamps "$WORK/build" 0.01 60
    for round in $(seq 20); do
        rm -f fifo log
        jobserver 2
        spawn "$SHIM" -C "$WORK/build" -j8 >/dev/null
        wait_for 10 has_started $((round * 2))
        pid=$(gates jobgate "$WORK")
        # The build may be over.
        [ -z "$pid" ] || kill -s KILL "$pid" || true
        status_of "$spawned"
        wait_for 10 nothing_left
        tokens_are 2
        "$CONCURRENCY" --killed --expect-max 3 log
    done
}

@test 'the keeper is killed: there is another one' {
    local keeper
    require ninja
    at_once 3
    manifest "$WORK/build" \
        "$STAMP $WORK/log \$out -- sh -c 'until [ -e $WORK/go ]; do sleep 0.01; done'" 30
    jobserver 2
    spawn "$SHIM" -C "$WORK/build" -j8 >/dev/null
    wait_for 10 has_started 3
    keeper=$(gates jobgate-keeper "$WORK")
    kill -s KILL "$keeper"
    wait_for 10 has_ended "$keeper"
    touch go
    status_of "$spawned"
    [ "$status" = 0 ]
    "$CONCURRENCY" --expect-jobs 30 --expect-exactly 3 log
    wait_for 10 tokens_are 2
}

# inner_build: a build whose only job is a shim's build of 8 jobs, which wait for $WORK/go; one runs.
inner_build() {
    manifest "$WORK/build/inner" \
        "$STAMP $WORK/log \$out -- sh -c 'until [ -e $WORK/go ]; do sleep 0.01; done'" 8
    manifest "$WORK/build" "exec $SHIM -C $WORK/build/inner -j6"
    jobserver 0
    spawn "$SHIM" -C "$WORK/build" >/dev/null
    wait_for 10 stopped_are 5 "$WORK/log"
    wait_for 10 has_started 1
}

@test 'the sidecar of an inner shim is killed: its build ends, the other one hears of it' {
    require ninja
    inner_build
    kill -s KILL "$(gates jobgate "$WORK/build/inner")"
    status_of "$spawned"
    [ "$status" = 1 ]
    wait_for 10 stopped_are 0 "$WORK/log"
    [ "$(started)" = 1 ]
    touch go
}

@test 'the sidecar that listens is killed: all builds end' {
    require ninja
    inner_build
    kill -s KILL "$(gates jobgate "$WORK/build \$")"
    status_of "$spawned"
    [ "$status" = 137 ]
    wait_for 10 stopped_are 0 "$WORK/log"
    [ "$(started)" = 1 ]
    touch go
    wait_for 20 nothing_left
}
