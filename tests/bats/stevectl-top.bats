#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# stevectl top, by what a terminal shows of it (tmux).

# shellcheck disable=SC2016 # what is in single quotes is the inner shell's
# shellcheck disable=SC2154 # common.bash sets spawned

load ../lib/bash/common
load ../lib/bash/steved

setup() {
    common_setup
    require tmux
    # When a session ends, so does the checker of a top that ends with it, and top waits for that without end.
    without_leak_checker
    cd "$BATS_TEST_TMPDIR" || return
    unset NO_COLOR TMUX
    # A server that ends with its last session is lost to the next one.
    echo 'set -s exit-empty off' >tmux.conf
}

teardown() {
    in_tmux kill-server 2>/dev/null || true
    common_teardown
}

in_tmux() {
    tmux -u -S "$BATS_TEST_TMPDIR/tmux" -f "$BATS_TEST_TMPDIR/tmux.conf" "$@" 3>&-
}

# on_screen COLUMNS ROWS COMMAND...: its status and whether the terminal is what it was before are shown after it.
# ^C ends only the command.
on_screen() {
    local columns=$1 rows=$2
    shift 2
    in_tmux new-session -d -s top -x "$columns" -y "$rows" \
        bash -c 'trap : INT; before=$(stty -g); echo before; "$@"; status=$?
        [ "$before" != "$(stty -g)" ] || echo sane; echo "status $status"; exec sleep 60' - "$@"
}

# start_top COLUMNS ROWS [VARIABLE=VALUE...]
start_top() {
    local columns=$1 rows=$2
    shift 2
    on_screen "$columns" "$rows" env LC_ALL=C "$@" "$STEVECTL" --server "$SERVER" top
}

# screen [OPTION...]: what it shows, a line each.
screen() {
    in_tmux capture-pane -p -t top "$@"
}

# shows REGEX: for wait_for.
shows() {
    screen | grep -qE -- "$1"
}

press() {
    in_tmux send-keys -t top "$@"
}

# hold: a token, by this shell.
hold() {
    [ -n "${held-}" ] || exec {held}<>"$SERVER"
    read -r -N 1 -u "$held"
}

@test 'on 80 x 24: totals, limits, a minute as bars, and a line for each build' {
    start_steved --jobs 4 --min-jobs 2 --load-average 1000 --per-user-limit 4
    hold
    spawn bash -c 'exec 4<>"$0"; read -r -N 1 -u 4; exec sleep 60' "$SERVER"
    wait_for 10 steved_has held 2
    start_top 80 24
    wait_for 10 shows "^ +$BASHPID +2 +0 +4\.0 +100 +- +-  bash "
    screen
    [[ $(screen | sed -n 1p) == "4 jobs: 2 held, 2 free, 0 waiting, 1 unpaid  "* ]]
    [[ $(screen | sed -n 2p) == 'limits: min-jobs 2, load 1000.00 (is '*', 4 a user' ]]
    wait_for 10 shows '^ {50,59}#+$'
    wait_for 10 shows 'tokens used, of 4'
    [ "$(screen | wc -l)" = 24 ]
    wait_for 10 shows '^q quit .* sort \(by held\)'
}

# 23: STEVED_EVENT_JOB_PLACED
@test 'nodes of a farm have the rest of the line of the classes' {
    local tell=$BUILD/tests/lib/tell
    start_steved --jobs 4 --class remote=40
    start_top 58 24
    wait_for 20 shows '^remote: 40 jobs, 0 held, 0 waiting$'
    "$tell" "$SERVER" 23 'node1 src/a.c'
    wait_for 20 shows '^remote: 40 jobs, 0 held, 0 waiting; at node1 2$'
    "$tell" "$SERVER" 23 'node2 src/b.c'
    "$tell" "$SERVER" 23 'node3 src/c.c'
    wait_for 20 shows '^remote: 40 jobs, 0 held, 0 waiting; at node1 2, ...$'
}

