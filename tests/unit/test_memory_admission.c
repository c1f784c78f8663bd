/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Each rule of admission by itself: who starts, who is passed, who is killed, stopped and continued. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "libjobserver/memory/admission.h"
#include "libjobserver/memory/expectation.h"

#define JOBS 200
#define MIB (UINT64_C(1) << 20)
#define TICK_NS (MEMORY_SAMPLE_SHORT_MS * INT64_C(1000000))

/* A machine of 10000 MiB: the floor is 500, and jobs are killed below 250. */
struct fixture {
    struct memory_admission admission;
    struct memory_moment moment;
    struct memory_job jobs[JOBS];
    unsigned count;
};

static int
setup(void **state)
{
    static struct fixture fixture;

    memset(&fixture, 0, sizeof(fixture));
    memory_admission_init(&fixture.admission);
    fixture.moment.total_bytes = fixture.moment.available_bytes = 10000 * MIB;
    *state = &fixture;
    return 0;
}

/* --- what happens --- */

static struct memory_job *
add(struct fixture *f, uint64_t expected_mib)
{
    struct memory_job *job = &f->jobs[f->count++];

    job->expected_bytes = expected_mib * MIB;
    job->may_run_twice = true;
    memory_add(&f->admission, job);
    return job;
}

static void
start(struct fixture *f, struct memory_job *job)
{
    memory_started(&f->admission, job, f->moment.now_ns);
}

/* It runs, and has used so much for some time. */
static struct memory_job *
run(struct fixture *f, uint64_t expected_mib, uint64_t used_mib)
{
    struct memory_job *job = add(f, expected_mib);

    start(f, job);
    memory_sample(job, used_mib * MIB, f->moment.now_ns);
    job->paced_bytes = job->used_bytes;
    job->is_unseen = false;
    return job;
}

static void
available(struct fixture *f, uint64_t mib)
{
    f->moment.available_bytes = mib * MIB;
}

static void
assert_step(struct fixture *f, enum memory_action action, const struct memory_job *job)
{
    struct memory_step step = memory_next(&f->admission, &f->moment);

    assert_int_equal(step.action, action);
    assert_ptr_equal(step.job, job);
}

static void
assert_rest(struct fixture *f)
{
    assert_step(f, MEMORY_REST, NULL);
}

static void
kill_job(struct fixture *f, struct memory_job *job)
{
    memory_killed(&f->admission, job, f->moment.now_ns);
}

/* --- starting --- */

static void
test_nothing_to_do(void **state)
{
    assert_rest(*state);
}

static void
test_the_first_that_fits_starts(void **state)
{
    struct fixture *f = *state;

    run(f, 4000, 1000);
    available(f, 9000);
    /* 9000, less the 3000 that one still grows by, less 500. */
    struct memory_job *large = add(f, 5501), *exact = add(f, 5500), *small = add(f, 10);
    assert_step(f, MEMORY_START, exact);
    start(f, exact);
    assert_int_equal(large->passes, 1);
    assert_rest(f);
    (void)small;
}

static void
test_one_always_runs(void **state)
{
    struct fixture *f = *state;
    struct memory_job *first = add(f, 99999), *second = add(f, 1);

    available(f, 0);
    assert_step(f, MEMORY_START, first);
    start(f, first);
    assert_rest(f);
    memory_remove(&f->admission, first);
    assert_step(f, MEMORY_START, second);
}

static void
test_who_has_outgrown_what_was_expected_grows_by_a_tenth(void **state)
{
    struct fixture *f = *state;

    run(f, 100, 2000);
    assert_int_equal(memory_expected_growth(&f->admission), 200 * MIB);
    run(f, 3000, 2900);
    assert_int_equal(memory_expected_growth(&f->admission), 490 * MIB);
}

