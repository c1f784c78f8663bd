/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "libjobserver/memory/share.h"

#define MIB (UINT64_C(1) << 20)
#define S INT64_C(1000000000)
#define JOBS 8

/* An arbiter that says what the test has it say. */
struct build {
    struct memory_admission admission;
    struct memory_moment moment;
    struct memory_share share;
    struct memory_job jobs[JOBS];
    struct steved_memory asked, answer;
    unsigned times;
    bool grants, is_gone;
};

static int
ask(void *server, struct steved_memory *memory)
{
    struct build *build = server;

    build->times++;
    build->asked = *memory;
    if (build->is_gone)
        return -ENOTTY;
    *memory = build->answer;
    if (build->grants && build->asked.flags & STEVED_MEMORY_ASKS) {
        memory->answer |= STEVED_MEMORY_IS_GRANTED;
        memory->granted_bytes += build->asked.start_bytes;
    }
    return 0;
}

/* A thousand MiB, of which the floor is 50 as long as few run. */
static int
begin(void **state)
{
    static struct build build;

    build = (struct build){
        .moment = {.available_bytes = 1000 * MIB, .total_bytes = 1000 * MIB, .now_ns = 100 * S},
        .share = {.ask = ask, .server = &build},
        .grants = true};
    memory_admission_init(&build.admission);
    *state = &build;
    return 0;
}

static struct memory_job *
add(struct build *build, unsigned number, uint64_t expected_mib)
{
    struct memory_job *job = &build->jobs[number];

    job->expected_bytes = expected_mib * MIB;
    job->may_run_twice = true;
    memory_add(&build->admission, job);
    return job;
}

static struct memory_job *
add_running(struct build *build, unsigned number, uint64_t expected_mib, uint64_t used_mib)
{
    struct memory_job *job = add(build, number, expected_mib);

    memory_started(&build->admission, job, build->moment.now_ns - S);
    memory_sample(job, used_mib * MIB, build->moment.now_ns);
    job->pace_bytes = 0;
    return job;
}

static struct memory_step
next(struct build *build)
{
    return memory_share_next(&build->share, &build->admission, &build->moment);
}

static void
look(struct build *build)
{
    memory_share_look(&build->share, &build->admission, &build->moment);
}

static void
start(struct build *build, struct memory_job *job)
{
    struct memory_step step = next(build);

    assert_int_equal(step.action, MEMORY_START);
    assert_ptr_equal(step.job, job);
    memory_started(&build->admission, job, build->moment.now_ns);
}

/* --- asking --- */

static void
test_jobs_are_told_of(void **state)
{
    struct build *build = *state;

    add_running(build, 0, 100, 60)->pace_bytes = 7 * MIB;
    build->moment.now_ns += S;
    add_running(build, 1, 50, 20);
    add(build, 2, 2000);
    next(build);
    look(build);
    assert_int_equal(build->asked.running, 2);
    assert_int_equal(build->asked.waiting, 1);
    assert_int_equal(build->asked.oldest_ms, 2000);
    assert_int_equal(build->asked.youngest_ms, 1000);
    assert_int_equal(build->asked.used_bytes, 80 * MIB);
    assert_int_equal(build->asked.growth_bytes, 70 * MIB);
    assert_int_equal(build->asked.oldest_growth_bytes, 40 * MIB);
    assert_int_equal(build->asked.pace_bytes, 7 * MIB);
    assert_int_equal(build->asked.peak_bytes, 80 * MIB);
    assert_int_equal(build->asked.available_bytes, 1000 * MIB);
    assert_int_equal(build->asked.floor_bytes, 100 * MIB);
    assert_int_equal(build->asked.start_bytes, 2000 * MIB);
}

