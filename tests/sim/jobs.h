/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What jobs of a real build took, and builds that are made of such jobs by chance. */

#include <stdint.h>

enum job_kind {
    JOB_COMPILES,
    JOB_LINKS,
    JOB_ARCHIVES, /* and whatever else cannot be sent to a farm */
};

struct record {
    enum job_kind kind;
    int64_t preprocessing_ns; /* of one that compiles */
    int64_t work_ns;          /* all the rest */
};

struct records {
    struct record *list;
    unsigned count;
};

/* Ends the program with a message if the file is not as tests/sim/jobs.txt says. */
void records_read(struct records *records, const char *path);
void records_free(struct records *records);

/* A build. A job that links or archives waits for those that compile after the last such one, and the last job, which
 * links, for all. */
struct graph {
    struct record *jobs;
    unsigned *groups; /* of each job: how many link or archive before it */
    unsigned count, group_count;
};

void graph_make(struct graph *graph, const struct records *records, unsigned count,
                uint64_t *random);
void graph_free(struct graph *graph);
/* No build of these jobs takes less. */
int64_t graph_critical_ns(const struct graph *graph);
