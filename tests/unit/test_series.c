/* SPDX-License-Identifier: GPL-2.0-or-later */
/* series: what is remembered of a number stays true however long it lasts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "jobwrap/series.h"

#define BEGIN_NS INT64_C(1000000000000)
#define STEP_NS SERIES_FIRST_STEP_NS

static int64_t
after(int64_t steps)
{
    return BEGIN_NS + steps * STEP_NS;
}

static void
test_a_mean_counts_by_time(void **state)
{
    static struct series series;

    series_init(&series, BEGIN_NS);
    assert_int_equal(series_count(&series), 0);
    assert_true(series_highest(&series) == 0);
    series_note(&series, 2, BEGIN_NS);
    series_note(&series, 6, BEGIN_NS + STEP_NS / 4);
    series_end(&series, after(2));
    assert_int_equal(series_count(&series), 2);
    assert_true(series_mean(&series.steps[0]) == 5);
    assert_true(series.steps[0].least == 2 && series.steps[0].most == 6);
    assert_true(series_mean(&series.steps[1]) == 6 && series.steps[1].least == 6);
    assert_true(series_highest(&series) == 6);
}

static void
test_nothing_is_known_before_the_first(void **state)
{
    static struct series series;

    series_init(&series, BEGIN_NS);
    series_note(&series, 3, after(5));
    series_end(&series, after(6));
    assert_int_equal(series.steps[4].known_ns, 0);
    assert_int_equal(series.steps[5].known_ns, STEP_NS);
    assert_int_equal(series_count(&series), 6);
}

static void
test_what_comes_late_counts_from_then_on(void **state)
{
    static struct series series;

    series_init(&series, BEGIN_NS);
    series_note(&series, 1, BEGIN_NS - 5);
    series_note(&series, 2, after(2));
    series_note(&series, 4, after(1));
    series_end(&series, after(3));
    assert_true(series_mean(&series.steps[1]) == 1);
    assert_true(series_mean(&series.steps[2]) == 4);
}

/* Of a day: the integral is what it was, and so are the highest and the lowest. */
static void
test_a_long_time_is_remembered_coarsely(void **state)
{
    static struct series series;
    const int64_t length = INT64_C(24) * 3600 * 100; /* in steps */
    double integral = 0;
    int64_t known_ns = 0;

    series_init(&series, BEGIN_NS);
    for (int64_t i = 0; i < length; i += 100)
        series_note(&series, i == length / 2 ? 40 : (double)(i / 100 % 2), after(i));
    series_end(&series, after(length));
    for (size_t i = 0; i < SERIES_STEPS; i++) {
        integral += series.steps[i].integral;
        known_ns += series.steps[i].known_ns;
    }
    assert_int_equal(known_ns, length * STEP_NS);
    /* Half of the seconds count 1; the one in the middle, which would count 0, counts 40. */
    assert_true(integral == (43200.0 + 40) * 100 * (double)STEP_NS);
    assert_true(series_highest(&series) == 40);
    assert_true(series_count(&series) > SERIES_STEPS / 2);
    assert_true(series.steps[0].least == 0 && series.steps[0].most == 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_mean_counts_by_time),
        cmocka_unit_test(test_nothing_is_known_before_the_first),
        cmocka_unit_test(test_what_comes_late_counts_from_then_on),
        cmocka_unit_test(test_a_long_time_is_remembered_coarsely),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
