/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What the processes of one program say to each other, over a SOCK_SEQPACKET pair: a structure, and a
 * descriptor along with it. */

#include <stddef.h>
#include <sys/types.h>

/* fd: -1, or a descriptor to send along. 0 or a negative errno (-EPIPE: the other one is dead). */
int packet_send(int socket, const void *body, size_t size, int fd);
/* 1; 0 at the end (the other one is dead); -EAGAIN; -EBADMSG: it has another size; or a negative errno.
 * *fd: -1 if none came; else close-on-exec, and the caller's. Of several the first is taken. */
int packet_receive(int socket, void *body, size_t size, int *fd);
/* A packet of any size, at once: its length, of what there is room for, and it ends in a NUL; -EAGAIN: there is none; or
 * another negative errno. Of a SOCK_DGRAM pair, too. *fd: as above. */
ssize_t packet_receive_text(int socket, char *text, size_t size, int *fd);
