/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The -j that ninja gets. */
#include "ninja-shim/shims/ninja_jobs.h"

#include <limits.h>

#include "libjobserver/program/numbers.h"

#define TIMES 4u
/* With fewer at the gate, all of them may be heavy. */
#define FOR_MEMORY_MIN 32u
/* A job at the gate costs 50 kB, and a large machine has no need of thousands. */
#define BEYOND_POOL_MAX 64u
/* Of ninja itself: its files, and what it has inherited. */
#define DESCRIPTORS_KEPT 64u
/* A job is a shell, what that runs, and what that runs: a compiler driver has two children. */
#define PROCESSES_PER_JOB 4u

unsigned
ninja_jobs_default(unsigned cpus)
{
    return cpus < 2 ? 2 : cpus == 2 ? 3 : cpus + 2;
}

/* What is possible of what is wanted. */
static unsigned
limited(const struct ninja_jobs *jobs, unsigned wanted)
{
    unsigned descriptors =
        jobs->descriptors > DESCRIPTORS_KEPT ? jobs->descriptors - DESCRIPTORS_KEPT : 0;
    unsigned possible =
        lesser(wanted, lesser(descriptors, jobs->processes_left / PROCESSES_PER_JOB));

    return possible ? possible : 1;
}

static unsigned
wide(const struct ninja_jobs *jobs)
{
    unsigned own = ninja_jobs_default(jobs->cpus);
    unsigned pool = jobs->pool ? jobs->pool : own;
    unsigned wanted = TIMES * (own > pool ? own : pool);

    if (jobs->wait_for_memory && wanted < FOR_MEMORY_MIN)
        wanted = FOR_MEMORY_MIN;
    return lesser(wanted, pool + BEYOND_POOL_MAX);
}

unsigned
ninja_jobs_wide(const struct ninja_jobs *jobs)
{
    return limited(jobs, wide(jobs));
}

unsigned
ninja_jobs_processes_wanted(const struct ninja_jobs *jobs)
{
    return PROCESSES_PER_JOB * wide(jobs);
}

unsigned
ninja_jobs_narrow(const struct ninja_jobs *jobs)
{
    unsigned own = ninja_jobs_default(jobs->cpus);

    return limited(jobs, jobs->pool >= own ? jobs->pool + 1 : own);
}
