/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/program/usage.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "libjobserver/program/message.h"

_Noreturn void
usage_refuse(const char *option, const char *text, const char *wanted)
{
    message("%s: '%s' is not %s", option, text, wanted);
    exit(EXIT_USAGE);
}

_Noreturn void
usage_refuse_option(int kind, char *const *argv)
{
    const char *word = argv[optind - 1];

    if (kind == ':')
        message("option '%s' wants an argument (see --help)", word);
    else if (optopt > 0 && optopt < 256 && strncmp(word, "--", 2) != 0)
        message("unknown option '-%c' (see --help)", optopt);
    else if (optopt)
        message("option '%s' wants no argument (see --help)", word);
    else
        message("unknown or ambiguous option '%s' (see --help)", word);
    exit(EXIT_USAGE);
}
