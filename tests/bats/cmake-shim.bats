#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# The shim for cmake: `cmake --build` of a directory that was configured before, whose cache names the
# system's ninja or make by an absolute path.

# shellcheck disable=SC2154 # run sets status, output and stderr
load ../lib/bash/common

setup() {
    common_setup
    require cmake
    unset CMAKE_GENERATOR CMAKE_BUILD_PARALLEL_LEVEL CMAKE_SHIM_REAL NINJA_SHIM_GATE
    LOG=$BATS_TEST_TMPDIR/log
    cd "$BATS_TEST_TMPDIR" || return
    SYSTEM_CMAKE=$(command -v cmake)
}

# configured GENERATOR [CMAKE]: 12 jobs, in ./build.
configured() {
    local i
    printf 'cmake_minimum_required(VERSION 3.10)\nproject(x NONE)\n' >CMakeLists.txt
    for i in {1..12}; do
        printf 'add_custom_target(t%d ALL COMMAND "%s" "%s" t%d 0.1)\n' "$i" "$STAMP" "$LOG" "$i"
    done >>CMakeLists.txt
    "${2:-$SYSTEM_CMAKE}" -S . -B build -G "$1" >/dev/null
    ! grep -q '^CMAKE_MAKE_PROGRAM:.*shims' build/CMakeCache.txt
}

# built N ARGUMENT...: below jobwrap -jN: exactly so many jobs.
built() {
    rm -f "$LOG"
    "$JOBWRAP" -j"$1" --parent=none "${STYLE[@]}" -- cmake --build build "${@:2}" >/dev/null
    exactly "$1" 12
}

@test 'ninja: exactly the tokens, with and without -j' {
    require ninja
    configured Ninja
    at_once 2
    for options in '' -j8 -j '--parallel 8' '-- -j8' '-- -k 0 -j 8'; do
        # shellcheck disable=SC2086 # words
        built 2 $options
    done
}

@test 'ninja: all of a pool that is larger than its default, and -j as a cap' {
    require ninja
    configured Ninja
    STAMP_MEET=6 built 6
    rm "$LOG"
    STAMP_MEET=2 "$JOBWRAP" -j6 --parent=none -- cmake --build build --parallel 2 >/dev/null
    exactly 2 12
}

@test 'ninja: jobs of classes' {
    require ninja
    configured Ninja
    printf 'slow besides %s\n' "${STAMP##*/}" >rules
    STAMP_MEET=2 "$JOBWRAP" -j6 --parent=none --class slow=2 --class-rules=rules -- cmake --build build >/dev/null
    exactly 2 12
    rm "$LOG"
    printf 'far instead %s\n' "${STAMP##*/}" >rules
    STAMP_MEET=10 "$JOBWRAP" -j1 --parent=none --class far=10 --class-rules=rules -- cmake --build build >/dev/null
    exactly 10 12
}

# A cmake that is called by its name, or by the path of the shim, finds its modules.
@test 'configuring, by name and by path' {
    require make
    printf 'cmake_minimum_required(VERSION 3.10)\nproject(x NONE)\n' >CMakeLists.txt
    "$JOBWRAP" -j2 --parent=none -- cmake -S . -B one >/dev/null
    "$JOBWRAP" -j2 --parent=none -- sh -euc '"$(command -v cmake)" -S . -B two >/dev/null'
    cmp <(grep ^CMAKE_COMMAND one/CMakeCache.txt) <(grep ^CMAKE_COMMAND two/CMakeCache.txt)
    grep -qF "CMAKE_COMMAND:INTERNAL=$(readlink -f "$SYSTEM_CMAKE")" one/CMakeCache.txt
}

@test 'ninja by seccomp, and where no gate is allowed: -j1' {
    require ninja
    configured Ninja
    at_once 2
    NINJA_SHIM_GATE=seccomp built 2
    rm "$LOG"
    unset STAMP_MEET
    without_leak_checker
    run -0 --separate-stderr \
        "$JOBWRAP" -j2 --parent=none -- "$LIB/without-gates" refused cmake --build build
    [[ $stderr == 'cmake-shim: cannot hold jobs back ('*'); using -j1' ]]
    exactly 1 12
}

@test 'ninja 1.13, of whatever name: exactly the tokens' {
    local tool
    require_tool NINJA113
    configured Ninja
    cp "$NINJA113" another-one
    for tool in "$NINJA113" "$PWD/another-one"; do
        sed -i "s|^CMAKE_MAKE_PROGRAM:.*|CMAKE_MAKE_PROGRAM:FILEPATH=$tool|" build/CMakeCache.txt
        for STYLE in --style=fifo --style=pipe; do
            STAMP_MEET=2 built 2
            STAMP_MEET=4 built 4 -j8
        done
    done
}

