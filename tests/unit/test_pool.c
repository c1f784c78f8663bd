/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The rules of accounting, each by its number in docs/accounting.md. The server is a fake that writes
 * down what the pool asks of it; the clock is an argument and moves by a microsecond a call, so that
 * "who has waited longest" never is a tie.
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

#define MS INT64_C(1000000)
#define CROWD 200
#define USER 1000
#define ALICE 1001
#define MALLORY 1002

struct fixture {
    struct pool *pool;
    int64_t now_ns;
    pid_t last_pid;
    char events[8192];         /* "grant:a notify:b cancel:c", oldest first */
    char recalled[16];         /* who was asked last to give tokens back */
    const char *undeliverable; /* an answer to this reader says that it is gone */
};

/* A process with an open description of its own, or with an inherited one. */
struct actor {
    char name[16];
    struct pool_process *process;
    struct pool_opening *opening;
    struct pool_waiter *waiter;
};

/* --- the fake server --- */

static void
record(struct fixture *f, const char *event, const char *name)
{
    size_t used = strlen(f->events);
    int n = snprintf(f->events + used, sizeof(f->events) - used, "%s%s:%s", used ? " " : "", event,
                     name);
    assert_true(n > 0 && (size_t)n < sizeof(f->events) - used);
}

static void
grant(struct fixture *f, const struct pool_due *due)
{
    bool delivered = !f->undeliverable || strcmp(f->undeliverable, due->reader) != 0;

    record(f, delivered ? "grant" : "gone", due->reader);
    if (!delivered)
        pool_grant_failed(f->pool, due->opening, due->process, f->now_ns);
}

static void
answer_due(struct fixture *f)
{
    struct pool_due due;

    while (pool_next_due(f->pool, &due)) {
        switch (due.kind) {
        case POOL_DUE_GRANT:
            grant(f, &due);
            break;
        case POOL_DUE_CANCEL:
            record(f, "cancel", due.reader);
            break;
        case POOL_DUE_NOTIFY:
            record(f, "notify", due.owner);
            break;
        case POOL_DUE_RECALL:
            snprintf(f->recalled, sizeof(f->recalled), "%s", (const char *)due.owner);
            break;
        }
    }
}

/* What a call makes due is answered before the next one. */
#define pool_set_idle(...)                                                                         \
    do {                                                                                           \
        (pool_set_idle)(__VA_ARGS__);                                                              \
        answer_due(f);                                                                             \
    } while (0)
#define pool_claim_implicit(...)                                                                   \
    __extension__({                                                                                \
        __auto_type result_ = (pool_claim_implicit)(__VA_ARGS__);                                  \
        answer_due(f);                                                                             \
        result_;                                                                                   \
    })
#define pool_read(...)                                                                             \
    __extension__({                                                                                \
        __auto_type result_ = (pool_read)(__VA_ARGS__);                                            \
        answer_due(f);                                                                             \
        result_;                                                                                   \
    })
#define pool_write(...)                                                                            \
    __extension__({                                                                                \
        __auto_type result_ = (pool_write)(__VA_ARGS__);                                           \
        answer_due(f);                                                                             \
        result_;                                                                                   \
    })
#define pool_poll(...)                                                                             \
    __extension__({                                                                                \
        __auto_type result_ = (pool_poll)(__VA_ARGS__);                                            \
        answer_due(f);                                                                             \
        result_;                                                                                   \
    })
#define pool_set_capacity(...)                                                                     \
    __extension__({                                                                                \
        __auto_type result_ = (pool_set_capacity)(__VA_ARGS__);                                    \
        answer_due(f);                                                                             \
        result_;                                                                                   \
    })
#define pool_group_join(...)                                                                       \
    __extension__({                                                                                \
        __auto_type result_ = (pool_group_join)(__VA_ARGS__);                                      \
        answer_due(f);                                                                             \
        result_;                                                                                   \
    })
#define pool_pay_implicit(...)                                                                     \
    __extension__({                                                                                \
        __auto_type result_ = (pool_pay_implicit)(__VA_ARGS__);                                    \
        answer_due(f);                                                                             \
        result_;                                                                                   \
    })
#define pool_interrupt(...)                                                                        \
    do {                                                                                           \
        (pool_interrupt)(__VA_ARGS__);                                                             \
        answer_due(f);                                                                             \
    } while (0)
#define pool_grant_failed(...)                                                                     \
    do {                                                                                           \
        (pool_grant_failed)(__VA_ARGS__);                                                          \
        answer_due(f);                                                                             \
    } while (0)
#define pool_process_died(...)                                                                     \
    do {                                                                                           \
        (pool_process_died)(__VA_ARGS__);                                                          \
        answer_due(f);                                                                             \
    } while (0)
#define pool_close(...)                                                                            \
    do {                                                                                           \
        (pool_close)(__VA_ARGS__);                                                                 \
        answer_due(f);                                                                             \
    } while (0)
#define pool_account_set_weight(...)                                                               \
    do {                                                                                           \
        (pool_account_set_weight)(__VA_ARGS__);                                                    \
        answer_due(f);                                                                             \
    } while (0)
#define pool_set_per_user_limit(...)                                                               \
    do {                                                                                           \
        (pool_set_per_user_limit)(__VA_ARGS__);                                                    \
        answer_due(f);                                                                             \
    } while (0)
#define pool_set_per_process_limit(...)                                                            \
    do {                                                                                           \
        (pool_set_per_process_limit)(__VA_ARGS__);                                                 \
        answer_due(f);                                                                             \
    } while (0)
#define pool_account_set_pause(...)                                                                \
    do {                                                                                           \
        (pool_account_set_pause)(__VA_ARGS__);                                                     \
        answer_due(f);                                                                             \
    } while (0)
#define pool_set_throttle(...)                                                                     \
    do {                                                                                           \
        (pool_set_throttle)(__VA_ARGS__);                                                          \
        answer_due(f);                                                                             \
    } while (0)
#define pool_expire(...)                                                                           \
    do {                                                                                           \
        (pool_expire)(__VA_ARGS__);                                                                \
        answer_due(f);                                                                             \
    } while (0)

static int
setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    *state = f;
    return f ? 0 : -1;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;
    if (f->pool)
        pool_destroy(f->pool);
    free(f);
    return 0;
}

static struct fixture *
begin(void **state, unsigned capacity)
{
    struct fixture *f = *state;
    f->now_ns = 1000 * MS;
    f->last_pid = 100;
    f->pool = pool_create(capacity);
    assert_non_null(f->pool);
    return f;
}

/* --- looking at the pool --- */

static struct pool_status
status(const struct fixture *f)
{
    struct pool_status s;
    pool_get_status(f->pool, &s);
    return s;
}

/* Rule 1, as its sentence reads; pool_check() looks at everything behind it. */
static void
check(const struct fixture *f)
{
    struct pool_status s = status(f);
    const char *wrong = pool_check(f->pool);
    if (wrong)
        fail_msg("pool_check: %s", wrong);
    assert_int_equal(s.free + s.held + s.reserved, s.capacity + s.debt);
    assert_true(s.debt == 0 || (s.free == 0 && s.reserved == 0));
}

static int64_t
tick(struct fixture *f)
{
    check(f);
    return f->now_ns += 1000;
}

#define expect_events(f, text)                                                                     \
    do {                                                                                           \
        assert_string_equal((f)->events, text);                                                    \
        (f)->events[0] = '\0';                                                                     \
    } while (0)

#define expect_tokens(f, want_free, want_held, want_reserved, want_debt)                           \
    do {                                                                                           \
        check(f);                                                                                  \
        struct pool_status seen = status(f);                                                       \
        assert_int_equal(seen.free, want_free);                                                    \
        assert_int_equal(seen.held, want_held);                                                    \
        assert_int_equal(seen.reserved, want_reserved);                                            \
        assert_int_equal(seen.debt, want_debt);                                                    \
    } while (0)

/* The line of the list that this process, as the first of its group if it is in one, has; all zero
 * if it neither holds nor waits. */
static struct pool_client
line_of(const struct fixture *f, const struct actor *a)
{
    struct pool_client client;
    uint64_t cursor = 0;
    while (pool_get_clients(f->pool, &cursor, &client, 1) == 1) {
        if (client.pid == pool_process_pid(a->process))
            return client;
    }
    memset(&client, 0, sizeof(client));
    return client;
}

static unsigned
held_by(const struct fixture *f, const struct actor *a)
{
    return line_of(f, a).held;
}

/* --- what clients do --- */

static struct actor
born_as(struct fixture *f, const char *name, uint32_t uid, uint64_t key, bool paid_by_parent)
{
    struct actor a = {0};
    snprintf(a.name, sizeof(a.name), "%s", name);
    struct pool_account *account = pool_account(f->pool, uid, key);
    assert_non_null(account);
    a.process = pool_process_add(f->pool, ++f->last_pid, account, paid_by_parent);
    assert_non_null(a.process);
    return a;
}

static struct actor
born(struct fixture *f, const char *name, uint64_t key, bool paid_by_parent)
{
    return born_as(f, name, USER, key, paid_by_parent);
}

/* The pool keeps the pointer to the name, so the actor must not move after this. */
static void
opens(struct fixture *f, struct actor *a)
{
    a->opening = pool_open(f->pool, a->process, a->name);
    assert_non_null(a->opening);
}

#define NEW_CLIENT(f, var, key)                                                                    \
    struct actor var = born(f, #var, key, false);                                                  \
    opens(f, &(var))

#define NEW_CLIENT_OF(f, var, uid, key)                                                            \
    struct actor var = born_as(f, #var, uid, key, false);                                          \
    opens(f, &(var))

/* A child that reads and writes through its parent's description. */
#define NEW_HEIR(f, var, key, parent)                                                              \
    struct actor var = born(f, #var, key, true);                                                   \
    (var).opening = (parent).opening

static enum pool_answer
read_now(struct fixture *f, struct actor *a)
{
    enum pool_answer answer = pool_read(f->pool, a->opening, a->process, true, NULL, NULL, tick(f));
    check(f);
    return answer;
}

static void
take(struct fixture *f, struct actor *a)
{
    assert_int_equal(read_now(f, a), POOL_GRANTED);
}

static enum pool_answer
read_blocking(struct fixture *f, struct actor *a)
{
    enum pool_answer answer =
        pool_read(f->pool, a->opening, a->process, false, a->name, &a->waiter, tick(f));
    check(f);
    return answer;
}

static void
block(struct fixture *f, struct actor *a)
{
    assert_int_equal(read_blocking(f, a), POOL_WAITS);
}

static bool
polls(struct fixture *f, struct actor *a)
{
    bool readable = pool_poll(f->pool, a->opening, a->process, true, tick(f));
    check(f);
    return readable;
}

static size_t
writes(struct fixture *f, struct actor *a, size_t n)
{
    size_t credited = pool_write(f->pool, a->opening, a->process, n, tick(f));
    check(f);
    return credited;
}

static void
give(struct fixture *f, struct actor *a, size_t n)
{
    assert_int_equal(writes(f, a, n), n);
}

static void
die(struct fixture *f, struct actor *a)
{
    pool_process_died(f->pool, a->process, tick(f));
    a->process = NULL;
    check(f);
}

static void
closes(struct fixture *f, struct actor *a)
{
    pool_close(f->pool, a->opening, tick(f));
    a->opening = NULL;
    check(f);
}

static void
resize(struct fixture *f, unsigned capacity)
{
    assert_int_equal(pool_set_capacity(f->pool, capacity, tick(f)), 0);
    check(f);
}

static void
expire_at(struct fixture *f, int64_t when_ns)
{
    assert_true(when_ns >= f->now_ns);
    f->now_ns = when_ns;
    pool_expire(f->pool, when_ns);
    check(f);
}

/* As a server asks for one ancestor. */
static bool
claims(struct fixture *f, struct actor *a, struct actor *ancestor)
{
    bool paid = pool_claim_implicit(f->pool, a->process, ancestor->process, tick(f));
    check(f);
    return paid;
}

/* The same, and who asks in vain waits. */
static bool
awaits(struct fixture *f, struct actor *a, struct actor *ancestor)
{
    bool is_paid = claims(f, a, ancestor);

    if (!is_paid)
        assert_int_equal(pool_await_claim(f->pool, a->opening, a->process, &ancestor->process, 1),
                         0);
    assert_int_equal(pool_process_awaits_claim(a->process), !is_paid);
    check(f);
    return is_paid;
}

/* All tokens but what others hold go to `a`. */
static void
take_all(struct fixture *f, struct actor *a)
{
    while (status(f).free > 0)
        take(f, a);
}

/* --- rule 1: no token is made or lost --- */

static void
test_rule1_reads_and_writes_keep_the_sum(void **state)
{
    struct fixture *f = begin(state, 3);
    expect_tokens(f, 3, 0, 0, 0);
    NEW_CLIENT(f, a, 1);
    NEW_CLIENT(f, b, 2);
    take(f, &a);
    take(f, &b);
    expect_tokens(f, 1, 2, 0, 0);
    take(f, &a);
    expect_tokens(f, 0, 3, 0, 0);
    give(f, &a, 2);
    give(f, &b, 1);
    expect_tokens(f, 3, 0, 0, 0);
    assert_int_equal(status(f).granted, 3);
    assert_int_equal(status(f).returned, 3);
}

static void
test_rule1_closing_a_description_returns_nothing_that_is_held(void **state)
{
    struct fixture *f = begin(state, 2);
    NEW_CLIENT(f, a, 1);
    take(f, &a);
    closes(f, &a);
    expect_tokens(f, 1, 1, 0, 0);
    opens(f, &a);
    give(f, &a, 1);
    expect_tokens(f, 2, 0, 0, 0);
}

static void
test_rule1_token_of_a_reader_that_is_gone_goes_to_the_next(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, h, 1);
    NEW_CLIENT(f, gone, 2);
    NEW_CLIENT(f, next, 3);
    take(f, &h);
    block(f, &gone);
    block(f, &next);
    f->undeliverable = "gone";
    give(f, &h, 1);
    expect_events(f, "gone:gone grant:next");
    expect_tokens(f, 0, 1, 0, 0);
    assert_int_equal(held_by(f, &gone), 0);
    assert_int_equal(held_by(f, &next), 1);
    assert_int_equal(status(f).waiting, 0);
}

static void
test_rule1_token_of_a_reader_that_is_gone_stays(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, h, 1);
    NEW_CLIENT(f, gone, 2);
    take(f, &h);
    block(f, &gone);
    f->undeliverable = "gone";
    give(f, &h, 1);
    expect_tokens(f, 1, 0, 0, 0);
}

static void
test_rule1_failed_answer_gives_the_token_back(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, a, 1);
    NEW_CLIENT(f, b, 2);
    take(f, &a);
    block(f, &b);
    pool_grant_failed(f->pool, a.opening, a.process, tick(f));
    expect_events(f, "grant:b");
    expect_tokens(f, 0, 1, 0, 0);
    assert_int_equal(held_by(f, &a), 0);
    give(f, &b, 1);
    take(f, &a);
    pool_grant_failed(f->pool, a.opening, a.process, tick(f));
    expect_tokens(f, 1, 0, 0, 0);
}

static void
test_rule1_failed_answer_through_an_opener_is_taken_from_the_opener(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, shell, 1);
    NEW_HEIR(f, dd, 1, shell);
    take(f, &dd);
    pool_grant_failed(f->pool, dd.opening, dd.process, tick(f));
    expect_tokens(f, 1, 0, 0, 0);
    assert_int_equal(held_by(f, &shell), 0);
}

static void
test_rule1_capacity_out_of_range_is_refused(void **state)
{
    struct fixture *f = begin(state, 2);
    errno = 0;
    assert_null(pool_create(POOL_CAPACITY_MAX + 1));
    assert_int_equal(errno, EINVAL);
    assert_int_equal(pool_set_capacity(f->pool, POOL_CAPACITY_MAX + 1, tick(f)), -EINVAL);
    assert_int_equal(pool_set_capacity(f->pool, UINT32_MAX, tick(f)), -EINVAL);
    expect_tokens(f, 2, 0, 0, 0);
    resize(f, POOL_CAPACITY_MAX);
    expect_tokens(f, POOL_CAPACITY_MAX, 0, 0, 0);
    resize(f, 1);
    expect_tokens(f, 1, 0, 0, 0);
}

static void
test_rule1_largest_pool_can_be_drained_and_filled(void **state)
{
    struct fixture *f = begin(state, POOL_CAPACITY_MAX);
    NEW_CLIENT(f, a, 1);
    for (unsigned i = 0; i < POOL_CAPACITY_MAX; i++)
        assert_int_equal(pool_read(f->pool, a.opening, a.process, true, NULL, NULL, ++f->now_ns),
                         POOL_GRANTED);
    expect_tokens(f, 0, POOL_CAPACITY_MAX, 0, 0);
    assert_int_equal(read_now(f, &a), POOL_TRY_AGAIN);
    give(f, &a, POOL_CAPACITY_MAX);
    expect_tokens(f, POOL_CAPACITY_MAX, 0, 0, 0);
}

/* --- rule 2: implicit slots are paid for, or shown --- */

static void
test_rule2_direct_client_is_shown_as_unpaid(void **state)
{
    struct fixture *f = begin(state, 4);
    NEW_CLIENT(f, a, 1);
    NEW_CLIENT(f, b, 2);
    take(f, &a);
    take(f, &b);
    assert_int_equal(status(f).unpaid, 2);
    assert_true(line_of(f, &a).is_unpaid);
    die(f, &a);
    assert_int_equal(status(f).unpaid, 1);
    die(f, &b);
    assert_int_equal(status(f).unpaid, 0);
}

