/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Carries tokens between the parent and the private FIFO, as relay_policy says: from the parent by the
 * ledger into the FIFO, and back the same way. */

#include <event2/event.h>

#include "jobwrap/collector.h"
#include "jobwrap/parent.h"
#include "jobwrap/private_fifo.h"
#include "jobwrap/relay_policy.h"
#include "jobwrap/report.h"
#include "libjobserver/ledger.h"

struct relay {
    struct relay_policy policy;
    struct relay_view view;
    struct private_fifo *fifo;
    const struct parent *parent;
    struct ledger *ledger; /* NULL: no parent, it only looks, for the report */
    unsigned fixed;        /* without a parent: tokens that were put in */
    unsigned implicit;     /* tokens in the ledger that are not for the FIFO: 0 or 1 */
    pid_t not_a_job;       /* the keeper */
    struct report *report;
    int inotify_fd; /* -1: no instance was left */
    struct event *fifo_event, *parent_event, *timer;

    int recall_fd; /* an epoll that is readable when the parent asks for tokens; -1: it never does */
    struct event *recall_event;
    struct collector collector; /* for what it asks for; only if recall_fd is open */
    struct event *collected_event;
};

/* Under a parent; cap: the most tokens besides the implicit slot. Says so if it cannot watch the FIFO
 * and lends a fixed number. 0 or a negative errno. */
int relay_start(struct relay *relay, struct event_base *base, unsigned cap);
/* Without a parent: looks at the FIFO for the report. */
int relay_start_watching(struct relay *relay, struct event_base *base);
/* No more tokens move. */
void relay_stop(struct relay *relay);

/* At the end: empties the FIFO, so that nobody starts a job any more by a token that we return, and
 * tells how many tokens the build's jobs have not put back. */
unsigned relay_collect(struct relay *relay);