static void
test_who_grows_is_expected_to_go_on_for_a_while(void **state)
{
    struct fixture *f = *state;
    struct memory_job *job = run(f, 0, 10);

    job->paced_bytes = 0;
    f->moment.now_ns += TICK_NS;
    memory_sample(job, 30 * MIB, f->moment.now_ns);
    assert_int_equal(memory_expected_growth(&f->admission), 30 * MIB);
    f->moment.now_ns += TICK_NS;
    memory_sample(job, 230 * MIB, f->moment.now_ns);
    assert_int_equal(memory_expected_growth(&f->admission), 230 * MIB);
    f->moment.now_ns += TICK_NS;
    memory_sample(job, 240 * MIB, f->moment.now_ns);
    assert_int_equal(memory_expected_growth(&f->admission), 40 * MIB);
    f->moment.now_ns += TICK_NS;
    memory_sample(job, 240 * MIB, f->moment.now_ns);
    assert_int_equal(memory_expected_growth(&f->admission), 24 * MIB);
}

/* Of one that has needed it before nothing else is expected, but when it has outgrown that. */
static void
test_who_is_known_needs_no_more_than_that(void **state)
{
    struct fixture *f = *state;
    struct memory_job *known = run(f, 3000, 3050), *other = run(f, 2000, 10);

    known->is_known = other->is_known = true;
    assert_int_equal(memory_expected_growth(&f->admission), 1990 * MIB);
    f->moment.total_bytes = 1000 * MIB;
    assert_int_equal(memory_floor(&f->admission, &f->moment), 100 * MIB);
    other->is_known = false;
    other->expected_bytes = 0;
    memory_remove(&f->admission, other);
    assert_int_equal(memory_floor(&f->admission, &f->moment), 50 * MIB);
    /* It has grown fast, and is about to stop. */
    known->pace_bytes = 400 * MIB;
    run(f, 0, 500);
    available(f, 60);
    assert_rest(f);
    memory_sample(known, 3200 * MIB, f->moment.now_ns);
    assert_int_equal(memory_expected_growth(&f->admission), 1650 * MIB);
    assert_int_equal(memory_next(&f->admission, &f->moment).action, MEMORY_KILL);
}

static void
test_after_many_passes_nobody_passes_the_head(void **state)
{
    struct fixture *f = *state;

    run(f, 4000, 4000);
    available(f, 6000);
    struct memory_job *head = add(f, 6000);
    for (unsigned i = 0; i < MEMORY_PASSES_MAX; i++) {
        struct memory_job *small = add(f, 10);
        assert_step(f, MEMORY_START, small);
        start(f, small);
        memory_remove(&f->admission, small);
    }
    add(f, 10);
    assert_rest(f);
    available(f, 9000);
    assert_step(f, MEMORY_START, head);
}

/* Else all heavy ones would be old at once. */
static void
test_only_the_head_is_counted_as_passed(void **state)
{
    struct fixture *f = *state;

    run(f, 4000, 4000);
    available(f, 6000);
    struct memory_job *head = add(f, 6000), *second = add(f, 6000), *small = add(f, 10);
    start(f, small);
    assert_int_equal(head->passes, 1);
    assert_int_equal(second->passes, 0);
}

static void
test_unknown_jobs_start_one_after_the_other(void **state)
{
    struct fixture *f = *state;
    struct memory_job *first = add(f, 0), *second = add(f, 0), *known = add(f, 100);

    available(f, 1500);
    assert_step(f, MEMORY_START, first);
    start(f, first);
    assert_step(f, MEMORY_START, known);
    start(f, known);
    assert_rest(f);
    /* At once one cannot see what it will be like. */
    memory_sample(first, 10 * MIB, f->moment.now_ns);
    assert_rest(f);
    f->moment.now_ns += TICK_NS;
    memory_sample(first, 30 * MIB, f->moment.now_ns);
    assert_step(f, MEMORY_START, second);
}

static void
test_unknown_jobs_start_together_where_there_is_much(void **state)
{
    struct fixture *f = *state;
    struct memory_job *first = add(f, 0), *second = add(f, 0), *third = add(f, 0);

    available(f, 1700);
    assert_step(f, MEMORY_START, first);
    start(f, first);
    assert_step(f, MEMORY_START, second);
    start(f, second);
    assert_rest(f);
    available(f, 10000);
    assert_step(f, MEMORY_START, third);
}

