/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "libjobserver/client.h"

/*
 * The command's jobserver: a FIFO in a directory of its own. The names of all the directories that
 * it may end up in are chosen first, so that a process forked in between can remove it too, whatever
 * happened to the one that made it. Where no FIFO can be made (read-only, on file systems that have none,
 * where a container refuses mknod(2)) it is a pipe, which has a path in /proc.
 */
#define FIFO_CANDIDATES 4

struct private_fifo {
    char *directories[FIFO_CANDIDATES]; /* the first that can have one is used; NULL ends them */
    int chosen;                         /* index; -1: none yet, or none at all */
    bool is_pipe;
    char *path;       /* of the FIFO or pipe; NULL: there is none yet */
    int fd;           /* read and write, non-blocking, close-on-exec; or -1 */
    int directory_fd; /* with a lock that says that it is in use; or -1 */
};

/* 0 or a negative errno. Makes nothing yet. */
int private_fifo_plan(struct private_fifo *fifo);
/* Makes directory and FIFO, or a pipe and says why, and opens it. `group`: who may use it besides root,
 * if we are root; it need not exist. `tokens`: room for so many. 0, or a negative errno and a message
 * was given. */
int private_fifo_make(struct private_fifo *fifo, const char *group, unsigned tokens);
/* Makes a FIFO of this name in the same directory, for the same users; *status is its own. 0, or a negative errno: -ENOTDIR:
 * a pipe has no such place. */
int private_fifo_make_beside(const struct private_fifo *fifo, const char *name,
                             struct stat *status);
/* Of the control socket beside the FIFO; a pipe can have none. To be freed; NULL: out of memory. */
char *private_fifo_control(const struct private_fifo *fifo);
/* A file beside it becomes one for the same users: 0 or a negative errno. */
int private_fifo_share(const struct private_fifo *fifo, const char *path);
/* For builders that have only MAKEFLAGS from our environment: an empty file beside the FIFO whose name ends in what
 * JOBWRAP_MEMORY says ("auto", "on" or "off"). A pipe has no such place. A message, if it cannot be made. */
void private_fifo_tell_memory(const struct private_fifo *fifo, const char *mode);
/* What another process has made: the FIFO in a directory, or the pipe that it has open there. */
int private_fifo_choose(struct private_fifo *fifo, int candidate);
int private_fifo_choose_pipe(struct private_fifo *fifo, pid_t owner, int fd);
/* Removes whatever was made. May be called in any state, and by several processes. */
void private_fifo_remove(const struct private_fifo *fifo);

/* Removes beside it what jobwraps of this user have left behind that were killed together with their
 * keepers. */
void private_fifo_sweep(const struct private_fifo *fifo);

/* Frees what it holds, and closes. */
void private_fifo_clear(struct private_fifo *fifo);

/* Tokens in it. */
unsigned private_fifo_lying(const struct private_fifo *fifo);
/* Puts one in, takes one out (false: none was there). */
bool private_fifo_put(struct private_fifo *fifo);
bool private_fifo_take(struct private_fifo *fifo);
