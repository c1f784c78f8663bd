/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The rows of a pool: what is told, when, and what is made of them. That no change is forgotten, whatever
 * comes after what, is test_pool_random's to find.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "libjobserver/pool/pool.h"
#include "tests/unit/failing_memory.h"
#include "tests/unit/row_table.h"

#define MS INT64_C(1000000)
#define MUTATIONS 20000
#define USER 1000

/*
 * Two builds at a pool of four: a make with three tokens, two of which pay for a wrapper below it and for
 * what that has started; and a wrapper with its keeper, a group, which holds the fourth.
 */
struct world {
    struct pool *pool;
    struct row_table rows;
    struct pool_process *make, *below, *deeper, *wrapper, *keeper;
    struct pool_opening *makes, *belows, *wrappers;
};

/* --- a small world --- */

static const struct pool_row *
row_of(const struct world *w, unsigned kind, size_t number)
{
    const struct pool_row *row = row_table_get(&w->rows, kind, number);

    assert_non_null(row);
    return row;
}

static const struct pool_row_process *
process_row(const struct world *w, const struct pool_process *process)
{
    return &row_of(w, POOL_ROW_PROCESS, pool_process_row(process))->process;
}

static const struct pool_row_opening *
opening_row(const struct world *w, const struct pool_opening *opening)
{
    return &row_of(w, POOL_ROW_OPENING, pool_opening_row(opening))->opening;
}

static size_t
count_rows(const struct world *w, unsigned kind)
{
    size_t count = 0;

    for (size_t i = 0; i < w->rows.count[kind]; i++)
        count += row_table_get(&w->rows, kind, i) != NULL;
    return count;
}

static struct pool_process *
born(struct world *w, pid_t pid, uint64_t key)
{
    struct pool_account *account = pool_account(w->pool, USER, key);
    assert_non_null(account);
    struct pool_process *process = pool_process_add(w->pool, pid, account, false);
    assert_non_null(process);
    return process;
}

static void
take(struct world *w, struct pool_process *process, struct pool_opening *opening)
{
    assert_int_equal(pool_read(w->pool, opening, process, true, NULL, NULL, MS), POOL_GRANTED);
}

static void
die(struct world *w, struct pool_process **process)
{
    pool_process_died(w->pool, *process, MS);
    *process = NULL;
}

static void
follow(struct world *w)
{
    assert_null(pool_check(w->pool));
    row_table_follow(&w->rows, w->pool);
}

static void
populate(struct world *w)
{
    w->make = born(w, 100, 1);
    w->makes = pool_open(w->pool, w->make, w);
    for (int i = 0; i < 3; i++)
        take(w, w->make, w->makes);
    w->below = born(w, 101, 1);
    w->belows = pool_open(w->pool, w->below, w);
    w->deeper = born(w, 102, 1);
    assert_true(pool_claim_implicit(w->pool, w->below, w->make, MS));
    assert_true(pool_claim_implicit(w->pool, w->deeper, w->below, MS));
    w->wrapper = born(w, 200, 2);
    w->keeper = born(w, 201, 2);
    w->wrappers = pool_open(w->pool, w->wrapper, w);
    assert_int_equal(pool_group_join(w->pool, w->wrappers, w->wrapper, 20, MS), 0);
    assert_int_equal(pool_group_join(w->pool, w->wrappers, w->keeper, 20, MS), 0);
    take(w, w->wrapper, w->wrappers);
    assert_int_equal(pool_pay_implicit(w->pool, w->wrappers, w->wrapper, MS), 0);
}

static int
setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    *state = w;
    if (!w)
        return -1;
    w->pool = pool_create(4);
    assert_non_null(w->pool);
    assert_int_equal(pool_follow(w->pool), 0);
    populate(w);
    follow(w);
    return 0;
}

static int
teardown(void **state)
{
    struct world *w = *state;
    pool_destroy(w->pool);
    row_table_clear(&w->rows);
    free(w);
    return 0;
}

/* In the place of the pool: one that is made of the rows alone. */
static void
replace(struct world *w)
{
    struct pool_process **processes[] = {&w->make, &w->below, &w->deeper, &w->wrapper, &w->keeper};
    struct pool_opening **openings[] = {&w->makes, &w->belows, &w->wrappers};
    struct pool_row_fault fault;
    struct pool *restored = row_table_restore(&w->rows, &fault);

    if (!restored)
        fail_msg("%s %u: %s", pool_row_kind_name(fault.kind), fault.number, fault.what);
    for (size_t i = 0; i < 5; i++)
        if (*processes[i])
            *processes[i] = pool_process_of_row(restored, pool_process_row(*processes[i]));
    for (size_t i = 0; i < 3; i++)
        if (*openings[i])
            *openings[i] = pool_opening_of_row(restored, pool_opening_row(*openings[i]));
    pool_destroy(w->pool);
    w->pool = restored;
    assert_null(pool_check(restored));
}

