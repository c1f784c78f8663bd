/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Nobody without a token waits for ever while releases go on (rule 8): builds as they behave, at random,
 * never more of them than there are tokens.
 *
 *   wrapper   a group that wants more and more, and gives none back but when it has been told so, and
 *             one at a time, since its jobs end one by one; somebody may wait below it who has none
 *   client    reads, runs a job, returns the token and reads again
 *
 * Some block in a read and some poll; they come and go, and the capacity is set anew. Two things are bounded for
 * who waits and has none: how many tokens others get first, and how long all this takes. The first is what
 * rule 8 says of the order; the second fails if anybody who was to be asked has not been told.
 *
 * Where the builds are of several users this holds for users that have none, and no user waits for long while
 * another has two more tokens, however many builds that has.
 *
 *     test_pool_turns [SEED]     or POOL_TURNS_SEED; printed, to repeat a failure
 *     POOL_TURNS_ROUNDS          60 unless told
 */

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "libjobserver/pool/pool.h"
#include "tests/unit/chance.h"

#define BUILDS 12
#define USERS 3
#define STEPS 6000
#define MS INT64_C(1000000)

struct turns;

struct build {
    struct turns *turns;
    struct pool_process *process; /* NULL: it is not there */
    struct pool_opening *opening;
    bool is_wrapper, polls, waits;
    bool is_told; /* that tokens are asked for, and it has not given all of them */
    unsigned held, below, user;
    uint64_t grants_then, steps_then; /* when it began to wait with none */
};

/* What all builds of one have together. */
struct user {
    unsigned held, counted;
    bool waits;
    bool is_poor, has_less;           /* and waits */
    uint64_t grants_then, steps_then; /* when it became poor */
    uint64_t steps_then_less;         /* when it began to have less */
};

struct turns {
    uint64_t seed, random, grants, steps, served, resizes, most_grants, most_steps;
    struct pool *pool;
    struct build builds[BUILDS];
    struct user users[USERS];
    unsigned user_count;
    unsigned alive, capacity;
    pid_t last_pid;
    int64_t now_ns;
};

/* --- the server --- */

static void
note_served(struct turns *t, const struct build *b)
{
    uint64_t grants = t->grants - b->grants_then, steps = t->steps - b->steps_then;

    t->served++;
    t->most_grants = grants > t->most_grants ? grants : t->most_grants;
    t->most_steps = steps > t->most_steps ? steps : t->most_steps;
}

static void
got_one(struct turns *t, struct build *b)
{
    b->held++;
    b->waits = false;
    t->grants++;
    if (b->is_wrapper && b->held == 1)
        assert_int_equal(pool_pay_implicit(t->pool, b->opening, b->process, t->now_ns), 0);
    if (b->below > 0)
        b->below--;
    if (b->held == 1)
        note_served(t, b);
}

/* Who is notified comes at once. */
static void
try_again(struct turns *t, struct build *b)
{
    struct pool_waiter *none;

    if (!b->waits || !pool_poll(t->pool, b->opening, b->process, true, t->now_ns))
        return;
    assert_int_equal(pool_read(t->pool, b->opening, b->process, true, NULL, &none, t->now_ns),
                     POOL_GRANTED);
    got_one(t, b);
}

static void
answer_due(struct turns *t)
{
    struct pool_due due;

    while (pool_next_due(t->pool, &due)) {
        if (due.kind == POOL_DUE_GRANT)
            got_one(t, due.reader);
        else if (due.kind == POOL_DUE_NOTIFY)
            try_again(t, due.owner);
        else if (due.kind == POOL_DUE_RECALL)
            ((struct build *)due.owner)->is_told = true;
    }
}

/* --- what builds do --- */

static void
begin_to_count(struct turns *t, struct build *b)
{
    if (b->held > 0 || !b->waits)
        return;
    b->grants_then = t->grants + 1;
    b->steps_then = t->steps;
}

static void
want(struct turns *t, struct build *b)
{
    struct pool_waiter *waiter;

    if (b->waits)
        return;
    b->waits = true;
    begin_to_count(t, b);
    if (b->polls)
        try_again(t, b);
    else if (pool_read(t->pool, b->opening, b->process, false, b, &waiter, t->now_ns) ==
             POOL_GRANTED)
        got_one(t, b);
}

