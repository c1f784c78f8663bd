/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Messages of a program to its user: "PROGRAM: TEXT\n" on stderr, in one write, cut at PIPE_BUF bytes.
 * PROGRAM is program_invocation_short_name(3), which a shim sets to a name of its own. What cannot be printed is shown
 * as '?'. */

__attribute__((format(printf, 1, 2))) void message(const char *format, ...);

/* The same, with ": " and what `error`, an errno or a negative one, means. */
__attribute__((format(printf, 2, 3))) void message_errno(int error, const char *format, ...);

/* For a program on which others wait: from now on a message that is not taken at once, by a pipe that is
 * full or a terminal that stands still, is dropped. The next that is taken tells how many have been. */
void message_never_wait(void);
/* Nobody waits any more; what has been dropped is told now. */
void message_may_wait(void);
/* Nothing is left to be said: stderr is /dev/null. */
void message_end(void);

/* For a daemon: from now on stderr is the system's log, so that what libraries print goes there too, and
 * it is never waited for. message_open_syslog() opens it while the process may still open sockets. */
void message_open_syslog(void);
void message_to_syslog(void);
