/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef JOBWRAP_SHIMS_H
#define JOBWRAP_SHIMS_H

#include <stdbool.h>

#include "libjobserver/auth.h"

/* MAKEFLAGS, CARGO_MAKEFLAGS, JOBWRAP_FIFO and JOBWRAP_JOBS name the jobserver `auth`, which is the
 * FIFO at `path` with `jobs` tokens (implicit slot included). 0 or a negative errno. */
int environment_name_jobserver(const struct auth *auth, const char *path, unsigned jobs);
/* `directory` comes first on PATH. */
int environment_prepend_path(const char *directory);
/* Where the shims are: beside the program in a build tree, or where it was installed; NULL if there are
 * none. To be freed. */
char *environment_find_shims(void);

#endif
