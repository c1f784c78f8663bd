#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# How steved starts, and how it ends.

# shellcheck disable=SC2016 # what is in single quotes is make's, or another shell's

load ../lib/bash/common
load ../lib/bash/steved

setup() {
    common_setup
    MOUNT=$BATS_TEST_TMPDIR/mount
    STEVED_MOUNTS+=("$MOUNT")
    SERVER=$MOUNT/jobserver
}

# serve: as start_steved, but always at $MOUNT.
serve() {
    spawn "$STEVED" --mount "$MOUNT" --jobs 2 2>>"$BATS_TEST_TMPDIR/steved.log"
    STEVED_PID=$spawned
    wait_for 10 is_served_below "$STEVED_PID" 2>/dev/null
    SERVER_PID=$(steved_get pid)
}

# serves DIR: there is a file system of ours; a dead one too.
serves() {
    grep -q " $1 fuse.steved " /proc/mounts
}

serves_not() {
    ! serves "$1"
}

@test 'wrong usage is one line, and status 2' {
    while read -r -a arguments; do
        echo "steved ${arguments[*]}"
        refuses 2 "$STEVED" "${arguments[@]}"
        # What was wrong is quoted.
        [[ $stderr == *"'${arguments[-1]#*=}'"* ]]
    done <<'END'
--jobs=0
--jobs=-1
--jobs=+1
--jobs=1x
--jobs=0x10
--jobs=65537
--jobs=99999999999999999999
-j x
--jobs 4 --min-jobs=0
--min-jobs=x
--per-process-limit=-1
--per-process-limit=65537
--per-user-limit=-1
--per-user-limit=65537
--per-user-limit=
--device=
--device=a/b
--device=/dev/../x
--device=..
--device=/etc/x
--device=a:b
--mount=
--group=
--user=
--idle-timeout=0
--idle-timeout=0.01
--idle-timeout=86401
--idle-timeout=x
--idle-timeout=5
--config=
--jobs=4 extra
END
    refuses 2 "$STEVED" --jobs 2 --min-jobs 3
    refuses 2 "$STEVED" --device a --mount b
    refuses 2 "$STEVED" --no-such-option
    refuses 2 "$STEVED" --jobs
    refuses 2 "$STEVED" --group no-such-group --mount "$MOUNT"
    refuses 2 "$STEVED" --user no-such-user --mount "$MOUNT"
    [ ! -e "$MOUNT" ]
}

@test 'help and version' {
    run -0 --separate-stderr "$STEVED" --help
    [[ $output == Usage:* && $stderr = '' ]]
    run -0 "$STEVED" --version
    [[ $output == 'steved '[0-9]* ]]
    run -1 --separate-stderr bash -c '"$1" --version >/dev/full' - "$STEVED"
}

@test 'the default is a token for each CPU that it may run on' {
    require taskset
    start_steved
    [ "$(steved_get jobs)" = "$(nproc)" ]
    stop "$STEVED_PID"
    first=$(taskset -cp $$ | sed 's/.*: //; s/[-,].*//')
    MOUNT=$BATS_TEST_TMPDIR/pinned SERVER=$BATS_TEST_TMPDIR/pinned/jobserver
    STEVED_MOUNTS+=("$MOUNT")
    spawn taskset -c "$first" "$STEVED" --mount "$MOUNT"
    wait_for 10 test -e "$SERVER"
    [ "$(steved_get jobs)" = 1 ]
}

@test 'no /dev/cuse: one line says what to do' {
    [ ! -e /dev/cuse ] || skip 'there is a /dev/cuse'
    refuses 1 "$STEVED" --device steve-test
    [[ $stderr == *'modprobe cuse'*'--mount DIR'* ]]
}

@test 'a device that exists is refused' {
    refuses 1 "$STEVED" --device null
    [[ $stderr == *'/dev/null'* ]]
    [ -c /dev/null ]
}

