#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# The first jobwrap that finds no server starts the user's steved, where it can. As ordinary users, with the
# programs beside one another as they are installed.

# shellcheck disable=SC2016 # what single quotes hold is for another shell
load ../lib/bash/common

FIRST=65534 SECOND=1 # nobody, daemon: fusermount3 wants names

setup() {
    common_setup
    require_fuse
    require setpriv fusermount3
    if is_sanitized; then without_leak_checker; fi
    directory_for_all
    mkdir "$OTHER/bin"
    cp "$JOBWRAP" "$STEVED" "$STEVECTL" "$STAMP" "$OTHER/bin"
    chmod 755 "$OTHER/bin"
    make_space
    for user in $FIRST $SECOND; do
        as_user "$user" mkdir -m 700 "$OTHER/run-$user" "$OTHER/config-$user"
    done
    LOG=$OTHER/log
    cd "$OTHER" || return
}

teardown() {
    local user pid
    for user in $FIRST $SECOND; do
        ! pid=$(server_of "$user") || kill "$pid" || true
    done
    wait_for 10 has_no_mount || true
    common_teardown
}

# Where everybody may open /dev/fuse, as with udev; at least there.
make_space() {
    SPACE=()
    if [ "$(id -u)" != 0 ]; then
        FIRST=$(id -u) SECOND=
    elif [ "$(stat -c %a /dev/fuse)" != 666 ]; then
        spawn unshare --mount --propagation private bash -euc \
            'mknod -m 666 "$0/fuse" c 10 229 && mount --bind "$0/fuse" /dev/fuse && : >"$0/made" && exec sleep 1000' \
            "$BATS_TEST_TMPDIR"
        wait_for 10 test -e "$BATS_TEST_TMPDIR/made"
        SPACE=(nsenter --mount="/proc/$spawned/ns/mnt" --wd=.)
    fi
}

# as_user USER COMMAND...: with a runtime directory and a configuration of its own.
as_user() {
    local user=$1
    shift
    [ "$user" = "$(id -u)" ] ||
        set -- setpriv --reuid="$user" --regid="$user" --clear-groups --inh-caps=-all -- "$@"
    XDG_RUNTIME_DIR=$OTHER/run-$user XDG_CONFIG_HOME=$OTHER/config-$user PATH=$OTHER/bin:$PATH \
        "${SPACE[@]}" "$@"
}

# spawn_as USER COMMAND...
spawn_as() {
    # shellcheck disable=SC2016 # for that shell
    spawn as_user "$@"
}

# server_of USER: its pid.
server_of() {
    as_user "$1" "$OTHER/bin/stevectl" --server "$OTHER/run-$1/steve/jobserver" get pid 2>/dev/null
}

# mounts: how many of ours there are.
mounts() {
    "${SPACE[@]}" grep -c " $OTHER/.* fuse.steved " /proc/self/mounts || true
}

has_no_mount() {
    [ "$(mounts)" = 0 ]
}

# says_why REASON COMMAND...: the first user's jobwrap starts none, is the pool, and only --verbose says so.
says_why() {
    local reason=$1
    shift
    run -0 --separate-stderr "$@" jobwrap -j3 -- sh -c 'echo "$MAKEFLAGS"'
    echo "$stderr"
    [[ $output == *-j3* && $stderr = '' ]]
    run -0 --separate-stderr "$@" jobwrap -v -j3 -- true
    echo "$stderr"
    [[ $stderr == *"jobwrap: not starting a steved: $reason"* || $reason == - ]]
    [[ $stderr == *'this is a pool of its own, for 3 jobs' ]]
    [ "$(mounts)" = 0 ]
}

# --- it is started ---

