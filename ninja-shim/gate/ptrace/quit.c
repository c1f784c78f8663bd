/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A lazy client that has failed leaves: its jobs that wait are ended behind its back. */
#include "ninja-shim/gate/ptrace/quit.h"

#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libjobserver/process.h"
#include "ninja-shim/gate/ptrace/syscall.h"

#define VECTORS_MAX 8

/* --- when it begins --- */

void
ptrace_quit_open(struct quit *quit, pid_t root)
{
    pid_t children[PROCESS_CHILDREN_MAX];
    size_t n = process_children(root, children);

    *quit = (struct quit){.state = QUIT_NONE, .strangers = calloc(n + 1, sizeof(*quit->strangers))};
    if (!quit->strangers)
        return;
    memcpy(quit->strangers, children, n * sizeof(*children));
    quit->stranger_count = n;
}

void
ptrace_quit_close(struct quit *quit)
{
    free(quit->strangers);
}

void
ptrace_quit_give_up(struct quit *quit)
{
    quit->state = QUIT_GIVEN_UP;
}

static bool
is_lazy_process(const struct tracee *tracee)
{
    return tracee->role == ROLE_LAZY && tracee->pid == tracee->lazy;
}

/* 0: there are several, and which of them has failed is not known. */
static pid_t
only_lazy(const struct tracer *tracer)
{
    const struct tracee *tracee, *next;
    pid_t lazy = 0;

    HASH_ITER (hh, tracer->tracees, tracee, next) {
        if (!is_lazy_process(tracee))
            continue;
        if (lazy)
            return 0;
        lazy = tracee->pid;
    }
    return lazy;
}

/* It goes on from the stop that this brings, if not from another one, and begins anew what it waits in. */
static bool
look_again(const struct quit *quit)
{
    return ptrace(PTRACE_INTERRUPT, quit->lazy, NULL, NULL) == 0;
}

/* false: it cannot be done. */
static bool
begin(const struct gate *gate, struct quit *quit)
{
    quit->lazy = gate->plan->ending && PTRACE_QUIT_IS_SUPPORTED && quit->strangers
                     ? only_lazy(tracer_of(gate))
                     : 0;
    if (!quit->lazy || !look_again(quit))
        return false;
    quit->state = QUIT_REPORTS;
    return true;
}

bool
ptrace_quit_is_watching(const struct quit *quit, pid_t pid)
{
    return quit->lazy == pid && quit->state != QUIT_NONE && quit->state != QUIT_GIVEN_UP;
}

/* --- it reports --- */

static bool
is_stranger(const struct quit *quit, pid_t pid)
{
    for (size_t i = 0; i < quit->stranger_count; i++)
        if (quit->strangers[i] == pid)
            return true;
    return false;
}

/* Nothing runs any more, and it has seen how all that ran has ended: a job that has ended is its child as
 * long as it has not asked for that. */
static bool
has_reported_all(struct gate *gate, const struct quit *quit)
{
    const struct tracer *tracer = tracer_of(gate);
    pid_t children[PROCESS_CHILDREN_MAX];

    gate_sweep(gate);
    if (!TAILQ_EMPTY(&gate->queue.running))
        return false;
    size_t n = process_children(quit->lazy, children);
    for (size_t i = 0; i < n; i++)
        if (!tracer_find(tracer, children[i]) && !is_stranger(quit, children[i]))
            return false;
    return true;
}

/* It has nothing to do but to wait for its jobs. */
static bool
is_waiting(const struct ptrace_syscall *call)
{
    const uint64_t waits[] = {
        SYS_ppoll, SYS_pselect6, SYS_epoll_pwait,
#ifdef SYS_poll
        SYS_poll,  SYS_select,   SYS_epoll_wait,
#endif
    };

    for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++)
        if (call->number == waits[i])
            return true;
    return false;
}

/* It leaves already, for a reason of its own: a job that has ended looks to it like an interruption. */
static bool
is_leaving(const struct tracer *tracer, const struct ptrace_syscall *call)
{
    const struct tracee *tracee = tracer_find(tracer, (pid_t)call->arguments[0]);

    return call->number == SYS_wait4 && !(call->arguments[2] & WNOHANG) && tracee &&
           (tracee->role == ROLE_WAITING || tracee->role == ROLE_CHILD);
}