@test 'a directory that cannot be made or is none is refused' {
    : >"$BATS_TEST_TMPDIR/file"
    refuses 1 "$STEVED" --mount "$BATS_TEST_TMPDIR/missing/mount"
    [[ $stderr == *'No such file or directory' ]]
    refuses 1 "$STEVED" --mount "$BATS_TEST_TMPDIR/file"
    [[ $stderr == *'Not a directory' ]]
}

@test 'a directory that another steved serves is refused' {
    start_steved
    refuses 1 "$STEVED" --mount "$(mount_of)"
    [[ $stderr == *"$(steved_get pid)"* ]]
    is_served_below "$STEVED_PID"
}

@test 'the directory is created, private, and stays' {
    require_fuse
    [ ! -e "$MOUNT" ]
    serve
    [ "$(ls -a "$MOUNT")" = $'.\n..\njobserver' ]
    [ "$(stat -c %s "$SERVER")" = 0 ]
    [[ $(stat -c %a "$SERVER") = 6[06]0 ]]
    : >"$SERVER"
    [ "$(steved_get free)" = 2 ]
    stop "$STEVED_PID"
    serves_not "$MOUNT"
    [ "$(stat -c %a "$MOUNT")" = 700 ]
}

@test 'a relative directory, and one with odd characters' {
    require_fuse
    cd "$BATS_TEST_TMPDIR"
    MOUNT=$'odd \t\\ name' SERVER=$MOUNT/jobserver
    STEVED_MOUNTS+=("$PWD/$MOUNT")
    "$STEVED" --mount "$MOUNT" --daemon
    pid=$(steved_get pid)
    stop "$(ps -o ppid= -p "$pid" | tr -d ' ')" KILL
    stop "$pid" KILL
    serve
    stop "$STEVED_PID"
    # The same test of another build may have one of that name.
    run ! grep -qF "$PWD/odd" /proc/mounts
}

@test 'SIGTERM: the waiting get an error, the mount is gone, nothing is left' {
    require_fuse
    for signal in TERM INT; do
        serve
        exec {fd}<>"$SERVER"
        read -r -N 2 -u "$fd" || true
        spawn bash -c 'read -r -N 1 -u "$1"' - "$fd" 2>"$BATS_TEST_TMPDIR/error"
        wait_for 10 steved_has waiting 1
        kill -s "$signal" "$STEVED_PID"
        status_of "$spawned"
        [ "$status" != 0 ]
        grep -Eq 'connection abort|not connected' "$BATS_TEST_TMPDIR/error"
        status_of "$STEVED_PID"
        [ "$status" = 0 ]
        serves_not "$MOUNT"
        has_ended "$SERVER_PID"
        exec {fd}>&-
    done
}

@test 'a dead mount is cleared away at the next start' {
    require_fuse
    serve
    kill_steved
    serves "$MOUNT"
    run ! ls "$MOUNT"
    serve
    grep -qF "unmounted $MOUNT" "$BATS_TEST_TMPDIR/steved.log"
    [ "$(steved_get free)" = 2 ]
}

# asks PID: it waits for a file system's server to answer.
asks() {
    grep -qs request_wait_answer "/proc/$1/wchan"
}

@test 'a server that dies while the next one looks at its mount: that is dead, and cleared away' {
    require_root
    require_fuse
    grep -qs . /proc/self/wchan || skip 'the kernel does not tell where a process waits'
    serve
    kill -s KILL "$STEVED_PID"
    kill -s STOP "$SERVER_PID"
    spawn "$STEVED" --mount "$MOUNT" --jobs 1 2>"$BATS_TEST_TMPDIR/said"
    wait_for 10 asks "$spawned"
    kill -s KILL "$SERVER_PID"
    wait_for 10 steved_has jobs 1 2>/dev/null
    grep -q 'whose server is dead' "$BATS_TEST_TMPDIR/said"
    stop "$spawned"
}

