/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The original of a job makes a copy of itself, and ends as that does: by the system calls that it is made to make. */
#include "ninja-shim/gate/ptrace/copy.h"

#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "libjobserver/process.h"
#include "ninja-shim/gate/copies.h"
#include "ninja-shim/gate/ptrace/syscall.h"

/* A fork that a signal has interrupted, and that is made once more after it: not in <errno.h>, since no program
 * sees it. */
#define RESTARTS (-513)

/* What it is made to do, and how far it is. */
struct image {
    struct ptrace_registers registers; /* at the entry of its own call */
    bool is_calling;                   /* another call than its own */
    bool has_forked;
    pid_t copy; /* 0: none has been made, or it has been let go */
    bool copy_stands;
    bool copy_is_dead; /* before it was let go; or it has come to its end */
    int wait_status;   /* of that */
    int end_signal;    /* by which it ends, too; 0: it exits */
};

static void
go_on(const struct tracee *tracee)
{
    ptrace(PTRACE_SYSCALL, tracee->pid, NULL, NULL);
}

/* --- it runs itself --- */

static void
run_once(struct gate *gate, struct tracee *tracee, int signal_number)
{
    pid_t pid = tracee->pid;

    ptrace(PTRACE_DETACH, pid, NULL, (void *)(intptr_t)signal_number);
    ptrace_forget(gate, tracee);
}

static void
kill_and_forget(struct gate *gate, struct tracee *tracee)
{
    kill(tracee->pid, SIGKILL);
    run_once(gate, tracee, 0);
}

/* Who ignores the ends of its children cannot wait for them. */
static bool
reaps_children(pid_t pid)
{
    struct process_signals signals;

    return process_signals(pid, &signals) == 0 && !(signals.ignored & process_signal_bit(SIGCHLD));
}

bool
ptrace_copy_run(struct gate *gate, struct gate_process *process)
{
    struct tracee *tracee = tracer_find(tracer_of(gate), process->pid);

    if (PTRACE_REGISTERS_ARCH == 0 || !tracee || tracee->role != ROLE_WAITING ||
        tracee->words[0] != 0 || !reaps_children(tracee->pid))
        return false;
    if (!tracee->image)
        tracee->image = calloc(1, sizeof(*tracee->image));
    if (!tracee->image || ptrace(PTRACE_SYSCALL, tracee->pid, NULL, NULL) < 0)
        return false;
    *tracee->image = (struct image){.copy = 0};
    tracee->role = ROLE_COPYING;
    return true;
}

/* --- it ends --- */

/* Those of the set alone. */
static void
let_through(const struct tracee *tracee, uint64_t signals)
{
    uint64_t blocked = ~signals;

    ptrace(PTRACE_SETSIGMASK, tracee->pid, (void *)sizeof(blocked), &blocked);
}

/* How it ends by a signal, if it can: what the copy has done to be killed by it is not known. */
static bool
can_die_of(const struct tracee *tracee, int signal_number)
{
    struct process_signals signals;

    return process_signals(tracee->pid, &signals) == 0 &&
           !((signals.ignored | signals.blocked) & process_signal_bit(signal_number));
}

/* Where the original has what its copy has used written to: below the end of its stack. 0: nobody knows where
 * that is, and it is not written. */
static uint64_t
usage_address(const struct image *image)
{
    uint64_t stack;

    return ptrace_registers_stack(&image->registers, &stack) < 0 ? 0
                                                                 : stack - sizeof(struct rusage);
}

