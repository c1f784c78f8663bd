/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <paths.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "jobwrap/shims.h"

static int
set(const char *name, const char *value)
{
    return setenv(name, value, 1) < 0 ? -errno : 0;
}

/* cargo reads its own variable before MAKEFLAGS. */
static int
set_flags(const char *name, const char *old, const struct auth *auth, unsigned jobs)
{
    char *flags = auth_replace(old, auth, jobs);

    if (!flags)
        return -ENOMEM;
    int result = set(name, flags);
    free(flags);
    return result;
}

int
environment_name_jobserver(const struct auth *auth, const char *path, unsigned jobs)
{
    char number[sizeof("4294967295")];
    int result = set_flags("MAKEFLAGS", getenv("MAKEFLAGS"), auth, jobs);

    if (result == 0)
        result = set_flags("CARGO_MAKEFLAGS", NULL, auth, jobs);
    if (result == 0)
        result = set("JOBWRAP_FIFO", path);
    snprintf(number, sizeof(number), "%u", jobs);
    return result < 0 ? result : set("JOBWRAP_JOBS", number);
}

int
environment_prepend_path(const char *directory)
{
    const char *old = getenv("PATH");
    char *path;

    if (asprintf(&path, "%s:%s", directory, old ? old : _PATH_DEFPATH) < 0)
        return -ENOMEM;
    int result = set("PATH", path);
    free(path);
    return result;
}

static bool
holds_programs(const char *directory)
{
    struct dirent *entry;
    struct stat status;
    bool found = false;
    DIR *opened = opendir(directory);

    if (!opened)
        return false;
    while (!found && (entry = readdir(opened)))
        found = fstatat(dirfd(opened), entry->d_name, &status, 0) == 0 && S_ISREG(status.st_mode) &&
                (status.st_mode & 0111);
    closedir(opened);
    return found;
}

char *
environment_find_shims(void)
{
    char program[PATH_MAX], beside[PATH_MAX + sizeof("/shims")];
    ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
    char *slash;

    if (length > 0) {
        program[length] = '\0';
        if ((slash = strrchr(program, '/')))
            *slash = '\0';
        snprintf(beside, sizeof(beside), "%s/shims", program);
        if (holds_programs(beside))
            return realpath(beside, NULL);
    }
    return holds_programs(SHIMS_DIRECTORY) ? strdup(SHIMS_DIRECTORY) : NULL;
}