@test 'the guardian leaves a mount of somebody else alone' {
    require_root
    require_fuse
    serve
    umount -l "$MOUNT"
    status_of "$STEVED_PID"
    [ "$status" = 0 ]
    serve
    first=$STEVED_PID
    umount -l "$MOUNT"
    serve
    wait_for 10 has_ended "$first"
    is_served_below "$STEVED_PID"
}

# has_capabilities PID SET MASK: of CapPrm and its like.
has_capabilities() {
    grep -qx "$2:.0*$3" "/proc/$1/status"
}

@test 'it holds no privilege, and a filter; the guardian what takes the mount away' {
    require_root
    serve
    has_capabilities "$SERVER_PID" CapPrm ''
    grep -q 'NoNewPrivs:.1$' "/proc/$SERVER_PID/status"
    # CAP_SYS_ADMIN and CAP_DAC_READ_SEARCH. It may come to that when its server serves already.
    wait_for 10 has_capabilities "$STEVED_PID" CapPrm 200004
    has_capabilities "$STEVED_PID" CapEff ''
    has_capabilities "$STEVED_PID" CapInh ''
    grep -q 'NoNewPrivs:.1$' "/proc/$STEVED_PID/status"
    ! is_sanitized || skip 'sanitizers need what the filter forbids'
    grep -q 'Seccomp:.2$' "/proc/$SERVER_PID/status"
}

@test '--user: it becomes that user, who may set' {
    require_root
    require setpriv
    start_steved --user nobody --jobs 2
    for pid in "$STEVED_PID" "$(steved_get pid)"; do
        wait_for 10 grep -qP "^Uid:(\t$(id -u nobody)){4}$" "/proc/$pid/status"
        grep -qP "^Gid:(\t$(id -g nobody)){4}$" "/proc/$pid/status"
        grep -qP '^Groups:\s*$' "/proc/$pid/status"
        [ "$(stat -c %u "/proc/$pid/mem")" = 0 ]
    done
    [ "$(stat -c %u "$SERVER")" = 0 ]
    client blocking
    stop "$STEVED_PID"
    serves_not "$(mount_of)"
}

# of_the_group SCENARIO FILE
of_the_group() {
    setpriv --reuid nobody --regid nogroup --clear-groups -- /usr/bin/python3 - "$@" <"$LIB/steved_client.py"
}

@test 'a group may use it, and may not set' {
    require_root
    require setpriv
    chmod 755 "$BATS_TEST_TMPDIR" "$BATS_FILE_TMPDIR" "$BATS_RUN_TMPDIR" "$BATS_SUITE_TMPDIR" || true
    start_steved --group nogroup --jobs 4 --class remote=4
    local remote=${SERVER%jobserver}remote
    [ "$(stat -c '%a %U %G' "$SERVER" "$remote" | uniq)" = '660 root nogroup' ]
    of_the_group may_not_set "$SERVER"
    of_the_group may_not_set "$remote"
    of_the_group blocking "$SERVER"
    run -1 --separate-stderr setpriv --reuid nobody --regid daemon --clear-groups -- \
        dd if="$SERVER" bs=1 count=1
    [[ $stderr == *'Permission denied'* ]]
    [ "$(steved_get jobs)" = 4 ]
}

# says_of_group MOUNT [OPTION...]: whether it misses a group.
says_of_group() {
    local mount=$1
    shift
    STEVED_MOUNTS+=("$mount")
    "$STEVED" --mount "$mount" --daemon "$@" 2>"$BATS_TEST_TMPDIR/said"
    stop "$("$STEVECTL" --server "$mount/jobserver" get pid)"
    # Its guardian unmounts when it has ended.
    wait_for 10 serves_not "$mount"
    grep -q "there is no group 'jobserver'" "$BATS_TEST_TMPDIR/said"
}