static void
test_rule2_client_below_a_client_is_paid(void **state)
{
    struct fixture *f = begin(state, 4);
    NEW_CLIENT(f, a, 1);
    take(f, &a);
    struct actor sub = born(f, "sub", 1, true);
    opens(f, &sub);
    take(f, &sub);
    assert_int_equal(status(f).unpaid, 1);
    assert_false(line_of(f, &sub).is_unpaid);
}

static void
test_rule2_paying_takes_one_of_the_held_tokens(void **state)
{
    struct fixture *f = begin(state, 4);
    NEW_CLIENT(f, a, 1);
    assert_int_equal(pool_pay_implicit(f->pool, a.opening, a.process, tick(f)), -EINVAL);
    take(f, &a);
    assert_int_equal(pool_pay_implicit(f->pool, a.opening, a.process, tick(f)), 0);
    expect_tokens(f, 3, 1, 0, 0);
    assert_true(line_of(f, &a).pays_implicit);
    assert_false(line_of(f, &a).is_unpaid);
    assert_int_equal(status(f).unpaid, 0);
}

static void
test_rule2_claims_never_exceed_what_the_ancestor_holds(void **state)
{
    struct fixture *f = begin(state, 4);
    NEW_CLIENT(f, emerge, 1);
    struct actor child[3];
    for (int i = 0; i < 3; i++)
        child[i] = born(f, "child", 1, true);
    assert_false(claims(f, &child[0], &emerge));
    take(f, &emerge);
    take(f, &emerge);
    assert_true(claims(f, &child[0], &emerge));
    assert_true(claims(f, &child[1], &emerge));
    assert_false(claims(f, &child[2], &emerge));
    assert_int_equal(line_of(f, &emerge).claims, 2);
    expect_tokens(f, 2, 2, 0, 0);
}

static void
test_rule2_second_claim_is_granted_by_the_first(void **state)
{
    struct fixture *f = begin(state, 4);
    NEW_CLIENT(f, emerge, 1);
    take(f, &emerge);
    struct actor child = born(f, "child", 1, true);
    assert_true(claims(f, &child, &emerge));
    assert_true(claims(f, &child, &emerge));
    assert_int_equal(line_of(f, &emerge).claims, 1);
}

static void
test_rule2_claim_ends_with_the_claimant(void **state)
{
    struct fixture *f = begin(state, 4);
    NEW_CLIENT(f, emerge, 1);
    take(f, &emerge);
    struct actor one = born(f, "one", 1, true), two = born(f, "two", 1, true);
    assert_true(claims(f, &one, &emerge));
    assert_false(claims(f, &two, &emerge));
    die(f, &one);
    assert_int_equal(line_of(f, &emerge).claims, 0);
    assert_true(claims(f, &two, &emerge));
}

static void
test_rule2_claim_ends_with_the_token(void **state)
{
    struct fixture *f = begin(state, 4);
    NEW_CLIENT(f, emerge, 1);
    take(f, &emerge);
    struct actor one = born(f, "one", 1, true), two = born(f, "two", 1, true);
    assert_true(claims(f, &one, &emerge));
    give(f, &emerge, 1);
    assert_int_equal(line_of(f, &emerge).claims, 0);
    take(f, &emerge);
    assert_true(claims(f, &two, &emerge));
    assert_int_equal(line_of(f, &emerge).claims, 1);
}

static void
test_rule2_token_that_is_returned_goes_on_to_pay_for_who_claimed_it(void **state)
{
    struct fixture *f = begin(state, 2);
    NEW_CLIENT(f, make, 1);
    NEW_CLIENT(f, one, 1);
    NEW_CLIENT(f, two, 1);
    NEW_CLIENT(f, late, 2);
    take_all(f, &make);
    assert_true(claims(f, &one, &make));
    block(f, &late);
    /* One of its tokens is nobody's claim. */
    give(f, &make, 1);
    expect_events(f, "grant:late");
    assert_int_equal(held_by(f, &one), 0);
    block(f, &late);
    give(f, &make, 1);
    expect_events(f, "");
    assert_int_equal(held_by(f, &one), 1);
    assert_true(line_of(f, &one).pays_implicit);
    assert_true(claims(f, &one, &make));
    assert_true(pool_claim_implicit(f->pool, one.process, NULL, tick(f)));
    assert_false(pool_claim_implicit(f->pool, two.process, NULL, tick(f)));
    /* It knows nothing of it: what it writes is no return. */
    assert_int_equal(writes(f, &one, 1), 0);
    assert_int_equal(status(f).returned, 2);
    expect_tokens(f, 0, 2, 0, 0);
    die(f, &one);
    expect_events(f, "grant:late");
    expect_tokens(f, 0, 2, 0, 0);
}

static void
test_rule2_token_that_is_returned_pays_for_nobody_twice(void **state)
{
    struct fixture *f = begin(state, 2);
    NEW_CLIENT(f, make, 1);
    NEW_CLIENT(f, one, 1);
    take(f, &make);
    assert_true(claims(f, &one, &make));
    take(f, &one);
    assert_int_equal(pool_pay_implicit(f->pool, one.opening, one.process, tick(f)), 0);
    give(f, &make, 1);
    expect_tokens(f, 1, 1, 0, 0);
}

static void
test_rule2_token_that_is_returned_pays_for_jobs_whose_gate_is_dead(void **state)
{
    struct fixture *f = begin(state, 3);
    NEW_CLIENT(f, make, 1);
    NEW_CLIENT(f, gate, 1);
    NEW_HEIR(f, keeper, 1, gate);
    NEW_CLIENT(f, one, 1);
    assert_int_equal(pool_group_join(f->pool, gate.opening, gate.process, 1000, tick(f)), 0);
    assert_int_equal(pool_group_join(f->pool, gate.opening, keeper.process, 1000, tick(f)), 0);
    take(f, &make);
    take(f, &make);
    assert_true(claims(f, &gate, &make));
    assert_true(claims(f, &one, &make));
    assert_true(pool_process_has_claimed(keeper.process));
    die(f, &gate);
    assert_true(pool_write_ends_claims(make.process, 1));
    give(f, &make, 1);
    expect_tokens(f, 1, 2, 0, 0);
    assert_false(pool_process_has_claimed(keeper.process));
    assert_int_equal(pool_held(gate.opening), 1);
    assert_true(pool_process_has_claimed(one.process));
    assert_int_equal(line_of(f, &make).claims, 1);
    die(f, &keeper);
    expect_tokens(f, 2, 1, 0, 0);
}

static void
test_rule2_return_that_would_end_claims_is_known_before(void **state)
{
    struct fixture *f = begin(state, 4);
    NEW_CLIENT(f, make, 1);
    NEW_CLIENT(f, one, 1);
    NEW_CLIENT(f, two, 1);
    take_all(f, &make);
    assert_false(pool_write_ends_claims(make.process, 4));
    assert_true(claims(f, &one, &make));
    assert_true(claims(f, &two, &make));
    assert_false(pool_write_ends_claims(make.process, 2));
    assert_true(pool_write_ends_claims(make.process, 3));
    assert_true(pool_write_ends_claims(make.process, SIZE_MAX));
    assert_false(pool_write_ends_claims(one.process, 1));
}

static void
test_rule2_claim_ends_with_the_ancestor(void **state)
{
    struct fixture *f = begin(state, 4);
    NEW_CLIENT(f, emerge, 1);
    NEW_CLIENT(f, portage, 1);
    take(f, &emerge);
    struct actor child = born(f, "child", 1, true);
    assert_true(claims(f, &child, &emerge));
    die(f, &emerge);
    assert_false(claims(f, &child, &portage));
    take(f, &portage);
    assert_true(claims(f, &child, &portage));
    assert_int_equal(line_of(f, &portage).claims, 1);
}

static void
test_rule2_what_is_claimed_may_be_claimed_on(void **state)
{
    struct fixture *f = begin(state, 4);
    NEW_CLIENT(f, pytest, 1);
    take(f, &pytest);
    struct actor inner = born(f, "inner", 1, true), jobwrap = born(f, "jobwrap", 1, true);
    struct actor other = born(f, "other", 1, true);
    assert_true(claims(f, &inner, &pytest));
    assert_false(claims(f, &jobwrap, &pytest));
    assert_true(claims(f, &jobwrap, &inner));
    assert_false(claims(f, &other, &inner));
    assert_int_equal(line_of(f, &pytest).claims, 1);
    give(f, &pytest, 1);
    take(f, &pytest);
    /* The token is inner's own now, and claimed as before. */
    assert_int_equal(line_of(f, &pytest).claims, 0);
    assert_int_equal(held_by(f, &inner), 1);
    assert_false(claims(f, &other, &inner));
    assert_true(claims(f, &other, &pytest));
}

static void
test_rule2_no_claim_is_below_itself(void **state)
{
    struct fixture *f = begin(state, 4);
    NEW_CLIENT(f, one, 1);
    take(f, &one);
    struct actor two = born(f, "two", 1, true);
    assert_true(claims(f, &two, &one));
    assert_false(claims(f, &one, &two));
    die(f, &two);
    assert_false(awaits(f, &one, &one));
}

static void
test_rule2_claiming_pays_the_slot_of_the_claimant(void **state)
{
    struct fixture *f = begin(state, 4);
    NEW_CLIENT(f, emerge, 1);
    NEW_CLIENT(f, make, 1);
    take(f, &emerge);
    take(f, &make);
    unsigned before = status(f).unpaid;
    assert_true(claims(f, &make, &emerge));
    assert_int_equal(status(f).unpaid, before - 1);
    assert_false(line_of(f, &make).is_unpaid);
}

static void
test_rule2_tokens_of_a_group_can_be_claimed_through_any_member(void **state)
{
    struct fixture *f = begin(state, 4);
    NEW_CLIENT(f, wrap, 1);
    NEW_HEIR(f, keeper, 1, wrap);
    assert_int_equal(pool_group_join(f->pool, wrap.opening, wrap.process, 1000, tick(f)), 0);
    assert_int_equal(pool_group_join(f->pool, wrap.opening, keeper.process, 1000, tick(f)), 0);
    take(f, &wrap);
    struct actor one = born(f, "one", 1000, true), two = born(f, "two", 1000, true);
    assert_true(claims(f, &one, &keeper));
    assert_false(claims(f, &two, &wrap));
    assert_int_equal(line_of(f, &wrap).claims, 1);
}

/* --- rule 2: who waits for a token waits for a claim as well --- */

static void
test_rule2_claim_that_ends_is_the_next_ones_who_asked(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, make, 1);
    NEW_CLIENT(f, one, 1);
    NEW_CLIENT(f, two, 1);
    NEW_CLIENT(f, three, 1);
    take(f, &make);
    assert_true(awaits(f, &one, &make));
    assert_false(awaits(f, &two, &make));
    assert_false(awaits(f, &three, &make));
    assert_false(polls(f, &two));
    assert_false(polls(f, &three));
    die(f, &one);
    expect_events(f, "notify:two");
    assert_int_equal(line_of(f, &make).claims, 1);
    assert_true(line_of(f, &two).has_claimed);
    assert_false(line_of(f, &three).has_claimed);
    assert_true(awaits(f, &two, &make));
    die(f, &two);
    expect_events(f, "notify:three");
    assert_true(awaits(f, &three, &make));
    expect_tokens(f, 0, 1, 0, 0);
}

static void
test_rule2_poll_tells_of_a_claim_until_it_is_asked_for(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, make, 1);
    NEW_CLIENT(f, one, 1);
    NEW_CLIENT(f, two, 1);
    take(f, &make);
    assert_true(awaits(f, &one, &make));
    assert_false(awaits(f, &two, &make));
    die(f, &one);
    /* It had not begun to poll; what it tries before it does tells nothing. */
    assert_int_equal(read_now(f, &two), POOL_TRY_AGAIN);
    assert_true(polls(f, &two));
    assert_true(polls(f, &two));
    assert_true(pool_claim_has_come(two.opening));
    assert_true(awaits(f, &two, &make));
    assert_false(pool_claim_has_come(two.opening));
    assert_false(polls(f, &two));
}

static void
test_rule2_who_has_the_claim_waits_for_no_token(void **state)
{
    struct fixture *f = begin(state, 2);
    NEW_CLIENT(f, make, 1);
    NEW_CLIENT(f, h, 2);
    NEW_CLIENT(f, one, 1);
    NEW_CLIENT(f, two, 1);
    NEW_CLIENT(f, late, 3);
    take(f, &make);
    take(f, &h);
    assert_true(awaits(f, &one, &make));
    assert_false(awaits(f, &two, &make));
    assert_false(polls(f, &two));
    assert_int_equal(status(f).waiting, 1);
    give(f, &h, 1);
    assert_true(polls(f, &two));
    expect_tokens(f, 0, 1, 1, 0);
    block(f, &late);
    f->events[0] = '\0';
    die(f, &one);
    /* What was set aside for it is the next one's. */
    expect_events(f, "notify:two grant:late");
    expect_tokens(f, 0, 2, 0, 0);
    assert_int_equal(status(f).waiting, 0);
}

static void
test_rule2_who_gets_a_token_waits_for_no_claim(void **state)
{
    struct fixture *f = begin(state, 2);
    NEW_CLIENT(f, make, 1);
    NEW_CLIENT(f, h, 2);
    NEW_CLIENT(f, one, 1);
    NEW_CLIENT(f, two, 1);
    NEW_CLIENT(f, three, 1);
    take(f, &make);
    take(f, &h);
    assert_true(awaits(f, &one, &make));
    assert_false(awaits(f, &two, &make));
    assert_false(awaits(f, &three, &make));
    assert_false(polls(f, &two));
    give(f, &h, 1);
    take(f, &two);
    f->events[0] = '\0';
    die(f, &one);
    expect_events(f, "notify:three");
    assert_false(line_of(f, &two).has_claimed);
}

static void
test_rule2_blocked_reader_that_is_granted_waits_for_no_claim(void **state)
{
    struct fixture *f = begin(state, 2);
    NEW_CLIENT(f, make, 1);
    NEW_CLIENT(f, h, 2);
    NEW_CLIENT(f, one, 1);
    NEW_CLIENT(f, two, 1);
    take(f, &make);
    take(f, &h);
    assert_true(awaits(f, &one, &make));
    assert_false(awaits(f, &two, &make));
    block(f, &two);
    give(f, &h, 1);
    expect_events(f, "grant:two");
    die(f, &one);
    expect_events(f, "");
    assert_int_equal(line_of(f, &make).claims, 0);
}

static void
test_rule2_token_that_an_ancestor_gets_is_claimed(void **state)
{
    struct fixture *f = begin(state, 2);
    NEW_CLIENT(f, h, 2);
    NEW_CLIENT(f, make, 1);
    NEW_CLIENT(f, one, 1);
    take_all(f, &h);
    assert_false(awaits(f, &one, &make));
    assert_false(polls(f, &one));
    block(f, &make);
    give(f, &h, 1);
    /* It waits for nothing any more, and the second is free. */
    give(f, &h, 1);
    assert_non_null(strstr(f->events, "notify:one"));
    assert_true(awaits(f, &one, &make));
    assert_int_equal(line_of(f, &make).claims, 1);
    assert_int_equal(status(f).waiting, 0);
}

static void
test_rule2_what_has_come_late_is_claimed_on(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, make, 1);
    NEW_CLIENT(f, one, 1);
    NEW_CLIENT(f, outer, 1);
    NEW_CLIENT(f, inner, 1);
    take(f, &make);
    assert_true(awaits(f, &one, &make));
    assert_false(awaits(f, &inner, &outer));
    assert_false(awaits(f, &outer, &make));
    die(f, &one);
    assert_true(awaits(f, &outer, &make));
    assert_true(awaits(f, &inner, &outer));
    assert_int_equal(line_of(f, &make).claims, 1);
    die(f, &outer);
    assert_false(line_of(f, &inner).has_claimed);
}

static void
test_rule2_wait_for_a_claim_ends_with_who_waits(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, make, 1);
    NEW_CLIENT(f, one, 1);
    NEW_CLIENT(f, dead, 1);
    NEW_CLIENT(f, closed, 1);
    NEW_CLIENT(f, two, 1);
    take(f, &make);
    assert_true(awaits(f, &one, &make));
    assert_false(awaits(f, &dead, &make));
    assert_false(awaits(f, &closed, &make));
    assert_false(awaits(f, &two, &make));
    die(f, &dead);
    closes(f, &closed);
    die(f, &one);
    expect_events(f, "notify:two");
    die(f, &two);
    assert_int_equal(line_of(f, &make).claims, 0);
}

static void
test_rule2_dead_ancestor_has_nothing_to_claim(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, make, 1);
    NEW_CLIENT(f, one, 1);
    assert_false(awaits(f, &one, &make));
    die(f, &make);
    NEW_CLIENT(f, other, 1);
    take(f, &other);
    expect_events(f, "");
    assert_false(polls(f, &one));
}