@test 'classes have lines of their own, as many as there is room for' {
    local class lines=()
    start_steved --jobs 4 --class remote=40 --class link=1
    hold
    JOBWRAP_CLASSES=$(mount_of)/ spawn setsid "$BUILD/tests/lib/with-class" link sleep 1000
    wait_for 10 steved_has link.held 1
    JOBWRAP_CLASSES=$(mount_of)/ spawn setsid "$BUILD/tests/lib/with-class" link sleep 1000
    start_top 80 24 NO_COLOR=1
    wait_for 10 shows '^remote: 40 jobs, 0 held, 0 waiting; link: 1 job, 1 held, 1 waiting$'
    [[ $(screen | sed -n 1p) == '4 jobs: 1 held, '* ]]
    [[ $(screen | sed -n 3p) == 'limits: min-jobs '* ]]
    shows "^ +$BASHPID +1 "
    shows '^the last minute: tokens used, of 4$'
    [ "$(screen | wc -l)" = 24 ]
    "$STEVECTL" --server "$SERVER" set remote.jobs=0
    wait_for 10 shows '^remote: 0 jobs, 0 held, 0 waiting; link'
    in_tmux kill-session -t top
    for class in {a..h}; do
        lines+=(--class "$(printf "$class%.0s" {1..31})=65536")
    done
    start_steved --jobs 4 "${lines[@]}"
    start_top 80 24
    wait_for 10 shows '^f+: 65536 jobs, 0 held, 0 waiting; ...$'
    shows '^a+: 65536 jobs, 0 held, 0 waiting$'
    shows '^limits: min-jobs '
    shows '^ +nobody uses it'
    in_tmux resize-window -t top -x 24 -y 6
    wait_for 10 shows '^ +PID  HELD'
    run ! shows '^a+:'
    in_tmux resize-window -t top -x 200 -y 24
    wait_for 10 shows '^a+: .*; b+: .*waiting$'
    wait_for 10 shows '^g+: .*; h+: .*waiting$'
}

@test 'a peak is seen, however short, and does not look like work' {
    start_steved --jobs 4
    exec {fd}<>"$SERVER"
    start_top 80 24
    wait_for 10 shows 'nobody uses it'
    for _ in 1 2 3 4; do read -r -N 1 -u "$fd"; done
    printf ++++ >&"$fd"
    wait_for 10 shows '^ {40,59}:'
    # All four of it: as high as all bars are, at its top there is no half of a second.
    wait_for 10 is_at_the_top
}

is_at_the_top() {
    [[ $(screen | sed -n 5p) =~ ^\ +: ]]
}

@test 'as small as a terminal gets, and when its size changes' {
    start_steved --jobs 4
    hold
    start_top 60 15
    wait_for 10 shows "^ +$BASHPID +1 "
    screen
    wait_for 10 shows '^the last minute'
    wait_for 10 shows '^q quit'
    [ "$(screen | awk '{ print length }' | sort -n | tail -n 1)" -le 60 ]
    # What a build is comes before what it could have.
    in_tmux resize-window -t top -x 40 -y 15
    wait_for 10 shows '^ +PID  HELD  WAIT  BUILD$'
    wait_for 10 shows "^ +$BASHPID +1 +0  bash "
    in_tmux resize-window -t top -x 24 -y 6
    wait_for 10 shows '^ +PID  HELD'
    in_tmux resize-window -t top -x 10 -y 2
    wait_for 10 shows '^too small'
    in_tmux resize-window -t top -x 120 -y 40
    wait_for 10 shows "^ +$BASHPID +1 .* $(id -u)  bash "
    press q
    wait_for 10 shows '^sane'
}