@test 'make: exactly the tokens, with and without -j, in both styles' {
    configured 'Unix Makefiles'
    at_once 2
    for STYLE in --style=fifo --style=pipe; do
        for options in '' -j8 -j '--parallel 8' --parallel=8 '-- -kj8'; do
            # shellcheck disable=SC2086 # words
            built 2 $options
        done
    done
}

@test 'CMAKE_BUILD_PARALLEL_LEVEL of whoever runs jobwrap, and of a script below it' {
    configured 'Unix Makefiles'
    at_once 2
    CMAKE_BUILD_PARALLEL_LEVEL=8 built 2
    rm "$LOG"
    "$JOBWRAP" -j2 --parent=none -- \
        env CMAKE_BUILD_PARALLEL_LEVEL=8 cmake --build build >/dev/null
    exactly 2 12
    rm "$LOG"
    # Without a shim, too.
    CMAKE_BUILD_PARALLEL_LEVEL=8 \
        "$JOBWRAP" -j2 --no-shims --style=pipe --parent=none -- cmake --build build >/dev/null
    exactly 2 12
}

@test 'CMake 4, both: exactly the tokens' {
    require ninja
    require_tool CTEST
    CMAKE_SHIM_REAL=$(dirname "$(readlink -f "$CTEST")")/cmake
    export CMAKE_SHIM_REAL
    at_once 2
    for generator in Ninja 'Unix Makefiles'; do
        rm -rf build
        configured "$generator" "$CMAKE_SHIM_REAL"
        built 2
        built 2 -j8
    done
}

@test 'in a recipe without a +: exactly the tokens' {
    require ninja
    printf 'all:\n\t@cmake --build build -j8 >/dev/null\n' >Makefile
    at_once 2
    for generator in Ninja 'Unix Makefiles'; do
        rm -rf build
        configured "$generator"
        rm -f "$LOG"
        "$JOBWRAP" -j2 --parent=none -- make
        exactly 2 12
    done
}

@test 'a build that fails: the status of cmake alone, and all tokens back' {
    require ninja
    printf 'cmake_minimum_required(VERSION 3.10)\nproject(x NONE)\n%s\n' \
        'add_custom_target(t ALL COMMAND sh -c "exit 3")' >CMakeLists.txt
    for generator in Ninja 'Unix Makefiles'; do
        rm -rf build
        "$SYSTEM_CMAKE" -S . -B build -G "$generator" >/dev/null
        status=0
        "$SYSTEM_CMAKE" --build build >/dev/null 2>&1 || status=$?
        [ "$status" != 0 ]
        below_fifo 2
        run -"$status" env PATH="$BUILD/jobwrap/shims:$PATH" cmake --build build -j4
        wait_for 10 fifo_has "$PARENT" 2
    done
}

# A cmake that shows how it is called.
fake_cmake() {
    mkdir -p real build
    printf '#!/bin/sh\nfor word; do printf "[%%s]" "$word"; done\necho "$CMAKE_BUILD_PARALLEL_LEVEL"\n' >real/cmake
    chmod +x real/cmake
    printf 'CMAKE_GENERATOR:INTERNAL=%s\nCMAKE_MAKE_PROGRAM:FILEPATH=%s\n' "$1" "$2" >build/CMakeCache.txt
    PATH=$BUILD/jobwrap/shims:$PWD/real:$PATH
}

# called EXPECTED ARGUMENT...
called() {
    run -0 cmake "${@:2}"
    [ "$output" = "$1" ]
}

@test 'what the real one is called with' {
    fake_cmake 'Unix Makefiles' /usr/bin/make
    called '[--build][build][-j8]' --build build -j8
    below_fifo 2
    called '[-S][.][-B][build]' -S . -B build
    called '[--build][build][--target][all]' --build build -j8 --target all
    called '[--build][build][--target][all][--][-k]' --build build --target all --parallel -- -k -j8
    called '[--build][build][-j1]' --build build -j1
    called '[--build][build][-jx]' --build build -jx
    called '[--build][none][-j8]' --build none -j8
    called '[--build][--preset][x][-j8]' --build --preset x -j8
    CMAKE_BUILD_PARALLEL_LEVEL=8 called '[--build][build]' --build build
    MAKE_SHIM_CAP=no called '[--build][build][-j8]' --build build -j8
    # A build directory that names a shim.
    fake_cmake Ninja "$BUILD/jobwrap/shims/ninja"
    called '[--build][build][-j8]' --build build -j8
    fake_cmake Ninja /usr/bin/ninja
    called '[--build][build][-t][a][--][-j8]' --build build -j 8 -t a
    called '[--build][build][--][-j5][-v]' --build build --parallel=5 -- -v
    called '[--build][build][--][-n]' --build build -- -n
    NINJA_SHIM_GATE=none called '[--build][build][-j8]' --build build -j8
    fake_cmake Xcode /usr/bin/xcodebuild
    called '[--build][build][-j8]' --build build -j8
}
