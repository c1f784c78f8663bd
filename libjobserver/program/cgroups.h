/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Where the control groups of this process are (cgroups(7), version 1 and 2). */

#include <stdbool.h>
#include <stddef.h>

struct cgroup {
    char *directory; /* below the root that was asked for; the array's */
    bool is_version_2;
};

/* Those of a controller ("memory", "cpu"), the innermost first, then those around it, as far as they are
 * mounted here; up to 2 * CGROUPS_MAX. root: "", or the directory where /proc and what is mounted is looked
 * for. *groups is to be freed by cgroups_free(). Returns how many, or -ENOMEM; what cannot be found has no
 * limit. */
#define CGROUPS_MAX 16
int cgroups_find(const char *root, const char *controller, struct cgroup **groups);
void cgroups_free(struct cgroup *groups, int count);

/* The first numbers in a file of a group, two at most: how many there are, "max" being none; 0 or less: no such. */
int cgroup_read_numbers(const struct cgroup *group, const char *name, long long numbers[2]);
