#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Real builds under jobwrap: never more jobs than tokens, and all of them used. 60 jobs in three levels
# of sub-makes prove it by their own stamps.

# shellcheck disable=SC2154 # common.bash sets spawned, run sets status
load ../lib/bash/common

tree() {
    "$LIB/make-tree" "$@" "$BATS_TEST_TMPDIR/tree" 0.03
    LOG=$BATS_TEST_TMPDIR/tree/log
}

# A recipe that is a client, as any sub-make is.
outer_makefile() {
    printf 'all:\n\t+@%s\n' "$*" >"$BATS_TEST_TMPDIR/outer.mk"
}

@test 'jobwrap -j4 make, the system one: exactly 4 jobs' {
    at_once 4
    tree
    "$JOBWRAP" -j4 make -C "$BATS_TEST_TMPDIR/tree"
    exactly 4 60
}

@test 'jobwrap -j4 make 4.4.1, by path and by descriptors: exactly 4 jobs' {
    require_tool MAKE441
    at_once 4
    tree
    for style in fifo pipe auto; do
        rm -f "$LOG"
        "$JOBWRAP" -j4 --style=$style "$MAKE441" -C "$BATS_TEST_TMPDIR/tree"
        exactly 4 60 "$LOG"
    done
}

@test 'jobwrap -j4 cmake --build: exactly 4 jobs' {
    require cmake
    at_once 4
    tree --cmake
    cmake -S "$BATS_TEST_TMPDIR/tree" -B "$BATS_TEST_TMPDIR/tree/build" -G 'Unix Makefiles' >/dev/null
    "$JOBWRAP" -j4 cmake --build "$BATS_TEST_TMPDIR/tree/build" >/dev/null
    exactly 4 60
}

@test 'jobwrap -j1: one job at a time' {
    "$LIB/make-tree" "$BATS_TEST_TMPDIR/tree" 0
    "$JOBWRAP" -j1 make -C "$BATS_TEST_TMPDIR/tree"
    LOG=$BATS_TEST_TMPDIR/tree/log exactly 1 60
}

@test 'jobwrap in jobwrap in jobwrap: exactly 4 jobs' {
    at_once 4
    tree
    "$JOBWRAP" -j4 "$JOBWRAP" "$JOBWRAP" make -C "$BATS_TEST_TMPDIR/tree"
    exactly 4 60
}

@test 'jobwrap below make -j4, the system one: exactly 4 jobs' {
    at_once 4
    tree
    outer_makefile "$JOBWRAP" make -C "$BATS_TEST_TMPDIR/tree"
    make -j4 -f "$BATS_TEST_TMPDIR/outer.mk"
    exactly 4 60
}

@test 'jobwrap below make 4.4.1 -j4: exactly 4 jobs, and its jobserver is whole afterwards' {
    require_tool MAKE441
    at_once 4
    tree
    # shellcheck disable=SC2016 # make's
    printf '%s\n' 'all: after' \
        'wrapped:' $'\t+@"$(JOBWRAP)" $(MAKE) -C "$(TREE)"' \
        'after: wrapped' $'\t+@$(MAKE) -C "$(TREE)"' >"$BATS_TEST_TMPDIR/outer.mk"
    "$MAKE441" -j4 -f "$BATS_TEST_TMPDIR/outer.mk" TREE="$BATS_TEST_TMPDIR/tree" 2>&1 |
        tee "$BATS_TEST_TMPDIR/out"
    # make says so if a token is missing or too many.
    run ! grep -i 'token\|jobserver' "$BATS_TEST_TMPDIR/out"
    exactly 4 120
}

@test 'jobwrap in make in jobwrap, mixed makes: exactly 4 jobs' {
    require_tool MAKE441
    at_once 4
    tree
    outer_makefile "$JOBWRAP" make -C "$BATS_TEST_TMPDIR/tree"
    "$JOBWRAP" -j4 "$MAKE441" -f "$BATS_TEST_TMPDIR/outer.mk"
    exactly 4 60
}

@test 'a recipe without + : JOBWRAP_FIFO is used where make shows descriptors that it has closed' {
    at_once 4
    tree
    # shellcheck disable=SC2016 # make's
    printf 'all:\n\t@"$(JOBWRAP)" $(SUBMAKE) -C "$(TREE)"\n' >"$BATS_TEST_TMPDIR/outer.mk"
    "$JOBWRAP" -j4 --style=pipe make -f "$BATS_TEST_TMPDIR/outer.mk" SUBMAKE=make \
        TREE="$BATS_TEST_TMPDIR/tree"
    exactly 4 60
}

@test '-j2 below a parent of 8: exactly 2 jobs' {
    at_once 2
    tree
    "$JOBWRAP" -j8 "$JOBWRAP" -j2 make -C "$BATS_TEST_TMPDIR/tree"
    exactly 2 60
}

