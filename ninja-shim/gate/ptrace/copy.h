/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A job that can be run again. It is stopped before its first system call, and made to fork there. The copy runs,
 * untraced; the original, which stays stopped, is the image from which another copy can be made when that one has
 * been killed. To its parent the original is the job: when a copy has come to its end, it waits for that, so that
 * what the copy has used counts as its own, and ends in the same way.
 *
 * Where that cannot be done (another architecture, a fork that is refused) the original runs itself, once.
 */

#include "ninja-shim/gate/ptrace/private.h"

/* The kind's part of a gate: see struct gate_kind. */
bool ptrace_copy_run(struct gate *gate, struct gate_process *process);
void ptrace_copy_leave(struct gate *gate, struct gate_process *process, int wait_status);
void ptrace_copy_put_off(struct gate *gate, struct gate_process *process);

/* A new process, `copy`, has been made by one that is being copied. */
void ptrace_copy_is_born(struct tracee *original, struct tracee *copy);
/* It has stopped for the first time. */
void ptrace_copy_stands(struct gate *gate, struct tracee *copy);
/* It has ended before it was let go. */
void ptrace_copy_is_dead(struct gate *gate, pid_t original, int wait_status);

/* The original, ROLE_COPYING or ROLE_LEAVING: */
void ptrace_copy_on_syscall(struct gate *gate, struct tracee *tracee);
void ptrace_copy_on_signal(struct gate *gate, struct tracee *tracee, int signal_number);
/* It is dead, and so is what it has only just made. */
void ptrace_copy_end_unborn(struct gate *gate, const struct tracee *original);