static void
test_rule2_wait_for_a_claim_goes_on_in_a_group(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, make, 1);
    NEW_CLIENT(f, one, 1);
    NEW_CLIENT(f, wrap, 1);
    NEW_HEIR(f, keeper, 1, wrap);
    take(f, &make);
    assert_true(awaits(f, &one, &make));
    assert_false(awaits(f, &wrap, &make));
    assert_int_equal(pool_group_join(f->pool, wrap.opening, wrap.process, 1000, tick(f)), 0);
    assert_int_equal(pool_group_join(f->pool, wrap.opening, keeper.process, 1000, tick(f)), 0);
    assert_false(polls(f, &wrap));
    die(f, &one);
    expect_events(f, "notify:wrap");
    assert_true(line_of(f, &wrap).has_claimed);
    assert_true(awaits(f, &wrap, &make));
    die(f, &wrap);
    assert_int_equal(line_of(f, &make).claims, 1); /* until the keeper has died, too */
    die(f, &keeper);
    assert_int_equal(line_of(f, &make).claims, 0);
}

static void
test_rule2_tokens_of_a_group_come_to_who_waits_below_a_member(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, wrap, 1);
    NEW_HEIR(f, keeper, 1, wrap);
    NEW_CLIENT(f, one, 1);
    assert_int_equal(pool_group_join(f->pool, wrap.opening, wrap.process, 1000, tick(f)), 0);
    take(f, &wrap);
    assert_false(awaits(f, &one, &keeper));
    assert_int_equal(pool_group_join(f->pool, wrap.opening, keeper.process, 1000, tick(f)), 0);
    expect_events(f, "notify:one");
    assert_true(awaits(f, &one, &keeper));
    NEW_CLIENT(f, two, 1);
    assert_false(awaits(f, &two, &keeper));
    give(f, &wrap, 1);
    die(f, &one);
    take(f, &wrap);
    expect_events(f, "notify:two");
    assert_true(awaits(f, &two, &keeper));
}

static void
test_rule2_claim_that_is_lost_before_it_is_asked_for(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, make, 1);
    NEW_CLIENT(f, one, 1);
    NEW_CLIENT(f, two, 1);
    take(f, &make);
    assert_true(awaits(f, &one, &make));
    assert_false(awaits(f, &two, &make));
    die(f, &one);
    expect_events(f, "notify:two");
    die(f, &make);
    NEW_CLIENT(f, other, 1);
    take(f, &other);
    assert_true(polls(f, &two));
    NEW_CLIENT(f, third, 1);
    assert_true(claims(f, &third, &other));
    assert_false(awaits(f, &two, &other));
    assert_false(polls(f, &two));
    die(f, &third);
    expect_events(f, "notify:two");
    assert_true(awaits(f, &two, &other));
}

static void
test_rule2_token_that_is_passed_on_before_it_is_asked_for(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, make, 1);
    NEW_CLIENT(f, one, 1);
    NEW_CLIENT(f, two, 1);
    take(f, &make);
    assert_true(awaits(f, &one, &make));
    assert_false(awaits(f, &two, &make));
    die(f, &one);
    expect_events(f, "notify:two");
    give(f, &make, 1);
    assert_int_equal(held_by(f, &two), 1);
    assert_true(polls(f, &two));
    assert_true(awaits(f, &two, &make));
    assert_false(polls(f, &two));
}

/* A jobwrap that has claimed the token of a make becomes a group a moment later; meanwhile the make may have
 * returned the token. */
static void
test_rule2_token_that_is_passed_on_before_its_claimer_is_a_group(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, make, 1);
    NEW_CLIENT(f, wrap, 1);
    take(f, &make);
    assert_true(claims(f, &wrap, &make));
    give(f, &make, 1);
    assert_int_equal(held_by(f, &wrap), 1);
    assert_int_equal(pool_group_join(f->pool, wrap.opening, wrap.process, 1000, tick(f)), 0);
    check(f);
    assert_int_equal(pool_held(wrap.opening), 1);
    expect_tokens(f, 0, 1, 0, 0);
    die(f, &wrap);
    expect_tokens(f, 1, 0, 0, 0);
}

static void
test_rule2_client_that_does_not_ask_again_is_told_once(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, make, 1);
    NEW_CLIENT(f, one, 1);
    NEW_CLIENT(f, old, 1);
    take(f, &make);
    assert_true(awaits(f, &one, &make));
    assert_false(awaits(f, &old, &make));
    assert_false(polls(f, &old));
    die(f, &one);
    expect_events(f, "notify:old");
    assert_true(polls(f, &old));
    assert_int_equal(read_now(f, &old), POOL_TRY_AGAIN);
    assert_false(polls(f, &old));
    assert_true(line_of(f, &old).has_claimed);
}

static void
test_rule2_asking_again_keeps_the_place(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, make, 1);
    NEW_CLIENT(f, one, 1);
    NEW_CLIENT(f, two, 1);
    NEW_CLIENT(f, three, 1);
    take(f, &make);
    assert_true(awaits(f, &one, &make));
    assert_false(awaits(f, &two, &make));
    assert_false(awaits(f, &three, &make));
    assert_false(awaits(f, &two, &make));
    die(f, &one);
    expect_events(f, "notify:two");
}

static void
test_rule2_idle_tokens_pay_for_nobody(void **state)
{
    struct fixture *f = begin(state, 3);
    NEW_CLIENT(f, wrap, 1);
    NEW_CLIENT(f, one, 1);
    NEW_CLIENT(f, two, 1);
    assert_int_equal(pool_group_join(f->pool, wrap.opening, wrap.process, 1000, tick(f)), 0);
    take_all(f, &wrap);
    pool_set_idle(f->pool, wrap.opening, 2, tick(f));
    assert_true(awaits(f, &one, &wrap));
    assert_false(awaits(f, &two, &wrap));
    pool_set_idle(f->pool, wrap.opening, 3, tick(f));
    expect_events(f, "");
    pool_set_idle(f->pool, wrap.opening, 1, tick(f));
    expect_events(f, "notify:two");
    assert_true(awaits(f, &two, &wrap));
}

static void
test_rule2_idle_token_that_is_returned_pays_on_only_where_it_must(void **state)
{
    struct fixture *f = begin(state, 3);
    NEW_CLIENT(f, wrap, 1);
    NEW_CLIENT(f, one, 1);
    NEW_CLIENT(f, two, 1);
    assert_int_equal(pool_group_join(f->pool, wrap.opening, wrap.process, 1000, tick(f)), 0);
    take_all(f, &wrap);
    assert_true(claims(f, &one, &wrap));
    assert_true(claims(f, &two, &wrap));
    /* One is lent, for one of the two; what is idle besides is given back as it is. */
    pool_set_idle(f->pool, wrap.opening, 2, tick(f));
    give(f, &wrap, 1);
    pool_set_idle(f->pool, wrap.opening, 1, tick(f));
    expect_tokens(f, 0, 3, 0, 0);
    assert_int_equal(held_by(f, &two), 1);
    assert_int_equal(line_of(f, &wrap).claims, 1);
    give(f, &wrap, 1);
    pool_set_idle(f->pool, wrap.opening, 0, tick(f));
    expect_tokens(f, 1, 2, 0, 0);
    assert_int_equal(line_of(f, &wrap).claims, 1);
}

static void
test_rule2_nobody_above_is_nobody_to_wait_for(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, make, 1);
    NEW_CLIENT(f, one, 1);
    assert_false(awaits(f, &one, &make));
    assert_int_equal(pool_await_claim(f->pool, one.opening, one.process, NULL, 0), 0);
    take(f, &make);
    expect_events(f, "");
}

/* --- recall: a wish of rules 7 and 8 to those who lend tokens on --- */

static void
test_recall_group_with_the_larger_share_is_asked(void **state)
{
    struct fixture *f = begin(state, 4);
    NEW_CLIENT(f, wrap, 1);
    NEW_CLIENT(f, late, 2);
    assert_int_equal(pool_group_join(f->pool, wrap.opening, wrap.process, 1000, tick(f)), 0);
    take_all(f, &wrap);
    assert_int_equal(pool_recalled(f->pool, wrap.opening), 0);
    block(f, &late);
    assert_string_equal(f->recalled, "wrap");
    assert_int_equal(pool_recalled(f->pool, wrap.opening), 1);
    give(f, &wrap, 1);
    expect_events(f, "grant:late");
    assert_int_equal(pool_recalled(f->pool, wrap.opening), 0);
    block(f, &late);
    assert_int_equal(pool_recalled(f->pool, wrap.opening), 1); /* 3 and 1: 2 and 2 is better */
    give(f, &wrap, 1);
    block(f, &late);
    assert_int_equal(pool_recalled(f->pool, wrap.opening), 0);
}

/* Two wrappers of one user have two each, which no account of another would call too much. */
static void
test_recall_the_user_with_the_larger_share_is_asked(void **state)
{
    struct fixture *f = begin(state, 5);
    NEW_CLIENT_OF(f, one, MALLORY, 1);
    NEW_CLIENT_OF(f, two, MALLORY, 2);
    NEW_CLIENT_OF(f, other, ALICE, 1);
    assert_int_equal(pool_group_join(f->pool, one.opening, one.process, 50, tick(f)), 0);
    assert_int_equal(pool_group_join(f->pool, two.opening, two.process, 51, tick(f)), 0);
    for (int i = 0; i < 2; i++) {
        take(f, &one);
        take(f, &two);
    }
    take(f, &other);
    assert_false(polls(f, &other));
    assert_int_equal(pool_recalled(f->pool, one.opening), 1);
    assert_int_equal(pool_recalled(f->pool, two.opening), 1);
    give(f, &one, 1);
    expect_events(f, "notify:other");
    take(f, &other);
    assert_false(polls(f, &other));
    assert_int_equal(pool_recalled(f->pool, two.opening), 0); /* 3 and 2 */
}

/* Between two accounts of one user it is still these that are compared. */
static void
test_recall_within_a_user_it_is_between_accounts(void **state)
{
    struct fixture *f = begin(state, 6);
    NEW_CLIENT_OF(f, one, MALLORY, 1);
    NEW_CLIENT_OF(f, two, MALLORY, 2);
    NEW_CLIENT_OF(f, poor, MALLORY, 3);
    NEW_CLIENT_OF(f, other, ALICE, 1);
    assert_int_equal(pool_group_join(f->pool, one.opening, one.process, 50, tick(f)), 0);
    assert_int_equal(pool_group_join(f->pool, two.opening, two.process, 51, tick(f)), 0);
    take(f, &one);
    take(f, &two);
    take(f, &two);
    for (int i = 0; i < 3; i++)
        take(f, &other);
    block(f, &poor);
    assert_int_equal(pool_recalled(f->pool, one.opening), 0);
    assert_int_equal(pool_recalled(f->pool, two.opening), 1);
}

static void
test_recall_its_own_implicit_slot_is_not_asked_for(void **state)
{
    struct fixture *f = begin(state, 2);
    NEW_CLIENT(f, wrap, 1);
    NEW_CLIENT(f, late, 2);
    assert_int_equal(pool_group_join(f->pool, wrap.opening, wrap.process, 1000, tick(f)), 0);
    take_all(f, &wrap);
    assert_int_equal(pool_pay_implicit(f->pool, wrap.opening, wrap.process, tick(f)), 0);
    pool_set_capacity(f->pool, 1, tick(f));
    assert_string_equal(f->recalled, "wrap");
    assert_int_equal(pool_recalled(f->pool, wrap.opening), 1);
    give(f, &wrap, 1);
    block(f, &late);
    assert_int_equal(pool_recalled(f->pool, wrap.opening), 0);
    expect_tokens(f, 0, 1, 0, 0);
}

static void
test_recall_debt_asks_for_as_much(void **state)
{
    struct fixture *f = begin(state, 8);
    NEW_CLIENT(f, wrap, 1);
    NEW_CLIENT(f, make, 2);
    assert_int_equal(pool_group_join(f->pool, wrap.opening, wrap.process, 1000, tick(f)), 0);
    take_all(f, &wrap);
    pool_set_capacity(f->pool, 5, tick(f));
    assert_int_equal(pool_recalled(f->pool, wrap.opening), 3);
    assert_int_equal(pool_recalled(f->pool, make.opening),
                     0); /* who is no group lends nothing on */
    give(f, &wrap, 3);
    assert_int_equal(pool_recalled(f->pool, wrap.opening), 0);
}

static void
test_recall_weight_counts(void **state)
{
    struct fixture *f = begin(state, 5);
    NEW_CLIENT(f, wrap, 1);
    NEW_CLIENT(f, late, 2);
    assert_int_equal(pool_group_join(f->pool, wrap.opening, wrap.process, 1000, tick(f)), 0);
    pool_account_set_weight(f->pool, pool_process_account(wrap.process), 200, tick(f));
    take(f, &late);
    take_all(f, &wrap);
    block(f, &late);
    assert_int_equal(pool_recalled(f->pool, wrap.opening), 0); /* 3 for 200 would face 2 for 100 */
    pool_account_set_weight(f->pool, pool_process_account(wrap.process), 150, tick(f));
    assert_int_equal(pool_recalled(f->pool, wrap.opening), 1);
}

static void
test_recall_who_has_none_asks_down_to_the_last(void **state)
{
    struct fixture *f = begin(state, 2);
    NEW_CLIENT(f, wrap, 1);
    NEW_CLIENT(f, late, 2);
    assert_int_equal(pool_group_join(f->pool, wrap.opening, wrap.process, 1000, tick(f)), 0);
    take_all(f, &wrap);
    assert_int_equal(pool_pay_implicit(f->pool, wrap.opening, wrap.process, tick(f)), 0);
    block(f, &late);
    assert_string_equal(f->recalled, "wrap");
    assert_int_equal(pool_recalled(f->pool, wrap.opening), 1);
    give(f, &wrap, 1);
    expect_events(f, "grant:late");
    block(f, &wrap);
    block(f, &late);
    assert_int_equal(pool_recalled(f->pool, wrap.opening), 0); /* one each */
}

static void
test_recall_the_last_token_stays(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, wrap, 1);
    NEW_CLIENT(f, late, 2);
    assert_int_equal(pool_group_join(f->pool, wrap.opening, wrap.process, 1000, tick(f)), 0);
    take_all(f, &wrap);
    block(f, &late);
    assert_int_equal(pool_recalled(f->pool, wrap.opening), 0);
}

/* As for a debt: else it would lend them on again without asking. */
static void
test_recall_what_is_above_a_limit_is_asked_for(void **state)
{
    struct fixture *f = begin(state, 4);
    NEW_CLIENT(f, wrap, 1);
    NEW_CLIENT(f, late, 2);
    assert_int_equal(pool_group_join(f->pool, wrap.opening, wrap.process, 1000, tick(f)), 0);
    take_all(f, &wrap);
    pool_set_throttle(f->pool, 2, tick(f));
    assert_string_equal(f->recalled, "wrap");
    assert_int_equal(pool_recalled(f->pool, wrap.opening), 2);
    block(f, &late);
    give(f, &wrap, 1);
    expect_events(f, "");
    assert_int_equal(pool_recalled(f->pool, wrap.opening), 1);
    give(f, &wrap, 1);
    expect_events(f, "");
    expect_tokens(f, 2, 2, 0, 0);
    /* Below the limit it is asked for one for who has none. */
    assert_int_equal(pool_recalled(f->pool, wrap.opening), 1);
    give(f, &wrap, 1);
    expect_events(f, "grant:late");
    pool_set_throttle(f->pool, POOL_NO_THROTTLE, tick(f));
    assert_int_equal(pool_recalled(f->pool, wrap.opening), 0);
}

static void
test_recall_goes_on_for_who_has_none_when_a_debt_is_paid(void **state)
{
    struct fixture *f = begin(state, 4);
    NEW_CLIENT(f, wrap, 1);
    NEW_CLIENT(f, late, 2);
    assert_int_equal(pool_group_join(f->pool, wrap.opening, wrap.process, 1000, tick(f)), 0);
    take_all(f, &wrap);
    pool_set_capacity(f->pool, 3, tick(f));
    block(f, &late);
    assert_int_equal(pool_recalled(f->pool, wrap.opening), 1);
    f->recalled[0] = '\0';
    give(f, &wrap, 1);
    expect_tokens(f, 0, 3, 0, 0);
    assert_int_equal(pool_recalled(f->pool, wrap.opening), 1);
    assert_string_equal(f->recalled, "wrap"); /* it has given what it was asked for before */
    f->recalled[0] = '\0';
    give(f, &wrap, 1);
    expect_events(f, "grant:late");
    assert_string_equal(f->recalled, "");
}

static void
test_recall_for_a_lazy_client_that_has_none(void **state)
{
    struct fixture *f = begin(state, 2);
    NEW_CLIENT(f, wrap, 1);
    NEW_CLIENT(f, lazy, 2);
    assert_int_equal(pool_group_join(f->pool, wrap.opening, wrap.process, 1000, tick(f)), 0);
    take_all(f, &wrap);
    for (int i = 0; i < 3; i++)
        assert_int_equal(read_now(f, &lazy), POOL_TRY_AGAIN);
    assert_int_equal(pool_recalled(f->pool, wrap.opening), 1);
    assert_string_equal(f->recalled, "wrap");
}

/* Two wait below a wrapper that has tokens itself: it counts as one that has none for as many grants. */
static void
test_rule8_need_is_for_so_many_grants(void **state)
{
    struct fixture *f = begin(state, 5);
    NEW_CLIENT(f, holder, 1);
    NEW_CLIENT(f, some, 2);
    NEW_CLIENT(f, wrap, 3);
    struct actor again = {.name = "again"};
    assert_int_equal(pool_group_join(f->pool, wrap.opening, wrap.process, 1000, tick(f)), 0);
    take(f, &wrap);
    take(f, &wrap);
    take_all(f, &holder);
    again.process = wrap.process;
    again.opening = wrap.opening;
    block(f, &some);
    block(f, &wrap);
    block(f, &again);
    pool_group_set_needy(f->pool, wrap.opening, 1, tick(f));
    assert_int_equal(pool_count_needy(f->pool), 2);
    give(f, &holder, 1);
    expect_events(f, "grant:some"); /* it has waited for longer */
    block(f, &some);
    give(f, &holder, 1);
    expect_events(f, "grant:wrap");
    give(f, &holder, 1);
    expect_events(f, "grant:some");
}