static struct pool_client
line_of(const struct world *w, pid_t pid)
{
    struct pool_client client;
    uint64_t cursor = 0;

    while (pool_get_clients(w->pool, &cursor, &client, 1) == 1)
        if (client.pid == pid)
            return client;
    return (struct pool_client){0};
}

/* --- what is told --- */

static void
test_nobody_follows_and_nothing_is_told(void **state)
{
    (void)state;
    struct pool_row row;
    struct pool *pool = pool_create(1);
    assert_non_null(pool);
    assert_false(pool_next_change(pool, &row));
    pool_destroy(pool);
}

static void
test_each_kind_is_told(void **state)
{
    struct world *w = *state;
    const struct pool_row_pool *pool = &row_of(w, POOL_ROW_POOL, 0)->pool;
    assert_int_equal(pool->capacity, 4);
    assert_int_equal(pool->held, 4);
    assert_int_equal(pool->granted, 4);
    assert_int_equal(count_rows(w, POOL_ROW_ACCOUNT), 2);
    assert_int_equal(count_rows(w, POOL_ROW_PROCESS), 5);
    assert_int_equal(count_rows(w, POOL_ROW_GROUP), 1);
    assert_int_equal(count_rows(w, POOL_ROW_OPENING), 3);
    assert_int_equal(count_rows(w, POOL_ROW_LOAN), 4);

    const struct pool_row_process *make = process_row(w, w->make);
    assert_int_equal(make->pid, 100);
    assert_int_equal(make->flags, POOL_ROW_CLIENT);
    assert_int_equal(make->group, POOL_ROW_NONE);
    assert_int_equal(make->holding.claimed_from.kind, 0);
    assert_int_equal(row_of(w, POOL_ROW_ACCOUNT, make->holding.account)->account.key, 1);
    const struct pool_row_process *below = process_row(w, w->below);
    assert_int_equal(below->holding.claimed_from.kind, POOL_ROW_PROCESS);
    assert_int_equal(below->holding.claimed_from.number, pool_process_row(w->make));
    assert_int_equal(opening_row(w, w->makes)->opener, pool_process_row(w->make));
    for (size_t i = 1; i < 4; i++)
        assert_true(row_of(w, POOL_ROW_LOAN, i)->loan.ordinal >
                    row_of(w, POOL_ROW_LOAN, i - 1)->loan.ordinal);

    const struct pool_row_process *keeper = process_row(w, w->keeper);
    const struct pool_row_group *group = &row_of(w, POOL_ROW_GROUP, keeper->group)->group;
    assert_int_equal(opening_row(w, w->wrappers)->group, keeper->group);
    assert_int_equal(group->founder, pool_process_row(w->wrapper));
    assert_int_equal(group->flags, POOL_ROW_PAYS_IMPLICIT | POOL_ROW_OWN_ACCOUNT);
    assert_int_equal(row_of(w, POOL_ROW_ACCOUNT, group->holding.account)->account.key, 20);
}

static void
test_each_row_is_told_once(void **state)
{
    struct world *w = *state;
    struct pool_row row;
    assert_false(pool_next_change(w->pool, &row));
    pool_write(w->pool, w->makes, w->make, 1, MS);
    take(w, w->make, w->makes);
    pool_write(w->pool, w->makes, w->make, 1, MS);
    take(w, w->make, w->makes);
    /* The oldest came back, and was lent again, twice. */
    assert_int_equal(row_table_follow(&w->rows, w->pool), 2 + 1);
    assert_false(pool_next_change(w->pool, &row));
}

static void
test_what_changes_nothing_tells_nothing(void **state)
{
    struct world *w = *state;
    pool_process_set_paid(w->pool, w->deeper);
    pool_poll(w->pool, w->makes, w->make, true, MS);
    follow(w);
    assert_int_equal(process_row(w, w->make)->flags, POOL_ROW_CLIENT | POOL_ROW_HAS_POLLED);
    assert_int_equal(process_row(w, w->deeper)->flags, POOL_ROW_PAID_BY_PARENT);
    pool_poll(w->pool, w->makes, w->make, true, MS);
    assert_int_equal(pool_read(w->pool, w->makes, w->make, true, NULL, NULL, MS), POOL_TRY_AGAIN);
    assert_int_equal(row_table_follow(&w->rows, w->pool), 0);
}