/* --- the floor --- */

static void
test_floor(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(memory_floor(&f->admission, &f->moment), 500 * MIB);
    for (unsigned i = 0; i < 16; i++)
        run(f, 1, 1);
    assert_int_equal(memory_floor(&f->admission, &f->moment), 800 * MIB);
    for (unsigned i = 0; i < 64; i++)
        run(f, 1, 1);
    assert_int_equal(memory_floor(&f->admission, &f->moment), 1500 * MIB);
}

/* --- the last resort --- */

static void
test_the_youngest_is_killed(void **state)
{
    struct fixture *f = *state;
    struct memory_job *oldest = run(f, 100, 3000), *middle = run(f, 100, 3000),
                      *youngest = run(f, 100, 3000);

    available(f, 250);
    assert_rest(f);
    available(f, 249);
    assert_step(f, MEMORY_KILL, youngest);
    kill_job(f, youngest);
    /* What it had comes soon. */
    assert_rest(f);
    memory_remove(&f->admission, youngest);
    assert_step(f, MEMORY_KILL, middle);
    kill_job(f, middle);
    memory_remove(&f->admission, middle);
    available(f, 0);
    assert_rest(f);
    (void)oldest;
}

static void
test_who_has_nothing_is_not_killed(void **state)
{
    struct fixture *f = *state;

    run(f, 0, 1000);
    struct memory_job *second = run(f, 0, 4);
    run(f, 0, 3);
    start(f, add(f, 0));
    available(f, 10);
    assert_step(f, MEMORY_KILL, second);
}

static void
test_who_must_not_run_twice_is_not_killed(void **state)
{
    struct fixture *f = *state;

    run(f, 100, 3000);
    struct memory_job *middle = run(f, 100, 3000), *youngest = run(f, 100, 3000);
    youngest->may_run_twice = false;
    available(f, 100);
    assert_step(f, MEMORY_KILL, middle);
}

static void
test_stopped_ones_are_killed_first(void **state)
{
    struct fixture *f = *state;

    run(f, 100, 3000);
    struct memory_job *stopped = run(f, 100, 3000);
    run(f, 100, 3000);
    memory_stopped(stopped);
    available(f, 100);
    assert_step(f, MEMORY_KILL, stopped);
}

/* The kernel would kill the largest, while one looks for the second time. */
static void
test_fast_growth_is_answered_earlier(void **state)
{
    struct fixture *f = *state;
    struct memory_job *oldest = run(f, 5000, 1000), *youngest = run(f, 5000, 1000);

    f->moment.now_ns += TICK_NS;
    memory_sample(oldest, 1300 * MIB, f->moment.now_ns);
    memory_sample(youngest, 1300 * MIB, f->moment.now_ns);
    available(f, 1199);
    assert_step(f, MEMORY_KILL, youngest);
    available(f, 1200);
    assert_rest(f);
    /* The same growth in ten times the time is a tenth. */
    f->moment.now_ns += 10 * TICK_NS;
    memory_sample(oldest, 1600 * MIB, f->moment.now_ns);
    memory_sample(youngest, 1600 * MIB, f->moment.now_ns);
    available(f, 250);
    assert_rest(f);
}

static void
test_a_killed_job_waits_before_all_others(void **state)
{
    struct fixture *f = *state;

    run(f, 100, 3000);
    struct memory_job *victim = run(f, 100, 2000), *small = add(f, 10);
    available(f, 100);
    kill_job(f, victim);
    memory_gone(&f->admission, victim);
    assert_int_equal(victim->kills, 1);
    assert_int_equal(victim->used_bytes, 0);
    /* 1.3 times what it had, and what the other grows by, and the floor. */
    available(f, 2600 + 300 + 500 - 1);
    assert_step(f, MEMORY_START, small);
    available(f, 2600 + 300 + 500);
    assert_step(f, MEMORY_START, victim);
}

