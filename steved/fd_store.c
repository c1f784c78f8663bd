/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/fd_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void
fd_store_name_device(char name[FD_NAME_SIZE], unsigned file)
{
    if (file == 0)
        snprintf(name, FD_NAME_SIZE, FD_NAME_DEVICE);
    else
        snprintf(name, FD_NAME_SIZE, FD_NAME_DEVICE "-%u", file);
}

bool
fd_store_is_name(const char *name)
{
    size_t length = strlen(name);

    for (const char *c = name; *c; c++)
        if (*c <= ' ' || *c >= '\x7f' || *c == ':')
            return false;
    return length > 0 && length < FD_NAME_SIZE;
}

static struct kept_fd *
find(struct fd_store *store, const char *name)
{
    for (size_t i = 0; i < store->count; i++)
        if (strcmp(store->kept[i].name, name) == 0)
            return &store->kept[i];
    return NULL;
}

bool
fd_store_put(struct fd_store *store, const char *name, int fd)
{
    struct kept_fd *kept = find(store, name);

    if (kept) {
        close(kept->fd);
    } else if (store->count < FD_STORE_MAX) {
        kept = &store->kept[store->count++];
        snprintf(kept->name, sizeof(kept->name), "%s", name);
    } else {
        close(fd);
        return false;
    }
    kept->fd = fd;
    return true;
}

void
fd_store_drop(struct fd_store *store, const char *name)
{
    struct kept_fd *kept = find(store, name);

    if (!kept)
        return;
    close(kept->fd);
    *kept = store->kept[--store->count];
}

bool
fd_store_has(const struct fd_store *store, const char *name)
{
    for (size_t i = 0; i < store->count; i++)
        if (strcmp(store->kept[i].name, name) == 0)
            return true;
    return false;
}

void
fd_store_close(struct fd_store *store)
{
    for (size_t i = 0; i < store->count; i++)
        close(store->kept[i].fd);
    store->count = 0;
}

static int
set_number(const char *name, long number)
{
    char text[32];

    snprintf(text, sizeof(text), "%ld", number);
    return setenv(name, text, 1) < 0 ? -errno : 0;
}

static int
tell(const struct fd_store *store)
{
    char names[FD_STORE_MAX * FD_NAME_SIZE] = "";
    size_t used = 0;
    int error = set_number("LISTEN_PID", getpid());

    for (size_t i = 0; i < store->count; i++)
        used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s", i ? ":" : "",
                                 store->kept[i].name);
    if (error == 0)
        error = set_number("LISTEN_FDS", (long)store->count);
    if (error == 0 && setenv("LISTEN_FDNAMES", names, 1) < 0)
        error = -errno;
    return error;
}

/* Out of the way of all that is laid out. */
static int
lift(int fd, size_t count)
{
    return fcntl(fd, F_DUPFD_CLOEXEC, FD_PASSED_FIRST + (int)count);
}

int
fd_store_pass(const struct fd_store *store, int *other)
{
    const size_t count = store->count + 1;
    int lifted[FD_STORE_MAX + 1];

    for (size_t i = 0; i < count; i++) {
        lifted[i] = lift(i < store->count ? store->kept[i].fd : *other, count);
        if (lifted[i] < 0)
            return -errno;
    }
    for (size_t i = 0; i < count; i++)
        if (dup2(lifted[i], FD_PASSED_FIRST + (int)i) < 0)
            return -errno;
    *other = FD_PASSED_FIRST + (int)store->count;
    return tell(store);
}