static void
test_what_has_ended_is_told_as_gone(void **state)
{
    struct world *w = *state;
    die(w, &w->wrapper);
    follow(w);
    assert_int_equal(row_of(w, POOL_ROW_GROUP, 0)->group.founder, POOL_ROW_NONE);
    assert_int_equal(opening_row(w, w->wrappers)->opener, POOL_ROW_NONE);
    assert_int_equal(count_rows(w, POOL_ROW_LOAN), 4);
    die(w, &w->keeper);
    follow(w);
    assert_int_equal(count_rows(w, POOL_ROW_PROCESS), 3);
    assert_int_equal(count_rows(w, POOL_ROW_GROUP), 0);
    assert_int_equal(count_rows(w, POOL_ROW_ACCOUNT), 1);
    assert_int_equal(count_rows(w, POOL_ROW_LOAN), 3);
    assert_int_equal(opening_row(w, w->wrappers)->group, POOL_ROW_NONE);
    pool_close(w->pool, w->wrappers, MS);
    follow(w);
    assert_int_equal(count_rows(w, POOL_ROW_OPENING), 2);
    assert_int_equal(row_of(w, POOL_ROW_POOL, 0)->pool.reclaimed, 1);
}

static void
test_numbers_are_used_again(void **state)
{
    struct world *w = *state;
    for (pid_t pid = 300; pid < 400; pid++) {
        struct pool_process *process = born(w, pid, 3);
        struct pool_opening *opening = pool_open(w->pool, process, NULL);
        assert_in_range(pool_process_row(process), 5, 5);
        assert_in_range(pool_opening_row(opening), 3, 3);
        if (pid % 2)
            follow(w);
        pool_process_died(w->pool, process, MS);
        pool_close(w->pool, opening, MS);
        if (pid % 3)
            follow(w);
    }
    struct pool_process *process = born(w, 400, 3);
    follow(w);
    assert_int_equal(process_row(w, process)->pid, 400);
    assert_int_equal(count_rows(w, POOL_ROW_PROCESS), 6);
}

static void
test_who_follows_late_is_told_the_same(void **state)
{
    struct world *w = *state, late = {.pool = pool_create(4)};
    assert_non_null(late.pool);
    populate(&late);
    assert_int_equal(pool_follow(late.pool), 0);
    follow(&late);
    for (unsigned kind = POOL_ROW_POOL; kind < POOL_ROW_KINDS; kind++)
        assert_int_equal(count_rows(&late, kind), count_rows(w, kind));
    replace(&late);
    assert_int_equal(pool_follow(late.pool), 0);
    assert_int_equal(row_table_follow(&late.rows, late.pool), 1 + 2 + 5 + 1 + 3 + 4);
    row_table_clear(&late.rows);
    pool_destroy(late.pool);
}

static void
test_more_tokens_have_more_rows(void **state)
{
    struct world *w = *state;
    assert_int_equal(pool_set_capacity(w->pool, 1000, MS), 0);
    for (int i = 4; i < 1000; i++)
        take(w, w->make, w->makes);
    assert_int_equal(pool_set_capacity(w->pool, 3, MS), 0);
    follow(w);
    assert_int_equal(count_rows(w, POOL_ROW_LOAN), 1000);
    assert_int_equal(row_of(w, POOL_ROW_POOL, 0)->pool.debt, 997);
    replace(w);
    die(w, &w->make);
    follow(w);
    assert_int_equal(count_rows(w, POOL_ROW_LOAN), 1);
    replace(w);
    assert_int_equal(pool_set_capacity(w->pool, 2000, MS), 0);
    follow(w);
}

/* --- what is made of it --- */

static void
test_restored_pool_goes_on(void **state)
{
    struct world *w = *state;
    struct pool_row row;
    replace(w);
    assert_false(pool_next_change(w->pool, &row));
    assert_int_equal(pool_process_pid(w->wrapper), 200);
    struct pool_client make = line_of(w, 100), group = line_of(w, 200);
    assert_int_equal(make.held, 3);
    assert_int_equal(make.claims, 1);
    assert_true(make.is_unpaid);
    assert_true(line_of(w, 101).has_claimed || line_of(w, 101).pid == 0);
    assert_true(group.is_group && group.pays_implicit);
    assert_int_equal(group.keeper, 201);
    assert_int_equal(pool_write(w->pool, w->makes, w->make, 3, MS), 3);
    follow(w);
    assert_int_equal(line_of(w, 101).held, 1); /* passed on */
    replace(w);
    assert_int_equal(pool_write(w->pool, w->belows, w->below, 1, MS), 0);
    die(w, &w->below);
    die(w, &w->keeper);
    die(w, &w->wrapper);
    struct pool_status status;
    pool_get_status(w->pool, &status);
    assert_int_equal(status.free, 4);
    follow(w);
}

