/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The events of one server (struct steved_event of protocol.h), in their order, for those who read them. While nobody
 * does, nothing is kept, and nothing has to be told: event_log_is_read(). What is kept is bounded, and a reader that
 * is too slow is told how many it has missed. Pure: no I/O, no clock; the time (nanoseconds of the monotonic clock)
 * comes as an argument.
 *
 * Events have numbers, and a cursor is the number of the event that is read next. The numbers begin with the time at
 * which somebody came to read, so that a cursor of an earlier log is always lower than all of this one.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "libjobserver/protocol.h"

/* So many events are kept. */
#define EVENT_LOG_ROOM 4096u
/* A reader that has read all is not woken for so long, unless there are so many events by then. */
#define EVENT_LOG_BUNCH_NS (STEVED_EVENTS_BUNCH_MS * INT64_C(1000000))
#define EVENT_LOG_BUNCH 1024u
/* Of all users, and of one that is not trusted with more. */
#define EVENT_LOG_READERS_MAX 256u
#define EVENT_LOG_READERS_PER_USER 32u

#define EVENT_LOG_NEVER INT64_MAX

/* Owned by who reads; zeroed memory, but for `wake`, `owner` and `uid`, before it joins. */
struct event_reader {
    void (*wake)(void *owner); /* there is something to read; it may be read at once */
    void *owner;
    uint32_t uid;  /* who reads */
    bool sees_all; /* events of all users' jobs, too */
    /* The rest is the log's. */
    LIST_ENTRY(event_reader) in_log;
    bool is_reading;
    bool is_woken;          /* since it has read last */
    uint64_t next;          /* the event that it reads next */
    bool has_lost;          /* some before that, which it is to be told; */
    uint32_t lost;          /* so many, or 0 */
    int64_t quiet_until_ns; /* it is not woken before */
};

struct event_log {
    struct steved_event *events; /* NULL: nobody reads */
    uint64_t first,
        next; /* numbers: of the first since somebody has read, and of the next to come */
    uint64_t first_unnamed;
    unsigned unnamed; /* of those from there on */
    uint64_t read;    /* what comes from here on nobody has read */
    uint64_t seen;    /* what comes from here on nobody has been woken for */
    int64_t now_ns;
    LIST_HEAD(, event_reader) readers;
    unsigned reader_count;
};

void event_log_init(struct event_log *log);

static inline bool
event_log_is_read(const struct event_log *log)
{
    return log->events != NULL;
}

/* --- telling, while it is read --- */

/* What is added from now on happens at this time. */
static inline void
event_log_set_time(struct event_log *log, int64_t now_ns)
{
    log->now_ns = now_ns;
}

/* A new event, which has its time, and for the rest is zero: valid until the next. */
struct steved_event *event_log_add(struct event_log *log, enum steved_event_kind kind);
/* The newest, if it is of the same time as what would be added now, and nobody has read it. Else NULL. */
struct steved_event *event_log_newest(struct event_log *log);
/* A client that has come, and has not got a name; each once. NULL: none. */
struct steved_event *event_log_next_unnamed(struct event_log *log);

/* --- reading --- */

/* From now on. Nothing happens if it reads already. 0; -ENOMEM; -ENOSPC: too many do. */
int event_log_join(struct event_log *log, struct event_reader *reader, int64_t now_ns);
/* Nothing happens if it does not read. */
void event_log_leave(struct event_log *log, struct event_reader *reader);

/* The next event; false: that is all for now. */
bool event_log_next(struct event_log *log, struct event_reader *reader, struct steved_event *event,
                    int64_t now_ns);
/* From page->cursor on (0: from now on), as STEVED_IOC_EVENTS says it. */
void event_log_read(struct event_log *log, struct event_reader *reader, struct steved_events *page,
                    int64_t now_ns);

/* Has it something to read by now? */
bool event_log_is_due(const struct event_log *log, const struct event_reader *reader,
                      int64_t now_ns);
/* Is there anything that nobody has been woken for; and so much of it that no timer should be waited for? */
static inline bool
event_log_has_news(const struct event_log *log)
{
    return log->next != log->seen;
}

static inline bool
event_log_has_many_news(const struct event_log *log)
{
    return log->next - log->seen >= EVENT_LOG_BUNCH;
}

/* Wakes those that have something to read by now, each once until it reads. The time at which it is to be called
 * again, or EVENT_LOG_NEVER: when there are news. */
int64_t event_log_wake(struct event_log *log, int64_t now_ns);
