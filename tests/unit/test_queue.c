/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Which job a gate lets go next, and what it does with the rest when one has failed. */

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "ninja-shim/gate/queue.h"

#define EXITED(code) ((code) << 8)
#define KILLED(signal) (signal)

static void
begin(struct queue *queue, struct queue_rules rules, struct job *jobs, size_t n)
{
    queue_init(queue, &rules);
    for (size_t i = 0; i < n; i++) {
        jobs[i] = (struct job){0};
        queue_add(queue, &jobs[i]);
    }
}

/* Where memory has no say. */
static enum queue_step
next_step(const struct queue *queue, double load)
{
    return queue_next(queue, queue_first(queue), load);
}

static struct job *
run_first(struct queue *queue, enum job_pay pay)
{
    struct job *job = queue_first(queue);

    queue_run(queue, job, pay);
    return job;
}

/* --- what runs on what --- */

static void
test_implicit_slot_first(void **state)
{
    struct queue queue;
    struct job jobs[2];

    begin(&queue, (struct queue_rules){.is_implicit_paid = true}, jobs, 2);
    assert_int_equal(next_step(&queue, 0), QUEUE_USE_IMPLICIT);
    assert_ptr_equal(run_first(&queue, PAY_IMPLICIT), &jobs[0]);
    assert_int_equal(next_step(&queue, 0), QUEUE_USE_TOKEN);
    assert_ptr_equal(run_first(&queue, PAY_TOKEN), &jobs[1]);
    assert_int_equal(next_step(&queue, 0), QUEUE_REST);
}

static void
test_who_needs_no_tokens(void **state)
{
    struct queue queue;
    struct job jobs[2];

    begin(&queue, (struct queue_rules){.needs_no_tokens = true}, jobs, 2);
    assert_int_equal(next_step(&queue, 0), QUEUE_USE_NOTHING);
    run_first(&queue, PAY_NOTHING);
    assert_int_equal(queue_next(&queue, NULL, 0), QUEUE_REST); /* memory */
    assert_int_equal(next_step(&queue, 0), QUEUE_USE_NOTHING);
    assert_int_equal(queue_put_off(&queue, &jobs[0]), PAY_NOTHING);
    assert_int_equal(queue_remove(&queue, &jobs[0]), PAY_NOTHING);
    queue_stop(&queue, -1);
    assert_int_equal(next_step(&queue, 0), QUEUE_END);
}

/* Those of classes that a job needs instead are another's business, too. */
static void
test_who_needs_no_tokens_but_those_of_classes(void **state)
{
    const unsigned link = QUEUE_CPU << 1, remote = QUEUE_CPU << 2;
    struct queue queue;
    struct job jobs[3];

    begin(&queue, (struct queue_rules){.needs_no_tokens = true}, jobs, 3);
    jobs[0].besides = link;
    jobs[1].is_unknown = true;
    jobs[2].instead = remote;
    assert_int_equal(queue_needs(&queue, &jobs[0]), link);
    assert_int_equal(queue_needs(&queue, &jobs[2]), 0);
    queue_set_empty(&queue, link | remote | QUEUE_CPU);
    assert_ptr_equal(run_first(&queue, PAY_NOTHING), &jobs[2]);
    assert_int_equal(next_step(&queue, 0), QUEUE_REST);
    queue_set_open(&queue, link);
    assert_int_equal(next_step(&queue, 0), QUEUE_USE_NOTHING);
    queue_set_shut(&queue, link);
    assert_int_equal(queue_needs(&queue, &jobs[0]), 0);
    assert_ptr_equal(run_first(&queue, PAY_NOTHING), &jobs[0]);
    assert_null(queue_first(&queue));
}

static void
test_slot_not_paid_for(void **state)
{
    struct queue queue;
    struct job jobs[1];

    begin(&queue, (struct queue_rules){.is_implicit_paid = false}, jobs, 1);
    assert_int_equal(next_step(&queue, 0), QUEUE_USE_TOKEN);
}

static void
test_slot_goes_to_who_waits_then_to_who_runs(void **state)
{
    struct queue queue;
    struct job jobs[3];

    begin(&queue, (struct queue_rules){.is_implicit_paid = true}, jobs, 3);
    run_first(&queue, PAY_IMPLICIT);
    run_first(&queue, PAY_TOKEN);
    assert_int_equal(queue_remove(&queue, &jobs[0]), PAY_IMPLICIT);
    assert_int_equal(next_step(&queue, 0), QUEUE_USE_IMPLICIT);
    assert_ptr_equal(run_first(&queue, PAY_IMPLICIT), &jobs[2]);
    assert_int_equal(queue_remove(&queue, &jobs[2]), PAY_IMPLICIT);
    assert_int_equal(next_step(&queue, 0), QUEUE_FREE_TOKEN);
    assert_ptr_equal(queue_shift(&queue), &jobs[1]);
    assert_int_equal(next_step(&queue, 0), QUEUE_REST);
    assert_int_equal(queue_remove(&queue, &jobs[1]), PAY_IMPLICIT);
}

