# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# What those share that run a command in a guest. A directory, $scratch, is seen by both sides: `command` is
# what is run there; it writes `output`, and its exit status to `status` when it has ended.

scratch=$(mktemp -d "${TMPDIR:-/tmp}/steved-vm.XXXXXX")
guest=

# The guest is many processes in a session of its own; nothing of it is worth a farewell.
# shellcheck disable=SC2317 # called by trap
guest_end() {
    [ -z "$guest" ] || kill -s KILL -- "-$guest" 2>/dev/null || true
    rm -rf "$scratch"
}
trap guest_end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# guest_command DIRECTORY PATH COMMAND...
guest_command() {
    printf 'export PATH=%q HOME=/root LC_ALL=C.UTF-8\n' "$2"
    printf 'cd %q || exit 125\n' "$1"
    shift 2
    printf 'exec'
    printf ' %q' "$@"
    printf '\n'
}

# What the second process of the guest does when everything is mounted, $scratch in run/vm.
guest_stage2() {
    cat <<'END'
ip link set lo up 2>/dev/null
status=0
setsid --wait bash /run/vm/command </dev/null >>/run/vm/output 2>&1 || status=$?
echo "$status" >/run/vm/status
sync
echo o >/proc/sysrq-trigger
sleep 60
END
}

# guest_run SECONDS CONSOLE COMMAND...: the emulator. Exits as `run` says.
guest_run() {
    local seconds=$1 console=$2 status=0
    shift 2
    : >"$scratch/output"
    setsid --wait timeout --kill-after=5 "$seconds" "$@" </dev/null >"$scratch/emulator" 2>&1 &
    guest=$!
    tail --pid="$guest" --sleep-interval=0.1 -n +1 -f "$scratch/output"
    wait "$guest" || status=$?
    guest=

    if [ -s "$scratch/status" ]; then
        exit "$(cat "$scratch/status")"
    elif [ "$status" = 124 ] || [ "$status" = 137 ]; then
        echo "${0##*/}: the guest took more than $seconds s" >&2
        exit 124
    fi
    echo "${0##*/}: the guest ended without a status; the end of its console:" >&2
    tail -n 20 "$console" >&2
    exit 125
}
