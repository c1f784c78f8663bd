/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef STEVED_REPORT_H
#define STEVED_REPORT_H

/* One line to stderr: "steved: ", the message, a newline. --daemon turns stderr into the system's log
 * (daemon.h). */
__attribute__((format(printf, 1, 2))) void report(const char *format, ...);

/* The same, with ": " and what `error` (an errno) means. */
__attribute__((format(printf, 2, 3))) void report_errno(int error, const char *format, ...);

#endif
