/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <paths.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "jobwrap/shims.h"
#include "libjobserver/program/program.h"

int
shims_prepend_path(const char *directory)
{
    const char *old = getenv("PATH");
    size_t length = strlen(directory);
    char *path;

    /* A jobwrap around us has done it. */
    if (old && strncmp(old, directory, length) == 0 && (old[length] == ':' || old[length] == '\0'))
        return 0;
    if (asprintf(&path, "%s:%s", directory, old ? old : _PATH_DEFPATH) < 0)
        return -ENOMEM;
    int result = setenv("PATH", path, 1) < 0 ? -errno : 0;
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
shims_find(void)
{
    char *program = program_directory(), *beside = NULL;

    if (program && asprintf(&beside, "%s/shims", program) < 0)
        beside = NULL;
    free(program);
    if (beside && holds_programs(beside))
        return beside;
    free(beside);
    return holds_programs(SHIMS_DIRECTORY) ? strdup(SHIMS_DIRECTORY) : NULL;
}