static void
test_each_kill_makes_more_expected(void **state)
{
    struct fixture *f = *state;

    run(f, 100, 3000);
    struct memory_job *victim = run(f, 100, 1000);
    kill_job(f, victim);
    memory_gone(&f->admission, victim);
    assert_true(victim->least_bytes >= 1299 * MIB);
    start(f, victim);
    memory_sample(victim, 2000 * MIB, f->moment.now_ns);
    kill_job(f, victim);
    memory_gone(&f->admission, victim);
    assert_true(victim->least_bytes >= 2599 * MIB);
    start(f, victim);
    memory_sample(victim, 10 * MIB, f->moment.now_ns);
    kill_job(f, victim);
    assert_true(victim->least_bytes >= 2599 * MIB);
}

/* It hangs in the kernel: nobody counts on it any more. */
static void
test_a_death_that_does_not_come(void **state)
{
    struct fixture *f = *state;
    struct memory_job *oldest = run(f, 100, 3000), *middle = run(f, 100, 3000),
                      *youngest = run(f, 100, 3000), *waiting = add(f, 10);

    available(f, 100);
    kill_job(f, youngest);
    f->moment.now_ns += MEMORY_DEATH_NS - 1;
    assert_rest(f);
    f->moment.now_ns += 1;
    assert_step(f, MEMORY_KILL, middle);
    memory_remove(&f->admission, middle);
    memory_remove(&f->admission, oldest);
    assert_step(f, MEMORY_START, waiting);
}

/* --- what can only be stopped --- */

static void
test_who_must_not_run_twice_is_stopped(void **state)
{
    struct fixture *f = *state;
    struct memory_job *oldest = run(f, 3000, 1000), *middle = run(f, 100, 3000),
                      *youngest = run(f, 100, 3000);

    middle->may_run_twice = youngest->may_run_twice = oldest->may_run_twice = false;
    available(f, 2500);
    assert_rest(f);
    available(f, 2499);
    assert_step(f, MEMORY_STOP, youngest);
    memory_stopped(youngest);
    assert_step(f, MEMORY_STOP, middle);
    memory_stopped(middle);
    assert_rest(f);
    /* The longest stopped is the first to go on, when it has room to grow. */
    available(f, 2000 + 300 + 500);
    assert_step(f, MEMORY_CONTINUE, middle);
    memory_continued(middle);
    assert_rest(f);
}

static void
test_small_ones_are_not_stopped(void **state)
{
    struct fixture *f = *state;

    run(f, 3000, 1000);
    struct memory_job *small = run(f, 10, 20);
    small->may_run_twice = false;
    available(f, 400);
    assert_rest(f);
}

static void
test_the_oldest_goes_on_whatever_there_is(void **state)
{
    struct fixture *f = *state;
    struct memory_job *oldest = run(f, 3000, 1000), *second = run(f, 5000, 3000);

    second->may_run_twice = false;
    available(f, 300);
    memory_stopped(second);
    memory_remove(&f->admission, oldest);
    assert_step(f, MEMORY_CONTINUE, second);
}

static void
test_who_is_stopped_is_passed_as_the_head_is(void **state)
{
    struct fixture *f = *state;

    run(f, 4000, 4000);
    struct memory_job *stopped = run(f, 6000, 100);
    memory_stopped(stopped);
    available(f, 5000);
    for (unsigned i = 0; i < MEMORY_PASSES_MAX; i++) {
        struct memory_job *small = add(f, 10);
        assert_step(f, MEMORY_START, small);
        start(f, small);
        memory_remove(&f->admission, small);
    }
    add(f, 10);
    assert_rest(f);
    available(f, 7000);
    assert_step(f, MEMORY_CONTINUE, stopped);
}

/* --- copies --- */

static bool
could_be_killed(struct fixture *f, const struct memory_job *job)
{
    return memory_could_be_killed(&f->admission, &f->moment, job);
}

