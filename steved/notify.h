/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Tells the service manager, or the guardian, how we are: the protocol of sd_notify(3), which takes one
 * datagram. */

/* The guardian's NOTIFY_SOCKET has a number behind it: of a connected socket that is passed on. */
#define NOTIFY_BY_FD "fd:"

struct notify {
    int fd; /* connected while sockets may still be made; -1: nobody wants to know */
};

struct options;

/* NOTIFY_SOCKET names who wants to know: 0, or a negative errno after having said it. */
int notify_open(struct notify *notify);
/* Whoever wants to know keeps descriptors for the server that comes next (environment: FDSTORE, the number of them;
 * systemd sets it where FileDescriptorStoreMax= allows some). */
bool notify_has_store(const struct notify *notify);
/* Has it keep `fd` under this name: 0, or a negative errno after having said it. The server keeps its own. */
int notify_store(const struct notify *notify, const char *name, int fd);
/* What was kept under this name is not needed any more. */
void notify_unstore(const struct notify *notify, const char *name);
void notify_ready(const struct notify *notify, const struct options *options);
/* For the guardian: nobody has used the server for --idle-timeout. */
void notify_unused(const struct notify *notify);
/* Does whoever wants to know want to hear that we live, at least every *us microseconds (0: it does not), as the
 * environment says for this process: WATCHDOG_USEC, WATCHDOG_PID? false: it says nothing. */
bool notify_watchdog(uint64_t *us);
/* Never waits, and says nothing. false: nobody is there any more. */
bool notify_alive(const struct notify *notify);
void notify_stopping(const struct notify *notify);
void notify_send(const struct notify *notify, const char *state);
void notify_close(struct notify *notify);
