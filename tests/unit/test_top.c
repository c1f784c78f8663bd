/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What stevectl top computes: the history, and the builds with their shares. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "steved/top_builds.h"
#include "steved/top_history.h"
#include "steved/top_nodes.h"

#define S INT64_C(1000000000)
#define MS (S / 1000)

static int
thousandths(double number)
{
    return (int)(number * 1000 + 0.5);
}

/* --- history --- */

static void
test_a_second_has_its_mean_and_its_peak(void **state)
{
    struct top_history history = {0};

    top_history_note(&history, 1000 * S, 2, 0);
    top_history_note(&history, 1000 * S + 500 * MS, 4, 1);
    top_history_advance(&history, 1001 * S);
    struct top_bar bar = top_history_bar(&history, 1);
    assert_true(bar.is_known);
    assert_int_equal(thousandths(bar.used), 3000);
    assert_int_equal(thousandths(bar.waiting), 500);
    assert_int_equal(bar.most_used, 4);
    assert_int_equal(bar.most_waiting, 1);
    assert_false(top_history_bar(&history, 2).is_known);
}

/* However short it was, it is seen; and does not raise the mean. */
static void
test_a_short_peak_is_seen(void **state)
{
    struct top_history history = {0};

    top_history_note(&history, 1000 * S, 0, 0);
    top_history_note(&history, 1000 * S + 1, 8, 3);
    top_history_note(&history, 1000 * S + 1, 0, 0);
    top_history_advance(&history, 1010 * S);
    struct top_bar bar = top_history_bar(&history, 10);
    assert_int_equal(bar.most_used, 8);
    assert_int_equal(bar.most_waiting, 3);
    assert_int_equal(thousandths(bar.used), 0);
    assert_int_equal(top_history_most(&history), 8);
    assert_int_equal(top_history_bar(&history, 9).most_used, 0);
    assert_true(top_history_bar(&history, 9).is_known);
}

static void
test_what_lasts_is_in_each_second(void **state)
{
    struct top_history history = {0};

    top_history_note(&history, 1000 * S, 5, 2);
    top_history_advance(&history, 1030 * S + 250 * MS);
    for (unsigned i = 0; i <= 30; i++) {
        assert_int_equal(thousandths(top_history_bar(&history, i).used), 5000);
        assert_int_equal(top_history_bar(&history, i).most_waiting, 2);
    }
    assert_false(top_history_bar(&history, 31).is_known);
}

static void
test_a_second_that_begins_is_as_it_is_now(void **state)
{
    struct top_history history = {0};

    top_history_note(&history, 1000 * S, 5, 2);
    assert_int_equal(thousandths(top_history_bar(&history, 0).used), 5000);
    assert_int_equal(thousandths(top_history_bar(&history, 0).waiting), 2000);
}

static void
test_what_is_older_than_a_minute_is_forgotten(void **state)
{
    struct top_history history = {0};

    top_history_note(&history, 1000 * S, 9, 0);
    top_history_note(&history, 1001 * S, 1, 0);
    top_history_advance(&history, 1059 * S + 1);
    assert_int_equal(top_history_most(&history), 9);
    top_history_advance(&history, 1062 * S);
    assert_int_equal(top_history_most(&history), 1);
    for (unsigned i = 1; i < TOP_HISTORY_S; i++)
        assert_int_equal(thousandths(top_history_bar(&history, i).used), 1000);
    /* Hours later, too: a laptop has slept. */
    top_history_advance(&history, 90000 * S);
    for (unsigned i = 1; i < TOP_HISTORY_S; i++)
        assert_int_equal(thousandths(top_history_bar(&history, i).used), 1000);
}

static void
test_what_nobody_told_is_not_known(void **state)
{
    struct top_history history = {0};

    top_history_note(&history, 1000 * S, 3, 0);
    top_history_interrupt(&history, 1001 * S);
    top_history_advance(&history, 1003 * S);
    top_history_note(&history, 1003 * S, 4, 0);
    top_history_advance(&history, 1004 * S);
    assert_int_equal(thousandths(top_history_bar(&history, 4).used), 3000);
    assert_false(top_history_bar(&history, 3).is_known);
    assert_false(top_history_bar(&history, 2).is_known);
    assert_int_equal(thousandths(top_history_bar(&history, 1).used), 4000);
}

static void
test_an_event_of_before_counts_from_now(void **state)
{
    struct top_history history = {0};

    top_history_note(&history, 1000 * S, 3, 0);
    top_history_advance(&history, 1001 * S);
    top_history_note(&history, 1000 * S, 5, 0);
    top_history_advance(&history, 1002 * S);
    assert_int_equal(thousandths(top_history_bar(&history, 2).used), 3000);
    assert_int_equal(thousandths(top_history_bar(&history, 1).used), 5000);
}

/* --- builds --- */

static struct steved_client
client(uint32_t uid, uint64_t account, unsigned held, unsigned waiting)
{
    return (struct steved_client){.uid = uid,
                                  .account = account,
                                  .held = held,
                                  .waiting = waiting,
                                  .weight = STEVED_WEIGHT_DEFAULT};
}

