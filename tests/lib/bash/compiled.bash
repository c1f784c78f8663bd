# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
# A small C project, besides common.bash, which CMake or meson configures: its compilers and linkers
# are stamped in $LOG.

FILES=12 # besides main.c

# make_sources: a project in $TREE that is not configured yet.
make_sources() {
    local i
    unset CMAKE_GENERATOR CMAKE_BUILD_PARALLEL_LEVEL NINJA CC CFLAGS LDFLAGS
    TREE=$BATS_TEST_TMPDIR/tree
    mkdir "$TREE"
    for i in $(seq $FILES); do
        printf '#include <stdio.h>\nint f%d(void);\nint f%d(void) { return puts(""); }\n' "$i" "$i" \
            >"$TREE/f$i.c"
    done
    printf 'int main(void) { return 0; }\n' >"$TREE/main.c"
}

launcher() {
    printf '%s;%s;%s;--' "$STAMP" "$LOG" "$1"
}

# configure_cmake GENERATOR [OPTION...]: for `cmake --build "$TREE/build"`.
configure_cmake() {
    require cmake
    printf 'cmake_minimum_required(VERSION 3.21)\nproject(tree C)\nadd_executable(%s)\n' \
        "tree main.c $(seq -s ' ' -f 'f%g.c' $FILES)" >"$TREE/CMakeLists.txt"
    cmake -S "$TREE" -B "$TREE/build" -G "$@" -DCMAKE_C_COMPILER_LAUNCHER="$(launcher cc)" \
        -DCMAKE_C_LINKER_LAUNCHER="$(launcher ld)" >/dev/null
    rm -f "$LOG"
}

# configure_meson: for `meson compile -C "$TREE/build"`.
configure_meson() {
    require meson
    printf "project('tree', 'c')\nexecutable('tree', 'main.c', %s)\n" \
        "$(seq -s ', ' -f "'f%g.c'" $FILES)" >"$TREE/meson.build"
    CC="$STAMP $LOG cc -- cc" meson setup "$TREE/build" "$TREE" >/dev/null
    # The compiler was tried.
    rm -f "$LOG"
}
