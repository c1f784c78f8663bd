/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/inherited.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libjobserver/program/message.h"

#define FIRST_FD 3

static bool
is_for_us(void)
{
    const char *pid = getenv("LISTEN_PID");

    return pid && atoll(pid) == getpid();
}

static int
take(struct inherited *inherited, int fd, const char *name)
{
    int *place = strcmp(name, "device") == 0  ? &inherited->device_fd
                 : strcmp(name, "state") == 0 ? &inherited->state_fd
                                              : NULL;

    if (!place) {
        close(fd);
        return 0;
    }
    if (*place >= 0) {
        message("LISTEN_FDNAMES '%s' names '%s' twice", getenv("LISTEN_FDNAMES"), name);
        return -EINVAL;
    }
    *place = fd;
    return fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? -errno : 0;
}

static int
take_all(struct inherited *inherited, int count, char *names)
{
    int error = 0;

    for (int fd = FIRST_FD; fd < FIRST_FD + count && error == 0; fd++) {
        const char *name = strsep(&names, ":");
        error = take(inherited, fd, name ? name : "");
    }
    return error;
}

int
inherited_take(struct inherited *inherited)
{
    const char *count = getenv("LISTEN_FDS"), *names = getenv("LISTEN_FDNAMES");
    int error = 0;

    *inherited = (struct inherited){-1, -1};
    if (is_for_us() && count && names) {
        char *copy = strdup(names);
        error = copy ? take_all(inherited, atoi(count), copy) : -ENOMEM;
        free(copy);
    }
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return error;
}
