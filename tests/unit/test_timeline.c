/* SPDX-License-Identifier: GPL-2.0-or-later */
/* timeline and summary: what gates tell becomes runs in slots, waits, and lists of jobs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "jobwrap/summary.h"
#include "jobwrap/timeline.h"

#define GATE 100
#define SAID_SIZE 4096
#define STEP_NS 1000

/* What the viewer has been told: "+name/slot" a run begins ("+name/slot:class" in a slot of that class), "-name" it ends, "!name" put off, "w" and "W" a wait
 * begins and ends, "s" and "c" stopped and continued, ">" and "<" moved to a class and back, "." over. */
struct seen {
    struct timeline timeline;
    struct summary summary;
    char said[SAID_SIZE];
    int64_t now_ns;
    int64_t change_ns[TIMELINE_ENDS + 1]; /* the last of each kind */
    unsigned gates;
};

static void
say(struct seen *seen, const char *what, const char *name)
{
    const size_t length = strlen(seen->said);

    snprintf(seen->said + length, SAID_SIZE - length, "%s%s%s", length > 0 ? " " : "", what, name);
}

static void
on_gate(void *argument, struct timeline_gate *gate)
{
    struct seen *seen = argument;

    gate->name = strdup("a gate");
    seen->gates++;
    assert_int_equal(gate->number, seen->gates);
}

static void
on_change(void *argument, const struct timeline_job *job, enum timeline_change change,
          int64_t time_ns)
{
    static const char *const signs[] = {"w", "W", "+", "-", "!", "s", "c", ">", "<", "."};
    struct seen *seen = argument;
    char text[STEVED_EVENT_NAME_SIZE + 16];

    seen->change_ns[change] = time_ns;
    if (change == TIMELINE_ENDS)
        summary_add(&seen->summary, job);
    if (change == TIMELINE_RUN_BEGINS)
        snprintf(text, sizeof(text), job->slot_class ? "%s/%u:%u" : "%s/%u", job->name, job->slot,
                 job->slot_class);
    else
        snprintf(text, sizeof(text), "%s", job->name);
    say(seen, signs[change], text);
}

static struct seen *
begin(void)
{
    struct seen *seen = calloc(1, sizeof(*seen));
    const struct timeline_viewer viewer = {
        .gate_came = on_gate, .changed = on_change, .argument = seen};

    assert_non_null(seen);
    seen->now_ns = 1000;
    timeline_init(&seen->timeline, &viewer, 500);
    return seen;
}

/* Before each event a microsecond passes. */
static void
tell(struct seen *seen, enum steved_event_kind kind, int gate, uint64_t job,
     struct steved_event event)
{
    event.kind = kind;
    event.pid = gate;
    event.account = 7;
    event.job = job;
    seen->now_ns += STEP_NS;
    event.time_ns = (uint64_t)seen->now_ns;
    if (!event.name[0] && job > 0)
        event.name[0] = (char)('a' + (int)(job - 1) % 26);
    timeline_add(&seen->timeline, &event);
}

static void
starts(struct seen *seen, uint64_t job)
{
    tell(seen, STEVED_EVENT_JOB_STARTED, GATE, job, (struct steved_event){0});
}

static void
ends(struct seen *seen, uint64_t job, int status)
{
    tell(seen, STEVED_EVENT_JOB_ENDED, GATE, job, (struct steved_event){.status = status});
}

static void
waits(struct seen *seen, uint64_t job, int reason)
{
    tell(seen, STEVED_EVENT_JOB_WAITS, GATE, job, (struct steved_event){.status = reason});
}

static void
finish(struct seen *seen, const char *expected)
{
    if (expected)
        assert_string_equal(seen->said, expected);
    timeline_end(&seen->timeline, seen->now_ns + STEP_NS);
    assert_int_equal(seen->timeline.running, 0);
    assert_int_equal(seen->timeline.job_count, 0);
    assert_int_equal(seen->timeline.waiting[TIMELINE_FOR_TOKEN], 0);
    assert_int_equal(seen->timeline.waiting[TIMELINE_FOR_MEMORY], 0);
    timeline_clear(&seen->timeline);
    free(seen);
}

