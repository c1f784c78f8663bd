/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The registers in which a system call has its number, its arguments and its place: syscall(2). */
#include "ninja-shim/gate/ptrace/registers.h"

#include <elf.h>
#include <errno.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#if defined(__x86_64__) && !defined(__ILP32__)

#define INSTRUCTION_SIZE 2

static int
set(pid_t pid, const struct user_regs_struct *all)
{
    struct user_regs_struct copy = *all;

    return ptrace(PTRACE_SETREGS, pid, NULL, &copy) < 0 ? -errno : 0;
}

static struct ptrace_registers
with_call(const struct ptrace_registers *registers, long number,
          const uint64_t arguments[PTRACE_REGISTERS_ARGUMENTS])
{
    struct ptrace_registers changed = *registers;

    changed.all.orig_rax = (unsigned long long)number;
    changed.all.rdi = arguments[0];
    changed.all.rsi = arguments[1];
    changed.all.rdx = arguments[2];
    changed.all.r10 = arguments[3];
    return changed;
}

int
ptrace_registers_read(pid_t pid, struct ptrace_registers *registers)
{
    return ptrace(PTRACE_GETREGS, pid, NULL, &registers->all) < 0 ? -errno : 0;
}

int
ptrace_registers_stack(const struct ptrace_registers *registers, uint64_t *address)
{
    *address = registers->all.rsp;
    return 0;
}

int
ptrace_registers_call(pid_t pid, const struct ptrace_registers *registers, long number,
                      const uint64_t arguments[PTRACE_REGISTERS_ARGUMENTS])
{
    struct ptrace_registers changed = with_call(registers, number, arguments);

    return set(pid, &changed.all);
}

/* No call is being made (-1), so that the kernel restarts none. */
int
ptrace_registers_rewind(pid_t pid, const struct ptrace_registers *registers)
{
    struct user_regs_struct all = registers->all;

    all.rip -= INSTRUCTION_SIZE;
    all.rax = all.orig_rax;
    all.orig_rax = (unsigned long long)-1;
    return set(pid, &all);
}

#elif defined(__aarch64__)

#define INSTRUCTION_SIZE 4
/* In which the kernel shows a tracer whether a call begins or ends; it puts the true one back itself, but not at
 * other stops. */
#define DIRECTION_REGISTER 7
#define NUMBER_REGISTER 8
#ifndef NT_ARM_SYSTEM_CALL
#define NT_ARM_SYSTEM_CALL 0x404
#endif

static int
get(pid_t pid, struct user_regs_struct *all)
{
    struct iovec vector = {.iov_base = all, .iov_len = sizeof(*all)};

    return ptrace(PTRACE_GETREGSET, pid, (void *)NT_PRSTATUS, &vector) < 0 ? -errno : 0;
}

static int
set(pid_t pid, struct user_regs_struct *all, int number)
{
    struct iovec vector = {.iov_base = all, .iov_len = sizeof(*all)};
    struct iovec one = {.iov_base = &number, .iov_len = sizeof(number)};

    if (ptrace(PTRACE_SETREGSET, pid, (void *)NT_PRSTATUS, &vector) < 0)
        return -errno;
    return ptrace(PTRACE_SETREGSET, pid, (void *)NT_ARM_SYSTEM_CALL, &one) < 0 ? -errno : 0;
}

static struct ptrace_registers
with_call(const struct ptrace_registers *registers, long number,
          const uint64_t arguments[PTRACE_REGISTERS_ARGUMENTS])
{
    struct ptrace_registers changed = *registers;

    changed.all.regs[NUMBER_REGISTER] = (unsigned long long)number;
    for (int i = 0; i < PTRACE_REGISTERS_ARGUMENTS; i++)
        changed.all.regs[i] = arguments[i];
    return changed;
}

int
ptrace_registers_read(pid_t pid, struct ptrace_registers *registers)
{
    return get(pid, &registers->all);
}

int
ptrace_registers_stack(const struct ptrace_registers *registers, uint64_t *address)
{
    *address = registers->all.sp;
    return 0;
}

int
ptrace_registers_call(pid_t pid, const struct ptrace_registers *registers, long number,
                      const uint64_t arguments[PTRACE_REGISTERS_ARGUMENTS])
{
    struct ptrace_registers changed = with_call(registers, number, arguments);

    return set(pid, &changed.all, (int)number);
}

int
ptrace_registers_rewind(pid_t pid, const struct ptrace_registers *registers)
{
    struct user_regs_struct all = registers->all, now;
    int result = get(pid, &now);

    if (result < 0)
        return result;
    all.regs[DIRECTION_REGISTER] = now.regs[DIRECTION_REGISTER];
    all.pc -= INSTRUCTION_SIZE;
    return set(pid, &all, -1);
}

#else

int
ptrace_registers_read(pid_t pid, struct ptrace_registers *registers)
{
    return -ENOSYS;
}

int
ptrace_registers_stack(const struct ptrace_registers *registers, uint64_t *address)
{
    return -ENOSYS;
}

int
ptrace_registers_call(pid_t pid, const struct ptrace_registers *registers, long number,
                      const uint64_t arguments[PTRACE_REGISTERS_ARGUMENTS])
{
    return -ENOSYS;
}

static struct ptrace_registers
with_call(const struct ptrace_registers *registers, long number,
          const uint64_t arguments[PTRACE_REGISTERS_ARGUMENTS])
{
    return *registers;
}

int
ptrace_registers_rewind(pid_t pid, const struct ptrace_registers *registers)
{
    return -ENOSYS;
}

#endif

int
ptrace_registers_rewind_to(pid_t pid, const struct ptrace_registers *registers, long number,
                           const uint64_t arguments[PTRACE_REGISTERS_ARGUMENTS])
{
    const struct ptrace_registers changed = with_call(registers, number, arguments);

    return ptrace_registers_rewind(pid, &changed);
}
