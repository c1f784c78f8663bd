/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The log of events: what it keeps for whom, and how they are passed on. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "libjobserver/events/code.h"
#include "libjobserver/events/log.h"
#include "tests/unit/chance.h"

#define BEGIN_NS INT64_C(1000000000000)
#define MS INT64_C(1000000)
#define ALICE 1000
#define BOB 1001

static void
count_wakes(void *owner)
{
    ++*(unsigned *)owner;
}

static struct event_reader
reader_of(uint32_t uid, unsigned *wakes)
{
    return (struct event_reader){.wake = count_wakes, .owner = wakes, .uid = uid};
}

struct fixture {
    struct event_log log;
    struct event_reader reader;
    struct steved_events page;
    unsigned wakes;
};

static int
begin(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (!f)
        return -1;
    event_log_init(&f->log);
    f->reader = reader_of(ALICE, &f->wakes);
    *state = f;
    return event_log_join(&f->log, &f->reader, BEGIN_NS);
}

static int
end(void **state)
{
    struct fixture *f = *state;

    event_log_leave(&f->log, &f->reader);
    assert_null(f->log.events);
    free(f);
    return 0;
}

static void
add(struct event_log *log, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        event_log_add(log, STEVED_EVENT_GRANTED)->count = i;
}

/* What the page has, from the cursor that it has on. */
static unsigned
read_page(struct fixture *f, struct steved_event *events)
{
    struct steved_event event = {0};
    unsigned count = 0;

    f->page = (struct steved_events){.cursor = f->page.cursor};
    event_log_read(&f->log, &f->reader, &f->page, BEGIN_NS);
    for (size_t at = 0; at < f->page.size;) {
        size_t size = event_decode(&event, f->page.bytes + at, f->page.size - at);
        assert_true(size > 0 && count < STEVED_EVENTS_PER_PAGE);
        at += size;
        events[count++] = event;
    }
    return count;
}

/* --- the log --- */

static void
test_nothing_is_kept_while_nobody_reads(void **state)
{
    struct fixture *f = *state;
    struct event_reader other = reader_of(BOB, &f->wakes);

    assert_true(event_log_is_read(&f->log));
    assert_int_equal(event_log_join(&f->log, &other, BEGIN_NS), 0);
    event_log_leave(&f->log, &f->reader);
    assert_true(event_log_is_read(&f->log));
    event_log_leave(&f->log, &other);
    assert_false(event_log_is_read(&f->log));
    event_log_leave(&f->log, &other);
}

static void
test_a_reader_reads_what_comes_after_it(void **state)
{
    struct fixture *f = *state;
    struct steved_event events[STEVED_EVENTS_PER_PAGE];

    add(&f->log, 3);
    assert_int_equal(read_page(f, events), 0); /* from now on */
    add(&f->log, 300);
    assert_int_equal(read_page(f, events), STEVED_EVENTS_PER_PAGE);
    assert_true(f->page.has_more);
    assert_int_equal(events[255].count, 255);
    assert_int_equal(events[255].time_ns, BEGIN_NS);
    assert_int_equal(read_page(f, events), 300 - 256);
    assert_false(f->page.has_more);
    assert_int_equal(events[0].count, 256);
    assert_int_equal(read_page(f, events), 0);
}

static void
test_a_cursor_may_be_used_again(void **state)
{
    struct fixture *f = *state;
    struct steved_event events[STEVED_EVENTS_PER_PAGE];

    read_page(f, events);
    const uint64_t cursor = f->page.cursor;
    add(&f->log, 2);
    assert_int_equal(read_page(f, events), 2);
    f->page.cursor = cursor;
    assert_int_equal(read_page(f, events), 2);
    assert_int_equal(events[1].count, 1);
}

static void
test_who_is_too_slow_is_told_how_many_are_lost(void **state)
{
    struct fixture *f = *state;
    struct steved_event events[STEVED_EVENTS_PER_PAGE];

    read_page(f, events);
    add(&f->log, EVENT_LOG_ROOM + 7);
    assert_int_equal(read_page(f, events), STEVED_EVENTS_PER_PAGE);
    assert_int_equal(events[0].kind, STEVED_EVENT_LOST);
    assert_int_equal(events[0].count, 7);
    assert_int_equal(events[1].kind, STEVED_EVENT_GRANTED);
    assert_int_equal(events[1].count, 7);
    /* once */
    assert_int_equal(read_page(f, events), STEVED_EVENTS_PER_PAGE);
    assert_int_equal(events[0].count, 7 + 255);
}

