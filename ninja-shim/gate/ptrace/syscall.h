/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The system call at which a traced process stands (PTRACE_O_TRACESYSGOOD), to be looked at and changed. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PTRACE_SYSCALL_ARGUMENTS 6

struct ptrace_syscall {
    bool is_entry;
    uint32_t arch; /* AUDIT_ARCH_* of <linux/audit.h>: that of a job need not be ours */
    /* At its entry. */
    uint64_t number, arguments[PTRACE_SYSCALL_ARGUMENTS];
    /* At its exit: as the kernel returns it, a negative errno too. */
    int64_t result;
};

/* No call: the kernel does nothing at all. */
#define PTRACE_SYSCALL_NONE ((uint64_t)-1)

/* All: 0 or a negative errno (-ENOSYS: this kernel or this architecture has no way). */
int ptrace_syscall_read(pid_t pid, struct ptrace_syscall *call);
/* At its entry: it makes the call that `call` tells now. Other arguments than the first three stay. */
int ptrace_syscall_change(pid_t pid, const struct ptrace_syscall *call);
/* At its exit. */
int ptrace_syscall_set_result(pid_t pid, const struct ptrace_syscall *call, int64_t result);
