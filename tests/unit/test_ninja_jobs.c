/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Which -j the shim gives ninja. */

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ninja-shim/shims/ninja_jobs.h"

static struct ninja_jobs
unlimited(unsigned cpus, unsigned pool)
{
    return (struct ninja_jobs){
        .cpus = cpus, .pool = pool, .descriptors = UINT_MAX, .processes_left = UINT_MAX};
}

static unsigned
wide(unsigned cpus, unsigned pool)
{
    const struct ninja_jobs jobs = unlimited(cpus, pool);

    return ninja_jobs_wide(&jobs);
}

static unsigned
narrow(unsigned cpus, unsigned pool)
{
    const struct ninja_jobs jobs = unlimited(cpus, pool);

    return ninja_jobs_narrow(&jobs);
}

static void
test_default_is_that_of_ninja(void **state)
{
    assert_int_equal(ninja_jobs_default(1), 2);
    assert_int_equal(ninja_jobs_default(2), 3);
    assert_int_equal(ninja_jobs_default(3), 5);
    assert_int_equal(ninja_jobs_default(64), 66);
}

static void
test_wide_is_four_times_the_larger(void **state)
{
    assert_int_equal(wide(2, 2), 12);
    assert_int_equal(wide(2, 8), 32);
    assert_int_equal(wide(8, 4), 40);
}

static void
test_wide_is_at_most_64_beyond_the_pool(void **state)
{
    assert_int_equal(wide(2, 30), 94);
    assert_int_equal(wide(64, 16), 80);
    assert_int_equal(wide(2, 1000000), 1000064);
}

static void
test_jobs_that_wait_for_memory_are_32_at_least(void **state)
{
    struct ninja_jobs jobs = unlimited(2, 2);

    jobs.wait_for_memory = true;
    assert_int_equal(ninja_jobs_wide(&jobs), 32);
    jobs.pool = 9;
    assert_int_equal(ninja_jobs_wide(&jobs), 36);
    jobs.processes_left = 40;
    assert_int_equal(ninja_jobs_wide(&jobs), 10);
}

static void
test_where_nobody_knows_the_pool(void **state)
{
    assert_int_equal(wide(2, 0), 12);
    assert_int_equal(wide(64, 0), 130);
    assert_int_equal(narrow(2, 0), 3);
    assert_int_equal(narrow(64, 0), 66);
}

static void
test_narrow_is_one_more_than_can_run(void **state)
{
    assert_int_equal(narrow(2, 2), 3);
    assert_int_equal(narrow(2, 8), 9);
    assert_int_equal(narrow(8, 4), 10);
}

static void
test_descriptors(void **state)
{
    struct ninja_jobs jobs = unlimited(2, 1000);

    jobs.descriptors = 256;
    assert_int_equal(ninja_jobs_wide(&jobs), 192);
    assert_int_equal(ninja_jobs_narrow(&jobs), 192);
    jobs.descriptors = 20;
    assert_int_equal(ninja_jobs_wide(&jobs), 1);
    jobs = unlimited(2, 2);
    jobs.descriptors = 256;
    assert_int_equal(ninja_jobs_wide(&jobs), 12);
}

static void
test_processes(void **state)
{
    struct ninja_jobs jobs = unlimited(2, 1000);

    jobs.processes_left = 100;
    assert_int_equal(ninja_jobs_wide(&jobs), 25);
    assert_int_equal(ninja_jobs_narrow(&jobs), 25);
    jobs.processes_left = 0;
    assert_int_equal(ninja_jobs_wide(&jobs), 1);
    jobs.processes_left = ninja_jobs_processes_wanted(&jobs);
    assert_int_equal(ninja_jobs_wide(&jobs), 1064);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_default_is_that_of_ninja),
        cmocka_unit_test(test_wide_is_four_times_the_larger),
        cmocka_unit_test(test_wide_is_at_most_64_beyond_the_pool),
        cmocka_unit_test(test_jobs_that_wait_for_memory_are_32_at_least),
        cmocka_unit_test(test_where_nobody_knows_the_pool),
        cmocka_unit_test(test_narrow_is_one_more_than_can_run),
        cmocka_unit_test(test_descriptors),
        cmocka_unit_test(test_processes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
