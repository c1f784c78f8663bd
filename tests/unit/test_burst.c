/* SPDX-License-Identifier: GPL-2.0-or-later */

/* How many system calls requests cost, as they come alone or in groups. */
#include "steved/burst.h"

#include "child.h"

struct calls {
    int waits, reads, reads_in_vain;
};

/* One turn of the event loop: `waiting` requests can be read; returns how many are left. */
static int
turn(struct burst *burst, struct calls *calls, int waiting)
{
    int count = 0;

    calls->waits++;
    while (count < burst->size && count < waiting)
        count++;
    calls->reads += count;
    if (count < burst->size) {
        calls->reads++;
        calls->reads_in_vain++;
    }
    burst_ended(burst, count);
    return waiting - count;
}

/* Requests come in groups of this size: the next group when all have been answered. */
static struct calls
serve_groups(struct burst *burst, int size, int groups)
{
    struct calls calls = {0};

    for (int i = 0; i < groups; i++)
        for (int left = size; left > 0;)
            left = turn(burst, &calls, left);
    return calls;
}

static void
test_client_alone(void **none)
{
    struct burst burst;

    burst_init(&burst);
    assert_int_equal(burst.size, 1);
    serve_groups(&burst, 1, 200);
    struct calls calls = serve_groups(&burst, 1, 6400);
    assert_int_equal(calls.waits, 6400);
    assert_true(calls.reads_in_vain <= 100);
}

static void
test_groups(void **none)
{
    struct burst burst;

    burst_init(&burst);
    serve_groups(&burst, 1, 1000);
    for (int size = 2; size <= BURST_MAX; size *= 2) {
        serve_groups(&burst, size, 400);
        struct calls calls = serve_groups(&burst, size, 640);
        assert_true(calls.waits <= 660);
        assert_true(calls.reads_in_vain <= 20);
    }
}

/* Many clients always have something to be read, and then one is alone again. */
static void
test_flood(void **none)
{
    struct burst burst;
    struct calls calls = {0};

    burst_init(&burst);
    serve_groups(&burst, 1, 1000);
    for (int i = 0; i < 500; i++) {
        turn(&burst, &calls, 1000);
        assert_in_range(burst.size, 1, BURST_MAX);
    }
    assert_int_equal(burst.size, BURST_MAX);
    assert_int_equal(calls.reads_in_vain, 0);
    turn(&burst, &calls, 1);
    assert_int_equal(burst.size, 1);
}

/* The wait may end for a request that a signal has taken away. */
static void
test_nothing(void **none)
{
    struct burst burst;
    struct calls calls = {0};

    burst_init(&burst);
    for (int i = 0; i < 100; i++)
        turn(&burst, &calls, 0);
    assert_int_equal(burst.size, 1);
    assert_int_equal(calls.reads, 100);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_client_alone),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_flood),
        cmocka_unit_test(test_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