static void
test_what_is_in_the_reserve_is_not_asked_for(void **state)
{
    struct build *build = *state;

    build->answer.granted_bytes = 120 * MIB;
    look(build);
    for (unsigned i = 0; i < 3; i++)
        start(build, add(build, i, 40));
    assert_int_equal(build->times, 1);
    start(build, add(build, 3, 40));
    assert_int_equal(build->times, 2);
    assert_int_equal(build->asked.start_bytes, 40 * MIB);
    assert_int_equal(build->asked.growth_bytes, 120 * MIB);
}

static void
test_who_is_refused_asks_again_at_the_next_look(void **state)
{
    struct build *build = *state;
    struct memory_job *job = add(build, 0, 40);

    build->grants = false;
    assert_int_equal(next(build).action, MEMORY_REST);
    assert_int_equal(next(build).action, MEMORY_REST);
    assert_int_equal(build->times, 1);
    build->grants = true;
    look(build);
    start(build, job);
    assert_int_equal(build->times, 2);
}

static void
test_what_others_need_is_not_room(void **state)
{
    struct build *build = *state;
    struct memory_job *light;

    build->answer.others_running = 1;
    build->answer.others_growth_bytes = 700 * MIB;
    add_running(build, 0, 10, 10);
    add(build, 1, 400);
    light = add(build, 2, 100);
    build->grants = false; /* the first is asked for before it is known that others are there */
    look(build);
    build->grants = true;
    start(build, light);
    assert_int_equal(next(build).action, MEMORY_REST);
}

static void
test_alone_where_there_is_no_arbiter(void **state)
{
    struct build *build = *state;

    build->is_gone = true;
    start(build, add(build, 0, 40));
    start(build, add(build, 1, 40));
    look(build);
    assert_int_equal(build->times, 1);
    assert_int_equal(build->share.counts.peak_bytes, 0);
    memory_sample(&build->jobs[0], 30 * MIB, build->moment.now_ns + S);
    look(build);
    assert_int_equal(build->share.counts.peak_bytes, 30 * MIB);
}

static void
test_the_first_of_all_is_started_as_soon_as_it_is_granted(void **state)
{
    struct build *build = *state;
    struct memory_job *large = add(build, 0, 5000);

    build->answer.others_running = 1;
    build->grants = false;
    assert_int_equal(next(build).action, MEMORY_REST);
    look(build);
    assert_int_equal(next(build).action, MEMORY_REST);
    build->grants = true;
    look(build);
    start(build, large);
    assert_int_equal(next(build).action, MEMORY_REST);
}

static void
be_idle(struct build *build, struct memory_job *job)
{
    for (int64_t passed_ns = 0; passed_ns < MEMORY_IDLE_NS; passed_ns += MEMORY_IDLE_LOOK_NS) {
        build->moment.now_ns += MEMORY_IDLE_LOOK_NS;
        memory_note_activity(job, false, build->moment.now_ns);
    }
}

/* It may wait for the one that would start. */
static void
test_idle_ones_do_not_count_as_running(void **state)
{
    struct build *build = *state;
    struct memory_job *idle = add_running(build, 0, 400, 10), *large = add(build, 1, 5000);

    build->grants = false;
    build->answer.others_running = 1;
    look(build);
    assert_int_equal(build->asked.running, 1);
    be_idle(build, idle);
    look(build);
    assert_int_equal(build->asked.running, 0);
    assert_int_equal(build->asked.start_bytes, 5000 * MIB);
    assert_int_equal(next(build).action, MEMORY_REST);
    build->grants = true;
    look(build);
    start(build, large);
    look(build);
    assert_int_equal(build->asked.running, 1);
    assert_int_equal(build->asked.oldest_ms, 0);
}