static void
test_the_cursor_of_another_log_is_good(void **state)
{
    struct fixture *f = *state;
    struct steved_event events[STEVED_EVENTS_PER_PAGE];
    const uint64_t cursors[] = {1, BEGIN_NS - 1, BEGIN_NS + 1000, UINT64_MAX};

    add(&f->log, 2);
    for (size_t i = 0; i < sizeof(cursors) / sizeof(cursors[0]); i++) {
        f->page.cursor = cursors[i];
        assert_int_equal(read_page(f, events), 3);
        assert_int_equal(events[0].kind, STEVED_EVENT_LOST);
        assert_int_equal(events[0].count, 0);
        assert_int_equal(read_page(f, events), 0);
    }
}

/* Nobody has read in between, and nobody knows what has happened. */
static void
test_a_log_that_begins_again_has_higher_numbers(void **state)
{
    struct fixture *f = *state;
    struct steved_event events[STEVED_EVENTS_PER_PAGE];

    read_page(f, events);
    add(&f->log, 5);
    event_log_leave(&f->log, &f->reader);
    assert_int_equal(event_log_join(&f->log, &f->reader, BEGIN_NS), 0);
    assert_int_equal(read_page(f, events), 1);
    assert_int_equal(events[0].kind, STEVED_EVENT_LOST);
}

static void
test_events_of_jobs_are_for_their_user(void **state)
{
    struct fixture *f = *state;
    struct steved_event events[STEVED_EVENTS_PER_PAGE];

    read_page(f, events);
    const uint64_t cursor = f->page.cursor;
    event_log_add(&f->log, STEVED_EVENT_JOB_STARTED)->uid = BOB;
    event_log_add(&f->log, STEVED_EVENT_GRANTED)->uid = BOB;
    event_log_add(&f->log, STEVED_EVENT_JOB_ENDED)->uid = ALICE;
    assert_int_equal(read_page(f, events), 2);
    assert_int_equal(events[0].kind, STEVED_EVENT_GRANTED);
    assert_int_equal(events[1].kind, STEVED_EVENT_JOB_ENDED);
    f->page.cursor = cursor;
    f->reader.sees_all = true;
    assert_int_equal(read_page(f, events), 3);
}

static void
test_one_user_does_not_keep_others_from_reading(void **state)
{
    struct fixture *f = *state;
    struct event_reader bobs[EVENT_LOG_READERS_PER_USER + 1];

    for (unsigned i = 0; i <= EVENT_LOG_READERS_PER_USER; i++) {
        bobs[i] = reader_of(BOB, &f->wakes);
        assert_int_equal(event_log_join(&f->log, &bobs[i], BEGIN_NS),
                         i < EVENT_LOG_READERS_PER_USER ? 0 : -ENOSPC);
    }
    struct event_reader alices = reader_of(ALICE, &f->wakes);
    assert_int_equal(event_log_join(&f->log, &alices, BEGIN_NS), 0);
    event_log_leave(&f->log, &alices);
    for (unsigned i = 0; i < EVENT_LOG_READERS_PER_USER; i++)
        event_log_leave(&f->log, &bobs[i]);
}

static void
test_each_client_is_named_once(void **state)
{
    struct fixture *f = *state;

    add(&f->log, 1);
    event_log_add(&f->log, STEVED_EVENT_CAME)->pid = 1;
    add(&f->log, 1);
    event_log_add(&f->log, STEVED_EVENT_CAME)->pid = 2;
    assert_int_equal(event_log_next_unnamed(&f->log)->pid, 1);
    assert_int_equal(event_log_next_unnamed(&f->log)->pid, 2);
    assert_null(event_log_next_unnamed(&f->log));
    /* Gone before it had a name. */
    event_log_add(&f->log, STEVED_EVENT_CAME)->pid = 3;
    add(&f->log, EVENT_LOG_ROOM);
    assert_null(event_log_next_unnamed(&f->log));
    event_log_add(&f->log, STEVED_EVENT_CAME)->pid = 4;
    assert_int_equal(event_log_next_unnamed(&f->log)->pid, 4);
}

