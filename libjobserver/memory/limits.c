/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/memory/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libjobserver/program/cgroups.h"
#include "libjobserver/program/numbers.h"

/* /proc/meminfo has 1.5 KB, the longest memory.stat 3 KB. */
#define TEXT_SIZE 8192
#define NO_LIMIT UINT64_MAX

enum { LIMIT, HIGH, USAGE, STAT, SWAP_LIMIT, SWAP_USAGE, N_FILES };

/* From HIGH on a group of version 2 is slowed down until nothing goes on. In version 1 what is called
 * memsw here limits memory and swap together. */
static const char *const file_names[][N_FILES] = {
    {"memory.limit_in_bytes", NULL, "memory.usage_in_bytes", "memory.stat",
     "memory.memsw.limit_in_bytes", "memory.memsw.usage_in_bytes"},
    {"memory.max", "memory.high", "memory.current", "memory.stat", "memory.swap.max",
     "memory.swap.current"},
};

struct level {
    char *directory;
    bool is_version_2;
    int fds[N_FILES];              /* -1: there is none */
    uint64_t most_free_swap_bytes; /* that was ever seen */
    uint64_t place;
};

struct memory_limits {
    int meminfo_fd;
    uint64_t most_free_swap_bytes;
    struct level *levels;
    int n_levels;
};

struct machine {
    uint64_t total_bytes, available_bytes, free_swap_bytes;
};

/* --- figures --- */

static uint64_t
difference(uint64_t from, uint64_t take)
{
    return from > take ? from - take : 0;
}

