/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "libjobserver/program/message.h"

void
message_to(int fd, const char *format, va_list arguments)
{
    char *text;

    if (vasprintf(&text, format, arguments) < 0)
        return;
    dprintf(fd, "%s: %s\n", program_invocation_short_name, text);
    free(text);
}

void
message(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    message_to(STDERR_FILENO, format, arguments);
    va_end(arguments);
}
