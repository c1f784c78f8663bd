/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ninja-shim/gate/temporaries.h"

#include <ctype.h>
#include <string.h>
#include <unistd.h>

#include "libjobserver/process.h"

/* mkstemps(3), as libiberty's make_temp_file() calls it. */
#define PREFIX "cc"
#define RANDOM_LENGTH 6

static bool
is_temporary(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;

    if (strncmp(name, PREFIX, strlen(PREFIX)) != 0)
        return false;
    name += strlen(PREFIX);
    for (int i = 0; i < RANDOM_LENGTH; i++)
        if (!isalnum((unsigned char)name[i]))
            return false;
    return name[RANDOM_LENGTH] == '.';
}

static void
remove_temporary(const char *path, void *argument)
{
    if (is_temporary(path))
        unlink(path);
}

void
temporaries_remove(pid_t pid)
{
    process_each_written_file(pid, remove_temporary, NULL);
}
