/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * test_queue_classes [SEED]: random jobs that need tokens of the cpu and of two classes, each instead or besides or not
 * at all, at three gates with one server: they come, become known, end, are put off and killed, and the capacities change
 * to 0, 1, 2 and 8. Whenever everything has been told, nobody waits who could run, and no pool has lent more than it has.
 *
 * QUEUE_OPERATIONS says how many; a million takes some seconds.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "ninja-shim/gate/queue.h"
#include "tests/unit/chance.h"

#define GATES 3
#define POOLS 3 /* the cpu, and two classes */
#define JOBS_MAX 40
#define TURNS_MAX 10000 /* more is a busy loop */
#define OPERATIONS 30000u

#define CLASSES (QUEUE_CPU << 1 | QUEUE_CPU << 2)
#define SETS (CLASSES + 1)
#define CAPACITIES 4
static const unsigned capacities[CAPACITIES] = {0, 1, 2, 8};

struct gate {
    struct queue queue;
    unsigned awaited; /* pools whose server tells it of tokens */
    unsigned
        named; /* by jobs that wait: of these it asks once a second whether they have any tokens at all */
    bool is_told; /* of something: it is served yet */
};

/* The server, its gates, and what is their business. */
struct world {
    uint64_t seed, random;
    unsigned capacity[POOLS], held[POOLS];
    struct gate gates[GATES];
    unsigned ran, runs_on_classes, runs_on_both;
    unsigned ran_with[SETS][SETS];       /* instead, besides */
    unsigned resized[POOLS][CAPACITIES]; /* to which capacity */
};

/* --- tokens --- */

static bool
has_free(const struct world *world, unsigned pool)
{
    return world->held[pool] < world->capacity[pool];
}

static bool
try_to_take(struct world *world, unsigned pool)
{
    if (!has_free(world, pool))
        return false;
    world->held[pool]++;
    return true;
}

/* Whoever awaits this pool is told, as are those that ask about it once a second. */
static void
tell_gate(const struct world *world, struct gate *gate, unsigned pool)
{
    bool is_shut = pool != 0 && world->capacity[pool] == 0;

    if (!((is_shut ? gate->named : gate->awaited) >> pool & 1))
        return;
    gate->awaited &= ~(1u << pool);
    if (is_shut)
        queue_set_shut(&gate->queue, 1u << pool);
    else
        queue_set_open(&gate->queue, 1u << pool);
    gate->is_told = true;
}

static void
tell(struct world *world, unsigned pool)
{
    for (unsigned i = 0; i < GATES; i++)
        tell_gate(world, &world->gates[i], pool);
}

static void
give_back(struct world *world, unsigned pool)
{
    assert_true(world->held[pool] > 0);
    world->held[pool]--;
    tell(world, pool);
}

static void
give_back_classes(struct world *world, struct gate *gate, struct job *job)
{
    for (unsigned pool = 1; pool < POOLS; pool++) {
        if (!(job->held >> pool & 1))
            continue;
        job->held &= ~(1u << pool);
        if (gate->queue.empty >> pool & 1)
            queue_set_open(&gate->queue, 1u << pool);
        give_back(world, pool);
    }
}

/* All or none. */
static bool
take_classes(struct world *world, struct gate *gate, struct job *job)
{
    const unsigned needs = queue_needs(&gate->queue, job);

    for (unsigned pool = 1; pool < POOLS; pool++) {
        if (!(needs >> pool & 1))
            continue;
        if (!try_to_take(world, pool)) {
            if (world->capacity[pool] == 0)
                queue_set_shut(&gate->queue, 1u << pool);
            else
                queue_set_empty(&gate->queue, 1u << pool);
            give_back_classes(world, gate, job);
            return false;
        }
        job->held |= 1u << pool;
    }
    return true;
}

/* --- a gate, as gate.c has it --- */

static void
run(struct world *world, struct gate *gate, struct job *job, enum job_pay pay)
{
    queue_run(&gate->queue, job, pay);
    world->ran++;
    world->ran_with[job->instead][job->besides]++;
    world->runs_on_classes += pay == PAY_CLASSES;
    world->runs_on_both += pay != PAY_CLASSES && job->held != 0;
}

static void
use(struct world *world, struct gate *gate, struct job *job, enum job_pay pay)
{
    if (pay == PAY_TOKEN && !try_to_take(world, 0)) {
        queue_set_empty(&gate->queue, QUEUE_CPU);
        return;
    }
    if (take_classes(world, gate, job))
        run(world, gate, job, pay);
    else if (pay == PAY_TOKEN)
        give_back(world, 0);
}

static bool
take_step(struct world *world, struct gate *gate)
{
    struct job *job = queue_first(&gate->queue);

    switch (queue_next(&gate->queue, job, 0)) {
    case QUEUE_USE_IMPLICIT:
        use(world, gate, job, PAY_IMPLICIT);
        return true;
    case QUEUE_USE_TOKEN:
        use(world, gate, job, PAY_TOKEN);
        return true;
    case QUEUE_USE_CLASSES:
        use(world, gate, job, PAY_CLASSES);
        return true;
    case QUEUE_FREE_TOKEN:
        queue_shift(&gate->queue);
        give_back(world, 0);
        return true;
    case QUEUE_END:
        while ((job = TAILQ_FIRST(&gate->queue.waiting)))
            queue_end(&gate->queue, job);
        return true;
    default:
        return false;
    }
}

