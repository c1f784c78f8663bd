#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# The shim for a make older than 4.4 where MAKEFLAGS names a FIFO: what such a make and the tree below
# it are told, and that no other make is told anything. The system's make has to be such an old one.

# shellcheck disable=SC2016 # what single quotes hold is make's or another shell's
# shellcheck disable=SC2153,SC2154 # common.bash sets SERVER and spawned, run sets status and stderr
load ../lib/bash/common

setup() {
    common_setup
    SHIMS=$BUILD/ninja-shim
    PARENT=$BATS_TEST_TMPDIR/parent
    LOG=$BATS_TEST_TMPDIR/log
    export PATH=$SHIMS:$PATH
    unset MAKE_SHIM_REAL REMAKE_SHIM_REAL MAKE_SHIM_CAP JOBSERVER_SHIM
    cd "$BATS_TEST_TMPDIR" || return
}

require_old_make() {
    require make
    [[ $(env -u MAKEFLAGS make --version) =~ ^'GNU Make '(3|4\.[0-3]) ]] ||
        missing 'the system has no make older than 4.4'
}

# named MAKEFLAGS COMMAND...
named() {
    MAKEFLAGS=$1 "${@:2}"
}

# A real make of the test's own, said to be of that version; it shows how it was called, and writes
# down that it was asked for its version.
fake_make() {
    mkdir -p "$1"
    cat >"$1/make" <<END
#!/bin/sh
if [ "\$*" = --version ]; then
    echo asked >>"$BATS_TEST_TMPDIR/asked"
    echo '$2'
    exit
fi
echo "made by \$0: \$*"
printf '%s\n' "\$MAKEFLAGS" "\${CARGO_MAKEFLAGS--}" "\${JOBWRAP_FIFO--}" "\${JOBWRAP_JOBS--}"
ls -l /proc/self/fd | grep -c "$PARENT\$" || :
END
    chmod +x "$1/make"
}

times_asked() {
    touch asked
    [ "$(wc -l <asked)" = "$1" ]
}

# end_by SIGNAL: sends it to the make that was spawned, with four jobs; they end by a line from the gate,
# since make waits for them (INT) or has ended only their stamps (TERM).
end_by() {
    kill -s "$1" "$spawned"
    let_end 4
    wait_for 10 has_ended "$spawned"
    wait_for 10 lives_jobs 0
}

# --- builds ---

@test 'a FIFO of 3, 1 and 0 tokens: one job more, the implicit slot, and all tokens back' {
    require_old_make
    "$LIB/make-tree" tree 0.03 "$LOG"
    for tokens in 3 1 0; do
        rm -f "$LOG" "$PARENT"
        at_once $((tokens + 1))
        make_fifo "$PARENT" $tokens
        named "-j5 --jobserver-auth=fifo:$PARENT" make -C tree
        exactly $((tokens + 1)) 60
        fifo_has "$PARENT" $tokens
    done
}

@test 'a FIFO of 8 tokens: nine jobs, whatever -jN says' {
    require_old_make
    gated_jobs 20
    make_fifo "$PARENT" 8
    named "-j5 --jobserver-auth=fifo:$PARENT" spawn_gated make
    wait_for 10 lives_jobs 9
    fifo_has "$PARENT" 0
    let_end 20
    status_of "$spawned"
    [ "$status" = 0 ]
    exactly 9 20
    fifo_has "$PARENT" 8
}

@test 'a FIFO without a -jN beside it, and gmake: the same' {
    require_old_make
    at_once 4
    "$LIB/make-tree" tree 0.03 "$LOG"
    make_fifo "$PARENT" 3
    for flags in '' '-j ' 'k '; do
        rm -f "$LOG"
        named "$flags--jobserver-auth=fifo:$PARENT" gmake -C tree
        exactly 4 60
        fifo_has "$PARENT" 3
    done
}

@test 'jobwrap --style=fifo, with and without a parent: exactly its tokens, and all back' {
    require_old_make
    "$LIB/make-tree" tree 0.03 "$LOG"
    at_once 4
    "$JOBWRAP" -j4 --style=fifo make -C tree
    exactly 4 60
    rm "$LOG"
    at_once 3
    make_fifo "$PARENT" 3
    "$JOBWRAP" --parent="$PARENT" --style=fifo make -C tree
    exactly 3 60
    fifo_has "$PARENT" 3
}