# two_builds PARENT: at once.
two_builds() {
    LOG=$BATS_TEST_TMPDIR/log
    "$LIB/make-tree" "$BATS_TEST_TMPDIR/tree1" 0.03 "$LOG"
    "$LIB/make-tree" "$BATS_TEST_TMPDIR/tree2" 0.03 "$LOG"
    spawn "$JOBWRAP" --parent="$1" make -C "$BATS_TEST_TMPDIR/tree1"
    one=$spawned
    spawn "$JOBWRAP" --parent="$1" make -C "$BATS_TEST_TMPDIR/tree2"
    status_of "$one"
    [ "$status" = 0 ]
    status_of "$spawned"
    [ "$status" = 0 ]
}

@test 'two builds at once on a FIFO of 4: together exactly 4 jobs, and all tokens back' {
    at_once 4
    make_fifo "$BATS_TEST_TMPDIR/parent" 4
    two_builds "$BATS_TEST_TMPDIR/parent"
    exactly 4 120
    fifo_has "$BATS_TEST_TMPDIR/parent" 4
}

@test 'two builds at once under one steved --jobs 4: together exactly 4 jobs, and all tokens back' {
    at_once 4
    start_steved --jobs 4
    two_builds "$SERVER"
    exactly 4 120
    wait_for 10 steved_has free 4
}

@test 'a pool that is found by itself: the steved in XDG_RUNTIME_DIR' {
    at_once 3
    mkdir "$XDG_RUNTIME_DIR/steve"
    require_fuse
    STEVED_MOUNTS+=("$XDG_RUNTIME_DIR/steve")
    spawn "$STEVED" --mount "$XDG_RUNTIME_DIR/steve" --jobs 3
    wait_for 10 test -e "$XDG_RUNTIME_DIR/steve/jobserver"
    tree
    "$JOBWRAP" make -C "$BATS_TEST_TMPDIR/tree"
    exactly 3 60
}

@test 'make with 40 tokens: a FIFO has 16 slots, and nobody hangs' {
    "$LIB/make-tree" "$BATS_TEST_TMPDIR/tree" 0.05
    outer_makefile "$JOBWRAP" "$JOBWRAP" make -C "$BATS_TEST_TMPDIR/tree"
    timeout 100 make -j40 -f "$BATS_TEST_TMPDIR/outer.mk"
    "$LIB/concurrency" --expect-max 40 --expect-jobs 60 "$BATS_TEST_TMPDIR/tree/log"
}

@test 'the report: as text and as JSON' {
    tree
    STAMP_MEET=4 run --separate-stderr "$JOBWRAP" -j4 --report make -C "$BATS_TEST_TMPDIR/tree"
    [ "$status" = 0 ]
    # shellcheck disable=SC2154 # bats sets it
    [[ $stderr == *'jobs at once: '*' on average, 4 at most'* ]]
    rm "$LOG"
    make_fifo "$BATS_TEST_TMPDIR/parent" 3
    STAMP_MEET=3 "$JOBWRAP" --parent="$BATS_TEST_TMPDIR/parent" --report="$BATS_TEST_TMPDIR/report" \
        make -C "$BATS_TEST_TMPDIR/tree"
    python3 - "$BATS_TEST_TMPDIR/report" <<-'END'
		import json, sys
		report = json.load(open(sys.argv[1]))
		assert report["highest_jobs"] == 3, report
		assert report["borrowed_at_once"] == 3, report
		assert 1.5 < report["mean_jobs"] <= 3, report
		assert 0.3 < report["starved_s"] <= report["wall_s"], report
		assert report["lost"] == report["dropped"] == 0, report
		assert "memory" not in report, report
	END
    [ "$(find "$BATS_TEST_TMPDIR" -maxdepth 1 -name 'report*' | wc -l)" = 1 ]
}

@test 'a report to what is no regular file is written through it, and never replaces it' {
    cd "$BATS_TEST_TMPDIR" || return
    mkfifo fifo
    echo old >real
    ln -s real link
    # A FIFO of the test's own stands for a device: nothing of the system is at stake.
    spawn cat fifo >seen
    "$JOBWRAP" -j2 --report=fifo true
    wait_for 10 grep -q '"jobs": *2' seen
    [ -p fifo ]
    "$JOBWRAP" -j2 --report=link true
    [ -L link ]
    grep -q '"jobs": *2' real
    # What the build has said there is not written over.
    "$JOBWRAP" -j2 --report=/dev/stdout echo said >out
    [ "$(head -n 1 out)" = said ]
    grep -q '"jobs": *2' out
    run -125 "$JOBWRAP" --report=/no/such/file true
    [[ $output == 'jobwrap: write /no/such/file: '* ]]
}
