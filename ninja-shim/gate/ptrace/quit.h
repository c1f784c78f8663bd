/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * How a lazy client that a failure has stopped comes to its end without a word about the jobs that wait.
 * Ended under its eyes, each of them would be shown as a failure of its own, far below the real one. So
 * it first reports all that ran. Then one of the jobs that wait dies of a signal that says to it: the
 * user wishes to end the build. It tidies up and leaves, and neither starts nor shows anything. What it says
 * of an interruption, and its exit status, are changed on their way to what they would have been
 * (struct gate_ending), by its system calls, which are looked at from the failure on.
 */

#include <linux/audit.h>

#include "ninja-shim/gate/ptrace/private.h"

/* The numbers of system calls are those of our own architecture, which nearly every lazy client has. */
#if defined(__x86_64__) && !defined(__ILP32__)
#define PTRACE_QUIT_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define PTRACE_QUIT_ARCH AUDIT_ARCH_AARCH64
#else
#define PTRACE_QUIT_ARCH 0u
#endif
#define PTRACE_QUIT_IS_SUPPORTED (PTRACE_QUIT_ARCH != 0)

/* When it is beginning to be traced: who is no job of it. */
void ptrace_quit_open(struct quit *quit, pid_t root);
void ptrace_quit_close(struct quit *quit);

/* The kind's part of a gate: struct gate_kind, may_end. */
enum gate_end ptrace_quit_may_end(struct gate *gate);
/* Are its system calls looked at? Then it is to be continued to the next one. */
bool ptrace_quit_is_watching(const struct quit *quit, pid_t pid);
/* It stands at one of them. */
void ptrace_quit_on_syscall(struct gate *gate, pid_t pid);
/* Its end is another one. */
void ptrace_quit_give_up(struct quit *quit);