static void
test_settings_survive(void **state)
{
    struct world *w = *state;
    struct pool_waiter *waiter;
    pool_account_set_weight(w->pool, pool_process_account(w->make), 300, MS);
    pool_group_set_needy(w->pool, w->wrappers, 7, MS);
    pool_set_idle(w->pool, w->wrappers, 1, MS);
    pool_set_per_process_limit(w->pool, 3, MS);
    pool_set_per_user_limit(w->pool, 7, MS);
    pool_set_throttle(w->pool, 2, MS);
    follow(w);
    replace(w);
    assert_int_equal(line_of(w, 100).weight, 300);
    assert_int_equal(pool_group_set_weight(w->pool, w->wrappers, 50, MS), 0);
    assert_int_equal(pool_set_capacity(w->pool, 9, MS), 0);
    assert_int_equal(pool_read(w->pool, w->makes, w->make, false, w, &waiter, MS), POOL_WAITS);
    pool_interrupt(w->pool, waiter, MS);
    pool_set_throttle(w->pool, POOL_NO_THROTTLE, MS);
    assert_int_equal(pool_read(w->pool, w->makes, w->make, true, NULL, NULL, MS), POOL_TRY_AGAIN);
    follow(w);
    assert_int_equal(row_of(w, POOL_ROW_POOL, 0)->pool.per_user_limit, 7);
    const struct pool_row_group *group = &row_of(w, POOL_ROW_GROUP, 0)->group;
    assert_int_equal(row_of(w, POOL_ROW_ACCOUNT, group->holding.account)->account.needy, 7);
    assert_int_equal(opening_row(w, w->wrappers)->idle, 1);
}

/* Who was served last, and how many all of its accounts have. */
static void
test_users_survive(void **state)
{
    struct world *w = *state;
    struct pool_waiter *waiter;
    struct pool_process *of_other = pool_process_add(
        w->pool, 300, pool_account(w->pool, USER + 1, 1), false); /* the same key */
    struct pool_opening *opening = pool_open(w->pool, of_other, NULL);
    assert_int_equal(pool_set_capacity(w->pool, 5, MS), 0);
    take(w, of_other, opening);
    follow(w);
    const struct pool_row_process *row = process_row(w, of_other);
    assert_int_equal(row_of(w, POOL_ROW_ACCOUNT, row->holding.account)->account.uid, USER + 1);
    uint32_t number = pool_process_row(of_other), through = pool_opening_row(opening);
    replace(w);
    of_other = pool_process_of_row(w->pool, number);
    opening = pool_opening_of_row(w->pool, through);
    assert_int_equal(line_of(w, 100).uid, USER);
    assert_int_equal(line_of(w, 300).uid, USER + 1);
    assert_int_equal(pool_read(w->pool, w->belows, w->below, false, w, &waiter, MS), POOL_WAITS);
    assert_int_equal(pool_read(w->pool, opening, of_other, false, of_other, &waiter, MS),
                     POOL_WAITS);
    struct pool_due due;
    assert_int_equal(pool_write(w->pool, w->makes, w->make, 1, MS), 1);
    follow(w);
    assert_int_equal(line_of(w, 300).held,
                     2); /* 2 of 5; the others have 3, one of which was paid */
    while (pool_next_due(w->pool, &due))
        continue;
}

static void
test_openings_get_their_owners(void **state)
{
    struct world *w = *state;
    struct pool_due due;
    char name[] = "belows";
    replace(w);
    assert_false(pool_next_due(w->pool, &due));
    pool_opening_set_owner(w->belows, name);
    assert_false(pool_poll(w->pool, w->belows, w->below, true, MS));
    die(w, &w->make);
    assert_true(pool_next_due(w->pool, &due));
    while (due.kind != POOL_DUE_NOTIFY)
        assert_true(pool_next_due(w->pool, &due));
    assert_ptr_equal(due.owner, name);
}

/* Two reads wait; of a write of two tokens both answers are seen, once, and then taken. */
static void
test_due_answers_are_seen_before_they_are_taken(void **state)
{
    struct world *w = *state;
    struct pool_waiter *waiter;
    struct pool_due due;
    char first[] = "first", second[] = "second";
    assert_int_equal(pool_read(w->pool, w->belows, w->below, false, first, &waiter, MS),
                     POOL_WAITS);
    assert_int_equal(pool_read(w->pool, w->belows, w->below, false, second, &waiter, MS),
                     POOL_WAITS);
    while (pool_next_due(w->pool, &due))
        assert_int_equal(due.kind, POOL_DUE_RECALL);
    assert_false(pool_next_new_due(w->pool, &due));
    assert_int_equal(pool_set_capacity(w->pool, 5, MS), 0);
    assert_true(pool_next_new_due(w->pool, &due));
    assert_ptr_equal(due.reader, first);
    assert_false(pool_next_new_due(w->pool, &due));
    assert_int_equal(pool_set_capacity(w->pool, 6, MS), 0);
    assert_true(pool_next_new_due(w->pool, &due));
    assert_ptr_equal(due.reader, second);
    assert_false(pool_next_new_due(w->pool, &due));
    /* What ends meanwhile is not named any more. */
    pool_close(w->pool, w->belows, MS);
    assert_true(pool_next_due(w->pool, &due));
    assert_ptr_equal(due.reader, first);
    assert_null(due.opening);
    assert_true(pool_next_due(w->pool, &due));
    assert_ptr_equal(due.reader, second);
}

