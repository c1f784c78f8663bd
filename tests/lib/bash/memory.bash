# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# Builds in a control group of their own with little memory, besides common.bash.

GROUPS_MOUNT=/sys/fs/cgroup/memory

teardown() {
    memory_teardown
}

# The compiler bin/cc needs memory: tests/lib/eat.c. For setup().
memory_setup() {
    mkdir bin
    ln -s "$BUILD/tests/lib/eat" bin/cc
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

# limited_to MIB: a control group in $GROUP.
limited_to() {
    require_root
    [ -w "$GROUPS_MOUNT/memory.limit_in_bytes" ] || missing 'no memory controller (version 1)'
    GROUP=$GROUPS_MOUNT/steved-test.$BASHPID
    mkdir "$GROUP"
    echo $(($1 << 20)) >"$GROUP/memory.limit_in_bytes"
    # Without swap accounting there is no such file, and what is swapped out is not counted.
    [ ! -e "$GROUP/memory.memsw.limit_in_bytes" ] ||
        echo $(($1 << 20)) >"$GROUP/memory.memsw.limit_in_bytes"
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
    [ "$(awk '$1 == "oom_kill" { print $2 }' "$GROUP/memory.oom_control")" = "$1" ]
}

# The gate has gone, and what it has learnt is written.
gate_has_gone() {
    ! grep -qs . "$GROUP/cgroup.procs"
}
