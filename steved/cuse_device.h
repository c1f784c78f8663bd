/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "steved/server.h"
#include "steved/session.h"

/* The device of a file: /dev/DEVICE of the first, /dev/DEVICE-NAME of a class. Each of these returns 0, or a negative
 * errno after having said what went wrong. */

/* Is there no such node yet? */
int cuse_device_check(const struct file *file);
/* Asks for it, and opens the session of it, whose number is the file's; the node appears when the kernel has been
 * greeted. */
int cuse_device_open(struct session *session);
/* The same for one that another server has made, and that is open as `fd`. */
int cuse_device_serve(struct session *session, int fd);
/* Gives the node to root and the group. */
int cuse_device_give(const struct session *session);