/* What nobody has read may be added to. */
static void
test_the_newest_is_of_this_time_and_unread(void **state)
{
    struct fixture *f = *state;
    struct steved_event event;

    assert_null(event_log_newest(&f->log));
    add(&f->log, 1);
    assert_non_null(event_log_newest(&f->log));
    event_log_set_time(&f->log, BEGIN_NS + 1);
    assert_null(event_log_newest(&f->log));
    add(&f->log, 1);
    assert_true(event_log_next(&f->log, &f->reader, &event, BEGIN_NS));
    assert_non_null(event_log_newest(&f->log));
    assert_true(event_log_next(&f->log, &f->reader, &event, BEGIN_NS));
    assert_null(event_log_newest(&f->log));
    assert_false(event_log_next(&f->log, &f->reader, &event, BEGIN_NS));
}

/* --- who is woken, and when --- */

static void
test_the_first_event_wakes_at_once_and_then_many_do(void **state)
{
    struct fixture *f = *state;
    struct steved_event events[STEVED_EVENTS_PER_PAGE];

    read_page(f, events);
    int64_t now_ns = BEGIN_NS + EVENT_LOG_BUNCH_NS;
    add(&f->log, 1);
    assert_true(event_log_has_news(&f->log));
    assert_int_equal(event_log_wake(&f->log, now_ns), EVENT_LOG_NEVER);
    assert_int_equal(f->wakes, 1);
    add(&f->log, 1);
    assert_int_equal(event_log_wake(&f->log, now_ns), EVENT_LOG_NEVER);
    assert_int_equal(f->wakes, 1); /* it has not read yet */
    f->page = (struct steved_events){.cursor = f->page.cursor};
    event_log_read(&f->log, &f->reader, &f->page, now_ns);
    assert_false(event_log_is_due(&f->log, &f->reader, now_ns + EVENT_LOG_BUNCH_NS));
    add(&f->log, 1);
    assert_int_equal(event_log_wake(&f->log, now_ns + MS), now_ns + EVENT_LOG_BUNCH_NS);
    assert_int_equal(f->wakes, 1);
    assert_false(event_log_is_due(&f->log, &f->reader, now_ns + EVENT_LOG_BUNCH_NS - 1));
    assert_int_equal(event_log_wake(&f->log, now_ns + EVENT_LOG_BUNCH_NS), EVENT_LOG_NEVER);
    assert_int_equal(f->wakes, 2);
    assert_false(event_log_has_news(&f->log));
}

static void
test_very_many_events_wait_for_no_time(void **state)
{
    struct fixture *f = *state;
    struct steved_event events[STEVED_EVENTS_PER_PAGE];

    read_page(f, events);
    add(&f->log, EVENT_LOG_BUNCH - 1);
    assert_false(event_log_has_many_news(&f->log));
    assert_false(event_log_is_due(&f->log, &f->reader, BEGIN_NS));
    add(&f->log, 1);
    assert_true(event_log_has_many_news(&f->log));
    assert_int_equal(event_log_wake(&f->log, BEGIN_NS), EVENT_LOG_NEVER);
    assert_int_equal(f->wakes, 1);
}

/* --- how they are passed on --- */

static struct steved_event
any_event(uint64_t *random)
{
    struct steved_event event = {.kind = 1 + below(random, STEVED_EVENT_KINDS - 1)};
    uint64_t *wide[] = {(uint64_t *)&event.time_ns,     (uint64_t *)&event.account,
                        (uint64_t *)&event.job,         (uint64_t *)&event.duration_ns,
                        (uint64_t *)&event.bytes,       (uint64_t *)&event.expected_bytes,
                        (uint64_t *)&event.limit_bytes, (uint64_t *)&event.available_bytes};

    for (size_t i = 0; i < sizeof(wide) / sizeof(wide[0]); i++)
        *wide[i] = one_in(random, 2) ? next_random(random) >> below(random, 64) : 0;
    event.pid = (int32_t)next_random(random);
    event.uid = (uint32_t)next_random(random) >> below(random, 32);
    event.count = (uint32_t)next_random(random);
    event.held = below(random, 3);
    event.used = (uint32_t)next_random(random);
    event.waiting = below(random, 2);
    event.status = (int32_t)next_random(random);
    event.job_class = below(random, 2);
    event.process = (int32_t)next_random(random);
    for (unsigned i = below(random, STEVED_EVENT_NAME_SIZE); i > 0; i--)
        event.name[i - 1] = 'x';
    return event;
}