static void
test_a_job_takes_the_lowest_free_slot(void **state)
{
    struct seen *seen = begin();

    starts(seen, 1);
    starts(seen, 2);
    starts(seen, 3);
    ends(seen, 2, 0);
    starts(seen, 4);
    ends(seen, 1, 0);
    ends(seen, 3, 0);
    starts(seen, 5);
    assert_int_equal(seen->timeline.running, 2);
    finish(seen, "+a/0 +b/1 +c/2 -b .b +d/1 -a .a -c .c +e/0");
}

static void
test_waits_are_told_by_their_reason_and_summed_up(void **state)
{
    struct seen *seen = begin();

    waits(seen, 1, STEVED_WAITS_FOR_TOKEN);
    waits(seen, 2, STEVED_WAITS_FOR_TOKEN);
    assert_int_equal(seen->timeline.waiting[TIMELINE_FOR_TOKEN], 2);
    waits(seen, 1, STEVED_WAITS_FOR_MEMORY);
    assert_int_equal(seen->timeline.waiting[TIMELINE_FOR_TOKEN], 1);
    assert_int_equal(seen->timeline.waiting[TIMELINE_FOR_MEMORY], 1);
    starts(seen, 1);
    ends(seen, 1, 0);
    ends(seen, 2, 256); /* never run */
    const struct timeline_counts *counts = &seen->timeline.counts;
    assert_int_equal(counts->waited_ns[TIMELINE_FOR_TOKEN], (2 + 4) * STEP_NS);
    assert_int_equal(counts->waited_ns[TIMELINE_FOR_MEMORY], STEP_NS);
    assert_int_equal(counts->jobs, 1);
    assert_int_equal(counts->failed, 0);
    assert_int_equal(seen->summary.lists[SUMMARY_WAITED].count, 2);
    assert_string_equal(seen->summary.lists[SUMMARY_WAITED].jobs[0].name, "b");
    assert_int_equal(seen->summary.lists[SUMMARY_LONGEST].count, 1);
    finish(seen, "wa wb Wa wa Wa +a/0 -a .a Wb .b");
}

static void
test_put_off_stopped_and_failed(void **state)
{
    struct seen *seen = begin();

    starts(seen, 1);
    tell(seen, STEVED_EVENT_JOB_PUT_OFF, GATE, 1, (struct steved_event){.bytes = 300});
    waits(seen, 1, STEVED_WAITS_FOR_MEMORY);
    starts(seen, 1);
    tell(seen, STEVED_EVENT_JOB_STOPPED, GATE, 1, (struct steved_event){.bytes = 100});
    tell(seen, STEVED_EVENT_JOB_CONTINUED, GATE, 1, (struct steved_event){0});
    tell(seen, STEVED_EVENT_JOB_STOPPED, GATE, 1, (struct steved_event){.bytes = 100});
    ends(seen, 1, 9);
    const struct timeline_counts *counts = &seen->timeline.counts;
    assert_int_equal(counts->jobs, 1);
    assert_int_equal(counts->failed, 1);
    assert_int_equal(counts->put_off, 1);
    assert_int_equal(counts->stopped, 2);
    assert_int_equal(counts->most_bytes, 300);
    assert_int_equal(counts->ran_ns, (1 + 4) * STEP_NS);
    assert_int_equal(seen->summary.lists[SUMMARY_HEAVIEST].jobs[0].runs, 2);
    assert_int_equal(seen->summary.lists[SUMMARY_HEAVIEST].jobs[0].status, 9);
    finish(seen, "+a/0 !a wa Wa +a/0 sa ca sa ca -a .a");
}

