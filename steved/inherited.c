/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/inherited.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libjobserver/program/message.h"
#include "libjobserver/program/usage.h"
#include "steved/fd_store.h"

/* More than a service manager stores for us; a number of descriptors all the same. */
#define PASSED_MAX 1024u

static bool
is_for_us(void)
{
    const char *pid = getenv("LISTEN_PID");

    return pid && atoll(pid) == getpid();
}

/* NULL: for what has no such name. */
static int *
place_of(struct inherited *inherited, const char *name)
{
    char device[FD_NAME_SIZE];

    for (unsigned i = 0; i < STATE_FILES_MAX; i++) {
        fd_store_name_device(device, i);
        if (strcmp(name, device) == 0)
            return &inherited->device_fds[i];
    }
    return strcmp(name, FD_NAME_STATE) == 0 ? &inherited->state_fd : NULL;
}

static int
take(struct inherited *inherited, int fd, const char *name)
{
    int *place = place_of(inherited, name);

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
take_all(struct inherited *inherited, unsigned count, char *names)
{
    int error = 0;

    for (unsigned i = 0; i < count && error == 0; i++) {
        const char *name = strsep(&names, ":");
        error = take(inherited, FD_PASSED_FIRST + (int)i, name ? name : "");
    }
    return error;
}

static int
take_named(struct inherited *inherited, const char *text, const char *names)
{
    unsigned count;

    if (!usage_parse_number(text, 0, PASSED_MAX, &count)) {
        message("LISTEN_FDS '%s' is not a number of descriptors", text);
        return -EINVAL;
    }
    char *copy = strdup(names);
    if (!copy) {
        message("start: out of memory");
        return -ENOMEM;
    }
    int error = take_all(inherited, count, copy);
    free(copy);
    return error;
}

bool
inherited_is_any(const struct inherited *inherited)
{
    for (unsigned i = 0; i < STATE_FILES_MAX; i++)
        if (inherited->device_fds[i] >= 0)
            return true;
    return inherited->state_fd >= 0;
}

static void
close_one(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void
inherited_close(struct inherited *inherited)
{
    close_one(&inherited->state_fd);
    for (unsigned i = 0; i < STATE_FILES_MAX; i++)
        close_one(&inherited->device_fds[i]);
}

int
inherited_take(struct inherited *inherited)
{
    const char *count = getenv("LISTEN_FDS"), *names = getenv("LISTEN_FDNAMES");

    inherited->state_fd = -1;
    for (unsigned i = 0; i < STATE_FILES_MAX; i++)
        inherited->device_fds[i] = -1;
    int error = is_for_us() && count ? take_named(inherited, count, names ? names : "") : 0;
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return error;
}
