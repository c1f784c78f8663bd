/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/memory/mode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libjobserver/program/usage.h"

int
memory_mode_parse(const char *text, enum memory_mode *mode)
{
    static const char *const words[] = {"auto", "on", "off"};

    for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(text, words[i]) == 0) {
            *mode = (enum memory_mode)i;
            return 0;
        }
    }
    return -EINVAL;
}

void
memory_mode_read_environment(enum memory_mode *mode)
{
    const char *text = getenv(MEMORY_MODE_VARIABLE);

    if (text && *text && memory_mode_parse(text, mode) < 0)
        usage_refuse(MEMORY_MODE_VARIABLE, text, MEMORY_MODES);
}
