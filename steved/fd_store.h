/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Descriptors that a server leaves to the next one, each with a name. They are passed on as
 * sd_listen_fds(3) describes. */

#include <stdbool.h>
#include <stddef.h>

#include "steved/state.h"

/* A device for each file, and the state. */
#define FD_STORE_MAX (STATE_FILES_MAX + 1)
/* Of a name with its NUL. */
#define FD_NAME_SIZE 32
/* In the started process they have the numbers from this one on. */
#define FD_PASSED_FIRST 3
/* None of them comes as high. */
#define FD_PASSED_END (FD_PASSED_FIRST + FD_STORE_MAX + 1)

/* What a server needs to go on where the last one has ended: /dev/fuse or /dev/cuse, that of each class by its
 * number besides, and what it has recorded. */
#define FD_NAME_DEVICE "device"
#define FD_NAME_STATE "state"

struct fd_store {
    struct kept_fd {
        int fd;
        char name[FD_NAME_SIZE]; /* as sd_notify(3) allows it in FDNAME */
    } kept[FD_STORE_MAX];
    size_t count;
};

/* "device" for the first file's, else "device-N". */
void fd_store_name_device(char name[FD_NAME_SIZE], unsigned file);
/* A name as sd_notify(3) allows it, and short enough? */
bool fd_store_is_name(const char *name);
/* Owns the descriptor from now on. One of the same name is closed; false: there are too many, and this one
 * is closed. */
bool fd_store_put(struct fd_store *store, const char *name, int fd);
/* If there is such a one. */
void fd_store_drop(struct fd_store *store, const char *name);
bool fd_store_has(const struct fd_store *store, const char *name);
void fd_store_close(struct fd_store *store);

/* For a child that is about to execute a program: lays the descriptors out, and tells the program by its
 * environment. *other is one more, which gets the number behind them. 0 or a negative errno. */
int fd_store_pass(const struct fd_store *store, int *other);
