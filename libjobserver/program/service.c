/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/program/service.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "libjobserver/program/message.h"

int
service_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);

    if ((path[0] != '/' && path[0] != '@') || length >= sizeof(address.sun_path)) {
        message("NOTIFY_SOCKET '%s' is neither a path nor an abstract name", path);
        return -EINVAL;
    }
    memcpy(address.sun_path, path, length);
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, size) == 0)
        return fd;
    int error = -errno;
    if (fd >= 0)
        close(fd);
    message_errno(error, "notify %s", path);
    return error;
}
