/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "steved/session.h"

/* Mounts a file system with the one file `jobserver` on `directory` and opens the session of it: 0, or a
 * negative errno after having said what went wrong. */
int fuse_mount_open(struct session *session, const char *directory);
/* The same for one that another server has mounted, and that is open as `fd`. */
int fuse_mount_serve(struct session *session, int fd);
