#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# A CMake project and a meson project that find the shim: compilers and linkers are stamped, and never
# more of them run at once than there are tokens and a slot that is paid for. Alone, in a make, under
# jobwrap, under a bare FIFO.

# shellcheck disable=SC2154 # common.bash sets spawned
load common
load shim

FILES=24

setup() {
    shim_setup
    unset CMAKE_GENERATOR CMAKE_BUILD_PARALLEL_LEVEL NINJA CC CFLAGS LDFLAGS
    TREE=$BATS_TEST_TMPDIR/tree
    mkdir "$TREE"
    local i
    for i in $(seq $FILES); do
        printf '#include <stdio.h>\nint f%d(void);\nint f%d(void) { return puts(""); }\n' "$i" "$i" \
            >"$TREE/f$i.c"
    done
    printf 'int main(void) { return 0; }\n' >"$TREE/main.c"
}

stamped() {
    printf '%s;%s;%s;--' "$STAMP" "$LOG" "$1"
}

# The real one is what the shim finds, when cmake asks for its version, too.
with_cmake() {
    require cmake
    printf 'cmake_minimum_required(VERSION 3.21)\nproject(tree C)\nadd_executable(%s)\n' \
        "tree main.c $(seq -s ' ' -f 'f%g.c' $FILES)" >"$TREE/CMakeLists.txt"
    cmake -S "$TREE" -B "$TREE/build" -G Ninja -DCMAKE_MAKE_PROGRAM="$NINJA_SHIM" \
        -DCMAKE_C_COMPILER_LAUNCHER="$(stamped cc)" \
        -DCMAKE_C_LINKER_LAUNCHER="$(stamped ld)" >/dev/null
    BUILD_IT=(cmake --build "$TREE/build")
}

with_meson() {
    require meson
    PATH=${NINJA_SHIM%/*}:$PATH
    printf "project('tree', 'c')\nexecutable('tree', 'main.c', %s)\n" \
        "$(seq -s ', ' -f "'f%g.c'" $FILES)" >"$TREE/meson.build"
    CC="$STAMP $LOG cc -- cc" meson setup "$TREE/build" "$TREE" >/dev/null
    BUILD_IT=(meson compile -C "$TREE/build")
}

# builds N|none COMMAND...: all is compiled and linked, and N at once.
builds() {
    local most=$1
    shift
    touch "$TREE"/*.c
    rm -f "$TREE/build/tree"
    build gated "$@"
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
    wait_for 5 steved_has free 3
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
