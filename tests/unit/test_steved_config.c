/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Lines of a configuration file, and files that are none. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "steved/config.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

static void
test_lines(void **state)
{
    char text[] =
        "# a comment\n\n  jobs = 4 \n\tverbose\n \t# another\nmount=/a b=c\n=\n jobs =\r\nlast";
    static const struct config_line expected[] = {
        {3, "jobs = 4", "jobs", "4"},
        {4, "verbose", "verbose", NULL},
        {6, "mount=/a b=c", "mount", "/a b=c"},
        {7, "=", "", ""},
        {8, "jobs =", "jobs", ""},
        {9, "last", "last", NULL},
    };
    char room[sizeof(text)], *words = room, *rest = text;
    struct config_line line = {0};

    for (size_t i = 0; i < COUNT(expected); i++) {
        assert_true(config_next(&rest, &words, &line));
        assert_true(words <= room + sizeof(room));
        assert_int_equal(line.number, expected[i].number);
        assert_string_equal(line.text, expected[i].text);
        assert_string_equal(line.name, expected[i].name);
        if (expected[i].value)
            assert_string_equal(line.value, expected[i].value);
        else
            assert_null(line.value);
    }
    assert_false(config_next(&rest, &words, &line));
}

static void
test_nothing(void **state)
{
    static const char *const texts[] = {"", "\n", " \n\t\n", "#", "#\n#"};

    for (size_t i = 0; i < COUNT(texts); i++) {
        char text[16], room[16], *words = room, *rest = strcpy(text, texts[i]);
        struct config_line line = {0};
        assert_false(config_next(&rest, &words, &line));
    }
}

/* What config_read() says of a file of so many bytes. */
static int
read_bytes(const char *bytes, size_t size)
{
    char path[] = "/tmp/test_steved_config.XXXXXX", *text;
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), size);
    close(fd);
    int result = config_read(path, &text);
    if (result == 0) {
        assert_int_equal(strlen(text), size);
        assert_memory_equal(text, bytes, size);
        free(text);
    }
    unlink(path);
    return result;
}

static void
test_files(void **state)
{
    char *large = malloc(CONFIG_SIZE_MAX + 1), *text;

    assert_non_null(large);
    memset(large, '#', CONFIG_SIZE_MAX + 1);
    assert_int_equal(read_bytes("", 0), 0);
    assert_int_equal(read_bytes("jobs=4", 6), 0);
    assert_int_equal(read_bytes("jobs=4\0\n", 8), -EILSEQ);
    assert_int_equal(read_bytes(large, CONFIG_SIZE_MAX), 0);
    assert_int_equal(read_bytes(large, CONFIG_SIZE_MAX + 1), -EFBIG);
    assert_int_equal(config_read("/no/such/file", &text), -ENOENT);
    assert_int_equal(config_read("/", &text), -EISDIR);
    assert_int_equal(config_read("/dev/zero", &text), -EFBIG);
    assert_int_equal(config_read("/dev/null", &text), 0);
    free(text);
    free(large);
}

static void
expect_user_path(const char *config, const char *home, const char *expected)
{
    if (!config || setenv("XDG_CONFIG_HOME", config, 1) < 0)
        unsetenv("XDG_CONFIG_HOME");
    if (!home || setenv("HOME", home, 1) < 0)
        unsetenv("HOME");
    char *path = config_user_path();
    if (expected)
        assert_string_equal(path, expected);
    else
        assert_null(path);
    free(path);
}

static void
test_user_path(void **state)
{
    expect_user_path("/a", "/b", "/a/steved.conf");
    expect_user_path(NULL, "/b", "/b/.config/steved.conf");
    expect_user_path("", "/b", "/b/.config/steved.conf");
    expect_user_path("a", "/b", "/b/.config/steved.conf");
    expect_user_path(NULL, "b", NULL);
    expect_user_path(NULL, NULL, NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_user_path),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