@test 'steved: one job more than tokens, whose holders it knows, and all back' {
    require_old_make
    at_once 4
    "$LIB/make-tree" tree 0.05 "$LOG"
    start_steved --jobs 3
    named "--jobserver-auth=fifo:$SERVER" make -C tree
    exactly 4 60
    wait_for 10 steved_has free 3
    [ "$(steved_get reclaimed) $(steved_get dropped)" = '0 0' ]
}

@test 'old in new in old in new: exactly the tokens, and all back' {
    require_old_make
    require_tool MAKE441
    at_once 4
    "$LIB/make-tree" tree 0.03 "$LOG"
    make_fifo "$PARENT" 3
    export MAKE441
    printf 'all:\n\t+@make -f two.mk\n' >one.mk
    printf 'all:\n\t+@"$(MAKE441)" -f three.mk\n' >two.mk
    printf 'all:\n\t+@make -C tree\n' >three.mk
    named "-j4 --jobserver-auth=fifo:$PARENT" "$MAKE441" -f one.mk
    exactly 4 60
    fifo_has "$PARENT" 3
    # A new make that has a jobserver of its own, with -O: to 4.3 --sync-mutex is no error either.
    rm "$LOG"
    "$MAKE441" -j4 -Otarget -f one.mk
    exactly 4 60
}

@test 'INT and TERM: all tokens back, at a FIFO and at steved' {
    require_old_make
    gated_jobs 9
    make_fifo "$PARENT" 3
    start_steved --jobs 3
    for signal in INT TERM; do
        rm -f "$LOG"
        # An asynchronous command of a shell ignores SIGINT, and make then does too.
        named "-j4 --jobserver-auth=fifo:$PARENT" spawn_gated env --default-signal=INT make
        wait_for 10 lives_jobs 4
        fifo_has "$PARENT" 0
        end_by $signal
        wait_for 10 fifo_has "$PARENT" 3
        rm "$LOG"
        named "--jobserver-auth=fifo:$SERVER" spawn_gated env --default-signal=INT make
        wait_for 10 lives_jobs 4
        steved_has held 3
        end_by $signal
        wait_for 10 steved_has free 3
    done
}

@test 'exit statuses, and what a makefile calls MAKE, are those of the make behind' {
    require_old_make
    make_fifo "$PARENT" 3
    export MAKEFLAGS="-j4 --jobserver-auth=fifo:$PARENT"
    printf 'fail:; @exit 3\nname:; @echo $(MAKE)\n' >Makefile
    run -2 make fail
    run -0 make name
    [ "$output" = make ]
    run -0 "$SHIMS/gmake" name
    [ "$output" = "$SHIMS/gmake" ]
    mkfifo never
    run -143 env --default-signal=TERM make -f - <<<'all:; @kill -s TERM $$PPID; read -r _ <never'
    fifo_has "$PARENT" 3
}

@test 'a make that remakes its makefiles executes itself again, through the shim' {
    require_old_make
    make_fifo "$PARENT" 3
    # Twelve times; each time it reads another number.
    printf '%s\n' 'include number.mk' 'all:; @echo $(N)' \
        'ifneq ($(N),12)' 'number.mk: again; @expr $(N) + 1 | sed "s/^/N = /" >$@' '.PHONY: again' \
        'endif' >Makefile
    echo 'N = 0' >number.mk
    run -0 named "-j4 --jobserver-auth=fifo:$PARENT" make
    [ "$output" = 12 ]
    fifo_has "$PARENT" 3
}

# --- what recipes see ---

