/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ninja-shim/shims/launcher_path.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "libjobserver/program/program.h"

/* Each shim has a directory of its own name. */
static bool
is_of_shim(const char *directory, size_t length, const struct stat *shim)
{
    struct stat status;
    size_t name = length;
    char file[PATH_MAX];

    while (name > 0 && directory[name - 1] != '/')
        name--;
    int written = snprintf(file, sizeof(file), "%.*s/%.*s", (int)length, directory,
                           (int)(length - name), directory + name);
    return written > 0 && (size_t)written < sizeof(file) && stat(file, &status) == 0 &&
           status.st_dev == shim->st_dev && status.st_ino == shim->st_ino;
}

void
launcher_path_leave(void)
{
    char *program = program_path();
    const char *path = getenv("PATH");
    char *kept = path ? malloc(strlen(path) + 2) : NULL, *end = kept;
    struct stat self;

    const bool is_known = program && stat(program, &self) == 0;
    free(program);
    if (!kept || !is_known) {
        free(kept);
        return;
    }
    for (size_t length; path; path = path[length] ? path + length + 1 : NULL) {
        length = strcspn(path, ":");
        if (is_of_shim(path, length, &self))
            continue;
        memcpy(end, path, length);
        end += length;
        *end++ = ':';
    }
    if (end > kept) {
        end[-1] = '\0';
        setenv("PATH", kept, 1);
    }
    free(kept);
}
