#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# tests/static/house on a small tree of the test's own: it passes, and with each rule broken in turn it
# fails and names the file, the line and the rule.
# needs_the_plain_build: no program of ours runs in it.

load ../lib/bash/common

setup() {
    common_setup
    mkdir "$BATS_TEST_TMPDIR/root"
    cd "$BATS_TEST_TMPDIR/root" || return
    clean_tree
}

clean_tree() {
    rm -rf ./*
    file libjobserver/auth.h '#include <stdbool.h>'
    file libjobserver/auth.c '#include "libjobserver/auth.h"' '#include <string.h>'
    file libjobserver/client.h '#include "libjobserver/auth.h"'
    file libjobserver/client.c '#include "libjobserver/client.h"'
    file steved/mount_point.c 'const char *path = "/proc/self/mounts";'
    file libjobserver/process.c 'const char *path = "/proc/%d/stat";'
    file libjobserver/pool/pool.h '#include <stddef.h>'
    file libjobserver/pool/private.h '#include "libjobserver/pool/pool.h"'
    file libjobserver/pool/pool.c '#include "libjobserver/pool/private.h"'
    file libjobserver/program/clock.h
    file libjobserver/program/clock.c '#include "libjobserver/program/clock.h"' '#include <time.h>' \
        'int now(void) { return clock_gettime(0, 0); }'
    file libjobserver/program/cpus.c 'int cpus(void) { return sched_getaffinity(0, 0, 0); }'
    file libjobserver/program/message.c 'void say(void) { fprintf(stderr, "said"); }'
    file jobwrap/main.c '#include "libjobserver/client.h"' '#include <event2/event.h>' \
        '/* clock_gettime(), stderr and "/proc/1" may be spoken of. */' \
        'const char *usage = "to stderr";'
    file steved/lockdown.c '#include <seccomp.h>'
    file ninja-shim/gate/kinds.c '#include "ninja-shim/gate/seccomp/gate.h"'
    file ninja-shim/gate/seccomp/gate.h '#include "ninja-shim/gate/gate.h"'
    file ninja-shim/gate/gate.h
    file tests/unit/test_pool.c '#include "steved/none.h"' 'long n = _SC_NPROCESSORS_ONLN;'
}

# file PATH LINE...
file() {
    mkdir -p "$(dirname "$1")"
    printf '%s\n' "/* What it does. */" "${@:2}" >"$1"
}

# breaks RULE PLACE: one rule is broken, and there.
breaks() {
    run -1 "$ROOT/tests/static/house"
    echo "$output"
    [ "$(grep '^not ok' <<<"$output" | cut -d' ' -f4-)" = "$1" ]
    grep -qF "# $2" <<<"$output"
}

@test 'a clean tree passes, and its longest chain is told' {
    run -0 "$ROOT/tests/static/house" .
    echo "$output"
    [ "$(grep -c '^ok' <<<"$output")" = 13 ]
    [ "$(grep '^1\.\.' <<<"$output")" = 1..13 ]
    grep -qx '# circles: 1, of which 1 in libjobserver/pool/' <<<"$output"
    grep -qx '# longest chain of includes: 3 files: .* > .* > .*' <<<"$output"
}

@test 'a header that is not there' {
    file jobwrap/main.c '#include "jobwrap/options.h"'
    breaks 'every file that is included is there' 'jobwrap/main.c:2: '
}

@test 'a program that includes a header of another' {
    file jobwrap/main.c '' '# include "ninja-shim/gate/gate.h"'
    breaks 'no program includes a header of another' 'jobwrap/main.c:3: '
}

@test 'a folder that nobody has told of is a program like any other' {
    file cmake-shim/main.c '#include "libjobserver/client.h"' '#include "ninja-shim/gate/gate.h"'
    breaks 'no program includes a header of another' 'cmake-shim/main.c:3: '
}

@test 'the library that includes what is above it' {
    for header in '"ninja-shim/gate/gate.h"' '<event2/event.h>' '<fuse_lowlevel.h>' '<linux/fuse.h>' \
        '<json-c/json.h>' '<json.h>'; do
        file libjobserver/process.c "#include $header"
        breaks 'libjobserver includes nothing above it' 'libjobserver/process.c:2: '
    done
    file libjobserver/process.c '#include <sys/eventfd.h>'
    "$ROOT/tests/static/house"
}

