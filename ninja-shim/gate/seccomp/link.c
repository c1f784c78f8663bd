/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What both ends of the connection between two sidecars do: names, credentials, messages. */
#include "ninja-shim/gate/seccomp/link.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include "libjobserver/program/packet.h"

socklen_t
seccomp_link_name(struct sockaddr_un *name, const struct process_info *root)
{
    *name = (struct sockaddr_un){.sun_family = AF_UNIX};
    int length = snprintf(name->sun_path + 1, sizeof(name->sun_path) - 1, "jobgate/%d/%" PRIu64,
                          (int)root->pid, root->start_ticks);

    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
}

int
seccomp_link_credentials(int fd, struct ucred *credentials)
{
    socklen_t size = sizeof(*credentials);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, credentials, &size) < 0)
        return -errno;
    return credentials->pid > 0 ? 0 : -ESRCH; /* it is in a pid namespace that is not below ours */
}

bool
seccomp_link_is_trusted(uid_t uid)
{
    return uid == 0 || uid == geteuid();
}

int
seccomp_link_announce(const struct seccomp_peer *peer, pid_t pid, pid_t lazy)
{
    const struct seccomp_message message = {
        .type = SECCOMP_MESSAGE_STOPPED, .pid = pid, .lazy = lazy};

    return packet_send(peer->fd, &message, sizeof(message), -1);
}
