# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What the tests of steved and stevectl share, besides common.bash.

# client SCENARIO [ARGUMENT...]: one of steved_client.py on the server that was started last.
client() {
    local scenario=$1
    shift
    python3 "$LIB/steved_client.py" "$scenario" "$SERVER" "$@"
}

# run_client SCENARIO: the whole of a test, with 4 tokens; nothing may be left of it.
run_client() {
    start_steved --jobs 4
    client "$@"
    wait_for 10 steved_has free "$(steved_get jobs)"
}

# mount_of: the directory of the server that was started last.
mount_of() {
    dirname "$SERVER"
}

# steved_log: what it has said.
steved_log() {
    cat "$BATS_TEST_TMPDIR/steved.log"
}

# refuses STATUS COMMAND...: it fails so, and says one line that begins with its name.
refuses() {
    local expected=$1
    shift
    run -"$expected" --separate-stderr "$@"
    echo "stderr: $stderr"
    [ "$output" = '' ]
    # shellcheck disable=SC2154 # bats sets it
    [ "${#stderr_lines[@]}" = 1 ]
    [[ $stderr == "${1##*/}: "* ]]
}

# with_fuse_for_all COMMAND...: where everybody may open /dev/fuse, as with udev; at least there.
with_fuse_for_all() {
    if [ "$(stat -c %a /dev/fuse)" = 666 ]; then
        "$@"
        return
    fi
    # shellcheck disable=SC2016 # for the inner shell
    unshare --mount --propagation private bash -euc \
        'mknod -m 666 "$0/fuse" c 10 229 && mount --bind "$0/fuse" /dev/fuse && exec "$@"' \
        "$BATS_TEST_TMPDIR" "$@"
}
