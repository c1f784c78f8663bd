/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The end of a test's own directory. */
#pragma once

#include <ftw.h>
#include <stdio.h>

static int
remove_entry(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status;
    (void)type;
    (void)where;
    return remove(path);
}

/* A test's own directory, with all that is in it; follows no link. -1: errno, and something is left. */
static int
remove_tree(const char *path)
{
    return nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS) ? -1 : 0;
}