static void
test_what_is_passed_on_is_what_was_told(void **state)
{
    struct steved_event before = {0}, decoded = {0};
    uint64_t random = 1;
    uint8_t bytes[EVENT_CODE_MAX];

    for (int i = 0; i < 10000; i++) {
        const struct steved_event event = any_event(&random);
        size_t size = event_encode(&event, &before, bytes, sizeof(bytes));
        assert_true(size > 0);
        assert_int_equal(event_encode(&event, &before, bytes, size), size);
        assert_int_equal(event_encode(&event, &before, bytes, size - 1), 0);
        /* Nothing behind it is looked at, and nothing less is enough. */
        uint8_t *copy = malloc(size);
        assert_non_null(copy);
        memcpy(copy, bytes, size);
        struct steved_event other = decoded;
        assert_int_equal(event_decode(&other, copy, size - 1), 0);
        assert_int_equal(event_decode(&decoded, copy, size), size);
        free(copy);
        assert_memory_equal(&decoded, &event, sizeof(event));
        before = event;
    }
}

/* As most are. */
static void
test_events_of_tokens_are_short(void **state)
{
    const struct steved_event first = {.kind = STEVED_EVENT_GRANTED,
                                       .time_ns = BEGIN_NS,
                                       .pid = 4711,
                                       .uid = ALICE,
                                       .account = UINT64_C(2) << 60,
                                       .count = 1,
                                       .held = 1,
                                       .used = 1};
    struct steved_event second = first;
    uint8_t bytes[EVENT_CODE_MAX];

    second.kind = STEVED_EVENT_RETURNED;
    second.time_ns += 20000;
    second.held = second.used = 0;
    assert_in_range(event_encode(&second, &first, bytes, sizeof(bytes)), 1, 8);
}

static void
test_bytes_that_make_no_sense(void **state)
{
    static const uint8_t no_end[] = {1,    0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
                                     0x80, 0x80, 0x80, 0x80, 0x80, 0x80};
    static const uint8_t unknown_member[] = {1, 0x80, 0x80, 0x10};
    static const uint8_t long_name[] = {1, 0x80, 0x80, 0x08, 64};
    struct steved_event event = {0};
    uint64_t random = 7;
    uint8_t noise[64];

    assert_int_equal(event_decode(&event, no_end, 0), 0);
    assert_int_equal(event_decode(&event, no_end, sizeof(no_end)), 0);
    assert_int_equal(event_decode(&event, unknown_member, sizeof(unknown_member)), 0);
    assert_int_equal(event_decode(&event, long_name, sizeof(long_name)), 0);
    for (int i = 0; i < 100000; i++) {
        size_t size = below(&random, sizeof(noise));
        for (size_t byte = 0; byte < size; byte++)
            noise[byte] = (uint8_t)next_random(&random);
        assert_in_range(event_decode(&event, noise, size), 0, size);
        assert_int_equal(event.name[STEVED_EVENT_NAME_SIZE - 1], 0);
    }
}

#define logged(test) cmocka_unit_test_setup_teardown(test, begin, end)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        logged(test_nothing_is_kept_while_nobody_reads),
        logged(test_a_reader_reads_what_comes_after_it),
        logged(test_a_cursor_may_be_used_again),
        logged(test_who_is_too_slow_is_told_how_many_are_lost),
        logged(test_the_cursor_of_another_log_is_good),
        logged(test_a_log_that_begins_again_has_higher_numbers),
        logged(test_events_of_jobs_are_for_their_user),
        logged(test_one_user_does_not_keep_others_from_reading),
        logged(test_each_client_is_named_once),
        logged(test_the_newest_is_of_this_time_and_unread),
        logged(test_the_first_event_wakes_at_once_and_then_many_do),
        logged(test_very_many_events_wait_for_no_time),
        cmocka_unit_test(test_what_is_passed_on_is_what_was_told),
        cmocka_unit_test(test_events_of_tokens_are_short),
        cmocka_unit_test(test_bytes_that_make_no_sense),
    };
    return cmocka_run_group_tests_name("events", tests, NULL, NULL);
}
