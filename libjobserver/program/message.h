/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef JOBSERVER_PROGRAM_MESSAGE_H
#define JOBSERVER_PROGRAM_MESSAGE_H

#include <stdarg.h>

/* "PROGRAM: ...\n" to stderr, in one write. PROGRAM is program_invocation_short_name(3), which a shim
 * sets to a name of its own. */
void message(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same to a descriptor. */
void message_to(int fd, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

#endif
