/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "jobwrap/result_file.h"
#include "libjobserver/program/message.h"

/* A device, a FIFO or a symbolic link (/dev/stdout) is written to: to rename a file over it would
 * destroy it. */
static bool
is_replaceable(const char *file)
{
    struct stat status;

    return lstat(file, &status) < 0 ? errno == ENOENT : S_ISREG(status.st_mode);
}

/* Is it what stdout or stderr is? Then that, or -1: to open it anew would be to write over what the
 * build has said there. */
static int
find_standard(int fd)
{
    struct stat status, standard;

    if (fstat(fd, &status) < 0)
        return -1;
    for (int number = STDOUT_FILENO; number <= STDERR_FILENO; number++)
        if (fstat(number, &standard) == 0 && standard.st_dev == status.st_dev &&
            standard.st_ino == status.st_ino)
            return number;
    return -1;
}

static int
write_through(const char *file, const char *text)
{
    int fd = open(file, O_WRONLY | O_NOCTTY | O_CLOEXEC);
    int standard = fd < 0 ? -1 : find_standard(fd);
    int result = fd < 0 ? -errno : 0;

    if (result == 0 && standard < 0 && ftruncate(fd, 0) < 0 && errno != EINVAL)
        result = -errno; /* EINVAL: it is no regular file */
    if (result == 0 && dprintf(standard < 0 ? fd : standard, "%s\n", text) < 0)
        result = -errno;
    if (fd >= 0 && close(fd) < 0 && result == 0)
        result = -errno;
    return result;
}

/* Beside the file, so that a reader sees the old one or the new one, never half of it. */
static int
replace(const char *file, const char *text)
{
    char *temporary;

    if (asprintf(&temporary, "%s.XXXXXX", file) < 0)
        return -ENOMEM;
    int fd = mkostemp(temporary, O_CLOEXEC);
    int result = fd < 0 ? -errno : 0;
    if (result == 0) {
        mode_t mask = umask(0);
        umask(mask);
        fchmod(fd, 0666 & ~mask);
        if (dprintf(fd, "%s\n", text) < 0 || fsync(fd) < 0 || rename(temporary, file) < 0) {
            result = -errno;
            unlink(temporary);
        }
        close(fd);
    }
    free(temporary);
    return result;
}

int
result_file_check(const char *file)
{
    char *copy = strdup(file);

    if (!copy)
        return -ENOMEM;
    const bool may =
        is_replaceable(file) ? access(dirname(copy), W_OK | X_OK) == 0 : access(file, W_OK) == 0;
    const int result = may ? 0 : -errno;
    free(copy);
    if (result < 0)
        message("write %s: %s", file, strerror(-result));
    return result;
}

int
result_file_write(const char *file, const char *text)
{
    int result = is_replaceable(file) ? replace(file, text) : write_through(file, text);

    if (result < 0)
        message("write %s: %s", file, strerror(-result));
    return result;
}
