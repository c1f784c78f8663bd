/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Text of others: what of it is shown, and where it is cut. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "libjobserver/program/printable.h"

#define TEXT_SIZE 64

static void
expect(const char *text, const char *expected)
{
    char shown[TEXT_SIZE];

    snprintf(shown, sizeof(shown), "%s", text);
    make_printable(shown, strlen(shown));
    assert_string_equal(shown, expected);
}

static void
stays(const char *text)
{
    expect(text, text);
}

static void
test_text_that_stays(void **state)
{
    stays("");
    stays(" make -C foo ~");
    stays("größe 日本 \xf0\x9f\x98\x80");
    stays("\xc2\xa0 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xf0\x90\x80\x80 "
          "\xf4\x8f\xbf\xbf");
    stays("\xe2\x80\xa7 \xe2\x80\xaf \xe2\x81\xa5 \xe2\x81\xaa");
}

static void
test_control_characters(void **state)
{
    /* U+2028, 2029, 202A, 202E, 2066 and 2069; no string, which would change the direction of this file. */
    static const char hidden[][4] = {{'\xe2', '\x80', '\xa8'}, {'\xe2', '\x80', '\xa9'},
                                     {'\xe2', '\x80', '\xaa'}, {'\xe2', '\x80', '\xae'},
                                     {'\xe2', '\x81', '\xa6'}, {'\xe2', '\x81', '\xa9'}};
    char text[] = "a\0b";

    expect("\x01\t\n\x1b[31m\x1f\x7f", "????[31m??");
    expect("\xc2\x80 \xc2\x9b \xc2\x9f", "?? ?? ??");
    for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++)
        expect(hidden[i], "???");
    make_printable(text, sizeof(text) - 1);
    assert_string_equal(text, "a b");
}

static void
test_what_is_no_text(void **state)
{
    expect("gr\xf6\xdf"
           "e",
           "gr??e");
    expect("\x80\xbf \xfe\xff", "?? ??");
    expect("\xc0\xaf \xc1\xbf \xe0\x9f\xbf \xf0\x8f\xbf\xbf", "?? ?? ??? ????");
    expect("\xed\xa0\x80 \xed\xbf\xbf", "??? ???");
    expect("\xf4\x90\x80\x80 \xf5\x80\x80\x80", "???? ????");
    expect("\xc3 \xe2\x82 \xf0\x9f\x98 \xe2\x82", "? ?? ??? ??");
}

/* A cut anywhere shows whole characters, and nothing else. */
static void
test_cuts(void **state)
{
    static const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80";
    static const size_t whole[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10};

    for (size_t length = 0; length < sizeof(text); length++) {
        char shown[TEXT_SIZE];
        assert_int_equal(printable_cut(text, length), whole[length]);
        snprintf(shown, length + 1, "%s", text);
        make_printable_text(shown, length + 1);
        assert_int_equal(strlen(shown), whole[length]);
        assert_memory_equal(shown, text, whole[length]);
    }
    char whole_name[TEXT_SIZE] = "caf\xe9";
    make_printable_text(whole_name, sizeof(whole_name));
    assert_string_equal(whole_name, "caf?");
    assert_int_equal(printable_cut("\x80\x80\x80\x80\x80", 5), 5);
    assert_int_equal(printable_cut("\x80", 1), 1);
    assert_int_equal(printable_cut("\xff", 1), 1);
    assert_string_equal(printable_begin("\x82\xac/x"), "/x");
    assert_string_equal(printable_begin("\xe2\x82\xac"), "\xe2\x82\xac");
    assert_string_equal(printable_begin("\x80"), "");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_that_stays),
        cmocka_unit_test(test_control_characters),
        cmocka_unit_test(test_what_is_no_text),
        cmocka_unit_test(test_cuts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
