# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Builds in a control group of their own with little memory, besides common.bash.

GROUPS_MOUNT=/sys/fs/cgroup

teardown() {
    memory_teardown
}

# The compiler bin/cc needs memory: tests/lib/eat.c. For setup().
memory_setup() {
    mkdir bin
    ln -s "$BUILD/tests/lib/eat" bin/cc
    # Where others keep the gate from looking in time, what it looks at takes its time, too.
    EAT_SLOWER=$(awk -v cpus="$(nproc)" '{ print int($1 / cpus / 4) + 1 }' /proc/loadavg)
    export EAT_SLOWER
    GROUP=
}

memory_teardown() {
    local pid
    common_teardown
    [ -n "$GROUP" ] || return 0
    # Of a test that has failed.
    while read -r pid; do kill -KILL "$pid"; done <"$GROUP/cgroup.procs"
    wait_for 10 gate_has_gone
    rmdir "$GROUP"
}

# limited_to MIB: a control group in $GROUP, of version 1 or 2.
limited_to() {
    require_root
    if [ -w "$GROUPS_MOUNT/memory/memory.limit_in_bytes" ]; then
        GROUP=$GROUPS_MOUNT/memory/steved-test.$BASHPID
        mkdir "$GROUP"
        limit memory.limit_in_bytes "$1"
        # Without swap accounting there is no such file, and what is swapped out is not counted.
        limit memory.memsw.limit_in_bytes "$1"
    else
        echo +memory >"$GROUPS_MOUNT/cgroup.subtree_control" || missing 'no memory controller'
        GROUP=$GROUPS_MOUNT/steved-test.$BASHPID
        mkdir "$GROUP"
        limit memory.max "$1"
        limit memory.swap.max 0
    fi
}

# limit FILE MIB: of the group, if it has that file.
limit() {
    [ ! -e "$GROUP/$1" ] || echo $(($2 << 20)) >"$GROUP/$1"
}

# limited COMMAND...: in the group.
limited() {
    # shellcheck disable=SC2016 # the shell's there
    sh -c 'echo 0 >"$1/cgroup.procs" && shift && exec "$@"' sh "$GROUP" "$@"
}

# in_group NAME: the processes of the group that are called so.
in_group() {
    grep -lx "$1" /proc/[0-9]*/comm 2>/dev/null | cut -d/ -f3 | grep -xFf "$GROUP/cgroup.procs"
}

# kills_are N: so many processes of the group has the kernel killed.
kills_are() {
    local file=$GROUP/memory.oom_control # version 1
    [ -e "$file" ] || file=$GROUP/memory.events
    [ "$(awk '$1 == "oom_kill" { print $2 }' "$file")" = "$1" ]
}

# The gate has gone, and what it has learnt is written.
gate_has_gone() {
    ! grep -qs . "$GROUP/cgroup.procs"
}