@test 'no group jobserver: that is said where others than root would use it' {
    require_root
    require_fuse
    ! getent group jobserver || skip 'there is one'
    directory_for_all
    mkdir -m 700 "$OTHER/private"
    mkdir "$OTHER/private/below"
    says_of_group "$OTHER/steve"
    run ! says_of_group "$OTHER/steve" --group root
    run ! says_of_group "$OTHER/private/steve"
    run ! says_of_group "$OTHER/private/below/steve"
    chmod 711 "$OTHER/private"
    says_of_group "$OTHER/private/below/steve"
    # Whoever it belongs to is not root.
    chmod 700 "$OTHER/private"
    chown nobody "$OTHER/private"
    says_of_group "$OTHER/private/below/steve"
}

@test 'an ordinary user serves, by fusermount3, for nobody else' {
    require_root
    require setpriv fusermount3
    home=$(mktemp -d /tmp/steved-user.XXXXXX)
    cp "$STEVED" "$STEVECTL" "$home"
    chown -R nobody "$home"
    run -0 with_fuse_for_all bash "$LIB/steved-user.sh" "$home"
    rm -r "$home"
}

@test '--daemon returns when the file can be used' {
    require_fuse
    "$STEVED" --mount "$MOUNT" --jobs 2 --daemon
    [ "$(steved_get free)" = 2 ]
    pid=$(steved_get pid)
    [ "$(ps -o sid= -p "$pid" | tr -d ' ')" = "$pid" ]
    [ "$(readlink "/proc/$pid/fd/0" "/proc/$pid/fd/1" "/proc/$pid/fd/2" | sort -u)" = /dev/null ]
    run -1 --separate-stderr "$STEVED" --mount "$MOUNT" --daemon
    [[ $stderr == *'serves it already'* ]]
    kill "$pid"
    wait_for 10 has_ended "$pid"
    wait_for 10 serves_not "$MOUNT"
}

# with_syslog SOCKET COMMAND...: that has a /dev of its own, in which /dev/log is the socket.
with_syslog() {
    unshare --mount --propagation private bash -euc '
        mkdir "$0.dev" && mount --bind /dev "$0.dev"
        mount -t tmpfs dev /dev && ln -s "$0" /dev/log
        for node in null fuse; do
            : >"/dev/$node" && mount --bind "$0.dev/$node" "/dev/$node"
        done
        exec "$@"' "$@"
}

# A signal and a message after it has locked itself in: on 32 bits both are other system calls.
@test 'a daemon logs its status to syslog, through its filter' {
    require_root
    require_fuse
    spawn python3 "$LIB/steved_client.py" listen "$BATS_TEST_TMPDIR/syslog" \
        >"$BATS_TEST_TMPDIR/notices"
    wait_for 10 grep -q bound "$BATS_TEST_TMPDIR/notices"
    with_syslog "$BATS_TEST_TMPDIR/syslog" bash -euc '
        "$STEVED" --mount "$0" --jobs 2 --daemon
        pid=$("$STEVECTL" --server "$0/jobserver" get pid)
        for signal in USR1 USR1 TERM; do
            kill -s $signal "$pid"
            [ $signal = TERM ] || "$STEVECTL" --server "$0/jobserver" get free
        done' "$MOUNT"
    wait_for 10 said_twice 'steved.*: jobs 2, free 2, held 0, '
}

said_twice() {
    [ "$(grep -c "$1" "$BATS_TEST_TMPDIR/notices")" -ge 2 ]
}

