/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* That a server may have come, told by the kernel: something has been mounted, as a steved's file system is, or a
 * file has come, or may be opened by others now, in /dev. */

struct server_events {
    int fd; /* readable then, until server_events_drain() */
    int mounts_fd, inotify_fd;
};

/* What cannot be watched tells nothing. 0, or a negative errno: nothing can. */
int server_events_open(struct server_events *events);
void server_events_drain(const struct server_events *events);
void server_events_close(struct server_events *events);