/* 5 tokens are 3 and 2, but not for the same ones for ever. */
static void
test_recall_what_is_left_over_goes_round(void **state)
{
    struct fixture *f = begin(state, 5);
    NEW_CLIENT(f, a, 1);
    NEW_CLIENT(f, b, 2);
    assert_int_equal(pool_group_join(f->pool, a.opening, a.process, 1000, tick(f)), 0);
    assert_int_equal(pool_group_join(f->pool, b.opening, b.process, 1001, tick(f)), 0);
    take(f, &b);
    take(f, &b);
    take_all(f, &a);
    assert_int_equal(pool_next_deadline(f->pool), POOL_NO_DEADLINE);
    block(f, &b);
    assert_int_equal(pool_next_deadline(f->pool), f->now_ns + POOL_TURN_NS);
    assert_int_equal(pool_recalled(f->pool, a.opening), 0);
    expire_at(f, f->now_ns + POOL_TURN_NS);
    assert_string_equal(f->recalled, "a");
    assert_int_equal(pool_recalled(f->pool, a.opening), 1);
    block(f, &a);
    give(f, &a, 1);
    expect_events(f, "grant:b");
    assert_int_equal(pool_recalled(f->pool, a.opening), 0);
    assert_int_equal(pool_recalled(f->pool, b.opening), 0);
    expire_at(f, f->now_ns + POOL_TURN_NS);
    assert_string_equal(f->recalled, "b");
    assert_int_equal(pool_recalled(f->pool, b.opening), 1);
}

static void
test_recall_turns_are_for_weights_too(void **state)
{
    struct fixture *f = begin(state, 4);
    NEW_CLIENT(f, light, 1);
    NEW_CLIENT(f, heavy, 2);
    assert_int_equal(pool_group_join(f->pool, light.opening, light.process, 1000, tick(f)), 0);
    assert_int_equal(pool_group_join(f->pool, heavy.opening, heavy.process, 1001, tick(f)), 0);
    pool_account_set_weight(f->pool, pool_process_account(heavy.process), 200, tick(f));
    take(f, &light);
    take_all(f, &heavy);
    block(f, &light);
    assert_int_equal(pool_next_deadline(f->pool), POOL_NO_DEADLINE); /* 2 and 2 would be worse */
    give(f, &heavy, 1);
    block(f, &heavy);
    assert_int_equal(pool_next_deadline(f->pool), f->now_ns + POOL_TURN_NS);
    expire_at(f, f->now_ns + POOL_TURN_NS);
    assert_int_equal(pool_recalled(f->pool, light.opening), 1);
}

static void
test_weight_is_of_who_has_an_account(void **state)
{
    struct fixture *f = begin(state, 4);
    NEW_CLIENT(f, outer, 1);
    NEW_CLIENT(f, inner, 2);
    assert_int_equal(pool_group_set_weight(f->pool, outer.opening, 200, tick(f)), -EBUSY);
    assert_int_equal(pool_group_join(f->pool, outer.opening, outer.process, 1000, tick(f)), 0);
    assert_int_equal(pool_group_join(f->pool, inner.opening, inner.process, 0, tick(f)), 0);
    assert_int_equal(pool_group_set_weight(f->pool, outer.opening, 200, tick(f)), 0);
    assert_int_equal(pool_group_set_weight(f->pool, inner.opening, 300, tick(f)), -EBUSY);
    take(f, &outer);
    assert_int_equal(line_of(f, &outer).weight, 200);
}

/* --- rule 3: work conserving --- */

static void
test_rule3_free_token_is_had_at_once(void **state)
{
    struct fixture *f = begin(state, 3);
    NEW_CLIENT(f, a, 1);
    assert_int_equal(read_blocking(f, &a), POOL_GRANTED);
    assert_true(polls(f, &a));
    take(f, &a);
    expect_tokens(f, 1, 2, 0, 0);
    assert_true(pool_next_deadline(f->pool) == POOL_NO_DEADLINE);
}

static void
test_rule3_returned_token_is_granted_in_the_same_call(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, a, 1);
    NEW_CLIENT(f, b, 2);
    take(f, &a);
    block(f, &b);
    assert_int_equal(status(f).waiting, 1);
    assert_true(pool_next_deadline(f->pool) == POOL_NO_DEADLINE);
    give(f, &a, 1);
    expect_events(f, "grant:b");
    assert_int_equal(status(f).waiting, 0);
    assert_int_equal(held_by(f, &b), 1);
}

static void
test_rule3_many_returned_tokens_serve_as_many(void **state)
{
    struct fixture *f = begin(state, 3);
    NEW_CLIENT(f, h, 1);
    NEW_CLIENT(f, a, 2);
    NEW_CLIENT(f, b, 3);
    NEW_CLIENT(f, c, 4);
    take_all(f, &h);
    block(f, &a);
    assert_false(polls(f, &b));
    block(f, &c);
    give(f, &h, 3);
    expect_events(f, "grant:a notify:b grant:c");
    expect_tokens(f, 0, 2, 1, 0);
}

static void
test_rule3_interrupted_reader_wants_nothing(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, h, 1);
    NEW_CLIENT(f, a, 2);
    NEW_CLIENT(f, b, 3);
    take(f, &h);
    block(f, &a);
    block(f, &b);
    pool_interrupt(f->pool, a.waiter, tick(f));
    assert_int_equal(status(f).waiting, 1);
    give(f, &h, 1);
    expect_events(f, "grant:b");
    give(f, &b, 1);
    expect_tokens(f, 1, 0, 0, 0);
    take(f, &a);
}

/* --- rule 4: writes --- */

static void
test_rule4_write_returns_n_tokens_whatever_the_bytes(void **state)
{
    struct fixture *f = begin(state, 5);
    NEW_CLIENT(f, a, 1);
    take_all(f, &a);
    assert_int_equal(writes(f, &a, 0), 0);
    expect_tokens(f, 0, 5, 0, 0);
    give(f, &a, 3);
    expect_tokens(f, 3, 2, 0, 0);
    assert_int_equal(status(f).dropped, 0);
    assert_int_equal(status(f).foreign, 0);
}

static void
test_rule4_write_through_another_description_is_credited_to_the_writer(void **state)
{
    struct fixture *f = begin(state, 2);
    NEW_CLIENT(f, make, 1); /* make 4.4.1 opens the path twice */
    take(f, &make);
    struct actor twin = make;
    opens(f, &twin);
    give(f, &twin, 1);
    expect_tokens(f, 2, 0, 0, 0);
    assert_int_equal(status(f).foreign, 0);
}

static void
test_rule4_foreign_return_through_the_same_description(void **state)
{
    struct fixture *f = begin(state, 2);
    NEW_CLIENT(f, make, 1);
    take(f, &make);
    take(f, &make);
    NEW_HEIR(f, job, 1, make);
    give(f, &job, 1);
    expect_tokens(f, 1, 1, 0, 0);
    assert_int_equal(held_by(f, &make), 1);
    assert_int_equal(status(f).foreign, 1);
}

static void
test_rule4_writer_pays_its_own_first(void **state)
{
    struct fixture *f = begin(state, 4);
    NEW_CLIENT(f, a, 1);
    NEW_CLIENT(f, b, 2);
    take(f, &a);
    take(f, &a);
    take(f, &b);
    struct actor b_inherited = b;
    b_inherited.opening = a.opening;
    give(f, &b_inherited, 1);
    assert_int_equal(held_by(f, &b), 0);
    assert_int_equal(held_by(f, &a), 2);
    assert_int_equal(status(f).foreign, 0);
    give(f, &b_inherited, 2);
    assert_int_equal(held_by(f, &a), 0);
    assert_int_equal(status(f).foreign, 2);
}

static void
test_rule4_one_write_may_be_own_foreign_and_dropped(void **state)
{
    struct fixture *f = begin(state, 4);
    NEW_CLIENT(f, a, 1);
    NEW_CLIENT(f, b, 2);
    take(f, &a);
    take(f, &b);
    b.opening = a.opening;
    assert_int_equal(writes(f, &b, 5), 2);
    expect_tokens(f, 4, 0, 0, 0);
    assert_int_equal(status(f).foreign, 1);
    assert_int_equal(status(f).dropped, 3);
}

static void
test_rule4_stranger_through_its_own_description_is_dropped(void **state)
{
    struct fixture *f = begin(state, 2);
    NEW_CLIENT(f, a, 1);
    NEW_CLIENT(f, stranger, 1);
    take(f, &a);
    assert_int_equal(writes(f, &stranger, 1), 0);
    expect_tokens(f, 1, 1, 0, 0);
    assert_int_equal(status(f).dropped, 1);
}

static void
test_rule4_pool_never_grows_by_a_write(void **state)
{
    struct fixture *f = begin(state, 2);
    NEW_CLIENT(f, a, 1);
    assert_int_equal(writes(f, &a, 7), 0);
    take(f, &a);
    assert_int_equal(writes(f, &a, INT32_MAX), 1); /* what write(2) takes at once */
    expect_tokens(f, 2, 0, 0, 0);
    assert_int_equal(status(f).dropped, UINT64_C(7) + INT32_MAX - 1);
}

static void
test_rule4_nobody_returns_for_the_dead(void **state)
{
    struct fixture *f = begin(state, 2);
    NEW_CLIENT(f, make, 1);
    NEW_HEIR(f, job, 1, make);
    take(f, &make);
    die(f, &make);
    expect_tokens(f, 2, 0, 0, 0);
    assert_int_equal(writes(f, &job, 1), 0);
    expect_tokens(f, 2, 0, 0, 0);
    assert_int_equal(status(f).dropped, 1);
    assert_int_equal(status(f).reclaimed, 1);
}

/* --- rule 5: reads --- */

static void
test_rule5_nonblocking_read_answers_at_once(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, a, 1);
    NEW_CLIENT(f, b, 2);
    assert_int_equal(read_now(f, &a), POOL_GRANTED);
    assert_int_equal(read_now(f, &a), POOL_TRY_AGAIN);
    assert_int_equal(read_now(f, &b), POOL_TRY_AGAIN);
    expect_tokens(f, 0, 1, 0, 0);
    assert_int_equal(status(f).granted, 1);
    expect_events(f, "");
}

static void
test_rule5_nonblocking_read_does_not_pass_those_who_wait(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, h, 1);
    NEW_CLIENT(f, waits, 2);
    NEW_CLIENT(f, lazy, 3);
    take(f, &h);
    assert_false(polls(f, &waits));
    give(f, &h, 1);
    assert_int_equal(read_now(f, &lazy), POOL_TRY_AGAIN);
    take(f, &waits);
}

/* --- rule 6: holders --- */

static void
test_rule6_holder_is_the_reader(void **state)
{
    struct fixture *f = begin(state, 2);
    NEW_CLIENT(f, a, 7);
    take(f, &a);
    struct pool_client line = line_of(f, &a);
    assert_int_equal(line.held, 1);
    assert_int_equal(line.account, 7);
    assert_int_equal(line.weight, POOL_WEIGHT_DEFAULT);
    assert_false(line.is_group);
}

static void
test_rule6_holder_is_the_living_opener(void **state)
{
    struct fixture *f = begin(state, 2);
    NEW_CLIENT(f, shell, 1);
    NEW_HEIR(f, dd, 1, shell);
    take(f, &dd);
    assert_int_equal(held_by(f, &shell), 1);
    assert_int_equal(held_by(f, &dd), 0);
    die(f, &dd);
    expect_tokens(f, 1, 1, 0, 0);
    die(f, &shell);
    expect_tokens(f, 2, 0, 0, 0);
    assert_int_equal(status(f).reclaimed, 1);
}

static void
test_rule6_blocked_read_belongs_to_the_opener_too(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, h, 1);
    NEW_CLIENT(f, shell, 2);
    NEW_HEIR(f, dd, 2, shell);
    take(f, &h);
    block(f, &dd);
    give(f, &h, 1);
    expect_events(f, "grant:dd");
    assert_int_equal(held_by(f, &shell), 1);
    die(f, &dd);
    assert_int_equal(held_by(f, &shell), 1);
}

static void
test_rule6_reader_holds_when_the_opener_is_dead(void **state)
{
    struct fixture *f = begin(state, 2);
    NEW_CLIENT(f, parent, 1);
    NEW_HEIR(f, child, 1, parent);
    die(f, &parent);
    take(f, &child);
    assert_int_equal(held_by(f, &child), 1);
    die(f, &child);
    expect_tokens(f, 2, 0, 0, 0);
}

static void
test_rule6_reader_holds_when_the_opener_died_while_it_waited(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, h, 1);
    NEW_CLIENT(f, parent, 2);
    NEW_HEIR(f, child, 2, parent);
    take(f, &h);
    block(f, &child);
    die(f, &parent);
    expect_events(f, "");
    give(f, &h, 1);
    expect_events(f, "grant:child");
    assert_int_equal(held_by(f, &child), 1);
    die(f, &child);
    expect_tokens(f, 1, 0, 0, 0);
}

static void
test_rule6_dead_holder_holds_nothing_and_waits_for_nothing(void **state)
{
    struct fixture *f = begin(state, 2);
    NEW_CLIENT(f, a, 1);
    NEW_CLIENT(f, b, 2);
    take_all(f, &a);
    block(f, &a);
    block(f, &b);
    die(f, &a);
    /* the order of the two is the pool's business */
    assert_non_null(strstr(f->events, "cancel:a"));
    assert_non_null(strstr(f->events, "grant:b"));
    assert_null(strstr(f->events, "grant:a"));
    expect_tokens(f, 1, 1, 0, 0);
    assert_int_equal(status(f).reclaimed, 2);
    assert_int_equal(status(f).waiting, 0);
    assert_int_equal(status(f).processes, 1);
}

static void
test_rule6_every_blocked_read_of_the_dead_is_cancelled(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, h, 1);
    NEW_CLIENT(f, a, 2);
    struct actor thread = a;
    take(f, &h);
    block(f, &a);
    block(f, &thread);
    assert_false(polls(f, &a));
    die(f, &a);
    expect_events(f, "cancel:a cancel:a");
    give(f, &h, 1);
    expect_tokens(f, 1, 0, 0, 0);
    expect_events(f, "");
}

static void
test_rule6_dead_pollers_reservation_goes_to_the_next(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, h, 1);
    NEW_CLIENT(f, a, 2);
    NEW_CLIENT(f, b, 3);
    take(f, &h);
    assert_false(polls(f, &a));
    block(f, &b);
    give(f, &h, 1);
    assert_true(polls(f, &a));
    f->events[0] = '\0';
    die(f, &a);
    expect_events(f, "grant:b");
    expect_tokens(f, 0, 1, 0, 0);
}

static void
test_rule6_pid_used_again_is_another_process(void **state)
{
    struct fixture *f = begin(state, 2);
    NEW_CLIENT(f, a, 1);
    take(f, &a);
    die(f, &a);
    f->last_pid--;
    NEW_CLIENT(f, b, 1);
    assert_int_equal(held_by(f, &b), 0);
    assert_int_equal(writes(f, &b, 1), 0);
    expect_tokens(f, 2, 0, 0, 0);
}

static void
test_rule6_group_holds_until_its_last_member_died(void **state)
{
    struct fixture *f = begin(state, 3);
    NEW_CLIENT(f, wrap, 1);
    NEW_HEIR(f, keeper, 1, wrap);
    assert_int_equal(pool_group_join(f->pool, wrap.opening, wrap.process, 1000, tick(f)), 0);
    assert_int_equal(pool_group_join(f->pool, wrap.opening, keeper.process, 1000, tick(f)), 0);
    take(f, &wrap);
    take(f, &keeper);
    struct pool_client line = line_of(f, &wrap);
    assert_true(line.is_group);
    assert_int_equal(line.held, 2);
    assert_int_equal(line.account, 1000);
    assert_int_equal(line.keeper, pool_process_pid(keeper.process));
    die(f, &wrap);
    expect_tokens(f, 1, 2, 0, 0);
    give(f, &keeper, 1); /* a job has ended */
    expect_tokens(f, 2, 1, 0, 0);
    assert_int_equal(status(f).foreign, 0);
    die(f, &keeper);
    expect_tokens(f, 3, 0, 0, 0);
    assert_int_equal(status(f).reclaimed, 1);
}

static void
test_rule6_group_outlives_its_keeper(void **state)
{
    struct fixture *f = begin(state, 3);
    NEW_CLIENT(f, wrap, 1);
    NEW_HEIR(f, keeper, 1, wrap);
    assert_int_equal(pool_group_join(f->pool, wrap.opening, wrap.process, 1000, tick(f)), 0);
    assert_int_equal(pool_group_join(f->pool, wrap.opening, keeper.process, 1000, tick(f)), 0);
    take(f, &wrap);
    die(f, &keeper);
    expect_tokens(f, 2, 1, 0, 0);
    assert_int_equal(held_by(f, &wrap), 1);
    die(f, &wrap);
    expect_tokens(f, 3, 0, 0, 0);
}

