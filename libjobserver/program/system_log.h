/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The system's log, as syslog(3) writes to it, but for two things: what it does not take at once is not
 * waited for, and when it has been started anew it is found by the same socket, so that a process that may
 * open none any more is heard again. */

/* A socket, to be closed, or a negative errno. That nobody listens yet is no error. */
int system_log_open(void);

/* One line, a notice of this process. 0; -EAGAIN: it is full; or another negative errno. */
int system_log_send(int fd, const char *text);