/* It and one more like it, and the floor of 500 MiB, in what is available. */
static void
test_who_can_be_killed_if_all_need_far_more(void **state)
{
    struct fixture *f = *state;
    struct memory_job *job = run(f, 100, 0);

    available(f, 2 * 2048 + 500);
    assert_false(could_be_killed(f, job));
    available(f, 2 * 2048 + 499);
    assert_true(could_be_killed(f, job));
    job->is_known = true;
    assert_true(could_be_killed(f, job));
    job->is_repeated = true;
    available(f, 2 * 400 + 500);
    assert_false(could_be_killed(f, job));
    available(f, 2 * 400 + 499);
    assert_true(could_be_killed(f, job));
}

static void
test_what_others_have_already_they_do_not_need_any_more(void **state)
{
    struct fixture *f = *state;

    run(f, 1000, 1048);
    run(f, 10, 3000);
    struct memory_job *job = run(f, 100, 0);
    job->is_repeated = true;
    available(f, 4000 - 1048 + 2 * 400 + 500);
    assert_false(could_be_killed(f, job));
    available(f, 4000 - 1048 + 2 * 400 + 499);
    assert_true(could_be_killed(f, job));
    f->moment.others.running = 2;
    available(f, 4000 - 1048 + 2 * 400 + 2 * 2048 + 500);
    assert_false(could_be_killed(f, job));
    available(f, 4000 - 1048 + 2 * 400 + 2 * 2048 + 499);
    assert_true(could_be_killed(f, job));
}

static void
test_who_is_not_known_or_was_killed_can_be_killed(void **state)
{
    struct fixture *f = *state;
    struct memory_job *unknown = run(f, 0, 0), *again = run(f, 10, 10);

    assert_true(could_be_killed(f, unknown));
    again->is_repeated = true;
    assert_false(could_be_killed(f, again));
    again->kills = 1;
    assert_true(could_be_killed(f, again));
}

/* --- idle ones --- */

/* For so many looks, of which it is seen at work at one in so many (0: at none). */
static void
watch(struct fixture *f, struct memory_job *job, unsigned looks, unsigned active_each)
{
    for (unsigned i = 1; i <= looks; i++) {
        f->moment.now_ns += MEMORY_IDLE_LOOK_NS;
        memory_note_activity(job, active_each && i % active_each == 0, f->moment.now_ns);
    }
}

static void
become_idle(struct fixture *f, struct memory_job *job)
{
    watch(f, job, MEMORY_IDLE_NS / MEMORY_IDLE_LOOK_NS, 0);
    assert_true(memory_is_idle(job));
}

static void
test_while_all_that_run_are_idle_one_more_starts(void **state)
{
    struct fixture *f = *state;
    struct memory_job *first = run(f, 6000, 10), *second = add(f, 9000), *third = add(f, 9000);

    watch(f, first, MEMORY_IDLE_NS / MEMORY_IDLE_LOOK_NS - 1, 0);
    assert_rest(f);
    watch(f, first, 1, 0);
    assert_step(f, MEMORY_START, second);
    start(f, second);
    assert_rest(f);
    memory_remove(&f->admission, second);
    assert_step(f, MEMORY_START, third);
    /* It has found what it waited for. */
    watch(f, first, 1, 1);
    assert_rest(f);
}

/* It runs a moment each time. */
static void
test_who_looks_for_something_now_and_then_is_idle(void **state)
{
    struct fixture *f = *state;
    struct memory_job *poller = run(f, 6000, 10), *worker = run(f, 6000, 10);

    watch(f, poller, 60, 8);
    assert_true(memory_is_idle(poller));
    watch(f, worker, 1000, 4);
    assert_false(memory_is_idle(worker));
}

