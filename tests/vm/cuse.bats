#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# steved on a character device, /dev/steve, made by CUSE. Run by tests/vm/suite in a guest where it is
# root and alone.

# shellcheck disable=SC1003 # a name of a block may end with a backslash
# shellcheck disable=SC2016 # what is in single quotes is make's, or another shell's

load ../lib/bash/common
load ../lib/bash/documented

DEVICE=/dev/steve
CLIENT=$LIB/steved_client.py

setup_file() {
    [ -c /dev/cuse ]
    groupadd --force jobserver
}

teardown() {
    common_teardown
    wait_for 10 is_gone "$DEVICE"
}

is_gone() {
    [ ! -e "$1" ]
}

start_device() {
    spawn "$STEVED" --device steve "$@" 2>>"$BATS_TEST_TMPDIR/steved.log"
    STEVED_PID=$spawned
    SERVER=$DEVICE
    wait_for 10 device_is_up_or_gone
    cat "$BATS_TEST_TMPDIR/steved.log"
    steved_get jobs
}

# The node appears before the server has answered for the first time, and gets its owner then.
device_is_up_or_gone() {
    has_ended "$STEVED_PID" || { [ -c "$DEVICE" ] && [ "$(stat -c %a "$DEVICE")" = 660 ]; }
}

# tree NAME: a make with two sub-makes of six jobs each; all trees share one log. Processes start slowly
# here, so there are few.
tree() {
    local dir=$BATS_TEST_TMPDIR/$1
    mkdir "$dir"
    printf 'all: a b\na b:; +@$(MAKE) --no-print-directory -f jobs.mk PART=$@\n' >"$dir/Makefile"
    printf 'jobs = 1 2 3 4 5 6\nall: $(jobs)\n$(jobs):; @%s %s $(PART).$@ 0.3\n' \
        "$STAMP" "$BATS_TEST_TMPDIR/log" >"$dir/jobs.mk"
}

# highest OPTION...: of the jobs of all trees.
highest() {
    "$LIB/concurrency" "$@" "$BATS_TEST_TMPDIR/log"
}

nothing_is_held() {
    wait_for 10 steved_has held 0
    steved_has free "$(steved_get jobs)"
}

@test 'the node is a character device of the group jobserver' {
    start_device --jobs 3
    [ "$(stat -c '%F %U %G %a' "$DEVICE")" = 'character special file root jobserver 660' ]
}

@test 'a second server on the same device is refused in one line' {
    start_device --jobs 3
    run "$STEVED" --device steve --jobs 3
    [ "$status" != 0 ]
    [ "${#lines[@]}" = 1 ]
    [[ $output == *"$DEVICE"* ]]
    steved_has free 3
}

@test 'two makes directly on the device: N jobs and two implicit slots that nobody paid for' {
    local first second
    require_tool MAKE441
    at_once 5
    start_device --jobs 3
    tree a
    tree b
    export MAKEFLAGS="--jobserver-auth=fifo:$DEVICE"
    spawn "$MAKE441" -C "$BATS_TEST_TMPDIR/a" && first=$spawned
    spawn "$MAKE441" -C "$BATS_TEST_TMPDIR/b" && second=$spawned
    wait_for 30 steved_has unpaid 2
    run "$STEVECTL" --server "$DEVICE" status
    [[ $output == *unpaid* ]]
    status_of "$first" 120 && [ "$status" = 0 ]
    status_of "$second" 120 && [ "$status" = 0 ]
    highest --expect-exactly 5 --expect-jobs 24
    nothing_is_held
    steved_has unpaid 0
}

@test 'two jobwraps at once, around make 4.3 and make 4.4.1: exactly N jobs' {
    local first second
    require_tool MAKE441
    at_once 3
    start_device --jobs 3
    tree a
    tree b
    spawn "$JOBWRAP" -- make -C "$BATS_TEST_TMPDIR/a" && first=$spawned
    spawn "$JOBWRAP" -- "$MAKE441" -C "$BATS_TEST_TMPDIR/b" && second=$spawned
    status_of "$first" 120 && [ "$status" = 0 ]
    status_of "$second" 120 && [ "$status" = 0 ]
    highest --expect-exactly 3 --expect-jobs 24
    nothing_is_held
}

