/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * One place where an engine answers, asked once a second over TCP. What comes back is bounded in size and time, and
 * only answers.h reads it. A place that does not answer has no slots.
 */

#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>

#include "stevefarm/engine.h"
#include "stevefarm/trouble.h"

struct addrinfo;

enum probe_state {
    PROBE_CLOSED,
    PROBE_LOOKING_UP, /* the addresses of its name */
    PROBE_CONNECTING,
    PROBE_ASKING,
    PROBE_IDLE, /* connected, and nothing is asked */
};

struct probe {
    enum engine_kind kind;
    const struct place *place; /* the caller's, as long as the probe */
    struct event_base *base;
    void (*on_change)(void *context); /* the slots are others now */
    /* NULL, or: what was answered, which is whole; "": nothing, in time. */
    void (*on_answer)(void *context, const char *answer);
    void *context;

    unsigned slots; /* 0 to SLOTS_MAX */
    struct trouble trouble;

    enum probe_state state;
    int64_t begun_ns; /* to look up, to connect, or to ask */
    struct addrinfo *addresses, *next;
    int fd; /* -1: PROBE_CLOSED */
    struct event *event;
    char *answer;        /* ends in a NUL */
    size_t length, line; /* where the first line of it begins that is not whole */
};

/* `plan` names kind, place, base, on_change, on_answer and context; the rest of it is zero. */
void probe_init(struct probe *probe, const struct probe *plan);
/* Once a second: asks, or gives up what has not been answered in time; and tells of trouble. */
void probe_tick(struct probe *probe, int64_t now_ns);
void probe_close(struct probe *probe);
