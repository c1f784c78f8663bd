/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Who holds jobs back for memory (admission.h) as one of several who do: what it tells the arbiter (arbiter.h),
 * and what it makes of the answers. Pure but for `ask`.
 *
 * It tells of its jobs at each look, and asks before it starts one that the arbiter does not count yet: what that
 * counts is what it was told, and what it has granted on it since. Where there is plenty it grants a reserve with
 * each answer, so that few jobs need be asked for.
 */

#include "libjobserver/memory/admission.h"
#include "libjobserver/protocol.h"

struct memory_counts {
    uint64_t put_off, stopped, waited_ms, peak_bytes; /* as in struct steved_memory */
};

struct memory_share {
    /* Asks the arbiter: 0, or a negative errno: there is none, and nobody is asked any more. NULL: there is none. */
    int (*ask)(void *server, struct steved_memory *memory);
    void *server;
    unsigned
        slots; /* so many jobs can run at once, of all together, while there is memory; 0: nobody knows */
    struct memory_counts counts; /* the first two are the caller's to keep */

    uint64_t counted_bytes; /* by the arbiter, of ours */
    const struct memory_job *granted;
    bool is_told_of; /* it believes that something runs or waits */
    bool is_short;   /* what waits waits for memory */
    bool is_refused; /* a job, since we last looked or one has ended */
    int64_t short_ns;
    uint64_t seen_available_bytes; /* at the last look but those that come too soon after one */
    int64_t seen_ns;
};

/* To be called when what jobs use has been looked at. What is learnt of others is in moment->others from then on. */
void memory_share_look(struct memory_share *share, const struct memory_admission *admission,
                       struct memory_moment *moment);
/* memory_next(), of steps that the arbiter agrees with. */
struct memory_step memory_share_next(struct memory_share *share,
                                     const struct memory_admission *admission,
                                     struct memory_moment *moment);
/* To be called when a job that was killed has gone: what it had is available, and others must not count it twice. */
void memory_share_gone(struct memory_share *share, const struct memory_admission *admission,
                       struct memory_moment *moment);
/* To be called when jobs have ended, or will not start. */
void memory_share_ended(struct memory_share *share, const struct memory_admission *admission,
                        struct memory_moment *moment);