@test 'recipes: descriptors where there is a +, and the path for cargo and our own in all of them' {
    require_old_make
    make_fifo "$PARENT" 3
    cat >see.py <<'END'
import os, re, sys
flags, cargo, path = os.environ["MAKEFLAGS"], os.environ["CARGO_MAKEFLAGS"], sys.argv[2]
r, w = map(int, re.search(r"--jobserver-auth=(\d+),(\d+)", flags).groups())
assert "fifo:" not in flags and "-j4" in flags, flags
assert cargo.split() == ["-j4", "--jobserver-auth=fifo:" + path], cargo
assert os.environ["JOBWRAP_FIFO"] == path and os.environ["JOBWRAP_JOBS"] == "4"
fifo = os.stat(path)
found = {int(n) for n in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + n)
         and os.path.samestat(os.stat("/proc/self/fd/" + n), fifo)}
assert found == ({r, w} if sys.argv[1] == "+" else set()), (found, r, w)
assert sys.argv[1] != "+" or os.get_blocking(w)
os.write(1, b"seen\n")  # print() may take two writes, and the other recipe's come between
END
    printf 'all: with without\nwith:; +@python3 see.py + "$(PARENT)"\n%s\n' \
        'without:; @python3 see.py - "$(PARENT)"' >Makefile
    # The test's own descriptor of the FIFO is not make's.
    run -0 named "-j4 --jobserver-auth=fifo:$PARENT" make PARENT="$PARENT" {FIFO_FD}>&-
    [ "${lines[*]}" = 'seen seen' ]
}

@test 'recipes without a +: a jobwrap in them is a client all the same' {
    require_old_make
    at_once 4
    "$LIB/make-tree" tree 0.03 "$LOG"
    make_fifo "$PARENT" 3
    # Not $(MAKE): that is a '+' of its own.
    printf 'all:\n\t@"$(JOBWRAP)" $(SUBMAKE) -C tree\n' >Makefile
    named "-j4 --jobserver-auth=fifo:$PARENT" make SUBMAKE=make
    exactly 4 60
    fifo_has "$PARENT" 3
}

# --- who is told what ---

@test 'the rest of MAKEFLAGS stays as it is, and what others have set for the tree' {
    fake_make real 'GNU Make 3.81'
    make_fifo "$PARENT" 3
    PATH=$SHIMS:$PWD/real:$PATH
    run -0 named "ks -j9 --no-print-directory --jobserver-auth=fifo:$PARENT -- A=1\\ 2" \
        make a b {FIFO_FD}>&-
    [ "${lines[0]}" = "made by $PWD/real/make: a b" ]
    [[ ${lines[1]} =~ ^'ks --no-print-directory -j9 --jobserver-auth='[0-9]+,[0-9]+' -- A=1\ 2'$ ]]
    [ "${lines[2]} ${lines[3]} ${lines[4]}" = " -j9 --jobserver-auth=fifo:$PARENT $PARENT 9" ]
    [ "${lines[5]}" = 2 ]
    # No -jN is made up, and another FIFO's number of jobs is not this one's.
    JOBWRAP_FIFO=/other JOBWRAP_JOBS=5 CARGO_MAKEFLAGS='-j5 --jobserver-auth=fifo:/other' \
        run -0 named "--jobserver-auth=fifo:$PARENT" make
    [[ ${lines[1]} =~ ^' --jobserver-auth='[0-9]+,[0-9]+$ ]]
    [ "${lines[2]} ${lines[3]} ${lines[4]}" = "-j5 --jobserver-auth=fifo:/other $PARENT -" ]
    JOBWRAP_FIFO=$PARENT JOBWRAP_JOBS=5 CARGO_MAKEFLAGS='-j5' \
        run -0 named "-j4 --jobserver-auth=fifo:$PARENT" make
    [ "${lines[2]} ${lines[3]} ${lines[4]}" = " -j4 --jobserver-auth=fifo:$PARENT $PARENT 5" ]
    # A path from here means nothing in make's other directories.
    run -0 named "--jobserver-auth=fifo:parent" make
    [ "${lines[3]}" = "$PARENT" ]
}

@test 'a newer make, and one that is not GNU: told nothing' {
    make_fifo "$PARENT" 3
    for version in 'GNU Make 4.4' 'GNU Make 4.4.1' 'GNU Make 10.2' bmake ''; do
        fake_make real "$version"
        PATH=$SHIMS:$PWD/real:$PATH \
            run -0 named "-j9 --jobserver-auth=fifo:$PARENT" make -k {FIFO_FD}>&-
        [ "${lines[*]}" = \
            "made by $PWD/real/make: -k -j9 --jobserver-auth=fifo:$PARENT - - - 0" ]
    done
}