static void
test_taken_unseen_is_not_seen(void **state)
{
    struct world *w = *state;
    struct pool_waiter *waiter;
    struct pool_due due;
    char first[] = "first", second[] = "second";
    assert_int_equal(pool_read(w->pool, w->belows, w->below, false, first, &waiter, MS),
                     POOL_WAITS);
    assert_int_equal(pool_read(w->pool, w->belows, w->below, false, second, &waiter, MS),
                     POOL_WAITS);
    while (pool_next_due(w->pool, &due))
        assert_int_equal(due.kind, POOL_DUE_RECALL);
    assert_int_equal(pool_set_capacity(w->pool, 6, MS), 0);
    assert_true(pool_next_due(w->pool, &due));
    assert_ptr_equal(due.reader, first);
    assert_true(pool_next_new_due(w->pool, &due));
    assert_ptr_equal(due.reader, second);
    assert_true(pool_next_due(w->pool, &due));
    assert_ptr_equal(due.reader, second);
    assert_false(pool_next_new_due(w->pool, &due));
}

static void
test_waiters_and_what_is_set_aside_do_not_survive(void **state)
{
    struct world *w = *state;
    struct pool_waiter *waiter;
    struct pool_status status;
    assert_false(pool_poll(w->pool, w->wrappers, w->wrapper, true, MS));
    assert_int_equal(pool_read(w->pool, w->belows, w->below, false, w, &waiter, MS), POOL_WAITS);
    assert_int_equal(pool_read(w->pool, w->belows, w->below, false, w, &waiter, MS), POOL_WAITS);
    assert_int_equal(pool_set_capacity(w->pool, 5, MS), 0);
    pool_get_status(w->pool, &status);
    assert_int_equal(status.waiting, 2);
    assert_int_equal(status.reserved, 1);
    follow(w);
    const struct pool_row_process *below = process_row(w, w->below);
    assert_true(row_of(w, POOL_ROW_ACCOUNT, below->holding.account)->account.last_served > 0);
    replace(w);
    pool_get_status(w->pool, &status);
    assert_int_equal(status.free, 1);
    assert_int_equal(status.waiting + status.reserved, 0);
    assert_true(pool_next_deadline(w->pool) == POOL_NO_DEADLINE);
}

/* Whom it has asked is not known any more. */
static void
test_who_waits_for_a_claim_is_to_ask_again(void **state)
{
    struct world *w = *state;
    struct pool_process *late = born(w, 103, 1);
    struct pool_opening *opening = pool_open(w->pool, late, NULL);
    for (int i = 0; i < 2; i++)
        assert_true(pool_claim_implicit(w->pool, born(w, 104 + i, 1), w->make, MS));
    assert_false(pool_claim_implicit(w->pool, late, w->make, MS));
    assert_int_equal(pool_await_claim(w->pool, opening, late, &w->make, 1), 0);
    assert_false(pool_poll(w->pool, opening, late, true, MS));
    follow(w);
    assert_int_equal(process_row(w, late)->holding.wish, pool_opening_row(opening));
    uint32_t number = pool_process_row(late), through = pool_opening_row(opening);
    replace(w);
    late = pool_process_of_row(w->pool, number);
    opening = pool_opening_of_row(w->pool, through);
    assert_true(pool_poll(w->pool, opening, late, true, MS));
    assert_false(pool_claim_implicit(w->pool, late, w->make, MS));
    assert_int_equal(pool_await_claim(w->pool, opening, late, &w->make, 1), 0);
    assert_false(pool_poll(w->pool, opening, late, true, MS));
    die(w, &w->below);
    assert_true(pool_poll(w->pool, opening, late, true, MS));
    assert_true(pool_claim_implicit(w->pool, late, w->make, MS));
    follow(w);
    assert_int_equal(process_row(w, late)->holding.wish, POOL_ROW_NONE);
}

/* --- what is refused --- */

static struct pool_row *
change(struct world *w, unsigned kind, size_t number)
{
    assert_non_null(row_table_get(&w->rows, kind, number));
    return &w->rows.rows[kind][number];
}

static struct pool_row_process *
change_process(struct world *w, const struct pool_process *process)
{
    return &change(w, POOL_ROW_PROCESS, pool_process_row(process))->process;
}

/* The row is what was changed last before; then all is as it was. */
#define assert_refused(w, want_kind, want_number, want_what)                                       \
    do {                                                                                           \
        struct pool_row_fault fault_ = {0};                                                        \
        errno = 0;                                                                                 \
        assert_null(row_table_restore(&(w)->rows, &fault_));                                       \
        assert_int_equal(errno, EINVAL);                                                           \
        assert_string_equal(fault_.what, want_what);                                               \
        assert_string_equal(pool_row_kind_name(fault_.kind), want_kind);                           \
        assert_int_equal(fault_.number, want_number);                                              \
        assert_int_equal(pool_follow((w)->pool), 0);                                               \
        row_table_clear(&(w)->rows);                                                               \
        follow(w);                                                                                 \
    } while (0)