static void
watch_reports(struct gate *gate, struct quit *quit, const struct ptrace_syscall *call)
{
    if (is_leaving(tracer_of(gate), call))
        ptrace_quit_give_up(quit);
    else if (is_waiting(call) && has_reported_all(gate, quit))
        quit->has_reported = true;
    else
        return;
    gate_serve(gate);
}

/* --- it is interrupted --- */

/* That says so to it, and kills the process; 0: there is none. */
static int
find_deadly_signal(pid_t pid)
{
    const int interruptions[] = {SIGINT, SIGTERM, SIGHUP};
    struct process_signals signals;

    if (process_signals(pid, &signals) < 0)
        return 0;
    for (size_t i = 0; i < sizeof(interruptions) / sizeof(interruptions[0]); i++)
        if (!((signals.ignored | signals.blocked) & process_signal_bit(interruptions[i])))
            return interruptions[i];
    return 0;
}

static const struct tracee *
find_waiting(const struct tracer *tracer, pid_t lazy)
{
    const struct tracee *tracee, *next;

    HASH_ITER (hh, tracer->tracees, tracee, next) {
        if (tracee->role == ROLE_WAITING && tracee->lazy == lazy)
            return tracee;
    }
    return NULL;
}

/* The signal is there before the job goes on, which therefore makes no step. If none waits, one is on its
 * way to the gate. */
static void
interrupt_one(struct gate *gate, struct quit *quit)
{
    const struct tracee *tracee = find_waiting(tracer_of(gate), quit->lazy);

    if (!tracee)
        return;
    int deadly = find_deadly_signal(tracee->pid);
    if (deadly == 0) {
        ptrace_quit_give_up(quit);
        return;
    }
    quit->victim = tracee->pid;
    quit->state = QUIT_INTERRUPTED;
    kill(tracee->pid, deadly);
    ptrace_release(gate, tracee->pid);
}

static bool
has_seen_victim(const struct quit *quit)
{
    struct process_info info;

    return process_info(quit->victim, &info) < 0 || info.parent != quit->lazy;
}

enum gate_end
ptrace_quit_may_end(struct gate *gate)
{
    struct quit *quit = &tracer_of(gate)->quit;

    if (quit->state == QUIT_NONE && !begin(gate, quit))
        quit->state = QUIT_GIVEN_UP;
    if (quit->state == QUIT_REPORTS && quit->has_reported)
        interrupt_one(gate, quit);
    else if (quit->state == QUIT_REPORTS && TAILQ_EMPTY(&gate->queue.running))
        /* The last that ran may be one of which it hears nothing: a job that is put off, a copy without its
         * original. It may have begun to wait before that. */
        look_again(quit);
    if (quit->state == QUIT_LEAVES)
        return GATE_END_UNSEEN;
    return quit->state == QUIT_GIVEN_UP ? GATE_END_SEEN : GATE_END_LATER;
}

/* --- it leaves --- */

/* Is the text, with a full stop and the end of its line, the last that is to be written from there?
 * Then it is changed, and *size with it. */
static bool
change_text(const struct gate_ending *ending, pid_t pid, uint64_t address, uint64_t *size)
{
    const size_t length = strlen(ending->interrupted), shorter = strlen(ending->failed);
    char text[GATE_ENDING_SIZE + sizeof(".\n")] = "";

    for (size_t rest = 0; rest <= strlen(".\n") && length + rest <= *size; rest++) {
        uint64_t at = address + *size - length - rest;
        if (process_read_memory(pid, at, text, length + rest) < 0 ||
            memcmp(text, ending->interrupted, length) != 0 ||
            memcmp(text + length, &".\n"[2 - rest], rest) != 0)
            continue;
        memmove(text + shorter, text + length, rest);
        memcpy(text, ending->failed, shorter);
        if (process_write_memory(pid, at, text, shorter + rest) < 0)
            return false;
        *size -= length - shorter;
        return true;
    }
    return false;
}

static void
change_write(const struct gate_ending *ending, struct quit *quit, struct ptrace_syscall *call)
{
    uint64_t size = call->arguments[2];

    if (!change_text(ending, quit->lazy, call->arguments[1], &call->arguments[2]))
        return;
    quit->wanted = size;
    quit->written = call->arguments[2];
    ptrace_syscall_change(quit->lazy, call);
}

