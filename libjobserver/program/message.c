/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/program/message.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <syslog.h>

/* stderr has no buffer, so that the line is written by one call. */
__attribute__((format(printf, 1, 0))) static void
print_line(const char *format, va_list arguments, const char *separator, const char *reason)
{
    char *text;

    if (vasprintf(&text, format, arguments) < 0)
        return;
    fprintf(stderr, "%s: %s%s%s\n", program_invocation_short_name, text, separator, reason);
    free(text);
}

void
message(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    print_line(format, arguments, "", "");
    va_end(arguments);
}

void
message_errno(int error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    print_line(format, arguments, ": ", strerror(abs(error)));
    va_end(arguments);
}

/* --- syslog --- */

void
message_open_syslog(void)
{
    openlog(program_invocation_short_name, LOG_PID | LOG_NDELAY, LOG_DAEMON);
}

/* The log names the program itself. */
static ssize_t
write_to_syslog(void *none, const char *text, size_t size)
{
    const size_t name = strlen(program_invocation_short_name), prefix = name + strlen(": ");
    size_t skip = 0;

    if (size > prefix && memcmp(text, program_invocation_short_name, name) == 0 &&
        memcmp(text + name, ": ", 2) == 0)
        skip = prefix;
    syslog(LOG_NOTICE, "%.*s", (int)(size - skip), text + skip);
    return (ssize_t)size;
}

void
message_to_syslog(void)
{
    FILE *log = fopencookie(NULL, "w", (cookie_io_functions_t){.write = write_to_syslog});

    if (!log)
        return;
    setvbuf(log, NULL, _IOLBF, BUFSIZ);
    stderr = log;
}
