/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The service manager's socket, which takes a state a datagram: sd_notify(3). */

/* To the socket at `path`, or of an abstract name ("@..."), as NOTIFY_SOCKET has it: close-on-exec, and the caller's;
 * or a negative errno after having said why. */
int service_connect(const char *path);
