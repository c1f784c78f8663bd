/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The event loop's sign of life, which must cost a request nothing. */
#include "steved/watchdog.h"

#include <stdlib.h>

#include "child.h"
#include "steved/notices.h"

static void
test_beat(void **none)
{
    struct notice notice;
    struct watchdog watchdog;
    struct event_base *base = event_base_new();
    int ends[2];

    assert_non_null(base);
    assert_int_equal(notices_open(ends), 0);
    const struct notify notify = {.fd = ends[1]};
    setenv("WATCHDOG_USEC", "20000", 1);
    unsetenv("WATCHDOG_PID");
    assert_int_equal(watchdog_open(&watchdog, &notify), 0);
    assert_int_equal(watchdog_start(&watchdog, base), 0);
    /* With a timeout each wait for a request would set a timer. */
    assert_false(event_pending(watchdog.beat, EV_TIMEOUT, NULL));
    for (int i = 0; i < 2; i++) {
        event_base_loop(base, EVLOOP_ONCE);
        assert_true(notices_receive(ends[0], &notice) && notice.is_alive);
        assert_false(notices_receive(ends[0], &notice));
    }
    /* Nobody is there any more. */
    close(ends[0]);
    assert_int_equal(event_base_dispatch(base), 1);
    watchdog_stop(&watchdog);
    close(ends[1]);
    event_base_free(base);
}

static void
test_nobody_wants_to_hear(void **none)
{
    const struct notify nobody = {.fd = -1}, somebody = {.fd = 0};
    struct watchdog watchdog;

    setenv("WATCHDOG_USEC", "20000", 1);
    assert_int_equal(watchdog_open(&watchdog, &nobody), 0);
    assert_int_equal(watchdog.timer_fd, -1);
    setenv("WATCHDOG_USEC", "0", 1);
    assert_int_equal(watchdog_open(&watchdog, &somebody), 0);
    assert_int_equal(watchdog.timer_fd, -1);
    assert_int_equal(watchdog_start(&watchdog, NULL), 0);
    watchdog_stop(&watchdog);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_beat),
        cmocka_unit_test(test_nobody_wants_to_hear),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