static void
test_clients_of_an_account_are_one_build(void **state)
{
    struct steved_client clients[] = {client(1, 7, 1, 0), client(1, 8, 2, 1), client(1, 7, 0, 4),
                                      client(2, 7, 3, 0)};
    struct top_build builds[4];

    clients[2].flags = STEVED_CLIENT_GROUP;
    clients[3].flags = STEVED_CLIENT_PAUSED;
    assert_int_equal(top_builds_collect(clients, 4, builds), 3);
    top_builds_sort(builds, 3, TOP_BY_HELD);
    assert_int_equal(builds[0].uid, 2);
    assert_true(builds[0].is_paused);
    assert_int_equal(builds[1].account, 8);
    assert_int_equal(builds[2].held, 1);
    assert_int_equal(builds[2].waiting, 4);
    assert_int_equal(builds[2].clients, 2);
    assert_ptr_equal(builds[2].first, &clients[2]); /* a wrapper gives it the name */
    top_builds_sort(builds, 3, TOP_BY_WAITING);
    assert_int_equal(builds[0].waiting, 4);
    top_builds_sort(builds, 3, TOP_BY_AGE);
    assert_int_equal(builds[0].account, 8);
    assert_int_equal(top_builds_collect(clients, 0, builds), 0);
}

static double
share_of(const struct top_build *builds, size_t count, uint32_t uid, uint64_t account)
{
    for (size_t i = 0; i < count; i++)
        if (builds[i].uid == uid && builds[i].account == account)
            return builds[i].share;
    fail();
    return 0;
}

/* First between users, who have the largest weight of their builds, then between the builds of each. */
static void
test_shares_are_between_users_first(void **state)
{
    struct steved_client clients[] = {client(1, 1, 1, 0), client(1, 2, 0, 1), client(2, 3, 1, 0),
                                      client(2, 4, 0, 0), client(3, 5, 1, 1)};
    struct top_build builds[5];

    clients[1].weight = 300;
    clients[4].flags = STEVED_CLIENT_PAUSED;
    assert_int_equal(top_builds_collect(clients, 5, builds), 5);
    top_builds_share(builds, 5, 16);
    assert_int_equal(thousandths(share_of(builds, 5, 1, 1)), 3000);
    assert_int_equal(thousandths(share_of(builds, 5, 1, 2)), 9000);
    assert_int_equal(thousandths(share_of(builds, 5, 2, 3)), 4000);
    assert_int_equal(thousandths(share_of(builds, 5, 2, 4)), 0); /* uses none */
    assert_int_equal(thousandths(share_of(builds, 5, 3, 5)), 0); /* is paused */
    top_builds_sort(builds, 5, TOP_BY_SHARE);
    assert_int_equal(builds[0].account, 2);
    top_builds_share(builds, 0, 16);
}

static void
note_node(struct top_nodes *nodes, const char *node, unsigned count)
{
    struct steved_event event = {.kind = STEVED_EVENT_JOB_PLACED, .count = count};

    event_place_write(&event, node, count % 2 ? "a.c" : "");
    top_nodes_note(nodes, &event);
}

static void
check_nodes(const struct top_nodes *nodes, size_t size, const char *expected)
{
    char text[100];

    top_nodes_text(nodes, text, size);
    assert_string_equal(text, expected);
}

static void
test_nodes_are_those_with_jobs(void **state)
{
    struct top_nodes nodes = {0};
    char name[8];

    check_nodes(&nodes, 100, "");
    note_node(&nodes, "blue", 1);
    note_node(&nodes, "red", 2);
    note_node(&nodes, "green", 3);
    check_nodes(&nodes, 100, "blue 1, red 2, green 3");
    check_nodes(&nodes, sizeof("blue 1, red 2, green 3"), "blue 1, red 2, green 3");
    check_nodes(&nodes, sizeof("blue 1, red 2, ..."), "blue 1, red 2, ...");
    check_nodes(&nodes, sizeof("blue 1, red 2, .."), "blue 1, ...");
    check_nodes(&nodes, sizeof("blue 1, .."), "");
    check_nodes(&nodes, 1, "");
    note_node(&nodes, "red", 0);
    note_node(&nodes, "blue", 4);
    note_node(&nodes, "white", 0);
    note_node(&nodes, "", 4);
    check_nodes(&nodes, 100, "blue 4, green 3");
    for (unsigned i = 0; i < TOP_NODES_MAX + 5; i++) {
        snprintf(name, sizeof(name), "n%u", i);
        note_node(&nodes, name, 1);
    }
    assert_int_equal(nodes.count, TOP_NODES_MAX);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_second_has_its_mean_and_its_peak),
        cmocka_unit_test(test_a_short_peak_is_seen),
        cmocka_unit_test(test_what_lasts_is_in_each_second),
        cmocka_unit_test(test_a_second_that_begins_is_as_it_is_now),
        cmocka_unit_test(test_what_is_older_than_a_minute_is_forgotten),
        cmocka_unit_test(test_what_nobody_told_is_not_known),
        cmocka_unit_test(test_an_event_of_before_counts_from_now),
        cmocka_unit_test(test_clients_of_an_account_are_one_build),
        cmocka_unit_test(test_shares_are_between_users_first),
        cmocka_unit_test(test_nodes_are_those_with_jobs),
    };

    return cmocka_run_group_tests_name("top", tests, NULL, NULL);
}
