/* SPDX-License-Identifier: GPL-2.0-or-later */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "libjobserver/program/allowance.h"

#define MS INT64_C(1000000)
#define BURST_MS (ALLOWANCE_BURST_NS / MS)
#define ALICE 1000
#define MALLORY 1001

/* Asks as often as it may in that time, each time for so much: how often. */
static unsigned
ask_for(struct allowances *allowances, uint32_t uid, int64_t *now_ns, int64_t time_ns,
        int64_t cost_ns)
{
    int64_t end_ns = *now_ns + time_ns;
    unsigned served = 0;

    while (*now_ns < end_ns) {
        *now_ns += MS / 10; /* an answer takes that, too */
        if (!allowance_is_left(allowances, uid, *now_ns))
            continue;
        *now_ns += cost_ns;
        allowance_charge(allowances, uid, cost_ns, *now_ns);
        served++;
    }
    return served;
}

static void
test_who_asks_for_little_is_never_refused(void **state)
{
    struct allowances allowances = {0};
    int64_t now_ns = 12345 * MS;

    (void)state;
    for (int i = 0; i < 10000; i++) {
        assert_true(allowance_is_left(&allowances, ALICE, now_ns));
        allowance_charge(&allowances, ALICE, MS, now_ns);
        now_ns += (ALLOWANCE_PART + 1) * MS;
    }
}

static void
test_a_burst_and_then_a_part_of_the_time(void **state)
{
    struct allowances allowances = {0};
    int64_t now_ns = MS;

    (void)state;
    unsigned served = ask_for(&allowances, MALLORY, &now_ns, 10000 * MS, MS);
    assert_in_range(served, 10000 / ALLOWANCE_PART, 10000 / ALLOWANCE_PART + BURST_MS + 5);
    assert_false(allowance_is_left(&allowances, MALLORY, now_ns));
    /* However much it was: it is forgotten when it is written off. */
    allowance_charge(&allowances, MALLORY, 1000 * MS, now_ns);
    now_ns += ALLOWANCE_PART * 900 * MS;
    assert_false(allowance_is_left(&allowances, MALLORY, now_ns));
    now_ns += ALLOWANCE_PART * 110 * MS;
    assert_true(allowance_is_left(&allowances, MALLORY, now_ns));
}

static void
test_others_are_not_refused(void **state)
{
    struct allowances allowances = {0};
    int64_t now_ns = MS;

    (void)state;
    ask_for(&allowances, MALLORY, &now_ns, 1000 * MS, MS);
    assert_false(allowance_is_left(&allowances, MALLORY, now_ns));
    for (int i = 0; i < 10; i++) {
        assert_true(allowance_is_left(&allowances, ALICE, now_ns));
        allowance_charge(&allowances, ALICE, MS, now_ns);
    }
}

/* All together get no more, and each the same. */
static void
test_many_share_it(void **state)
{
    struct allowances allowances = {0};
    int64_t now_ns = MS;
    unsigned served[10] = {0}, sum = 0;

    (void)state;
    for (int turn = 0; turn < 100000; turn++) {
        for (uint32_t uid = 0; uid < 10; uid++) {
            now_ns += MS / 100;
            if (!allowance_is_left(&allowances, uid, now_ns))
                continue;
            allowance_charge(&allowances, uid, MS, now_ns);
            served[uid]++;
            sum++;
        }
    }
    for (int i = 0; i < 10; i++)
        assert_in_range(served[i], sum / 10 - 5, sum / 10 + 5);
    assert_in_range(sum, 10000 / ALLOWANCE_PART - 10, 10000 / ALLOWANCE_PART + BURST_MS + 30);
}

/* So many identities, as a user may have subordinate ones, are no way around it. */
static void
test_more_users_than_lines(void **state)
{
    struct allowances allowances = {0};
    int64_t now_ns = MS;
    unsigned served = 0;

    (void)state;
    for (uint32_t uid = 0; uid < 100000; uid++) {
        now_ns += MS / 100;
        if (!allowance_is_left(&allowances, uid, now_ns))
            continue;
        allowance_charge(&allowances, uid, MS, now_ns);
        served++;
    }
    assert_true(served < 1000 / ALLOWANCE_PART + BURST_MS + 2 * ALLOWANCE_USERS);
    now_ns += 2000 * MS;
    assert_true(allowance_is_left(&allowances, ALICE, now_ns));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_asks_for_little_is_never_refused),
        cmocka_unit_test(test_a_burst_and_then_a_part_of_the_time),
        cmocka_unit_test(test_others_are_not_refused),
        cmocka_unit_test(test_many_share_it),
        cmocka_unit_test(test_more_users_than_lines),
    };
    return cmocka_run_group_tests_name("allowance", tests, NULL, NULL);
}
