/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Who reads the events of a pool, and knows nothing else of it but what it was at the beginning: what it counts must be
 * what the pool says.
 */

#include <stdlib.h>

#include "libjobserver/events/log.h"
#include "libjobserver/pool/pool.h"

struct event_model {
    struct event_log log;
    struct event_reader reader;
    uint64_t events;
    /* What follows from the events. */
    unsigned held, waiters, capacity;
    int clients;
    uint64_t granted, reclaimed, lapsed;
    /* As the last has said. */
    unsigned used, waiting;
};

static inline void
event_model_wake(void *owner)
{
    (void)owner;
}

static inline int
event_model_count_clients(const struct pool *pool)
{
    struct pool_client client;
    uint64_t cursor = 0;
    int count = 0;

    while (pool_get_clients(pool, &cursor, &client, 1) == 1)
        count++;
    return count;
}

/* Reads from now on; the pool is as it is. */
static inline void
event_model_begin(struct event_model *model, struct pool *pool, int64_t now_ns)
{
    struct pool_status status;

    *model = (struct event_model){.reader = {.wake = event_model_wake}, .events = model->events};
    event_log_init(&model->log);
    if (event_log_join(&model->log, &model->reader, now_ns) < 0)
        abort();
    pool_tell(pool, &model->log, 0);
    pool_get_status(pool, &status);
    model->held = status.held;
    model->waiters = status.waiting + status.reserved;
    model->capacity = status.capacity;
    model->clients = event_model_count_clients(pool);
    model->granted = status.granted;
    model->reclaimed = status.reclaimed;
    model->lapsed = status.lapsed;
    model->used = status.held + status.reserved;
    model->waiting = status.waiting;
}

static inline void
event_model_end(struct event_model *model, struct pool *pool)
{
    pool_tell(pool, NULL, 0);
    event_log_leave(&model->log, &model->reader);
}

/* NULL, or what is wrong. */
static inline const char *
event_model_apply(struct event_model *model, const struct steved_event *event)
{
    model->used = event->used;
    model->waiting = event->waiting;
    switch (event->kind) {
    case STEVED_EVENT_GRANTED:
        model->held += event->count;
        model->granted += event->count;
        model->waiters -= event->status == STEVED_GRANT_WAITED;
        break;
    case STEVED_EVENT_RETURNED:
        model->held -= event->count;
        if (event->status == STEVED_RETURN_UNDELIVERED)
            model->granted -= event->count;
        break;
    case STEVED_EVENT_RECLAIMED:
        model->held -= event->count;
        model->reclaimed += event->count;
        break;
    case STEVED_EVENT_WAITS:
        model->waiters++;
        break;
    case STEVED_EVENT_LAPSED:
        model->waiters--;
        model->lapsed++;
        break;
    case STEVED_EVENT_WAITS_NO_MORE:
        model->waiters--;
        break;
    case STEVED_EVENT_CAME:
        model->clients++;
        return event->pid > 0 ? NULL : "a client without a pid";
    case STEVED_EVENT_LEFT:
        model->clients--;
        return event->pid > 0 ? NULL : "a client without a pid has left";
    case STEVED_EVENT_JOBS:
        model->capacity = event->count;
        break;
    case STEVED_EVENT_RESERVED:
    case STEVED_EVENT_RECALLED:
    case STEVED_EVENT_WEIGHT:
    case STEVED_EVENT_PAUSED:
        break;
    default:
        return "an event that no pool tells";
    }
    return NULL;
}

/* All that has come by now: NULL, or what is not as the pool says. */
static inline const char *
event_model_check(struct event_model *model, const struct pool *pool, int64_t now_ns)
{
    struct pool_status status;
    struct steved_event event;

    while (event_log_next(&model->log, &model->reader, &event, now_ns)) {
        const char *wrong = event_model_apply(model, &event);
        if (wrong)
            return wrong;
        model->events++;
    }
    pool_get_status(pool, &status);
    if (model->held != status.held)
        return "events: held";
    if (model->waiters != status.waiting + status.reserved)
        return "events: who waits, and for whom a token is set aside";
    if (model->used != status.held + status.reserved || model->waiting != status.waiting)
        return "events: what the last one says is used, or how many wait";
    if (model->capacity != status.capacity)
        return "events: jobs";
    if (model->granted != status.granted || model->reclaimed != status.reclaimed ||
        model->lapsed != status.lapsed)
        return "events: what was granted, reclaimed, or has lapsed";
    return NULL;
}