@test 'nobody is asked where MAKEFLAGS names no FIFO, or for --version and --help' {
    fake_make real 'GNU Make 3.81'
    make_fifo "$PARENT" 3
    PATH=$SHIMS:$PWD/real:$PATH
    for flags in '' 'k -j9' '-j9 --jobserver-auth=3,4' '--jobserver-auth=-2,-2' '--jobserver-auth=x'; do
        run -0 named "$flags" make x
        [ "${lines[1]}" = "$flags" ] || [ "$flags" = '' ]
    done
    for option in --help -h -v; do
        run -0 named "--jobserver-auth=fifo:$PARENT" make $option
        [ "${lines[1]}" = "--jobserver-auth=fifo:$PARENT" ]
    done
    times_asked 0
    run -0 named "--jobserver-auth=fifo:$PARENT" make --version
    [ "$output" = 'GNU Make 3.81' ]
    times_asked 1
    run -0 named "--jobserver-auth=fifo:$PARENT" make x
    times_asked 2
}

@test 'a FIFO that cannot be opened: one line and -j1, as a newer make does' {
    require_old_make
    touch file
    printf 'all: a b c\na b c:; @"%s" "%s" $@ 0.02\n' "$STAMP" "$LOG" >Makefile
    for path in /no/such/fifo "$PWD/file" "$PWD" /dev/null; do
        rm -f "$LOG"
        run -0 --separate-stderr named "-j3 --jobserver-auth=fifo:$path" make
        [ "${#stderr_lines[@]}" = 1 ]
        [[ $stderr == "make-shim: open fifo:$path: "*'; using -j1' ]]
        exactly 1 3
    done
    # What the command line says is the user's own business.
    rm "$LOG"
    at_once 3
    run -0 named "--jobserver-auth=fifo:/no/such" make -j3
    exactly 3 3
}

@test 'stdin, stdout and stderr may be closed, and few descriptors be left' {
    require_old_make
    make_fifo "$PARENT" 3
    exec {FIFO_FD}>&-
    exec 7<>"$PARENT"
    printf +++ >&7
    printf 'all:; @ls -l /proc/self/fd >fds\n' >Makefile
    run -0 sh -c 'exec 7>&-; MAKEFLAGS="--jobserver-auth=fifo:$1" make <&- >&- 2>&-' sh "$PARENT"
    [ -s fds ]
    run ! grep "^[^ ]* .* [012] -> .*parent$" fds
    echo 'all:;' >Makefile
    for limit in 4 5 6 7 8 10; do
        # LeakSanitizer needs descriptors of its own.
        ASAN_OPTIONS=detect_leaks=0 run -0 sh -c 'exec 3>&- 4>&- 5>&- 6>&- 7>&-; ulimit -n "$2"
            MAKEFLAGS="--jobserver-auth=fifo:$1" make' sh "$PARENT" "$limit"
        echo "$limit: $output"
        [[ $output == 'make-shim: '*': Too many open files; using -j1'* ]] || [ "$limit" -ge 6 ]
    done
    [ "${#lines[@]}" = 1 ] # make's own
    fifo_has "$PARENT" 3
}

# --- the make behind ---

