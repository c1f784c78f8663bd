#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Signals that are sent to jobwrap, and a terminal's.

# shellcheck disable=SC2016 # what single quotes hold is for the command's shell
# shellcheck disable=SC2153,SC2154 # common.bash sets JOBWRAP and spawned, run sets status
load ../lib/bash/common

setup() {
    common_setup
    PARENT=$BATS_TEST_TMPDIR/parent
    make_fifo "$PARENT" 3
    cd "$BATS_TEST_TMPDIR" || return
}

# In the background of a script, SIGINT and SIGQUIT are ignored from the start.
spawn_with_default_signals() {
    spawn env --default-signal=INT,QUIT "$@"
}

terminal() {
    "$LIB/terminal/jobwrap-terminal" --parent "$PARENT" "$1"
    wait_for 10 fifo_has "$PARENT" 3
}

@test 'a signal to jobwrap alone reaches the command, once, and its status is what counts' {
    for signal in HUP INT QUIT TERM USR1 USR2 ALRM; do
        rm -f began got
        spawn_with_default_signals "$JOBWRAP" --parent="$PARENT" sh -c "trap 'echo $signal >>got; exit 9' $signal
            touch began; while :; do sleep 0.02; done"
        wait_for 10 test -e began
        kill -s $signal "$spawned"
        status_of "$spawned"
        [ "$status" = 9 ]
        [ "$(cat got)" = $signal ]
        wait_for 10 fifo_has "$PARENT" 3
    done
}

@test 'a command that dies of the signal: so does jobwrap' {
    spawn "$JOBWRAP" --parent="$PARENT" sh -c 'touch began; exec sleep 60'
    wait_for 10 test -e began
    kill "$spawned"
    status_of "$spawned"
    [ "$status" = 143 ]
    wait_for 10 fifo_has "$PARENT" 3
}

@test 'a signal that was ignored from the start stays so (nohup)' {
    mkfifo go
    (trap '' HUP; exec "$JOBWRAP" --parent="$PARENT" sh -c 'touch began; read -r line <go; exit 4') 3>&- &
    pid=$!
    wait_for 10 test -e began
    kill -HUP $pid
    echo >go
    status=0
    wait $pid || status=$?
    [ "$status" = 4 ]
}

@test 'waiting for the implicit slot: it is said, with the holder at steved, and a signal ends it' {
    make_fifo empty 0
    for signal in INT TERM HUP; do
        spawn_with_default_signals "$JOBWRAP" --parent=empty touch run 2>said
        wait_for 10 grep -q '^jobwrap: waiting for a token from fifo:empty$' said
        kill -s $signal "$spawned"
        status_of "$spawned"
        [ "$status" = $((128 + $(kill -l $signal))) ]
        [ "$(wc -l <said)" = 1 ]
    done
    [ ! -e run ]
    fifo_has empty 0
    start_steved --jobs 1
    spawn "$JOBWRAP" --parent="$SERVER" sleep 60
    wait_for 10 steved_has held 1
    holder=$spawned
    spawn "$JOBWRAP" --parent="$SERVER" touch run 2>said
    wait_for 10 grep -q "^jobwrap: waiting for a token .*, held by .* (pid $holder): 1$" said
    stop "$holder"
    status_of "$spawned"
    [ "$status" = 0 ]
    [ -e run ]
    wait_for 10 steved_has free 1
}

@test 'a command that stops by itself, with no shell above: jobwrap does not stop for ever' {
    spawn setsid "$JOBWRAP" --parent="$PARENT" sh -c 'echo $$ >pid; kill -STOP $$; exit 8'
    wait_for 10 test -s pid
    wait_for 10 grep -q 'State:.T' "/proc/$(cat pid)/status"
    kill -CONT "$(cat pid)"
    status_of "$spawned"
    [ "$status" = 8 ]
}

@test 'SIGCONT to jobwrap continues a stopped command' {
    # Who looks for leaks at the end stops all threads for it, and a SIGCONT then makes it wait for ever.
    export ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0
    spawn "$JOBWRAP" --parent="$PARENT" sh -c 'echo $$ >pid; kill -STOP $$; exit 8'
    wait_for 10 test -s pid
    wait_for 10 grep -q 'State:.T' "/proc/$(cat pid)/status"
    kill -CONT "$spawned"
    # It may come before jobwrap has stopped; the second one cannot.
    wait_for 10 eval '! is_alive "$spawned" || kill -CONT "$spawned"; has_ended "$spawned"'
    status_of "$spawned"
    [ "$status" = 8 ]
}

@test 'the process group is stopped, and jobwrap alone continued: all of it goes on' {
    mkfifo go
    spawn python3 -c 'import os, sys
os.setpgid(0, 0)
os.execv(sys.argv[1], sys.argv[1:])' "$JOBWRAP" --parent="$PARENT" sh -c 'echo $$ >pid; read -r line <go; exit 4'
    wait_for 10 test -s pid
    keeper=$(cut -d ' ' -f 4 "/proc/$(cat pid)/stat")
    kill -STOP -- "-$spawned"
    for pid in "$spawned" "$keeper" "$(cat pid)"; do
        wait_for 10 grep -q 'State:.T' "/proc/$pid/status"
    done
    kill -CONT "$spawned"
    wait_for 10 eval '! grep -q "State:.T" "/proc/$(cat pid)/status"'
    timeout 30 sh -c 'echo >go'
    status_of "$spawned"
    [ "$status" = 4 ]
}