static void
test_the_end_is_told_at_once_if_others_wait(void **state)
{
    struct build *build = *state;
    struct memory_job *first = add_running(build, 0, 40, 10), *last = add_running(build, 1, 40, 10);

    look(build);
    memory_remove(&build->admission, first);
    memory_share_ended(&build->share, &build->admission, &build->moment);
    assert_int_equal(build->times, 1);
    /* And the last in any case, once. */
    memory_remove(&build->admission, last);
    memory_share_ended(&build->share, &build->admission, &build->moment);
    memory_share_ended(&build->share, &build->admission, &build->moment);
    assert_int_equal(build->times, 2);
    assert_int_equal(build->asked.running, 0);
    first = add_running(build, 2, 40, 10);
    add_running(build, 3, 40, 10);
    build->answer.others_waiting = 1;
    look(build);
    memory_remove(&build->admission, first);
    memory_share_ended(&build->share, &build->admission, &build->moment);
    assert_int_equal(build->times, 4);
}

static void
test_time_waited_for_memory(void **state)
{
    struct build *build = *state;

    build->grants = false;
    add(build, 0, 40);
    next(build);
    build->moment.now_ns += S;
    build->grants = true;
    look(build);
    start(build, &build->jobs[0]);
    build->moment.now_ns += S;
    next(build);
    assert_int_equal(build->share.counts.waited_ms, 1000);
}

/* Who waits for memory, and would have a place. */
static void
test_what_would_run_is_told_of(void **state)
{
    struct build *build = *state;

    build->grants = false;
    build->share.slots = 2;
    add_running(build, 0, 40, 40);
    add(build, 1, 1100);
    add(build, 2, 1200);
    next(build);
    look(build);
    assert_int_equal(build->asked.held_bytes, 1100 * MIB);
}

/* --- killing --- */

static void
test_what_is_to_be_killed_is_told_of_first(void **state)
{
    struct build *build = *state;

    add_running(build, 0, 500, 500);
    add_running(build, 1, 400, 400);
    build->moment.available_bytes = 10 * MIB;
    struct memory_step step = next(build);
    assert_int_equal(step.action, MEMORY_KILL);
    assert_ptr_equal(step.job, &build->jobs[1]);
    assert_int_equal(build->asked.dying_bytes, 400 * MIB);
    memory_killed(&build->admission, step.job, build->moment.now_ns);
    assert_int_equal(next(build).action, MEMORY_REST);
}

static void
test_another_kills_enough(void **state)
{
    struct build *build = *state;

    add_running(build, 0, 500, 500);
    add_running(build, 1, 400, 400);
    build->moment.available_bytes = 10 * MIB;
    build->answer.others_running = 1;
    build->answer.others_dying_bytes = 300 * MIB;
    assert_int_equal(next(build).action, MEMORY_REST);
    /* And is told that nothing is killed here. */
    assert_int_equal(build->asked.dying_bytes, 0);
}

static void
test_the_oldest_of_one_is_not_the_oldest_of_all(void **state)
{
    struct build *build = *state;

    add_running(build, 0, 500, 500);
    build->moment.available_bytes = 10 * MIB;
    assert_int_equal(next(build).action, MEMORY_REST);
    build->answer.answer = STEVED_MEMORY_HAS_ELDER;
    build->answer.others_running = 1;
    look(build);
    struct memory_step step = next(build);
    assert_int_equal(step.action, MEMORY_KILL);
    assert_ptr_equal(step.job, &build->jobs[0]);
    memory_killed(&build->admission, step.job, build->moment.now_ns);
    memory_gone(&build->admission, step.job);
    memory_share_gone(&build->share, &build->admission, &build->moment);
    assert_int_equal(build->asked.dying_bytes, 0);
    /* It waits for what is older. */
    build->grants = false;
    look(build);
    assert_int_equal(next(build).action, MEMORY_REST);
}

