/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Writing to a descriptor that others share and that perhaps nobody reads: its flags stay as they are,
 * and no signal comes of it. */

#include <stdbool.h>
#include <stddef.h>

/* All of it: 0; or a negative errno. With `may_wait` false -EAGAIN if it cannot be written at once; of
 * more than PIPE_BUF bytes a part may have been. */
int output_write(int fd, const char *bytes, size_t size, bool may_wait);

/* The same pipe or terminal by an open file description of our own, which never waits: poll(2) alone
 * cannot tell whether there is room when we write. To be closed; or a negative errno: it is neither, or
 * it is not ours to open. */
int output_open_own(int fd);