# keeper_of PID: of this command.
keeper_of() {
    cut -d ' ' -f 4 "/proc/$1/stat"
}

is_stopped() {
    grep -q 'State:.T' "/proc/$1/status"
}

@test 'a keeper that somebody has stopped is continued, once said' {
    mkfifo go
    spawn "$JOBWRAP" --parent="$PARENT" sh -c 'echo $$ >pid; read -r line <go; exit 4' 2>said
    wait_for 10 test -s pid
    keeper=$(keeper_of "$(cat pid)")
    for _ in 1 2; do
        kill -STOP "$keeper"
        wait_for 10 eval '! is_stopped "$keeper"'
    done
    timeout 30 sh -c 'echo >go'
    status_of "$spawned"
    [ "$status" = 4 ]
    [ "$(cat said)" = "jobwrap: the keeper (pid $keeper) was stopped; continuing it" ]
    wait_for 10 fifo_has "$PARENT" 3
}

@test 'a keeper is stopped, and jobwrap killed: the keeper ends the build all the same' {
    without_leak_checker
    spawn "$JOBWRAP" --parent="$PARENT" sh -c 'echo $$ >pid; exec sleep 60'
    wait_for 10 test -s pid
    command=$(cat pid)
    keeper=$(keeper_of "$command")
    # One stops before the other, which cannot continue it then.
    kill -STOP "$spawned"
    wait_for 10 is_stopped "$spawned"
    kill -STOP "$keeper"
    wait_for 10 is_stopped "$keeper"
    kill -KILL "$spawned"
    wait_for 10 has_ended "$keeper"
    wait_for 10 has_ended "$command"
    fifo_has "$PARENT" 3
}

@test 'what killed jobwraps and keepers have left behind is removed by the next one' {
    export XDG_RUNTIME_DIR=$BATS_TEST_TMPDIR/runtime TMPDIR=$BATS_TEST_TMPDIR/runtime
    # Root's is where other tests' jobwraps look, too: what is to stay is held or young at every moment.
    local name left
    name=$(printf %012x "$BASHPID") left=$XDG_RUNTIME_DIR/jobwrap-$name
    [ "$(id -u)" != 0 ] || left=/run/jobwrap/$name
    mkdir -p "$left"
    mkfifo "$left/jobserver"
    touch "$left/control" "$left/memory=on"
    # Somebody has it open.
    exec {held}<>"$left/jobserver"
    touch -d '-2 minutes' "$left"
    "$JOBWRAP" --parent=none -j2 true
    [ -e "$left/jobserver" ]
    # What is young may be about to be used.
    touch "$left"
    exec {held}>&-
    "$JOBWRAP" --parent=none -j2 true
    [ -e "$left/jobserver" ]
    touch -d '-2 minutes' "$left"
    "$JOBWRAP" --parent=none -j2 true
    # Another one may be at it.
    wait_for 10 test ! -e "$left"
}

# has_launched KEEPER: and waits for what comes.
has_launched() {
    [ "$(readlink "/proc/$1/fd/2")" = /dev/null ] && grep -q 'State:.S' "/proc/$1/status"
}

@test 'nobody reads what jobwrap says: the build goes on' {
    mkfifo said go
    exec {said}<>said
    run ! dd if=/dev/zero of=said oflag=nonblock bs=4096
    spawn "$JOBWRAP" --parent="$PARENT" sh -c 'echo $$ >pid; read -r line <go; exit 4' 2>&"$said"
    jobwrap=$spawned
    wait_for 10 test -s pid
    keeper=$(keeper_of "$(cat pid)")
    wait_for 10 has_launched "$keeper"
    kill -KILL "$keeper"
    timeout 30 sh -c 'echo >go'
    wait_for 10 fifo_has "$PARENT" 3
    spawn sh -c 'exec stdbuf -oL tr -d "\000" <said >text'
    status_of "$jobwrap"
    [ "$status" = 4 ]
    wait_for 10 grep -qx 'jobwrap: 1 message has been dropped' text
}

@test 'terminal: ^C ends the build as without jobwrap' {
    terminal interrupt
}

@test 'terminal: ^\ likewise' {
    terminal quit
}

@test 'terminal: ^Z and fg' {
    terminal suspend
}

@test 'terminal: reading in the background stops it, fg goes on' {
    terminal background
}

@test 'terminal: a command that stops itself' {
    terminal stop
}

@test 'terminal: an interactive shell below jobwrap, suspended and continued' {
    terminal shell
}

@test 'terminal: an interactive shell below jobwrap is continued once, however late jobwrap is' {
    require strace
    without_leak_checker
    local late=(-e trace=pidfd_send_signal -e inject=pidfd_send_signal:delay_enter=500000)
    JOBWRAP="strace -DDD -qq -o /dev/null ${late[*]} $JOBWRAP" terminal shell
}
