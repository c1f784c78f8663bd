#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# What jobwrap hands to its command, and what it makes of its end.

# shellcheck disable=SC2016 # what single quotes hold is for the command's shell
load ../lib/bash/common

@test "the exit status is the command's" {
    for code in 0 1 2 7 125 126 127 200 255; do
        run -"$code" "$JOBWRAP" sh -c "exit $code"
        [ -z "$output" ]
    done
}

@test "a command that a signal ends: jobwrap dies by it, without a core dump of its own" {
    mkdir "$BATS_TEST_TMPDIR/empty"
    cd "$BATS_TEST_TMPDIR/empty"
    for signal in HUP INT QUIT KILL SEGV TERM USR1; do
        # The shell between them tells a signal from a status above 128.
        run python3 -c 'import signal, subprocess, sys
number = int(getattr(signal, "SIG" + sys.argv[2]))
code = subprocess.run([sys.argv[1], "sh", "-c", f"ulimit -c 0; kill -{number} $$"]).returncode
sys.exit(0 if code == -number else f"{code} instead of {-number}")' "$JOBWRAP" $signal
        [ "$status" = 0 ]
    done
    [ -z "$(ls)" ]
}

@test "126 and 127, each with one line that says why" {
    run -127 "$JOBWRAP" no-such-command
    [ "$output" = 'jobwrap: run no-such-command: No such file or directory' ]
    run -126 "$JOBWRAP" /
    [ "$output" = 'jobwrap: run /: Permission denied' ]
    make_fifo "$BATS_TEST_TMPDIR/parent" 2
    run -127 "$JOBWRAP" --parent="$BATS_TEST_TMPDIR/parent" no-such-command
    fifo_has "$BATS_TEST_TMPDIR/parent" 2
}

@test "bad usage: one line that quotes it, status 2, nothing is run" {
    local -A cases=(
        ['-j0']="-j: '0'" ['-jx']="-j: 'x'" ['-j 1x']="-j: '1x'" ['-j-1']="-j: '-1'"
        ['-j65537']="'65537'" ['-j99999999999999999999']="'99999999999999999999'" ['-j+4']="'+4'"
        ['--jobs=']="-j: ''" ['--style=pip']="'pip'" ['--style=']="--style: ''"
        ['--implicit=yes']="'yes'" ['--memory=much']="--memory: 'much'" ['--memory=']="--memory: ''" ['--parent=']="--parent: ''" ['--report=']="--report: ''" ['--trace=']="--trace: ''"
        ['--group=no-such-group']="'no-such-group'" ['--frobnicate']="'--frobnicate'"
        ['-x']="'-x'" ['--no-shims=1']="'--no-shims=1'"
        ['--memory-history']="--memory-history: 'touch'" ['--memory-history=list']="'--memory-history=list'"
        ['--memory-history forget x']="--memory-history: 'touch'" ['--memory-history list']="'touch'"
    )
    for arguments in "${!cases[@]}"; do
        # shellcheck disable=SC2086 # words
        run -2 "$JOBWRAP" $arguments touch "$BATS_TEST_TMPDIR/run"
        [ "${#lines[@]}" = 1 ]
        [[ $output == "jobwrap: "*"${cases[$arguments]}"* ]]
    done
    run -2 "$JOBWRAP"
    [ "${#lines[@]}" = 1 ]
    run -2 "$JOBWRAP" --jobs
    [ "${#lines[@]}" = 1 ]
    run -2 "$JOBWRAP" -j
    [ "${#lines[@]}" = 1 ]
    [ ! -e "$BATS_TEST_TMPDIR/run" ]
}

@test "what follows the command is the command's; -- is optional" {
    run -0 "$JOBWRAP" -j2 echo -j 3 --report
    [ "$output" = '-j 3 --report' ]
    run -0 "$JOBWRAP" -j2 -- sh -c 'echo "$1"' sh --help
    [ "$output" = --help ]
}

@test "--help and --version" {
    run -0 "$JOBWRAP" --help
    [[ $output == Usage:* ]]
    run -0 "$JOBWRAP" --version
    [[ $output == 'jobwrap '[0-9]* ]]
    run -125 sh -c '"$1" --help >/dev/full' sh "$JOBWRAP"
    [ "$output" = 'jobwrap: write the output: No space left on device' ]
}

# compiled PACKAGE FILE...: by a compiler that wants 20 MiB; and what the gate has learnt, which may outlive the
# build by a moment, is written.
compiled() {
    local file
    mkdir -p "$1"
    printf '%s\n' "${@:2}" | (cd "$1" && "$JOBWRAP" -j2 --parent=none "$BUILD/ninja-shim/jobgate" --memory=on \
        --jobs-of=xargs xargs -I{} ../cc -DMIB=20 -DMS=300 -c {}.c -o {}.o)
    for file in "${@:2}"; do
        wait_for 20 is_known "$file.o"
    done
}