static void
test_pool_row_that_is_wrong_is_refused(void **state)
{
    struct world *w = *state;
    change(w, POOL_ROW_POOL, 0)->pool.capacity = POOL_CAPACITY_MAX + 1;
    assert_refused(w, "pool", 0, "its capacity is out of range");
    change(w, POOL_ROW_POOL, 0)->pool.held--;
    assert_refused(w, "pool", 0, "the number of tokens that are held is not that of the loans");
    change(w, POOL_ROW_LOAN, 0)->kind = 0;
    assert_refused(w, "pool", 0, "the number of tokens that are held is not that of the loans");
    change(w, POOL_ROW_POOL, 0)->pool.capacity--;
    assert_refused(w, "pool", 0, "its debt is not what is held beyond its capacity");
    change(w, POOL_ROW_POOL, 0)->kind = 0;
    assert_refused(w, "pool", 0, "it is missing");
    row_table_clear(&w->rows);
    assert_refused(w, "pool", 0, "it is missing");
    *change(w, POOL_ROW_LOAN, 2) = *row_of(w, POOL_ROW_POOL, 0);
    assert_refused(w, "pool", 0, "it is there twice");
    change(w, POOL_ROW_LOAN, 2)->kind = POOL_ROW_KINDS;
    assert_refused(w, "row", 2, "there is no such kind");
}

static void
test_numbers_that_are_wrong_are_refused(void **state)
{
    struct world *w = *state;
    change(w, POOL_ROW_LOAN, 1)->number = POOL_CAPACITY_MAX;
    assert_refused(w, "loan", POOL_CAPACITY_MAX, "its number is too high");
    change(w, POOL_ROW_OPENING, 0)->number = POOL_ROW_NONE;
    assert_refused(w, "opening", POOL_ROW_NONE, "its number is too high");
    change(w, POOL_ROW_LOAN, 1)->number = 2;
    assert_refused(w, "loan", 2, "it is there twice");
    change(w, POOL_ROW_OPENING, 0)->number = 1;
    assert_refused(w, "opening", 1, "it is there twice");
    change(w, POOL_ROW_ACCOUNT, 0)->account.key = 20;
    assert_refused(w, "account", 2, "another has its key");
}

static void
test_account_that_is_wrong_is_refused(void **state)
{
    struct world *w = *state;
    struct pool_row empty = {.kind = POOL_ROW_ACCOUNT, .number = 9, .account.weight = 1};
    change(w, POOL_ROW_ACCOUNT, 0)->account.weight = 0;
    assert_refused(w, "account", 0, "its weight is out of range");
    change(w, POOL_ROW_ACCOUNT, 2)->account.weight = POOL_WEIGHT_MAX + 1;
    assert_refused(w, "account", 2, "its weight is out of range");
    change(w, POOL_ROW_ACCOUNT, 2)->account.last_served = 1000;
    assert_refused(w, "account", 2, "its last turn is out of range");
    change(w, POOL_ROW_ACCOUNT, 2)->account.flags |= 1u << 31;
    assert_refused(w, "account", 2, "it has an unknown flag");
    change(w, POOL_ROW_ACCOUNT, 2)->account.flags = POOL_ROW_PAUSED | POOL_ROW_PAUSED_BY_OWNER;
    assert_refused(w, "account", 2, "it has an unknown flag");
    row_table_put(&w->rows, &empty);
    assert_refused(w, "account", 9, "nobody is in it");
}

static void
test_process_that_is_wrong_is_refused(void **state)
{
    struct world *w = *state;
    uint32_t make = pool_process_row(w->make), keeper = pool_process_row(w->keeper);
    change_process(w, w->make)->holding.account = 7;
    assert_refused(w, "process", make, "its account is missing");
    change_process(w, w->make)->holding.ordinal = 0;
    assert_refused(w, "process", make, "its ordinal is out of range");
    change_process(w, w->make)->holding.ordinal = UINT64_MAX;
    assert_refused(w, "process", make, "its ordinal is out of range");
    change_process(w, w->keeper)->holding.ordinal = process_row(w, w->wrapper)->holding.ordinal;
    assert_refused(w, "process", keeper, "another has its ordinal");
    change_process(w, w->make)->pid = -1;
    assert_refused(w, "process", make, "its pid is out of range");
    change_process(w, w->make)->flags |= POOL_ROW_PASSED_ON;
    assert_refused(w, "process", make, "it has an unknown flag");
    change_process(w, w->below)->flags |= POOL_ROW_PAYS_IMPLICIT;
    assert_refused(w, "process", pool_process_row(w->below),
                   "its implicit slot is paid for by no token");
    change_process(w, w->make)->holding.wish = 9;
    assert_refused(w, "process", make, "the opening through which it waits is missing");
}

