/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A line longer than this would be cut by syslog too. */
#define LINE_SIZE 1024

__attribute__((format(printf, 1, 0))) static void
print_line(const char *format, va_list arguments, const char *reason)
{
    char line[LINE_SIZE];

    vsnprintf(line, sizeof(line), format, arguments);
    if (reason)
        fprintf(stderr, "steved: %s: %s\n", line, reason);
    else
        fprintf(stderr, "steved: %s\n", line);
}

void
report(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    print_line(format, arguments, NULL);
    va_end(arguments);
}

void
report_errno(int error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    print_line(format, arguments, strerror(error));
    va_end(arguments);
}