is_known() {
    "$JOBWRAP" --memory-history | grep -q " $1\$"
}

@test "--memory-history: what gates have learnt is listed, the newest first, and forgotten" {
    cd "$BATS_TEST_TMPDIR"
    run -0 "$JOBWRAP" --memory-history
    [[ $output == *MIB*WHEN*PACKAGE*TOOL*PATH ]]
    run -0 "$JOBWRAP" --memory-history forget
    [ ! -e "$XDG_CACHE_HOME/jobwrap" ]
    ln -s "$BUILD/tests/lib/eat" cc
    compiled one-1.2 a b
    compiled two-3 c
    # What a file says is not for the terminal to obey.
    python3 -c 'import sqlite3, sys; d = sqlite3.connect(sys.argv[1])
d.execute("update job set tool = ?, path = ? where path = ?", ("c\033[2J", "c\033.o", "c.o")); d.commit()' "$XDG_CACHE_HOME/jobwrap/memory.sqlite"
    run -0 "$JOBWRAP" --memory-history list
    [ "${#lines[@]}" = 4 ]
    [[ ${lines[1]} =~ ^\ +[1-9][0-9]*\ "$(date +%Y)"-..-..\ ..:..\ two\ +'c?[2J'\ +'c?.o'$ ]]
    [[ ${lines[2]} == *' one '*' cc '*' '[ab].o ]]
    run -1 "$JOBWRAP" --memory-history forget three
    [ "$output" = "jobwrap: memory history: nothing is known of the package 'three'" ]
    run -0 "$JOBWRAP" --memory-history forget one
    [ -z "$output" ]
    run -0 "$JOBWRAP" --memory-history
    [[ ${#lines[@]} = 2 && $output == *two* ]]
    run -125 sh -c '"$1" --memory-history >/dev/full' sh "$JOBWRAP"
    [ "${#lines[@]}" = 1 ]
    "$JOBWRAP" --memory-history forget
    run -0 "$JOBWRAP" --memory-history
    [ "${#lines[@]}" = 1 ]
    echo junk, which is longer than what is read of a file before it is known to be none >"$XDG_CACHE_HOME/jobwrap/memory.sqlite"
    rm -f "$XDG_CACHE_HOME"/jobwrap/memory.sqlite-*
    run -125 "$JOBWRAP" --memory-history forget
    [[ ${#lines[@]} = 1 && $output == "jobwrap: memory history: $XDG_CACHE_HOME/jobwrap/memory.sqlite: "* ]]
}

@test "the environment: every variable, and all other flags of MAKEFLAGS" {
    run -0 env MAKEFLAGS='ks -j9 --no-print-directory -- A=1\ 2' "$JOBWRAP" -j3 --style=fifo sh -c \
        'printf "%s\n" "$MAKEFLAGS" "$CARGO_MAKEFLAGS" "$JOBWRAP_FIFO" "$JOBWRAP_JOBS"'
    fifo=${lines[2]}
    [ "${lines[0]}" = "ks --no-print-directory -j3 --jobserver-auth=fifo:$fifo -- A=1\\ 2" ]
    [[ ${lines[1]} == *"-j3 --jobserver-auth=fifo:$fifo" ]]
    [ "${lines[3]}" = 3 ]
    [ ! -e "$fifo" ]
    [ ! -e "${fifo%/*}" ]
}

@test "--memory, or what the environment says, lies beside the FIFO, for those who see no environment" {
    local show='cd "${JOBWRAP_FIFO%/*}"; echo memory*; echo "$JOBWRAP_FIFO"'
    run -0 "$JOBWRAP" --style=fifo --memory=off sh -c "$show"
    [ "${lines[0]}" = memory=off ]
    [ ! -e "${lines[1]%/*}" ]
    JOBWRAP_MEMORY=on run -0 "$JOBWRAP" --style=fifo sh -c "$show"
    [ "${lines[0]}" = memory=on ]
    JOBWRAP_MEMORY=much run -0 "$JOBWRAP" --style=fifo sh -c "$show"
    [ "${lines[0]}" = 'memory*' ]
}

@test "JOBWRAP_JOBS: the pool around, though a jobwrap has borrowed less of it" {
    run -0 "$JOBWRAP" -j4 -- "$JOBWRAP" -- "$JOBWRAP" -- sh -c 'echo "$JOBWRAP_JOBS"'
    [ "$output" = 4 ]
}

@test "--style=pipe: two blocking descriptors of one FIFO, with all tokens but the implicit slot" {
    "$JOBWRAP" -j5 --style=pipe python3 - <<-'END'
		import fcntl, os, re, stat, struct, termios
		r, w = map(int, re.search(r"--jobserver-auth=(\d+),(\d+)", os.environ["MAKEFLAGS"]).groups())
		assert stat.S_ISFIFO(os.fstat(r).st_mode)
		assert os.path.samestat(os.fstat(r), os.stat(os.environ["JOBWRAP_FIFO"]))
		assert os.path.samestat(os.fstat(r), os.fstat(w))
		assert not fcntl.fcntl(r, fcntl.F_GETFL) & os.O_NONBLOCK
		assert not fcntl.fcntl(w, fcntl.F_GETFL) & os.O_NONBLOCK
		# Two descriptions: O_NONBLOCK at one end does not show at the other.
		fcntl.fcntl(r, fcntl.F_SETFL, os.O_NONBLOCK)
		assert not fcntl.fcntl(w, fcntl.F_GETFL) & os.O_NONBLOCK
		assert struct.unpack("i", fcntl.ioctl(r, termios.FIONREAD, bytes(4)))[0] == 4
		assert os.read(r, 9) == b"++++"
	END
}

@test "no descriptor of ours reaches the command, and a parent's R,W is not handed on" {
    run -0 sh -c 'exec 3>&- 4>&-; "$1" --style=fifo ls /proc/self/fd' sh "$JOBWRAP"
    inside=$output
    run -0 sh -c 'exec 3>&- 4>&-; ls /proc/self/fd' sh
    [ "$inside" = "$output" ]
    mkfifo "$BATS_TEST_TMPDIR/pipe"
    run -0 sh -c 'exec 3<>"$2" 4>"$2"; printf + >&4
        MAKEFLAGS="-j2 --jobserver-auth=3,4" "$1" --style=fifo ls /proc/self/fd' \
        sh "$JOBWRAP" "$BATS_TEST_TMPDIR/pipe"
    [ "$inside" = "$output" ]
}

@test "style auto: descriptors if PATH has a make older than 4.4, found without running a shell" {
    mkdir "$BATS_TEST_TMPDIR/bin"
    printf '#!/bin/sh\necho "GNU Make 3.81"\n' >"$BATS_TEST_TMPDIR/bin/make"
    chmod +x "$BATS_TEST_TMPDIR/bin/make"
    PATH=$BATS_TEST_TMPDIR/bin:$PATH run -0 "$JOBWRAP" sh -c 'echo "$MAKEFLAGS"'
    [[ $output =~ --jobserver-auth=[0-9]+,[0-9]+ ]]
}

@test "the signal mask and dispositions are those that jobwrap was started with" {
    # nohup's ignored SIGHUP, a blocked SIGUSR1, an ignored SIGCHLD.
    run -0 python3 -c 'import os, signal, sys
for jobwrap in ([], [sys.argv[1]]):
    if os.fork() == 0:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
        command = jobwrap + ["grep", "-E", "^Sig(Blk|Ign|Cgt)", "/proc/self/status"]
        os.execvp(command[0], command)
    os.wait()' "$JOBWRAP"
    [ "${#lines[@]}" = 6 ]
    [ "${lines[*]:0:3}" = "${lines[*]:3:3}" ]
}

@test "stdin, stdout and stderr may be closed" {
    run -0 sh -c '"$1" sh -c "ls /proc/self/fd >$2/fds; exit 0" <&- >&- 2>&-' sh "$JOBWRAP" \
        "$BATS_TEST_TMPDIR"
    run -3 sh -c '"$1" sh -c "exit 3" <&- >&- 2>&-' sh "$JOBWRAP"
    run -127 sh -c '"$1" no-such-command <&- >&- 2>&-' sh "$JOBWRAP"
}

@test "grandchildren are reaped, and a daemon does not keep jobwrap" {
    make_fifo "$BATS_TEST_TMPDIR/parent" 3
    run -0 timeout 30 "$JOBWRAP" --parent="$BATS_TEST_TMPDIR/parent" sh -c '
        setsid sleep 1000 >/dev/null 2>&1 3>&- & echo $!; (true &) ; (true &)'
    daemon=$output
    is_alive "$daemon"
    kill "$daemon"
    wait_for 10 fifo_has "$BATS_TEST_TMPDIR/parent" 3
    wait_for 10 has_ended "$daemon"
}

@test "jobwrap | tee ends with jobwrap, even if jobs hold tokens in the background" {
    make_fifo "$BATS_TEST_TMPDIR/parent" 3
    # The command is killed with a job that has closed its output and runs on.
    run timeout 30 sh -c '"$1" --parent="$2" sh -c "sleep 1000 >/dev/null 2>&1 3>&- &
        echo \$! >$2.job; kill -9 \$\$" 2>&1 | cat' sh "$JOBWRAP" "$BATS_TEST_TMPDIR/parent"
    [ "$status" = 0 ]
    [[ $output == *'have left behind still run; process '*' holds 1 of its tokens'* || \
        $output == *'has left behind still run; process '*' holds 1 of its tokens'* ]]
    run ! fifo_has "$BATS_TEST_TMPDIR/parent" 3
    kill "$(cat "$BATS_TEST_TMPDIR/parent.job")"
    wait_for 10 fifo_has "$BATS_TEST_TMPDIR/parent" 3
}