@test 'FIONREAD tells how many tokens are free' {
    start_device --jobs 3
    [ "$(tokens_in "$DEVICE")" = 3 ]
    exec {taken}<>"$DEVICE"
    read -r -N 1 -u "$taken" byte
    [ "$byte" = + ]
    [ "$(tokens_in "$DEVICE")" = 2 ]
    printf + >&"$taken"
    [ "$(tokens_in "$DEVICE")" = 3 ]
}

@test 'blocking reads, one token each' {
    start_device --jobs 3
    /usr/bin/python3 "$CLIENT" blocking "$DEVICE"
}

@test 'non-blocking reads: EAGAIN at once, O_NONBLOCK as it is at the read' {
    start_device --jobs 3
    /usr/bin/python3 "$CLIENT" nonblocking "$DEVICE"
}

@test 'reads and writes of any size' {
    start_device --jobs 10
    /usr/bin/python3 "$CLIENT" sizes "$DEVICE"
}

@test 'a poll wakes when a token comes back, and a read then has it' {
    start_device --jobs 1
    exec {taken}<>"$DEVICE"
    read -r -N 1 -u "$taken"
    spawn /usr/bin/python3 -c 'import os, select, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_NONBLOCK)
poll = select.poll()
poll.register(fd, select.POLLIN)
assert poll.poll(0) == []
assert poll.poll(30000) == [(fd, select.POLLIN)]
assert os.read(fd, 1) == b"+"
assert poll.poll(0) == []' "$DEVICE"
    wait_for 10 steved_has waiting 1
    printf + >&"$taken"
    status_of "$spawned"
    [ "$status" = 0 ]
}

@test 'a signal ends a blocked read by EINTR' {
    start_device --jobs 3
    /usr/bin/python3 "$CLIENT" interrupted "$DEVICE"
}

@test 'a killed waiter leaves no ghost' {
    start_device --jobs 3
    /usr/bin/python3 "$CLIENT" killed_waiter "$DEVICE"
}

@test 'tokens return from elsewhere through the same description only' {
    start_device --jobs 3
    /usr/bin/python3 "$CLIENT" foreign "$DEVICE"
}

@test 'a descriptor that ten processes share' {
    start_device --jobs 3
    /usr/bin/python3 "$CLIENT" shared "$DEVICE"
}

@test 'ioctls of wrong sizes and with garbage' {
    start_device --jobs 3 --class remote=3
    /usr/bin/python3 "$CLIENT" bad_ioctls "$DEVICE"
    /usr/bin/python3 "$CLIENT" bad_ioctls_of_class "$DEVICE-remote" remote
    nothing_is_held
}

# for_all [OPTION...]: where users take part that can reach nothing but the device.
for_all() {
    start_device "$@"
    SHARED_GID=$(getent group jobserver | cut -d: -f3)
    export SHARED_GID
}

@test 'a user with twelve sessions has no more than a user with one' {
    for_all --jobs 8
    /usr/bin/python3 "$CLIENT" sessions "$DEVICE"
    nothing_is_held
}

@test 'another user is charged for what is read through its description, and no other joins its group' {
    for_all --jobs 4
    /usr/bin/python3 "$CLIENT" passed_on_to_others "$DEVICE"
    nothing_is_held
}

@test 'who stays in a system call on the device holds up nobody' {
    for_all --jobs 4
    /usr/bin/python3 "$CLIENT" stuck "$DEVICE" "$BUILD/tests/lib/stuck"
}

