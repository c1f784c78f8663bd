/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "libjobserver/memory/arbiter.h"
#include "libjobserver/protocol.h"

struct recorder;
struct series;

/* How many jobs ran at once. */
struct report_usage {
    int64_t since_ns;
    unsigned jobs; /* since then, now */
    unsigned highest;
    double job_ns; /* the integral of `jobs` until since_ns */
};

/* What the build used, as far as the tokens that lie in its FIFO tell. */
struct report {
    int64_t start_ns, since_ns; /* since when `starved` is as it is */
    struct report_usage usage;  /* of the build's tokens, implicit slot included */
    bool is_starved;            /* no token lies there for who may want one */
    int64_t starved_ns;
    unsigned most_borrowed;
    uint64_t borrowings; /* tokens taken from the parent, each time counted */
    uint64_t dropped;    /* bytes that were returned but never lent */
    uint64_t lost;       /* tokens that the build lost, known for certain */
    unsigned class_count;
    struct report_class {
        char name[STEVED_CLASS_NAME_SIZE];
        struct report_usage usage;
    } classes[STEVED_CLASSES_MAX]; /* those whose usage is known */
    struct recorder *recorder;     /* is told of `usage`, too; NULL: there is none */
};

/* jobwrap starts: no job runs yet. */
void report_start(struct report *report);
/* A token was borrowed; so many are now. */
void report_borrowed(struct report *report, unsigned borrowed);
/* The build's jobs hold so many tokens from now on. */
void report_note(struct report *report, unsigned lent, bool starved, int64_t now_ns);
/* The same of the jobs of a class, by its place among those that were added. */
void report_note_class(struct report *report, unsigned i, unsigned held, int64_t now_ns);
/* There are at most STEVED_CLASSES_MAX. */
void report_add_class(struct report *report, const char *name);
/* One of which this is known. */
void report_add_recorded_class(struct report *report, const char *name, const struct series *held);
/* Nothing happens any more. */
void report_end(struct report *report);
double report_mean_jobs(const struct report *report, const struct report_usage *usage);
/* To stderr, or as JSON to a file, which is replaced. `memory`: NULL where nobody has told of it. 0 or a negative
 * errno with a message. */
int report_write(struct report *report, const char *file, unsigned jobs, const char *parent,
                 const struct memory_totals *memory);