@test 'keys change the server, and q leaves the terminal as it was' {
    start_steved --jobs 4
    hold
    start_top 80 24
    wait_for 10 shows "^ +$BASHPID +1 "
    press + +
    wait_for 10 steved_has jobs 6
    press -
    wait_for 10 steved_has jobs 5
    wait_for 10 shows '^5 jobs'
    press '<'
    wait_for 10 shows "^ +$BASHPID +1 +0 +5\.0 +50 "
    press '>' '>'
    wait_for 10 shows "^ +$BASHPID +1 +0 +5\.0 +200 "
    press p
    wait_for 10 shows "^ +$BASHPID +1 +0 +- +200 .* PAUSED bash "
    "$STEVECTL" --server "$SERVER" status | grep -q ', paused'
    press p
    wait_for 10 shows "^ +$BASHPID +1 +0 +5\.0 +200 "
    press h
    wait_for 10 shows 'pause it, or continue it'
    press '?' s
    wait_for 10 shows 'sort \(by waiting\)'
    # What cannot be is said, and nothing has changed.
    for _ in 1 2 3 4 5; do press -; done
    wait_for 10 shows '^set jobs=0: out of range'
    [ "$(steved_get jobs)" = 1 ]
    press q
    wait_for 10 shows '^status 0'
    wait_for 10 shows '^sane'
    shows '^before'
    run ! shows 'jobs:'
}

@test 'a signal leaves the terminal as it was, too' {
    local signal
    start_steved --jobs 4
    for signal in INT TERM HUP QUIT; do
        start_top 80 24
        wait_for 10 shows '^4 jobs'
        kill -s $signal "$(pgrep -P "$(in_tmux display-message -p '#{pane_pid}')" -x stevectl)"
        wait_for 10 shows "^status $((128 + $(kill -l $signal)))"
        wait_for 10 shows '^sane'
        in_tmux kill-session -t top
    done
}

@test 'colors, but for who wants none' {
    start_steved --jobs 4
    hold
    start_top 80 24
    wait_for 10 shows '#'
    screen -e | grep -q $'\e\\[3[0-8]m'
    in_tmux kill-session -t top
    start_top 80 24 NO_COLOR=1
    wait_for 10 shows '#'
    run ! grep -q $'\e\\[[34][0-8]m' <(screen -e)
    in_tmux kill-session -t top
    # Blocks where the terminal has them.
    on_screen 80 24 env LC_ALL=C.UTF-8 "$STEVECTL" --server "$SERVER" top
    wait_for 10 shows '█'
}

@test 'no terminal, or one that cannot: one line, and status 2' {
    start_steved --jobs 4
    refuses 2 "$STEVECTL" --server "$SERVER" top
    for term in dumb no-such-terminal ''; do
        on_screen 80 24 env TERM=$term "$STEVECTL" --server "$SERVER" top
        wait_for 10 shows '^status 2'
        shows '^stevectl: top: the terminal cannot move its cursor'
        shows '^sane'
        in_tmux kill-session -t top
    done
    on_screen 80 24 "$STEVECTL" --server "$BATS_TEST_TMPDIR/missing" top
    wait_for 10 shows '^status 1'
}

@test 'what a client is called moves no cursor, and breaks no line' {
    start_steved --jobs 4
    spawn bash -c 'exec 4<>"$0"; read -r -N 1 -u 4; read -r -u 4 -t 60 -N 9' "$SERVER" \
        $'\e[2J\e]0;x\a\r\nä\xff' "$(printf '%0500d' 0)"
    wait_for 10 steved_has held 4
    start_top 80 24
    wait_for 10 shows "^ +$spawned +4 .*bash -c exec"
    [ "$(screen | grep -c "$spawned")" = 1 ]
    [ "$(screen | wc -l)" = 24 ]
    shows '^4 jobs'
}

@test 'UTF-8 where the terminal has it, cut between characters, and else ?' {
    start_steved --jobs 4
    spawn bash -c 'exec 4<>"$0"; read -r -N 1 -u 4; exec -a größe日本 sleep 60' "$SERVER"
    wait_for 10 steved_has held 1
    start_top 80 24 LC_ALL=C.UTF-8
    wait_for 10 shows "^ +$spawned +1 .*  größe日本 60 in "
    in_tmux resize-window -t top -x 30 -y 24
    wait_for 10 shows "^ +$spawned +1 +0  größe日$"
    in_tmux kill-session -t top
    start_top 80 24
    wait_for 10 shows "^ +$spawned +1 .*  gr\?\?e\?\? 60 in "
}