static void
test_removed_while_it_waits(void **state)
{
    struct queue queue;
    struct job jobs[2];

    begin(&queue, (struct queue_rules){.is_implicit_paid = true}, jobs, 2);
    assert_int_equal(queue_remove(&queue, &jobs[0]), PAY_NOTHING);
    assert_ptr_equal(run_first(&queue, PAY_IMPLICIT), &jobs[1]);
}

static void
test_the_chosen_one_runs(void **state)
{
    struct queue queue;
    struct job jobs[2];

    begin(&queue, (struct queue_rules){.is_implicit_paid = true, .failures_allowed = 1}, jobs, 2);
    assert_int_equal(queue_next(&queue, NULL, 0), QUEUE_REST);
    assert_int_equal(queue_next(&queue, &jobs[1], 0), QUEUE_USE_IMPLICIT);
    queue_run(&queue, &jobs[1], PAY_TOKEN);
    /* What nobody may run yet does not keep the token of what runs, nor itself from its end. */
    assert_int_equal(queue_next(&queue, NULL, 0), QUEUE_FREE_TOKEN);
    queue_stop(&queue, 1);
    assert_int_equal(queue_next(&queue, NULL, 0), QUEUE_END);
}

static void
test_put_off_waits_before_all_others(void **state)
{
    struct queue queue;
    struct job jobs[3];

    begin(&queue, (struct queue_rules){.is_implicit_paid = true}, jobs, 3);
    run_first(&queue, PAY_IMPLICIT);
    run_first(&queue, PAY_TOKEN);
    assert_int_equal(queue_put_off(&queue, &jobs[0]), PAY_IMPLICIT);
    assert_int_equal(queue_put_off(&queue, &jobs[1]), PAY_TOKEN);
    assert_int_equal(jobs[1].state, JOB_WAITING);
    assert_ptr_equal(queue_first(&queue), &jobs[1]);
    assert_int_equal(next_step(&queue, 0), QUEUE_USE_IMPLICIT);
    assert_ptr_equal(run_first(&queue, PAY_IMPLICIT), &jobs[1]);
}

/* --- load --- */

static void
test_load(void **state)
{
    struct queue queue;
    struct job jobs[2];

    begin(&queue, (struct queue_rules){.is_implicit_paid = true, .load_max = 4}, jobs, 2);
    /* One always may run. */
    assert_int_equal(next_step(&queue, 100), QUEUE_USE_IMPLICIT);
    run_first(&queue, PAY_IMPLICIT);
    assert_int_equal(next_step(&queue, 3.5), QUEUE_LOAD);
    assert_int_equal(next_step(&queue, 3), QUEUE_USE_TOKEN);
    queue_remove(&queue, &jobs[1]);
    assert_int_equal(next_step(&queue, 100), QUEUE_REST);
}

static void
test_slot_is_not_wasted_under_load(void **state)
{
    struct queue queue;
    struct job jobs[3];

    begin(&queue, (struct queue_rules){.is_implicit_paid = true, .load_max = 2}, jobs, 3);
    run_first(&queue, PAY_IMPLICIT);
    run_first(&queue, PAY_TOKEN);
    queue_remove(&queue, &jobs[0]);
    assert_int_equal(next_step(&queue, 9), QUEUE_FREE_TOKEN);
    queue_shift(&queue);
    assert_int_equal(next_step(&queue, 9), QUEUE_LOAD);
}

/* --- failures --- */

static void
test_exit_codes(void **state)
{
    assert_int_equal(queue_exit_code(EXITED(0)), 0);
    assert_int_equal(queue_exit_code(EXITED(3)), 3);
    assert_int_equal(queue_exit_code(EXITED(255)), 255);
    assert_int_equal(queue_exit_code(KILLED(SIGKILL)), 137);
    assert_int_equal(queue_exit_code(KILLED(SIGSEGV | 0x80)), 139);
    assert_int_equal(queue_exit_code(KILLED(SIGINT)), 130);
    assert_int_equal(queue_exit_code(KILLED(SIGTERM)), 130);
    assert_int_equal(queue_exit_code(KILLED(SIGHUP)), 130);
}

