/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Messages of a program to its user: "PROGRAM: TEXT\n" on stderr, in one write. PROGRAM is
 * program_invocation_short_name(3), which a shim sets to a name of its own. */

__attribute__((format(printf, 1, 2))) void message(const char *format, ...);

/* The same, with ": " and what `error`, an errno or a negative one, means. */
__attribute__((format(printf, 2, 3))) void message_errno(int error, const char *format, ...);

/* For a daemon: from now on stderr is the system's log (syslog(3)), so that what libraries print goes
 * there too. message_open_syslog() opens it while the process may still open sockets. */
void message_open_syslog(void);
void message_to_syslog(void);
