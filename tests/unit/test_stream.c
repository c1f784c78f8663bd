/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What servers tell besides the pool, and what they take from those who tell of jobs. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "libjobserver/events/stream.h"
#include "libjobserver/pool/pool.h"

#define NOW_NS INT64_C(1000000000000)
#define MS INT64_C(1000000)
#define ALICE 1000
#define KEY 77

struct fixture {
    struct stream stream;
    struct event_reader reader;
    struct pool *pool;
    struct pool_process *process;
};

static void
ignore(void *owner)
{
}

static int
begin(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (!f)
        return -1;
    stream_init(&f->stream);
    f->reader = (struct event_reader){.wake = ignore, .uid = ALICE};
    f->pool = pool_create(2);
    pool_tell(f->pool, &f->stream.log, 0);
    f->process = pool_process_add(f->pool, getpid(), pool_account(f->pool, ALICE, KEY), true);
    *state = f;
    return event_log_join(&f->stream.log, &f->reader, NOW_NS);
}

static int
end(void **state)
{
    struct fixture *f = *state;

    event_log_leave(&f->stream.log, &f->reader);
    pool_destroy(f->pool);
    free(f);
    return 0;
}

static bool
next(struct fixture *f, struct steved_event *event)
{
    return event_log_next(&f->stream.log, &f->reader, event, NOW_NS);
}

static void
test_what_is_told_is_the_callers(void **state)
{
    struct fixture *f = *state;
    struct steved_told told = {.count = 1};
    struct steved_event *sent = &told.events[0], event;

    *sent = (struct steved_event){.kind = STEVED_EVENT_JOB_ENDED,
                                  .account = 1,
                                  .uid = 0,
                                  .held = 9,
                                  .used = 9,
                                  .waiting = 9,
                                  .job = 3,
                                  .bytes = 4,
                                  .status = 256,
                                  .job_class = 1};
    memset(sent->name, '\x1b', sizeof(sent->name)); /* without an end */
    assert_int_equal(stream_told(&f->stream, f->process, 4711, false, &told, NOW_NS), 0);
    assert_true(told.is_read && told.count == 0);
    assert_true(next(f, &event));
    assert_int_equal(event.account, KEY);
    assert_int_equal(event.uid, ALICE);
    assert_int_equal(event.pid, 4711);
    assert_int_equal(event.held + event.used + event.waiting, 0);
    assert_int_equal(event.job, 3);
    assert_int_equal(event.bytes, 4);
    assert_int_equal(event.status, 256);
    assert_int_equal(event.job_class, 1);
    assert_int_equal(strspn(event.name, "?"), STEVED_EVENT_NAME_SIZE - 1);
}

static void
test_what_makes_no_sense_is_refused_whole(void **state)
{
    struct fixture *f = *state;
    const struct steved_told wrong[] = {
        {.count = STEVED_TOLD_PER_CALL + 1},
        {.spare = {0, 1}},
        {.count = 2,
         .events = {{.kind = STEVED_EVENT_JOB_STARTED}, {.kind = STEVED_EVENT_GRANTED}}},
        {.count = 1, .events = {{.kind = STEVED_EVENT_KINDS}}},
        {.count = 1},
    };
    struct steved_event event;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct steved_told told = wrong[i];
        assert_int_equal(stream_told(&f->stream, f->process, 1, false, &told, NOW_NS), -EINVAL);
    }
    assert_false(next(f, &event));
}

static void
test_a_time_is_believed_if_it_is_not_long_ago(void **state)
{
    struct fixture *f = *state;
    const struct {
        int64_t told, seen;
    } times[] = {{0, NOW_NS},
                 {NOW_NS - 5 * MS, NOW_NS - 5 * MS},
                 {NOW_NS + 1, NOW_NS},
                 {NOW_NS - (STEVED_TOLD_LATE_MS + 1) * MS, NOW_NS}};
    struct steved_event event;

    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        struct steved_told told = {
            .count = 1,
            .events = {{.kind = STEVED_EVENT_JOB_WAITS, .time_ns = (uint64_t)times[i].told}}};
        assert_int_equal(stream_told(&f->stream, f->process, 1, false, &told, NOW_NS), 0);
        assert_true(next(f, &event));
        assert_int_equal(event.time_ns, times[i].seen);
    }
}

static void
test_everybody_sees_where_jobs_run_and_owners_alone_tell(void **state)
{
    struct fixture *f = *state;
    const struct steved_told places = {
        .count = 2,
        .events = {{.kind = STEVED_EVENT_JOB_STARTED},
                   {.kind = STEVED_EVENT_JOB_PLACED, .count = 3, .name = "node a.c"}}};
    struct steved_event event;

    f->reader.uid = ALICE + 1;
    struct steved_told told = places;
    assert_int_equal(stream_told(&f->stream, f->process, 1, false, &told, NOW_NS), -EPERM);
    assert_false(next(f, &event));
    told = places;
    assert_int_equal(stream_told(&f->stream, f->process, 1, true, &told, NOW_NS), 0);
    assert_true(next(f, &event));
    assert_int_equal(event.kind, STEVED_EVENT_JOB_PLACED);
    assert_int_equal(event.count, 3);
    assert_string_equal(event.name, "node a.c");
    assert_false(next(f, &event));
}

