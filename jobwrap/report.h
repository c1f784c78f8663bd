/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "libjobserver/memory/arbiter.h"

struct recorder;

/* What the build used, as far as the tokens that lie in its FIFO tell. */
struct report {
    int64_t start_ns, since_ns; /* since when `jobs` and `starved` are as they are */
    unsigned jobs;              /* now, implicit slot included */
    bool is_starved;            /* no token lies there for who may want one */
    double job_ns;              /* the integral of `jobs` */
    int64_t starved_ns;
    unsigned highest, most_borrowed;
    uint64_t borrowings;       /* tokens taken from the parent, each time counted */
    uint64_t dropped;          /* bytes that were returned but never lent */
    uint64_t lost;             /* tokens that the build lost, known for certain */
    struct recorder *recorder; /* is told of `jobs`, too; NULL: there is none */
};

/* jobwrap starts: no job runs yet. */
void report_start(struct report *report);
/* A token was borrowed; so many are now. */
void report_borrowed(struct report *report, unsigned borrowed);
/* The build's jobs hold so many tokens from now on. */
void report_note(struct report *report, unsigned lent, bool starved, int64_t now_ns);
/* Nothing happens any more. */
void report_end(struct report *report);
double report_mean_jobs(const struct report *report);
/* To stderr, or as JSON to a file, which is replaced. `memory`: NULL where nobody has told of it. 0 or a negative
 * errno with a message. */
int report_write(struct report *report, const char *file, unsigned jobs, const char *parent,
                 const struct memory_totals *memory);
