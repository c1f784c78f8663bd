/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Which versions of ninja wait for tokens themselves. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ninja-shim/shims/ninja_version.h"

static void
test_waits(void **state)
{
    assert_true(ninja_version_is_proper_client("1.14.0\n"));
    assert_true(ninja_version_is_proper_client("1.14"));
    assert_true(ninja_version_is_proper_client("1.20.3\n"));
    assert_true(ninja_version_is_proper_client("2.0.0\n"));
}

static void
test_does_not_wait(void **state)
{
    const char *versions[] = {
        "1.13.2\n",
        "1.13.0.git.kitware.jobserver-pipe-1\n",
        "1.12.1\n",
        "1.9.0\n",
        "1.14.0.git\n",
        "0.99\n",
        "",
        "\n",
        "samurai 2.0",
        "1",
        "-1.14",
        "usage: ninja 1.14",
    };

    for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++)
        assert_false(ninja_version_is_proper_client(versions[i]));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waits),
        cmocka_unit_test(test_does_not_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
