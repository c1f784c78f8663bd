/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A program that is set-id, or has capabilities, has not got its privilege when it was executed, since it was traced
 * then (ptrace(2), "execve(2) under ptrace"). When it may run it executes itself once more, with the same words: its first
 * system call becomes that, and before it is made it is traced no more.
 */

#include "ninja-shim/gate/ptrace/private.h"

/* Where its words lie, while it stands where it has just been executed. 0, or a negative errno: it cannot be done, as on
 * another architecture, or where its memory may not be read. */
int ptrace_again_prepare(struct tracee *tracee);
/* It runs. */
void ptrace_again_begin(struct tracee *tracee);
/* At one of its system calls. true: it is traced no more. */
bool ptrace_again_on_syscall(const struct tracee *tracee);
