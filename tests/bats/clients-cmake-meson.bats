#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# cmake --build, with Makefiles and with ninja 1.13, and meson compile, which has ninja only: compilers
# and linkers are stamped. ninja 1.13 is a client, though one that tries for a token only when one of
# its jobs ends; it takes `fifo:` alone.
# needs_the_plain_build: with sanitizers jobwrap-builds goes the same ways, in less time.

# shellcheck disable=SC2154 # common.bash sets spawned
load ../lib/bash/common
load ../lib/bash/compiled

setup() {
    common_setup
    LOG=$BATS_TEST_TMPDIR/log
    make_sources
}

with_cmake_and_ninja() {
    require_tool NINJA113
    configure_cmake Ninja -DCMAKE_MAKE_PROGRAM="$NINJA113"
}

with_meson() {
    require_tool NINJA113
    export NINJA=$NINJA113
    configure_meson
}

# All were compiled and linked, never more than N at once, and N at times (exactly) or not (max).
all_built_by() {
    "$LIB/concurrency" "--expect-${2:-exactly}" "$1" --expect-jobs $((FILES + 2)) "$LOG"
    [ -x "$TREE/build/tree" ]
}

# at_parents STYLE COMMAND...: below a FIFO of 3, and below steved --jobs 3. Of a FIFO that is empty jobwrap cannot
# know whether others wait there: what has lain untouched for a while goes home. Jobs of ninja 1.13 that last longer
# than that hardly ever see the third token.
at_parents() {
    local style=$1 reached=exactly
    shift
    [ "$style" = auto ] || reached=max
    make_fifo "$BATS_TEST_TMPDIR/parent" 3
    "$JOBWRAP" --style="$style" --parent="$BATS_TEST_TMPDIR/parent" "$@" >/dev/null
    all_built_by 3 "$reached"
    fifo_has "$BATS_TEST_TMPDIR/parent" 3

    rm -f "$LOG"
    touch "$TREE"/*.c
    start_steved --jobs 3
    "$JOBWRAP" --style="$style" --parent="$SERVER" "$@" >/dev/null
    all_built_by 3
    wait_for 10 steved_has free 3
    [ "$(steved_get reclaimed) $(steved_get dropped)" = '0 0' ]
}

@test 'jobwrap -j3 cmake --build, Makefiles: exactly 3 jobs' {
    at_once 3
    configure_cmake 'Unix Makefiles'
    "$JOBWRAP" -j3 cmake --build "$TREE/build" >/dev/null
    all_built_by 3
}

@test 'cmake --build, Makefiles, below a FIFO and steved: exactly 3 jobs, and all tokens back' {
    at_once 3
    configure_cmake 'Unix Makefiles'
    at_parents auto cmake --build "$TREE/build"
}

@test 'jobwrap -j3 cmake --build, ninja 1.13: exactly 3 jobs' {
    with_cmake_and_ninja
    "$JOBWRAP" -j3 --style=fifo cmake --build "$TREE/build" >/dev/null
    all_built_by 3
}

@test 'cmake --build, ninja 1.13, below a FIFO and steved: 3 jobs, and all tokens back' {
    with_cmake_and_ninja
    at_parents fifo cmake --build "$TREE/build"
}

@test 'jobwrap -j3 meson compile, ninja 1.13: exactly 3 jobs' {
    with_meson
    "$JOBWRAP" -j3 --style=fifo meson compile -C "$TREE/build" >/dev/null
    all_built_by 3
}

@test 'meson compile, ninja 1.13, below a FIFO and steved: 3 jobs, and all tokens back' {
    with_meson
    at_parents fifo meson compile -C "$TREE/build"
}

@test 'builds that fail: their status, and all tokens back' {
    with_cmake_and_ninja
    echo '#error broken' >>"$TREE/f7.c"
    make_fifo "$BATS_TEST_TMPDIR/parent" 3
    run -1 "$JOBWRAP" --style=fifo --parent="$BATS_TEST_TMPDIR/parent" cmake --build "$TREE/build"
    [[ $output == *'#error broken'* ]]
    fifo_has "$BATS_TEST_TMPDIR/parent" 3
    rm -rf "$TREE/build"
    configure_cmake 'Unix Makefiles'
    run -2 "$JOBWRAP" --parent="$BATS_TEST_TMPDIR/parent" cmake --build "$TREE/build"
    [[ $output == *'#error broken'* ]]
    fifo_has "$BATS_TEST_TMPDIR/parent" 3
    "$LIB/concurrency" --expect-max 3 "$LOG"
}

@test 'cmake, meson and make at once below steved --jobs 4: together exactly 4 jobs' {
    configure_cmake 'Unix Makefiles'
    cp -r "$TREE" "$TREE.meson" && rm -rf "$TREE.meson/build"
    cmake_tree=$TREE TREE=$TREE.meson
    with_meson
    "$LIB/make-tree" "$BATS_TEST_TMPDIR/made" 0.05 "$LOG"
    start_steved --jobs 4
    spawn "$JOBWRAP" --parent="$SERVER" cmake --build "$cmake_tree/build" && one=$spawned
    spawn "$JOBWRAP" --style=fifo --parent="$SERVER" meson compile -C "$TREE/build" && two=$spawned
    # Whatever the others do: it has all four in the end.
    STAMP_MEET=4 "$JOBWRAP" --parent="$SERVER" make -C "$BATS_TEST_TMPDIR/made"
    status_of "$one" 60
    [ "$status" = 0 ]
    status_of "$two" 60
    [ "$status" = 0 ]
    "$LIB/concurrency" --expect-exactly 4 --expect-jobs $((60 + 2 * (FILES + 2))) "$LOG"
    wait_for 10 steved_has free 4
}