@test 'what is pure and includes what acts' {
    local path
    for path in libjobserver/pool/pool.c libjobserver/auth.c jobwrap/relay_policy.c \
        libjobserver/memory/admission.c libjobserver/memory/command/key.c; do
        clean_tree
        file "$path" '#include <stddef.h>' '#include <unistd.h>'
        breaks 'what is pure includes nothing that acts' "$path:3: "
        file "$path" '#include "libjobserver/program/clock.h"'
        breaks 'what is pure includes nothing that acts' "$path:2: "
    done
}

@test "a private header in another folder's file" {
    file libjobserver/client.c '#include "libjobserver/pool/private.h"'
    breaks 'private headers stay in their folder' 'libjobserver/client.c:2: '
}

@test 'a file that sees both the pool and FUSE, be it through another header' {
    file steved/session.h '#include <fuse_lowlevel.h>'
    file steved/server.c '#include "libjobserver/pool/pool.h"' '#include <stdio.h>'
    "$ROOT/tests/static/house"
    file steved/server.c '#include "libjobserver/pool/pool.h"' '#include <stdio.h>' \
        '#include "steved/session.h"'
    breaks 'no file sees both the pool and FUSE' 'steved/server.c:2: '
    grep -qF '# steved/server.c:4: ' <<<"$output"
    run ! grep -F '# steved/server.c:3: ' <<<"$output"
}

@test 'a circle of files: a .c and its .h are one' {
    file ninja-shim/gate/queue.h
    file ninja-shim/gate/queue.c '#include "ninja-shim/gate/queue.h"' '#include "ninja-shim/gate/gate.h"'
    "$ROOT/tests/static/house"
    file ninja-shim/gate/gate.c '#include "ninja-shim/gate/queue.h"'
    breaks 'no file includes itself in a circle' 'ninja-shim/gate/queue.c:3: '
    grep -qF '# ninja-shim/gate/gate.c:2: ' <<<"$output"
    grep -qx '# circles: 2, of which 1 in libjobserver/pool/' <<<"$output"
}

@test 'seccomp outside its folder, in code, in a string, in a comment' {
    for line in '#include <linux/seccomp.h>' '#include "ninja-shim/gate/seccomp/gate.h"' \
        'const char *name = "seccomp";' '/* as seccomp does */' 'enum { GATE_SECCOMP };'; do
        file ninja-shim/gate/start.c "$line"
        breaks 'seccomp is named in its own gate alone' 'ninja-shim/gate/start.c:2: '
    done
}

@test 'SQLite outside the history' {
    file libjobserver/memory/history.c '#include <sqlite3.h>'
    "$ROOT/tests/static/house"
    for line in '#include <sqlite3.h>' 'sqlite3 *database;'; do
        file libjobserver/memory/limits.c "$line"
        breaks 'SQLite is used by the history alone' 'libjobserver/memory/limits.c:2: '
    done
}

@test '/proc outside its reader' {
    file jobwrap/main.c 'const char *path = "/proc/%d/comm";'
    breaks '/proc is read by libjobserver/process alone' 'jobwrap/main.c:2: '
    file jobwrap/main.c
    file steved/mount_point.c 'const char *path = "/proc/self/mounts";' 'const char *p = "/proc/%d";'
    breaks '/proc is read by libjobserver/process alone' 'steved/mount_point.c:3: '
}

@test 'a second clock, a second count of CPUs, a second writer of messages' {
    file steved/main.c 'int now(void) { return clock_gettime(1, 0); }'
    breaks 'there is one clock' 'steved/main.c:2: '
    for call in 'sched_getaffinity(0, 1, p)' 'sysconf(_SC_NPROCESSORS_ONLN)'; do
        file steved/main.c "int n(void) { return $call; }"
        breaks 'CPUs are counted in one place' 'steved/main.c:2: '
    done
    for call in 'fprintf(stderr, "x")' 'vfprintf(stderr, f, a)' 'dprintf(STDERR_FILENO, "x")' \
        'perror("x")'; do
        file steved/main.c "void f(void) { $call; }"
        breaks 'messages are written in one place' 'steved/main.c:2: '
    done
}