/* No sum here is near the end of the numbers, but what a file says may be. */
static uint64_t
sum(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* What swap adds to a memory of that size. */
static uint64_t
swap_share(uint64_t total, uint64_t free_swap, uint64_t *most_free_swap)
{
    if (free_swap > *most_free_swap)
        *most_free_swap = free_swap;
    return difference(lesser64(total / 10, *most_free_swap / 2), *most_free_swap - free_swap);
}

/* --- files --- */

static int
read_text(int fd, char text[TEXT_SIZE])
{
    ssize_t length = pread(fd, text, TEXT_SIZE - 1, 0);

    if (length < 0)
        return -errno;
    text[length] = '\0';
    return 0;
}

/* 'max', as all that is no number, is NO_LIMIT. */
static uint64_t
read_number(int fd)
{
    char text[TEXT_SIZE];
    uint64_t number;

    if (fd < 0 || read_text(fd, text) < 0 || sscanf(text, "%" SCNu64, &number) != 1 ||
        strchr(text, '-'))
        return NO_LIMIT;
    return number;
}

/* Of the line that begins with this key; `missing` if there is none. */
static uint64_t
number_of(const char *text, const char *key, uint64_t missing)
{
    size_t length = strlen(key);
    const char *line = text;
    uint64_t number;

    while (line && strncmp(line, key, length) != 0) {
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    return line && sscanf(line + length, "%" SCNu64, &number) == 1 ? number : missing;
}

static uint64_t
from_kib(uint64_t kib)
{
    return kib > UINT64_MAX / 1024 ? UINT64_MAX : kib * 1024;
}

/* --- the machine --- */

static int
read_machine(int fd, struct machine *machine)
{
    char text[TEXT_SIZE];
    int result = read_text(fd, text);

    if (result < 0)
        return result;
    uint64_t total = number_of(text, "MemTotal:", NO_LIMIT);
    uint64_t available = number_of(text, "MemAvailable:", NO_LIMIT);
    if (total == NO_LIMIT || available == NO_LIMIT)
        return -EIO;
    *machine = (struct machine){
        .total_bytes = from_kib(total),
        .available_bytes = from_kib(available),
        .free_swap_bytes = from_kib(number_of(text, "SwapFree:", 0)),
    };
    return 0;
}

/* --- a group --- */

static uint64_t
read_cache(const struct level *level)
{
    char text[TEXT_SIZE];

    if (level->fds[STAT] < 0 || read_text(level->fds[STAT], text) < 0)
        return 0;
    if (level->is_version_2)
        return sum(number_of(text, "inactive_file ", 0), number_of(text, "active_file ", 0));
    return sum(number_of(text, "total_inactive_file ", 0),
               number_of(text, "total_active_file ", 0));
}

static uint64_t
swap_left(const struct level *level, const struct machine *machine)
{
    uint64_t limit = read_number(level->fds[SWAP_LIMIT]);
    uint64_t usage = limit == NO_LIMIT ? 0 : read_number(level->fds[SWAP_USAGE]);

    return lesser64(machine->free_swap_bytes, limit == NO_LIMIT ? limit : difference(limit, usage));
}

/* What is left below one limit on both; NO_LIMIT where there is none. */
static uint64_t
memory_and_swap_left(const struct level *level, uint64_t cache)
{
    uint64_t limit = read_number(level->fds[SWAP_LIMIT]);
    uint64_t usage = limit == NO_LIMIT ? NO_LIMIT : read_number(level->fds[SWAP_USAGE]);

    return usage == NO_LIMIT ? NO_LIMIT : sum(difference(limit, usage), cache);
}

/* false: nothing limits it more than the machine. */
static bool
read_level(struct level *level, const struct machine *machine, struct memory_left *left)
{
    uint64_t limit = lesser64(read_number(level->fds[LIMIT]), read_number(level->fds[HIGH]));
    uint64_t usage = limit < machine->total_bytes ? read_number(level->fds[USAGE]) : NO_LIMIT;

    if (usage == NO_LIMIT)
        return false;
    uint64_t cache = lesser64(read_cache(level), usage), free_swap = machine->free_swap_bytes;
    if (level->is_version_2 && free_swap > 0)
        free_swap = swap_left(level, machine);
    uint64_t available = sum(sum(difference(limit, usage), cache),
                             swap_share(limit, free_swap, &level->most_free_swap_bytes));
    if (!level->is_version_2)
        available = lesser64(available, memory_and_swap_left(level, cache));
    *left = (struct memory_left){.available_bytes = available,
                                 .total_bytes = limit,
                                 .group = level->directory,
                                 .place = level->place};
    return true;
}

int
memory_limits_read(struct memory_limits *limits, struct memory_left *left)
{
    struct machine machine;
    struct memory_left of_level;
    int result = read_machine(limits->meminfo_fd, &machine);

    if (result < 0)
        return result;
    *left = (struct memory_left){
        .available_bytes =
            sum(machine.available_bytes, swap_share(machine.total_bytes, machine.free_swap_bytes,
                                                    &limits->most_free_swap_bytes)),
        .total_bytes = machine.total_bytes,
    };
    left->machine_available_bytes = left->available_bytes;
    for (int i = 0; i < limits->n_levels; i++) {
        if (!read_level(&limits->levels[i], &machine, &of_level))
            continue;
        left->total_bytes = lesser64(left->total_bytes, of_level.total_bytes);
        if (of_level.available_bytes < left->available_bytes) {
            left->available_bytes = of_level.available_bytes;
            left->group = of_level.group;
            left->place = of_level.place;
        }
    }
    return 0;
}

/* --- opening --- */

static int
open_file(const char *directory, const char *name)
{
    char *path;

    if (asprintf(&path, "%s/%s", directory, name) < 0)
        return -ENOMEM;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int result = fd < 0 ? -errno : fd;
    free(path);
    return result;
}

static void
close_level(struct level *level)
{
    for (int i = 0; i < N_FILES; i++)
        if (level->fds[i] >= 0)
            close(level->fds[i]);
    free(level->directory);
}

/* A group's files have their numbers in all namespaces and mounts of it. */
static uint64_t
number_of_file(int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 && status.st_ino != 0 ? status.st_ino : UINT64_MAX;
}

/* The outermost group has no limit, and no file for it. */
static void
open_level(struct memory_limits *limits, struct cgroup *group)
{
    struct level *level = &limits->levels[limits->n_levels];

    *level = (struct level){.directory = group->directory,
                            .is_version_2 = group->is_version_2,
                            .fds = {-1, -1, -1, -1, -1, -1}};
    for (int i = 0; i < N_FILES; i++) {
        const char *name = file_names[group->is_version_2][i];
        int fd = name ? open_file(group->directory, name) : -1;
        level->fds[i] = fd < 0 ? -1 : fd;
        if (i == LIMIT && fd < 0)
            return;
    }
    level->place = number_of_file(level->fds[LIMIT]);
    group->directory = NULL;
    limits->n_levels++;
}

static int
open_levels(struct memory_limits *limits, const char *root)
{
    struct cgroup *groups;
    int n_groups = cgroups_find(root, "memory", &groups);

    if (n_groups < 0)
        return n_groups;
    limits->levels = calloc((size_t)n_groups + 1, sizeof(*limits->levels));
    for (int i = 0; limits->levels && i < n_groups; i++)
        open_level(limits, &groups[i]);
    cgroups_free(groups, n_groups);
    return limits->levels ? 0 : -ENOMEM;
}

int
memory_limits_open(const char *root, struct memory_limits **limits)
{
    struct memory_limits *opened = calloc(1, sizeof(*opened));
    struct machine machine;

    if (!opened)
        return -ENOMEM;
    opened->meminfo_fd = open_file(root, "/proc/meminfo");
    int result = opened->meminfo_fd;
    if (result >= 0)
        result = read_machine(opened->meminfo_fd, &machine);
    if (result == 0)
        result = open_levels(opened, root);
    if (result < 0) {
        memory_limits_close(opened);
        return result;
    }
    *limits = opened;
    return 0;
}

void
memory_limits_close(struct memory_limits *limits)
{
    for (int i = 0; i < limits->n_levels; i++)
        close_level(&limits->levels[i]);
    if (limits->meminfo_fd >= 0)
        close(limits->meminfo_fd);
    free(limits->levels);
    free(limits);
}
