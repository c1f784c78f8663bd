/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What tests put into FIFOs and pipes, and find in them.
 */
#pragma once

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmocka.h>

static inline void
put(int fd, const char *tokens)
{
    assert_int_equal(write(fd, tokens, strlen(tokens)), strlen(tokens));
}

static inline unsigned
bytes_in(int fd)
{
    int bytes = -1;

    assert_int_equal(ioctl(fd, FIONREAD, &bytes), 0);
    return (unsigned)bytes;
}

/* Of those that a user without privileges may have. */
static inline int
largest_pipe(void)
{
    FILE *file = fopen("/proc/sys/fs/pipe-max-size", "re");
    int size = 0;

    if (!file || fscanf(file, "%d", &size) != 1)
        abort();
    fclose(file);
    return size;
}

/* A FIFO that is full to the brim and cannot be made larger, and is nobody's jobserver any more. */
static inline void
fill(int fd)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int filler = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    char page[4096];
    memset(page, 'f', sizeof(page));
    fcntl(filler, F_SETPIPE_SZ, largest_pipe());
    while (write(filler, page, sizeof(page)) > 0)
        ;
    while (write(filler, page, 1) > 0)
        ;
    close(filler);
}
