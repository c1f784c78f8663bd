/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "libjobserver/program/message.h"
#include "steved/server.h"

int
notify_open(struct notify *notify)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = getenv("NOTIFY_SOCKET");

    if (!path || !path[0])
        return 0;
    size_t length = strlen(path);
    if ((path[0] != '/' && path[0] != '@') || length >= sizeof(address.sun_path)) {
        message("NOTIFY_SOCKET '%s' is neither a path nor an abstract name", path);
        return -EINVAL;
    }
    memcpy(address.sun_path, path, length);
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (notify->fd < 0 || connect(notify->fd, (const struct sockaddr *)&address, size) < 0) {
        message_errno(errno, "notify %s", path);
        return -errno;
    }
    return 0;
}

/* A service manager that does not listen is no reason to stop. */
static void
send_state(const struct notify *notify, const char *state)
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
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)),
                            .cmsg_level = SOL_SOCKET,
                            .cmsg_type = SCM_RIGHTS}};
    char state[64];
    struct iovec text = {.iov_base = state};
    const struct msghdr datagram = {.msg_iov = &text,
                                    .msg_iovlen = 1,
                                    .msg_control = control.bytes,
                                    .msg_controllen = sizeof(control.bytes)};

    text.iov_len = (size_t)snprintf(state, sizeof(state), "FDSTORE=1\nFDNAME=%s", name);
    memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
    if (sendmsg(notify->fd, &datagram, MSG_NOSIGNAL) >= 0)
        return 0;
    int error = errno;
    message_errno(error, "have the service manager keep the %s", name);
    return -error;
}

void
notify_unstore(const struct notify *notify, const char *name)
{
    char state[64];

    snprintf(state, sizeof(state), "FDSTOREREMOVE=1\nFDNAME=%s", name);
    send_state(notify, state);
}

void
notify_ready(const struct notify *notify, const struct server *server)
{
    char state[4096 + 128];

    if (server->options.mount_dir)
        snprintf(state, sizeof(state), "READY=1\nSTATUS=serving %u jobs at %s/jobserver",
                 server->options.jobs, server->options.mount_dir);
    else
        snprintf(state, sizeof(state), "READY=1\nSTATUS=serving %u jobs at /dev/%s",
                 server->options.jobs, server->options.device);
    send_state(notify, state);
}

void
notify_stopping(const struct notify *notify)
{
    send_state(notify, "STOPPING=1");
}

void
notify_close(struct notify *notify)
{
    if (notify->fd >= 0)
        close(notify->fd);
    notify->fd = -1;
}
