#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# gcc -flto=jobserver below jobwrap: the linker's plugin starts a make of its own, which is a client
# of the jobserver. Compilers are stamped in the Makefile, and what runs at link time by an lto1 that
# gcc finds before its own.
# needs_the_plain_build: with sanitizers jobwrap-builds goes the same ways, in less time.

# shellcheck disable=SC2154 # common.bash sets spawned
load ../lib/bash/common

FILES=12

setup() {
    common_setup
    require gcc make
    lto1=$(gcc -print-prog-name=lto1)
    [ -x "$lto1" ] || missing 'a gcc without LTO'
    export LOG=$BATS_TEST_TMPDIR/log
    sources "$BATS_TEST_TMPDIR/tree"
    mkdir "$BATS_TEST_TMPDIR/bin"
    # The first to run, alone, is the one that divides the program.
    # shellcheck disable=SC2016 # the wrapper's
    printf '#!/bin/sh\nexec "%s" "$LOG" lto1 -- "%s" "$@"\n' "$STAMP" "$lto1" \
        >"$BATS_TEST_TMPDIR/bin/lto1"
    chmod +x "$BATS_TEST_TMPDIR/bin/lto1"
    export COMPILER_PATH=$BATS_TEST_TMPDIR/bin
}

# sources DIR: two programs that share their sources; each file becomes a job of the link.
sources() {
    local i
    mkdir "$1"
    for i in $(seq $FILES); do
        printf '__attribute__((noipa)) int f%d(int n) { int s = n; %s return s; }\n' "$i" \
            "for (int i = 0; i < n; i++) s += s * i ^ $i;" >"$1/f$i.c"
    done
    {
        printf 'int f%d(int);\n' $(seq $FILES)
        printf 'int main(int argc, char **argv) { (void)argv; return !(argc'
        printf ' + f%d(argc)' $(seq $FILES)
        printf '); }\n'
    } >"$1/main.c"
    # The make of a link needs the descriptors, as a sub-make does: hence the +.
    # shellcheck disable=SC2016 # make's
    printf '%s\n' 'objects := main.o $(patsubst %.c,%.o,$(wildcard f*.c))' 'all: one two' \
        'one two: $(objects)' \
        $'\t+@gcc -O1 -flto=jobserver -flto-partition=1to1 -o $@ $(objects)' \
        $'%.o: %.c\n\t@"$(STAMP)" "$(LOG)" cc -- gcc -O1 -flto -c -o $@ $<' >"$1/Makefile"
}

# No more than N at once, neither compiling nor linking, and N at the time of the links.
all_built_by() {
    "$LIB/concurrency" --expect-exactly "$1" "$LOG"
    grep ' lto1 ' "$LOG" >"$LOG.lto1"
    "$LIB/concurrency" --expect-exactly "$1" "$LOG.lto1"
    [ "$(grep -c '^end cc ' "$LOG")" = $((FILES + 1)) ]
    # A link each of all files, and who divides them.
    [ "$(wc -l <"$LOG.lto1")" = $((2 * 2 * (FILES + 2))) ]
}

# gcc says so if it could not use the jobserver.
build() {
    run -0 "$JOBWRAP" "$@" make -C "$BATS_TEST_TMPDIR/tree"
    [[ $output != *warning* && $output != *jobserver* && $output != *serial* ]]
}

@test 'jobwrap -j2 make, two links of 13 files by gcc -flto=jobserver: exactly 2 jobs' {
    at_once 2
    build -j2
    all_built_by 2
}

@test 'gcc -flto=jobserver below a FIFO of 3: exactly 3 jobs, and all tokens back' {
    at_once 3
    make_fifo "$BATS_TEST_TMPDIR/parent" 3
    build --parent="$BATS_TEST_TMPDIR/parent"
    all_built_by 3
    fifo_has "$BATS_TEST_TMPDIR/parent" 3
}

@test 'gcc -flto=jobserver below steved --jobs 3: exactly 3 jobs, and all tokens back' {
    at_once 3
    start_steved --jobs 3
    build --parent="$SERVER"
    all_built_by 3
    wait_for 10 steved_has free 3
    [ "$(steved_get reclaimed) $(steved_get dropped)" = '0 0' ]
}

@test 'a link that is interrupted: all tokens back' {
    make_fifo "$BATS_TEST_TMPDIR/parent" 3
    # Who divides the program has ended by then, and two of its parts wait for the signal.
    # shellcheck disable=SC2016 # the wrapper's
    printf '#!/bin/sh\ncase "$*" in\n*-fwpa*) exec "%s" "$@" ;;\nesac\nexec "%s" "$LOG" part 120\n' \
        "$lto1" "$STAMP" >"$BATS_TEST_TMPDIR/bin/lto1"
    spawn setsid env --default-signal=INT "$JOBWRAP" --parent="$BATS_TEST_TMPDIR/parent" \
        make -C "$BATS_TEST_TMPDIR/tree"
    wait_for 60 parts_run 3
    kill -s INT -- "-$spawned"
    wait_for 20 has_ended "$spawned"
    wait_for 20 fifo_has "$BATS_TEST_TMPDIR/parent" 3
    [ "$("$STAMP" --living "$LOG")" = 0 ]
}

# The files must have been compiled.
parts_run() {
    grep -q ' part ' "$LOG" 2>/dev/null && [ "$("$STAMP" --living "$LOG")" = "$1" ]
}