static void
test_rule6_group_holds_what_anybody_reads_through_its_description(void **state)
{
    struct fixture *f = begin(state, 2);
    NEW_CLIENT(f, gate, 1);
    NEW_HEIR(f, job, 1, gate);
    assert_int_equal(pool_group_join(f->pool, gate.opening, gate.process, 1000, tick(f)), 0);
    take(f, &job);
    assert_int_equal(held_by(f, &gate), 1);
    die(f, &job);
    expect_tokens(f, 1, 1, 0, 0);
    die(f, &gate);
    expect_tokens(f, 2, 0, 0, 0);
}

static void
test_rule6_group_survives_the_close_of_its_description(void **state)
{
    struct fixture *f = begin(state, 2);
    NEW_CLIENT(f, wrap, 1);
    assert_int_equal(pool_group_join(f->pool, wrap.opening, wrap.process, 1000, tick(f)), 0);
    take(f, &wrap);
    closes(f, &wrap);
    expect_tokens(f, 1, 1, 0, 0);
    die(f, &wrap);
    expect_tokens(f, 2, 0, 0, 0);
}

static void
test_rule6_joining_another_group_is_refused(void **state)
{
    struct fixture *f = begin(state, 2);
    NEW_CLIENT(f, one, 1);
    NEW_CLIENT(f, two, 1);
    assert_int_equal(pool_group_join(f->pool, one.opening, one.process, 1000, tick(f)), 0);
    assert_int_equal(pool_group_join(f->pool, two.opening, two.process, 1001, tick(f)), 0);
    assert_int_equal(pool_group_join(f->pool, two.opening, one.process, 1001, tick(f)), -EBUSY);
    assert_int_equal(pool_group_join(f->pool, one.opening, one.process, 1000, tick(f)), 0);
    check(f);
}

static void
test_rule6_holder_of_a_token_cannot_join(void **state)
{
    struct fixture *f = begin(state, 2);
    NEW_CLIENT(f, a, 1);
    take(f, &a);
    assert_int_equal(pool_group_join(f->pool, a.opening, a.process, 1000, tick(f)), -EBUSY);
    expect_tokens(f, 1, 1, 0, 0);
    assert_int_equal(held_by(f, &a), 1);
    give(f, &a, 1);
    assert_int_equal(pool_group_join(f->pool, a.opening, a.process, 1000, tick(f)), 0);
}

static void
test_rule6_group_with_key_0_stays_in_its_account(void **state)
{
    struct fixture *f = begin(state, 2);
    NEW_CLIENT(f, inner, 1000);
    assert_int_equal(pool_group_join(f->pool, inner.opening, inner.process, 0, tick(f)), 0);
    take(f, &inner);
    assert_int_equal(line_of(f, &inner).account, 1000);
}

/* What a member holds by itself is its own: it is no foreign return. */
static void
test_rule6_member_of_a_group_returns_what_it_holds_by_itself(void **state)
{
    struct fixture *f = begin(state, 2);
    NEW_CLIENT(f, gate, 1);
    struct actor aside = gate;
    opens(f, &aside);
    assert_int_equal(pool_group_join(f->pool, gate.opening, gate.process, 1000, tick(f)), 0);
    take(f, &aside);
    give(f, &aside, 1);
    expect_tokens(f, 2, 0, 0, 0);
    assert_int_equal(status(f).foreign, 0);
}

/* A read that waits because the opener is at its limit is the group's once there is one. */
static void
test_rule6_founding_a_group_serves_who_waits_there(void **state)
{
    struct fixture *f = begin(state, 2);
    NEW_CLIENT(f, parent, 1);
    NEW_HEIR(f, child, 1, parent);
    NEW_HEIR(f, keeper, 1, parent);
    pool_set_per_process_limit(f->pool, 1, tick(f));
    take(f, &parent);
    block(f, &child);
    expect_tokens(f, 1, 1, 0, 0);
    assert_int_equal(pool_group_join(f->pool, keeper.opening, keeper.process, 1000, tick(f)), 0);
    expect_events(f, "grant:child");
    assert_int_equal(held_by(f, &keeper), 1);
}

/* --- rule 7: resizing --- */

static void
test_rule7_free_tokens_go_first(void **state)
{
    struct fixture *f = begin(state, 4);
    NEW_CLIENT(f, a, 1);
    take(f, &a);
    resize(f, 2);
    expect_tokens(f, 1, 1, 0, 0);
    resize(f, 1);
    expect_tokens(f, 0, 1, 0, 0);
}

static void
test_rule7_returning_tokens_pay_the_debt_first(void **state)
{
    struct fixture *f = begin(state, 4);
    NEW_CLIENT(f, a, 1);
    NEW_CLIENT(f, b, 2);
    take_all(f, &a);
    block(f, &b);
    resize(f, 2);
    expect_tokens(f, 0, 4, 0, 2);
    give(f, &a, 1);
    expect_tokens(f, 0, 3, 0, 1);
    expect_events(f, "");
    assert_int_equal(read_now(f, &a), POOL_TRY_AGAIN);
    give(f, &a, 1);
    expect_tokens(f, 0, 2, 0, 0);
    expect_events(f, "");
    give(f, &a, 1);
    expect_events(f, "grant:b");
}

/* As of a class. */
static void
test_rule7_at_a_capacity_of_zero_nothing_is_granted_and_all_wait_on(void **state)
{
    struct fixture *f = begin(state, 0);
    NEW_CLIENT(f, a, 1);
    NEW_CLIENT(f, b, 2);
    assert_int_equal(read_now(f, &a), POOL_TRY_AGAIN);
    block(f, &b);
    expect_tokens(f, 0, 0, 0, 0);
    resize(f, 1);
    expect_events(f, "grant:b");
    resize(f, 0);
    expect_tokens(f, 0, 1, 0, 1);
    block(f, &a);
    give(f, &b, 1);
    expect_tokens(f, 0, 0, 0, 0);
    expect_events(f, "");
    resize(f, 2);
    expect_events(f, "grant:a");
    resize(f, 0);
    die(f, &a);
    expect_tokens(f, 0, 0, 0, 0);
}

static void
test_rule7_tokens_of_the_dead_pay_the_debt_too(void **state)
{
    struct fixture *f = begin(state, 4);
    NEW_CLIENT(f, a, 1);
    NEW_CLIENT(f, b, 2);
    take_all(f, &a);
    block(f, &b);
    resize(f, 1);
    die(f, &a);
    expect_events(f, "grant:b");
    expect_tokens(f, 0, 1, 0, 0);
}

static void
test_rule7_lowering_cancels_reservations(void **state)
{
    struct fixture *f = begin(state, 2);
    NEW_CLIENT(f, h, 1);
    NEW_CLIENT(f, a, 2);
    take_all(f, &h);
    assert_false(polls(f, &a));
    give(f, &h, 1);
    assert_true(polls(f, &a));
    expect_tokens(f, 0, 1, 1, 0);
    resize(f, 1);
    expect_tokens(f, 0, 1, 0, 0);
    assert_int_equal(read_now(f, &a), POOL_TRY_AGAIN);
    assert_false(polls(f, &a));
    f->events[0] = '\0';
    give(f, &h, 1);
    expect_events(f, "notify:a");
    take(f, &a);
}

static void
test_rule7_lowering_cancels_offers(void **state)
{
    struct fixture *f = begin(state, 3);
    NEW_CLIENT(f, h, 1);
    NEW_CLIENT(f, a, 2);
    take_all(f, &h);
    assert_false(polls(f, &a));
    give(f, &h, 1);
    expect_tokens(f, 0, 2, 1, 0);
    resize(f, 1);
    expect_tokens(f, 0, 2, 0, 1);
    assert_false(polls(f, &a)); /* the notified poller comes, too late, and stands in the queue */
    assert_int_equal(status(f).waiting, 1);
}

static void
test_rule7_raising_serves_waiters_at_once(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, h, 1);
    NEW_CLIENT(f, a, 2);
    NEW_CLIENT(f, b, 3);
    take(f, &h);
    block(f, &a);
    assert_false(polls(f, &b));
    resize(f, 8);
    expect_events(f, "grant:a notify:b");
    expect_tokens(f, 5, 2, 1, 0);
}

static void
test_rule7_raising_pays_the_debt_first(void **state)
{
    struct fixture *f = begin(state, 4);
    NEW_CLIENT(f, h, 1);
    NEW_CLIENT(f, a, 2);
    take_all(f, &h);
    block(f, &a);
    resize(f, 1);
    expect_tokens(f, 0, 4, 0, 3);
    resize(f, 3);
    expect_tokens(f, 0, 4, 0, 1);
    expect_events(f, "");
    resize(f, 5);
    expect_events(f, "grant:a");
    expect_tokens(f, 0, 5, 0, 0);
}

/* --- rule 8: shares --- */

static void
test_rule8_next_is_the_account_that_holds_the_fewest(void **state)
{
    struct fixture *f = begin(state, 3);
    NEW_CLIENT(f, rich, 1);
    NEW_CLIENT(f, poor, 2);
    NEW_CLIENT(f, h, 3);
    take(f, &rich);
    take_all(f, &h);
    block(f, &rich);
    block(f, &poor);
    give(f, &h, 1);
    expect_events(f, "grant:poor");
}

static void
test_rule8_among_equals_the_longest_waiting(void **state)
{
    struct fixture *f = begin(state, 3);
    NEW_CLIENT(f, h, 1);
    NEW_CLIENT(f, a, 2);
    NEW_CLIENT(f, b, 3);
    NEW_CLIENT(f, c, 4);
    take_all(f, &h);
    block(f, &b);
    block(f, &c);
    block(f, &a);
    give(f, &h, 3);
    expect_events(f, "grant:b grant:c grant:a");
}

static void
test_rule8_first_come_first_served_within_an_account(void **state)
{
    struct fixture *f = begin(state, 4);
    NEW_CLIENT(f, h, 1);
    NEW_CLIENT(f, a, 2);
    NEW_CLIENT(f, b, 2);
    NEW_CLIENT(f, c, 2);
    take_all(f, &h);
    block(f, &c);
    assert_false(polls(f, &a));
    block(f, &b);
    give(f, &h, 3);
    expect_events(f, "grant:c notify:a grant:b");
}

/* One account with 200 waiting processes beside one with one: capacity 1, so they alternate. */
static void
test_rule8_many_waiting_processes_gain_nothing(void **state)
{
    static struct actor crowd[CROWD];
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, h, 1);
    take(f, &h);
    for (int i = 0; i < CROWD; i++) {
        crowd[i] = born(f, "crowd", 2, false);
        opens(f, &crowd[i]);
        block(f, &crowd[i]);
    }
    NEW_CLIENT(f, single, 3);
    block(f, &single);
    give(f, &h, 1);
    for (int i = 0; i < CROWD; i++) {
        expect_events(f, "grant:crowd");
        assert_int_equal(held_by(f, &crowd[i]), 1);
        give(f, &crowd[i], 1);
        expect_events(f, "grant:single");
        give(f, &single, 1);
        if (i < CROWD - 1) /* it comes again at once, but the next of the crowd has the token */
            block(f, &single);
    }
    expect_tokens(f, 1, 0, 0, 0);
}

static void
test_rule8_twice_the_weight_is_twice_the_tokens(void **state)
{
    static struct actor light[6], heavy[6];
    struct fixture *f = begin(state, 6);
    NEW_CLIENT(f, h, 1);
    take_all(f, &h);
    for (int i = 0; i < 6; i++) {
        light[i] = born(f, "light", 2, false);
        heavy[i] = born(f, "heavy", 3, false);
        opens(f, &light[i]);
        opens(f, &heavy[i]);
        block(f, &light[i]);
        block(f, &heavy[i]);
    }
    pool_account_set_weight(f->pool, pool_process_account(heavy[0].process),
                            2 * POOL_WEIGHT_DEFAULT, tick(f));
    give(f, &h, 6);
    unsigned lights = 0, heavies = 0;
    for (int i = 0; i < 6; i++) {
        lights += held_by(f, &light[i]);
        heavies += held_by(f, &heavy[i]);
    }
    assert_int_equal(lights, 2);
    assert_int_equal(heavies, 4);
    assert_int_equal(line_of(f, &heavy[0]).weight, 2 * POOL_WEIGHT_DEFAULT);
}

static void
test_rule8_paid_implicit_slot_is_not_counted(void **state)
{
    struct fixture *f = begin(state, 3);
    NEW_CLIENT(f, wrap, 1);
    NEW_CLIENT(f, h, 2);
    NEW_CLIENT(f, other, 3);
    take(f, &wrap);
    assert_int_equal(pool_pay_implicit(f->pool, wrap.opening, wrap.process, tick(f)), 0);
    take(f, &h);
    take(f, &other);
    block(f, &other);
    block(f, &wrap);
    give(f, &h, 1);
    expect_events(f, "grant:wrap"); /* 0 and 1, although each runs one job */
    give(f, &wrap, 1);
    expect_events(f, "grant:other");
}

static void
test_rule8_who_has_none_goes_before_all(void **state)
{
    struct fixture *f = begin(state, 2);
    NEW_CLIENT(f, wrap, 1);
    NEW_CLIENT(f, h, 2);
    NEW_CLIENT(f, poor, 3);
    take(f, &wrap);
    assert_int_equal(pool_pay_implicit(f->pool, wrap.opening, wrap.process, tick(f)), 0);
    take(f, &h);
    block(f, &wrap);
    block(f, &poor);
    give(f, &h, 1);
    expect_events(f, "grant:poor"); /* both count 0, but wrap runs a job */
    give(f, &poor, 1);
    expect_events(f, "grant:wrap");
}

static void
test_rule8_offered_and_reserved_tokens_count_as_held(void **state)
{
    struct fixture *f = begin(state, 2);
    NEW_CLIENT(f, h, 1);
    NEW_CLIENT(f, a, 2);
    NEW_CLIENT(f, a2, 2);
    NEW_CLIENT(f, b, 3);
    take_all(f, &h);
    assert_false(polls(f, &a));
    give(f, &h, 1);
    expect_events(f, "notify:a");
    block(f, &a2);
    block(f, &b);
    give(f, &h, 1);
    expect_events(f, "grant:b");
    assert_true(polls(f, &a));
    block(f, &b);
    take(f, &a);
}

/* Another one that counts less comes again and again; after `capacity` times it is the waiter's turn, but
 * for those that have none. */
static void
test_rule8_passed_over_capacity_times_goes_first(void **state)
{
    struct fixture *f = begin(state, 4);
    NEW_CLIENT(f, rich, 1);
    NEW_CLIENT(f, busy, 2);
    NEW_CLIENT(f, h, 3);
    pool_account_set_weight(f->pool, pool_process_account(busy.process), POOL_WEIGHT_MAX, tick(f));
    take(f, &rich);
    take(f, &rich);
    take(f, &busy);
    take(f, &h);
    block(f, &rich);
    struct actor *holder = &h;
    for (int i = 0; i < 4; i++) {
        block(f, &busy);
        give(f, holder, 1);
        expect_events(f, "grant:busy");
        holder = &busy;
    }
    block(f, &busy);
    NEW_CLIENT(f, poor, 4);
    block(f, &poor);
    give(f, &busy, 1);
    expect_events(f, "grant:poor");
    give(f, &poor, 1);
    expect_events(f, "grant:rich");
}

/* --- rule 8: users --- */

/* Each costs all others something; who comes too late waits for a token only. */
static void
test_rule2_a_few_hundred_of_a_user_wait_for_a_claim(void **state)
{
    static struct actor claimers[300];
    struct fixture *f = begin(state, 1);
    NEW_CLIENT_OF(f, make, MALLORY, 1);
    NEW_CLIENT_OF(f, other, ALICE, 1);
    int refused = 0;
    for (int i = 0; i < 300; i++) {
        claimers[i] = born_as(f, "c", MALLORY, 1, false);
        opens(f, &claimers[i]);
        int result =
            pool_await_claim(f->pool, claimers[i].opening, claimers[i].process, &make.process, 1);
        assert_int_equal(result, i < 256 ? 0 : -ENOMEM);
        refused += result < 0;
    }
    assert_int_equal(refused, 44);
    /* Who waits already may ask again, and others are not refused. */
    assert_int_equal(
        pool_await_claim(f->pool, claimers[9].opening, claimers[9].process, &make.process, 1), 0);
    assert_int_equal(pool_await_claim(f->pool, other.opening, other.process, &make.process, 1), 0);
    die(f, &claimers[0]);
    assert_int_equal(
        pool_await_claim(f->pool, claimers[299].opening, claimers[299].process, &make.process, 1),
        0);
}

/* However many sessions somebody begins. */
static void
test_rule8_users_before_accounts(void **state)
{
    static struct actor sessions[40], jobs[8];
    struct fixture *f = begin(state, 8);
    unsigned held = 0;
    NEW_CLIENT(f, h, 1);
    take_all(f, &h);
    for (int i = 0; i < 40; i++) {
        sessions[i] = born_as(f, "s", MALLORY, 10 + (uint64_t)i, false);
        opens(f, &sessions[i]);
        block(f, &sessions[i]);
    }
    for (int i = 0; i < 8; i++) {
        jobs[i] = born_as(f, "j", ALICE, 10, false);
        opens(f, &jobs[i]);
        block(f, &jobs[i]);
    }
    give(f, &h, 8);
    for (int i = 0; i < 8; i++)
        held += held_by(f, &jobs[i]);
    assert_int_equal(held, 4);
    expect_tokens(f, 0, 8, 0, 0);
}

