/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Ends a traced process that has stopped at its exec with an exit status of our choice: the first
 * system call that the new program makes, in its dynamic loader or its C library, becomes
 * exit_group(2). Before it has made one, nobody can notice that it has run.
 */

#include <stdbool.h>
#include <sys/types.h>

/* At its exec stop: makes it go on to its next system call. false: it is gone. */
bool ptrace_exit_begin(pid_t pid);
/* At the next stop, if that is one of system calls (PTRACE_O_TRACESYSGOOD). true: done, the process is
 * detached, or killed where the architecture is not known; false: it goes on to the stop after. */
bool ptrace_exit_continue(pid_t pid, int status);
