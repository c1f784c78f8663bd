/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Carries tokens between the parent and the private FIFO, as relay_policy says: from the parent by the
 * ledger into the FIFO, and back the same way. */

#include <event2/event.h>

#include "jobwrap/collector.h"
#include "jobwrap/fifo_watch.h"
#include "jobwrap/loans.h"
#include "jobwrap/private_fifo.h"
#include "jobwrap/reclaim.h"
#include "jobwrap/relay_policy.h"
#include "jobwrap/report.h"
#include "jobwrap/source.h"

struct relay {
    struct relay_policy policy;
    struct relay_view view;
    struct private_fifo *fifo;
    struct source *source; /* where tokens come from and go to */
    pid_t keeper;
    struct report *report;
    bool has_report;                      /* each move of a token counts for it */
    const struct memory_arbiter *arbiter; /* who waits for memory does not wait for a token */
    struct loans loans;                   /* of jobs that run elsewhere */
    void (*loan_paid)(struct loan *loan); /* the job has its token again */
    struct fifo_watch watch;              /* not open: no instance was left */
    struct event *fifo_event, *timer, *moves_timer;
    struct reclaim reclaim;     /* what is lost */
    bool is_relaying;           /* tokens move; else all lie in the FIFO for good */
    struct collector collector; /* for what is asked for */
    struct event *collected_event;
};

/* Tokens move from now on, as they are wanted here and there; cap: the most besides the implicit slot.
 * Says so if it cannot watch the FIFO. 0 or a negative errno. */
int relay_start(struct relay *relay, struct event_base *base, unsigned floating, unsigned cap);
/* All that there are lie in the FIFO for good; only sees to it that there are neither more tokens nor fewer
 * than were put in, and looks at it for the report. */
int relay_fill(struct relay *relay, struct event_base *base);
/* The command runs. `inherits`: it has got the descriptors of the pipe style. */
void relay_command(struct relay *relay, pid_t command, bool inherits);
/* Somebody has ended whose parent had died before. */
void relay_orphan_ended(struct relay *relay);
/* The FIFO's turn has come, or it is asked for tokens, or one is missing for a loan; argument: the struct relay, as an event's callback takes it. */
void relay_wake(void *argument);
/* Other accounts have taken tokens, or given some back: the report is to know. */
void relay_note(struct relay *relay);
/* Looks, which takes some ms, how many tokens somebody has who is not known as a client: see losses_unexplained(). */
unsigned relay_count_unexplained(struct relay *relay);
/* How many jobs of dead clients run without a token of the build: in slots that others have now. */
unsigned relay_count_uncovered(struct relay *relay);
/* No more tokens move. */
void relay_stop(struct relay *relay);

/* At the end: empties the FIFO, so that nobody starts a job any more by a token that we return, and
 * tells how many tokens the build's jobs have not put back. */
unsigned relay_collect(struct relay *relay);