static void
test_failure_ends_what_waits(void **state)
{
    struct queue queue;
    struct job jobs[3], late = {0};

    begin(&queue, (struct queue_rules){.is_implicit_paid = true, .failures_allowed = 1}, jobs, 3);
    run_first(&queue, PAY_IMPLICIT);
    queue_ended(&queue, EXITED(3));
    queue_remove(&queue, &jobs[0]);
    assert_int_equal(next_step(&queue, 0), QUEUE_END);
    assert_int_equal(queue.end_status, 3);
    queue_end(&queue, &jobs[2]);
    queue_end(&queue, &jobs[1]);
    assert_int_equal(next_step(&queue, 0), QUEUE_REST);
    assert_int_equal(queue_remove(&queue, &jobs[1]), PAY_NOTHING);
    queue_add(&queue, &late);
    assert_int_equal(next_step(&queue, 0), QUEUE_END);
}

static void
test_the_last_failure_is_the_status(void **state)
{
    struct queue queue;

    begin(&queue, (struct queue_rules){.failures_allowed = 2}, NULL, 0);
    queue_ended(&queue, EXITED(3));
    assert_false(queue.is_stopped);
    queue_ended(&queue, EXITED(0));
    assert_false(queue.is_stopped);
    queue_ended(&queue, EXITED(4));
    assert_true(queue.is_stopped);
    assert_int_equal(queue.end_status, 4);
    queue_ended(&queue, EXITED(5));
    assert_int_equal(queue.end_status, 5);
}

static void
test_failures_that_do_not_matter(void **state)
{
    struct queue queue;

    begin(&queue, (struct queue_rules){.failures_allowed = 0}, NULL, 0);
    queue_ended(&queue, EXITED(1));
    queue_ended(&queue, KILLED(SIGINT));
    assert_false(queue.is_stopped);
}

static void
test_interrupted_job_ends_the_build(void **state)
{
    const int signals[] = {SIGINT, SIGTERM, SIGHUP};

    for (size_t i = 0; i < 3; i++) {
        struct queue queue;
        begin(&queue, (struct queue_rules){.failures_allowed = 100}, NULL, 0);
        queue_ended(&queue, KILLED(SIGKILL));
        assert_false(queue.is_stopped);
        queue_ended(&queue, KILLED(signals[i]));
        assert_true(queue.is_stopped);
    }
}

static void
test_unknown_status_holds_grants(void **state)
{
    struct queue queue;
    struct job jobs[3];

    begin(&queue, (struct queue_rules){.is_implicit_paid = true, .failures_allowed = 1}, jobs, 3);
    run_first(&queue, PAY_IMPLICIT);
    run_first(&queue, PAY_TOKEN);
    queue_ended_unknown(&queue);
    queue_remove(&queue, &jobs[0]);
    /* The token that is not needed goes back all the same. */
    assert_int_equal(next_step(&queue, 0), QUEUE_FREE_TOKEN);
    queue_shift(&queue);
    assert_int_equal(next_step(&queue, 0), QUEUE_REST);
    queue_unknown_settled(&queue, 1);
    assert_int_equal(next_step(&queue, 0), QUEUE_USE_TOKEN);
    queue_unknown_settled(&queue, 5);
    assert_int_equal(queue.unknown, 0);
}

/* --- no server --- */

static void
test_one_at_a_time_without_server(void **state)
{
    struct queue queue;
    struct job jobs[4];

    begin(&queue, (struct queue_rules){.is_implicit_paid = false}, jobs, 4);
    run_first(&queue, PAY_TOKEN);
    run_first(&queue, PAY_TOKEN);
    queue_serialize(&queue);
    assert_int_equal(next_step(&queue, 0), QUEUE_REST);
    queue_remove(&queue, &jobs[0]);
    assert_int_equal(next_step(&queue, 0), QUEUE_REST);
    queue_remove(&queue, &jobs[1]);
    assert_int_equal(next_step(&queue, 0), QUEUE_USE_IMPLICIT);
    run_first(&queue, PAY_IMPLICIT);
    assert_int_equal(next_step(&queue, 0), QUEUE_REST);
    assert_int_equal(queue_remove(&queue, &jobs[2]), PAY_IMPLICIT);
    assert_int_equal(next_step(&queue, 0), QUEUE_USE_IMPLICIT);
}

