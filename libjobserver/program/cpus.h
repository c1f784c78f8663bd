/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <limits.h>
#include <stdbool.h>

/* How many processors this process may use: those that it may run on (sched_getaffinity(2)), or as many as the
 * quotas of its control groups are worth, if that is less; at least 1. */
unsigned cpus_count(void);

/* Has somebody left it fewer to run on than the first process has (taskset(1))? */
bool cpus_are_reduced(void);

/* The part of cpus_count() for control groups, of both versions and on every level: the least quota for its
 * period, rounded up, since half a processor is one that is used half of the time. root: "", or the directory
 * where /proc and what is mounted is looked for. CPUS_NO_QUOTA: there is none. */
#define CPUS_NO_QUOTA UINT_MAX
unsigned cpus_quota(const char *root);
