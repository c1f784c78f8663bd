#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Who reads the file through the page cache gets nothing, and holds up nobody.

load ../lib/bash/common

# check [--takes WHAT] WAY=OUTCOME,...: check-page-cache, where nothing outlives it.
check() {
    local takes=() namespaces=(--mount --pid --fork --mount-proc --kill-child)
    require_fuse
    require unshare
    [ "$(id -u)" = 0 ] || namespaces+=(--user --map-root-user)
    unshare "${namespaces[@]}" true || missing 'no mount and pid namespaces to be had'
    if [ "$1" = --takes ]; then
        takes=(--takes "$2")
        shift 2
    fi
    unshare "${namespaces[@]}" "$LIB/check-page-cache" "${takes[@]}" "$STEVED" "$STEVECTL" \
        "$BUILD/tests/lib/page-cache" "$BATS_TEST_TMPDIR/mount" "$@"
}

@test 'who touches a mapping of the file gets SIGBUS' {
    check touch=SIGBUS touch-read-ahead=SIGBUS touch-huge-page=SIGBUS touch-by-writing=SIGBUS
}

@test 'a system call that touches one fails' {
    check write-from-map=EFAULT read-into-map=EFAULT read-process=EFAULT
}

# Linux tries for ever to fill a mapping whose pages cannot be read, up to 6.18 at least. EINVAL: it
# is older than the advice.
@test 'a mapping that is filled before it is touched' {
    check map-shared=ENODEV map-read-ahead=OK map-to-read=EFAULT,EINVAL \
        map-to-write=EFAULT,EINVAL map-populated=OK,looping map-locked=OK,EAGAIN,looping
}

@test 'what copies from the page cache without a mapping fails' {
    check splice=EIO sendfile=EINVAL,EIO copy-range=EXDEV,EIO extents=ENOTSUP execute=EACCES
}

@test 'what is read ahead is no token' {
    check read-ahead=OK advise=OK
}

@test 'what changes, locks or watches the file holds up nobody' {
    check allocate=ENOTSUP punch-hole=ENOTSUP truncate=OK extend=OK append=OK flock=OK lock=OK \
        lease=EINVAL,EAGAIN watch=OK
}

@test 'whatever reads as read(2) does waits for a token, and gets it' {
    check --takes one read=waiting,OK read-direct=waiting,OK read-vector=waiting,OK \
        splice-direct=waiting,OK
}

# io_uring polls, and reads what is there; a file of no size is at its end for it.
@test 'asynchronous reads hold up nobody, and can be killed' {
    check --takes any aio=waiting
    if [ "$(cat /proc/sys/kernel/io_uring_disabled 2>/dev/null)" = 0 ]; then
        check --takes any io-uring=waiting,OK
    fi
}