static void
give(struct turns *t, struct build *b)
{
    b->held--;
    begin_to_count(t, b);
    assert_int_equal(pool_write(t->pool, b->opening, b->process, 1, t->now_ns), 1);
}

/* A job ends. What nobody asks for is lent to the next one. */
static void
step_of_wrapper(struct turns *t, struct build *b)
{
    if (b->held > 1 && b->is_told) {
        b->is_told = pool_recalled(t->pool, b->opening) > 0;
        if (b->is_told)
            give(t, b);
    }
    if (b->held > 0 && one_in(&t->random, 8)) {
        b->below = below(&t->random, 3);
        pool_group_set_needy(t->pool, b->opening, b->below, t->now_ns);
    }
    want(t, b);
}

static void
step_of_client(struct turns *t, struct build *b)
{
    if (b->held > 0 && one_in(&t->random, 2))
        give(t, b);
    want(t, b);
}

static void
birth(struct turns *t, struct build *b)
{
    *b = (struct build){.turns = t,
                        .user = below(&t->random, 1 + below(&t->random, t->user_count)),
                        .is_wrapper = !one_in(&t->random, 3),
                        .polls = one_in(&t->random, 2)};
    struct pool_account *account = pool_account(t->pool, b->user, (uint64_t)++t->last_pid);
    b->process = account ? pool_process_add(t->pool, t->last_pid, account, false) : NULL;
    b->opening = b->process ? pool_open(t->pool, b->process, b) : NULL;
    assert_non_null(b->opening);
    if (b->is_wrapper)
        assert_int_equal(pool_group_join(t->pool, b->opening, b->process,
                                         UINT64_C(1000000) + (uint64_t)t->last_pid, t->now_ns),
                         0);
    t->alive++;
}

static void
death(struct turns *t, struct build *b)
{
    struct pool_process *process = b->process;

    b->process = NULL;
    b->waits = false;
    pool_close(t->pool, b->opening, t->now_ns);
    pool_process_died(t->pool, process, t->now_ns);
    t->alive--;
}

/* As many tokens as builds, at least. */
static void
resize(struct turns *t)
{
    t->capacity = t->alive + below(&t->random, BUILDS);
    t->resizes++;
    assert_int_equal(pool_set_capacity(t->pool, t->capacity, t->now_ns), 0);
}

static void
come_or_go(struct turns *t, struct build *b)
{
    if (b->process && t->alive > 1)
        death(t, b);
    else if (!b->process && t->alive < t->capacity)
        birth(t, b);
    else
        resize(t);
}

/* --- who waits with none --- */

/* Each of the others may have waited with none for longer, and so may one below it. A step is of one build in
 * BUILDS, and ends a job in half of the cases. */
static void
check_waiting(struct turns *t, const struct build *b)
{
    if (t->user_count > 1 || !b->process || !b->waits || b->held > 0)
        return;
    uint64_t grants = t->grants + 1 - b->grants_then, steps = t->steps - b->steps_then;
    if (grants > 2 * BUILDS || steps > 100 * BUILDS)
        fail_msg("seed %" PRIu64 ": a %s has waited for %" PRIu64
                 " steps with no token, and others "
                 "got %" PRIu64,
                 t->seed, b->is_wrapper ? "wrapper" : "client", steps, grants);
}

/* --- users --- */

static void
count(struct user *user, const struct build *b)
{
    if (!b->process)
        return;
    user->held += b->held;
    user->counted += b->held - (b->is_wrapper && b->held > 0); /* its implicit slot is paid for */
    user->waits |= b->waits;
}

static void
note_user(struct turns *t, struct user *user, unsigned most_counted)
{
    bool is_poor = user->waits && user->held == 0;
    bool has_less = user->waits && user->counted + 2 <= most_counted;

    if (is_poor && !user->is_poor) {
        user->grants_then = t->grants;
        user->steps_then = t->steps;
    }
    if (has_less && !user->has_less)
        user->steps_then_less = t->steps;
    user->is_poor = is_poor;
    user->has_less = has_less;
}