@test 'two builds, and nothing before them: they share as many tokens as the configuration says' {
    echo 'jobs = 3' >"$OTHER/config-$FIRST/steved.conf"
    makefile Makefile "$(printf '%s ' "$STAMP" "$LOG" '$@' 0.1)"
    printf 'jobs := 1 2 3 4 5 6 7 8\nall: $(jobs)\n$(jobs):; @stamp %s $(NAME).$@ 0.1\n' "$LOG" >Makefile
    as_user $FIRST touch "$LOG"
    spawn_as $FIRST jobwrap -- make -s NAME=one
    one=$spawned
    spawn_as $FIRST jobwrap -- make -s NAME=two
    status_of "$spawned" && [ "$status" = 0 ]
    status_of "$one" && [ "$status" = 0 ]
    "$LIB/concurrency" --expect-max 3 --expect-jobs 16 "$LOG"
    [ "$(as_user $FIRST stevectl get jobs)" = 3 ]
    [ "$(as_user $FIRST stevectl get free)" = 3 ]
}

@test 'what is started keeps nothing of the build: pipe, terminal, session, directory, descriptors' {
    exec {extra}<>"$OTHER/bin/stamp"
    # The pipe is at its end only when nobody holds it any more.
    run -0 timeout 60 bash -c '"$@" 2>&1 | cat' - "${SPACE[@]}" setpriv --reuid=$FIRST --regid=$FIRST \
        --clear-groups env XDG_RUNTIME_DIR="$OTHER/run-$FIRST" "$OTHER/bin/jobwrap" -- echo 'done'
    exec {extra}>&-
    [ "$output" = 'done' ]
    pid=$(server_of $FIRST)
    [ "$(ps -o sid= -p "$pid" | tr -d ' ')" = "$pid" ]
    [ "$(ps -o tty= -p "$pid" | tr -d ' ')" = '?' ]
    [ "$(readlink "/proc/$pid/cwd")" = / ]
    run ! sh -c 'readlink /proc/"$1"/fd/* | grep -v -e /dev/null -e /dev/fuse -e anon_inode: -e pipe: -e socket: -e /memfd: -e /proc/ -e /sys/fs/cgroup/' - "$pid"
    grep -qz -- '--idle-timeout=60' "/proc/$pid/cmdline"
    # A build that is killed takes it along no more than one that ends.
    spawn_as $FIRST sh -c 'echo $$ >"$XDG_RUNTIME_DIR/wrapper" && exec jobwrap -- sleep 100'
    wait_for 10 has_holder
    kill -s KILL "$(cat "$OTHER/run-$FIRST/wrapper")"
    wait_for 10 has_no_holder
    [ "$(server_of $FIRST)" = "$pid" ]
}

has_holder() {
    [ "$(as_user $FIRST stevectl get held)" -gt 0 ]
}

has_no_holder() {
    [ "$(as_user $FIRST stevectl get held)" = 0 ]
}

@test 'forty at once: one is started, and all have it' {
    local number=40 i
    # So many sanitized ones take a busy machine longer to start than a jobwrap waits for a steved.
    ! is_sanitized || number=12
    for ((i = 1; i <= number; i++)); do
        spawn_as $FIRST jobwrap -v -- true 2>"$OTHER/said.$i"
        pids[i]=$spawned
    done
    for pid in "${pids[@]}"; do
        status_of "$pid" && [ "$status" = 0 ]
    done
    cat "$OTHER"/said.*
    [ "$(grep -lF "tokens come from fifo:$OTHER/run-$FIRST/steve/jobserver" "$OTHER"/said.* | wc -l)" = $number ]
    [ "$(mounts)" = 1 ]
}

@test 'two users at once: each has one' {
    [ -n "$SECOND" ] || skip 'there is one user'
    spawn_as $FIRST jobwrap -- true
    first=$spawned
    spawn_as $SECOND jobwrap -- true
    status_of "$spawned" && [ "$status" = 0 ]
    status_of "$first" && [ "$status" = 0 ]
    for user in $FIRST $SECOND; do
        [ "$(stat -c %u "/proc/$(server_of "$user")")" = "$user" ]
    done
    [ "$(mounts)" = 2 ]
}

