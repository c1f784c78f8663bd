/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Text of others as it is shown: a blank for each NUL, '?' for what cannot be printed. Pure. */

#include <stddef.h>

static inline void
make_printable(char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\0')
            text[i] = ' ';
        else if (text[i] < ' ' || text[i] > '~')
            text[i] = '?';
    }
}
