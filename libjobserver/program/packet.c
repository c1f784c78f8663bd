/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/program/packet.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int
packet_send(int socket, const void *body, size_t size, int fd)
{
    struct iovec vector = {.iov_base = (void *)(uintptr_t)body, .iov_len = size};
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct msghdr packet = {.msg_iov = &vector, .msg_iovlen = 1};

    if (fd >= 0) {
        packet.msg_control = control.space;
        packet.msg_controllen = sizeof(control.space);
        struct cmsghdr *header = CMSG_FIRSTHDR(&packet);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &fd, sizeof(int));
    }
    while (sendmsg(socket, &packet, MSG_NOSIGNAL) < 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

/* There is room for one descriptor: the kernel closes what else comes. */
static ssize_t
receive(int socket, void *body, size_t size, int flags, int *fd)
{
    struct iovec vector = {.iov_base = body, .iov_len = size};
    union {
        char space[CMSG_LEN(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct msghdr packet = {.msg_iov = &vector,
                            .msg_iovlen = 1,
                            .msg_control = control.space,
                            .msg_controllen = sizeof(control.space)};
    ssize_t got;

    *fd = -1;
    do
        got = recvmsg(socket, &packet, flags | MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return -errno;
    const struct cmsghdr *header = CMSG_FIRSTHDR(&packet);
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
        memcpy(fd, CMSG_DATA(header), sizeof(int));
    return got;
}

int
packet_receive(int socket, void *body, size_t size, int *fd)
{
    /* The length is that of the packet, though it may be larger. */
    ssize_t got = receive(socket, body, size, MSG_TRUNC, fd);

    if (got <= 0)
        return got == -ECONNRESET ? 0 : (int)got;
    return (size_t)got == size ? 1 : -EBADMSG;
}

ssize_t
packet_receive_text(int socket, char *text, size_t size, int *fd)
{
    ssize_t got = receive(socket, text, size - 1, MSG_DONTWAIT, fd);

    text[got > 0 ? got : 0] = '\0';
    return got;
}
