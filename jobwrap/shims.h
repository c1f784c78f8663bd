/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The shims: programs of ours that a build finds on PATH before the real ones. */

#include <stdbool.h>

/* The directories that they are in, with ':' between them: beside jobwrap in a build tree, or where they were installed;
 * NULL if there are none. has_farm: the build has tokens of a compile farm, so that those of its launchers are wanted,
 * and where compilers on PATH are links to one of these, those of compilers, too. To be freed. */
char *shims_find(bool has_farm);
/* They come first on PATH. 0 or a negative errno. */
int shims_prepend_path(const char *directories);
