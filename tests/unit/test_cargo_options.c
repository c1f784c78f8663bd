/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What the shim for cargo reads in its command line. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ninja-shim/shims/cargo_options.h"

#define WORDS_MAX 16

static void
assert_read(const char *line, bool builds, unsigned jobs)
{
    char *copy = strdup(line), *rest = copy, *words[WORDS_MAX + 1] = {NULL};
    struct cargo_options options;

    for (size_t i = 0; i < WORDS_MAX && (words[i] = strsep(&rest, " ")); i++)
        ;
    cargo_options_read(&options, words);
    if (options.builds != builds || options.jobs != jobs)
        print_error("%s\n", line);
    assert_true(options.builds == builds);
    assert_int_equal(options.jobs, jobs);
    free(copy);
}

static void
test_commands(void **state)
{
    assert_read("cargo", false, 0);
    assert_read("cargo build", true, 0);
    assert_read("cargo b --release", true, 0);
    assert_read("cargo +nightly -v --color never -Z x test -- build", true, 0);
    assert_read("cargo --config build metadata", false, 0);
    assert_read("cargo --version", false, 0);
    assert_read("cargo fetch build", false, 0);
    assert_read("cargo -C build", false, 0);
    assert_read("cargo -- build", false, 0);
}

static void
test_jobs(void **state)
{
    assert_read("cargo build -j8", true, 8);
    assert_read("cargo build -j 8 --jobs=4", true, 4);
    assert_read("cargo build --jobs 3", true, 3);
    assert_read("cargo build -j=5", true, 5);
    assert_read("cargo build -j8 -j-1", true, 0);
    assert_read("cargo build -j default", true, 0);
    assert_read("cargo build -j", true, 0);
    assert_read("cargo test -j2 -- -j7", true, 2);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_jobs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
