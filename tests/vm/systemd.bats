#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# steved as a service of systemd, by the units that are installed. Run by tests/vm/suite in a guest whose
# first process is systemd.

load ../lib/bash/common
load ../lib/bash/documented

DOCUMENT=$ROOT/docs/steved.8.scd
UNITS=/run/systemd/system

setup_file() {
    [ -c /dev/cuse ]
    groupadd --force jobserver
    useradd --system --no-create-home steve
    install "$STEVED" /usr/local/bin/steved
}

teardown() {
    systemctl stop steved.service || true
    systemctl reset-failed
    rm -f "$UNITS"/steved*
    common_teardown
}

# serves FILE UNIT...: by these, as meson has made them; steved.service is what runs.
serves() {
    SERVER=$1
    shift
    cp "$@" "$UNITS"
    ! [ -e "$UNITS/steved-user.service" ] || mv "$UNITS/steved-user.service" "$UNITS/steved.service"
    sed -i '/^ExecStart=.*steved/s/$/ --jobs 2 --class remote=9/; s/^StartLimitBurst=.*/StartLimitBurst=5/' \
        "$UNITS/steved.service"
    systemctl daemon-reload
    systemctl start steved.service
    PID=$(steved_get pid)
}

# is_another: PID is another server then.
is_another() {
    local pid
    pid=$(steved_get pid) && [ "$pid" != "$PID" ] && PID=$pid
}

# class_file: of the class remote.
class_file() {
    case $SERVER in
    */jobserver) echo "${SERVER%jobserver}remote" ;;
    *) echo "$SERVER-remote" ;;
    esac
}

hold_and_wait() {
    exec {fd}<>"$SERVER" {remote}<>"$(class_file)"
    read -r -N 2 -u "$fd"
    read -r -N 1 -u "$remote"
    spawn dd if="$SERVER" of="$BATS_TEST_TMPDIR/token" bs=1 count=1 2>"$BATS_TEST_TMPDIR/error"
    wait_for 10 steved_has waiting 1
}

goes_on() {
    [ "$(steved_get held) $(steved_get waiting) $(steved_get reclaimed) $(steved_get remote.held)" = '2 1 0 1' ]
}

gives_an_error() {
    status_of "$spawned"
    [ "$status" = 1 ]
    grep -Eq 'connection abort|not connected' "$BATS_TEST_TMPDIR/error"
    exec {fd}>&-
}

@test 'a restart goes unnoticed; a stop is an error' {
    serves /dev/steve "$BUILD/steved/service/steved.service"
    hold_and_wait
    systemctl restart steved.service
    is_another
    wait_for 10 goes_on
    [ "$(systemctl show --value --property MainPID steved.service)" = "$PID" ]
    printf + >&"$fd"
    status_of "$spawned"
    [ "$status" = 0 ]
    wait_for 10 steved_has free 1
    printf + >&"$fd"
    exec {fd}>&-
    hold_and_wait
    systemctl stop steved.service
    gives_an_error
    [ ! -e /dev/steve ] && [ ! -e /dev/steve-remote ]
}

@test 'enabled for all users of the group, as steved(8) says' {
    cp "$BUILD/steved/service/steved.service" /etc/systemd/system
    echo 'jobs = 3' >/etc/steved.conf
    useradd builder
    run_block '# systemctl enable --now steved'
    systemctl is-enabled steved.service
    SERVER=/dev/steve
    [ "$(setpriv --reuid=builder --regid=builder --init-groups "$STEVECTL" get jobs)" = 3 ]
    systemctl disable --now steved.service
    rm /etc/systemd/system/steved.service /etc/steved.conf
    userdel builder
}

@test 'a mount outlives its server, and goes with a stop' {
    serves /run/steve/jobserver "$BUILD/steved/service/steved-user.service" \
        "$ROOT/steved/service/steved-unmount.service"
    hold_and_wait
    systemctl restart steved.service
    is_another
    wait_for 10 goes_on
    systemctl kill --kill-who=main --signal=KILL steved.service
    wait_for 10 is_another
    goes_on
    systemctl stop steved.service
    gives_an_error
    wait_for 10 is_unmounted
}