static void
test_who_tells_learns_that_nobody_reads(void **state)
{
    struct fixture *f = *state;
    struct steved_told told = {.count = 1, .events = {{.kind = STEVED_EVENT_JOB_WAITS}}};

    event_log_leave(&f->stream.log, &f->reader);
    assert_int_equal(stream_told(&f->stream, f->process, 1, false, &told, NOW_NS), 0);
    assert_false(told.is_read);
}

static void
test_what_holds_grants_back_is_told_when_it_changes(void **state)
{
    struct fixture *f = *state;
    struct steved_event event;

    stream_look(&f->stream, 0, NOW_NS);
    assert_false(next(f, &event));
    stream_look(&f->stream, STEVED_HELD_BACK_BY_LOAD, NOW_NS);
    stream_look(&f->stream, STEVED_HELD_BACK_BY_LOAD, NOW_NS + 1);
    stream_look(&f->stream, 0, NOW_NS + 2);
    assert_true(next(f, &event));
    assert_int_equal(event.kind, STEVED_EVENT_HELD_BACK);
    assert_int_equal(event.status, STEVED_HELD_BACK_BY_LOAD);
    assert_true(next(f, &event));
    assert_int_equal(event.status, 0);
    assert_int_equal(event.time_ns, NOW_NS + 2);
    assert_false(next(f, &event));
}

static void
test_memory_is_told_ten_times_a_second_at_most(void **state)
{
    struct fixture *f = *state;
    struct memory_arbiter arbiter;
    struct memory_party party;
    const struct steved_memory told = {.running = 2,
                                       .waiting = 1,
                                       .youngest_ms = STEVED_MEMORY_NONE,
                                       .used_bytes = 300,
                                       .growth_bytes = 20,
                                       .available_bytes = 5000,
                                       .floor_bytes = 400};
    struct steved_event event;

    memory_arbiter_init(&arbiter);
    memory_party_init(&party, NOW_NS);
    assert_int_equal(memory_arbiter_join(&arbiter, &party, 1, NULL, NOW_NS), 0);
    assert_int_equal(memory_arbiter_tell(&arbiter, &party, &told, NOW_NS), 0);
    for (int i = 0; i < 100; i++)
        stream_tell_memory(&f->stream, &arbiter, NOW_NS + i * MS);
    assert_true(next(f, &event));
    assert_int_equal(event.kind, STEVED_EVENT_MEMORY);
    assert_int_equal(event.bytes, 300);
    assert_int_equal(event.expected_bytes, 20);
    assert_int_equal(event.available_bytes, 5000);
    assert_int_equal(event.limit_bytes, 400);
    assert_int_equal(event.count, 1);
    assert_false(next(f, &event));
    stream_tell_memory(&f->stream, &arbiter, NOW_NS + 100 * MS);
    assert_true(next(f, &event));
    memory_arbiter_leave(&arbiter, &party);
}

static void
test_who_comes_is_named_and_readers_are_woken(void **state)
{
    struct fixture *f = *state;
    struct pool_opening *opening = pool_open(f->pool, f->process, f);
    struct pool_waiter *none;
    struct steved_event event;

    assert_int_equal(pool_read(f->pool, opening, f->process, true, NULL, &none, NOW_NS),
                     POOL_GRANTED);
    stream_settle(&f->stream, NULL);
    assert_true(f->reader.is_woken);
    assert_int_equal(f->stream.again_ns, EVENT_LOG_NEVER);
    assert_true(next(f, &event));
    assert_int_equal(event.kind, STEVED_EVENT_CAME);
    assert_string_equal(event.name, "test_stream");
    assert_true(next(f, &event));
    assert_int_equal(event.kind, STEVED_EVENT_GRANTED);
    event_log_leave(&f->stream.log, &f->reader);
    stream_settle(&f->stream, NULL);
    pool_close(f->pool, opening, NOW_NS);
}

#define on_stream(test) cmocka_unit_test_setup_teardown(test, begin, end)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        on_stream(test_what_is_told_is_the_callers),
        on_stream(test_what_makes_no_sense_is_refused_whole),
        on_stream(test_a_time_is_believed_if_it_is_not_long_ago),
        on_stream(test_everybody_sees_where_jobs_run_and_owners_alone_tell),
        on_stream(test_who_tells_learns_that_nobody_reads),
        on_stream(test_what_holds_grants_back_is_told_when_it_changes),
        on_stream(test_memory_is_told_ten_times_a_second_at_most),
        on_stream(test_who_comes_is_named_and_readers_are_woken),
    };
    return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
