/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef JOBSERVER_PROGRAM_USAGE_H
#define JOBSERVER_PROGRAM_USAGE_H

/* How programs that run a command refuse bad input, and what they exit with on their own account; else
 * it is the command's status. */

enum {
    EXIT_USAGE = 2,
    EXIT_OURS = 125,           /* we failed ourselves */
    EXIT_NOT_EXECUTABLE = 126, /* as a shell says it */
    EXIT_NOT_FOUND = 127,
};

/* "PROGRAM: OPTION: 'TEXT' is not WANTED", and the end. `option` may be an environment variable. */
_Noreturn void usage_refuse(const char *option, const char *text, const char *wanted);

/* For getopt_long(3), which has just returned `kind`, '?' or ':', with opterr = 0: getopt's own messages
 * do not quote the bad input in our way. */
_Noreturn void usage_refuse_option(int kind, char *const *argv);

#endif
