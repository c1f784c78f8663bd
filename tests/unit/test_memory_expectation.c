/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What is expected from what is known. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "libjobserver/memory/expectation.h"

static void
assert_expected(struct memory_expectation expectation, uint64_t bytes, enum memory_source source)
{
    assert_int_equal(expectation.bytes, bytes);
    assert_int_equal(expectation.source, source);
}

static void
test_the_largest_of_the_same_command(void **state)
{
    const struct memory_record records[] = {{100, 7}, {300, 7}, {200, 7}};

    assert_expected(memory_expect(records, 3, 7, 5, 6), 300, MEMORY_FROM_COMMAND);
    assert_expected(memory_expect(records, 1, 7, 5, 6), 100, MEMORY_FROM_COMMAND);
}

static void
test_another_command_needs_a_quarter_more(void **state)
{
    const struct memory_record records[] = {{100, 7}, {400, 8}, {200, 9}};

    assert_expected(memory_expect(records, 3, 1, 5, 6), 500, MEMORY_FROM_PATH);
    /* One that is the same tells more than a larger one that is not. */
    assert_expected(memory_expect(records, 3, 9, 5, 6), 200, MEMORY_FROM_COMMAND);
}

static void
test_the_tool(void **state)
{
    assert_expected(memory_expect(NULL, 0, 1, 5, 6), 5, MEMORY_FROM_PACKAGE);
    assert_expected(memory_expect(NULL, 0, 1, 0, 6), 6, MEMORY_FROM_TOOL);
    assert_expected(memory_expect(NULL, 0, 1, 0, 0), 0, MEMORY_FROM_NOTHING);
}

static void
test_nonsense_is_bounded(void **state)
{
    const struct memory_record records[] = {{UINT64_MAX, 7}};

    assert_expected(memory_expect(records, 1, 7, 0, 0), MEMORY_BYTES_MAX, MEMORY_FROM_COMMAND);
    assert_expected(memory_expect(records, 1, 8, 0, 0), MEMORY_BYTES_MAX, MEMORY_FROM_PATH);
    assert_expected(memory_expect(NULL, 0, 8, UINT64_MAX, 0), MEMORY_BYTES_MAX,
                    MEMORY_FROM_PACKAGE);
}

static void
test_median(void **state)
{
    struct memory_peaks peaks = {0};

    assert_int_equal(memory_peaks_median(&peaks), 0);
    memory_peaks_add(&peaks, 30);
    assert_int_equal(memory_peaks_median(&peaks), 30);
    memory_peaks_add(&peaks, 10);
    memory_peaks_add(&peaks, 20);
    assert_int_equal(memory_peaks_median(&peaks), 20);
    memory_peaks_add(&peaks, UINT64_MAX);
    assert_int_equal(memory_peaks_median(&peaks), 30);
}

static void
test_old_peaks_give_way(void **state)
{
    struct memory_peaks peaks = {0};

    for (unsigned i = 0; i < MEMORY_PEAKS; i++)
        memory_peaks_add(&peaks, 1);
    for (unsigned i = 0; i <= MEMORY_PEAKS / 2; i++)
        memory_peaks_add(&peaks, 9);
    assert_int_equal(memory_peaks_median(&peaks), 9);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_largest_of_the_same_command),
        cmocka_unit_test(test_another_command_needs_a_quarter_more),
        cmocka_unit_test(test_the_tool),
        cmocka_unit_test(test_nonsense_is_bounded),
        cmocka_unit_test(test_median),
        cmocka_unit_test(test_old_peaks_give_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
