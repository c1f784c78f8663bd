/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/program/descriptors.h"

#include <dirent.h>
#include <fcntl.h>
#include <paths.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define SPARE 8u
/* As many as a process may have by default (sysctl_nr_open). */
#define DESCRIPTORS_MAX 1048576

/* Opened so that reading or writing fails, as it would if it were still closed. */
void
descriptors_guard_standard(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            open(_PATH_DEVNULL, (fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
}

static void
become_null(int fd)
{
    int null = open(_PATH_DEVNULL, O_RDWR | O_CLOEXEC);

    if (null < 0 || null == fd)
        return;
    dup3(null, fd, O_CLOEXEC);
    close(null);
}

void
descriptors_drop_inherited(void)
{
    struct dirent *entry;
    DIR *open_fds = opendir("/proc/self/fd");

    become_null(STDIN_FILENO);
    become_null(STDOUT_FILENO);
    while (open_fds && (entry = readdir(open_fds))) {
        int fd = atoi(entry->d_name);
        int flags = fd > 2 ? fcntl(fd, F_GETFD) : -1;
        if (flags >= 0 && !(flags & FD_CLOEXEC))
            close(fd);
    }
    if (open_fds)
        closedir(open_fds);
    if (chdir("/") < 0)
        return; /* then a mount stays busy as long as the build */
}

void
descriptors_drop_stderr(void)
{
    become_null(STDERR_FILENO);
}

/* close_range(2) is of Linux 5.9, and what takes its place does without memory and /proc: it is for
 * children that only fork. */
void
descriptors_close_from(int first)
{
    struct rlimit limit = {0};

    if (close_range((unsigned)first, ~0u, 0) == 0)
        return;
    getrlimit(RLIMIT_NOFILE, &limit);
    for (int fd = first; (rlim_t)fd < limit.rlim_max && fd < DESCRIPTORS_MAX; fd++)
        close(fd);
}

void
descriptors_become_null(bool keeps_stderr)
{
    int null = open(_PATH_DEVNULL, O_RDWR);

    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO && null >= 0; fd++)
        if (fd != STDERR_FILENO || !keeps_stderr)
            dup2(null, fd);
    descriptors_close_from(STDERR_FILENO + 1);
}

void
descriptors_raise_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* The lowest free number is taken always: below the newest there is none. */
bool
descriptors_are_scarce(int newest)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_NOFILE, &limit) == 0 && (rlim_t)newest + SPARE >= limit.rlim_cur;
}