/* As musl writes. */
static void
change_vectors(const struct gate_ending *ending, struct quit *quit,
               const struct ptrace_syscall *call)
{
    struct iovec vectors[VECTORS_MAX];
    size_t n = (size_t)call->arguments[2];
    uint64_t total = 0, cut = 0;

    if (n > VECTORS_MAX ||
        process_read_memory(quit->lazy, call->arguments[1], vectors, n * sizeof(*vectors)) < 0)
        return;
    for (size_t i = 0; i < n; i++) {
        uint64_t size = vectors[i].iov_len;
        total += size;
        if (cut || !change_text(ending, quit->lazy, (uintptr_t)vectors[i].iov_base, &size))
            continue;
        cut = vectors[i].iov_len - size;
        vectors[i].iov_len = (size_t)size;
    }
    if (!cut ||
        process_write_memory(quit->lazy, call->arguments[1], vectors, n * sizeof(*vectors)) < 0)
        return;
    quit->wanted = total;
    quit->written = total - cut;
}

/* Of a job that it believes to have run it would remove the outputs: they are as they were. */
static void
skip_removal(const struct gate_ending *ending, struct quit *quit, struct ptrace_syscall *call,
             uint64_t address)
{
    char path[PATH_MAX] = "";
    size_t length = 0;

    while (length < sizeof(path) - 1 &&
           process_read_memory(quit->lazy, address + length, path + length, 1) == 0 && path[length])
        length++;
    const char *slash = strrchr(path, '/');
    if (strcmp(slash ? slash + 1 : path, ending->removed) == 0)
        return;
    call->number = PTRACE_SYSCALL_NONE;
    quit->is_skipping = ptrace_syscall_change(quit->lazy, call) == 0;
}

static void
change_status(const struct gate *gate, const struct quit *quit, struct ptrace_syscall *call)
{
    const struct gate_ending *ending = gate->plan->ending;

    for (size_t i = 0; i < sizeof(ending->statuses) / sizeof(ending->statuses[0]); i++) {
        if (call->arguments[0] != (uint64_t)ending->statuses[i].interrupted)
            continue;
        int failed = ending->statuses[i].failed;
        call->arguments[0] =
            (uint64_t)(failed == GATE_STATUS_OF_JOB ? gate->queue.end_status : failed);
        ptrace_syscall_change(quit->lazy, call);
        return;
    }
}

static void
change_call(const struct gate *gate, struct quit *quit, struct ptrace_syscall *call)
{
    const struct gate_ending *ending = gate->plan->ending;
    bool is_output = call->arguments[0] == STDOUT_FILENO || call->arguments[0] == STDERR_FILENO;

    if (call->number == SYS_write && is_output)
        change_write(ending, quit, call);
    else if (call->number == SYS_writev && is_output)
        change_vectors(ending, quit, call);
    else if (call->number == SYS_unlinkat)
        skip_removal(ending, quit, call, call->arguments[1]);
#ifdef SYS_unlink
    else if (call->number == SYS_unlink)
        skip_removal(ending, quit, call, call->arguments[0]);
#endif
    else if (call->number == SYS_exit_group)
        change_status(gate, quit, call);
}

static void
change_result(struct quit *quit, const struct ptrace_syscall *call)
{
    if (quit->is_skipping)
        ptrace_syscall_set_result(quit->lazy, call, 0);
    else if (quit->written && call->result == (int64_t)quit->written)
        ptrace_syscall_set_result(quit->lazy, call, (int64_t)quit->wanted);
    else
        return;
    quit->is_skipping = false;
    quit->written = 0;
}

void
ptrace_quit_on_syscall(struct gate *gate, pid_t pid)
{
    struct quit *quit = &tracer_of(gate)->quit;
    struct ptrace_syscall call;

    if (ptrace_syscall_read(pid, &call) < 0 || call.arch != PTRACE_QUIT_ARCH) {
        ptrace_quit_give_up(quit);
        gate_serve(gate);
        return;
    }
    if (quit->state == QUIT_REPORTS && call.is_entry) {
        watch_reports(gate, quit, &call);
    } else if (quit->state == QUIT_INTERRUPTED && has_seen_victim(quit)) {
        quit->state = QUIT_LEAVES;
        gate_serve(gate);
    }
    if (quit->state == QUIT_LEAVES && call.is_entry)
        change_call(gate, quit, &call);
    else if (quit->state == QUIT_LEAVES)
        change_result(quit, &call);
}
