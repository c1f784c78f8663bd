/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Tells the service manager how we are: the protocol of sd_notify(3), which takes one datagram. */
struct notify {
    int fd; /* connected while sockets may still be made; -1: nobody wants to know */
};

struct server;

/* NOTIFY_SOCKET names who wants to know: 0, or a negative errno after having said it. */
int notify_open(struct notify *notify);
void notify_ready(const struct notify *notify, const struct server *server);
void notify_stopping(const struct notify *notify);
void notify_close(struct notify *notify);