@test 'the memory that a build tells of, now and expected' {
    start_steved --jobs 4
    start_top 80 24
    spawn "$LIB/tell-memory" "$SERVER"
    wait_for 10 shows '^memory: 8000 MiB available, 500 to stay free, 50 expected; 3 jobs wait$'
    wait_for 10 shows "^ +$spawned +1 +0 +4\.0 +100 +700 +750  "
}

@test 'the server ends, and the next one is shown' {
    start_steved --jobs 4
    start_top 80 24
    wait_for 10 shows '^4 jobs'
    kill_steved
    wait_for 10 shows 'the server has ended; waiting for the next'
    unmount "$(mount_of)"
    spawn "$STEVED" --mount "$(mount_of)" --jobs 3 2>>steved.log
    wait_for 10 shows '^3 jobs'
    run ! shows 'has ended'
    press q
    wait_for 10 shows '^status 0'
}

@test 'a server that is replaced is none that has ended' {
    start_steved --jobs 4
    hold
    start_top 80 24
    wait_for 10 shows "^ +$BASHPID +1 "
    kill -s KILL "$(steved_get pid)"
    wait_for 10 steved_has held 1
    hold
    wait_for 10 shows "^ +$BASHPID +2 "
}

# is_left_silent SERVER_PID KEY STATUS: of what start_top has begun.
is_left_silent() {
    wait_for 20 shows '^4 jobs'
    kill -s STOP "$1"
    wait_for 20 shows '^the server does not answer; q quits'
    press "$2"
    wait_for 20 shows "^status $3"
    shows '^sane'
    kill -s CONT "$1"
    in_tmux kill-session -t top
}

@test 'a server that is stopped: top says so, goes on with it, and can be left at any time' {
    local server
    start_steved --jobs 4
    hold
    server=$(steved_get pid)
    start_top 80 24
    wait_for 20 shows "^ +$BASHPID +1 "
    kill -s STOP "$server"
    wait_for 20 shows '^the server does not answer'
    press '?'
    wait_for 20 shows 'pause it, or continue it'
    press h
    wait_for 20 shows "^ +$BASHPID +1 "
    kill -s CONT "$server"
    hold
    wait_for 20 shows "^ +$BASHPID +2 "
    run ! shows 'does not answer'
    is_left_silent "$server" q 0
    start_top 80 24
    is_left_silent "$server" C-c 130
}

@test 'a jobwrap that is stopped: likewise' {
    local SERVER
    spawn "$JOBWRAP" -j4 --parent=none --style=fifo -- sh -c 'echo "$JOBWRAP_FIFO" >server.new; mv server.new server; exec sleep 60'
    wait_for 10 test -e server
    SERVER=$(cat server)
    start_top 80 24
    is_left_silent "$spawned" q 0
    start_top 80 24
    is_left_silent "$spawned" C-c 130
}

@test 'at a jobwrap: its builds, and it ends with it' {
    mkfifo gate
    spawn "$JOBWRAP" -j4 --parent=none --style=fifo -- sh -c 'echo "$JOBWRAP_FIFO" >server; read -r _ <gate'
    wait_for 10 test -s server
    local SERVER
    SERVER=$(cat server)
    start_top 80 24
    wait_for 10 shows "^ +$spawned +[1-4] .*  sh -c echo"
    shows '^4 jobs'
    # It is no build itself.
    run ! shows 'stevectl'
    press +
    wait_for 10 shows '^5 jobs'
    echo >gate
    wait_for 10 shows '^stevectl: top: .* has ended'
    wait_for 10 shows '^status 0'
    shows '^sane'
}
