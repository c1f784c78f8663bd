/* SPDX-License-Identifier: GPL-2.0-or-later */
/* System calls of a traced process: by PTRACE_SET_SYSCALL_INFO where the kernel has it, else in registers. */
#include "ninja-shim/gate/ptrace/syscall.h"

#include <elf.h>
#include <errno.h>
#include <linux/audit.h>
#include <stddef.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

/* From <linux/ptrace.h>, which cannot be included beside <sys/ptrace.h>. */
#define GET_SYSCALL_INFO 0x420e /* Linux 5.3 */
#define SET_SYSCALL_INFO 0x4212 /* Linux 6.16 */
#define SYSCALL_ENTRY 1
#define SYSCALL_EXIT 2

struct syscall_info {
    uint8_t op, reserved;
    uint16_t flags;
    uint32_t arch;
    uint64_t instruction_pointer, stack_pointer;
    union {
        struct {
            uint64_t number, arguments[PTRACE_SYSCALL_ARGUMENTS];
        } entry;
        struct {
            int64_t result;
            uint8_t is_error;
        } exit;
    };
};

static int
get_info(pid_t pid, struct syscall_info *info)
{
    memset(info, 0, sizeof(*info));
    return ptrace(GET_SYSCALL_INFO, pid, (void *)sizeof(*info), info) < 0 ? -errno : 0;
}

int
ptrace_syscall_read(pid_t pid, struct ptrace_syscall *call)
{
    struct syscall_info info;
    int result = get_info(pid, &info);

    if (result < 0)
        return result;
    *call = (struct ptrace_syscall){.is_entry = info.op == SYSCALL_ENTRY, .arch = info.arch};
    if (call->is_entry) {
        call->number = info.entry.number;
        memcpy(call->arguments, info.entry.arguments, sizeof(call->arguments));
    } else if (info.op == SYSCALL_EXIT) {
        call->result = info.exit.result;
    }
    return 0;
}

/* --- in registers --- */

#if defined(__x86_64__)

/* Of a 32-bit process too: the kernel shows its registers as 64-bit ones. */
static int
change_registers(pid_t pid, const struct ptrace_syscall *call)
{
    struct user_regs_struct registers;
    bool is_i386 = call->arch == AUDIT_ARCH_I386;

    if (ptrace(PTRACE_GETREGS, pid, NULL, &registers) < 0)
        return -errno;
    registers.orig_rax = call->number;
    *(is_i386 ? &registers.rbx : &registers.rdi) = call->arguments[0];
    *(is_i386 ? &registers.rcx : &registers.rsi) = call->arguments[1];
    registers.rdx = call->arguments[2];
    return ptrace(PTRACE_SETREGS, pid, NULL, &registers) < 0 ? -errno : 0;
}

static int
set_result_register(pid_t pid, const struct ptrace_syscall *call, int64_t result)
{
    struct user_regs_struct registers;

    if (ptrace(PTRACE_GETREGS, pid, NULL, &registers) < 0)
        return -errno;
    registers.rax = (unsigned long long)result;
    return ptrace(PTRACE_SETREGS, pid, NULL, &registers) < 0 ? -errno : 0;
}

#elif defined(__i386__)

/* Of a 64-bit process only the lower halves would be seen. */
static int
change_registers(pid_t pid, const struct ptrace_syscall *call)
{
    struct user_regs_struct registers;

    if (call->arch != AUDIT_ARCH_I386)
        return -ENOSYS;
    if (ptrace(PTRACE_GETREGS, pid, NULL, &registers) < 0)
        return -errno;
    registers.orig_eax = (long)call->number;
    registers.ebx = (long)call->arguments[0];
    registers.ecx = (long)call->arguments[1];
    registers.edx = (long)call->arguments[2];
    return ptrace(PTRACE_SETREGS, pid, NULL, &registers) < 0 ? -errno : 0;
}

static int
set_result_register(pid_t pid, const struct ptrace_syscall *call, int64_t result)
{
    struct user_regs_struct registers;

    if (call->arch != AUDIT_ARCH_I386)
        return -ENOSYS;
    if (ptrace(PTRACE_GETREGS, pid, NULL, &registers) < 0)
        return -errno;
    registers.eax = (long)result;
    return ptrace(PTRACE_SETREGS, pid, NULL, &registers) < 0 ? -errno : 0;
}

#elif defined(__aarch64__)

#ifndef NT_ARM_SYSTEM_CALL
#define NT_ARM_SYSTEM_CALL 0x404
#endif

static int
set_general(pid_t pid, size_t n, const uint64_t *values)
{
    struct user_regs_struct registers;
    struct iovec all = {.iov_base = &registers, .iov_len = sizeof(registers)};

    if (ptrace(PTRACE_GETREGSET, pid, (void *)NT_PRSTATUS, &all) < 0)
        return -errno;
    for (size_t i = 0; i < n; i++)
        registers.regs[i] = values[i];
    return ptrace(PTRACE_SETREGSET, pid, (void *)NT_PRSTATUS, &all) < 0 ? -errno : 0;
}

static int
change_registers(pid_t pid, const struct ptrace_syscall *call)
{
    int number = (int)call->number;
    struct iovec one = {.iov_base = &number, .iov_len = sizeof(number)};

    if (call->arch != AUDIT_ARCH_AARCH64)
        return -ENOSYS;
    int result = set_general(pid, 3, call->arguments);
    if (result < 0)
        return result;
    return ptrace(PTRACE_SETREGSET, pid, (void *)NT_ARM_SYSTEM_CALL, &one) < 0 ? -errno : 0;
}

static int
set_result_register(pid_t pid, const struct ptrace_syscall *call, int64_t result)
{
    const uint64_t value = (uint64_t)result;

    return call->arch == AUDIT_ARCH_AARCH64 ? set_general(pid, 1, &value) : -ENOSYS;
}

#else

static int
change_registers(pid_t pid, const struct ptrace_syscall *call)
{
    return -ENOSYS;
}

static int
set_result_register(pid_t pid, const struct ptrace_syscall *call, int64_t result)
{
    return -ENOSYS;
}

#endif

/* --- changing --- */

static bool
set_info(pid_t pid, struct syscall_info *info)
{
    return ptrace(SET_SYSCALL_INFO, pid, (void *)sizeof(*info), info) == 0;
}

int
ptrace_syscall_change(pid_t pid, const struct ptrace_syscall *call)
{
    struct syscall_info info;
    int result = get_info(pid, &info);

    if (result < 0)
        return result;
    info.entry.number = call->number;
    memcpy(info.entry.arguments, call->arguments, sizeof(call->arguments));
    return set_info(pid, &info) ? 0 : change_registers(pid, call);
}

int
ptrace_syscall_set_result(pid_t pid, const struct ptrace_syscall *call, int64_t result)
{
    struct syscall_info info;
    int error = get_info(pid, &info);

    if (error < 0)
        return error;
    info.exit.result = result;
    info.exit.is_error = result < 0;
    return set_info(pid, &info) ? 0 : set_result_register(pid, call, result);
}
