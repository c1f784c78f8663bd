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

#define TYPICAL(bytes) ((struct memory_typical){(bytes) / 2, bytes})
#define NONE TYPICAL(0)
#define FIVE TYPICAL(5)
#define SIX TYPICAL(6)

static void
test_the_largest_of_the_same_command(void **state)
{
    const struct memory_record records[] = {{100, 7}, {300, 7}, {200, 7}};

    assert_expected(memory_expect(records, 3, 7, FIVE, SIX), 300, MEMORY_FROM_COMMAND);
    assert_expected(memory_expect(records, 1, 7, FIVE, SIX), 100, MEMORY_FROM_COMMAND);
}

static void
test_another_command_needs_a_quarter_more(void **state)
{
    const struct memory_record records[] = {{100, 7}, {400, 8}, {200, 9}};

    assert_expected(memory_expect(records, 3, 1, FIVE, SIX), 500, MEMORY_FROM_PATH);
    assert_int_equal(memory_expect(records, 3, 1, FIVE, SIX).bold_bytes, 500);
    /* One that is the same tells more than a larger one that is not. */
    assert_expected(memory_expect(records, 3, 9, FIVE, SIX), 200, MEMORY_FROM_COMMAND);
}

static void
test_the_tool(void **state)
{
    assert_expected(memory_expect(NULL, 0, 1, FIVE, SIX), 5, MEMORY_FROM_PACKAGE);
    assert_expected(memory_expect(NULL, 0, 1, NONE, SIX), 6, MEMORY_FROM_TOOL);
    assert_expected(memory_expect(NULL, 0, 1, NONE, NONE), 0, MEMORY_FROM_NOTHING);
    assert_int_equal(memory_expect(NULL, 0, 1, NONE, SIX).bold_bytes, 3);
}

static void
test_nonsense_is_bounded(void **state)
{
    const struct memory_record records[] = {{UINT64_MAX, 7}};

    assert_expected(memory_expect(records, 1, 7, NONE, NONE), MEMORY_BYTES_MAX,
                    MEMORY_FROM_COMMAND);
    assert_expected(memory_expect(records, 1, 8, NONE, NONE), MEMORY_BYTES_MAX, MEMORY_FROM_PATH);
    assert_expected(memory_expect(NULL, 0, 8, TYPICAL(UINT64_MAX), NONE), MEMORY_BYTES_MAX,
                    MEMORY_FROM_PACKAGE);
}

static void
test_median(void **state)
{
    struct memory_peaks peaks = {0};

    assert_int_equal(memory_peaks_typical(&peaks).median_bytes, 0);
    memory_peaks_add(&peaks, 30);
    assert_int_equal(memory_peaks_typical(&peaks).median_bytes, 30);
    memory_peaks_add(&peaks, 10);
    memory_peaks_add(&peaks, 20);
    assert_int_equal(memory_peaks_typical(&peaks).median_bytes, 20);
    memory_peaks_add(&peaks, UINT64_MAX);
    assert_int_equal(memory_peaks_typical(&peaks).median_bytes, 30);
}

static void
test_old_peaks_give_way(void **state)
{
    struct memory_peaks peaks = {0};

    for (unsigned i = 0; i < MEMORY_PEAKS; i++)
        memory_peaks_add(&peaks, 1);
    for (unsigned i = 0; i <= MEMORY_PEAKS / 2; i++)
        memory_peaks_add(&peaks, 9);
    assert_int_equal(memory_peaks_typical(&peaks).median_bytes, 9);
    assert_int_equal(memory_peaks_typical(&peaks).quarter_bytes, 1);
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
