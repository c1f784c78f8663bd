#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# The Debian packages, where systemd runs: PACKAGES is the directory that packaging/build has made. By hand:
# PACKAGES=DIRECTORY tests/vm/suite packages

load ../lib/bash/common

NAMES=(jobwrap ninja-shim steved)

# Without triggers: man-db reads more files than the guest may have open.
install_from() {
    local name packages=()
    for name in "${NAMES[@]}"; do
        packages+=("$1/$name"_*.deb)
    done
    dpkg --no-triggers --install "${packages[@]}"
}

setup_file() {
    [ -c /dev/cuse ]
    # A container's way to have no services.
    rm -f /usr/sbin/policy-rc.d
    install_from "${PACKAGES:?}"
}

teardown() {
    systemctl stop steved.service || true
    common_teardown
}

# make_newer DIRECTORY: the same files in packages of the next revision.
make_newer() {
    local name
    mkdir "$1"
    for name in "${NAMES[@]}"; do
        rm -rf "$BATS_TEST_TMPDIR/tree"
        dpkg-deb --raw-extract "$PACKAGES/$name"_*.deb "$BATS_TEST_TMPDIR/tree"
        sed -i 's/^Version: .*/&+next/' "$BATS_TEST_TMPDIR/tree/DEBIAN/control"
        dpkg-deb --build -Znone "$BATS_TEST_TMPDIR/tree" "$1"
    done
}

pid() {
    stevectl --server /dev/steve get pid
}

@test 'nothing is enabled or started by an installation, but can be' {
    run ! systemctl is-enabled steved.service
    run ! systemctl is-active steved.service
    [ ! -e /dev/steve ]
    systemctl enable --now steved.service
    [ "$(stat -c %G /dev/steve)" = jobserver ]
    [ "$(ps -o user= -p "$(pid)")" = _steved ]
}

@test 'an upgrade replaces the server, and a build that runs loses no job' {
    local build before
    make_newer "$BATS_TEST_TMPDIR/newer"
    cd "$BATS_TEST_TMPDIR"
    systemctl start steved.service
    before=$(pid)
    cat >Makefile <<'END'
jobs := $(shell seq 12)
all: $(jobs)
1 2:
	@echo $@ >>log; while [ ! -e go ]; do sleep 0.05; done
$(filter-out 1 2,$(jobs)): 1 2
	@echo $@ >>log
END
    stevectl --server /dev/steve set jobs=2
    spawn jobwrap --parent=/dev/steve -- make
    build=$spawned
    wait_for 10 eval '[ "$(grep -c . log 2>/dev/null)" = 2 ]'
    install_from newer
    [ "$(pid)" != "$before" ]
    [ "$(stevectl --server /dev/steve get held)" = 2 ]
    touch go
    status_of "$build"
    [ "$status" = 0 ]
    [ "$(sort -n log | tr '\n' ' ')" = '1 2 3 4 5 6 7 8 9 10 11 12 ' ]
    [ "$(stevectl --server /dev/steve get free) $(stevectl --server /dev/steve get held)" = '2 0' ]
}

@test 'purge stops the service and leaves nothing of it' {
    systemctl enable --now steved.service
    dpkg --no-triggers --purge "${NAMES[@]}"
    [ ! -e /dev/steve ]
    run ! systemctl cat steved.service
    [ -z "$(find /etc /usr/lib/systemd /lib/systemd /var/lib/systemd -name '*steved*')" ]
}
