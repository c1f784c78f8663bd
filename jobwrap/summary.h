/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Of all jobs of a build the few that took longest, needed most memory, and waited longest. Pure. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "jobwrap/timeline.h"

#define SUMMARY_JOBS 20u

struct summary_job {
    char name[STEVED_EVENT_NAME_SIZE];
    unsigned gate; /* its number */
    int64_t began_ns, ran_ns;
    int64_t waited_ns[TIMELINE_REASONS];
    uint64_t bytes, expected_bytes;
    unsigned runs;
    unsigned job_class; /* as of struct timeline_job */
    int status;
    char node[EVENT_NODE_SIZE]; /* likewise */
};

enum summary_list { SUMMARY_LONGEST, SUMMARY_HEAVIEST, SUMMARY_WAITED, SUMMARY_LISTS };

struct summary {
    bool has_nodes; /* some job has one */
    struct {
        size_t count;
        struct summary_job
            jobs[SUMMARY_JOBS]; /* that with most comes first; of equals who ended first */
    } lists[SUMMARY_LISTS];
};

/* A job is over (TIMELINE_ENDS). */
void summary_add(struct summary *summary, const struct timeline_job *job);