/* Of what a gate could not tell in time nobody knows when it was: the next seems to have been before. */
static void
test_what_seems_to_go_back_in_time_has_a_length(void **state)
{
    struct seen *seen = begin();
    const int64_t *change_ns = seen->change_ns, start_ns = seen->now_ns;

    waits(seen, 1, STEVED_WAITS_FOR_TOKEN);
    seen->now_ns = start_ns;
    starts(seen, 1);
    assert_int_equal(change_ns[TIMELINE_WAIT_ENDS], change_ns[TIMELINE_WAIT_BEGINS]);
    seen->now_ns = start_ns - STEP_NS;
    tell(seen, STEVED_EVENT_JOB_STOPPED, GATE, 1, (struct steved_event){0});
    assert_true(change_ns[TIMELINE_STOPS] > change_ns[TIMELINE_RUN_BEGINS]);
    seen->now_ns = start_ns - STEP_NS;
    tell(seen, STEVED_EVENT_JOB_CONTINUED, GATE, 1, (struct steved_event){0});
    assert_true(change_ns[TIMELINE_CONTINUES] > change_ns[TIMELINE_STOPS]);
    seen->now_ns = start_ns - STEP_NS;
    ends(seen, 1, 0);
    assert_true(change_ns[TIMELINE_RUN_ENDS] > change_ns[TIMELINE_CONTINUES]);
    finish(seen, "wa Wa +a/0 sa ca -a .a");
}

/* One that ends at the moment at which it begins does not share its slot with the next. */
static void
test_no_run_takes_no_time(void **state)
{
    struct seen *seen = begin();

    starts(seen, 1);
    seen->now_ns -= STEP_NS;
    ends(seen, 1, 0);
    seen->now_ns -= STEP_NS;
    starts(seen, 2);
    finish(seen, "+a/0 -a .a +b/1");
}

/* Its slot is one that was free all the time. */
static void
test_one_whose_start_was_missed_is_put_where_it_ran(void **state)
{
    struct seen *seen = begin();

    starts(seen, 1);
    ends(seen, 1, 0);
    starts(seen, 2);
    tell(seen, STEVED_EVENT_JOB_ENDED, GATE, 3, (struct steved_event){.duration_ns = 3 * STEP_NS});
    tell(seen, STEVED_EVENT_JOB_ENDED, GATE, 4, (struct steved_event){.duration_ns = UINT64_MAX});
    assert_int_equal(seen->timeline.counts.jobs, 3);
    finish(seen, "+a/0 -a .a +b/0 +c/1 -c .c +d/2 -d .d");
}

static void
test_a_gate_that_leaves_takes_its_jobs_along(void **state)
{
    struct seen *seen = begin();

    starts(seen, 1);
    waits(seen, 2, STEVED_WAITS_FOR_TOKEN);
    tell(seen, STEVED_EVENT_LEFT, GATE + 1, 0, (struct steved_event){0});
    assert_int_equal(seen->timeline.running, 1);
    tell(seen, STEVED_EVENT_LEFT, GATE, 0, (struct steved_event){0});
    assert_int_equal(seen->timeline.running, 0);
    /* The pid is another gate's now. */
    starts(seen, 1);
    assert_int_equal(seen->gates, 2);
    finish(seen, NULL);
}

static void
test_nonsense_is_left_out(void **state)
{
    struct seen *seen = begin();
    struct steved_event unnamed = {.name = "x\033<\377"};

    memset(unnamed.name + 4, 'y', sizeof(unnamed.name) - 4);
    tell(seen, STEVED_EVENT_JOB_CONTINUED, GATE, 1, (struct steved_event){0});
    tell(seen, STEVED_EVENT_JOB_PUT_OFF, GATE, 1, (struct steved_event){0});
    tell(seen, STEVED_EVENT_JOB_STOPPED, GATE, 1, (struct steved_event){0});
    starts(seen, 1);
    starts(seen, 1);
    waits(seen, 1, STEVED_WAITS_FOR_TOKEN);
    ends(seen, 1, 0);
    tell(seen, STEVED_EVENT_KINDS, GATE, 1, (struct steved_event){0});
    tell(seen, STEVED_EVENT_GRANTED, GATE, 1, (struct steved_event){0});
    assert_string_equal(seen->said, "+a/0 -a +a/0 -a .a");
    tell(seen, STEVED_EVENT_JOB_STARTED, GATE, 2, unnamed);
    const struct timeline_job *job = LIST_FIRST(&TAILQ_FIRST(&seen->timeline.gates)->open);
    assert_int_equal(strlen(job->name), STEVED_EVENT_NAME_SIZE - 1);
    assert_memory_equal(job->name, "x?<?yy", 6);
    finish(seen, NULL);
}