@test 'two copies of the shim: the first one acts, the other passes on; alone they give up' {
    fake_make real 'GNU Make 3.81'
    make_fifo "$PARENT" 3
    mkdir a b
    cp "$SHIMS/make" a
    cp "$SHIMS/make" b
    PATH=$PWD/a:$PWD/b:$PWD/real:$PATH run -0 named "--jobserver-auth=fifo:$PARENT" make {FIFO_FD}>&-
    [ "${lines[0]}" = "made by $PWD/real/make: " ]
    [ "${lines[5]}" = 2 ]
    times_asked 1
    PATH=$PWD/b:$PWD/a:$PWD/real:$PATH run -0 a/make
    [ "${lines[0]}" = "made by $PWD/real/make: " ]
    for flags in '' "--jobserver-auth=fifo:$PARENT"; do
        run -127 env MAKEFLAGS="$flags" PATH="$PWD/a:$PWD/b" "$PWD/a/make"
        [ "$output" = "make-shim: only shims found on PATH for 'make'" ]
    done
    run -127 env PATH="$PWD/a" "$PWD/a/make"
    [ "$output" = 'make-shim: run make: there is none on PATH besides this shim' ]
    # What such a process has started is not taken for it.
    printf '#!/bin/sh\nMAKEFLAGS="--jobserver-auth=fifo:%s" MAKE_SHIM_REAL=%s make; exit\n' \
        "$PARENT" "$PWD/real/make" >script
    chmod +x script
    MAKE_SHIM_REAL=$PWD/script run -0 make {FIFO_FD}>&-
    [ "${lines[5]}" = 2 ]
}

@test 'MAKE_SHIM_REAL: the path of the make behind' {
    fake_make real bmake
    MAKE_SHIM_REAL=$PWD/real/make run -0 make x
    [ "${lines[0]}" = "made by $PWD/real/make: x" ]
    MAKE_SHIM_REAL=real/make run -0 gmake x
    [ "${lines[0]}" = 'made by real/make: x' ]
    run -127 env MAKE_SHIM_REAL=make make
    [ "$output" = "make-shim: MAKE_SHIM_REAL: 'make' is not a path" ]
    run -127 env MAKE_SHIM_REAL=/no/such make
    [ "$output" = "make-shim: MAKE_SHIM_REAL: '/no/such': No such file or directory" ]
    run -126 env MAKE_SHIM_REAL="$PWD" make
    [ "$output" = "make-shim: MAKE_SHIM_REAL: '$PWD' is not a regular file" ]
    run -126 env MAKE_SHIM_REAL="$SHIMS/make" make
    [ "$output" = "make-shim: MAKE_SHIM_REAL: '$SHIMS/make' is this shim itself" ]
    chmod -x real/make
    run -126 env MAKE_SHIM_REAL=real/make make
    [ "$output" = "make-shim: MAKE_SHIM_REAL: 'real/make' cannot be executed" ]
    run -126 env PATH="$SHIMS:$PWD/real" make
    [ "$output" = "make-shim: run $PWD/real/make: Permission denied" ]
    echo '#!/no/such/interpreter' >real/make
    chmod +x real/make
    run -127 env MAKE_SHIM_REAL=real/make make
    [ "$output" = 'make-shim: run real/make: No such file or directory' ]
}

@test 'a gmake where there is none: the make, if it is GNU' {
    fake_make real 'GNU Make 4.2'
    make_fifo "$PARENT" 3
    PATH=$SHIMS:$PWD/real run -0 "$SHIMS/gmake" x
    [ "${lines[0]}" = "made by $PWD/real/make: x" ]
    fake_make real bmake
    PATH=$SHIMS:$PWD/real run -127 "$SHIMS/gmake" x
    [ "$output" = 'make-shim: run gmake: there is none on PATH besides this shim' ]
}

@test 'remake, an old make of another name: descriptors, and a cap' {
    fake_make real 'GNU Make 4.3+dbg-1.6'
    mv real/make real/remake
    make_fifo "$PARENT" 3
    PATH=$SHIMS:$PWD/real:$PATH
    run -0 named "--jobserver-auth=fifo:$PARENT" remake x {FIFO_FD}>&-
    [ "${lines[0]}" = "made by $PWD/real/remake: x" ]
    [[ ${lines[1]} =~ ^' --jobserver-auth='[0-9]+,[0-9]+$ ]]
    run -0 named "--jobserver-auth=fifo:$PARENT" remake -j8 x {FIFO_FD}>&-
    [ "${lines[0]}" = "made by $PWD/real/remake: x" ]
    REMAKE_SHIM_REAL=real/remake run -0 named '' remake x
    [ "${lines[0]}" = 'made by real/remake: x' ]
    PATH=$SHIMS run -127 remake
    [ "$output" = 'make-shim: run remake: there is none on PATH besides this shim' ]
}
