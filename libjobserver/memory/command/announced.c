/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a job says of its work before it ends, to a client that must not hear it twice. */
#include <stdio.h>
#include <string.h>

#include "libjobserver/memory/command.h"

static const char *
after(const char *word, const char *prefix)
{
    size_t length = strlen(prefix);

    return strncmp(word, prefix, length) == 0 ? word + length : NULL;
}

bool
memory_announcement_of(char *const argv[], char *path, size_t size)
{
    const char *crate = "", *directory = "", *suffix = "", *value;
    bool is_told = false, has_metadata = false;

    for (char *const *word = argv; *word; word++) {
        const char *next = word[1] ? word[1] : "";
        if (strcmp(*word, "--crate-name") == 0)
            crate = next;
        else if (strcmp(*word, "--out-dir") == 0)
            directory = next;
        else if (strcmp(*word, "-C") == 0 && (value = after(next, "extra-filename=")))
            suffix = value;
        else if ((value = after(*word, "--json=")))
            is_told = strstr(value, "artifacts");
        else if ((value = after(*word, "--emit=")))
            has_metadata = strstr(value, "metadata");
    }
    if (!*crate || !*directory || !is_told || !has_metadata)
        return false;
    int length = snprintf(path, size, "%s/lib%s%s.rmeta", directory, crate, suffix);
    return length > 0 && (size_t)length < size;
}
