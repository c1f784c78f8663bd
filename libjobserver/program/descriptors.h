/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>

/* What a program does with the descriptors that it was started with, and that are not its own. */

/* A closed stdin, stdout or stderr stays closed for the program that we become or start, but no file of
 * ours takes its place. To be called before anything is opened. */
void descriptors_guard_standard(void);

/* For a process that outlives the command beside it: what the user's shell gave (a pipe to tee,
 * another jobserver) must not stay open for its sake. Closes all that does not close on exec but
 * stderr, opens /dev/null as stdin and stdout, and leaves the working directory. */
void descriptors_drop_inherited(void);
/* Nothing is left to be said: stderr is /dev/null, too. */
void descriptors_drop_stderr(void);

/* For a child that becomes a daemon: stdin, stdout and, unless it is kept, stderr are /dev/null, also in what it
 * executes, and nothing else is open. */
void descriptors_become_null(bool keeps_stderr);

/* Closes this one and all above, whatever the kernel. */
void descriptors_close_from(int first);

/* As many as the process may have at all: each client, or each job, costs one. */
void descriptors_raise_limit(void);
/* Is this one, just opened, among the last that the process may have? Who keeps many must leave some
 * for what is opened for a moment only (/proc). */
bool descriptors_are_scarce(int newest);