static void
test_there_is_room_for_so_many_and_no_more(void **state)
{
    struct seen *seen = begin();

    for (unsigned i = 0; i < 2 * TIMELINE_GATES_MAX; i++) {
        tell(seen, STEVED_EVENT_JOB_STARTED, (int)i + 1, 1, (struct steved_event){0});
        tell(seen, STEVED_EVENT_JOB_ENDED, (int)i + 1, 1, (struct steved_event){0});
    }
    assert_int_equal(seen->timeline.gate_count, TIMELINE_GATES_MAX);
    assert_int_equal(seen->timeline.counts.jobs, 2 * TIMELINE_GATES_MAX);
    for (unsigned i = 0; i < TIMELINE_JOBS_MAX + 5; i++)
        waits(seen, i + 2, STEVED_WAITS_FOR_TOKEN);
    assert_int_equal(seen->timeline.job_count, TIMELINE_JOBS_MAX);
    finish(seen, NULL);
}

static void
starts_on(struct seen *seen, uint64_t job, unsigned job_class, unsigned count)
{
    tell(seen, STEVED_EVENT_JOB_STARTED, GATE, job,
         (struct steved_event){.job_class = job_class, .count = count});
}

static void
test_jobs_instead_of_on_the_cpu_have_slots_of_their_class(void **state)
{
    struct seen *seen = begin();
    const unsigned *running_of = seen->timeline.running_of;

    starts_on(seen, 1, 1, STEVED_RUNS_ON_CLASSES);
    starts_on(seen, 2, 0, STEVED_RUNS_ON_TOKEN);
    starts_on(seen, 3, 1, STEVED_RUNS_ON_CLASSES);
    starts_on(seen, 4, 2, STEVED_RUNS_ON_TOKEN);
    starts_on(seen, 5, 2, STEVED_RUNS_ON_SLOT);
    starts_on(seen, 6, STEVED_CLASSES_MAX, STEVED_RUNS_ON_CLASSES);
    /* There is no such class. */
    starts_on(seen, 7, STEVED_CLASSES_MAX + 1, STEVED_RUNS_ON_CLASSES);
    starts_on(seen, 8, UINT32_MAX, STEVED_RUNS_ON_CLASSES);
    assert_int_equal(seen->timeline.running, 8);
    assert_int_equal(running_of[0], 3);
    assert_int_equal(running_of[1], 2);
    assert_int_equal(running_of[2], 2);
    assert_int_equal(running_of[STEVED_CLASSES_MAX], 1);
    /* It runs again, where the class has no tokens any more. */
    starts_on(seen, 1, 0, STEVED_RUNS_ON_TOKEN);
    assert_int_equal(running_of[1], 1);
    ends(seen, 4, 0);
    assert_int_equal(running_of[2], 1);
    assert_int_equal(seen->summary.lists[SUMMARY_LONGEST].jobs[0].job_class, 2);
    /* Nobody has told that it had begun. */
    tell(seen, STEVED_EVENT_JOB_ENDED, GATE, 9,
         (struct steved_event){.duration_ns = 1, .job_class = 1, .count = STEVED_RUNS_ON_CLASSES});
    assert_int_equal(running_of[1], 1);
    finish(seen, "+a/0:1 +b/0 +c/1:1 +d/1 +e/2 +f/0:8 +g/3 +h/4 -a +a/5 -d .d +i/0:1 -i .i");
}

static void
moves(struct seen *seen, int process, unsigned job_class)
{
    tell(seen, STEVED_EVENT_JOB_MOVED, 1, 0,
         (struct steved_event){.process = process, .job_class = job_class});
}

static void
starts_as(struct seen *seen, uint64_t job, int process, unsigned job_class)
{
    tell(seen, STEVED_EVENT_JOB_STARTED, GATE, job,
         (struct steved_event){.process = process, .job_class = job_class});
}

