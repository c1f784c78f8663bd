/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Command lines: what programs exit with, and how they refuse bad input. */

#include <stdbool.h>

/* Besides EXIT_SUCCESS and EXIT_FAILURE of <stdlib.h>. Programs that run a command exit with the
 * command's status, and with the last three on their own account, as a shell does. */
enum {
    EXIT_USAGE = 2,
    EXIT_OURS = 125,           /* we failed ourselves */
    EXIT_NOT_EXECUTABLE = 126, /* there is such a program, and it cannot be run */
    EXIT_NOT_FOUND = 127,
};

/* What a shell exits with where execve(2) fails with `error`, an errno or a negative one. */
int usage_exec_status(int error);

/* "PROGRAM: OPTION: 'TEXT' is not WANTED", and the end. `option` may be an environment variable. */
_Noreturn void usage_refuse(const char *option, const char *text, const char *wanted);

/* For getopt_long(3), which has just returned `kind`, '?' or ':', with opterr = 0: getopt's own messages
 * do not quote the bad input in our way. */
_Noreturn void usage_refuse_option(int kind, char *const *argv);

/* Decimal digits and nothing else (strtoul(3) alone takes "-1", " 1" and "1x"): true, and *number; false
 * where it is none, or not in the range. */
bool usage_parse_number(const char *text, unsigned min, unsigned max, unsigned *number);

/* The same with a point and up to `decimals` digits behind it: *number in units of the last of these. */
bool usage_parse_decimal(const char *text, unsigned decimals, unsigned min, unsigned max,
                         unsigned *number);

/* For --help and --version: prints the text to stdout, and ends with 0, or `failure` if that fails. */
_Noreturn void usage_show(const char *text, int failure);
