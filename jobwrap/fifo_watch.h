/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What others do at the private FIFO, by inotify: they open and close it, and they move tokens, that is
 * read and write. Equal events that follow each other are one, and none says whose it was. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/inotify.h>

#define FIFO_WATCH_MOVES (IN_ACCESS | IN_MODIFY)
#define FIFO_WATCH_CLOSES (IN_CLOSE_WRITE | IN_CLOSE_NOWRITE)

struct fifo_watch {
    int fd; /* readable when something has happened; -1: not open */
    const char *path;
    bool has_moves;
};

/* With moves, which cost who reads and writes some time each, or without. `path` must outlive it. 0 or a
 * negative errno: -EMFILE: no inotify instance is left. */
int fifo_watch_open(struct fifo_watch *watch, const char *path, bool has_moves);
void fifo_watch_close(struct fifo_watch *watch);
/* From now on with moves, or without. */
void fifo_watch_moves(struct fifo_watch *watch, bool has_moves);
/* What has happened since the last time, as a mask of IN_... */
uint32_t fifo_watch_drain(struct fifo_watch *watch);
