/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/program/system_log.h"

#include <errno.h>
#include <limits.h>
#include <paths.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syslog.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PRIORITY (LOG_DAEMON | LOG_NOTICE)

static int
connect_to_log(int fd)
{
    const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = _PATH_LOG};

    return connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
}

/* Some logs listen at a stream. */
int
system_log_open(void)
{
    static const int types[] = {SOCK_DGRAM, SOCK_STREAM};

    tzset(); /* while the file of the time zone can be read */
    for (size_t i = 0;; i++) {
        int fd = socket(AF_UNIX, types[i] | SOCK_CLOEXEC, 0);
        if (fd < 0)
            return -errno;
        if (connect_to_log(fd) != -EPROTOTYPE || i > 0)
            return fd;
        close(fd);
    }
}

/* A stream's lines end in a NUL, which a datagram may have as well. */
static int
send_line(int fd, const char *line, size_t size)
{
    ssize_t sent = send(fd, line, size + 1, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (sent < 0)
        return -errno;
    return (size_t)sent == size + 1 ? 0 : -EAGAIN;
}

int
system_log_send(int fd, const char *text)
{
    char line[PIPE_BUF], at[sizeof("Jan  1 00:00:00")] = "";
    const time_t now = time(NULL);
    struct tm broken;

    if (localtime_r(&now, &broken))
        strftime(at, sizeof(at), "%b %e %T", &broken);
    int length = snprintf(line, sizeof(line), "<%d>%s %s[%d]: %s", PRIORITY, at,
                          program_invocation_short_name, (int)getpid(), text);
    if (length < 0)
        return -EINVAL;
    if ((size_t)length >= sizeof(line))
        length = sizeof(line) - 1;
    int result = send_line(fd, line, (size_t)length);
    if (result == 0 || result == -EAGAIN || connect_to_log(fd) < 0)
        return result;
    return send_line(fd, line, (size_t)length);
}