/* What it does not know of a class, and asks about. */
static bool
is_shut_unknown(const struct world *world, const struct gate *gate, unsigned pool)
{
    return pool != 0 && world->capacity[pool] == 0 && !(gate->queue.shut >> pool & 1);
}

/* Where a token is there already it is told of that at once. What nobody waits for is forgotten. */
static void
await(const struct world *world, struct gate *gate)
{
    const struct job *job;
    unsigned named = 0;

    TAILQ_FOREACH (job, &gate->queue.waiting, in_queue)
        named |= job->instead | job->besides | QUEUE_CPU;
    queue_set_open(&gate->queue, ~named);
    gate->named = named;
    gate->awaited = named & (gate->queue.empty | gate->queue.shut);
    for (unsigned pool = 0; pool < POOLS; pool++)
        if (has_free(world, pool) || is_shut_unknown(world, gate, pool))
            tell_gate(world, gate, pool);
}

static void
serve(struct world *world, struct gate *gate)
{
    unsigned steps = 0;

    gate->is_told = false;
    queue_set_open(&gate->queue, QUEUE_CPU);
    while (take_step(world, gate))
        assert_true(steps++ < TURNS_MAX);
    await(world, gate);
}

/* Until nobody has anything to do any more. */
static void
settle(struct world *world)
{
    unsigned turns = 0;

    for (unsigned quiet = 0, i = below(&world->random, GATES); quiet < GATES; i = (i + 1) % GATES) {
        assert_true(turns++ < TURNS_MAX);
        quiet = world->gates[i].is_told ? 0 : quiet + 1;
        if (world->gates[i].is_told)
            serve(world, &world->gates[i]);
    }
}

/* --- what must hold --- */

static bool
all_have_free(const struct world *world, unsigned classes)
{
    for (unsigned pool = 1; pool < POOLS; pool++)
        if ((classes >> pool & 1) && !has_free(world, pool))
            return false;
    return true;
}

/* By the words of the rules alone. */
static bool
could_run(const struct world *world, const struct queue *queue, const struct job *job)
{
    bool has_cpu = has_free(world, 0) || (queue->rules.is_implicit_paid && !queue->implicit);
    unsigned shut = 0;

    if (job->is_unknown)
        return false;
    for (unsigned pool = 1; pool < POOLS; pool++)
        if (world->capacity[pool] == 0)
            shut |= 1u << pool;
    if (!all_have_free(world, job->besides & ~shut))
        return false;
    return job->instead == 0 || (job->instead & shut) ? has_cpu
                                                      : all_have_free(world, job->instead);
}

static void
count_held(const struct queue *queue, unsigned held[POOLS])
{
    const struct job *job;
    unsigned implicit = 0;

    TAILQ_FOREACH (job, &queue->running, in_queue) {
        held[0] += job->pay == PAY_TOKEN;
        implicit += job->pay == PAY_IMPLICIT;
        for (unsigned pool = 1; pool < POOLS; pool++)
            held[pool] += job->held >> pool & 1;
        assert_int_not_equal(job->pay, PAY_NOTHING);
        assert_true(job->pay != PAY_CLASSES || !(job->instead & ~job->held));
        assert_false(job->is_unknown);
    }
    assert_int_equal(implicit, queue->implicit != NULL);
    TAILQ_FOREACH (job, &queue->waiting, in_queue)
        assert_int_equal(job->held, 0);
}

static void
check(const struct world *world)
{
    unsigned held[POOLS] = {0};
    const struct job *job;

    for (unsigned i = 0; i < GATES; i++) {
        const struct queue *queue = &world->gates[i].queue;
        count_held(queue, held);
        TAILQ_FOREACH (job, &queue->waiting, in_queue)
            assert_false(could_run(world, queue, job));
    }
    for (unsigned pool = 0; pool < POOLS; pool++)
        assert_int_equal(held[pool], world->held[pool]);
}

/* --- what happens --- */

static unsigned
count(const struct queue *queue)
{
    const struct job *job;
    unsigned n = 0;

    TAILQ_FOREACH (job, &queue->waiting, in_queue)
        n++;
    TAILQ_FOREACH (job, &queue->running, in_queue)
        n++;
    return n;
}

static void
open_gate(struct world *world, struct gate *gate)
{
    const struct queue_rules rules = {.is_implicit_paid = one_in(&world->random, 2),
                                      .failures_allowed = 3};

    queue_init(&gate->queue, &rules);
    gate->awaited = gate->named = 0;
}