static void
test_group_that_is_wrong_is_refused(void **state)
{
    struct world *w = *state;
    uint32_t keeper = pool_process_row(w->keeper);
    change_process(w, w->keeper)->group = 3;
    assert_refused(w, "process", keeper, "its group is missing");
    change_process(w, w->keeper)->joined = 0;
    assert_refused(w, "process", keeper, "the ordinal of its joining a group is wrong");
    change_process(w, w->make)->joined = 1;
    assert_refused(w, "process", pool_process_row(w->make),
                   "the ordinal of its joining a group is wrong");
    change_process(w, w->keeper)->holding.account = process_row(w, w->make)->holding.account;
    assert_refused(w, "process", keeper, "it is in another account than its group");
    change(w, POOL_ROW_GROUP, 0)->group.founder = pool_process_row(w->make);
    assert_refused(w, "group", 0, "its founder is not a member");
    change(w, POOL_ROW_GROUP, 0)->group.founder = 99;
    assert_refused(w, "group", 0, "its founder is missing");
    change(w, POOL_ROW_GROUP, 0)->group.flags = ~0u;
    assert_refused(w, "group", 0, "it has an unknown flag");
    for (int i = 0; i < 2; i++) {
        struct pool_row_process *member = change_process(w, i ? w->keeper : w->wrapper);
        member->group = POOL_ROW_NONE;
        member->joined = 0;
    }
    assert_refused(w, "group", 0, "it has no member");
}

static void
test_opening_or_loan_that_is_wrong_is_refused(void **state)
{
    struct world *w = *state;
    change(w, POOL_ROW_OPENING, 0)->opening.opener = 77;
    assert_refused(w, "opening", 0, "its opener is missing");
    change(w, POOL_ROW_OPENING, 2)->opening.group = 1;
    assert_refused(w, "opening", 2, "its group is missing");
    change(w, POOL_ROW_LOAN, 0)->loan.holder.number = 1000;
    assert_refused(w, "loan", 0, "its holder is missing");
    change(w, POOL_ROW_LOAN, 0)->loan.holder.kind = POOL_ROW_OPENING;
    assert_refused(w, "loan", 0, "its holder is missing");
    change(w, POOL_ROW_LOAN, 0)->loan.opening = 1000;
    assert_refused(w, "loan", 0, "its opening is missing");
    change(w, POOL_ROW_LOAN, 0)->loan.flags = 1;
    assert_refused(w, "loan", 0, "it has an unknown flag");
    change(w, POOL_ROW_LOAN, 0)->loan.ordinal = UINT64_MAX;
    assert_refused(w, "loan", 0, "its ordinal is out of range");
    change(w, POOL_ROW_LOAN, 0)->loan.flags = POOL_ROW_PASSED_ON;
    change(w, POOL_ROW_LOAN, 0)->loan.opening = POOL_ROW_NONE;
    assert_refused(w, "loan", 0, "it was passed on, and pays for no implicit slot");
}

static void
test_claim_that_is_wrong_is_refused(void **state)
{
    struct world *w = *state;
    uint32_t make = pool_process_row(w->make), below = pool_process_row(w->below),
             deeper = pool_process_row(w->deeper);
    change_process(w, w->below)->holding.claimed_from.number = 50;
    assert_refused(w, "process", below, "the holder of the token that it has claimed is missing");
    change_process(w, w->below)->holding.claim_ordinal = 0;
    assert_refused(w, "process", below, "the ordinal of its claim is out of range");
    struct pool_row_holding *holding = &change_process(w, w->make)->holding;
    holding->claimed_from = (struct pool_row_holder){POOL_ROW_PROCESS, deeper};
    holding->claim_ordinal = row_of(w, POOL_ROW_POOL, 0)->pool.next_ordinal;
    assert_refused(w, "process", make, "its claim is below itself");
    change_process(w, w->below)->holding.claimed_from.number = below;
    assert_refused(w, "process", below, "its claim is below itself");
    change_process(w, w->below)->holding.claimed_from.kind = 0;
    change_process(w, w->below)->holding.claim_ordinal = 0;
    assert_refused(w, "process", below, "more is claimed than it holds or has claimed");
}

/* Whatever bytes they are: a pool in which all agrees, or none. */
static void
test_any_byte_may_be_wrong(void **state)
{
    struct world *w = *state;
    uint64_t random = 88172645463325252u;
    unsigned restored = 0;
    for (int i = 0; i < MUTATIONS; i++) {
        for (int bytes = 1 + i % 3; bytes > 0; bytes--) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            unsigned kind = 1 + (unsigned)(random % (POOL_ROW_KINDS - 1));
            struct pool_row *row = &w->rows.rows[kind][random / 8 % w->rows.count[kind]];
            if (row->kind != 0)
                ((unsigned char *)row)[random / 512 % sizeof(*row)] =
                    (unsigned char)(random >> 56) % 8;
        }
        struct pool_row_fault fault = {0};
        struct pool *pool = row_table_restore(&w->rows, &fault);
        assert_true(pool ? pool_check(pool) == NULL : fault.what != NULL && errno == EINVAL);
        restored += pool != NULL;
        pool_destroy(pool);
        assert_int_equal(pool_follow(w->pool), 0);
        row_table_follow(&w->rows, w->pool);
    }
    assert_in_range(restored, 1, MUTATIONS - 1);
}