/* Who keeps what it gets, and waits for more with accounts that have none, gets no more than its half of
 * what goes round. */
static void
test_rule8_no_turn_for_a_user_that_was_passed_over(void **state)
{
    static struct actor sessions[40];
    struct fixture *f = begin(state, 4);
    NEW_CLIENT_OF(f, busy, ALICE, 1);
    take_all(f, &busy);
    for (int i = 0; i < 40; i++) {
        sessions[i] = born_as(f, "s", MALLORY, 10 + (uint64_t)i, false);
        opens(f, &sessions[i]);
        block(f, &sessions[i]);
    }
    give(f, &busy, 1);
    expect_events(f, "grant:s");
    block(f, &busy);
    give(f, &busy, 1);
    expect_events(f, "grant:s");
    block(f, &busy);
    for (int i = 0; i < 20; i++) {
        give(f, &busy, 1);
        expect_events(f, "grant:busy");
        block(f, &busy);
    }
    assert_int_equal(held_by(f, &busy), 2);
}

static void
test_rule8_a_user_that_has_none_goes_before_all(void **state)
{
    struct fixture *f = begin(state, 2);
    NEW_CLIENT_OF(f, first, MALLORY, 1);
    NEW_CLIENT_OF(f, second, MALLORY, 2);
    NEW_CLIENT_OF(f, third, MALLORY, 3);
    NEW_CLIENT_OF(f, poor, ALICE, 1);
    pool_account_set_weight(f->pool, pool_process_account(third.process), POOL_WEIGHT_MAX, tick(f));
    take(f, &first);
    take(f, &second);
    block(f, &third);
    block(f, &poor);
    give(f, &first, 1);
    expect_events(f, "grant:poor");
    give(f, &second, 1);
    expect_events(f, "grant:third");
}

/* What one says of those that wait below it is for the order of its own user's accounts. */
static void
test_rule8_nobody_below_goes_before_other_users(void **state)
{
    struct fixture *f = begin(state, 3);
    NEW_CLIENT_OF(f, wrap, MALLORY, 1);
    NEW_CLIENT_OF(f, single, ALICE, 1);
    NEW_CLIENT(f, h, 1);
    assert_int_equal(pool_group_join(f->pool, wrap.opening, wrap.process, 50, tick(f)), 0);
    take(f, &h);
    take(f, &wrap);
    take(f, &single);
    block(f, &single);
    block(f, &wrap);
    pool_group_set_needy(f->pool, wrap.opening, UINT32_MAX, tick(f));
    give(f, &h, 1);
    expect_events(f, "grant:single");
}

static void
test_rule8_a_user_has_the_largest_weight_of_its_accounts(void **state)
{
    static struct actor of_alice[12], of_mallory[12];
    struct fixture *f = begin(state, 9);
    NEW_CLIENT(f, h, 1);
    unsigned held = 0;
    take_all(f, &h);
    for (int i = 0; i < 12; i++) {
        of_alice[i] = born_as(f, "a", ALICE, (uint64_t)i % 2, false);
        of_mallory[i] = born_as(f, "m", MALLORY, (uint64_t)i % 3, false);
        opens(f, &of_alice[i]);
        opens(f, &of_mallory[i]);
        block(f, &of_alice[i]);
        block(f, &of_mallory[i]);
    }
    pool_account_set_weight(f->pool, pool_process_account(of_alice[0].process), 200, tick(f));
    pool_account_set_weight(f->pool, pool_process_account(of_mallory[0].process), 50, tick(f));
    give(f, &h, 9);
    for (int i = 0; i < 12; i++)
        held += held_by(f, &of_alice[i]);
    assert_int_equal(held, 6); /* 200 and 100 */
}

/* The weight of those that have gone does not count. */
static void
test_rule8_weight_of_a_user_ends_with_the_account(void **state)
{
    struct fixture *f = begin(state, 4);
    NEW_CLIENT_OF(f, heavy, MALLORY, 1);
    NEW_CLIENT_OF(f, rest, MALLORY, 2);
    NEW_CLIENT_OF(f, a, ALICE, 1);
    NEW_CLIENT(f, h, 1);
    pool_account_set_weight(f->pool, pool_process_account(heavy.process), 300, tick(f));
    take(f, &h);
    take(f, &rest);
    take(f, &rest);
    take(f, &a);
    block(f, &rest);
    block(f, &a);
    give(f, &h, 1);
    expect_events(f, "grant:rest"); /* 2 for 300, and 1 for 100 */
    block(f, &rest);
    die(f, &heavy);
    give(f, &rest, 1);
    expect_events(f, "grant:a");
}

static void
test_rule8_per_user_limit_holds_for_all_accounts(void **state)
{
    struct fixture *f = begin(state, 4);
    NEW_CLIENT_OF(f, a, ALICE, 1);
    NEW_CLIENT_OF(f, b, ALICE, 2);
    NEW_CLIENT_OF(f, c, ALICE, 3);
    NEW_CLIENT_OF(f, other, MALLORY, 1);
    pool_set_per_user_limit(f->pool, 2, tick(f));
    take(f, &a);
    take(f, &b);
    assert_int_equal(read_now(f, &c), POOL_TRY_AGAIN);
    assert_false(polls(f, &c));
    block(f, &b);
    expect_tokens(f, 2, 2, 0, 0);
    take(f, &other); /* those that wait stand in nobody's way */
    assert_int_equal(read_blocking(f, &other), POOL_GRANTED);
    assert_int_equal(read_now(f, &other), POOL_TRY_AGAIN);
    give(f, &other, 2);
    expect_events(f, "");
    give(f, &a, 1);
    expect_events(f, "notify:c");
    take(f, &c); /* what is set aside for it counts, and is what it gets */
    assert_int_equal(read_now(f, &a), POOL_TRY_AGAIN);
    pool_set_per_user_limit(f->pool, 3, tick(f));
    expect_events(f, "grant:b");
    expect_tokens(f, 1, 3, 0, 0);
    pool_set_per_user_limit(f->pool, 1, tick(f));
    expect_tokens(f, 1, 3, 0, 0); /* what is held is not recalled */
    pool_set_per_user_limit(f->pool, 0, tick(f));
    take(f, &a);
}

static void
test_rule8_blocking_and_polling_stand_in_one_queue(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, h, 1);
    NEW_CLIENT(f, poller, 2);
    NEW_CLIENT(f, reader, 3);
    take(f, &h);
    assert_false(polls(f, &poller));
    block(f, &reader);
    give(f, &h, 1);
    expect_events(f, "notify:poller");
    assert_true(polls(f, &poller));
    take(f, &poller);
    give(f, &poller, 1);
    expect_events(f, "grant:reader");
    assert_false(polls(f, &poller));
    give(f, &reader, 1);
    expect_events(f, "notify:poller");
}

/* A hundred blocking readers of other accounts that come again at once do not win over a poller. */
static void
test_rule8_poller_is_not_starved_by_blocking_readers(void **state)
{
    static struct actor reader[100];
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, poller, 1);
    for (int i = 0; i < 100; i++) {
        reader[i] = born(f, "r", 10 + (uint64_t)i, false);
        opens(f, &reader[i]);
    }
    take(f, &reader[0]);
    for (int i = 1; i < 100; i++)
        block(f, &reader[i]);
    assert_false(polls(f, &poller));
    int grants = 0;
    for (int i = 0; !strstr(f->events, "notify:poller"); i = (i + 1) % 100) {
        f->events[0] = '\0';
        give(f, &reader[i], 1);
        block(f, &reader[i]);
        assert_true(++grants <= 100);
    }
    assert_true(polls(f, &poller));
}

static void
test_rule8_per_process_limit_parks_and_serves_again(void **state)
{
    struct fixture *f = begin(state, 3);
    NEW_CLIENT(f, a, 1);
    NEW_CLIENT(f, b, 2);
    pool_set_per_process_limit(f->pool, 1, tick(f));
    take(f, &a);
    assert_int_equal(read_now(f, &a), POOL_TRY_AGAIN);
    assert_false(polls(f, &a));
    block(f, &a);
    expect_tokens(f, 2, 1, 0, 0);
    assert_int_equal(read_blocking(f, &b),
                     POOL_GRANTED); /* the parked one stands in no one's way */
    f->events[0] = '\0';
    give(f, &a, 1);
    assert_non_null(strstr(f->events, ":a"));
    assert_true(status(f).free >= 1);
}

static void
test_rule8_raising_the_limit_serves_the_parked(void **state)
{
    struct fixture *f = begin(state, 3);
    NEW_CLIENT(f, a, 1);
    take(f, &a);
    take(f, &a);
    pool_set_per_process_limit(f->pool, 1, tick(f));
    expect_tokens(f, 1, 2, 0, 0); /* what is held is not recalled */
    block(f, &a);
    give(f, &a, 1);
    expect_events(f, "");
    pool_set_per_process_limit(f->pool, 2, tick(f));
    expect_events(f, "grant:a");
    block(f, &a);
    pool_set_per_process_limit(f->pool, 0, tick(f));
    expect_events(f, "grant:a");
    expect_tokens(f, 0, 3, 0, 0);
}

static void
test_rule8_limit_counts_the_holder_not_the_reader(void **state)
{
    struct fixture *f = begin(state, 3);
    NEW_CLIENT(f, shell, 1);
    NEW_HEIR(f, dd, 1, shell);
    NEW_HEIR(f, dd2, 1, shell);
    pool_set_per_process_limit(f->pool, 1, tick(f));
    take(f, &dd);
    assert_int_equal(read_now(f, &dd2), POOL_TRY_AGAIN);
    block(f, &dd2);
    die(f, &dd);
    expect_events(f, "");
    die(f, &shell); /* now dd2 reads for itself */
    expect_events(f, "grant:dd2");
    assert_int_equal(held_by(f, &dd2), 1);
}

/* --- rule 9: offers, reservations, lazy clients --- */

/* `h` holds the only token, `a` is offered it. */
static void
offer(struct fixture *f, struct actor *h, struct actor *a)
{
    assert_false(polls(f, a));
    f->events[0] = '\0';
    give(f, h, 1);
    char notified[32];
    snprintf(notified, sizeof(notified), "notify:%s", a->name);
    expect_events(f, notified);
    expect_tokens(f, 0, 0, 1, 0);
}

static void
test_rule9_poll_of_a_free_token_reserves_nothing(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, a, 1);
    NEW_CLIENT(f, b, 2);
    assert_true(polls(f, &a));
    expect_tokens(f, 1, 0, 0, 0);
    assert_true(polls(f, &b));
    take(f, &b);
    assert_int_equal(read_now(f, &a), POOL_TRY_AGAIN);
}

static void
test_rule9_notified_poller_that_comes_has_a_reservation(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, h, 1);
    NEW_CLIENT(f, a, 2);
    NEW_CLIENT(f, thief, 3);
    take(f, &h);
    offer(f, &h, &a);
    assert_true(pool_next_deadline(f->pool) == f->now_ns + POOL_OFFER_NS);
    assert_true(polls(f, &a));
    int64_t begins_ns = f->now_ns;
    assert_true(pool_next_deadline(f->pool) == begins_ns + POOL_RESERVATION_NS);
    assert_int_equal(read_now(f, &thief), POOL_TRY_AGAIN);
    assert_false(polls(f, &thief));
    expire_at(f, begins_ns + POOL_RESERVATION_NS - 1);
    expect_tokens(f, 0, 0, 1, 0);
    take(f, &a);
    expect_tokens(f, 0, 1, 0, 0);
    assert_int_equal(status(f).lapsed, 0);
    assert_int_equal(held_by(f, &a), 1);
}

static void
test_rule9_offer_can_be_read_at_once(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, h, 1);
    NEW_CLIENT(f, a, 2);
    take(f, &h);
    offer(f, &h, &a);
    assert_int_equal(read_now(f, &h), POOL_TRY_AGAIN);
    assert_int_equal(read_blocking(f, &a), POOL_GRANTED);
    expect_tokens(f, 0, 1, 0, 0);
}

static void
test_rule9_reservation_is_the_processs_through_any_description(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, h, 1);
    NEW_CLIENT(f, make, 2);
    struct actor make_again = make;
    opens(f, &make_again);
    take(f, &h);
    offer(f, &h, &make);
    assert_true(polls(f, &make));
    take(f, &make_again);
}

static void
test_rule9_shared_description_wakes_all_but_serves_one(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, h, 1);
    NEW_CLIENT(f, parent, 2);
    NEW_HEIR(f, child, 2, parent);
    take(f, &h);
    assert_false(polls(f, &child));
    assert_false(polls(f, &parent));
    assert_int_equal(status(f).waiting, 2);
    give(f, &h, 1);
    expect_events(f, "notify:parent"); /* the description's owner */
    assert_false(polls(f, &parent));
    assert_true(polls(f, &child));
    assert_int_equal(read_now(f, &parent), POOL_TRY_AGAIN);
    take(f, &child);
}

static void
test_rule9_polling_again_stands_in_the_queue_once(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, h, 1);
    NEW_CLIENT(f, a, 2);
    take(f, &h);
    for (int i = 0; i < 5; i++)
        assert_false(polls(f, &a));
    assert_int_equal(status(f).waiting, 1);
    f->events[0] = '\0';
    give(f, &h, 1);
    expect_events(f, "notify:a");
}

static void
test_rule9_poll_that_wants_no_notice_stands_in_no_queue(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, h, 1);
    NEW_CLIENT(f, a, 2);
    take(f, &h);
    assert_false(pool_poll(f->pool, a.opening, a.process, false, tick(f)));
    assert_int_equal(status(f).waiting, 0);
    give(f, &h, 1);
    expect_events(f, "");
}

static void
test_rule9_offer_nobody_comes_for_goes_to_the_next(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, h, 1);
    NEW_CLIENT(f, gone, 2);
    NEW_CLIENT(f, next, 3);
    take(f, &h);
    offer(f, &h, &gone);
    int64_t deadline_ns = pool_next_deadline(f->pool);
    assert_int_equal(status(f).waiting, 0);
    block(f, &next);
    expire_at(f, deadline_ns - 1);
    expect_events(f, "");
    expire_at(f, deadline_ns);
    expect_events(f, "grant:next");
    assert_int_equal(status(f).lapsed, 1);
    assert_int_equal(status(f).waiting, 0); /* it has gone */
}

static void
test_rule9_lapsed_reservation_is_free_again(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, h, 1);
    NEW_CLIENT(f, a, 2);
    take(f, &h);
    offer(f, &h, &a);
    assert_true(polls(f, &a));
    expire_at(f, pool_next_deadline(f->pool));
    expect_tokens(f, 1, 0, 0, 0);
    assert_int_equal(status(f).lapsed, 1);
    assert_true(pool_next_deadline(f->pool) == POOL_NO_DEADLINE);
    take(f, &h);
}

static void
test_rule9_polling_on_does_not_prolong_a_reservation(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, h, 1);
    NEW_CLIENT(f, a, 2);
    take(f, &h);
    offer(f, &h, &a);
    assert_true(polls(f, &a));
    int64_t deadline_ns = pool_next_deadline(f->pool);
    block(f, &h);
    f->now_ns = deadline_ns - 50 * MS;
    assert_true(polls(f, &a));
    assert_true(pool_next_deadline(f->pool) == deadline_ns);
    expire_at(f, deadline_ns);
    expect_events(f, "grant:h");
}

static void
test_rule9_who_lets_reservations_lapse_gets_shorter_ones(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, h, 1);
    NEW_CLIENT(f, idle, 2);
    NEW_CLIENT(f, honest, 3);
    take(f, &h);
    int64_t lasts_ns = POOL_RESERVATION_NS;
    for (int round = 0; round < 16; round++) {
        offer(f, &h, &idle);
        assert_true(polls(f, &idle));
        int64_t length_ns = pool_next_deadline(f->pool) - f->now_ns;
        assert_true(length_ns <= lasts_ns && length_ns >= POOL_RESERVATION_MIN_NS);
        lasts_ns = length_ns;
        expire_at(f, pool_next_deadline(f->pool));
        take(f, &h);
    }
    assert_true(lasts_ns < POOL_RESERVATION_NS / 4);
    offer(f, &h, &honest);
    assert_true(polls(f, &honest));
    assert_true(pool_next_deadline(f->pool) == f->now_ns + POOL_RESERVATION_NS);
}

static void
test_rule9_who_uses_a_reservation_gets_long_ones_again(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, h, 1);
    NEW_CLIENT(f, a, 2);
    take(f, &h);
    for (int round = 0; round < 8; round++) {
        offer(f, &h, &a);
        assert_true(polls(f, &a));
        expire_at(f, pool_next_deadline(f->pool));
        take(f, &h);
    }
    offer(f, &h, &a);
    assert_true(polls(f, &a));
    assert_true(pool_next_deadline(f->pool) < f->now_ns + POOL_RESERVATION_NS);
    take(f, &a);
    give(f, &a, 1);
    take(f, &h);
    offer(f, &h, &a);
    assert_true(polls(f, &a));
    assert_true(pool_next_deadline(f->pool) == f->now_ns + POOL_RESERVATION_NS);
}

static void
test_rule9_close_lets_the_queued_poller_go(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, h, 1);
    NEW_CLIENT(f, a, 2);
    NEW_CLIENT(f, b, 3);
    take(f, &h);
    assert_false(polls(f, &a));
    block(f, &b);
    closes(f, &a);
    assert_int_equal(status(f).waiting, 1);
    give(f, &h, 1);
    expect_events(f, "grant:b");
}

