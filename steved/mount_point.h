/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <limits.h>
#include <stdbool.h>

/* Whoever takes it too waits, until it is given back or its process has ended: one at a time makes a mount at
 * `dir` or takes a dead one away. Returns what is to be given back; -1: others than us could take it and never
 * give it back (the directory around `dir` is not ours alone), so that there is none. */
int mount_point_lock(const char *dir);
void mount_point_unlock(int lock);

/* Makes `dir` ready to be mounted on, and writes its absolute path: creates its last component if it
 * is missing, clears away what a steved that was killed has left, refuses a directory that another
 * one serves. 0, or a negative errno after having said what is wrong. */
int mount_point_prepare(const char *dir, char path[PATH_MAX]);

/* Does it lie below a directory that nobody but root can enter? `path` is absolute. */
bool mount_point_is_roots(const char *path);

/* Takes the mount at `path` away, even while it is in use: 0 or a negative errno. It runs fusermount3
 * for whoever may not do it. */
int mount_point_clear(const char *path);
/* The same, but not while it is in use: who opens something in it either has done so before, or finds it gone. */
int mount_point_clear_unused(const char *path);