@test 'a server that hangs is replaced, and builds do not notice' {
    serves /dev/steve "$BUILD/steved/service/steved.service"
    sed -i 's/^WatchdogSec=.*/WatchdogSec=4/' "$UNITS/steved.service"
    systemctl daemon-reload
    systemctl restart steved.service
    is_another
    hold_and_wait
    systemctl kill --kill-who=main --signal=STOP steved.service
    wait_for 30 is_another
    goes_on
    [ "$(systemctl show --value --property NRestarts steved.service)" -ge 1 ]
    printf + >&"$fd"
    status_of "$spawned"
    [ "$status" = 0 ]
    exec {fd}>&-
}

is_unmounted() {
    ! is_mounted /run/steve
}

@test 'servers that cannot start: the mount goes, clients get an error' {
    serves /run/steve/jobserver "$BUILD/steved/service/steved-user.service" \
        "$ROOT/steved/service/steved-unmount.service"
    hold_and_wait
    cp /bin/false /usr/local/bin/steved.new
    cp /usr/local/bin/steved /usr/local/bin/steved.old
    mv /usr/local/bin/steved.new /usr/local/bin/steved
    systemctl kill --kill-who=main --signal=KILL steved.service
    gives_an_error
    wait_for 10 is_unmounted
    systemctl is-failed steved.service
    mv /usr/local/bin/steved.old /usr/local/bin/steved
}

# users_systemd: of a user who is called builder; $user is before a command of his.
users_systemd() {
    local runtime=/run/user/1234
    useradd --uid 1234 --create-home builder
    chmod 0666 /dev/fuse
    mkdir -p "$runtime" /etc/systemd/user
    chown builder: "$runtime"
    cp "$BUILD/steved/service/steved-user.service" /etc/systemd/user/steved.service
    cp "$ROOT/steved/service/steved-unmount.service" /etc/systemd/user
    user=(setpriv --reuid=builder --regid=builder --init-groups env HOME=/home/builder XDG_RUNTIME_DIR="$runtime")
    systemd-run --unit=builder --uid=builder --property=Delegate=yes --property=Type=notify \
        --setenv=XDG_RUNTIME_DIR="$runtime" /lib/systemd/systemd --user --unit=default.target
    SERVER=$runtime/steve/jobserver
}

users_systemd_ends() {
    "${user[@]}" systemctl --user stop steved.service
    wait_for 20 is_not_mounted "${SERVER%/*}"
    systemctl stop builder.service
    userdel --remove builder
}

@test 'a user starts it for himself, by systemd --user' {
    users_systemd
    run_block '$ systemctl --user enable --now steved' "${user[@]}"
    [ "$("${user[@]}" "$STEVECTL" get jobs)" = "$(nproc)" ]
    [ "$("${user[@]}" "$STEVECTL" get pid)" = \
        "$("${user[@]}" systemctl --user show --value --property MainPID steved.service)" ]
    # Another user cannot enter, whoever it is.
    run ! "$STEVECTL" --server "$SERVER" get jobs
    "${user[@]}" systemctl --user restart steved.service
    "${user[@]}" "$JOBWRAP" -- true
    users_systemd_ends
}

# farm_options OPTIONS: of the service.
farm_options() {
    echo "STEVEFARM_OPTIONS=$*" >/home/builder/.config/stevefarm/remote.conf
}

# remote_jobs N: the class has them, and the service's status says so.
remote_jobs() {
    [ "$("${user[@]}" "$STEVECTL" get remote.jobs)" = "$1" ] &&
        [ "$("${user[@]}" systemctl --user show --value --property StatusText stevefarm@remote)" = "$1 jobs" ]
}

