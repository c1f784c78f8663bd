/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * How much memory a build may still use: the least of what the machine has available and of what is left
 * in the control groups (cgroups(7), version 1 and 2) that this process is in, on every level. Cached files
 * count as available, since they give way: the active ones, too; what lies in a tmpfs does not.
 *
 * Swap counts like a little more memory, of at most a tenth of it and half of the swap that was free: it takes
 * what idle programs have, so that a build does not go slowly for their sake; but a build that works from swap
 * is slower than one that waits. Half, because zram keeps its swap in memory, too. What is swapped out
 * meanwhile is taken off, so that it does not count twice.
 *
 * The files stay open; to read them all again takes some 10 us a level.
 */

#include <stdint.h>

struct memory_limits;

struct memory_left {
    uint64_t available_bytes; /* what could be had now, on the level that has least */
    uint64_t total_bytes;     /* of the machine, or the lowest limit */
    const char *group;        /* the directory of the level that has least; NULL: it is the machine.
                               * Valid as long as the limits are open. */
    uint64_t place; /* a number that this group has for all processes; 0: it is the machine */
    uint64_t machine_available_bytes; /* of the machine, whatever the groups say */
};

/* root: "", or the directory where /proc and what is mounted is looked for. The groups are those that this
 * process is in now, and it has descriptors for each that is limited or may be: up to 6 a level. 0, or a
 * negative errno: there is no /proc/meminfo to read, or no memory. */
int memory_limits_open(const char *root, struct memory_limits **limits);
void memory_limits_close(struct memory_limits *limits);

/* 0, or a negative errno: the machine does not tell any more. A group that has gone has no limit. */
int memory_limits_read(struct memory_limits *limits, struct memory_left *left);
