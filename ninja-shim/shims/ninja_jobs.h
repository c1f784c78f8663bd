/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* How many jobs ninja is told to start where the user does not say it: those without a token wait. */

#include <stdbool.h>

/* What speaks for more, and for fewer. */
struct ninja_jobs {
    unsigned cpus; /* 1 to 65536 */
    unsigned pool; /* as many jobs may run now, at most a million; 0: nobody knows */
    unsigned
        descriptors; /* as many may be open (UINT_MAX: no limit); ninja needs one for each job */
    bool wait_for_memory;    /* then light ones are to be there that can pass the heavy ones */
    unsigned processes_left; /* as many more there may be (UINT_MAX: no limit) */
};

/* ninja's own default. */
unsigned ninja_jobs_default(unsigned cpus);
/* At least 1. Several times what can run now, so that there are jobs when the pool grows. */
unsigned ninja_jobs_wide(const struct ninja_jobs *jobs);
/* So many processes must be left, or ninja_jobs_wide() answers with less. */
unsigned ninja_jobs_processes_wanted(const struct ninja_jobs *jobs);
/* At least 1. One more than can run now: its start costs no time when a job has ended. */
unsigned ninja_jobs_narrow(const struct ninja_jobs *jobs);
