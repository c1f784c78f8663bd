/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/program/cpus.h"

#include <sched.h>
#include <stddef.h>

/* A mask that is too short for the machine's processors is refused; Linux knows at most 8192. */
#define CPUS_MAX 65536

unsigned
cpus_count(void)
{
    cpu_set_t *cpus = CPU_ALLOC(CPUS_MAX);
    size_t size = CPU_ALLOC_SIZE(CPUS_MAX);
    int count = 0;

    if (cpus && sched_getaffinity(0, size, cpus) == 0)
        count = CPU_COUNT_S(size, cpus);
    CPU_FREE(cpus);
    return count > 0 ? (unsigned)count : 1;
}