static void
test_who_grows_or_has_just_started_is_not_idle(void **state)
{
    struct fixture *f = *state;
    struct memory_job *job = run(f, 6000, 10);

    become_idle(f, job);
    memory_sample(job, 10 * MIB + MIB / 2, f->moment.now_ns);
    assert_true(memory_is_idle(job));
    memory_sample(job, 11 * MIB, f->moment.now_ns);
    assert_false(memory_is_idle(job));
    become_idle(f, job);
    memory_sample(job, 9 * MIB, f->moment.now_ns);
    assert_true(memory_is_idle(job));
    kill_job(f, job);
    memory_gone(&f->admission, job);
    start(f, job);
    assert_false(memory_is_idle(job));
}

/* While none waits nobody looks. */
static void
test_time_in_which_nobody_looks_makes_none_idle(void **state)
{
    struct fixture *f = *state;
    struct memory_job *job = run(f, 6000, 10);

    f->moment.now_ns += 20 * MEMORY_IDLE_NS;
    watch(f, job, 1, 0);
    assert_false(memory_is_idle(job));
}

static void
test_an_idle_one_is_not_the_oldest(void **state)
{
    struct fixture *f = *state;
    struct memory_job *idle = run(f, 6000, 3000), *second = run(f, 3000, 3000),
                      *third = run(f, 3000, 3000);

    become_idle(f, idle);
    assert_ptr_equal(memory_oldest(&f->admission), second);
    available(f, 100);
    assert_step(f, MEMORY_KILL, third);
    memory_remove(&f->admission, third);
    assert_step(f, MEMORY_KILL, idle);
    become_idle(f, second);
    assert_ptr_equal(memory_oldest(&f->admission), idle);
    assert_step(f, MEMORY_KILL, second);
}

static void
test_who_stands_still_for_an_idle_one_goes_on(void **state)
{
    struct fixture *f = *state;
    struct memory_job *idle = run(f, 6000, 1000), *second = run(f, 5000, 3000);

    idle->may_run_twice = second->may_run_twice = false;
    available(f, 4000);
    assert_step(f, MEMORY_STOP, second);
    memory_stopped(second);
    assert_rest(f);
    become_idle(f, idle);
    assert_step(f, MEMORY_CONTINUE, second);
    memory_continued(second);
    /* And nothing is gained by stopping the other. */
    assert_rest(f);
    available(f, 400);
    assert_rest(f);
}

/* --- the rest --- */

static void
test_how_often_to_look(void **state)
{
    struct fixture *f = *state;
    struct memory_job *job = run(f, 10, 10);

    assert_int_equal(memory_sample_ms(&f->admission, &f->moment), MEMORY_SAMPLE_LONG_MS);
    available(f, 2499);
    assert_int_equal(memory_sample_ms(&f->admission, &f->moment), MEMORY_SAMPLE_SHORT_MS);
    available(f, 9000);
    struct memory_job *waiting = add(f, 10);
    assert_int_equal(memory_sample_ms(&f->admission, &f->moment), MEMORY_SAMPLE_SHORT_MS);
    memory_remove(&f->admission, waiting);
    assert_int_equal(memory_sample_ms(&f->admission, &f->moment), MEMORY_SAMPLE_LONG_MS);
    memory_stopped(job);
    assert_int_equal(memory_sample_ms(&f->admission, &f->moment), MEMORY_SAMPLE_SHORT_MS);
}

static void
test_removing_in_each_state(void **state)
{
    struct fixture *f = *state;
    struct memory_job *waiting = add(f, 1), *running = run(f, 1, 1), *stopped = run(f, 1, 1),
                      *dying = run(f, 1, 1);

    memory_stopped(stopped);
    kill_job(f, dying);
    struct memory_job *const all[] = {waiting, running, stopped, dying};
    for (size_t i = 0; i < 4; i++) {
        memory_remove(&f->admission, all[i]);
        memory_remove(&f->admission, all[i]);
        assert_int_equal(all[i]->state, MEMORY_IS_OUT);
    }
    assert_rest(f);
}

