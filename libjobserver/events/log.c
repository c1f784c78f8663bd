/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/events/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libjobserver/events/code.h"

void
event_log_init(struct event_log *log)
{
    *log = (struct event_log){0};
    LIST_INIT(&log->readers);
}

static struct steved_event *
event_at(const struct event_log *log, uint64_t number)
{
    return &log->events[number % EVENT_LOG_ROOM];
}

/* The number of the oldest that is kept. */
static uint64_t
oldest(const struct event_log *log)
{
    return log->next - log->first > EVENT_LOG_ROOM ? log->next - EVENT_LOG_ROOM : log->first;
}

/* --- telling --- */

struct steved_event *
event_log_add(struct event_log *log, enum steved_event_kind kind)
{
    struct steved_event *event = event_at(log, log->next);

    *event = (struct steved_event){.kind = kind, .time_ns = (uint64_t)log->now_ns};
    if (kind == STEVED_EVENT_CAME && log->unnamed++ == 0)
        log->first_unnamed = log->next;
    log->next++;
    return event;
}

struct steved_event *
event_log_newest(struct event_log *log)
{
    struct steved_event *event = log->next != log->read ? event_at(log, log->next - 1) : NULL;

    return event && event->time_ns == (uint64_t)log->now_ns ? event : NULL;
}

struct steved_event *
event_log_next_unnamed(struct event_log *log)
{
    if (log->unnamed == 0)
        return NULL;
    if (log->first_unnamed < oldest(log))
        log->first_unnamed = oldest(log);
    while (log->first_unnamed != log->next) {
        struct steved_event *event = event_at(log, log->first_unnamed++);
        if (event->kind != STEVED_EVENT_CAME)
            continue;
        log->unnamed--;
        return event;
    }
    log->unnamed = 0;
    return NULL;
}

/* --- who reads --- */

static bool
has_room(const struct event_log *log, const struct event_reader *reader)
{
    const struct event_reader *other;
    unsigned count = 0;

    if (log->reader_count >= EVENT_LOG_READERS_MAX)
        return false;
    LIST_FOREACH (other, &log->readers, in_log)
        count += other->uid == reader->uid;
    return count < EVENT_LOG_READERS_PER_USER;
}

/* Numbers go on, and are above all that there were. */
static int
begin(struct event_log *log, int64_t now_ns)
{
    log->events = calloc(EVENT_LOG_ROOM, sizeof(*log->events));
    if (!log->events)
        return -ENOMEM;
    log->next++;
    if (log->next < (uint64_t)now_ns)
        log->next = (uint64_t)now_ns;
    log->first = log->read = log->seen = log->next;
    log->unnamed = 0;
    log->now_ns = now_ns;
    return 0;
}

int
event_log_join(struct event_log *log, struct event_reader *reader, int64_t now_ns)
{
    if (reader->is_reading)
        return 0;
    if (!has_room(log, reader))
        return -ENOSPC;
    int error = log->events ? 0 : begin(log, now_ns);
    if (error < 0)
        return error;
    reader->is_reading = true;
    reader->is_woken = reader->has_lost = false;
    reader->next = log->next;
    reader->quiet_until_ns = now_ns;
    LIST_INSERT_HEAD(&log->readers, reader, in_log);
    log->reader_count++;
    return 0;
}

void
event_log_leave(struct event_log *log, struct event_reader *reader)
{
    if (!reader->is_reading)
        return;
    reader->is_reading = false;
    LIST_REMOVE(reader, in_log);
    if (--log->reader_count > 0)
        return;
    free(log->events);
    log->events = NULL;
}

/* --- reading --- */

static bool
may_see(const struct event_reader *reader, const struct steved_event *event)
{
    return event->kind < STEVED_EVENT_JOB_WAITS || event->kind == STEVED_EVENT_JOB_PLACED ||
           reader->sees_all || event->uid == reader->uid;
}

/* What is not there any more is lost. */
static void
seek(const struct event_log *log, struct event_reader *reader, uint64_t number)
{
    const bool is_other_log = number < log->first || number > log->next;

    reader->next = number;
    if (!is_other_log && number >= oldest(log))
        return;
    reader->next = oldest(log);
    const uint64_t lost = is_other_log ? 0 : reader->next - number;
    reader->lost = lost < UINT32_MAX ? (uint32_t)lost : UINT32_MAX;
    reader->has_lost = true;
}

/* The next that it may see, without taking it. */
static bool
peek(const struct event_log *log, struct event_reader *reader, struct steved_event *event)
{
    if (reader->has_lost) {
        *event = (struct steved_event){
            .kind = STEVED_EVENT_LOST, .time_ns = (uint64_t)log->now_ns, .count = reader->lost};
        return true;
    }
    while (reader->next != log->next && !may_see(reader, event_at(log, reader->next)))
        reader->next++;
    if (reader->next == log->next)
        return false;
    *event = *event_at(log, reader->next);
    return true;
}

static void
take(struct event_log *log, struct event_reader *reader)
{
    reader->next += !reader->has_lost;
    reader->has_lost = false;
    if (reader->next > log->read)
        log->read = reader->next;
}

static void
rest(const struct event_log *log, struct event_reader *reader, int64_t now_ns)
{
    reader->is_woken = false;
    if (reader->next == log->next)
        reader->quiet_until_ns = now_ns + EVENT_LOG_BUNCH_NS;
}

bool
event_log_next(struct event_log *log, struct event_reader *reader, struct steved_event *event,
               int64_t now_ns)
{
    seek(log, reader, reader->next);
    bool is_there = peek(log, reader, event);
    if (is_there)
        take(log, reader);
    else
        rest(log, reader, now_ns);
    return is_there;
}

void
event_log_read(struct event_log *log, struct event_reader *reader, struct steved_events *page,
               int64_t now_ns)
{
    struct steved_event event, before = {0};
    size_t size, used = 0;

    seek(log, reader, page->cursor ? page->cursor : log->next);
    for (unsigned count = 0; count < STEVED_EVENTS_PER_PAGE && peek(log, reader, &event); count++) {
        size = event_encode(&event, &before, page->bytes + used, sizeof(page->bytes) - used);
        if (size == 0)
            break;
        take(log, reader);
        used += size;
        before = event;
    }
    memset(page->bytes + used, 0, sizeof(page->bytes) - used);
    rest(log, reader, now_ns);
    page->size = (uint32_t)used;
    page->cursor = reader->next;
    page->has_more = reader->next != log->next;
}

bool
event_log_is_due(const struct event_log *log, const struct event_reader *reader, int64_t now_ns)
{
    if (!reader->is_reading || reader->next == log->next)
        return false;
    return now_ns >= reader->quiet_until_ns || log->next - reader->next >= EVENT_LOG_BUNCH;
}

int64_t
event_log_wake(struct event_log *log, int64_t now_ns)
{
    struct event_reader *reader, *next;
    int64_t again_ns = EVENT_LOG_NEVER;

    log->seen = log->next;
    for (reader = LIST_FIRST(&log->readers); reader; reader = next) {
        next = LIST_NEXT(reader, in_log);
        if (reader->is_woken || reader->next == log->next)
            continue;
        if (event_log_is_due(log, reader, now_ns)) {
            reader->is_woken = true;
            reader->wake(reader->owner);
        } else if (reader->quiet_until_ns < again_ns) {
            again_ns = reader->quiet_until_ns;
        }
    }
    return again_ns;
}