/* --- memory that runs out --- */

/* Many of everything that has a row; whatever fails is left out. */
static void
use_everything(struct pool *pool)
{
    struct pool_process *process;
    struct pool_opening *opening;
    struct pool_account *account;
    for (int i = 0; i < 40; i++) {
        account = pool_account(pool, USER, (uint64_t)i + 100);
        process = account ? pool_process_add(pool, 1000 + i, account, false) : NULL;
        opening = process ? pool_open(pool, process, NULL) : NULL;
        if (opening)
            pool_group_join(pool, opening, process, i % 2 ? (uint64_t)i + 200 : 0, MS);
        pool_set_capacity(pool, 10 + (unsigned)i, MS);
        if (opening)
            pool_read(pool, opening, process, true, NULL, NULL, MS);
    }
}

static void
test_memory_that_runs_out_is_refused(void **state)
{
    struct world *w = *state;
    unsigned nth = 0, restored = 0;
    bool has_failed;
    do {
        failing_memory_begin_once(++nth);
        struct pool_row_fault fault = {0};
        errno = 0;
        struct pool *pool = row_table_restore(&w->rows, &fault);
        if (pool)
            use_everything(pool);
        else
            assert_int_equal(errno, ENOMEM);
        has_failed = failing_memory_end();
        restored += pool != NULL;
        if (pool) {
            struct world all = {.pool = pool}, anew = {0};
            assert_int_equal(pool_follow(pool), 0);
            follow(&all);
            anew.pool = row_table_restore(&all.rows, &fault);
            assert_non_null(anew.pool);
            pool_destroy(anew.pool);
            row_table_clear(&all.rows);
        }
        pool_destroy(pool);
    } while (has_failed);
    assert_true(restored > 10 && restored < nth);
}

static void
test_following_without_memory_is_refused(void **state)
{
    (void)state;
    struct world w = {.pool = pool_create(4)};
    int result = -ENOMEM;
    assert_non_null(w.pool);
    populate(&w);
    for (unsigned nth = 1; result < 0; nth++) {
        failing_memory_begin_once(nth);
        result = pool_follow(w.pool);
        failing_memory_end();
        assert_true(result == 0 || result == -ENOMEM);
    }
    follow(&w);
    assert_int_equal(count_rows(&w, POOL_ROW_PROCESS), 5);
    row_table_clear(&w.rows);
    pool_destroy(w.pool);
}

#define ROWS_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nobody_follows_and_nothing_is_told),
        ROWS_TEST(test_each_kind_is_told),
        ROWS_TEST(test_each_row_is_told_once),
        ROWS_TEST(test_what_changes_nothing_tells_nothing),
        ROWS_TEST(test_what_has_ended_is_told_as_gone),
        ROWS_TEST(test_numbers_are_used_again),
        ROWS_TEST(test_who_follows_late_is_told_the_same),
        ROWS_TEST(test_more_tokens_have_more_rows),
        ROWS_TEST(test_restored_pool_goes_on),
        ROWS_TEST(test_settings_survive),
        ROWS_TEST(test_users_survive),
        ROWS_TEST(test_openings_get_their_owners),
        ROWS_TEST(test_due_answers_are_seen_before_they_are_taken),
        ROWS_TEST(test_taken_unseen_is_not_seen),
        ROWS_TEST(test_due_answers_are_seen_before_they_are_taken),
        ROWS_TEST(test_taken_unseen_is_not_seen),
        ROWS_TEST(test_waiters_and_what_is_set_aside_do_not_survive),
        ROWS_TEST(test_who_waits_for_a_claim_is_to_ask_again),
        ROWS_TEST(test_pool_row_that_is_wrong_is_refused),
        ROWS_TEST(test_numbers_that_are_wrong_are_refused),
        ROWS_TEST(test_account_that_is_wrong_is_refused),
        ROWS_TEST(test_process_that_is_wrong_is_refused),
        ROWS_TEST(test_group_that_is_wrong_is_refused),
        ROWS_TEST(test_opening_or_loan_that_is_wrong_is_refused),
        ROWS_TEST(test_claim_that_is_wrong_is_refused),
        ROWS_TEST(test_any_byte_may_be_wrong),
        ROWS_TEST(test_memory_that_runs_out_is_refused),
        cmocka_unit_test(test_following_without_memory_is_refused),
    };
    return cmocka_run_group_tests_name("pool_rows", tests, NULL, NULL);
}