static void
test_a_job_of_the_cpu_is_of_a_class_for_a_time(void **state)
{
    struct seen *seen = begin();
    const unsigned *running_of = seen->timeline.running_of;

    starts_as(seen, 1, 51, 0);
    starts_as(seen, 2, 52, 0);
    moves(seen, 52, 2);
    assert_int_equal(running_of[0], 1);
    assert_int_equal(running_of[2], 1);
    /* Two parts of it: it is back when both are. */
    moves(seen, 52, 2);
    moves(seen, 52, 0);
    assert_int_equal(running_of[2], 1);
    moves(seen, 52, 0);
    moves(seen, 52, 0);
    assert_int_equal(running_of[0], 2);
    assert_int_equal(running_of[2], 0);
    assert_int_equal(seen->change_ns[TIMELINE_MOVES_BACK] - seen->change_ns[TIMELINE_MOVES],
                     3 * STEP_NS);
    /* Nobody tells that it is back. */
    moves(seen, 51, 1);
    assert_int_equal(running_of[1], 1);
    ends(seen, 1, 0);
    assert_int_equal(running_of[1], 0);
    assert_int_equal(seen->summary.lists[SUMMARY_LONGEST].jobs[0].job_class, 1);
    /* There is no such class, nor process, and the last has ended. */
    moves(seen, 52, STEVED_CLASSES_MAX + 1);
    moves(seen, 53, 1);
    moves(seen, 0, 1);
    moves(seen, 51, 1);
    /* Its gate has seen to it. */
    starts_as(seen, 3, 54, 1);
    moves(seen, 54, 2);
    finish(seen, "+a/0 +b/1 >b <b >a <a -a .a +c/0");
}

static void
test_what_moves_is_not_stopped(void **state)
{
    struct seen *seen = begin();

    starts_as(seen, 1, 51, 0);
    tell(seen, STEVED_EVENT_JOB_STOPPED, GATE, 1, (struct steved_event){0});
    moves(seen, 51, 1);
    tell(seen, STEVED_EVENT_JOB_STOPPED, GATE, 1, (struct steved_event){0});
    moves(seen, 51, 0);
    tell(seen, STEVED_EVENT_JOB_CONTINUED, GATE, 1, (struct steved_event){0});
    moves(seen, 51, 1);
    tell(seen, STEVED_EVENT_JOB_PUT_OFF, GATE, 1, (struct steved_event){0});
    starts_as(seen, 1, 55, 0);
    finish(seen, "+a/0 sa ca >a sa ca <a >a <a !a +a/0");
}

static void
place(struct seen *seen, const char *name, unsigned job_class)
{
    struct steved_event event = {.job_class = job_class};

    snprintf(event.name, sizeof(event.name), "%s", name);
    tell(seen, STEVED_EVENT_JOB_PLACED, 1, 0, event);
}

/* A job that has made this, while these places were told of. */
static void
check_node(const char *made, const char *const places[2], const char *expected)
{
    struct seen *seen = begin();
    struct steved_event event = {.job_class = 1, .count = STEVED_RUNS_ON_CLASSES};

    snprintf(event.name, sizeof(event.name), "%s", made);
    place(seen, "before a.c", 1);
    tell(seen, STEVED_EVENT_JOB_STARTED, GATE, 1, event);
    for (unsigned i = 0; i < 2 && places[i]; i++)
        place(seen, places[i], i);
    place(seen, "other a.c", 2);
    tell(seen, STEVED_EVENT_JOB_ENDED, GATE, 1, event);
    const struct summary_job *job = &seen->summary.lists[SUMMARY_LONGEST].jobs[0];
    if (strcmp(job->node, expected) != 0)
        fail_msg("%s of %s: at '%s', not '%s'", made, places[0], job->node, expected);
    assert_int_equal(seen->summary.has_nodes, expected[0] != '\0');
    finish(seen, NULL);
}

static void
test_a_job_ran_where_its_file_was(void **state)
{
    static const struct {
        const char *made, *places[2], *node;
    } jobs[] = {
        {"a.o", {"n tree/src/a.c"}, "n"},
        {"a.c.o", {"n tree/src/a.c"}, "n"},
        {"a.o", {"n a.c"}, "n"},
        {"src_a.c.o", {"n tree/src/a.c"}, "n"},
        {"x_tree_src_a.c.o", {"n tree/src/a.c"}, "n"},
        {"a.lo", {"n a.b/a"}, "n"},
        {"my_a.c.o", {"n tree/my_a.c"}, "n"},
        {"my_a.c.o", {"n a.c"}, ""},
        {"my_a.c.o", {"n tree/a.c"}, ""},
        {"a.c.o", {"n tree/my_a.c"}, ""},
        {"a.b.o", {"n a.c"}, ""},
        {"a", {"n a.c"}, ""},
        {"", {"n a.c"}, ""},
        {".o", {"n /"}, ""},
        {"a.o", {"n b.c", "m a.c"}, "m"},
        {"a.o", {"n x/a.c", "n y/a.c"}, "n"},
        {"a.o", {"n x/a.c", "m y/a.c"}, ""},
        {"a.o", {"n"}, ""},
        {"a.o", {NULL}, ""},
    };

    for (size_t i = 0; i < sizeof(jobs) / sizeof(jobs[0]); i++)
        check_node(jobs[i].made, jobs[i].places, jobs[i].node);
}

