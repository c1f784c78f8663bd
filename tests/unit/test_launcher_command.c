/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What the shims for launchers of compile farms read in their command lines. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ninja-shim/shims/launcher_command.h"

#define WORDS_MAX 24

static void
assert_compiles(const char *line, bool compiles)
{
    char *copy = strdup(line), *rest = copy, *words[WORDS_MAX + 1] = {NULL};

    for (size_t i = 0; i < WORDS_MAX && (words[i] = strsep(&rest, " ")); i++)
        ;
    if (launcher_compiles(words) != compiles)
        print_error("%s\n", line);
    assert_true(launcher_compiles(words) == compiles);
    free(copy);
}

static void
test_compiles(void **state)
{
    assert_compiles("icecc g++ -O2 -c -o a.o a.cc", true);
    assert_compiles("distcc -c a.c", true);
    assert_compiles("recc gcc -MD -MF a.d -c a.c", true);
    assert_compiles("g++ -S a.cc", true);
    assert_compiles("sccache rustc --crate-name a --emit=dep-info,metadata,link a.rs", true);
    assert_compiles("sccache rustc --crate-name a --emit obj a.rs", true);
}

static void
test_does_not(void **state)
{
    static const char *const lines[] = {
        "icecc",
        "icecc --help",
        "icecc --build-native",
        "icecc g++ --version",
        "icecc g++ -E a.cc",
        "icecc g++ -E -c a.cc",
        "distcc -j",
        "distcc gcc -M a.c",
        "gcc -dumpversion",
        "gcc -print-prog-name=ld",
        "c++ -o prog a.o b.o",
        "sccache --show-stats",
        "sccache rustc -vV",
        "sccache rustc - --crate-name ___ --print=file-names --crate-type bin --emit=link",
    };

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        assert_compiles(lines[i], false);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compiles),
        cmocka_unit_test(test_does_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
