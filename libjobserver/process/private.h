/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* How the files of this folder read /proc. */

#include <stddef.h>
#include <sys/types.h>

/* "/proc/PID/NAME", where the name may hold another number. */
#define PROCESS_PATH_SIZE sizeof("/proc/2147483647/task/2147483647/children")

/* Opens /proc/PID/NAME, close-on-exec: -ESRCH if there is no such process. */
int process_open_file(pid_t pid, const char *name, int flags);

/* One read(2), which gives a consistent picture of the files read here. Returns the length or a
 * negative errno; the text ends in a NUL and may be cut. */
ssize_t process_read_file(pid_t pid, const char *name, char *text, size_t size);

/* One look at the children (at most PROCESS_CHILDREN_MAX), which may pass one by that is reaped meanwhile, or
 * its neighbour. */
size_t process_children_once(pid_t pid, pid_t *children);

/* /proc/PID/stat as far as the start time: a pid of 10 digits, a name of at most 63 bytes, of which
 * the kernel may write each as a 4 byte escape, and 20 numbers of at most 20 digits: below 700. */
#define PROCESS_STAT_SIZE 1024
