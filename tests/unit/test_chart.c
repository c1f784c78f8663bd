/* SPDX-License-Identifier: GPL-2.0-or-later */
/* chart: what is hostile stays text, and what is drawn stays within its frame. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "jobwrap/chart.h"

#define SECOND_NS INT64_C(1000000000)

static void
test_text_is_escaped(void **state)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    chart_put_text(out, "<script>\"a\" & 'b'\n\x1b\x7f\xc3\xa4\xe4</script>");
    assert_int_equal(fclose(out), 0);
    assert_string_equal(text,
                        "&lt;script&gt;&quot;a&quot; &amp; &#39;b&#39;???\xc3\xa4?&lt;/script&gt;");
    free(text);
}

static void
test_times_are_readable(void **state)
{
    static const struct {
        int64_t time_ns;
        const char *text;
    } cases[] = {
        {0, "0.00 s"},
        {SECOND_NS / 4, "0.25 s"},
        {12 * SECOND_NS, "12 s"},
        {185 * SECOND_NS, "3:05 min"},
        {7800 * SECOND_NS, "2:10 h"},
    };
    char text[CHART_TIME_SIZE];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        chart_print_time(text, cases[i].time_ns);
        assert_string_equal(text, cases[i].text);
    }
}

static char *
draw(const struct series *series, int64_t length_ns, enum chart_shape shape)
{
    const struct chart_line line = {series, "a line", "one", shape, CHART_MEAN};
    const struct chart chart = {.id = "id",
                                .title = "A title",
                                .description = "A description.",
                                .unit = "GiB",
                                .divisor = 10,
                                .length_ns = length_ns,
                                .line_count = 1,
                                .lines = &line};
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    chart_write(out, &chart);
    assert_int_equal(fclose(out), 0);
    return text;
}

static unsigned
count(const char *text, const char *what)
{
    unsigned found = 0;

    while ((text = strstr(text, what))) {
        found++;
        text += strlen(what);
    }
    return found;
}

static void
test_axes_fit_what_is_shown(void **state)
{
    static struct series series;

    for (int64_t highest = 1; highest < INT64_C(1000000000000); highest *= 7) {
        series_init(&series, 0);
        series_note(&series, (double)highest / 2, 0);
        series_end(&series, SECOND_NS);
        char *text = draw(&series, SECOND_NS, CHART_LINE);
        const unsigned ticks = count(text, " GiB</text>");
        assert_in_range(ticks, 2, 12);
        free(text);
    }
    for (int64_t length_ns = SECOND_NS / 100; length_ns < 400000 * SECOND_NS; length_ns *= 3) {
        char *text = draw(&series, length_ns, CHART_LINE);
        const unsigned ticks = count(text, "<text ") - count(text, " GiB</text>");
        assert_in_range(ticks, 2, 30);
        free(text);
    }
}

static void
test_gaps_and_nothing_at_all(void **state)
{
    static struct series series;

    series_init(&series, 0);
    char *text = draw(&series, 0, CHART_AREA);
    assert_non_null(strstr(text, "d=\"\""));
    free(text);
    series_note(&series, 30, 0);
    series_end(&series, 10 * SERIES_FIRST_STEP_NS);
    series.steps[4].known_ns = 0;
    text = draw(&series, SECOND_NS, CHART_AREA);
    /* Two areas, each closed, and that of the legend. */
    assert_int_equal(count(text, "Z"), 3);
    assert_null(strstr(text, "nan"));
    assert_null(strstr(text, "inf"));
    free(text);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_is_escaped),
        cmocka_unit_test(test_times_are_readable),
        cmocka_unit_test(test_axes_fit_what_is_shown),
        cmocka_unit_test(test_gaps_and_nothing_at_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
