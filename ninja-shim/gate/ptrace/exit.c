/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a traced process is made to exit: its next system call becomes exit_group(2). */
#include "ninja-shim/gate/ptrace/exit.h"

#include <errno.h>
#include <linux/audit.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ptrace.h>

#include "ninja-shim/gate/ptrace/syscall.h"

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
make_it_exit(pid_t pid, struct ptrace_syscall *call, int status)
{
    unsigned number;
    int result = find_exit_group(call->arch, &number);

    if (result < 0)
        return result;
    call->number = number;
    call->arguments[0] = (uint64_t)status;
    return ptrace_syscall_change(pid, call);
}

bool
ptrace_exit_continue(pid_t pid, int status)
{
    struct ptrace_syscall call;
    int result = ptrace_syscall_read(pid, &call);

    /* First comes the end of its execve(2). */
    if (result == 0 && !call.is_entry)
        return !ptrace_exit_begin(pid);
    if (result < 0 || make_it_exit(pid, &call, status) < 0)
        kill(pid, SIGKILL);
    ptrace(PTRACE_DETACH, pid, NULL, NULL);
    return true;
}
