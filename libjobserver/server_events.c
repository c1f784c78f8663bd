/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/server_events.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

/* A device's node comes first, and then its group and mode. */
#define FILE_EVENTS (IN_CREATE | IN_MOVED_TO | IN_ATTRIB)

static int
watch(int epoll_fd, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events};

    return fd >= 0 && epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

/* proc(5): the table of mounts is always readable, and tells of a change by POLLPRI, once. */
int
server_events_open(struct server_events *events)
{
    events->fd = epoll_create1(EPOLL_CLOEXEC);
    if (events->fd < 0)
        return -errno;
    events->mounts_fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    events->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    int mounts = watch(events->fd, events->mounts_fd, EPOLLPRI);
    int files = watch(events->fd, events->inotify_fd, EPOLLIN);
    if (files == 0)
        inotify_add_watch(events->inotify_fd, "/dev", FILE_EVENTS);
    if (mounts == 0 || files == 0)
        return 0;
    server_events_close(events);
    return mounts;
}

void
server_events_drain(const struct server_events *events)
{
    char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    struct epoll_event event;

    while (events->inotify_fd >= 0 && read(events->inotify_fd, buffer, sizeof(buffer)) > 0)
        continue;
    epoll_wait(events->fd, &event, 1, 0);
}

void
server_events_close(struct server_events *events)
{
    const int fds[] = {events->fd, events->mounts_fd, events->inotify_fd};

    for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    *events = (struct server_events){-1, -1, -1};
}
