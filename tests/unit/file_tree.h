/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* A tree of files that a test takes for the machine: /proc, and what is mounted, below a directory of its own. */

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "tests/unit/remove_tree.h"

static char root[] = "/tmp/test_tree.XXXXXX";

static int
make_root(void **state)
{
    (void)state;
    strcpy(root, "/tmp/test_tree.XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int
remove_root(void **state)
{
    (void)state;
    return remove_tree(root);
}

/* `name`, which begins with a slash, below `root`, with the directories that it lies in. */
static void
write_file(const char *name, const char *text)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s%s", root, name);
    for (char *slash = path + strlen(root); (slash = strchr(slash + 1, '/'));) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}
