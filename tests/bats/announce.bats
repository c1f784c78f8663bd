#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# How a build hears of its jobserver where scripts, old makes and other programs are in between: they use
# low descriptors for themselves, close what they inherit, or call a script of the user's for make.

# shellcheck disable=SC2016 # what single quotes hold is make's or another shell's
# shellcheck disable=SC2154 # run sets status and stderr
load ../lib/bash/common

setup() {
    common_setup
    LOG=$BATS_TEST_TMPDIR/log
    cd "$BATS_TEST_TMPDIR" || return
    "$LIB/make-tree" tree 0.03 "$LOG"
}

# --- the numbers of descriptors ---

@test 'a lock on descriptor 9 around make: exactly the tokens, and nothing in the lock file' {
    at_once 4
    for style in pipe fifo; do
        rm -f "$LOG" lock
        "$JOBWRAP" -j4 --parent=none --style=$style sh -c '( flock 9; make -C tree ) 9>lock'
        exactly 4 60
        [ -e lock ] && [ ! -s lock ]
    done
    printf 'all:\n\t+( flock 9; $(MAKE) -C tree ) 9>lock\n' >Makefile
    rm "$LOG"
    "$JOBWRAP" -j4 --parent=none make
    exactly 4 60
    [ ! -s lock ]
}

@test 'exec 7<in 8>out before make, and all from 3 to 99: exactly the tokens, and in and out are as they were' {
    at_once 4
    printf 'some input\n' >in
    for style in pipe fifo; do
        rm -f "$LOG"
        "$JOBWRAP" -j4 --parent=none --style=$style bash -c '
            for fd in {3..99}; do eval "exec $fd<>/dev/null"; done
            exec 7<in 8>out
            make -C tree && cat <&7 >seen && echo said >&8'
        exactly 4 60
        cmp in seen
        [ "$(<out)" = said ]
    done
}

@test 'a limit of 256 descriptors, or of 20: exactly the tokens' {
    at_once 3
    for limit in 256 20; do
        rm -f "$LOG"
        (ulimit -n $limit && "$JOBWRAP" -j3 --parent=none --style=pipe make -C tree)
        exactly 3 60
    done
}

# --- descriptors that have been closed ---

# at_both COMMAND: in a recipe without a '+'; and started by Python.
at_both() {
    printf 'all:\n\t@%s\n' "$1" >Makefile
    for style in pipe fifo; do
        rm -f "$LOG"
        "$JOBWRAP" -j3 --parent=none --style=$style make
        exactly 3 60
        rm "$LOG"
        "$JOBWRAP" -j3 --parent=none --style=$style \
            python3 -c 'import subprocess, sys; sys.exit(subprocess.call(sys.argv[1], shell=True))' "$1"
        exactly 3 60
    done
}

@test 'make in a recipe without a +, and started by Python: exactly the tokens' {
    at_once 3
    at_both 'make -C tree'
}

@test 'a newer make there: the same' {
    require_tool MAKE441
    at_once 3
    export MAKE_SHIM_REAL=$MAKE441
    at_both 'make -C tree'
}

@test 'CARGO_MAKEFLAGS names the path, whatever the style is' {
    for style in pipe fifo; do
        run -0 "$JOBWRAP" -j3 --parent=none --style=$style \
            sh -c 'echo "$CARGO_MAKEFLAGS" "$JOBWRAP_FIFO"'
        [[ $output =~ ^\ -j3\ --jobserver-auth=fifo:(/.+)\ (/.+)$ ]]
        [ "${BASH_REMATCH[1]}" = "${BASH_REMATCH[2]}" ]
    done
}

@test 'ctest of CMake 4 in a recipe without a +: no more than the tokens, and no crash' {
    require_tool CTEST
    local i
    printf 'cmake_minimum_required(VERSION 3.20)\nproject(x NONE)\nenable_testing()\n' >CMakeLists.txt
    for i in {1..12}; do
        printf 'add_test(NAME t%d COMMAND "%s" "%s" t%d 0.1)\n' "$i" "$STAMP" "$LOG" "$i" >>CMakeLists.txt
    done
    "$(dirname "$(readlink -f "$CTEST")")/cmake" -S . -B build -G 'Unix Makefiles' >/dev/null
    printf 'all:\n\t@"%s" --test-dir build --parallel\nplus:\n\t+@"%s" --test-dir build --parallel\n' \
        "$CTEST" "$CTEST" >m.mk
    for style in pipe fifo; do
        rm -f "$LOG"
        "$JOBWRAP" -j3 --parent=none --style=$style make -f m.mk
        "$LIB/concurrency" --expect-max 3 --expect-jobs 12 "$LOG"
        rm "$LOG"
        STAMP_MEET=3 "$JOBWRAP" -j3 --parent=none --style=$style make -f m.mk plus
        exactly 3 12
    done
}

