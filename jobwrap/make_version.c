/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <sys/stat.h>

#include "jobwrap/make_version.h"
#include "libjobserver/program/program.h"

static bool
is_old(const char *path)
{
    char answer[256]; /* the version stands in the first line */

    return program_ask_version(path, "make", answer, sizeof(answer)) == 0 &&
           make_version_is_old(answer);
}

bool
make_version_wants_pipe(void)
{
    char *first = program_find("make");
    const char *makes[] = {first, "/usr/bin/make", "/usr/bin/gmake"};
    struct stat asked[3];
    size_t n_asked = 0;
    bool old = false;

    for (size_t i = first ? 0 : 1; i < 3 && !old; i++) {
        struct stat *status = &asked[n_asked];
        bool known = false;

        if (stat(makes[i], status) < 0 || !S_ISREG(status->st_mode))
            continue;
        for (size_t k = 0; k < n_asked; k++)
            known |= asked[k].st_dev == status->st_dev && asked[k].st_ino == status->st_ino;
        if (known)
            continue;
        n_asked++;
        old = is_old(makes[i]);
    }
    free(first);
    return old;
}
