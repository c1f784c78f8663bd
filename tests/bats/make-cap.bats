#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# The shim for make and an explicit -jN, as packagers' tools give it, with which make would leave the
# jobserver: it is a cap.
# needs_the_plain_build: with sanitizers make-shim goes the same ways, in less time.

# shellcheck disable=SC2016 # what single quotes hold is make's or another shell's
# shellcheck disable=SC2154 # common.bash sets SERVER and spawned, run sets status and output
load ../lib/bash/common

setup() {
    common_setup
    unset MAKE_SHIM_CAP MAKE_SHIM_REAL JOBSERVER_SHIM
    LOG=$BATS_TEST_TMPDIR/log
    cd "$BATS_TEST_TMPDIR" || return
    "$LIB/make-tree" tree 0.03 "$LOG"
}

# below N COMMAND...
below() {
    rm -f "$LOG"
    "$JOBWRAP" -j"$1" --parent=none -- "${@:2}"
}

@test 'a -jN of more than there is, in all spellings: exactly the tokens' {
    at_once 3
    for options in -j8 '-j 8' -kj8 '-kj 8' --jobs=8 '--jobs 8' -j '-j2 -j8'; do
        # shellcheck disable=SC2086 # words
        below 3 make $options -C tree
        exactly 3 60
    done
}

@test 'a -jN of less: so many' {
    at_once 2
    below 4 make -j2 -C tree
    exactly 2 60
    below 4 make -C tree -kj 2
    exactly 2 60
}

@test 'in a recipe, with and without a +, and as $(MAKE): the same' {
    at_once 3
    printf '%s\n' 'plus:; +@make -j8 -C tree' 'none:; @make -j8 -C tree' 'MAKE:; @$(MAKE) -j8 -C tree' >Makefile
    for goal in plus none MAKE; do
        for style in pipe fifo; do
            rm -f "$LOG"
            "$JOBWRAP" -j3 --parent=none --style=$style make $goal
            exactly 3 60
        done
    done
}

@test 'debhelper takes the jobserver out of MAKEFLAGS and gives -jN: the same' {
    at_once 3
    below 3 env -u MAKEFLAGS make -j8 -C tree
    exactly 3 60
    below 3 env -u MAKEFLAGS make -j -C tree
    exactly 3 60
    export MAKEFLAGS=k
    below 3 env MAKEFLAGS=k make -j8 -C tree
    exactly 3 60
}

@test 'below a FIFO and steved: one for the implicit slot, and all tokens back' {
    export PATH=$BUILD/jobwrap/shims:$PATH
    at_once 3
    below_fifo 2
    make -j8 -C tree
    exactly 3 60
    wait_for 10 fifo_has "$PARENT" 2
    rm "$LOG"
    start_steved --jobs 3
    MAKEFLAGS="--jobserver-auth=fifo:$SERVER" make -j8 -C tree
    exactly 3 60
    wait_for 10 steved_has free 3
}

# A make that shows how it is called and what it is told.
fake_make() {
    mkdir -p real
    cat >real/make <<'END'
#!/bin/sh
[ "$*" = --version ] && echo 'GNU Make 4.3' && exit
echo "$*"
echo "${MAKEFLAGS% --jobserver-auth=*}"
END
    chmod +x real/make
    PATH=$BUILD/jobwrap/shims:$PWD/real:$PATH
}

# leaves ARGUMENT...: the make below the shim is called as it was, and told what it was.
leaves() {
    run -0 make "$@"
    [ "${lines[*]}" = "$*${MAKEFLAGS+ ${MAKEFLAGS% --jobserver-auth=*}}" ]
}

@test 'what stays as it is: -j1, what builds nothing, what makes no sense, and where there is no jobserver' {
    fake_make
    leaves -j8 all
    below_fifo 2
    for options in -j1 '-kj1' '--jobs=1' '-j8 -n' '-nj8' '-j8 -q' '-j8 -p' '-j8 --just-print' '-j0' '-jx' \
        '-j8x' '--jobserver-auth=3,4 -j8' '-C -j8' '-- -j8' all; do
        # shellcheck disable=SC2086 # words
        leaves $options
    done
    export MAKEFLAGS=' -j3 --jobserver-auth=fifo:/no/such'
    run -0 make -j8
    [[ $output == *-j8* ]]
    export MAKEFLAGS=' -j3 --jobserver-auth=97,98'
    leaves -j8
}

@test 'what is left of the command line, and its exit status' {
    fake_make
    below_fifo 2
    run -0 make -k -j8 'a b' '' -C dir
    [ "${lines[0]}" = '-k a b  -C dir' ]
    run -0 make -j
    [ "${lines[0]}" != -j ]
    rm real/make
    printf 'all:; @exit 3\n' >Makefile
    run -2 make -j8
    [[ $output == *'Error 3'* ]]
    # What a makefile calls MAKE.
    printf 'all:; @echo $(MAKE)\n' >Makefile
    run -0 make -j8
    [ "$output" = make ]
}

@test 'MAKE_SHIM_CAP' {
    fake_make
    below_fifo 2
    MAKE_SHIM_CAP=no leaves -j8
    for value in '' yes; do
        MAKE_SHIM_CAP=$value run -0 make -j8
        [ "${lines[0]}" != -j8 ]
    done
    run -2 env MAKE_SHIM_CAP=maybe make -j8
    [ "$output" = "make-shim: MAKE_SHIM_CAP: 'maybe' is not yes or no" ]
}

@test 'a -j that a makefile gives itself: jobgate has its jobs wait' {
    at_once 3
    printf '%s\n' 'MAKEFLAGS += -j8' 'all: 1 2 3 4 5 6 7 8 9' \
        '1 2 3 4 5 6 7 8 9:; @"$(STAMP)" "$(LOG)" $@ 0.05' >Makefile
    export LOG
    below 3 "$BUILD/ninja-shim/jobgate" --jobs-of=make -- make
    exactly 3 9
}