# --- a jobserver that is gone ---

@test 'what MAKEFLAGS names is gone: steved, said in one line' {
    at_once 3
    mkdir "$XDG_RUNTIME_DIR/steve"
    STEVED_MOUNTS+=("$XDG_RUNTIME_DIR/steve")
    require_fuse
    spawn "$STEVED" --mount "$XDG_RUNTIME_DIR/steve" --jobs 3
    wait_for 10 test -e "$XDG_RUNTIME_DIR/steve/jobserver"
    for auth in fifo:/no/such 97,98; do
        rm -f "$LOG"
        MAKEFLAGS="-j9 --jobserver-auth=$auth" \
            run -0 --separate-stderr "$JOBWRAP" make -C tree
        [[ $stderr == "jobwrap: open $auth: "*"; using fifo:$XDG_RUNTIME_DIR/steve/jobserver" ]]
        exactly 3 60
    done
    # What make withholds is not gone.
    MAKEFLAGS='-j9 --jobserver-auth=-2,-2' run -0 --separate-stderr "$JOBWRAP" true
    [[ $stderr == *'; no parent jobserver, using -j1' ]]
}

# --- scripts that are called make ---

# contained COMMAND...: with no more than 600 processes, which end with it.
contained() {
    require_nobody "$JOBWRAP"
    directory_for_all
    cp -r . "$OTHER/here"
    chmod -R a+rwX "$OTHER/here"
    # What the limits count is a user's: one that has nothing elsewhere.
    local user=$((60000 + BASHPID % 5000))
    unshare --pid --fork --kill-child --mount-proc setpriv --reuid=$user --regid=65534 \
        --clear-groups prlimit --nproc=600 env -C "$OTHER/here" HOME=/ "$@" 3>&-
}

# wrapper_script NAME COMMAND
wrapper_script() {
    mkdir -p bin
    printf '#!/bin/sh\nexec %s "$@"\n' "$2" >"bin/$1"
    chmod +x "bin/$1"
    printf 'all:; @echo built\n' >Makefile
}

@test 'a script make that runs make below jobwrap is not asked without end' {
    require_root
    wrapper_script make "\"$JOBWRAP\" --parent=none -- /usr/bin/make"
    run -0 contained sh -c 'PATH=$PWD/bin:$PATH; export PATH; timeout 20 make'
    [ "$output" = built ]
}

@test 'a script make that runs itself below jobwrap: one line' {
    require_root
    ! is_sanitized || skip 'sanitizers: a hundred around each other are run plainly'
    wrapper_script make "\"$JOBWRAP\" --parent=none -- make"
    run -125 contained sh -c 'PATH=$PWD/bin:$PATH; export PATH; timeout 150 make'
    echo "$output"
    [ "$output" = 'jobwrap: run make: 100 jobwraps are around this one already; does it run itself?' ]
}

@test 'what is asked for its version: all that is ours becomes what it stands for' {
    local tool
    mkdir bin
    for tool in make ninja cmake emerge; do
        printf '#!/bin/sh\necho "real %s: $* $MAKEFLAGS"\n' $tool >bin/$tool
        chmod +x bin/$tool
    done
    export JOBWRAP_ASKED=1 PATH=$PWD/bin:$PATH MAKEFLAGS=--jobserver-auth=fifo:/no/such
    for tool in ninja-shim/make ninja-shim/ninja ninja-shim/cmake portage/emerge; do
        [ -x "$BUILD/$tool" ] || continue
        run -0 "$BUILD/$tool" -j8 --build x
        [ "$output" = "real ${tool#*/}: -j8 --build x $MAKEFLAGS" ]
    done
    run -0 "$JOBWRAP" -j3 --parent=none -- make --version
    [ "$output" = "real make: --version $MAKEFLAGS" ]
    run -0 "$BUILD/ninja-shim/jobgate" --jobs-of=make -- make --version
    [ "$output" = "real make: --version $MAKEFLAGS" ]
}
