/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The jobs of this machine that run on the farm, from one answer of the engine to the next: what has changed. Pure. */

#include <stddef.h>
#include <stdint.h>

#include "libjobserver/events/place.h"

/* More of them are not told of. */
#define FARM_JOBS_MAX 1024u

struct farm_job {
    uint32_t number; /* the engine's */
    char node[EVENT_NODE_SIZE];
    char file[STEVED_EVENT_NAME_SIZE]; /* the end of its path */
};

struct farm_jobs {
    size_t count;
    struct farm_job list[FARM_JOBS_MAX];
};

/* Calls `tell` with a STEVED_EVENT_JOB_PLACED for each job that is new, and for each node that has fewer of them. */
void farm_jobs_compare(const struct farm_jobs *before, const struct farm_jobs *now,
                       void (*tell)(void *context, const struct steved_event *event),
                       void *context);