# A log that is full, and one that has been started anew, at another socket.
@test 'a daemon waits for no log, and is heard again by the next one' {
    local log=$BATS_TEST_TMPDIR/syslog
    require_root
    require_fuse
    spawn python3 -c 'import socket, sys, time
listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
listener.bind(sys.argv[1])
time.sleep(60)' "$log"
    deaf=$spawned
    wait_for 10 test -S "$log"
    with_syslog "$log" timeout 60 bash -euc '
        "$STEVED" --mount "$0" --jobs 1 --daemon --verbose
        exec 3<>"$0/jobserver"
        for ((i = 0; i < 400; i++)); do read -r -N 1 -u 3 && printf + >&3; done
        kill -KILL "$1" && rm "$2"
        python3 "$LIB/steved_client.py" listen "$2" >"$3" &
        until grep -q bound "$3"; do sleep 0.01; done
        read -r -N 1 -u 3 && printf + >&3
        kill "$("$STEVECTL" --server "$0/jobserver" get pid)"
        ' "$MOUNT" "$deaf" "$log" "$BATS_TEST_TMPDIR/notices" 
    wait_for 10 grep -Eq 'steved\[[0-9]+\]: [0-9]+ messages have been dropped' "$BATS_TEST_TMPDIR/notices"
    grep -Eq '^<29>[A-Z][a-z]{2} [ 123][0-9] [0-9:]{8} steved\[[0-9]+\]: grant to ' \
        "$BATS_TEST_TMPDIR/notices"
    pkill -f "steved_client.py listen $log"
}

@test 'nobody waits while nobody reads what it says; then it says how much that was' {
    require_fuse
    mkfifo "$BATS_TEST_TMPDIR/log"
    exec {log}<>"$BATS_TEST_TMPDIR/log"
    spawn "$STEVED" --mount "$MOUNT" --jobs 1 --verbose 2>&"$log"
    STEVED_PID=$spawned
    wait_for 10 is_served_below "$STEVED_PID" 2>/dev/null
    run ! dd if=/dev/zero of="$BATS_TEST_TMPDIR/log" oflag=nonblock bs=4096
    take_and_return 5
    run ! dd if="$BATS_TEST_TMPDIR/log" iflag=nonblock bs=64k of=/dev/null
    take_and_return 1
    line=$(timeout 60 head -n 1 <&"$log")
    [[ $line =~ ^'steved: '[0-9]+' messages have been dropped'$ ]]
}

# poll(2) says that there is room, and a write would wait for more of it.
@test 'nobody waits for a terminal that stands still' {
    require_fuse
    spawn python3 -c 'import pty, subprocess, sys
master, slave = pty.openpty()
sys.exit(subprocess.run(sys.argv[1:], stderr=slave).returncode)' \
        "$STEVED" --mount "$MOUNT" --jobs 1 --verbose
    parent=$spawned
    wait_for 10 steved_has free 1 2>/dev/null
    take_and_return 2000
    kill "$(steved_get pid)"
    status_of "$parent"
    [ "$status" = 0 ]
}

# take_and_return N: that many times.
take_and_return() {
    # shellcheck disable=SC2016 # for the inner shell
    timeout 60 bash -c 'for ((i = 0; i < $1; i++)); do read -r -N 1 && printf + >&0; done' \
        - "$1" <>"$SERVER"
}

@test 'without stdin, stdout and stderr none of its files takes their place' {
    require_fuse
    "$STEVED" --mount "$MOUNT" --jobs 1 --verbose <&- >&- 2>&- &
    pid=$!
    wait_for 10 is_served_below "$pid" 2>/dev/null
    take_and_return 1
    for process in "$pid" "$(steved_get pid)"; do
        [ "$(readlink "/proc/$process/fd/0" "/proc/$process/fd/1" "/proc/$process/fd/2" | sort -u)" = /dev/null ]
    done
    run -1 bash -c '"$STEVECTL" --server "$0" get free >&-' "$SERVER"
    kill "$pid"
    wait_for 10 has_ended "$pid"
}

