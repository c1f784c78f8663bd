/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "keeper_link.h"

int
keeper_link_send(int socket, const struct keeper_message *message, int pidfd)
{
    struct keeper_message copy = *message;
    struct iovec body = {.iov_base = &copy, .iov_len = sizeof(copy)};
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct msghdr packet = {.msg_iov = &body, .msg_iovlen = 1};

    if (pidfd >= 0) {
        packet.msg_control = control.space;
        packet.msg_controllen = sizeof(control.space);
        struct cmsghdr *header = CMSG_FIRSTHDR(&packet);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &pidfd, sizeof(int));
    }
    while (sendmsg(socket, &packet, MSG_NOSIGNAL) < 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

int
keeper_link_receive(int socket, struct keeper_message *message, int *pidfd)
{
    struct iovec body = {.iov_base = message, .iov_len = sizeof(*message)};
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct msghdr packet = {.msg_iov = &body,
                            .msg_iovlen = 1,
                            .msg_control = control.space,
                            .msg_controllen = sizeof(control.space)};
    ssize_t got;

    *pidfd = -1;
    do
        got = recvmsg(socket, &packet, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got <= 0)
        return got == 0 || errno == ECONNRESET ? 0 : -errno;
    struct cmsghdr *header = CMSG_FIRSTHDR(&packet);
    if (header && header->cmsg_type == SCM_RIGHTS)
        memcpy(pidfd, CMSG_DATA(header), sizeof(int));
    return got == sizeof(*message) ? 1 : -EBADMSG;
}