@test 'a dead steved is in the way: it is cleared away' {
    as_user $FIRST jobwrap -- true
    pid=$(server_of $FIRST)
    kill -s KILL "$(ps -o ppid= -p "$pid" | tr -d ' ')" "$pid"
    wait_for 10 has_ended "$pid"
    [ "$(mounts)" = 1 ]
    run -0 --separate-stderr as_user $FIRST jobwrap -- echo 'done'
    [[ $output = 'done' && $stderr = '' ]]
    [ "$(server_of $FIRST)" != "$pid" ]
    [ "$(mounts)" = 1 ]
}

@test 'MAKEFLAGS of a profile names it, and it does not serve: it is started; another one is not' {
    MAKEFLAGS=" --jobserver-auth=fifo:$OTHER/run-$FIRST/other/jobserver" \
        run -0 --separate-stderr as_user $FIRST jobwrap -- true
    [[ $stderr == *'no parent jobserver, using -j1' ]]
    [ "$(mounts)" = 0 ]
    MAKEFLAGS=" --jobserver-auth=fifo:$OTHER/run-$FIRST/steve/jobserver" \
        run -0 --separate-stderr as_user $FIRST jobwrap -v -- true
    [[ $stderr == "jobwrap: tokens come from fifo:$OTHER/run-$FIRST/steve/jobserver, "* ]]
    [ "$(mounts)" = 1 ]
}

# --- it ends ---

# For a minute as short as this.
with_idle_timeout() {
    mv "$OTHER/bin/steved" "$OTHER/bin/steved.real"
    printf '#!/bin/bash\nexec "%s" "${@/--idle-timeout=60/--idle-timeout=%s}"\n' \
        "$OTHER/bin/steved.real" "$1" >"$OTHER/bin/steved"
    chmod 755 "$OTHER/bin/steved"
}

@test 'it ends when nobody has used it for a while; not before, nor while somebody is in its directory' {
    with_idle_timeout 0.2
    as_user $FIRST jobwrap -- true
    wait_for 10 has_no_mount
    # By then its time would have passed five times.
    as_user $FIRST jobwrap -- sh -c 'sleep 1 && grep -q " $XDG_RUNTIME_DIR/steve fuse.steved " /proc/self/mounts'
    mkfifo gate
    chmod 666 gate
    # A daemon that a build leaves behind.
    as_user $FIRST jobwrap -- sh -c 'cd "$XDG_RUNTIME_DIR" && mkfifo inside
        setsid timeout 60 sh -c "cd steve && : >../inside && read -r _ <$0" & : <inside' "$OTHER/gate" 3>&-
    pid=$(server_of $FIRST)
    sleep 1
    [ "$(server_of $FIRST)" = "$pid" ]
    echo >gate
    wait_for 10 has_no_mount
    wait_for 10 has_ended "$pid"
}

@test 'jobwraps that come as it ends are served, by it or by the next' {
    # In less time a jobwrap may not come to the server that it has started, on a busy machine.
    with_idle_timeout 1
    for pause in 0.90 0.95 0.98 1.00 1.02 1.04 1.07 1.10; do
        run -0 --separate-stderr as_user $FIRST jobwrap -v -- true
        echo "$stderr"
        [[ $stderr == 'jobwrap: tokens come from fifo:'* ]]
        sleep $pause
    done
}

# --- it is not started ---

@test 'root starts none, nor who says none' {
    if [ "$(id -u)" = 0 ]; then
        says_why 'root should use the service instead' env PATH="$OTHER/bin:$PATH"
    fi
    as_user $FIRST jobwrap --parent=none -- true
    JOBWRAP_PARENT=none as_user $FIRST jobwrap -- true
    [ "$(mounts)" = 0 ]
    # Inside of a build that is what is around.
    JOBWRAP_PARENT=none run -0 --separate-stderr as_user $FIRST jobwrap -j3 -- jobwrap -v -- true
    echo "$stderr"
    [[ $stderr == *'tokens come from '*', for at most 3 jobs' ]]
    JOBWRAP_PARENT=none as_user $FIRST jobwrap --parent=auto -- true
    [ "$(mounts)" = 1 ]
    JOBWRAP_PARENT=no run -2 --separate-stderr as_user $FIRST jobwrap -- touch run
    [[ $stderr == "jobwrap: JOBWRAP_PARENT: 'no' is not auto or none" && ! -e run ]]
    # Where it serves, who says none is no client of it either.
    JOBWRAP_PARENT=none run -0 --separate-stderr as_user $FIRST jobwrap -v -j7 -- true
    [[ $stderr == *'this is a pool of its own, for 7 jobs' ]]
}

