# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# steved-user.sh HOME: root lets nobody serve from HOME, which has steved and stevectl.
set -eu

home=$1
file=$home/mount/jobserver

as_nobody() {
    setpriv --reuid nobody --regid nogroup --clear-groups -- env HOME="$home" "$@"
}

ask() {
    as_nobody "$home/stevectl" --server "$file" "$@"
}

# gone PID: the server, and its mount, within ten seconds.
gone() {
    local deadline=$((SECONDS + 10))
    while [ -d "/proc/$1" ] || grep -q " $home/mount " /proc/mounts; do
        [ "$SECONDS" -lt "$deadline" ] || { echo "still there: $1" && exit 1; }
        sleep 0.02
    done
}

as_nobody "$home/steved" --mount "$home/mount" --jobs 2 --daemon
pid=$(ask get pid)
[ "$(as_nobody stat -c '%a %U' "$file")" = '600 nobody' ]
# Root is somebody else.
if ls "$home/mount" 2>/dev/null; then
    exit 1
fi
ask set jobs=3
[ "$(ask get free)" = 3 ]
# The next one knows it, and is ended by a signal to the guardian.
guardian=$(ps -o ppid= -p "$pid" | tr -d ' ')
kill -s KILL "$pid"
[ "$(ask get jobs)" = 3 ]
[ "$(ask get pid)" != "$pid" ]
pid=$(ask get pid)
kill "$guardian"
gone "$pid"
gone "$guardian"

# A dead mount is cleared away by who made it.
as_nobody "$home/steved" --mount "$home/mount" --daemon
pid=$(ask get pid)
kill -s KILL "$(ps -o ppid= -p "$pid" | tr -d ' ')"
kill -s KILL "$pid"
as_nobody "$home/steved" --mount "$home/mount" --jobs 1 --daemon
[ "$(ask get jobs)" = 1 ]
pid=$(ask get pid)
kill "$pid"
gone "$pid"
