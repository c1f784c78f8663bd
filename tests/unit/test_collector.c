/* SPDX-License-Identifier: GPL-2.0-or-later */
/* collector, at a FIFO of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "jobwrap/collector.h"

#define ROUNDS 5000

struct fixture {
    char directory[PATH_MAX], path[PATH_MAX + 16];
    int fifo_fd;
    struct collector collector;
};

static int
set_up(void **state)
{
    struct fixture *fixture = *state;
    const char *parent = getenv("TMPDIR");

    snprintf(fixture->directory, sizeof(fixture->directory), "%s/collector.XXXXXX",
             parent ? parent : "/tmp");
    assert_non_null(mkdtemp(fixture->directory));
    snprintf(fixture->path, sizeof(fixture->path), "%s/fifo", fixture->directory);
    assert_int_equal(mkfifo(fixture->path, 0600), 0);
    fixture->fifo_fd = open(fixture->path, O_RDWR | O_CLOEXEC);
    assert_true(fixture->fifo_fd >= 0);
    assert_int_equal(collector_start(&fixture->collector, fixture->path), 0);
    return 0;
}

/* The thread ends with the process, and has its descriptors until then. */
static int
tear_down(void **state)
{
    struct fixture *fixture = *state;

    unlink(fixture->path);
    rmdir(fixture->directory);
    close(fixture->fifo_fd);
    return 0;
}

static void
put(const struct fixture *fixture)
{
    assert_int_equal(write(fixture->fifo_fd, "+", 1), 1);
}

static int
count_lying(const struct fixture *fixture)
{
    int lying = 0;

    assert_int_equal(ioctl(fixture->fifo_fd, FIONREAD, &lying), 0);
    return lying;
}

static void
test_takes_nothing_unasked(void **state)
{
    struct fixture *fixture = *state;
    char token;

    put(fixture);
    assert_false(collector_may_have_one(&fixture->collector));
    assert_false(collector_has_got(&fixture->collector));
    assert_int_equal(read(fixture->fifo_fd, &token, 1), 1);
}

/* One that it seems not to have would be taken for lost. */
static void
test_no_token_is_out_of_sight(void **state)
{
    struct fixture *fixture = *state;
    unsigned nowhere = 0;

    for (unsigned i = 0; i < ROUNDS; i++) {
        collector_ask(&fixture->collector);
        put(fixture);
        while (count_lying(fixture) == 1)
            continue;
        nowhere += !collector_may_have_one(&fixture->collector);
        while (!collector_has_got(&fixture->collector))
            continue;
        assert_false(collector_may_have_one(&fixture->collector));
        assert_int_equal(count_lying(fixture), 0);
    }
    assert_int_equal(nowhere, 0);
}

static void
test_asked_twice_it_takes_one(void **state)
{
    struct fixture *fixture = *state;

    collector_ask(&fixture->collector);
    collector_ask(&fixture->collector);
    put(fixture);
    while (!collector_has_got(&fixture->collector))
        continue;
    put(fixture);
    collector_ask(&fixture->collector);
    while (!collector_has_got(&fixture->collector))
        continue;
    put(fixture);
    assert_false(collector_has_got(&fixture->collector));
    assert_int_equal(count_lying(fixture), 1);
}

int
main(void)
{
    struct fixture fixtures[3] = {0};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate_setup_teardown(test_takes_nothing_unasked, set_up, tear_down,
                                                 &fixtures[0]),
        cmocka_unit_test_prestate_setup_teardown(test_no_token_is_out_of_sight, set_up, tear_down,
                                                 &fixtures[1]),
        cmocka_unit_test_prestate_setup_teardown(test_asked_twice_it_takes_one, set_up, tear_down,
                                                 &fixtures[2]),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