@test 'a killed holder is seen by its pidfd: its token serves who waits' {
    local holder
    start_device --jobs 1
    spawn bash -c 'exec 5<>"$1"; read -r -N 1 -u 5; exec sleep 1000' - "$DEVICE" && holder=$spawned
    wait_for 10 steved_has held 1
    spawn dd if="$DEVICE" of="$BATS_TEST_TMPDIR/got" bs=1 count=1
    wait_for 10 steved_has waiting 1
    kill -s KILL "$holder"
    status_of "$spawned" 10
    [ "$(cat "$BATS_TEST_TMPDIR/got")" = + ]
    [ "$(steved_get reclaimed)" -ge 1 ]
}

@test 'a shell that takes a token by dd in a substitution keeps it as long as it lives' {
    local shell
    start_device --jobs 2
    mkfifo "$BATS_TEST_TMPDIR/end"
    spawn sh -c 'exec 5<>"$1"; t=$(dd bs=1 count=1 <&5 2>/dev/null); echo "$t" >"$2/has"
        read -r _ <"$2/end"' - "$DEVICE" "$BATS_TEST_TMPDIR" && shell=$spawned
    wait_for 10 test -s "$BATS_TEST_TMPDIR/has"
    # Its dd has ended long since: were the token dd's, it would be free.
    steved_has held 1
    steved_has free 1
    run "$STEVECTL" --server "$DEVICE" status --json
    perl -e '$_ = join "", <STDIN>; exit !/"pid":\s*$ARGV[0]\b[^}]*"held":\s*1\b/' "$shell" <<<"$output"
    echo >"$BATS_TEST_TMPDIR/end"
    status_of "$shell" 10
    nothing_is_held
}

@test 'set jobs reaches the builds that run, upward at once' {
    local waiter
    start_device --jobs 1
    exec {taken}<>"$DEVICE"
    read -r -N 1 -u "$taken"
    spawn dd if="$DEVICE" of=/dev/null bs=1 count=1 && waiter=$spawned
    wait_for 10 steved_has waiting 1
    "$STEVECTL" --server "$DEVICE" set jobs=2
    status_of "$waiter" 10
    [ "$status" = 0 ]
    steved_has jobs 2
    "$STEVECTL" --server "$DEVICE" set jobs=1
    wait_for 10 steved_has free 0
    printf + >&"$taken"
    wait_for 10 steved_has free 1
}

# Each job runs until the test writes one more byte to the gate.
@test 'set jobs during a build of long jobs: down to 1, and up again at once' {
    local build gate dir=$BATS_TEST_TMPDIR
    require_tool MAKE441
    start_device --jobs 4
    mkfifo "$dir/gate"
    exec {gate}<>"$dir/gate"
    printf 'jobs = %s\nall: $(jobs)\n$(jobs):; @%s %s $@ -- sh -c "read -r _ <%s"\n' \
        "$(seq -s ' ' 20)" "$STAMP" "$dir/log" "$dir/gate" >"$dir/Makefile"
    MAKEFLAGS=--jobserver-auth=fifo:$DEVICE spawn "$MAKE441" -f "$dir/Makefile" && build=$spawned
    wait_for 30 steved_has held 4
    wait_for 30 lives_jobs 5 # the make's own implicit slot is not paid for
    "$STEVECTL" --server "$DEVICE" set jobs=1
    printf '\n\n\n' >&"$gate"
    wait_for 30 lives_jobs 2
    wait_for 30 steved_has held 1
    printf '\n' >&"$gate"
    wait_for 30 lives_jobs 2
    "$STEVECTL" --server "$DEVICE" set jobs=6
    wait_for 30 lives_jobs 7
    steved_has held 6
    yes '' | head -n 20 >&"$gate"
    status_of "$build" 60
    [ "$status" = 0 ]
    highest --expect-exactly 7 --expect-jobs 20
    nothing_is_held
}

lives_jobs() {
    [ "$("$STAMP" --living "$BATS_TEST_TMPDIR/log")" = "$1" ]
}

# --- ninja-shim: the kernel here does not say how somebody else's child has ended (Linux 6.15 does) ---

# shimmed [NAME=VALUE...] [OPTION...]: the system's ninja (1.11) in the test's directory, by its shim.
shimmed() {
    (cd "$BATS_TEST_TMPDIR" && exec env MAKEFLAGS="--jobserver-auth=fifo:$DEVICE" \
        "$@" NINJA_STATUS= "$BUILD/ninja-shim/ninja" -j5)
}