static void
test_who_has_the_youngest_kills_first(void **state)
{
    struct build *build = *state;

    add_running(build, 0, 500, 500)->pace_bytes = 20 * MIB;
    add_running(build, 1, 400, 400)->pace_bytes = 20 * MIB;
    build->moment.available_bytes = 100 * MIB;
    build->answer.others_running = 1;
    build->answer.answer = STEVED_MEMORY_HAS_YOUNGER;
    look(build);
    assert_int_equal(next(build).action, MEMORY_REST);
    build->answer.answer = 0;
    look(build);
    assert_int_equal(next(build).action, MEMORY_KILL);
    /* But not for ever. */
    build->answer.answer = STEVED_MEMORY_HAS_YOUNGER;
    build->moment.available_bytes = 70 * MIB;
    look(build);
    assert_int_equal(next(build).action, MEMORY_KILL);
}

static void
test_others_are_not_believed_any_pace(void **state)
{
    struct build *build = *state;

    add_running(build, 0, 400, 400);
    add_running(build, 1, 400, 400);
    build->answer.others_running = 1;
    build->answer.others_pace_bytes = UINT64_MAX;
    build->answer.answer = STEVED_MEMORY_HAS_YOUNGER;
    build->moment.available_bytes = 160 * MIB;
    look(build);
    assert_int_equal(next(build).action, MEMORY_REST);
    /* But what is seen. */
    build->moment.available_bytes = 400 * MIB;
    build->moment.now_ns += S / 10;
    look(build);
    build->moment.available_bytes = 200 * MIB;
    build->moment.now_ns += S / 100;
    look(build);
    assert_int_equal(next(build).action, MEMORY_REST);
    build->moment.now_ns += S / 10;
    look(build);
    assert_int_equal(next(build).action, MEMORY_KILL);
    build->moment.now_ns += S / 10;
    look(build);
    assert_int_equal(next(build).action, MEMORY_KILL);
    /* And that is forgotten. */
    for (unsigned i = 0; i < 20; i++) {
        build->moment.now_ns += S / 10;
        look(build);
    }
    assert_int_equal(next(build).action, MEMORY_REST);
}

/* --- stopping --- */

static void
test_what_cannot_run_twice_stands_still_for_an_elder(void **state)
{
    struct build *build = *state;
    struct memory_job *job = add_running(build, 0, 500, 500);

    job->may_run_twice = false;
    build->moment.available_bytes = 150 * MIB;
    build->answer.others_running = 1;
    build->answer.others_growth_bytes = build->answer.elder_growth_bytes = 100 * MIB;
    build->answer.answer = STEVED_MEMORY_HAS_ELDER | STEVED_MEMORY_HAS_INNER;
    look(build);
    /* It may be the elder itself that would stand still. */
    assert_int_equal(next(build).action, MEMORY_REST);
    build->answer.answer = STEVED_MEMORY_HAS_ELDER;
    look(build);
    struct memory_step step = next(build);
    assert_int_equal(step.action, MEMORY_STOP);
    memory_stopped(step.job);
    assert_int_equal(next(build).action, MEMORY_REST);
    /* The elder has ended. */
    build->answer = (struct steved_memory){0};
    look(build);
    assert_int_equal(next(build).action, MEMORY_CONTINUE);
}

#define TEST(name) cmocka_unit_test_setup(name, begin)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_jobs_are_told_of),
        TEST(test_what_is_in_the_reserve_is_not_asked_for),
        TEST(test_who_is_refused_asks_again_at_the_next_look),
        TEST(test_what_others_need_is_not_room),
        TEST(test_alone_where_there_is_no_arbiter),
        TEST(test_the_first_of_all_is_started_as_soon_as_it_is_granted),
        TEST(test_idle_ones_do_not_count_as_running),
        TEST(test_the_end_is_told_at_once_if_others_wait),
        TEST(test_time_waited_for_memory),
        TEST(test_what_would_run_is_told_of),
        TEST(test_what_is_to_be_killed_is_told_of_first),
        TEST(test_another_kills_enough),
        TEST(test_the_oldest_of_one_is_not_the_oldest_of_all),
        TEST(test_who_has_the_youngest_kills_first),
        TEST(test_others_are_not_believed_any_pace),
        TEST(test_what_cannot_run_twice_stands_still_for_an_elder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
