/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Ends a process that has stopped before the first instruction of its program with an exit status of our
 * choice, without ptrace(2): exit_group(2) is written over that instruction, through /proc/PID/mem. The
 * memory is its own: a copy of the page, as a debugger's breakpoint makes it.
 */

#include <stdbool.h>
#include <sys/types.h>

/* true: when it is continued, it exits with `status` (0 to 255). false: its memory is not ours to write
 * (another user's, a set-id program, Yama's scope 2), or the architecture is not known. */
bool seccomp_exit_prepare(pid_t pid, int status);