# ninja_file JOBS COMMAND [FAILING BEGUN]: so many jobs, and perhaps one that fails. It is there before
# them, since they need one that waits for it: who comes first to the gate is open otherwise.
ninja_file() {
    {
        printf 'rule job\n  command = %s\n' "$2"
        [ $# = 2 ] || printf 'rule %s\n  command = %s\n' fail "$3" wait "$4"
        [ $# = 2 ] || printf 'build failing: fail\nbuild begun: wait\n'
        printf "build n%d: job ${3+|| begun}\n" $(seq "$1")
    } >"$BATS_TEST_TMPDIR/build.ninja"
}

# twelve_on_three GATE: of K tokens exactly K jobs, since nobody has paid for an implicit slot.
twelve_on_three() {
    require ninja
    at_once 3
    start_device --jobs 3
    ninja_file 12 "$STAMP $BATS_TEST_TMPDIR/log \$out 0.3"
    shimmed NINJA_SHIM_GATE="$1"
    highest --expect-exactly 3 --expect-jobs 12
    nothing_is_held
}

@test 'ninja by its shim, held back by ptrace: exactly 3 jobs, and all tokens back' {
    twelve_on_three ptrace
}

@test 'ninja by its shim, held back by seccomp: exactly 3 jobs, and all tokens back' {
    twelve_on_three seccomp
}

# The failing job ends when two others run: those go on to their end, and those that wait never run.
@test 'ninja by its shim, a job fails: its exit status, and no job that waits runs' {
    local build dir=$BATS_TEST_TMPDIR
    require ninja
    start_device --jobs 3
    mkfifo "$dir/begun" "$dir/fail" "$dir/go"
    exec {begun}<>"$dir/begun" {fail}<>"$dir/fail" {go}<>"$dir/go"
    ninja_file 6 "$STAMP $dir/log \$out -- sh -c 'read -r _ <$dir/go'" \
        "echo >$dir/begun; read -r _ <$dir/fail; exit 3" "read -r _ <$dir/begun"
    spawn shimmed NINJA_SHIM_GATE=ptrace && build=$spawned
    wait_for 30 lives_jobs 2
    printf '\n' >&"$fail"
    wait_for 30 steved_has held 2
    printf '\n\n' >&"$go"
    status_of "$build" 30
    [ "$status" = 1 ]
    highest --expect-exactly 2 --expect-jobs 2
    nothing_is_held
}

@test 'ninja by its shim, a make in each job shares the tokens' {
    require ninja
    require_tool MAKE441
    at_once 3
    start_device --jobs 3
    printf 'all: a b\na b:; @%s %s $(N).$@ 0.1\n' "$STAMP" "$BATS_TEST_TMPDIR/log" \
        >"$BATS_TEST_TMPDIR/jobs.mk"
    ninja_file 4 "$MAKE441 -s -f jobs.mk N=\$out"
    shimmed NINJA_SHIM_GATE=ptrace
    highest --expect-exactly 3 --expect-jobs 8
    nothing_is_held
}

@test 'SIGKILL of the sidecar: nothing that waits runs, and each token is back when its job has ended' {
    local build sidecar dir=$BATS_TEST_TMPDIR
    require ninja
    start_device --jobs 3
    mkfifo "$dir/go"
    exec {go}<>"$dir/go"
    ninja_file 6 "$STAMP $dir/log \$out -- sh -c 'read -r _ <$dir/go'"
    spawn shimmed NINJA_SHIM_GATE=ptrace && build=$spawned
    wait_for 30 lives_jobs 3
    sidecar=$(grep -lx jobgate /proc/[0-9]*/comm | tr -dc '0-9\n')
    kill -s KILL "$sidecar"
    status_of "$build" 30
    [ "$status" = 137 ]
    lives_jobs 3
    steved_has held 3
    printf '\n\n\n' >&"$go"
    nothing_is_held
    highest --expect-exactly 3 --expect-jobs 3
}

@test 'SIGKILL of steved and its guardian: who waits gets an error and the node disappears' {
    local waiter
    start_device --jobs 1
    exec {taken}<>"$DEVICE"
    read -r -N 1 -u "$taken"
    spawn dd if="$DEVICE" of=/dev/null bs=1 count=1 2>"$BATS_TEST_TMPDIR/dd.err" && waiter=$spawned
    wait_for 10 steved_has waiting 1
    kill_steved
    status_of "$waiter" 10
    [ "$status" = 1 ]
    grep -q 'Software caused connection abort' "$BATS_TEST_TMPDIR/dd.err"
    wait_for 10 is_gone "$DEVICE"
}

@test 'SIGTERM of steved: who waits gets an error and the node disappears' {
    local waiter
    start_device --jobs 1
    exec {taken}<>"$DEVICE"
    read -r -N 1 -u "$taken"
    spawn dd if="$DEVICE" of=/dev/null bs=1 count=1 && waiter=$spawned
    wait_for 10 steved_has waiting 1
    kill "$STEVED_PID"
    status_of "$STEVED_PID" 10
    [ "$status" = 0 ]
    status_of "$waiter" 10
    [ "$status" = 1 ]
    wait_for 10 is_gone "$DEVICE"
}

@test 'replaced, and killed between any two steps: clients go on, and a token stays where it is' {
    local notes=$BATS_TEST_TMPDIR/notes
    spawn env STEVED_STEPS=300 python3 "$LIB/keeper.py" "$BUILD/tests/lib/steved-steps" \
        --device steve --jobs 3 --class remote=3 >"$notes" 2>>"$BATS_TEST_TMPDIR/steved.log"
    local keeper=$spawned
    SERVER=$DEVICE
    wait_for 90 grep -q ready "$notes" || {
        cat "$notes" "$BATS_TEST_TMPDIR/steved.log"
        false
    }
    exec {fd}<>"$DEVICE"
    read -r -N 1 -u "$fd"
    exec {remote}<>"$DEVICE-remote"
    read -r -N 1 -u "$remote"
    spawn timeout 120 python3 "$LIB/restart_storm.py" "$DEVICE-remote" "$keeper" none 30 2 1 1
    timeout 120 python3 "$LIB/restart_storm.py" "$DEVICE" "$keeper" restart 4 3 2 1
    status_of "$spawned" 60
    [ "$status" = 0 ]
    [ "$(stat -c '%U %G %a' "$DEVICE" "$DEVICE-remote" | uniq)" = 'root jobserver 660' ]
    steved_has held 1
    steved_has remote.held 1
    steved_has remote.dropped 0
    printf + >&"$fd"
    nothing_is_held
}

@test 'the device goes, and another comes: a wrapped build goes on, and its tokens are those of the next server' {
    cd "$BATS_TEST_TMPDIR"
    LOG=$PWD/log
    start_device --jobs 2
    gated_jobs 20
    spawn_gated "$JOBWRAP" -- make -s 2>said
    wrapped=$spawned
    wait_for 20 lives_jobs 2
    stop "$STEVED_PID"
    wait_for 20 grep -q 'going on with the tokens borrowed so far' said
    wait_for 10 is_gone "$DEVICE"
    start_device --jobs 2
    wait_for 20 steved_has held 2
    lives_jobs 2
    let_end 20
    status_of "$wrapped"
    [ "$status" = 0 ]
    nothing_is_held
}

# --- classes ---

# takes CLASS: a process that has a token of the class until it is ended.
takes() {
    spawn "$BUILD/tests/lib/with-class" "$1" sleep 1000
    wait_for 10 steved_has "$1.held" 1
}

@test 'classes: a device each, with its own jobs, lease, holders and waiters, whatever becomes of the server' {
    local server holder waiter
    export JOBWRAP_CLASSES=$DEVICE-
    start_device --jobs 2 --class remote=1 --class link=0
    [ "$(stat -c '%F %U %G %a' "$DEVICE-remote" "$DEVICE-link" | uniq)" = 'character special file root jobserver 660' ]
    run -1 "$STEVED" --device steve-link
    [[ $output == *"$DEVICE-link: it exists already"* ]]
    takes remote
    holder=$spawned
    spawn "$BUILD/tests/lib/with-class" link touch "$BATS_TEST_TMPDIR/linked" && waiter=$spawned
    wait_for 10 steved_has link.waiting 1
    "$STEVECTL" --server "$DEVICE" set remote.jobs=5 remote.lease=1000
    server=$(steved_get pid)
    kill -s KILL "$server"
    wait_for 20 is_other_than "$server"
    wait_for 10 steved_has link.waiting 1
    [ "$(steved_get remote.held) $(steved_get remote.jobs) $(steved_get free)" = '1 5 2' ]
    [[ $(steved_get remote.lease) == 9[0-9][0-9].* ]]
    "$STEVECTL" --server "$DEVICE" set link.jobs=1
    status_of "$waiter"
    [ -e "$BATS_TEST_TMPDIR/linked" ]
    kill -s KILL "$(pgrep -P "$holder")" "$holder"
    wait_for 10 steved_has remote.free 5
    unset JOBWRAP_CLASSES
    run -0 --separate-stderr "$JOBWRAP" -- "$BUILD/tests/lib/with-class" remote sh -c 'echo "$JOBWRAP_CLASSES"'
    [ "$output" = "$DEVICE-" ]
    stop "$STEVED_PID"
    wait_for 10 is_gone "$DEVICE-remote"
    wait_for 10 is_gone "$DEVICE-link"
}

# The guardian has privileges no more; who begins as root has them, as by systemd.
@test 'a class that the server before did not have: a device for it is made by root alone' {
    local notes=$BATS_TEST_TMPDIR/notes
    echo 'class = remote=1' >"/run/classes.conf"
    start_device --config "/run/classes.conf" --user nobody
    echo 'class = link=2' >>"/run/classes.conf"
    kill -s HUP "$STEVED_PID"
    wait_for 20 grep -q 'class link: it cannot be served, and has no jobs' "$BATS_TEST_TMPDIR/steved.log"
    wait_for 20 steved_has remote.free 1
    is_gone "$DEVICE-link"
    stop "$STEVED_PID"
    wait_for 10 is_gone "$DEVICE-remote"

    spawn python3 "$LIB/keeper.py" "$STEVED" --config "/run/classes.conf" --device steve >"$notes" \
        2>>"$BATS_TEST_TMPDIR/steved.log"
    wait_for 20 grep -qx ready "$notes"
    echo 'class = heavy=3' >>"/run/classes.conf"
    kill -s HUP "$spawned"
    wait_for 20 grep -qx 'kept device-3' "$notes"
    wait_for 20 steved_has heavy.jobs 3
    exec {heavy}<>"$DEVICE-heavy"
    read -r -N 2 -u "$heavy"
    kill -s KILL "$(steved_get pid)"
    [ "$(steved_get heavy.held) $(steved_get link.free)" = '2 2' ]
}

# --- the examples of manual pages that need the device; all others are in tests/bats/manual.bats ---

# programs NAME...: those of the build tree on PATH.
programs() {
    mkdir "$BATS_TEST_TMPDIR/bin"
    ln -s "$STEVED" "$STEVECTL" "$JOBWRAP" "$BUILD/ninja-shim/jobgate" "$BATS_TEST_TMPDIR/bin/"
    # The module is loaded.
    ln -s /bin/true "$BATS_TEST_TMPDIR/bin/modprobe"
    PATH=$BATS_TEST_TMPDIR/bin:$PATH
    cd "$BATS_TEST_TMPDIR"
}

guardian() {
    ps -o ppid= -p "$(stevectl get pid)" | tr -d ' '
}

@test 'steved(8): a server for everybody, replaced, and one with limits' {
    local server
    programs
    DOCUMENT=$ROOT/docs/steved.8.scd
    groupdel jobserver
    printf 'all: ; @echo built\n' >Makefile
    run_block '# modprobe cuse'
    [[ $output == *built* ]]
    [ "$(stevectl get jobs)" = 16 ]
    guardian >/run/steved.pid
    server=$(stevectl get pid)
    run_block '# kill -HUP $(cat /run/steved.pid)'
    wait_for 20 is_other_than "$server"
    stop "$(guardian)"
    wait_for 10 is_gone "$DEVICE"
    run_block '# steved --daemon --jobs 16 --user nobody \'
    [ "$(stevectl get min-memory-avail) $(stevectl get load-average)" = '10% 24' ]
    stop "$(guardian)"
}

is_other_than() {
    local pid
    pid=$("$STEVECTL" --server "$DEVICE" get pid) && [ "$pid" != "$1" ]
}

@test 'jobgate(1), ninja-shim(1): at the pool of the machine' {
    local i
    require ninja ctest
    programs
    start_device --jobs 2
    for i in 1 2 3 4; do
        printf 'add_test(t%s "%s" "%s" ctest.%s 0.1)\n' $i "$STAMP" "$BATS_TEST_TMPDIR/log" $i
    done >CTestTestfile.cmake
    DOCUMENT=$ROOT/docs/jobgate.1.scd
    run_block '$ jobgate --jobs-of=ctest --jobserver=/dev/steve -- ctest -j8'
    highest --expect-max 2 --expect-jobs 4
    printf 'rule job\n  command = "%s" "%s" ninja.$out 0.1\n' "$STAMP" "$BATS_TEST_TMPDIR/log" >build.ninja
    printf 'build job%s: job\n' 1 2 3 4 >>build.ninja
    mkdir -p /usr/local/libexec/jobwrap/shims
    ln -s "$BUILD/ninja-shim/ninja" /usr/local/libexec/jobwrap/shims
    DOCUMENT=$ROOT/docs/ninja-shim.1.scd
    run_block '$ export PATH=/usr/local/libexec/jobwrap/shims:$PATH'
    highest --expect-max 2 --expect-jobs 8
    nothing_is_held
}

# --- as a service of OpenRC; of systemd: systemd.bats ---

# What OpenRC makes when it boots a machine.
boot_openrc() {
    install_services
    mkdir -p /etc/conf.d /run/openrc/{daemons,exclusive,failed,hotplugged,inactive,options,scheduled} \
        /run/openrc/{started,starting,stopping,tmp,wasinactive}
    touch /run/openrc/softlevel /etc/insserv.conf
}

@test 'OpenRC: the service starts, is replaced and replaces a server that hangs, and stops' {
    local server
    boot_openrc
    useradd --system --no-create-home steve
    install "$STEVED" /usr/local/bin/steved
    sed 's|@bindir@|/usr/local/bin|; s|@user@|steve|' "$ROOT/steved/service/steved.initd.in" >/etc/init.d/steved
    chmod +x /etc/init.d/steved
    printf 'STEVED_OPTIONS="--jobs=3"\nexport WATCHDOG_USEC=8000000\n' >/etc/conf.d/steved
    mkdir -p /etc/runlevels/default
    DOCUMENT=$ROOT/docs/steved.8.scd
    run_block '# rc-update add steved default'
    [ "$(stat -c '%U %G %a' "$DEVICE")" = 'root jobserver 660' ]
    SERVER=$DEVICE
    [ "$(steved_get jobs)" = 3 ]
    server=$(steved_get pid)
    [ "$(cat /run/steved.pid)" = "$(ps -o ppid= -p "$server" | tr -d ' ')" ]
    grep -q "^Uid:.$(id -u steve)\b" "/proc/$server/status"
    rc-service steved reload
    wait_for 20 is_other_than "$server"
    server=$(steved_get pid)
    kill -s STOP "$server"
    wait_for 30 is_other_than "$server"
    rc-service steved stop
    wait_for 10 is_gone "$DEVICE"
}