static void
test_so_many_places_are_kept(void **state)
{
    struct seen *seen = begin();

    for (unsigned i = 0; i < 3 * PLACES_MAX; i++)
        place(seen, "node a.c", 0);
    assert_int_equal(seen->timeline.places.seen, 3 * PLACES_MAX);
    finish(seen, NULL);
}

static void
test_there_are_so_many_slots_and_no_more(void **state)
{
    struct seen *seen = begin();
    const unsigned count = TIMELINE_SLOTS_MAX + 1000;

    /* As if all had run all the time. */
    for (unsigned i = 0; i < count; i++)
        tell(seen, STEVED_EVENT_JOB_ENDED, GATE, i + 1,
             (struct steved_event){.duration_ns = UINT64_MAX});
    assert_int_equal(TAILQ_FIRST(&seen->timeline.gates)->slots[0].count, TIMELINE_SLOTS_MAX);
    assert_int_equal(seen->timeline.counts.jobs, TIMELINE_SLOTS_MAX);
    assert_int_equal(seen->timeline.running, 0);
    finish(seen, NULL);
}

static void
test_the_summary_has_the_first_of_many(void **state)
{
    struct seen *seen = begin();

    for (uint64_t i = 1; i <= 100; i++) {
        starts(seen, i);
        seen->now_ns += (int64_t)(i * 37 % 101) * STEP_NS;
        tell(seen, STEVED_EVENT_JOB_ENDED, GATE, i, (struct steved_event){.bytes = i * 53 % 101});
    }
    for (enum summary_list list = SUMMARY_LONGEST; list <= SUMMARY_HEAVIEST; list++)
        assert_int_equal(seen->summary.lists[list].count, SUMMARY_JOBS);
    assert_int_equal(seen->summary.lists[SUMMARY_WAITED].count, 0);
    for (unsigned i = 0; i < SUMMARY_JOBS; i++) {
        assert_int_equal(seen->summary.lists[SUMMARY_LONGEST].jobs[i].ran_ns,
                         (100 - i + 1) * STEP_NS);
        assert_int_equal(seen->summary.lists[SUMMARY_HEAVIEST].jobs[i].bytes, 100 - i);
    }
    finish(seen, NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_job_takes_the_lowest_free_slot),
        cmocka_unit_test(test_waits_are_told_by_their_reason_and_summed_up),
        cmocka_unit_test(test_put_off_stopped_and_failed),
        cmocka_unit_test(test_what_seems_to_go_back_in_time_has_a_length),
        cmocka_unit_test(test_no_run_takes_no_time),
        cmocka_unit_test(test_one_whose_start_was_missed_is_put_where_it_ran),
        cmocka_unit_test(test_a_gate_that_leaves_takes_its_jobs_along),
        cmocka_unit_test(test_nonsense_is_left_out),
        cmocka_unit_test(test_there_is_room_for_so_many_and_no_more),
        cmocka_unit_test(test_a_job_ran_where_its_file_was),
        cmocka_unit_test(test_so_many_places_are_kept),
        cmocka_unit_test(test_there_are_so_many_slots_and_no_more),
        cmocka_unit_test(test_jobs_instead_of_on_the_cpu_have_slots_of_their_class),
        cmocka_unit_test(test_a_job_of_the_cpu_is_of_a_class_for_a_time),
        cmocka_unit_test(test_what_moves_is_not_stopped),
        cmocka_unit_test(test_the_summary_has_the_first_of_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
