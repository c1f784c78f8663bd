/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <sys/types.h>

/* A small process that unmounts when the server is no more: the server itself has given up the right
 * to, and a SIGKILL asks nobody. */
struct unmounter {
    int pipe_fd; /* its end tells the unmounter; -1: there is none */
    pid_t pid;
};

/* To be called once `path` is mounted, before anything in it is asked for: 0, or a negative errno
 * after having said it, and nothing is mounted any more. */
int unmounter_start(struct unmounter *unmounter, const char *path);
/* It unmounts now, unless somebody uses the mount: what tells that it has is that the session ends. */
void unmounter_try(const struct unmounter *unmounter);
/* Returns when the mount is gone. */
void unmounter_finish(struct unmounter *unmounter);