static void
test_rule9_close_passes_an_offer_and_a_reservation_on(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, h, 1);
    NEW_CLIENT(f, a, 2);
    NEW_CLIENT(f, b, 3);
    take(f, &h);
    offer(f, &h, &a);
    closes(f, &a);
    expect_tokens(f, 1, 0, 0, 0);
    take(f, &h);
    offer(f, &h, &b);
    assert_true(polls(f, &b));
    block(f, &h);
    closes(f, &b);
    expect_events(f, "grant:h");
    assert_true(pool_next_deadline(f->pool) == POOL_NO_DEADLINE);
}

/* A lazy client in an account that holds nothing tries `tries` times; then the token of `h` returns
 * while a reader of an account that holds one is blocked. */
static void
lazy_tries(struct fixture *f, struct actor *lazy, struct actor *h, struct actor *reader,
           int64_t interval_ns)
{
    take(f, reader);
    take(f, h);
    for (int i = 0; i < 8; i++) {
        f->now_ns += interval_ns;
        assert_int_equal(read_now(f, lazy), POOL_TRY_AGAIN);
    }
    block(f, reader);
    f->now_ns += interval_ns / 2;
    pool_expire(f->pool, f->now_ns);
    give(f, h, 1);
}

static void
test_rule9_lazy_client_that_tries_often_has_its_turn_held(void **state)
{
    struct fixture *f = begin(state, 2);
    NEW_CLIENT(f, h, 1);
    NEW_CLIENT(f, lazy, 2);
    NEW_CLIENT(f, reader, 3);
    lazy_tries(f, &lazy, &h, &reader, 10 * MS);
    expect_events(f, "");
    expect_tokens(f, 0, 1, 1, 0);
    assert_true(pool_next_deadline(f->pool) <= f->now_ns + POOL_RESERVATION_NS);
    f->now_ns += 5 * MS;
    take(f, &lazy);
    expect_events(f, "");
}

static void
test_rule9_lazy_client_that_does_not_come_loses_its_turn(void **state)
{
    struct fixture *f = begin(state, 2);
    NEW_CLIENT(f, h, 1);
    NEW_CLIENT(f, lazy, 2);
    NEW_CLIENT(f, reader, 3);
    lazy_tries(f, &lazy, &h, &reader, 10 * MS);
    assert_int_equal(status(f).reserved, 1);
    expire_at(f, pool_next_deadline(f->pool));
    expect_events(f, "grant:reader");
    expect_tokens(f, 0, 2, 0, 0);
}

static void
test_rule9_lazy_client_that_tries_seldom_has_no_turn_held(void **state)
{
    struct fixture *f = begin(state, 2);
    NEW_CLIENT(f, h, 1);
    NEW_CLIENT(f, lazy, 2);
    NEW_CLIENT(f, reader, 3);
    lazy_tries(f, &lazy, &h, &reader, 300 * MS); /* a turn would be held for 250 */
    expect_events(f, "grant:reader");
    expect_tokens(f, 0, 2, 0, 0);
}

static void
test_rule9_single_failed_try_holds_no_turn(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, h, 1);
    NEW_CLIENT(f, lazy, 2);
    NEW_CLIENT(f, reader, 3);
    take(f, &h);
    assert_int_equal(read_now(f, &lazy), POOL_TRY_AGAIN);
    block(f, &reader);
    give(f, &h, 1);
    expect_events(f, "grant:reader");
}

/* `a` has a reservation of its own, and polls a description whose opener is at its limit. */
static void
test_rule9_yes_to_a_poll_means_that_a_read_would_be_granted(void **state)
{
    struct fixture *f = begin(state, 2);
    NEW_CLIENT(f, h, 1);
    NEW_CLIENT(f, a, 2);
    struct actor inherited = a;
    inherited.opening = h.opening;
    take_all(f, &h);
    pool_set_per_process_limit(f->pool, 1, tick(f));
    assert_false(polls(f, &a));
    give(f, &h, 1);
    expect_events(f, "notify:a");
    assert_false(polls(f, &inherited));
    assert_int_equal(read_now(f, &inherited), POOL_TRY_AGAIN);
    assert_true(polls(f, &a));
    take(f, &a);
}

/* --- rule 10: limits only delay --- */

static void
test_rule10_throttle_delays_above_min_jobs_only(void **state)
{
    struct fixture *f = begin(state, 4);
    NEW_CLIENT(f, a, 1);
    NEW_CLIENT(f, b, 2);
    NEW_CLIENT(f, c, 3);
    pool_set_throttle(f->pool, 2, tick(f));
    take(f, &a);
    take(f, &b);
    assert_int_equal(read_now(f, &c), POOL_TRY_AGAIN);
    assert_false(polls(f, &c));
    block(f, &a);
    expect_tokens(f, 2, 2, 0, 0);
    expect_events(f, "");
    pool_set_throttle(f->pool, POOL_NO_THROTTLE, tick(f));
    expect_events(f, "notify:c grant:a");
}

static void
test_rule10_min_jobs_keep_running_under_throttle(void **state)
{
    struct fixture *f = begin(state, 4);
    NEW_CLIENT(f, a, 1);
    NEW_CLIENT(f, b, 2);
    take_all(f, &a);
    block(f, &b);
    pool_set_throttle(f->pool, 1, tick(f));
    expect_tokens(f, 0, 4, 0, 0); /* nothing is taken away */
    give(f, &a, 3);
    expect_events(f, "");
    expect_tokens(f, 3, 1, 0, 0);
    give(f, &a, 1);
    expect_events(f, "grant:b");
    expect_tokens(f, 3, 1, 0, 0);
}

static void
test_rule10_raising_min_jobs_serves_waiters(void **state)
{
    struct fixture *f = begin(state, 4);
    NEW_CLIENT(f, a, 1);
    NEW_CLIENT(f, b, 2);
    pool_set_throttle(f->pool, 1, tick(f));
    take(f, &a);
    block(f, &b);
    expect_events(f, "");
    pool_set_throttle(f->pool, 2, tick(f));
    expect_events(f, "grant:b");
}

static void
test_rule10_no_more_at_once_than_the_throttle_leaves(void **state)
{
    struct fixture *f = begin(state, 4);
    NEW_CLIENT(f, a, 1);
    NEW_CLIENT(f, b, 2);
    NEW_CLIENT(f, c, 3);
    pool_set_throttle(f->pool, 0, tick(f));
    block(f, &a);
    block(f, &b);
    assert_false(polls(f, &c));
    expect_events(f, "");
    pool_set_throttle(f->pool, 2, tick(f));
    expect_events(f, "grant:a grant:b");
    /* What is set aside counts as what is held. */
    pool_set_throttle(f->pool, 3, tick(f));
    expect_events(f, "notify:c");
    assert_false(pool_is_throttled(f->pool));
    block(f, &a);
    expect_events(f, "");
    expect_tokens(f, 1, 2, 1, 0);
    assert_true(pool_is_throttled(f->pool));
    assert_int_equal(pool_used(f->pool), 3);
    assert_int_equal(pool_excess(f->pool), 0);
    pool_set_throttle(f->pool, 1, tick(f));
    assert_int_equal(pool_excess(f->pool), 2);
}

/* --- accounts that are paused --- */

static void
pause_account(struct fixture *f, struct actor *a, enum pool_pause pause)
{
    pool_account_set_pause(f->pool, pool_process_account(a->process), pause, tick(f));
    check(f);
}

static void
test_pause_grants_nothing_and_takes_nothing(void **state)
{
    struct fixture *f = begin(state, 4);
    NEW_CLIENT(f, a, 1);
    NEW_CLIENT(f, same, 1);
    NEW_CLIENT(f, b, 2);
    take(f, &a);
    pause_account(f, &a, POOL_PAUSED);
    expect_tokens(f, 3, 1, 0, 0);
    assert_int_equal(read_now(f, &a), POOL_TRY_AGAIN);
    block(f, &same);
    assert_false(polls(f, &a));
    expect_tokens(f, 3, 1, 0, 0);
    assert_int_equal(status(f).waiting, 2);
    assert_int_equal(status(f).paused, 2);
    assert_true(line_of(f, &a).is_paused);
    assert_false(line_of(f, &b).is_paused);
    /* Others are not held up, and what it returns is theirs. */
    take_all(f, &b);
    give(f, &a, 1);
    expect_tokens(f, 1, 3, 0, 0);
    expect_events(f, "");
    pause_account(f, &a, POOL_NOT_PAUSED);
    expect_events(f, "grant:same");
    assert_int_equal(status(f).paused, 0);
}

static void
test_pause_keeps_the_place_of_those_who_wait(void **state)
{
    struct fixture *f = begin(state, 2);
    NEW_CLIENT(f, h, 1);
    NEW_CLIENT(f, a, 2);
    NEW_CLIENT(f, second, 2);
    NEW_CLIENT(f, b, 3);
    take_all(f, &h);
    block(f, &a);
    block(f, &second);
    block(f, &b);
    pause_account(f, &a, POOL_PAUSED_BY_OWNER);
    assert_int_equal(status(f).paused, 2);
    give(f, &h, 2);
    expect_events(f, "grant:b");
    expect_tokens(f, 1, 1, 0, 0);
    pause_account(f, &a, POOL_NOT_PAUSED);
    expect_events(f, "grant:a");
    give(f, &b, 1);
    expect_events(f, "grant:second");
}

static void
test_pause_ends_what_is_set_aside_and_the_poller_waits(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, h, 1);
    NEW_CLIENT(f, a, 2);
    NEW_CLIENT(f, b, 3);
    take(f, &h);
    assert_false(polls(f, &a));
    give(f, &h, 1);
    expect_events(f, "notify:a");
    assert_true(polls(f, &a));
    expect_tokens(f, 0, 0, 1, 0);
    block(f, &b);
    pause_account(f, &a, POOL_PAUSED);
    expect_events(f, "grant:b");
    assert_int_equal(read_now(f, &a), POOL_TRY_AGAIN);
    assert_int_equal(status(f).paused, 1);
    give(f, &b, 1);
    expect_tokens(f, 1, 0, 0, 0);
    pause_account(f, &a, POOL_NOT_PAUSED);
    expect_events(f, "notify:a");
    assert_true(polls(f, &a));
    take(f, &a);
}

static void
test_pause_asks_a_group_for_all_that_it_lends(void **state)
{
    struct fixture *f = begin(state, 4);
    NEW_CLIENT(f, wrap, 1);
    assert_int_equal(pool_group_join(f->pool, wrap.opening, wrap.process, 10, tick(f)), 0);
    take_all(f, &wrap);
    assert_int_equal(pool_pay_implicit(f->pool, wrap.opening, wrap.process, tick(f)), 0);
    assert_int_equal(pool_recalled(f->pool, wrap.opening), 0);
    pause_account(f, &wrap, POOL_PAUSED);
    assert_string_equal(f->recalled, "wrap");
    assert_int_equal(pool_recalled(f->pool, wrap.opening), 3);
    give(f, &wrap, 3);
    assert_int_equal(pool_recalled(f->pool, wrap.opening), 0);
    expect_tokens(f, 3, 1, 0, 0);
    assert_int_equal(read_now(f, &wrap), POOL_TRY_AGAIN);
    pause_account(f, &wrap, POOL_NOT_PAUSED);
    take_all(f, &wrap);
    assert_int_equal(pool_recalled(f->pool, wrap.opening), 0);
}

static void
test_pause_ends_with_the_account(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, a, 1);
    pause_account(f, &a, POOL_PAUSED);
    assert_int_equal(read_now(f, &a), POOL_TRY_AGAIN);
    die(f, &a);
    assert_null(pool_account_find(f->pool, USER, 1));
    assert_null(pool_account_find(f->pool, ALICE, 1));
    NEW_CLIENT(f, next, 1);
    take(f, &next);
    const struct pool_account *account = pool_account_find(f->pool, USER, 1);
    assert_ptr_equal(account, pool_process_account(next.process));
    assert_int_equal(pool_account_describe(account).pause, POOL_NOT_PAUSED);
    assert_int_equal(pool_account_describe(account).uid, USER);
    assert_int_equal(pool_account_describe(account).key, 1);
    assert_int_equal(pool_account_describe(account).weight, POOL_WEIGHT_DEFAULT);
}

/* What is set aside for a process whose opener dies is charged to it, and it may be in an account that is paused. */
static void
test_pause_counts_for_what_is_charged_to_it_later(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, h, 1);
    NEW_CLIENT(f, parent, 2);
    NEW_HEIR(f, child, 3, parent);
    take(f, &h);
    assert_false(polls(f, &child));
    give(f, &h, 1);
    expect_events(f, "notify:parent");
    assert_true(polls(f, &child));
    pause_account(f, &child, POOL_PAUSED);
    expect_tokens(f, 0, 0, 1, 0);
    die(f, &parent);
    expect_tokens(f, 1, 0, 0, 0);
    assert_int_equal(read_now(f, &child), POOL_TRY_AGAIN);
    assert_ptr_equal(pool_account_charged(child.opening, child.process),
                     pool_process_account(child.process));
}

/* --- what is seen from outside --- */

static void
test_status_counts_processes_and_accounts(void **state)
{
    struct fixture *f = begin(state, 4);
    NEW_CLIENT(f, a, 1);
    NEW_CLIENT(f, b, 1);
    NEW_CLIENT(f, c, 2);
    assert_int_equal(status(f).processes, 3);
    assert_int_equal(status(f).accounts, 2);
    assert_ptr_equal(pool_account(f->pool, USER, 1), pool_process_account(a.process));
    assert_ptr_equal(pool_process_account(b.process), pool_process_account(a.process));
    assert_ptr_equal(pool_account(f->pool, USER, 2), pool_process_account(c.process));
    die(f, &c);
    assert_int_equal(status(f).accounts, 1);
    die(f, &a);
    die(f, &b);
    assert_int_equal(status(f).accounts, 0);
    assert_int_equal(status(f).processes, 0);
}

static void
test_clients_come_in_pages_each_once(void **state)
{
    static struct actor many[10];
    struct fixture *f = begin(state, 10);
    for (int i = 0; i < 10; i++) {
        many[i] = born(f, "many", 1, false);
        opens(f, &many[i]);
        take(f, &many[i]);
    }
    struct pool_client page[3];
    uint64_t cursor = 0, before;
    unsigned seen = 0;
    assert_int_equal(pool_get_clients(f->pool, &cursor, page, 0), 0);
    cursor = 0;
    for (size_t n; (before = cursor, n = pool_get_clients(f->pool, &cursor, page, 3)) > 0;) {
        assert_true(n <= 3 && cursor > before);
        for (size_t i = 0; i < n; i++)
            seen |= 1u << (page[i].pid - pool_process_pid(many[0].process));
    }
    assert_int_equal(seen, 0x3ff);
    assert_int_equal(pool_get_clients(f->pool, &cursor, page, 3), 0);
}

static void
test_clients_that_die_or_come_between_pages_disturb_nothing(void **state)
{
    static struct actor many[7];
    struct fixture *f = begin(state, 10);
    for (int i = 0; i < 6; i++) {
        many[i] = born(f, "many", 1, false);
        opens(f, &many[i]);
        take(f, &many[i]);
    }
    struct pool_client page[8];
    uint64_t cursor = 0;
    assert_int_equal(pool_get_clients(f->pool, &cursor, page, 2), 2);
    pid_t shown[2] = {page[0].pid, page[1].pid};
    die(f, &many[1]);
    die(f, &many[2]);
    many[6] = born(f, "late", 1, false);
    opens(f, &many[6]);
    take(f, &many[6]);
    size_t n = pool_get_clients(f->pool, &cursor, page, 8);
    bool late = false;
    for (size_t i = 0; i < n; i++) {
        assert_true(page[i].pid != shown[0] && page[i].pid != shown[1]);
        late = late || page[i].pid == pool_process_pid(many[6].process);
    }
    assert_true(late);
    uint64_t far = UINT64_MAX;
    assert_int_equal(pool_get_clients(f->pool, &far, page, 8), 0);
}

static void
test_destroy_with_everything_in_use_sends_no_event(void **state)
{
    struct fixture *f = begin(state, 1);
    NEW_CLIENT(f, h, 1);
    NEW_CLIENT(f, a, 2);
    NEW_CLIENT(f, b, 3);
    NEW_CLIENT(f, wrap, 4);
    assert_int_equal(pool_group_join(f->pool, wrap.opening, wrap.process, 1000, tick(f)), 0);
    take(f, &h);
    offer(f, &h, &a);
    block(f, &b);
    block(f, &wrap);
    assert_false(polls(f, &h));
    pool_destroy(f->pool);
    f->pool = NULL;
    expect_events(f, "");
}

/* --- the table of docs/accounting.md, line by line --- */

static void
wrapper_starts(struct fixture *f, struct actor *wrap, struct actor *keeper, uint64_t key)
{
    assert_int_equal(pool_group_join(f->pool, wrap->opening, wrap->process, key, tick(f)), 0);
    assert_int_equal(pool_group_join(f->pool, wrap->opening, keeper->process, key, tick(f)), 0);
}

/* It polls and reads. */
static void
comes_for_its_token(struct fixture *f, struct actor *wrap)
{
    assert_true(polls(f, wrap));
    take(f, wrap);
    f->events[0] = '\0';
}

