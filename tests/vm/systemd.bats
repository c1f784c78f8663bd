#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# steved as a service of systemd, by the units that are installed. Run by tests/vm/suite in a guest whose
# first process is systemd.

load ../lib/bash/common

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
    sed -i '/^ExecStart=.*steved/s/$/ --jobs 2/; s/^StartLimitBurst=.*/StartLimitBurst=5/' \
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

hold_and_wait() {
    exec {fd}<>"$SERVER"
    read -r -N 2 -u "$fd"
    spawn dd if="$SERVER" of="$BATS_TEST_TMPDIR/token" bs=1 count=1 2>"$BATS_TEST_TMPDIR/error"
    wait_for 10 steved_has waiting 1
}

goes_on() {
    [ "$(steved_get held) $(steved_get waiting) $(steved_get reclaimed)" = '2 1 0' ]
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
    goes_on
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
    [ ! -e /dev/steve ]
}

@test 'a mount outlives its server, and goes with a stop' {
    serves /run/steve/jobserver "$BUILD/steved/service/steved-user.service" \
        "$ROOT/steved/service/steved-unmount.service"
    hold_and_wait
    systemctl restart steved.service
    is_another
    goes_on
    systemctl kill --kill-who=main --signal=KILL steved.service
    wait_for 10 is_another
    goes_on
    systemctl stop steved.service
    gives_an_error
    wait_for 10 is_unmounted
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
