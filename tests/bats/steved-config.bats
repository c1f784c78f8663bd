#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Configuration files of steved: what may stand in them, which are read, and which is stronger.

# shellcheck disable=SC2016 # what single quotes hold is for another shell
load ../lib/bash/common
load ../lib/bash/steved

setup() {
    common_setup
    FILE=$BATS_TEST_TMPDIR/conf
    MOUNT=$BATS_TEST_TMPDIR/mount
    STEVED_MOUNTS+=("$MOUNT")
}

# refuses_line TEXT: what is in the file is refused, with name and number.
refuses_line() {
    printf '# first\n\n%s\nmount=%s\n' "$1" "$MOUNT" >"$FILE"
    refuses 2 "$STEVED" --config "$FILE"
    [[ $stderr == "steved: $FILE:3: '$1': "* ]]
}

@test 'a line that makes no sense is quoted, with file and number, and nothing is served' {
    for line in 'jobs = 0' 'jobs = many' 'jobs' 'jobs =' '= 4' 'job = 4' '--jobs=4' 'jobs 4' 'verbose = yes' \
        'per-process-limit = -1' 'min-jobs = 1x' 'min-memory-avail = 101%' 'load-average = high' \
        'load-recheck-timeout = 0' 'idle-timeout = 0' 'device = a/b' 'mount =' 'user =' 'group =' \
        'config = x' 'check' 'help' 'version' 'jobs = 4 # four' 'x'; do
        refuses_line "$line"
    done
    [ ! -e "$MOUNT" ]
    printf 'device = a\nmount = b\n' >"$FILE"
    refuses 2 "$STEVED" --config "$FILE"
    [[ $stderr == "steved: $FILE: "*"'a'"*"'b'"* ]]
    echo 'idle-timeout = 5' >"$FILE"
    refuses 2 "$STEVED" --config "$FILE" --device a
}

@test 'a file that cannot be read, or is none, is refused' {
    refuses 2 "$STEVED" --config "$FILE"
    [[ $stderr == "steved: read $FILE: No such file"* ]]
    refuses 2 "$STEVED" --config /
    refuses 2 "$STEVED" --config /dev/zero
    refuses 2 "$STEVED" --config=
    printf 'jobs=4\0\n' >"$FILE"
    refuses 2 "$STEVED" --config "$FILE"
    rm "$FILE"
    mkfifo "$FILE"
    run -2 --separate-stderr timeout 30 "$STEVED" --config "$FILE"
    [[ $stderr == "steved: read $FILE: a pipe "* ]]
    refuses 2 "$STEVED" --config <(echo jobs=4)
    [[ $stderr == "steved: read /dev/fd/"*": a pipe "* ]]
}

@test 'every option can stand there, and the command line is stronger' {
    printf '%s\n' '# all of them' 'jobs = 7' ' min-jobs=2 ' 'per-process-limit=5' 'min-memory-avail = 1%' \
        'load-average = 1000' 'load-recheck-timeout = 2.5' 'verbose' "mount = $MOUNT" 'idle-timeout = 1000' \
        "group = $(id -gn)" "user = $(id -un)" >"$FILE"
    [ "$(id -u)" = 0 ] || sed -i '/^group\|^user/d' "$FILE"
    start_steved --config "$FILE" --jobs 6
    for setting in jobs=6 min-jobs=2 per-process-limit=5 min-memory-avail=1% load-average=1000 load-recheck=2.5; do
        [ "$(steved_get "${setting%%=*}")" = "${setting#*=}" ]
    done
    dd if="$SERVER" of=/dev/null bs=1 count=1 2>/dev/null
    wait_for 10 grep -q 'grant to' "$BATS_TEST_TMPDIR/steved.log"
    stop "$STEVED_PID"
    # Where to serve: what is said last, of either kind.
    echo 'device = null' >"$FILE"
    start_steved --config "$FILE"
    stop "$STEVED_PID"
    printf 'daemon\nmount=%s\n' "$MOUNT" >"$FILE"
    "$STEVED" --config "$FILE"
    stop "$("$STEVECTL" --server "$MOUNT/jobserver" get pid)"
    refuses 1 "$STEVED" --config "$FILE" --device null
}

