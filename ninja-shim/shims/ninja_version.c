/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Versions of ninja. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "ninja-shim/shims/ninja_version.h"

bool
ninja_version_is_proper_client(const char *version)
{
    unsigned major, minor;

    return isdigit((unsigned char)version[0]) && sscanf(version, "%u.%u", &major, &minor) == 2 &&
           !strstr(version, ".git") && (major > 1 || (major == 1 && minor >= 14));
}
