/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Where the control groups of this process are that can limit its memory. */

#include <stdbool.h>
#include <stddef.h>

struct memory_group {
    char *directory; /* below the root that was asked for; the array's */
    bool is_version_2;
};

/* The innermost first, then those around it, as far as they are mounted here; up to 2 *
 * MEMORY_GROUPS_MAX. *groups is to be freed by memory_groups_free(). Returns how many, or -ENOMEM; what
 * cannot be found has no limit. */
#define MEMORY_GROUPS_MAX 16
int memory_groups_find(const char *root, struct memory_group **groups);
void memory_groups_free(struct memory_group *groups, int count);
