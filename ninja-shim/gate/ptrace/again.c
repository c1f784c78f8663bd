/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ninja-shim/gate/ptrace/again.h"

#include <elf.h>
#include <errno.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "ninja-shim/gate/ptrace/syscall.h"

#define WORD sizeof(uint64_t)
/* More than the kernel takes of both (execve(2), "Limits on size"). */
#define WORDS_MAX (UINT64_C(1) << 20)

static int
read_word(pid_t pid, uint64_t address, uint64_t *word)
{
    errno = 0;
    *word = (uint64_t)ptrace(PTRACE_PEEKDATA, pid, (void *)(uintptr_t)address, NULL);
    return -errno;
}

/* *address: of the first word there that is 0. */
static int
find_end(pid_t pid, uint64_t *address)
{
    uint64_t word = 1;
    int result = 0;

    for (uint64_t i = 0; i < WORDS_MAX; i++, *address += WORD) {
        result = read_word(pid, *address, &word);
        if (result < 0 || word == 0)
            return result;
    }
    return -E2BIG;
}

static int
find_path(pid_t pid, uint64_t vector, uint64_t *path)
{
    uint64_t type;
    int result;

    for (uint64_t i = 0; i < WORDS_MAX; i++, vector += 2 * WORD) {
        result = read_word(pid, vector, &type);
        if (result < 0 || type == AT_NULL)
            return result < 0 ? result : -ENOENT;
        if (type == AT_EXECFN)
            return read_word(pid, vector + WORD, path);
    }
    return -E2BIG;
}

/* System V ABI, "Initial Stack and Register State". */
int
ptrace_again_prepare(struct tracee *tracee)
{
    struct ptrace_registers registers;
    uint64_t stack = 0, count = 0, *words = tracee->words;
    int result = ptrace_registers_read(tracee->pid, &registers);

    if (result == 0)
        result = ptrace_registers_stack(&registers, &stack);
    if (result == 0)
        result = read_word(tracee->pid, stack, &count);
    if (result == 0 && count >= WORDS_MAX)
        result = -E2BIG; /* of 32 bits */
    if (result < 0)
        return result;
    words[1] = stack + WORD;
    words[2] = words[1] + (count + 1) * WORD;
    uint64_t end = words[2];
    result = find_end(tracee->pid, &end);
    return result < 0 ? result : find_path(tracee->pid, end + WORD, &words[0]);
}

void
ptrace_again_begin(struct tracee *tracee)
{
    tracee->role = ROLE_AGAIN;
    ptrace(PTRACE_SYSCALL, tracee->pid, NULL, NULL);
}

bool
ptrace_again_on_syscall(const struct tracee *tracee)
{
    const uint64_t arguments[PTRACE_REGISTERS_ARGUMENTS] = {tracee->words[0], tracee->words[1],
                                                            tracee->words[2]};
    struct ptrace_registers registers;
    struct ptrace_syscall call;
    pid_t pid = tracee->pid;

    /* First comes the end of its execve(2). */
    if (ptrace_syscall_read(pid, &call) == 0 && !call.is_entry)
        return ptrace(PTRACE_SYSCALL, pid, NULL, NULL) < 0;
    if (call.arch == PTRACE_REGISTERS_ARCH && ptrace_registers_read(pid, &registers) == 0)
        ptrace_registers_call(pid, &registers, SYS_execve, arguments);
    ptrace(PTRACE_DETACH, pid, NULL, NULL);
    return true;
}
