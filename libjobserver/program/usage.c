/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/program/usage.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libjobserver/program/message.h"

int
usage_exec_status(int error)
{
    return abs(error) == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
}

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
        message("option '%s' needs an argument (see --help)", word);
    else if (optopt > 0 && optopt < 256 && strncmp(word, "--", 2) != 0)
        message("unknown option '-%c' (see --help)", optopt);
    else if (optopt)
        message("option '%s' takes no argument (see --help)", word);
    else
        message("unknown or ambiguous option '%s' (see --help)", word);
    exit(EXIT_USAGE);
}

bool
usage_parse_number(const char *text, unsigned min, unsigned max, unsigned *number)
{
    char *end;

    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (*end || errno || value < min || value > max)
        return false;
    *number = (unsigned)value;
    return true;
}

bool
usage_parse_decimal(const char *text, unsigned decimals, unsigned min, unsigned max,
                    unsigned *number)
{
    char digits[32];
    size_t whole = strcspn(text, "."), behind = text[whole] ? strlen(text + whole + 1) : 0;

    if (whole + decimals >= sizeof(digits) || behind > decimals || (text[whole] && behind == 0))
        return false;
    memcpy(digits, text, whole);
    memcpy(digits + whole, text + whole + 1, behind);
    memset(digits + whole + behind, '0', decimals - behind);
    digits[whole + decimals] = '\0';
    return whole > 0 && usage_parse_number(digits, min, max, number);
}

_Noreturn void
usage_show(const char *text, int failure)
{
    fputs(text, stdout);
    if (fflush(stdout) == 0)
        exit(EXIT_SUCCESS);
    message("write the output: %s", strerror(errno));
    exit(failure);
}
