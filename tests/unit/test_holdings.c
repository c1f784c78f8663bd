/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The tokens of running jobs, which a gate and its keeper share. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "ninja-shim/gate/holdings.h"
#include "ninja-shim/gate/queue.h"

static void
test_numbers_are_used_again(void **state)
{
    struct holdings *holdings = holdings_create();

    assert_non_null(holdings);
    assert_int_equal(holdings_add(holdings, HOLDING_WAITING, 7), 0);
    assert_int_equal(holdings_add(holdings, HOLDING_LAZY_CLIENT, 8), 1);
    assert_int_equal(holdings_add(holdings, HOLDING_WAITING, 9), 2);
    holdings_remove(holdings, 1);
    assert_int_equal(holdings->end, 3);
    assert_int_equal(holdings_add(holdings, HOLDING_WAITING, 10), 1);
    holdings_remove(holdings, 2);
    holdings_remove(holdings, 0);
    assert_int_equal(holdings->end, 2);
    holdings_remove(holdings, 1);
    assert_int_equal(holdings->end, 0);
}

static void
test_tokens(void **state)
{
    struct holdings *holdings = holdings_create();

    assert_non_null(holdings);
    int number = holdings_add(holdings, HOLDING_WAITING, 7);
    assert_int_equal(holdings->holding[number].token, HOLDINGS_NO_TOKEN);
    /* As long as it may be stopped yet, it is ended with the sidecar. */
    holdings_pay(holdings, number, 5, QUEUE_CPU);
    assert_int_equal(holdings->holding[number].kind, HOLDING_WAITING);
    assert_int_equal(holdings->holding[number].token, 5);
    holdings_run(holdings, number);
    assert_int_equal(holdings->holding[number].kind, HOLDING_RUNNING);
    assert_int_equal(holdings->holding[number].token, 5);
    holdings_pay(holdings, number, HOLDINGS_NO_TOKEN, 0);
    assert_int_equal(holdings->holding[number].token, HOLDINGS_NO_TOKEN);
    assert_int_equal(holdings->holding[number].kind, HOLDING_RUNNING);
}

static void
test_full(void **state)
{
    struct holdings *holdings = holdings_create();

    assert_non_null(holdings);
    for (unsigned i = 0; i < HOLDINGS_MAX; i++)
        holdings->holding[i].kind = HOLDING_WAITING;
    holdings->end = HOLDINGS_MAX;
    assert_int_equal(holdings_add(holdings, HOLDING_WAITING, 7), -ENOSPC);
    holdings_remove(holdings, 12345);
    assert_int_equal(holdings_add(holdings, HOLDING_WAITING, 7), 12345);
}

static void
test_shared_with_children(void **state)
{
    struct holdings *holdings = holdings_create();
    int status;

    assert_non_null(holdings);
    pid_t child = fork();
    if (child == 0)
        _exit(holdings_add(holdings, HOLDING_RUNNING, 3));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(holdings->end, 1);
    assert_int_equal(holdings->holding[0].kind, HOLDING_RUNNING);
    assert_int_equal(holdings->holding[0].pidfd, 3);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_are_used_again),
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_shared_with_children),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