/* Of those of others with none, each may be served first. */
static void
check_user(const struct turns *t, const struct user *user)
{
    if (user->is_poor &&
        (t->grants - user->grants_then > USERS || t->steps - user->steps_then > 100 * BUILDS))
        fail_msg("seed %" PRIu64 ": a user has waited for %" PRIu64
                 " steps with no token, and others got %" PRIu64,
                 t->seed, t->steps - user->steps_then, t->grants - user->grants_then);
    if (user->has_less && t->steps - user->steps_then_less > 200 * BUILDS)
        fail_msg("seed %" PRIu64 ": a user has waited for %" PRIu64
                 " steps, and another had two more",
                 t->seed, t->steps - user->steps_then_less);
}

static void
check_users(struct turns *t)
{
    unsigned most_counted = 0;

    for (int i = 0; i < USERS; i++) {
        t->users[i].held = t->users[i].counted = 0;
        t->users[i].waits = false;
    }
    for (int i = 0; i < BUILDS; i++)
        count(&t->users[t->builds[i].user], &t->builds[i]);
    for (int i = 0; i < USERS; i++)
        if (t->users[i].counted > most_counted)
            most_counted = t->users[i].counted;
    for (int i = 0; i < USERS; i++) {
        note_user(t, &t->users[i], most_counted);
        check_user(t, &t->users[i]);
    }
}

static void
take_step(struct turns *t)
{
    struct build *b = &t->builds[below(&t->random, BUILDS)];

    t->steps++;
    t->now_ns += (int64_t)below(&t->random, 10 * MS);
    if (pool_next_deadline(t->pool) <= t->now_ns)
        pool_expire(t->pool, t->now_ns);
    answer_due(t);
    if (one_in(&t->random, 200))
        come_or_go(t, b);
    else if (b->process && b->is_wrapper)
        step_of_wrapper(t, b);
    else if (b->process)
        step_of_client(t, b);
    answer_due(t);
    const char *wrong = pool_check(t->pool);
    if (wrong)
        fail_msg("seed %" PRIu64 ": %s", t->seed, wrong);
    for (int i = 0; i < BUILDS; i++)
        check_waiting(t, &t->builds[i]);
    check_users(t);
}

static void
play_round(struct turns *t)
{
    memset(t->builds, 0, sizeof(t->builds));
    memset(t->users, 0, sizeof(t->users));
    t->user_count = one_in(&t->random, 2) ? 1 : USERS;
    t->alive = 0;
    t->capacity = 1 + below(&t->random, BUILDS);
    t->pool = pool_create(t->capacity);
    assert_non_null(t->pool);
    birth(t, &t->builds[0]);
    for (int i = 0; i < STEPS; i++)
        take_step(t);
    pool_destroy(t->pool);
    t->pool = NULL;
}

static void
test_rule8_who_has_none_gets_a_turn(void **state)
{
    struct turns *t = *state;
    const char *wanted = getenv("POOL_TURNS_ROUNDS");
    unsigned long rounds = wanted ? strtoul(wanted, NULL, 10) : 60;

    printf("# seed %" PRIu64 "\n", t->seed);
    fflush(stdout);
    for (unsigned long i = 0; i < rounds; i++)
        play_round(t);
    printf("# %" PRIu64 " grants, %" PRIu64 " of them to who had none: after %" PRIu64
           " others and %" PRIu64 " steps at most\n",
           t->grants, t->served, t->most_grants, t->most_steps);
    /* a test that met none of these has tested nothing */
    assert_true(t->served > 0 && t->resizes > 0);
}

static int
teardown(void **state)
{
    struct turns *t = *state;

    if (t->pool)
        pool_destroy(t->pool);
    t->pool = NULL;
    return 0;
}

int
main(int argc, char **argv)
{
    static struct turns turns = {.now_ns = 1000 * MS};
    turns.seed = turns.random = seed_from(argc > 1 ? argv[1] : getenv("POOL_TURNS_SEED"));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate_setup_teardown(test_rule8_who_has_none_gets_a_turn, NULL,
                                                 teardown, &turns),
    };
    return cmocka_run_group_tests_name("pool_turns", tests, NULL, NULL);
}
