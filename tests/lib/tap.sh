# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# TAP from a script that is no bats file: `check` for each step, `check_end` at the end.

check_log=$(mktemp -d)
check_count=0 check_failed=false

# check NAME COMMAND...: one line of TAP; what the command says only if it fails. Errors count in it.
check() {
    local name=$1 status=0
    shift
    check_count=$((check_count + 1))
    set +e
    (set -e && "$@") >"$check_log/$check_count" 2>&1
    status=$?
    set -e
    if [ $status = 0 ]; then
        echo "ok $check_count $name"
    else
        check_failed=true
        echo "not ok $check_count $name"
        sed 's/^/# /' "$check_log/$check_count"
    fi
}

check_end() {
    echo "1..$check_count"
    ! $check_failed
}
