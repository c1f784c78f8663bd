/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Starts the command with its jobserver in its environment. */

#include <stdbool.h>
#include <sys/types.h>

#include "jobwrap/signals.h"

/* All that the command's process needs to know. Borrows all but the shims and the classes. */
struct launch {
    char **command;
    const struct signals *signals;
    bool uses_descriptors; /* R,W instead of fifo:PATH */
    unsigned jobs;
    const char *memory;      /* JOBWRAP_MEMORY; NULL: as it is */
    char *shims;             /* owned; directories, with ':' between them; NULL: leave PATH alone */
    const char *class_rules; /* a file; NULL: as the environment says */
    bool has_own_classes;    /* beside the FIFO */
    char *classes;           /* owned; else those around; NULL: there are none */
    int inherited_fds[2];    /* of the parent's jobserver, not for the command; or -1 */
};

/* Forks and runs the command with the jobserver at fifo_path. 0 once it runs; the errno of exec, which
 * is positive; or a negative one of ours. */
int launch_command(const struct launch *launch, const char *fifo_path, pid_t *pid);