# with_etc COMMAND...: where /etc has the machine's file and who is who, and nothing else.
with_etc() {
    unshare --mount --propagation private sh -euc 'mount --bind "$0" /etc; exec "$@"' "$BATS_TEST_TMPDIR/etc" "$@"
}

@test "the machine's file, and the user's, which is stronger; of the former a user leaves out what is the machine's" {
    require_root
    require setpriv
    mkdir "$BATS_TEST_TMPDIR/etc" "$BATS_TEST_TMPDIR/home"
    cp /etc/passwd /etc/group /etc/ld.so.cache "$BATS_TEST_TMPDIR/etc"
    export XDG_CONFIG_HOME=$BATS_TEST_TMPDIR/home
    echo 'jobs = 0' >"$XDG_CONFIG_HOME/steved.conf"
    printf 'jobs = 0\n' >"$BATS_TEST_TMPDIR/etc/steved.conf"
    run -2 --separate-stderr with_etc "$STEVED" --mount "$MOUNT"
    [[ $stderr == "steved: /etc/steved.conf:1: 'jobs = 0': "* ]]
    # Root is no user with a file of his own.
    printf 'min-jobs = 3\n' >"$BATS_TEST_TMPDIR/etc/steved.conf"
    run -2 --separate-stderr with_etc "$STEVED" --jobs 2 --mount "$MOUNT"
    [[ $stderr == *"--min-jobs '3' is more than --jobs '2'" ]]
    directory_for_all
    cp "$STEVED" "$OTHER"
    mkdir -m 755 "$OTHER/home"
    printf 'device = null\nuser = root\ngroup = root\ndaemon\nmin-jobs = 3\nload-average = 9\n' \
        >"$BATS_TEST_TMPDIR/etc/steved.conf"
    XDG_CONFIG_HOME=$OTHER/home run -2 --separate-stderr with_etc setpriv --reuid=65534 --regid=65534 \
        --clear-groups "$OTHER/steved" --jobs 2 --mount "$OTHER/home/mount"
    [[ $stderr == *"--min-jobs '3' is more than --jobs '2'" ]]
    printf 'min-jobs = 1\n' >"$OTHER/home/steved.conf"
    XDG_CONFIG_HOME=$OTHER/home run -1 --separate-stderr with_etc setpriv --reuid=65534 --regid=65534 \
        --clear-groups "$OTHER/steved" --jobs 2 --mount "$OTHER/home/mount"
    [[ $stderr == "steved: mount $OTHER/home/mount: Permission denied" ]]
}

@test "the machine's file is read anew as root's, by who follows a server that root has started and is another user" {
    require_root
    require setpriv
    mkdir "$BATS_TEST_TMPDIR/etc" "$BATS_TEST_TMPDIR/home"
    cp /etc/passwd /etc/group /etc/ld.so.cache "$BATS_TEST_TMPDIR/etc"
    printf '%s\n' "mount = $MOUNT" 'user = nobody' 'group = nogroup' daemon 'jobs = 3' >"$BATS_TEST_TMPDIR/etc/steved.conf"
    # Were it the user's server, it would read that.
    directory_for_all
    echo 'jobs = 2' >"$OTHER/steved.conf"
    # LeakSanitizer cannot trace who has become another user.
    ASAN_OPTIONS="${ASAN_OPTIONS-}:detect_leaks=0" XDG_CONFIG_HOME=$OTHER run -0 with_etc bash -euc '
        "$STEVED"
        get() { "$STEVECTL" --server "$0" get "$1"; }
        first=$(get pid)
        guardian=$(ps -o ppid= -p "$first")
        kill -s KILL "$first"
        until server=$(get pid) && [ "$server" != "$first" ]; do sleep 0.05; done
        stat -c %u "/proc/$server/mem"
        get jobs
        kill "$guardian"
        while [ -d "/proc/$server" ]; do sleep 0.05; done' "$MOUNT/jobserver"
    [ "$output" = $'0\n3' ]
}

@test 'the manual names every option that can stand there' {
    "$STEVED" --help | sed -n 's/^ *\(-., \)\?--\([a-z-]*\).*/\2/p' |
        while read -r name; do
            grep -qF "*$name*" "$ROOT/docs/steved.conf.5.scd"
        done
}
