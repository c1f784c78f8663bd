/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What others do at the private FIFO, by inotify. */
#include "jobwrap/fifo_watch.h"

#include <errno.h>
#include <unistd.h>

/* There is one file, so that a second call changes what is watched of it. */
static int
set_mask(struct fifo_watch *watch)
{
    uint32_t mask = IN_OPEN | FIFO_WATCH_CLOSES | (watch->has_moves ? FIFO_WATCH_MOVES : 0);

    return inotify_add_watch(watch->fd, watch->path, mask) < 0 ? -errno : 0;
}

int
fifo_watch_open(struct fifo_watch *watch, const char *path, bool has_moves)
{
    *watch = (struct fifo_watch){.path = path, .has_moves = has_moves};
    watch->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (watch->fd < 0)
        return -errno;
    int result = set_mask(watch);
    if (result < 0)
        fifo_watch_close(watch);
    return result;
}

void
fifo_watch_close(struct fifo_watch *watch)
{
    if (watch->fd >= 0)
        close(watch->fd);
    watch->fd = -1;
}

void
fifo_watch_moves(struct fifo_watch *watch, bool has_moves)
{
    if (watch->fd < 0 || watch->has_moves == has_moves)
        return;
    watch->has_moves = has_moves;
    set_mask(watch);
}

uint32_t
fifo_watch_drain(struct fifo_watch *watch)
{
    char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    uint32_t happened = 0;
    ssize_t length;

    /* It is a file that is watched, so that no event has a name. */
    while (watch->fd >= 0 && (length = read(watch->fd, buffer, sizeof(buffer))) > 0)
        for (ssize_t at = 0; at < length; at += (ssize_t)sizeof(struct inotify_event))
            happened |= ((const struct inotify_event *)(buffer + at))->mask;
    return happened;
}
