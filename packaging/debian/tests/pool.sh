# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh disable=SC2164 # who reads this has set -e
# A pool of two tokens, served by steved in the test's own directory; it ends with the test.

cd "$AUTOPKGTEST_TMP"
if ! [ -w /dev/fuse ]; then
    echo 'there is no /dev/fuse for steved to mount' >&2
    exit 77
fi
pool=$PWD/pool/jobserver
steved --mount "$PWD/pool" --jobs 2 --daemon
# shellcheck disable=SC2154 # set by the command itself
trap 'status=$?; kill "$(stevectl --server "$pool" get pid)"; exit $status' EXIT
