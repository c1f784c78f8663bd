/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The shims: programs of ours that a build finds on PATH before the real ones. */

/* The directory that they are in: beside jobwrap in a build tree, or where they were installed; NULL if
 * there are none. To be freed. */
char *shims_find(void);
/* It comes first on PATH. 0 or a negative errno. */
int shims_prepend_path(const char *directory);
