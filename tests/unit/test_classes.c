/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What --class NAME=N may be. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "libjobserver/classes/spec.h"

static void
test_names(void **state)
{
    static const char *const good[] = {"remote", "link", "a", "gpu-2", "x_y", "cpus", "control2"};
    static const char *const bad[] = {
        "",   "cpu", "jobserver", "control", "Remote", "2gpu",          "-x",
        "_x", "a.b", "a/b",       "..",      "a b",    "r\xc3\xa9mote", "a\n"};
    char longest[STEVED_CLASS_NAME_SIZE + 1];

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(class_name_is_valid(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(class_name_is_valid(bad[i]));
    memset(longest, 'r', sizeof(longest));
    longest[STEVED_CLASS_NAME_SIZE] = '\0';
    assert_false(class_name_is_valid(longest));
    longest[STEVED_CLASS_NAME_SIZE - 1] = '\0';
    assert_true(class_name_is_valid(longest));
}

static void
test_numbers(void **state)
{
    static const char *const bad[] = {"remote",    "remote=",   "remote=x",     "remote=-1",
                                      "remote=1x", "remote= 1", "remote=65537", "=1",
                                      "cpu=1",     "a=1=2"};
    struct class_specs specs = {0};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_non_null(class_specs_add(&specs, bad[i]));
        assert_int_equal(specs.count, 0);
    }
    assert_null(class_specs_add(&specs, "remote=65536"));
    assert_null(class_specs_add(&specs, "link=0"));
    assert_int_equal(specs.count, 2);
    assert_string_equal(class_specs_add(&specs, "a123456789012345678901234567890x=1"),
                        "NAME=N, with a NAME of at most 31 characters");
    assert_string_equal(specs.specs[0].name, "remote");
    assert_int_equal(specs.specs[0].jobs, 65536);
    assert_int_equal(specs.specs[1].jobs, 0);
}

static void
test_what_is_said_last_counts(void **state)
{
    struct class_specs specs = {0};

    assert_null(class_specs_add(&specs, "remote=4"));
    assert_null(class_specs_add(&specs, "link=2"));
    assert_null(class_specs_add(&specs, "remote=8"));
    assert_int_equal(specs.count, 2);
    assert_int_equal(specs.specs[0].jobs, 8);
}

static void
test_there_is_room_for_so_many(void **state)
{
    struct class_specs specs = {0};
    char text[] = "a=1";

    for (int i = 0; i < STEVED_CLASSES_MAX; i++, text[0]++)
        assert_null(class_specs_add(&specs, text));
    assert_non_null(class_specs_add(&specs, text));
    assert_int_equal(specs.count, STEVED_CLASSES_MAX);
    assert_null(class_specs_add(&specs, "a=2"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_what_is_said_last_counts),
        cmocka_unit_test(test_there_is_room_for_so_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
