/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/program/message.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "libjobserver/program/descriptors.h"
#include "libjobserver/program/output.h"
#include "libjobserver/program/printable.h"
#include "libjobserver/program/system_log.h"

/* Where messages go. A program has one stderr, and its libraries write to that too. */
static struct {
    int own_fd;       /* stderr, opened anew; or -1 */
    int log_fd;       /* the system's log; or -1 */
    bool never_waits; /* or logs */
    bool logs;
    unsigned dropped; /* since the last that was taken */
} sink = {.own_fd = -1, .log_fd = -1};

/* --- one line --- */

/* The log names the program itself. */
static const char *
without_name(const char *line)
{
    const size_t length = strlen(program_invocation_short_name);

    return strncmp(line, program_invocation_short_name, length) == 0 && line[length] == ':' &&
                   line[length + 1] == ' '
               ? line + length + 2
               : line;
}

/* `line` ends in a newline, which the log does without. */
static int
deliver(char *line, size_t size)
{
    if (!sink.logs)
        return output_write(sink.own_fd >= 0 ? sink.own_fd : STDERR_FILENO, line, size,
                            !sink.never_waits);
    if (sink.log_fd < 0)
        return -EBADF;
    line[size - 1] = '\0';
    return system_log_send(sink.log_fd, without_name(line));
}

static size_t
end_line(char line[PIPE_BUF], int length)
{
    size_t size = length < 0 ? 0 : (size_t)length;

    if (size > PIPE_BUF - 1)
        size = PIPE_BUF - 1;
    line[size] = '\n';
    return size + 1;
}

static bool
tell_dropped(void)
{
    char line[PIPE_BUF];

    if (sink.dropped == 0)
        return true;
    size_t size = end_line(line, snprintf(line, sizeof(line), "%.*s: %u message%s dropped",
                                          NAME_MAX, program_invocation_short_name, sink.dropped,
                                          sink.dropped == 1 ? " has been" : "s have been"));
    if (deliver(line, size) < 0)
        return false;
    sink.dropped = 0;
    return true;
}

static void
say(char *line, size_t size)
{
    if (!tell_dropped() || deliver(line, size) < 0)
        sink.dropped++;
}

/* What is quoted is anybody's: a newline in it would look like the end of the message, and an escape sequence
 * would be obeyed by the terminal. */
__attribute__((format(printf, 1, 0))) static void
print_line(const char *format, va_list arguments, const char *separator, const char *reason)
{
    char line[PIPE_BUF];
    int begun = snprintf(line, sizeof(line), "%.*s: ", NAME_MAX, program_invocation_short_name);
    int length = vsnprintf(line + begun, sizeof(line) - (size_t)begun, format, arguments);

    if (length < 0)
        return;
    make_printable_text(line, sizeof(line));
    length = (int)strlen(line);
    length += snprintf(line + length, sizeof(line) - (size_t)length, "%s%s", separator, reason);
    say(line, end_line(line, length));
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

/* --- who waits --- */

void
message_never_wait(void)
{
    sink.own_fd = output_open_own(STDERR_FILENO);
    sink.never_waits = true;
}

static void
close_own(void)
{
    if (sink.own_fd >= 0)
        close(sink.own_fd);
    sink.own_fd = -1;
}

void
message_may_wait(void)
{
    close_own();
    sink.never_waits = false;
    tell_dropped();
}

void
message_end(void)
{
    close_own();
    descriptors_drop_stderr();
}

/* --- the system's log --- */

void
message_open_syslog(void)
{
    sink.log_fd = system_log_open();
}

static ssize_t
write_to_log(void *none, const char *text, size_t size)
{
    char line[PIPE_BUF];

    if (size > 0 && text[size - 1] == '\n')
        size--;
    say(line, end_line(line, snprintf(line, sizeof(line), "%.*s", (int)size, text)));
    return (ssize_t)size;
}

void
message_to_syslog(void)
{
    FILE *log = fopencookie(NULL, "w", (cookie_io_functions_t){.write = write_to_log});

    close_own();
    sink.logs = true;
    if (!log)
        return;
    setvbuf(log, NULL, _IOLBF, BUFSIZ);
    stderr = log;
}