static void
test_example_of_the_documentation(void **state)
{
    struct fixture *f = begin(state, 4);
    NEW_CLIENT(f, a, 1);
    NEW_HEIR(f, a_keeper, 1, a);
    NEW_CLIENT(f, b, 2);
    NEW_HEIR(f, b_keeper, 2, b);
    wrapper_starts(f, &a, &a_keeper, 1000); /* 1 */
    take(f, &a);
    assert_int_equal(pool_pay_implicit(f->pool, a.opening, a.process, tick(f)), 0);
    expect_tokens(f, 3, 1, 0, 0);
    take_all(f, &a); /* 2 */
    assert_false(polls(f, &a));
    expect_tokens(f, 0, 4, 0, 0);
    wrapper_starts(f, &b, &b_keeper, 2000); /* 3 */
    assert_false(polls(f, &b));
    give(f, &a, 1); /* 4 */
    expect_events(f, "notify:b");
    comes_for_its_token(f, &b);
    assert_int_equal(pool_pay_implicit(f->pool, b.opening, b.process, tick(f)), 0);
    assert_false(polls(f, &b)); /* 5 */
    give(f, &a, 1);
    expect_events(f, "notify:b");
    comes_for_its_token(f, &b);
    assert_int_equal(held_by(f, &a), 2);
    assert_int_equal(held_by(f, &b), 2);
    resize(f, 5); /* 6 */
    expect_events(f, "notify:a");
    expire_at(f, f->now_ns + 5 * MS);
    expect_tokens(f, 1, 4, 0, 0);
    comes_for_its_token(f, &b); /* 7 */
    expect_tokens(f, 0, 5, 0, 0);
    resize(f, 3); /* 8 */
    expect_tokens(f, 0, 5, 0, 2);
    die(f, &b); /* 9 */
    expect_tokens(f, 0, 5, 0, 2);
    die(f, &b_keeper); /* 10 */
    expect_tokens(f, 1, 2, 0, 0);
    assert_int_equal(held_by(f, &a), 2);
    give(f, &a, 2); /* 11 */
    expect_tokens(f, 3, 0, 0, 0);
    assert_int_equal(status(f).unpaid, 0);
}

/* --- memory that runs out --- */

static struct pool_process *
try_process(struct fixture *f, uint64_t key)
{
    struct pool_account *account = pool_account(f->pool, USER, key);
    return account ? pool_process_add(f->pool, ++f->last_pid, account, false) : NULL;
}

/* One of everything that may allocate; whatever fails is left out. */
static void
use_everything(struct fixture *f)
{
    char name[] = "x";
    struct pool_waiter *waiter;
    struct pool_process *p[8];
    struct pool_opening *o[8];
    for (int i = 0; i < 8; i++) {
        p[i] = try_process(f, (uint64_t)i % 3 + 1);
        o[i] = p[i] ? pool_open(f->pool, p[i], name) : NULL;
        if (i == 4 && o[i]) {
            int joined = pool_group_join(f->pool, o[i], p[i], 1000, tick(f));
            assert_true(joined == 0 || joined == -ENOMEM);
        }
        if (!o[i])
            continue;
        enum pool_answer answer = pool_read(f->pool, o[i], p[i], true, NULL, NULL, tick(f));
        assert_true(answer == POOL_GRANTED || answer == POOL_TRY_AGAIN);
        pool_poll(f->pool, o[i], p[i], true, tick(f));
        answer = pool_read(f->pool, o[i], p[i], false, name, &waiter, tick(f));
        assert_true(answer != POOL_TRY_AGAIN);
        if (i > 0 && p[i - 1] && !pool_claim_implicit(f->pool, p[i], p[i - 1], tick(f))) {
            int awaited = pool_await_claim(f->pool, o[i], p[i], &p[i - 1], 1);
            assert_true(awaited == 0 || awaited == -ENOMEM);
        }
        int resized = pool_set_capacity(f->pool, (unsigned)i % 3 + 1, tick(f));
        assert_true(resized == 0 || resized == -ENOMEM);
        pool_write(f->pool, o[i], p[i], 1, tick(f));
        check(f);
    }
    for (int i = 0; i < 8; i++) {
        if (p[i])
            pool_process_died(f->pool, p[i], tick(f));
        if (o[i])
            pool_close(f->pool, o[i], tick(f));
        check(f);
    }
    expect_tokens(f, status(f).capacity, 0, 0, 0);
}

static void
test_memory_that_runs_out_loses_no_token(void **state)
{
    struct fixture *f = *state;
    f->now_ns = 1000 * MS;
    unsigned nth = 0, created = 0;
    bool has_failed;
    do {
        failing_memory_begin(++nth);
        errno = 0;
        f->pool = pool_create(2);
        if (f->pool) {
            created++;
            use_everything(f);
            pool_destroy(f->pool);
            f->pool = NULL;
        } else {
            assert_int_equal(errno, ENOMEM);
        }
        has_failed = failing_memory_end();
        f->events[0] = '\0';
        assert_true(nth < 10000);
    } while (has_failed);
    assert_true(nth > 5 && created > 0 && created < nth);
}

#define POOL_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(test_rule1_reads_and_writes_keep_the_sum),
        POOL_TEST(test_rule1_closing_a_description_returns_nothing_that_is_held),
        POOL_TEST(test_rule1_token_of_a_reader_that_is_gone_goes_to_the_next),
        POOL_TEST(test_rule1_token_of_a_reader_that_is_gone_stays),
        POOL_TEST(test_rule1_failed_answer_gives_the_token_back),
        POOL_TEST(test_rule1_failed_answer_through_an_opener_is_taken_from_the_opener),
        POOL_TEST(test_rule1_capacity_out_of_range_is_refused),
        POOL_TEST(test_rule1_largest_pool_can_be_drained_and_filled),
        POOL_TEST(test_rule2_direct_client_is_shown_as_unpaid),
        POOL_TEST(test_rule2_client_below_a_client_is_paid),
        POOL_TEST(test_rule2_paying_takes_one_of_the_held_tokens),
        POOL_TEST(test_rule2_claims_never_exceed_what_the_ancestor_holds),
        POOL_TEST(test_rule2_second_claim_is_granted_by_the_first),
        POOL_TEST(test_rule2_claim_ends_with_the_claimant),
        POOL_TEST(test_rule2_claim_ends_with_the_token),
        POOL_TEST(test_rule2_token_that_is_returned_goes_on_to_pay_for_who_claimed_it),
        POOL_TEST(test_rule2_token_that_is_returned_pays_for_nobody_twice),
        POOL_TEST(test_rule2_token_that_is_returned_pays_for_jobs_whose_gate_is_dead),
        POOL_TEST(test_rule2_return_that_would_end_claims_is_known_before),
        POOL_TEST(test_rule2_claim_ends_with_the_ancestor),
        POOL_TEST(test_rule2_what_is_claimed_may_be_claimed_on),
        POOL_TEST(test_rule2_no_claim_is_below_itself),
        POOL_TEST(test_rule2_claiming_pays_the_slot_of_the_claimant),
        POOL_TEST(test_rule2_tokens_of_a_group_can_be_claimed_through_any_member),
        POOL_TEST(test_rule2_claim_that_ends_is_the_next_ones_who_asked),
        POOL_TEST(test_rule2_poll_tells_of_a_claim_until_it_is_asked_for),
        POOL_TEST(test_rule2_who_has_the_claim_waits_for_no_token),
        POOL_TEST(test_rule2_who_gets_a_token_waits_for_no_claim),
        POOL_TEST(test_rule2_blocked_reader_that_is_granted_waits_for_no_claim),
        POOL_TEST(test_rule2_token_that_an_ancestor_gets_is_claimed),
        POOL_TEST(test_rule2_what_has_come_late_is_claimed_on),
        POOL_TEST(test_rule2_wait_for_a_claim_ends_with_who_waits),
        POOL_TEST(test_rule2_dead_ancestor_has_nothing_to_claim),
        POOL_TEST(test_rule2_wait_for_a_claim_goes_on_in_a_group),
        POOL_TEST(test_rule2_tokens_of_a_group_come_to_who_waits_below_a_member),
        POOL_TEST(test_rule2_claim_that_is_lost_before_it_is_asked_for),
        POOL_TEST(test_rule2_token_that_is_passed_on_before_it_is_asked_for),
        POOL_TEST(test_rule2_token_that_is_passed_on_before_its_claimer_is_a_group),
        POOL_TEST(test_rule2_client_that_does_not_ask_again_is_told_once),
        POOL_TEST(test_rule2_asking_again_keeps_the_place),
        POOL_TEST(test_rule2_idle_tokens_pay_for_nobody),
        POOL_TEST(test_rule2_idle_token_that_is_returned_pays_on_only_where_it_must),
        POOL_TEST(test_rule2_nobody_above_is_nobody_to_wait_for),
        POOL_TEST(test_recall_group_with_the_larger_share_is_asked),
        POOL_TEST(test_recall_its_own_implicit_slot_is_not_asked_for),
        POOL_TEST(test_recall_debt_asks_for_as_much),
        POOL_TEST(test_recall_weight_counts),
        POOL_TEST(test_recall_who_has_none_asks_down_to_the_last),
        POOL_TEST(test_recall_the_last_token_stays),
        POOL_TEST(test_recall_what_is_above_a_limit_is_asked_for),
        POOL_TEST(test_recall_goes_on_for_who_has_none_when_a_debt_is_paid),
        POOL_TEST(test_recall_for_a_lazy_client_that_has_none),
        POOL_TEST(test_rule8_need_is_for_so_many_grants),
        POOL_TEST(test_recall_what_is_left_over_goes_round),
        POOL_TEST(test_recall_turns_are_for_weights_too),
        POOL_TEST(test_weight_is_of_who_has_an_account),
        POOL_TEST(test_rule3_free_token_is_had_at_once),
        POOL_TEST(test_rule3_returned_token_is_granted_in_the_same_call),
        POOL_TEST(test_rule3_many_returned_tokens_serve_as_many),
        POOL_TEST(test_rule3_interrupted_reader_wants_nothing),
        POOL_TEST(test_rule4_write_returns_n_tokens_whatever_the_bytes),
        POOL_TEST(test_rule4_write_through_another_description_is_credited_to_the_writer),
        POOL_TEST(test_rule4_foreign_return_through_the_same_description),
        POOL_TEST(test_rule4_writer_pays_its_own_first),
        POOL_TEST(test_rule4_one_write_may_be_own_foreign_and_dropped),
        POOL_TEST(test_rule4_stranger_through_its_own_description_is_dropped),
        POOL_TEST(test_rule4_pool_never_grows_by_a_write),
        POOL_TEST(test_rule4_nobody_returns_for_the_dead),
        POOL_TEST(test_rule5_nonblocking_read_answers_at_once),
        POOL_TEST(test_rule5_nonblocking_read_does_not_pass_those_who_wait),
        POOL_TEST(test_rule6_holder_is_the_reader),
        POOL_TEST(test_rule6_holder_is_the_living_opener),
        POOL_TEST(test_rule6_blocked_read_belongs_to_the_opener_too),
        POOL_TEST(test_rule6_reader_holds_when_the_opener_is_dead),
        POOL_TEST(test_rule6_reader_holds_when_the_opener_died_while_it_waited),
        POOL_TEST(test_rule6_dead_holder_holds_nothing_and_waits_for_nothing),
        POOL_TEST(test_rule6_every_blocked_read_of_the_dead_is_cancelled),
        POOL_TEST(test_rule6_dead_pollers_reservation_goes_to_the_next),
        POOL_TEST(test_rule6_pid_used_again_is_another_process),
        POOL_TEST(test_rule6_group_holds_until_its_last_member_died),
        POOL_TEST(test_rule6_group_outlives_its_keeper),
        POOL_TEST(test_rule6_group_holds_what_anybody_reads_through_its_description),
        POOL_TEST(test_rule6_group_survives_the_close_of_its_description),
        POOL_TEST(test_rule6_joining_another_group_is_refused),
        POOL_TEST(test_rule6_holder_of_a_token_cannot_join),
        POOL_TEST(test_rule6_group_with_key_0_stays_in_its_account),
        POOL_TEST(test_rule6_founding_a_group_serves_who_waits_there),
        POOL_TEST(test_rule6_member_of_a_group_returns_what_it_holds_by_itself),
        POOL_TEST(test_rule7_free_tokens_go_first),
        POOL_TEST(test_rule7_returning_tokens_pay_the_debt_first),
        POOL_TEST(test_rule7_tokens_of_the_dead_pay_the_debt_too),
        POOL_TEST(test_rule7_at_a_capacity_of_zero_nothing_is_granted_and_all_wait_on),
        POOL_TEST(test_rule7_lowering_cancels_reservations),
        POOL_TEST(test_rule7_lowering_cancels_offers),
        POOL_TEST(test_rule7_raising_serves_waiters_at_once),
        POOL_TEST(test_rule7_raising_pays_the_debt_first),
        POOL_TEST(test_rule8_next_is_the_account_that_holds_the_fewest),
        POOL_TEST(test_rule8_among_equals_the_longest_waiting),
        POOL_TEST(test_rule8_first_come_first_served_within_an_account),
        POOL_TEST(test_rule8_many_waiting_processes_gain_nothing),
        POOL_TEST(test_rule8_twice_the_weight_is_twice_the_tokens),
        POOL_TEST(test_rule8_paid_implicit_slot_is_not_counted),
        POOL_TEST(test_rule8_who_has_none_goes_before_all),
        POOL_TEST(test_rule8_offered_and_reserved_tokens_count_as_held),
        POOL_TEST(test_rule8_passed_over_capacity_times_goes_first),
        POOL_TEST(test_rule8_blocking_and_polling_stand_in_one_queue),
        POOL_TEST(test_rule8_poller_is_not_starved_by_blocking_readers),
        POOL_TEST(test_rule2_a_few_hundred_of_a_user_wait_for_a_claim),
        POOL_TEST(test_rule8_users_before_accounts),
        POOL_TEST(test_rule8_no_turn_for_a_user_that_was_passed_over),
        POOL_TEST(test_rule8_a_user_that_has_none_goes_before_all),
        POOL_TEST(test_rule8_nobody_below_goes_before_other_users),
        POOL_TEST(test_rule8_a_user_has_the_largest_weight_of_its_accounts),
        POOL_TEST(test_rule8_weight_of_a_user_ends_with_the_account),
        POOL_TEST(test_rule8_per_user_limit_holds_for_all_accounts),
        POOL_TEST(test_recall_the_user_with_the_larger_share_is_asked),
        POOL_TEST(test_recall_within_a_user_it_is_between_accounts),
        POOL_TEST(test_rule8_per_process_limit_parks_and_serves_again),
        POOL_TEST(test_rule8_raising_the_limit_serves_the_parked),
        POOL_TEST(test_rule8_limit_counts_the_holder_not_the_reader),
        POOL_TEST(test_rule9_poll_of_a_free_token_reserves_nothing),
        POOL_TEST(test_rule9_notified_poller_that_comes_has_a_reservation),
        POOL_TEST(test_rule9_offer_can_be_read_at_once),
        POOL_TEST(test_rule9_reservation_is_the_processs_through_any_description),
        POOL_TEST(test_rule9_shared_description_wakes_all_but_serves_one),
        POOL_TEST(test_rule9_polling_again_stands_in_the_queue_once),
        POOL_TEST(test_rule9_poll_that_wants_no_notice_stands_in_no_queue),
        POOL_TEST(test_rule9_offer_nobody_comes_for_goes_to_the_next),
        POOL_TEST(test_rule9_lapsed_reservation_is_free_again),
        POOL_TEST(test_rule9_polling_on_does_not_prolong_a_reservation),
        POOL_TEST(test_rule9_who_lets_reservations_lapse_gets_shorter_ones),
        POOL_TEST(test_rule9_who_uses_a_reservation_gets_long_ones_again),
        POOL_TEST(test_rule9_close_lets_the_queued_poller_go),
        POOL_TEST(test_rule9_close_passes_an_offer_and_a_reservation_on),
        POOL_TEST(test_rule9_lazy_client_that_tries_often_has_its_turn_held),
        POOL_TEST(test_rule9_lazy_client_that_does_not_come_loses_its_turn),
        POOL_TEST(test_rule9_lazy_client_that_tries_seldom_has_no_turn_held),
        POOL_TEST(test_rule9_single_failed_try_holds_no_turn),
        POOL_TEST(test_rule9_yes_to_a_poll_means_that_a_read_would_be_granted),
        POOL_TEST(test_rule10_throttle_delays_above_min_jobs_only),
        POOL_TEST(test_rule10_min_jobs_keep_running_under_throttle),
        POOL_TEST(test_rule10_raising_min_jobs_serves_waiters),
        POOL_TEST(test_rule10_no_more_at_once_than_the_throttle_leaves),
        POOL_TEST(test_pause_grants_nothing_and_takes_nothing),
        POOL_TEST(test_pause_keeps_the_place_of_those_who_wait),
        POOL_TEST(test_pause_ends_what_is_set_aside_and_the_poller_waits),
        POOL_TEST(test_pause_asks_a_group_for_all_that_it_lends),
        POOL_TEST(test_pause_ends_with_the_account),
        POOL_TEST(test_pause_counts_for_what_is_charged_to_it_later),
        POOL_TEST(test_status_counts_processes_and_accounts),
        POOL_TEST(test_clients_come_in_pages_each_once),
        POOL_TEST(test_clients_that_die_or_come_between_pages_disturb_nothing),
        POOL_TEST(test_destroy_with_everything_in_use_sends_no_event),
        POOL_TEST(test_example_of_the_documentation),
        POOL_TEST(test_memory_that_runs_out_loses_no_token),
    };
    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
