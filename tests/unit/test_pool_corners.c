/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What servers of a pool seldom do, and memory that runs out where a claim is waited for. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "libjobserver/pool/rows.h"
#include "tests/unit/failing_memory.h"
#include "tests/unit/row_table.h"

#define MS INT64_C(1000000)

struct client {
    struct pool_process *process;
    struct pool_opening *opening;
};

static struct client
add(struct pool *pool, pid_t pid)
{
    struct client client = {
        .process = pool_process_add(pool, pid, pool_account(pool, 1000, (uint64_t)pid), false)};

    assert_non_null(client.process);
    client.opening = pool_open(pool, client.process, NULL);
    assert_non_null(client.opening);
    return client;
}

static enum pool_answer
take(struct pool *pool, struct client client)
{
    return pool_read(pool, client.opening, client.process, true, NULL, NULL, MS);
}

static unsigned
free_in(const struct pool *pool)
{
    struct pool_status status;

    pool_get_status(pool, &status);
    assert_null(pool_check(pool));
    return status.free;
}

/* It has not arrived, and so never was; but only if it is there still. */
static void
test_a_grant_that_fails(void **state)
{
    struct pool *pool = pool_create(2);
    struct client a = add(pool, 1), b = add(pool, 2);

    assert_int_equal(take(pool, a), POOL_GRANTED);
    assert_int_equal(take(pool, b), POOL_GRANTED);
    pool_grant_failed(pool, a.opening, a.process, MS);
    assert_int_equal(free_in(pool), 1);
    pool_grant_failed(pool, a.opening, a.process, MS);
    pool_grant_failed(pool, NULL, b.process, MS);
    pool_grant_failed(pool, b.opening, NULL, MS);
    assert_int_equal(free_in(pool), 1);
    pool_destroy(pool);
}

static void
test_who_waits_no_more_is_not_offered_a_token(void **state)
{
    struct pool *pool = pool_create(1);
    struct client a = add(pool, 1), b = add(pool, 2);
    struct pool_due due;

    assert_int_equal(take(pool, a), POOL_GRANTED);
    assert_false(pool_poll(pool, b.opening, b.process, true, MS));
    pool_unpoll(pool, b.opening, b.process);
    assert_int_equal(pool_write(pool, a.opening, a.process, 1, MS), 1);
    assert_false(pool_next_due(pool, &due));
    assert_int_equal(free_in(pool), 1);
    pool_destroy(pool);
}

static void
test_claims_are_of_a_group(void **state)
{
    struct pool *pool = pool_create(2);
    struct client a = add(pool, 1), b = add(pool, 2);

    assert_int_equal(pool_claims(a.opening), 0);
    assert_int_equal(pool_group_join(pool, a.opening, a.process, 7, MS), 0);
    assert_int_equal(take(pool, a), POOL_GRANTED);
    assert_true(pool_claim_implicit(pool, b.process, a.process, MS));
    assert_int_equal(pool_claims(a.opening), 1);
    pool_destroy(pool);
}

/* A pool in which b has a token, on which c claims, and d waits for a claim as well. */
static struct pool *
with_wish(struct client *waits, struct client *holds)
{
    struct pool *pool = pool_create(1);
    struct client b = add(pool, 2), c = add(pool, 3), d = add(pool, 4);

    assert_int_equal(take(pool, b), POOL_GRANTED);
    assert_true(pool_claim_implicit(pool, c.process, b.process, MS));
    assert_false(pool_claim_implicit(pool, d.process, b.process, MS));
    *waits = d;
    *holds = b;
    return pool;
}

static void
test_no_memory_for_who_waits_for_a_claim(void **state)
{
    struct client waits, holds;
    struct pool *pool = with_wish(&waits, &holds);

    failing_memory_begin(1);
    int result = pool_await_claim(pool, waits.opening, waits.process, &holds.process, 1);
    assert_true(failing_memory_end());
    assert_int_equal(result, -ENOMEM);
    assert_false(pool_process_awaits_claim(waits.process));
    assert_int_equal(free_in(pool), 0);
    pool_destroy(pool);
}

/* Each allocation of a restored pool fails once. */
static void
test_no_memory_to_restore_who_waits_for_a_claim(void **state)
{
    struct client waits, holds;
    struct pool *pool = with_wish(&waits, &holds), *restored = NULL;
    struct row_table table = {0};

    assert_int_equal(pool_await_claim(pool, waits.opening, waits.process, &holds.process, 1), 0);
    assert_int_equal(pool_follow(pool), 0);
    row_table_follow(&table, pool);
    for (unsigned nth = 1; !restored; nth++) {
        failing_memory_begin(nth);
        errno = 0;
        restored = row_table_restore(&table, &(struct pool_row_fault){0});
        const int error = errno;
        assert_int_equal(failing_memory_end(), !restored);
        assert_true(restored || error == ENOMEM);
    }
    assert_null(pool_check(restored));
    pool_destroy(restored);
    pool_destroy(pool);
    row_table_clear(&table);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_grant_that_fails),
        cmocka_unit_test(test_who_waits_no_more_is_not_offered_a_token),
        cmocka_unit_test(test_claims_are_of_a_group),
        cmocka_unit_test(test_no_memory_for_who_waits_for_a_claim),
        cmocka_unit_test(test_no_memory_to_restore_who_waits_for_a_claim),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