static int
exit_status(int wait_status)
{
    return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

/* It stands at the end of its fork. What has been sent to it went to the copy, too, which did with it what it had to:
 * it hears of nothing any more but of the signal that it ends by. */
static void
begin_to_leave(struct gate *gate, struct tracee *tracee, int wait_status, pid_t copy)
{
    struct image *image = tracee->image;
    const uint64_t arguments[PTRACE_REGISTERS_ARGUMENTS] = {(uint64_t)copy, 0, 0,
                                                            usage_address(image)};
    int signal_number = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0;

    tracee->role = ROLE_LEAVING;
    image->wait_status = wait_status;
    image->end_signal = signal_number && can_die_of(tracee, signal_number) ? signal_number : 0;
    let_through(tracee, 0);
    if (ptrace_registers_rewind_to(tracee->pid, &image->registers, SYS_wait4, arguments) == 0)
        go_on(tracee);
    else
        kill_and_forget(gate, tracee);
}

void
ptrace_copy_leave(struct gate *gate, struct gate_process *process, int wait_status)
{
    struct tracee *tracee = tracer_find(tracer_of(gate), process->pid);

    if (tracee && tracee->role == ROLE_KEPT)
        begin_to_leave(gate, tracee, wait_status, process->copy);
}

void
ptrace_copy_put_off(struct gate *gate, struct gate_process *process)
{
    struct tracee *tracee = tracer_find(tracer_of(gate), process->pid);

    if (tracee && tracee->role == ROLE_KEPT)
        tracee->role = ROLE_WAITING;
}

/* The copy has left a core already, if that was wanted. */
static void
die(const struct tracee *tracee, int signal_number)
{
    const struct rlimit none = {0, 0};

    prlimit(tracee->pid, RLIMIT_CORE, &none, NULL);
    let_through(tracee, process_signal_bit(signal_number));
    kill(tracee->pid, signal_number);
}

/* What the last look has missed, which comes ten times a second. */
static void
note_peak(struct gate *gate, const struct tracee *tracee)
{
    const uint64_t address = usage_address(tracee->image) + offsetof(struct rusage, ru_maxrss);
    long kib;

    if (process_read_memory(tracee->pid, address, &kib, sizeof(kib)) == 0 && kib > 0)
        copies_note_peak(gate, tracee->pid, (uint64_t)kib * 1024);
}

static void
has_waited(struct gate *gate, struct tracee *tracee, int64_t result)
{
    const struct image *image = tracee->image;
    const uint64_t status[PTRACE_REGISTERS_ARGUMENTS] = {(uint64_t)exit_status(image->wait_status)};

    if (result > 0)
        note_peak(gate, tracee);
    if (ptrace_registers_rewind_to(tracee->pid, &image->registers, SYS_exit_group, status) < 0)
        kill(tracee->pid, SIGKILL);
    else if (image->end_signal)
        die(tracee, image->end_signal);
    run_once(gate, tracee, 0);
}

/* --- it makes a copy --- */

void
ptrace_copy_is_born(struct tracee *original, struct tracee *copy)
{
    copy->original = original->pid;
    original->image->copy = copy->pid;
}

/* Both stand: the copy is let go, which the keeper knows before. */
static void
finish(struct gate *gate, struct tracee *tracee)
{
    struct image *image = tracee->image;
    struct tracee *copy = tracer_find(tracer_of(gate), image->copy);
    pid_t pid = image->copy;

    if (!image->has_forked || !image->copy_stands || !copy)
        return;
    image->copy = 0;
    if (copies_add(gate, tracee->pid, pid) < 0) {
        kill_and_forget(gate, copy);
        run_once(gate, tracee, 0);
        return;
    }
    tracee->role = ROLE_KEPT;
    run_once(gate, copy, 0);
    copies_run(gate, tracee->pid);
}

void
ptrace_copy_stands(struct gate *gate, struct tracee *copy)
{
    struct tracee *original = tracer_find(tracer_of(gate), copy->original);

    if (!original || original->role != ROLE_COPYING || original->image->copy != copy->pid ||
        ptrace_registers_rewind(copy->pid, &original->image->registers) < 0) {
        kill_and_forget(gate, copy);
        return;
    }
    original->image->copy_stands = true;
    finish(gate, original);
}

void
ptrace_copy_is_dead(struct gate *gate, pid_t original, int wait_status)
{
    struct tracee *tracee = tracer_find(tracer_of(gate), original);

    if (!tracee || tracee->role != ROLE_COPYING)
        return;
    tracee->image->copy_is_dead = true;
    tracee->image->wait_status = wait_status;
    if (tracee->image->has_forked)
        begin_to_leave(gate, tracee, wait_status, tracee->image->copy);
}

void
ptrace_copy_end_unborn(struct gate *gate, const struct tracee *original)
{
    const struct image *image = original->image;
    struct tracee *copy = image ? tracer_find(tracer_of(gate), image->copy) : NULL;

    if (copy && copy->role == ROLE_COPY)
        kill_and_forget(gate, copy);
}

/* A fork that is made once more as well: where the kernel keeps the first argument apart, it is the one of the
 * job's own call again. */
static void
fork_now(struct gate *gate, struct tracee *tracee, const struct ptrace_syscall *call)
{
    const uint64_t arguments[PTRACE_REGISTERS_ARGUMENTS] = {SIGCHLD};
    struct image *image = tracee->image;

    if (call->arch != PTRACE_REGISTERS_ARCH ||
        (!image->is_calling && ptrace_registers_read(tracee->pid, &image->registers) < 0) ||
        ptrace_registers_call(tracee->pid, &image->registers, SYS_clone, arguments) < 0) {
        run_once(gate, tracee, 0);
        return;
    }
    image->is_calling = true;
    go_on(tracee);
}

static void
has_forked(struct gate *gate, struct tracee *tracee, int64_t result)
{
    struct image *image = tracee->image;

    if (result == RESTARTS) {
        go_on(tracee);
        return;
    }
    ptrace_registers_rewind(tracee->pid, &image->registers);
    image->is_calling = false;
    if (result < 0) {
        run_once(gate, tracee, 0);
        return;
    }
    image->has_forked = true;
    if (image->copy_is_dead)
        begin_to_leave(gate, tracee, image->wait_status, (pid_t)result);
    else
        finish(gate, tracee);
}

void
ptrace_copy_on_syscall(struct gate *gate, struct tracee *tracee)
{
    struct ptrace_syscall call;

    if (ptrace_syscall_read(tracee->pid, &call) < 0)
        run_once(gate, tracee, 0);
    else if (tracee->role == ROLE_LEAVING && !call.is_entry)
        has_waited(gate, tracee, call.result);
    else if (tracee->image->is_calling && !call.is_entry)
        has_forked(gate, tracee, call.result);
    else if (tracee->role == ROLE_COPYING && call.is_entry)
        fork_now(gate, tracee, &call);
    else /* the end of its execve(2), the beginning of its wait4(2) */
        go_on(tracee);
}

/* What has been sent to the job came to the copy, too, if there was one. */
void
ptrace_copy_on_signal(struct gate *gate, struct tracee *tracee, int signal_number)
{
    if (tracee->role == ROLE_LEAVING || signal_number == SIGCHLD) {
        go_on(tracee);
        return;
    }
    if (tracee->image->is_calling)
        ptrace_registers_rewind(tracee->pid, &tracee->image->registers);
    run_once(gate, tracee, signal_number);
}