static void
come(struct world *world, struct gate *gate)
{
    if (count(&gate->queue) >= JOBS_MAX)
        return;
    struct job *job = calloc(1, sizeof(*job));
    assert_non_null(job);
    job->instead = below(&world->random, SETS) & CLASSES;
    job->besides = below(&world->random, SETS) & CLASSES & ~job->instead;
    job->is_unknown = one_in(&world->random, 4);
    queue_add(&gate->queue, job);
    gate->is_told = true;
}

/* What it needs has been found out. */
static void
learn(struct gate *gate, struct job *job)
{
    gate->is_told = gate->is_told || job->is_unknown;
    job->is_unknown = false;
}

static void
leave(struct world *world, struct gate *gate, struct job *job)
{
    enum job_pay pay = queue_remove(&gate->queue, job);

    give_back_classes(world, gate, job);
    if (pay == PAY_TOKEN)
        give_back(world, 0);
    free(job);
    gate->is_told = true;
}

static void
put_off(struct world *world, struct gate *gate, struct job *job)
{
    enum job_pay pay = queue_put_off(&gate->queue, job);

    give_back_classes(world, gate, job);
    if (pay == PAY_TOKEN)
        give_back(world, 0);
    gate->is_told = true;
}

static void
resize(struct world *world)
{
    unsigned pool = below(&world->random, POOLS);
    /* Of the cpu there is one always. */
    unsigned chosen = pool == 0 ? 1 + below(&world->random, 3) : below(&world->random, 4);

    world->capacity[pool] = capacities[chosen];
    world->resized[pool][chosen]++;
    tell(world, pool);
}

static struct job *
any_of(struct world *world, struct job_list *list)
{
    struct job *job, *chosen = NULL;
    unsigned n = 0;

    TAILQ_FOREACH (job, list, in_queue)
        if (one_in(&world->random, ++n))
            chosen = job;
    return chosen;
}

/* Its lazy client has been killed, or a job has failed too often: what waits never runs, and another comes. */
static void
end_gate(struct world *world, struct gate *gate)
{
    struct job *job;

    queue_stop(&gate->queue, -1);
    serve(world, gate);
    assert_true(TAILQ_EMPTY(&gate->queue.waiting));
    while ((job = TAILQ_FIRST(&gate->queue.ending)) || (job = TAILQ_FIRST(&gate->queue.running)))
        leave(world, gate, job);
    open_gate(world, gate);
}

static void
operate(struct world *world)
{
    struct gate *gate = &world->gates[below(&world->random, GATES)];
    struct job *running = any_of(world, &gate->queue.running);
    struct job *waiting = any_of(world, &gate->queue.waiting);
    unsigned chance = below(&world->random, 100);

    if (chance < 48)
        come(world, gate);
    else if (chance < 77 && running)
        leave(world, gate, running);
    else if (chance < 85 && waiting)
        learn(gate, waiting);
    else if (chance < 89 && waiting)
        leave(world, gate, waiting);
    else if (chance < 94 && running)
        put_off(world, gate, running);
    else if (chance < 99)
        resize(world);
    else if (one_in(&world->random, 10))
        end_gate(world, gate);
}

/* --- the test --- */

/* A test that met none of these has tested nothing. */
static void
check_coverage(const struct world *world)
{
    assert_true(world->runs_on_classes > 0 && world->runs_on_both > 0);
    for (unsigned instead = 0; instead < SETS; instead++)
        for (unsigned besides = 0; besides < SETS; besides++)
            if (!((instead | besides) & ~CLASSES) && !(instead & besides))
                assert_true(world->ran_with[instead][besides] > 0);
    for (unsigned pool = 0; pool < POOLS; pool++)
        for (unsigned i = pool == 0; i < CAPACITIES; i++)
            assert_true(world->resized[pool][i] > 0);
}

static void
test_nobody_waits_who_could_run(void **state)
{
    struct world *world = *state;
    const char *wanted = getenv("QUEUE_OPERATIONS");
    const unsigned operations = wanted ? (unsigned)strtoul(wanted, NULL, 10) : OPERATIONS;

    world->random = world->seed;
    for (unsigned i = 0; i < POOLS; i++)
        world->capacity[i] = 2;
    for (unsigned i = 0; i < GATES; i++)
        open_gate(world, &world->gates[i]);
    for (unsigned i = 0; i < operations; i++) {
        operate(world);
        if (one_in(&world->random, 2))
            settle(world);
        if (!world->gates[0].is_told && !world->gates[1].is_told && !world->gates[2].is_told)
            check(world);
    }
    for (unsigned i = 0; i < GATES; i++)
        end_gate(world, &world->gates[i]);
    for (unsigned pool = 0; pool < POOLS; pool++)
        assert_int_equal(world->held[pool], 0);
    printf("# seed %llu: of %u operations %u started jobs, %u on classes alone, %u on both\n",
           (unsigned long long)world->seed, operations, world->ran, world->runs_on_classes,
           world->runs_on_both);
    if (operations >= OPERATIONS)
        check_coverage(world);
}

int
main(int argc, char **argv)
{
    struct world world = {.seed = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL)};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_nobody_waits_who_could_run, &world),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
