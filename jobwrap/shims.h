/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The shims: programs of ours that a build finds on PATH before the real ones. */

#include <stdbool.h>

/* The directories that they are in, with ':' between them: beside jobwrap in a build tree, or where they were installed;
 * NULL if there are none. has_farm: the build has tokens of a compile farm, so that those of launchers are wanted, and of
 * compilers, of which each that is on PATH; of a compiler only if it is a link to a launcher there. To be freed. */
char *shims_find(bool has_farm);
/* They come first on PATH. 0 or a negative errno. */
int shims_prepend_path(const char *directories);
