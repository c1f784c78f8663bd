/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ninja-shim/shims/launcher_command.h"

#include <stddef.h>
#include <string.h>

/* As cargo runs rustc: it asks for names with --print and for its version with -vV. */
static bool
wants_object(const char *word)
{
    return strcmp(word, "-c") == 0 || strcmp(word, "-S") == 0 ||
           strncmp(word, "--emit", strlen("--emit")) == 0;
}

static bool
only_asks(const char *word)
{
    static const char *const words[] = {"-E", "-M", "-MM", "-###", "-vV", "--version"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(word, words[i]) == 0)
            return true;
    return strncmp(word, "--print", strlen("--print")) == 0;
}

bool
launcher_compiles(char *const argv[])
{
    bool compiles = false;

    for (; *argv; argv++) {
        if (only_asks(*argv))
            return false;
        compiles = compiles || wants_object(*argv);
    }
    return compiles;
}
