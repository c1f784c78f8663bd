/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/notices.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libjobserver/program/packet.h"

int
notices_open(int ends[2])
{
    return socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends) < 0 ? -errno : 0;
}

static const char *
next_line(const char *line)
{
    const char *end = strchr(line, '\n');

    return end ? end + 1 : NULL;
}

static bool
is_line(const char *line, const char *wanted)
{
    size_t length = strcspn(line, "\n");

    return length == strlen(wanted) && strncmp(line, wanted, length) == 0;
}

void
notice_parse(struct notice *notice, int fd)
{
    static const char name_is[] = "FDNAME=";
    bool stores = false;

    notice->is_ready = notice->is_alive = notice->is_unused = false;
    notice->removes = false;
    notice->name[0] = '\0';
    for (const char *line = notice->text; line; line = next_line(line)) {
        if (is_line(line, "READY=1"))
            notice->is_ready = true;
        else if (is_line(line, "WATCHDOG=1"))
            notice->is_alive = true;
        else if (is_line(line, "X_UNUSED=1"))
            notice->is_unused = true;
        else if (is_line(line, "FDSTORE=1"))
            stores = true;
        else if (is_line(line, "FDSTOREREMOVE=1"))
            notice->removes = true;
        else if (strncmp(line, name_is, strlen(name_is)) == 0)
            snprintf(notice->name, sizeof(notice->name), "%.*s",
                     (int)strcspn(line + strlen(name_is), "\n"), line + strlen(name_is));
    }
    const bool has_name = fd_store_is_name(notice->name);
    notice->removes = notice->removes && has_name;
    notice->fd = fd;
    if (fd >= 0 && !(stores && has_name)) {
        close(fd);
        notice->fd = -1;
    }
}

bool
notices_receive(int fd, struct notice *notice)
{
    int passed;

    if (packet_receive_text(fd, notice->text, sizeof(notice->text), &passed) < 0)
        return false;
    notice_parse(notice, passed);
    return true;
}
