/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "steved/server.h"
#include "steved/session.h"

/* Asks for /dev/DEVICE and opens the session of it; the node appears when the kernel has been greeted. 0, or a
 * negative errno after having said what went wrong. */
int cuse_device_open(struct session *session, const char *device);
/* The same for one that another server has made, and that is open as `fd`. */
int cuse_device_serve(struct session *session, const char *device, int fd);
/* Gives the node to root and the group. */
int cuse_device_give(const struct server *server);