@test 'a runtime directory that is missing, relative, not to be written, or not ours alone: none is started' {
    says_why 'XDG_RUNTIME_DIR is not set' as_user $FIRST env -u XDG_RUNTIME_DIR
    says_why 'XDG_RUNTIME_DIR is not set' as_user $FIRST env XDG_RUNTIME_DIR=run
    says_why 'XDG_RUNTIME_DIR is not a directory' as_user $FIRST env XDG_RUNTIME_DIR="$OTHER/missing"
    says_why 'XDG_RUNTIME_DIR does not belong to this user alone' as_user $FIRST env XDG_RUNTIME_DIR=/tmp
    as_user $FIRST chmod 770 "$OTHER/run-$FIRST"
    says_why 'XDG_RUNTIME_DIR does not belong to this user alone' as_user $FIRST
    as_user $FIRST chmod 500 "$OTHER/run-$FIRST"
    says_why - as_user $FIRST
    [[ $stderr == *"steved: mount $OTHER/run-$FIRST/steve: Permission denied"* ]]
}

@test 'no fusermount3, no /dev/fuse, or one that cannot be used: none is started' {
    mkdir "$OTHER/few"
    ln -s "$(command -v env)" "$(command -v sh)" "$(type -P true)" "$OTHER/few"
    chmod 755 "$OTHER/few"
    says_why 'there is no fusermount3' as_user $FIRST env PATH="$OTHER/bin:$OTHER/few"
    says_why 'fusermount3 would get no privileges' as_user $FIRST setpriv --no-new-privs
    [ "$(id -u)" = 0 ] || skip 'needs root'
    mkdir "$BATS_TEST_TMPDIR/dev"
    mknod -m 666 "$BATS_TEST_TMPDIR/dev/null" c 1 3
    mknod -m 600 "$BATS_TEST_TMPDIR/private" c 10 229
    with_mount "$BATS_TEST_TMPDIR/private" /dev/fuse
    says_why '/dev/fuse cannot be used' as_user $FIRST
    with_mount "$BATS_TEST_TMPDIR/dev" /dev
    says_why '/dev/fuse cannot be used' as_user $FIRST
    with_mount /dev/null /dev/fuse
    says_why - as_user $FIRST
    [[ $stderr == *'steved: mount '*': failed'* ]]
}

# with_mount SOURCE PLACE: each command of a user in a space of its own, where this is mounted.
with_mount() {
    SPACE=(unshare --mount --propagation private
        sh -euc 'mount --bind "$0" "$1"; shift; exec "$@"' "$@")
}

@test 'a build on some of the CPUs only starts none' {
    require taskset
    [ "$(nproc)" -gt 1 ] || skip 'there is one CPU'
    first=$(taskset -cp $$ | sed 's/.*: //; s/[-,].*//')
    says_why 'it would serve all builds' as_user $FIRST taskset -c "$first"
}

@test 'a steved that does not start, for whatever reason: the build runs, and only --verbose says so' {
    echo 'jobs = many' >"$OTHER/config-$FIRST/steved.conf"
    says_why - as_user $FIRST
    [[ $stderr == *"steved: $OTHER/config-$FIRST/steved.conf:1: 'jobs = many': 'many' is not a number"* ]]
    echo 'not a program' >"$OTHER/bin/steved"
    says_why 'it cannot be executed' as_user $FIRST
    rm "$OTHER/bin/steved"
    says_why 'none was found' as_user $FIRST
    printf '#!/bin/sh\nexec sleep 100\n' >"$OTHER/bin/steved"
    chmod 755 "$OTHER/bin/steved"
    run -0 --separate-stderr as_user $FIRST jobwrap -v -- true
    [[ $stderr == *'not starting a steved: it was not ready in time'* ]]
}
