/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Limits on descriptors and processes, as getrlimit(2), /proc and the control groups tell them. */
#include "libjobserver/program/limits.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "libjobserver/process.h"
#include "libjobserver/program/cgroups.h"
#include "libjobserver/program/numbers.h"

static unsigned
difference(unsigned limit, unsigned used)
{
    return limit == LIMITS_NONE ? limit : limit > used ? limit - used : 0;
}

static unsigned
soft_limit(int resource)
{
    struct rlimit limit;

    if (getrlimit(resource, &limit) < 0 || limit.rlim_cur >= LIMITS_NONE)
        return LIMITS_NONE;
    return (unsigned)limit.rlim_cur;
}

unsigned
limits_descriptors(void)
{
    return soft_limit(RLIMIT_NOFILE);
}

/* --- control groups --- */

/* 'max', as everything that is no number, is LIMITS_NONE. */
static unsigned
read_number(const struct cgroup *group, const char *name)
{
    long long numbers[2];

    if (cgroup_read_numbers(group, name, numbers) < 1 || numbers[0] < 0 || numbers[0] > LIMITS_NONE)
        return LIMITS_NONE;
    return (unsigned)numbers[0];
}

unsigned
limits_group_processes_left(const char *root)
{
    struct cgroup *groups = NULL;
    int count = cgroups_find(root, "pids", &groups);
    unsigned left = LIMITS_NONE;

    for (int i = 0; i < count; i++) {
        unsigned max = read_number(&groups[i], "pids.max");
        unsigned current = read_number(&groups[i], "pids.current");
        if (current != LIMITS_NONE)
            left = lesser(left, difference(max, current));
    }
    if (count >= 0)
        cgroups_free(groups, count);
    return left;
}

/* --- RLIMIT_NPROC --- */

/* Root is, unless it is another user's in a namespace of its own. */
static bool
is_exempt(void)
{
    unsigned inside = 1, outside = 1;
    FILE *file = getuid() == 0 ? fopen("/proc/self/uid_map", "re") : NULL;
    bool is_real = file && fscanf(file, "%u %u", &inside, &outside) == 2 && outside == inside;

    if (file)
        fclose(file);
    return is_real;
}

/* Threads of the whole machine, in a fifth of the time that it takes to look at our own. */
static unsigned
count_all(void)
{
    unsigned count = 0;
    FILE *file = fopen("/proc/loadavg", "re");

    if (!file || fscanf(file, "%*s %*s %*s %*u/%u", &count) != 1)
        count = LIMITS_NONE;
    if (file)
        fclose(file);
    return count;
}

/* All of this user's but the first process of the namespace, which is seldom his. */
static unsigned
count_own(void)
{
    struct process_info *processes;
    ssize_t n = process_all(&processes);
    unsigned count = 0;
    uid_t uid;

    /* Not by their parents: what has entered a container has none in it. */
    for (ssize_t i = 0; i < n; i++)
        if (processes[i].pid != 1 && process_owner(processes[i].pid, &uid) == 0 && uid == getuid())
            count += processes[i].threads;
    if (n >= 0)
        free(processes);
    return count;
}

static unsigned
user_processes_left(unsigned enough)
{
    unsigned limit = soft_limit(RLIMIT_NPROC);

    if (limit == LIMITS_NONE || is_exempt())
        return LIMITS_NONE;
    unsigned left = difference(limit, count_all());
    return left >= enough ? left : difference(limit, count_own());
}

unsigned
limits_processes_left(unsigned enough)
{
    return lesser(user_processes_left(enough), limits_group_processes_left(""));
}