# slots N: what the scheduler says.
slots() {
    printf ' node (10.0.0.2:10245) [x86_64] speed=10 jobs=0/%d load=10\n' "$1" >"$BATS_TEST_TMPDIR/nodes"
}

@test 'stevefarm as a service of a user, as farm.md says' {
    local pid
    # It is masked, as the host's own services are.
    rm "$UNITS"/systemd-journald*
    systemctl daemon-reload
    systemctl start systemd-journald.service
    install "$BUILD/stevefarm/stevefarm" /usr/local/bin
    users_systemd
    cp "$BUILD/stevefarm/stevefarm@.service" /etc/systemd/user
    # The farm is not there yet.
    DOCUMENT=$ROOT/docs/farm.md run_block 'As a service of a user' "${user[@]}"
    wait_for 20 remote_jobs 0

    slots 9
    "$LIB/scheduler-standin" "$BATS_TEST_TMPDIR/nodes" >"$BATS_TEST_TMPDIR/port" 3>&- &
    wait_for 20 test -s "$BATS_TEST_TMPDIR/port"
    farm_options "--max=40 --reserve=2 icecc:127.0.0.1:$(cat "$BATS_TEST_TMPDIR/port")"
    "${user[@]}" systemctl --user restart stevefarm@remote
    wait_for 20 remote_jobs 7
    # The next server is followed, too.
    pid=$("${user[@]}" "$STEVECTL" get pid)
    "${user[@]}" systemctl --user restart steved
    [ "$("${user[@]}" "$STEVECTL" get pid)" != "$pid" ]
    slots 5
    wait_for 20 remote_jobs 3
    "${user[@]}" systemctl --user stop stevefarm@remote
    [ "$("${user[@]}" "$STEVECTL" get remote.jobs)" = 0 ]
    kill %%

    farm_options fixed:4
    "${user[@]}" systemctl --user start stevefarm@remote
    remote_jobs 4
    # What is wrong is in the journal, once.
    farm_options reapi:host
    run ! "${user[@]}" systemctl --user restart stevefarm@remote
    "${user[@]}" systemctl --user is-failed stevefarm@remote
    [ "$("${user[@]}" "$STEVECTL" get remote.jobs)" = 0 ]
    journalctl --sync
    [ "$(journalctl --output=cat --identifier=stevefarm | grep -c "'reapi:host'")" = 1 ]
    users_systemd_ends
}

is_not_mounted() {
    ! is_mounted "$1"
}

@test 'modules-load.d loads cuse, and udev gives the node to its group' {
    install_services
    # As when the machine boots: systemd has it loaded before anything needs it.
    mkdir -p /lib/modules /usr/lib/modules-load.d
    ln -s /usr/lib/uml/modules/* "/lib/modules/$(uname -r)"
    # delete_module of x86-64: there need be no kmod.
    perl -e 'my $module = "cuse"; syscall(176, $module, 0) == 0 or die "rmmod cuse: $!\n"'
    run ! test -e /sys/module/cuse
    cp "$ROOT/steved/service/steved.modules-load" /usr/lib/modules-load.d/steved.conf
    /lib/systemd/systemd-modules-load
    [ -e /sys/module/cuse ]
    wait_for 10 test -c /dev/cuse

    cp "$ROOT/steved/service/90-steve.rules" /usr/lib/udev/rules.d
    systemctl daemon-reload
    systemctl start systemd-udevd.service
    # The node is given away by the rule alone here.
    spawn "$STEVED" --device steve --jobs 2 --class remote=1 --group root
    wait_for 10 test -c /dev/steve
    udevadm settle
    [ "$(stat -c '%U %G %a' /dev/steve /dev/steve-remote | uniq)" = 'root jobserver 660' ]
    udevadm info --query=property --name=/dev/steve | grep -x 'TAGS=:systemd:'
    stop "$spawned"
    systemctl stop systemd-udevd.service 'systemd-udevd*.socket'
}
