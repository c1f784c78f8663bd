/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/notify.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libjobserver/program/message.h"
#include "libjobserver/program/packet.h"
#include "libjobserver/program/service.h"
#include "libjobserver/program/usage.h"
#include "steved/options.h"

/* An hour. */
#define WATCHDOG_MAX_US UINT64_C(3600000000)

static int
take_over(const char *path)
{
    unsigned fd;

    if (usage_parse_number(path + strlen(NOTIFY_BY_FD), 0, INT_MAX, &fd) &&
        fcntl((int)fd, F_SETFD, FD_CLOEXEC) == 0)
        return (int)fd;
    message("NOTIFY_SOCKET '%s' is not an open descriptor", path);
    return -EBADF;
}

int
notify_open(struct notify *notify)
{
    const char *path = getenv("NOTIFY_SOCKET");

    if (!path || !path[0])
        return 0;
    int fd = strncmp(path, NOTIFY_BY_FD, strlen(NOTIFY_BY_FD)) == 0 ? take_over(path)
                                                                    : service_connect(path);
    if (fd < 0)
        return fd;
    notify->fd = fd;
    return 0;
}

/* A service manager that does not listen is no reason to stop. */
void
notify_send(const struct notify *notify, const char *state)
{
    if (notify->fd < 0)
        return;
    if (write(notify->fd, state, strlen(state)) < 0)
        message_errno(errno, "notify the service manager");
}

bool
notify_has_store(const struct notify *notify)
{
    const char *most = getenv("FDSTORE");

    return notify->fd >= 0 && most && atoi(most) > 0;
}

int
notify_store(const struct notify *notify, const char *name, int fd)
{
    char state[64];

    snprintf(state, sizeof(state), "FDSTORE=1\nFDNAME=%s", name);
    int error = packet_send(notify->fd, state, strlen(state), fd);
    if (error < 0)
        message_errno(error, "store '%s' for the next server", name);
    return error;
}

void
notify_unstore(const struct notify *notify, const char *name)
{
    char state[64];

    snprintf(state, sizeof(state), "FDSTOREREMOVE=1\nFDNAME=%s", name);
    notify_send(notify, state);
}

void
notify_ready(const struct notify *notify, const struct options *options)
{
    char state[4096 + 128];

    if (options->mount_dir)
        snprintf(state, sizeof(state), "READY=1\nSTATUS=serving %u jobs at %s/jobserver",
                 options->jobs, options->mount_dir);
    else
        snprintf(state, sizeof(state), "READY=1\nSTATUS=serving %u jobs at /dev/%s", options->jobs,
                 options->device);
    notify_send(notify, state);
}

void
notify_unused(const struct notify *notify)
{
    notify_send(notify, "X_UNUSED=1");
}

bool
notify_watchdog(uint64_t *us)
{
    const char *interval = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    char *end;

    if (!interval || !isdigit((unsigned char)interval[0]) || (pid && atoi(pid) != (int)getpid()))
        return false;
    errno = 0;
    *us = strtoull(interval, &end, 10);
    /* More often than it has to be is well. */
    if (*us > WATCHDOG_MAX_US)
        *us = WATCHDOG_MAX_US;
    return !*end && !errno;
}

/* A guardian may stand still for long, and its socket be full then. */
bool
notify_alive(const struct notify *notify)
{
    static const char state[] = "WATCHDOG=1";

    if (notify->fd < 0)
        return false;
    return send(notify->fd, state, strlen(state), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 ||
           errno == EAGAIN || errno == EINTR || errno == ENOBUFS;
}

void
notify_stopping(const struct notify *notify)
{
    notify_send(notify, "STOPPING=1");
}

void
notify_close(struct notify *notify)
{
    if (notify->fd >= 0)
        close(notify->fd);
    notify->fd = -1;
}
