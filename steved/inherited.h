/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>

#include "steved/state.h"

/* What the service manager has kept of the server before (sd_listen_fds(3)): the descriptors by which the kernel
 * knows the files that are served, as fd_store_name_device() names them, and the state of that server, "state". */
struct inherited {
    int device_fds[STATE_FILES_MAX], state_fd; /* the caller's, close-on-exec; -1: there is none */
};

/* To be called before anything is opened. Others than these are closed, and the environment does not name them
 * any more. 0, or a negative errno after having said it. -EINVAL: there is one of them twice, or LISTEN_FDS is no number. */
int inherited_take(struct inherited *inherited);
bool inherited_is_any(const struct inherited *inherited);
/* Closes what is there. */
void inherited_close(struct inherited *inherited);