static void
test_nonsense_is_bounded(void **state)
{
    struct fixture *f = *state;
    struct memory_job *job = add(f, 0);

    job->expected_bytes = UINT64_MAX;
    start(f, job);
    memory_sample(job, UINT64_MAX, f->moment.now_ns - 5 * TICK_NS);
    memory_sample(job, UINT64_MAX, f->moment.now_ns + TICK_NS);
    f->moment.available_bytes = f->moment.total_bytes = UINT64_MAX;
    struct memory_job *other = add(f, 0);
    other->expected_bytes = UINT64_MAX;
    assert_rest(f);
    other->expected_bytes = 1;
    f->moment.total_bytes = 0;
    assert_int_equal(memory_floor(&f->admission, &f->moment), 0);
    memory_next(&f->admission, &f->moment);
    f->moment.others.running = UINT32_MAX;
    for (unsigned i = 0; i < JOBS / 2; i++) {
        job = run(f, 1, 0);
        job->expected_bytes = UINT64_MAX;
    }
    assert_true(could_be_killed(f, job));
}

/* The last look may have missed the end of it. */
static void
test_peak_is_told(void **state)
{
    struct fixture *f = *state;
    struct memory_job *job = run(f, 100, 74);
    uint64_t growth_bytes = memory_growth_of(job);

    memory_note_peak(job, 90 * MIB);
    assert_int_equal(job->peak_bytes, 90 * MIB);
    memory_note_peak(job, 40 * MIB);
    assert_int_equal(job->peak_bytes, 90 * MIB);
    /* Of what it has now, and of its pace, that tells nothing. */
    assert_int_equal(job->used_bytes, 74 * MIB);
    assert_int_equal(memory_growth_of(job), growth_bytes);
    memory_note_peak(job, UINT64_MAX);
    assert_int_equal(job->peak_bytes, MEMORY_BYTES_MAX);
}

#define RULE(function) cmocka_unit_test_setup(function, setup)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RULE(test_peak_is_told),
        RULE(test_nothing_to_do),
        RULE(test_the_first_that_fits_starts),
        RULE(test_one_always_runs),
        RULE(test_who_has_outgrown_what_was_expected_grows_by_a_tenth),
        RULE(test_who_grows_is_expected_to_go_on_for_a_while),
        RULE(test_who_is_known_needs_no_more_than_that),
        RULE(test_after_many_passes_nobody_passes_the_head),
        RULE(test_only_the_head_is_counted_as_passed),
        RULE(test_unknown_jobs_start_one_after_the_other),
        RULE(test_unknown_jobs_start_together_where_there_is_much),
        RULE(test_floor),
        RULE(test_the_youngest_is_killed),
        RULE(test_who_has_nothing_is_not_killed),
        RULE(test_who_must_not_run_twice_is_not_killed),
        RULE(test_stopped_ones_are_killed_first),
        RULE(test_fast_growth_is_answered_earlier),
        RULE(test_a_killed_job_waits_before_all_others),
        RULE(test_each_kill_makes_more_expected),
        RULE(test_a_death_that_does_not_come),
        RULE(test_who_must_not_run_twice_is_stopped),
        RULE(test_small_ones_are_not_stopped),
        RULE(test_the_oldest_goes_on_whatever_there_is),
        RULE(test_who_is_stopped_is_passed_as_the_head_is),
        RULE(test_who_can_be_killed_if_all_need_far_more),
        RULE(test_what_others_have_already_they_do_not_need_any_more),
        RULE(test_who_is_not_known_or_was_killed_can_be_killed),
        RULE(test_while_all_that_run_are_idle_one_more_starts),
        RULE(test_who_looks_for_something_now_and_then_is_idle),
        RULE(test_who_grows_or_has_just_started_is_not_idle),
        RULE(test_time_in_which_nobody_looks_makes_none_idle),
        RULE(test_an_idle_one_is_not_the_oldest),
        RULE(test_who_stands_still_for_an_idle_one_goes_on),
        RULE(test_how_often_to_look),
        RULE(test_removing_in_each_state),
        RULE(test_nonsense_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
