/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The registers of a traced process, by which it makes another system call than its own, and then its own after
 * all. All functions: 0 or a negative errno. */

#include <linux/audit.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

/* 0: not on this architecture, nor for its elder sister, whose programs run here, too. */
#if defined(__x86_64__) && !defined(__ILP32__)
#define PTRACE_REGISTERS_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define PTRACE_REGISTERS_ARCH AUDIT_ARCH_AARCH64
#else
#define PTRACE_REGISTERS_ARCH 0u
#endif

#define PTRACE_REGISTERS_ARGUMENTS 4

struct ptrace_registers {
#if PTRACE_REGISTERS_ARCH != 0
    struct user_regs_struct all;
#else
    int none;
#endif
};

/* At the entry of a system call: as they are. */
int ptrace_registers_read(pid_t pid, struct ptrace_registers *registers);
/* Where the stack ends. -ENOSYS: not known here. */
int ptrace_registers_stack(const struct ptrace_registers *registers, uint64_t *address);
/* There: what is made is this call. */
int ptrace_registers_call(pid_t pid, const struct ptrace_registers *registers, long number,
                          const uint64_t arguments[PTRACE_REGISTERS_ARGUMENTS]);
/* At the end of that, at a signal after it, or at the first stop of the child that it has made: it will go on by
 * making the call at whose entry `registers` were read. */
int ptrace_registers_rewind(pid_t pid, const struct ptrace_registers *registers);
/* The same, but the call that it will go on by is this one. */
int ptrace_registers_rewind_to(pid_t pid, const struct ptrace_registers *registers, long number,
                               const uint64_t arguments[PTRACE_REGISTERS_ARGUMENTS]);
