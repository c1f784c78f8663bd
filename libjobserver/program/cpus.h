/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef JOBSERVER_PROGRAM_CPUS_H
#define JOBSERVER_PROGRAM_CPUS_H

/* How many processors this process may run on (sched_getaffinity(2)); at least 1. */
unsigned cpus_count(void);

#endif
