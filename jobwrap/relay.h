/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Carries tokens between the parent and the private FIFO, as relay_policy says: from the parent by the
 * ledger into the FIFO, and back the same way. */

#include <event2/event.h>

#include "jobwrap/collector.h"
#include "jobwrap/private_fifo.h"
#include "jobwrap/relay_policy.h"
#include "jobwrap/report.h"
#include "jobwrap/source.h"

struct relay {
    struct relay_policy policy;
    struct relay_view view;
    struct private_fifo *fifo;
    struct source *source; /* where tokens come from and go to */
    pid_t not_a_job;       /* the keeper */
    struct report *report;
    int inotify_fd; /* -1: no instance was left */
    struct event *fifo_event, *timer;
    bool is_relaying;           /* tokens move; else all lie in the FIFO for good */
    struct collector collector; /* for what is asked for */
    struct event *collected_event;
};

/* Tokens move from now on, as they are wanted here and there; cap: the most besides the implicit slot.
 * Says so if it cannot watch the FIFO. 0 or a negative errno. */
int relay_start(struct relay *relay, struct event_base *base, unsigned floating, unsigned cap);
/* All that there are lie in the FIFO for good; it is looked at for the report, if `watches`. */
int relay_fill(struct relay *relay, struct event_base *base, bool watches);
/* The FIFO's turn has come, or it is asked for tokens; argument: the struct relay, as an event's callback takes it. */
void relay_wake(void *argument);
/* No more tokens move. */
void relay_stop(struct relay *relay);

/* At the end: empties the FIFO, so that nobody starts a job any more by a token that we return, and
 * tells how many tokens the build's jobs have not put back. */
unsigned relay_collect(struct relay *relay);
