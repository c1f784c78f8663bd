/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* A server of steved whose session is not there, and those who ask it, in any order and with anything in what they
 * ask. There is one at a time. */

#include <linux/fuse.h>

#include "steved/server.h"
#include "tests/fuzz/input.h"

/* A read as the kernel sends it. */
struct device_read {
    struct fuse_in_header header;
    struct fuse_read_in read;
};

/* After server_init(). */
struct server *device_create(const struct options *options);
/* Another one, for those who have the file open. */
struct server *device_succeed(const struct options *options);
/* So many, at most, and as long as there is input. */
void device_steps(struct input *input, unsigned count);
/* A read that comes, and is not served. */
void device_arrive(struct input *input);
/* One that has come before; one that makes no sense is not served. */
void device_ask_again(const struct device_read *read);
/* The pool is sound. */
void device_check(void);
/* All have been answered. */
void device_end(void);