@test 'it tells the service manager' {
    require_fuse
    for address in "$BATS_TEST_TMPDIR/notify" "@steved-test-$$"; do
        spawn python3 "$LIB/steved_client.py" listen "$address" \
            >"$BATS_TEST_TMPDIR/notices"
        listener=$spawned
        wait_for 10 grep -q bound "$BATS_TEST_TMPDIR/notices"
        NOTIFY_SOCKET=$address serve
        wait_for 10 grep -qx 'READY=1' "$BATS_TEST_TMPDIR/notices"
        grep -q "^STATUS=.*$SERVER" "$BATS_TEST_TMPDIR/notices"
        run ! grep -q STOPPING "$BATS_TEST_TMPDIR/notices"
        stop "$STEVED_PID"
        status_of "$listener"
        [ "$status" = 0 ]
    done
}

@test 'a daemon tells the service manager which process stays' {
    require_fuse
    spawn python3 "$LIB/steved_client.py" listen "$BATS_TEST_TMPDIR/notify" \
        >"$BATS_TEST_TMPDIR/notices"
    wait_for 10 grep -q bound "$BATS_TEST_TMPDIR/notices"
    NOTIFY_SOCKET=$BATS_TEST_TMPDIR/notify "$STEVED" --mount "$MOUNT" --daemon
    wait_for 10 grep -q '^MAINPID=' "$BATS_TEST_TMPDIR/notices"
    guardian=$(sed -n 's/^MAINPID=//p' "$BATS_TEST_TMPDIR/notices")
    is_served_below "$guardian"
    stop "$guardian"
    serves_not "$MOUNT"
}

@test 'SIGUSR1 logs the status, --verbose each step' {
    start_steved --jobs 2 --verbose
    dd if="$SERVER" of=/dev/null bs=1 count=1 2>/dev/null
    wait_for 10 steved_has reclaimed 1
    wait_for 10 grep -q 'grant to [0-9]' "$BATS_TEST_TMPDIR/steved.log"
    wait_for 10 grep -q 'reclaim of 1 from [0-9]' "$BATS_TEST_TMPDIR/steved.log"
    kill -USR1 "$STEVED_PID"
    wait_for 10 grep -q 'jobs 2, free 2, held 0, .*reclaimed 1' "$BATS_TEST_TMPDIR/steved.log"
    exec {fd}<>"$SERVER"
    read -r -N 1 -u "$fd"
    printf ++ >&"$fd"
    wait_for 10 grep -q 'return of 1 from' "$BATS_TEST_TMPDIR/steved.log"
    wait_for 10 grep -q 'drop 1 from' "$BATS_TEST_TMPDIR/steved.log"
}

@test 'per-process-limit holds for one client only' {
    start_steved --jobs 4 --per-process-limit 1
    exec {fd}<>"$SERVER"
    read -r -N 1 -u "$fd"
    run ! timeout 0.2 dd bs=1 count=1 <&"$fd"
    dd if="$SERVER" bs=1 count=1 2>/dev/null
    wait_for 10 steved_has held 1
    "$STEVECTL" --server "$SERVER" set per-process-limit=0
    read -r -N 1 -u "$fd"
    [ "$(steved_get held)" = 2 ]
}

@test '--idle-timeout: it ends, and unmounts, when nobody has had the file or a token for so long' {
    start_steved --jobs 2 --idle-timeout 0.1 || true
    status_of "$STEVED_PID"
    [ "$status" = 0 ]
    run ! grep -v 'no group' "$BATS_TEST_TMPDIR/steved.log"
    serves_not "$(mount_of)"
    start_steved --jobs 2 --idle-timeout 1 --verbose
    exec {fd}<>"$SERVER"
    sleep 1.5
    # A token, and no description.
    spawn bash -c 'exec 3<>"$0" && read -r -N 1 -u 3 && exec 3>&- && : >"$1" && exec sleep 1.5' \
        "$SERVER" "$BATS_TEST_TMPDIR/has"
    wait_for 10 test -e "$BATS_TEST_TMPDIR/has"
    exec {fd}>&-
    status_of "$STEVED_PID"
    [ "$status" = 0 ]
    steved_log | grep -q 'reclaim of 1 from'
}
