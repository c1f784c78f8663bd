/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/program/cpus.h"

#include <sched.h>
#include <stddef.h>
#include <sys/types.h>

#include "libjobserver/program/cgroups.h"
#include "libjobserver/program/numbers.h"

/* A mask that is too short for the machine's processors is refused; Linux knows at most 8192. */
#define CPUS_MAX 65536

#define FIRST_PROCESS 1

/* --- the ones to run on --- */

/* 0: nobody knows. */
static unsigned
count_mask(pid_t pid)
{
    cpu_set_t *cpus = CPU_ALLOC(CPUS_MAX);
    size_t size = CPU_ALLOC_SIZE(CPUS_MAX);
    int count = 0;

    if (cpus && sched_getaffinity(pid, size, cpus) == 0)
        count = CPU_COUNT_S(size, cpus);
    CPU_FREE(cpus);
    return (unsigned)count;
}

bool
cpus_are_reduced(void)
{
    return count_mask(0) < count_mask(FIRST_PROCESS);
}

/* --- quotas --- */

static unsigned
quota_of(const struct cgroup *group)
{
    long long quota_us[2] = {-1, 0}, period_us[2] = {0, 0};

    if (group->is_version_2) {
        if (cgroup_read_numbers(group, "cpu.max", quota_us) == 2)
            period_us[0] = quota_us[1];
    } else if (cgroup_read_numbers(group, "cpu.cfs_quota_us", quota_us) > 0) {
        cgroup_read_numbers(group, "cpu.cfs_period_us", period_us);
    }
    if (quota_us[0] <= 0 || period_us[0] <= 0)
        return CPUS_NO_QUOTA;
    long long whole = quota_us[0] / period_us[0] + (quota_us[0] % period_us[0] > 0);
    return whole < CPUS_MAX ? (unsigned)whole : CPUS_NO_QUOTA;
}

unsigned
cpus_quota(const char *root)
{
    struct cgroup *groups = NULL;
    int count = cgroups_find(root, "cpu", &groups);
    unsigned least = CPUS_NO_QUOTA;

    for (int i = 0; i < count; i++)
        least = lesser(least, quota_of(&groups[i]));
    if (count >= 0)
        cgroups_free(groups, count);
    return least;
}

unsigned
cpus_count(void)
{
    unsigned count = lesser(count_mask(0), cpus_quota(""));

    return count > 0 ? count : 1;
}
