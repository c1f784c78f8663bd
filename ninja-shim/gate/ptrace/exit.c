/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a traced process is made to exit: its next system call becomes exit_group(2). */
#include <elf.h>
#include <errno.h>
#include <linux/audit.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

#include "ninja-shim/gate/ptrace/exit.h"

/* From <linux/ptrace.h>, which cannot be included beside <sys/ptrace.h>. */
#define GET_SYSCALL_INFO 0x420e /* Linux 5.3 */
#define SET_SYSCALL_INFO 0x4212 /* Linux 6.16 */
#define SYSCALL_ENTRY 1

struct syscall_info {
    uint8_t op, reserved;
    uint16_t flags;
    uint32_t arch; /* AUDIT_ARCH_* */
    uint64_t instruction_pointer, stack_pointer;
    uint64_t number, arguments[6];
};

/* The number of exit_group(2) is part of each architecture's ABI: syscall(2). That of a job need not be
 * ours: 32-bit ones run beside a 64-bit ninja. */
static const struct {
    uint32_t arch;
    unsigned number;
} exit_groups[] = {
    {AUDIT_ARCH_X86_64, 231},     {AUDIT_ARCH_I386, 252},       {AUDIT_ARCH_AARCH64, 94},
    {AUDIT_ARCH_ARM, 248},        {AUDIT_ARCH_RISCV64, 94},     {AUDIT_ARCH_RISCV32, 94},
    {AUDIT_ARCH_PPC64LE, 234},    {AUDIT_ARCH_PPC64, 234},      {AUDIT_ARCH_PPC, 234},
    {AUDIT_ARCH_S390X, 248},      {AUDIT_ARCH_S390, 248},       {AUDIT_ARCH_MIPS64, 5205},
    {AUDIT_ARCH_MIPSEL64, 5205},  {AUDIT_ARCH_MIPS64N32, 6205}, {AUDIT_ARCH_MIPSEL64N32, 6205},
    {AUDIT_ARCH_MIPS, 4246},      {AUDIT_ARCH_MIPSEL, 4246},    {AUDIT_ARCH_PARISC64, 222},
    {AUDIT_ARCH_PARISC, 222},
#ifdef AUDIT_ARCH_LOONGARCH64
    {AUDIT_ARCH_LOONGARCH64, 94},
#endif
};

bool
ptrace_exit_begin(pid_t pid)
{
    return ptrace(PTRACE_SYSCALL, pid, NULL, NULL) == 0;
}

/* --- turning a system call into another one --- */

#if defined(__x86_64__)

/* Of a 32-bit process too: the kernel shows its registers as 64-bit ones. */
static int
set_by_registers(pid_t pid, uint32_t arch, unsigned number, int status)
{
    struct user_regs_struct registers;

    if (ptrace(PTRACE_GETREGS, pid, NULL, &registers) < 0)
        return -errno;
    registers.orig_rax = number;
    if (arch == AUDIT_ARCH_I386)
        registers.rbx = (unsigned long long)status;
    else
        registers.rdi = (unsigned long long)status;
    return ptrace(PTRACE_SETREGS, pid, NULL, &registers) < 0 ? -errno : 0;
}

#elif defined(__i386__)

/* Of a 64-bit process only the lower halves would be seen. */
static int
set_by_registers(pid_t pid, uint32_t arch, unsigned number, int status)
{
    struct user_regs_struct registers;

    if (arch != AUDIT_ARCH_I386)
        return -ENOSYS;
    if (ptrace(PTRACE_GETREGS, pid, NULL, &registers) < 0)
        return -errno;
    registers.orig_eax = (long)number;
    registers.ebx = status;
    return ptrace(PTRACE_SETREGS, pid, NULL, &registers) < 0 ? -errno : 0;
}

#elif defined(__aarch64__)

#ifndef NT_ARM_SYSTEM_CALL
#define NT_ARM_SYSTEM_CALL 0x404
#endif

static int
set_by_registers(pid_t pid, uint32_t arch, unsigned number, int status)
{
    struct user_regs_struct registers;
    struct iovec all = {.iov_base = &registers, .iov_len = sizeof(registers)};
    struct iovec call = {.iov_base = &number, .iov_len = sizeof(number)};

    if (arch != AUDIT_ARCH_AARCH64)
        return -ENOSYS;
    if (ptrace(PTRACE_GETREGSET, pid, (void *)NT_PRSTATUS, &all) < 0)
        return -errno;
    registers.regs[0] = (unsigned long long)status;
    if (ptrace(PTRACE_SETREGSET, pid, (void *)NT_PRSTATUS, &all) < 0 ||
        ptrace(PTRACE_SETREGSET, pid, (void *)NT_ARM_SYSTEM_CALL, &call) < 0)
        return -errno;
    return 0;
}

#else

static int
set_by_registers(pid_t pid, uint32_t arch, unsigned number, int status)
{
    return -ENOSYS;
}

#endif

static int
find_exit_group(uint32_t arch, unsigned *number)
{
    for (size_t i = 0; i < sizeof(exit_groups) / sizeof(exit_groups[0]); i++) {
        if (exit_groups[i].arch == arch) {
            *number = exit_groups[i].number;
            return 0;
        }
    }
    return -ENOSYS;
}

static int
make_it_exit(pid_t pid, struct syscall_info *info, int status)
{
    unsigned number;
    int result = find_exit_group(info->arch, &number);

    if (result < 0)
        return result;
    info->number = number;
    info->arguments[0] = (uint64_t)status;
    /* On every architecture, where the kernel knows it. */
    if (ptrace((enum __ptrace_request)SET_SYSCALL_INFO, pid, (void *)sizeof(*info), info) == 0)
        return 0;
    return set_by_registers(pid, info->arch, number, status);
}

bool
ptrace_exit_continue(pid_t pid, int status)
{
    struct syscall_info info = {0};

    long size = ptrace((enum __ptrace_request)GET_SYSCALL_INFO, pid, (void *)sizeof(info), &info);
    /* First comes the end of its execve(2). */
    if (size > 0 && info.op != SYSCALL_ENTRY)
        return !ptrace_exit_begin(pid);
    if (size <= 0 || make_it_exit(pid, &info, status) < 0)
        kill(pid, SIGKILL);
    ptrace(PTRACE_DETACH, pid, NULL, NULL);
    return true;
}
