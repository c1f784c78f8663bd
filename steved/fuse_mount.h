/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef STEVED_FUSE_MOUNT_H
#define STEVED_FUSE_MOUNT_H

#include "steved/server.h"

/* Mounts a file system with the one file `jobserver` on options.mount_dir and makes it the session
 * of the server: 0, or a negative errno after having said what went wrong. */
int fuse_mount_open(struct server *server);

#endif
