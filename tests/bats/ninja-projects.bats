#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# A CMake project and a meson project that find the shim: compilers and linkers are stamped, and never
# more of them run at once than there are tokens and a slot that is paid for. Alone, in a make, under
# jobwrap, under a bare FIFO.
# needs_the_plain_build: with sanitizers the other files about ninja go the same ways, in less time.

# shellcheck disable=SC2154 # common.bash sets spawned
load ../lib/bash/common
load ../lib/bash/shim
load ../lib/bash/compiled

setup() {
    shim_setup
    make_sources
}

# The real one is what the shim finds, when cmake asks for its version, too.
with_cmake() {
    configure_cmake Ninja -DCMAKE_MAKE_PROGRAM="$NINJA_SHIM"
    BUILD_IT=(cmake --build "$TREE/build")
}

with_meson() {
    PATH=${NINJA_SHIM%/*}:$PATH
    configure_meson
    BUILD_IT=(meson compile -C "$TREE/build")
}

# builds N|none COMMAND...: all is compiled and linked, and N at once.
builds() {
    local most=$1
    shift
    touch "$TREE"/*.c
    rm -f "$TREE/build/tree"
    [ "$most" = none ] || at_once "$most"
    build gated "$@"
    unset STAMP_MEET
    tail -n 5 gated.raw
    [ "$(cat gated.status)" = 0 ]
    [ -x "$TREE/build/tree" ]
    if [ "$most" = none ]; then
        "$LIB/concurrency" --expect-jobs $((FILES + 2)) "$LOG"
    else
        exactly "$most" $((FILES + 2))
    fi
}

# everywhere: by what with_cmake or with_meson has left in BUILD_IT.
everywhere() {
    builds none "${BUILD_IT[@]}"
    builds 3 "$JOBWRAP" -j3 -- "${BUILD_IT[@]}"
    below_fifo 2
    builds 3 "${BUILD_IT[@]}"
    all_back 2
    below_pipe 2
    builds 3 "${BUILD_IT[@]}"
    all_back 2
    unset MAKEFLAGS
    printf 'all:\n\t+@%s\n' "${BUILD_IT[*]}" >Makefile
    require_tool MAKE441
    for make in make "$MAKE441"; do
        builds 3 "$make" -j3
        run ! grep -i 'jobserver\|tokens' gated.raw
    done
    start_steved --jobs 3
    export MAKEFLAGS="--jobserver-auth=fifo:$SERVER"
    builds 3 "${BUILD_IT[@]}"
    wait_for 10 steved_has free 3
    [ "$(steved_get reclaimed) $(steved_get dropped)" = '0 0' ]
}

# broken: a build that fails ends with the status that it has without a jobserver, and all tokens back.
broken() {
    local alone=0
    unset MAKEFLAGS
    echo '#error broken' >>"$TREE/f7.c"
    NINJA_SHIM_GATE=none "${BUILD_IT[@]}" >alone.raw 2>&1 || alone=$?
    below_fifo 2
    build gated "${BUILD_IT[@]}"
    grep -q '#error broken' gated.raw
    [ "$(cat gated.status)" = "$alone" ]
    all_back 2
}

@test 'CMake, ninja 1.11' {
    use_ninja 1.11
    with_cmake
    everywhere
    broken
}

@test 'CMake, ninja 1.13' {
    use_ninja 1.13
    with_cmake
    everywhere
    broken
}

@test 'CMake, ninja 1.12, the seccomp gate' {
    export NINJA_SHIM_GATE=seccomp
    use_ninja 1.12
    with_cmake
    everywhere
}

@test 'meson, ninja 1.11' {
    use_ninja 1.11
    with_meson
    everywhere
    broken
}

@test 'meson, ninja 1.13' {
    use_ninja 1.13
    with_meson
    everywhere
    broken
}