/* What runs on nothing then has the first token, and the slot, before any that waits. */
static void
test_another_server(void **state)
{
    struct queue queue;
    struct job jobs[5];

    begin(&queue, (struct queue_rules){.is_implicit_paid = true}, jobs, 5);
    run_first(&queue, PAY_IMPLICIT);
    for (int i = 0; i < 3; i++)
        run_first(&queue, PAY_TOKEN);
    queue_serialize(&queue);
    assert_int_equal(queue_renew(&queue, false, 2), 0);
    assert_int_equal(jobs[1].pay, PAY_TOKEN);
    assert_ptr_equal(queue_first_unpaid(&queue), &jobs[2]);
    assert_int_equal(next_step(&queue, 0), QUEUE_USE_TOKEN);
    queue_pay_implicit(&queue);
    assert_int_equal(jobs[2].pay, PAY_IMPLICIT);
    assert_ptr_equal(queue_first_unpaid(&queue), &jobs[3]);
    assert_int_equal(queue_remove(&queue, &jobs[2]), PAY_IMPLICIT);
    assert_int_equal(jobs[3].pay, PAY_IMPLICIT);
    assert_null(queue_first_unpaid(&queue));
    assert_int_equal(queue_remove(&queue, &jobs[0]), PAY_TOKEN);
    /* One that was paid for by what has ended meanwhile. */
    assert_int_equal(queue_renew(&queue, true, 3), 2);
}

/* --- anything in any order --- */

#define JOBS 40
#define TOKENS 3
#define OPERATIONS 200000

struct world {
    struct queue queue;
    struct job jobs[JOBS];
    bool present[JOBS];
    unsigned tokens_free;
};

static void
check(const struct world *world)
{
    const struct job *job;
    unsigned on_token = 0, on_slot = 0;

    TAILQ_FOREACH (job, &world->queue.running, in_queue) {
        assert_int_equal(job->state, JOB_RUNNING);
        assert_int_not_equal(job->pay, PAY_NOTHING);
        on_token += job->pay == PAY_TOKEN;
        on_slot += job->pay == PAY_IMPLICIT;
    }
    assert_int_equal(on_token + world->tokens_free, TOKENS);
    assert_true(on_slot <= (world->queue.rules.is_implicit_paid ? 1U : 0U));
}

/* As the gate does it. */
static void
serve(struct world *world)
{
    struct queue *queue = &world->queue;

    for (;;) {
        switch (next_step(queue, 0)) {
        case QUEUE_USE_IMPLICIT:
            run_first(queue, PAY_IMPLICIT);
            break;
        case QUEUE_USE_NOTHING:
        case QUEUE_USE_CLASSES:
            fail();
            break;
        case QUEUE_USE_TOKEN:
            if (world->tokens_free == 0)
                return;
            world->tokens_free--;
            run_first(queue, PAY_TOKEN);
            break;
        case QUEUE_FREE_TOKEN:
            queue_shift(queue);
            world->tokens_free++;
            break;
        case QUEUE_END:
            while (!TAILQ_EMPTY(&queue->waiting))
                queue_end(queue, TAILQ_FIRST(&queue->waiting));
            break;
        case QUEUE_LOAD:
        case QUEUE_REST:
            return;
        }
    }
}

static void
take_operation(struct world *world, unsigned number)
{
    struct job *job = &world->jobs[number % JOBS];

    if (!world->present[number % JOBS]) {
        queue_add(&world->queue, job);
        world->present[number % JOBS] = true;
    } else if (job->state != JOB_WAITING || number % 7 == 0) {
        if (queue_remove(&world->queue, job) == PAY_TOKEN)
            world->tokens_free++;
        world->present[number % JOBS] = false;
    }
}

static void
test_random(void **state)
{
    for (unsigned seed = 0; seed < 4; seed++) {
        struct world world = {.tokens_free = TOKENS};
        queue_init(&world.queue, &(struct queue_rules){.is_implicit_paid = seed % 2});
        srandom(seed);
        for (unsigned i = 0; i < OPERATIONS; i++) {
            take_operation(&world, (unsigned)random());
            serve(&world);
            check(&world);
            /* Work conserving: nobody waits while there is a token. */
            assert_true(TAILQ_EMPTY(&world.queue.waiting) || world.tokens_free == 0);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_implicit_slot_first),
        cmocka_unit_test(test_who_needs_no_tokens),
        cmocka_unit_test(test_who_needs_no_tokens_but_those_of_classes),
        cmocka_unit_test(test_slot_not_paid_for),
        cmocka_unit_test(test_slot_goes_to_who_waits_then_to_who_runs),
        cmocka_unit_test(test_removed_while_it_waits),
        cmocka_unit_test(test_the_chosen_one_runs),
        cmocka_unit_test(test_put_off_waits_before_all_others),
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_slot_is_not_wasted_under_load),
        cmocka_unit_test(test_exit_codes),
        cmocka_unit_test(test_failure_ends_what_waits),
        cmocka_unit_test(test_the_last_failure_is_the_status),
        cmocka_unit_test(test_failures_that_do_not_matter),
        cmocka_unit_test(test_interrupted_job_ends_the_build),
        cmocka_unit_test(test_unknown_status_holds_grants),
        cmocka_unit_test(test_one_at_a_time_without_server),
        cmocka_unit_test(test_another_server),
        cmocka_unit_test(test_random),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
