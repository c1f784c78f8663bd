/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The gate by ptrace(2): a tracer of lazy clients, whose children stop where they execute a program. */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libjobserver/process.h"
#include "libjobserver/program/message.h"
#include "ninja-shim/gate/held.h"
#include "ninja-shim/gate/memory.h"
#include "ninja-shim/gate/part.h"
#include "ninja-shim/gate/ptrace/again.h"
#include "ninja-shim/gate/ptrace/copy.h"
#include "ninja-shim/gate/ptrace/exit.h"
#include "ninja-shim/gate/ptrace/gate.h"
#include "ninja-shim/gate/ptrace/private.h"
#include "ninja-shim/gate/ptrace/quit.h"
#include "ninja-shim/gate/tell.h"

#define TRACE_OPTIONS                                                                              \
    (PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC |         \
     PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)

/* --- who is traced --- */

static struct tracee *
add(struct tracer *tracer, pid_t pid, enum role role, pid_t lazy)
{
    struct tracee *tracee = calloc(1, sizeof(*tracee));

    if (!tracee)
        return NULL;
    *tracee = (struct tracee){.pid = pid, .role = role, .lazy = lazy, .pidfd = -1, .holding = -1};
    HASH_ADD_INT(tracer->tracees, pid, tracee);
    return tracee;
}

/* The keeper knows it no more as a lazy client. */
static void
resign(struct gate *gate, struct tracee *tracee)
{
    if (tracee->holding >= 0)
        holdings_remove(gate->holdings, tracee->holding);
    if (tracee->pidfd >= 0)
        close(tracee->pidfd);
    tracee->holding = tracee->pidfd = -1;
}

void
ptrace_forget(struct gate *gate, struct tracee *tracee)
{
    struct tracer *tracer = tracer_of(gate);

    resign(gate, tracee);
    HASH_DEL(tracer->tracees, tracee);
    free(tracee->image);
    free(tracee);
}

static void
become_lazy(struct gate *gate, struct tracee *tracee)
{
    tracee->role = ROLE_LAZY;
    tracee->lazy = tracee->pid;
    tracee->pidfd = process_open_pidfd(tracee->pid);
    if (tracee->pidfd >= 0)
        tracee->holding = holdings_add(gate->holdings, HOLDING_LAZY_CLIENT, tracee->pidfd);
}

/* --- the kind's part of a gate --- */

static void
let_go(struct gate *gate, struct tracee *tracee)
{
    /* If it has died meanwhile, its pidfd tells. */
    ptrace(PTRACE_DETACH, tracee->pid, NULL, NULL);
    ptrace_forget(gate, tracee);
}

/* With its privilege, if that can be had. */
static void
leave(struct gate *gate, struct tracee *tracee)
{
    if (tracee->words[0] != 0)
        ptrace_again_begin(tracee);
    else
        let_go(gate, tracee);
}

void
ptrace_release(struct gate *gate, pid_t pid)
{
    struct tracee *tracee = tracer_find(tracer_of(gate), pid);

    if (tracee && tracee->role == ROLE_WAITING)
        leave(gate, tracee);
}

static void
run(struct gate *gate, struct gate_process *process)
{
    ptrace_release(gate, process->pid);
}

static void
end(struct gate *gate, struct gate_process *process, int status)
{
    struct tracee *tracee = tracer_find(tracer_of(gate), process->pid);

    if (!tracee || tracee->role != ROLE_WAITING)
        return;
    tracee->role = ROLE_ENDING;
    tracee->end_status = status;
    if (status >= 0 && ptrace_exit_begin(tracee->pid))
        return;
    kill(tracee->pid, SIGKILL);
    let_go(gate, tracee);
}

/* --- stops --- */

static void
go_on(const struct gate *gate, pid_t pid, int signal_number)
{
    bool watching = ptrace_quit_is_watching(&tracer_of(gate)->quit, pid);

    ptrace(watching ? PTRACE_SYSCALL : PTRACE_CONT, pid, NULL, (void *)(intptr_t)signal_number);
}

/* Traced, it has not got the privilege that its file gives (ptrace(2), "execve(2) under ptrace"), unless
 * we have it ourselves, and would run and fail in its own way. */
static bool
has_lost_privilege(pid_t pid)
{
    return geteuid() != 0 && process_has_set_id_program(pid);
}

static void
refuse_set_id(struct gate *gate, struct tracee *tracee)
{
    char command[80] = "?";

    process_command(tracee->pid, command, sizeof(command));
    message(
        "'%s' is a set-id program, and itself a job, so it would run without its privilege; run "
        "it below a shell (sh -c)",
        command);
    tracee->role = ROLE_ENDING;
    tracee->end_status = 126;
    if (!ptrace_exit_begin(tracee->pid))
        let_go(gate, tracee);
}

/* It may do without, or else says so itself, but not why. */
static void
warn_of_set_id(pid_t pid)
{
    char command[80] = "?";

    process_command(pid, command, sizeof(command));
    message("'%s' is a set-id program, and runs without its privilege; below a job it would have "
            "it",
            command);
}

/* true: it is none, and has been let through. */
static bool
is_no_job(struct gate *gate, struct tracee *tracee)
{
    switch (gate_part_of(gate, tracee->pid, tracee->lazy)) {
    case GATE_PART_JOB:
        return false;
    case GATE_PART_OTHER:
        leave(gate, tracee);
        return true;
    case GATE_PART_LEADS:
        tracee->role = ROLE_PASSER;
        go_on(gate, tracee->pid, 0);
        return true;
    }
    return false;
}

/* It stands at the gate now. */
static void
stand_at_gate(struct gate *gate, struct tracee *tracee)
{
    pid_t pid = tracee->pid;

    if (tracee->lazy == 0) {
        /* Whose job it was has been killed while it came here. */
        kill(pid, SIGKILL);
        let_go(gate, tracee);
        return;
    }
    if (has_lost_privilege(pid) && ptrace_again_prepare(tracee) < 0) {
        refuse_set_id(gate, tracee);
        return;
    }
    if (is_no_job(gate, tracee))
        return;
    tracee->role = ROLE_WAITING;
    int result = gate_admit(gate, pid, tracee->lazy);
    if (result == 0)
        return;
    message("hold back process %d: %s; killing it", (int)pid, strerror(-result));
    kill(pid, SIGKILL);
    let_go(gate, tracee);
}

/* No jobs of its own are expected of it any more: it was a lazy client (`cargo run` becomes the program), or a shell on the
 * way to one has started something else. */
static bool
leaves(const struct gate *gate, const struct tracee *tracee)
{
    return gate->plan->rules.needs_no_tokens && tracee->lazy != 0;
}

static void
on_exec(struct gate *gate, struct tracee *tracee)
{
    struct tracer *tracer = tracer_of(gate);
    bool is_root = tracee->pid == tracer->root && gate->plan->is_root_lazy;
    bool lazy = is_root || process_is_called(tracee->pid, gate->plan->names);
    unsigned long former;
    struct tracee *thread;

    /* A thread that executes takes the place of the first one. */
    if (ptrace(PTRACE_GETEVENTMSG, tracee->pid, NULL, &former) == 0 &&
        (pid_t)former != tracee->pid && (thread = tracer_find(tracer, (pid_t)former)))
        ptrace_forget(gate, thread);
    if (lazy && tracee->role != ROLE_LAZY)
        become_lazy(gate, tracee);
    else if (!lazy && tracee->role == ROLE_LAZY) {
        tracee->role = ROLE_PASSER;
        resign(gate, tracee);
    }
    if (tracee->role == ROLE_CHILD) {
        stand_at_gate(gate, tracee);
        return;
    }
    bool has_lost = has_lost_privilege(tracee->pid);
    if (!lazy && leaves(gate, tracee) && !(has_lost && ptrace_again_prepare(tracee) < 0)) {
        leave(gate, tracee);
        return;
    }
    if (has_lost)
        warn_of_set_id(tracee->pid);
    go_on(gate, tracee->pid, 0);
}

static bool
is_thread(pid_t pid)
{
    pid_t process;

    return process_of_thread(pid, &process) == 0 && process != pid;
}

static enum role
role_of_child(const struct tracee *parent, pid_t child)
{
    switch (parent->role) {
    case ROLE_PASSER:
        return ROLE_PASSER;
    case ROLE_LAZY:
        return process_has_thread(parent->lazy, child) ? ROLE_LAZY : ROLE_CHILD;
    case ROLE_CHILD:
        /* A thread that executes takes the place of its process. */
        return is_thread(child) ? ROLE_CHILD : ROLE_OTHER;
    case ROLE_COPYING:
        return ROLE_COPY;
    default:
        return ROLE_OTHER;
    }
}

/* At its first stop. */
static void
send_off(struct gate *gate, struct tracee *tracee)
{
    if (tracee->role == ROLE_OTHER)
        let_go(gate, tracee);
    else if (tracee->role == ROLE_COPY)
        ptrace_copy_stands(gate, tracee);
    else if (tracee->role == ROLE_COPYING || tracee->role == ROLE_LEAVING ||
             tracee->role == ROLE_AGAIN)
        ptrace(PTRACE_SYSCALL, tracee->pid, NULL, NULL);
    else
        go_on(gate, tracee->pid, 0);
}

static struct tracee *
add_child(struct tracer *tracer, struct tracee *parent, pid_t child)
{
    struct tracee *tracee = add(tracer, child, role_of_child(parent, child), parent->lazy);

    if (tracee && tracee->role == ROLE_COPY)
        ptrace_copy_is_born(parent, tracee);
    return tracee;
}

/* Still traced, or a zombie that is ours to reap. */
static bool
is_ours(pid_t pid)
{
    siginfo_t info;

    return waitid(P_PID, (id_t)pid, &info, WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WALL) == 0;
}

static void
on_fork(struct gate *gate, struct tracee *tracee)
{
    struct tracer *tracer = tracer_of(gate);
    unsigned long message = 0;

    if (ptrace(PTRACE_GETEVENTMSG, tracee->pid, NULL, &message) < 0)
        return;
    pid_t child = (pid_t)message;
    /* It may have been here already (on_birth), and be dead and reaped by now. */
    if (!tracer_find(tracer, child) && is_ours(child))
        add_child(tracer, tracee, child);
    if (tracee->role == ROLE_COPYING)
        ptrace(PTRACE_SYSCALL, tracee->pid, NULL, NULL);
    else
        go_on(gate, tracee->pid, 0);
}

/* A new one has stopped for the first time, before its parent's stop told of it. Perhaps that never comes: the
 * parent has been killed, or another of its threads has executed a program. */
static void
on_birth(struct gate *gate, pid_t pid)
{
    struct tracer *tracer = tracer_of(gate);
    struct process_info info = {0};
    pid_t parent = 0;

    if (!process_has_thread(pid, pid))
        process_of_thread(pid, &parent);
    else if (process_info(pid, &info) == 0)
        parent = info.parent;
    struct tracee *known = tracer_find(tracer, parent);
    if (!known) { /* whose child it is, nobody can know any more */
        kill(pid, SIGKILL);
        return;
    }
    struct tracee *tracee = add_child(tracer, known, pid);
    if (tracee)
        send_off(gate, tracee);
    else
        table_out_of_memory();
}

static bool
stops_terminal_job(int signal_number)
{
    return signal_number == SIGTSTP || signal_number == SIGTTIN || signal_number == SIGTTOU;
}

/* A lazy client hears of a child's end. As long as it stands still it cannot reap any. */
static void
on_child_signal(struct gate *gate, const struct tracee *tracee)
{
    siginfo_t info;

    if (ptrace(PTRACE_GETSIGINFO, tracee->pid, NULL, &info) == 0) {
        if (info.si_code == CLD_EXITED)
            gate_report_end(gate, info.si_pid, W_EXITCODE(info.si_status, 0));
        else if (info.si_code == CLD_KILLED || info.si_code == CLD_DUMPED)
            gate_report_end(gate, info.si_pid, W_EXITCODE(0, info.si_status));
    }
    gate_sweep(gate);
    gate_tell_now(gate); /* before it can end */
    gate_settle_unknown(gate);
}

static bool
is_ignored(pid_t pid, int signal_number)
{
    struct process_signals signals;

    return process_signals(pid, &signals) == 0 &&
           (signals.ignored & process_signal_bit(signal_number));
}

/* The kernel shows a tracer signals, too, that the process ignores: below nohup, samurai goes on. */
static bool
ends_lazy(const struct gate *gate, const struct tracee *tracee, int signal_number)
{
    return gate->plan->is_ended_by_signals && tracee->role == ROLE_LAZY &&
           (signal_number == SIGINT || signal_number == SIGTERM || signal_number == SIGHUP) &&
           !is_ignored(tracee->pid, signal_number);
}

static void
on_signal(struct gate *gate, struct tracee *tracee, int signal_number)
{
    if (tracee->role == ROLE_COPYING || tracee->role == ROLE_LEAVING) {
        ptrace_copy_on_signal(gate, tracee, signal_number);
        return;
    }
    if (tracee->role == ROLE_AGAIN) {
        ptrace(PTRACE_SYSCALL, tracee->pid, NULL, (void *)(intptr_t)signal_number);
        return;
    }
    bool lazy = tracee->role == ROLE_LAZY, ends = ends_lazy(gate, tracee, signal_number);

    if (lazy && signal_number == SIGCHLD)
        on_child_signal(gate, tracee);
    /* ^Z between fork and exec: a parent that waits in vfork(2) would never stop itself, nor go on. */
    if (tracee->role == ROLE_CHILD && stops_terminal_job(signal_number))
        signal_number = 0;
    /* SIGCHLD: of a copy that has been killed. */
    if (tracee->role == ROLE_ENDING && (signal_number == SIGCONT || signal_number == SIGCHLD)) {
        ptrace_exit_begin(tracee->pid);
        return;
    }
    if (tracee->role == ROLE_ENDING) {
        kill(tracee->pid, SIGKILL);
        signal_number = 0;
    }
    if (lazy && signal_number == SIGTERM)
        gate_memory_look_soon(gate);
    if (ends)
        ptrace_quit_give_up(&tracer_of(gate)->quit);
    go_on(gate, tracee->pid, signal_number);
    if (ends)
        gate_interrupt(gate);
    else if (lazy && signal_number == SIGCHLD)
        gate_serve(gate);
}

static void
on_event_stop(struct gate *gate, struct tracee *tracee, int signal_number)
{
    /* A stop of the whole process, which lasts until SIGCONT; else the first stop of a new one, or
     * the end of such a stop. */
    if (signal_number == SIGSTOP || stops_terminal_job(signal_number))
        ptrace(PTRACE_LISTEN, tracee->pid, NULL, NULL);
    else if (tracee->role == ROLE_ENDING)
        /* Of a SIGCONT that has come while it waited. It must not run for that. */
        ptrace_exit_begin(tracee->pid);
    else
        send_off(gate, tracee);
}

static void
on_syscall(struct gate *gate, pid_t pid)
{
    if (ptrace_quit_is_watching(&tracer_of(gate)->quit, pid))
        ptrace_quit_on_syscall(gate, pid);
    go_on(gate, pid, 0);
}

static void
on_stop(struct gate *gate, struct tracee *tracee, int status)
{
    int signal_number = WSTOPSIG(status), event = status >> 16;

    if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK || event == PTRACE_EVENT_CLONE)
        on_fork(gate, tracee);
    else if (event == PTRACE_EVENT_EXEC)
        on_exec(gate, tracee);
    else if (event == PTRACE_EVENT_STOP)
        on_event_stop(gate, tracee, signal_number);
    else if (event == 0 && signal_number != (SIGTRAP | 0x80))
        on_signal(gate, tracee, signal_number);
    else if (tracee->role == ROLE_COPYING || tracee->role == ROLE_LEAVING)
        ptrace_copy_on_syscall(gate, tracee);
    else if (tracee->role == ROLE_AGAIN) {
        if (ptrace_again_on_syscall(tracee))
            ptrace_forget(gate, tracee);
    } else if (tracee->role != ROLE_ENDING)
        on_syscall(gate, tracee->pid);
    else if (ptrace_exit_continue(tracee->pid, tracee->end_status))
        ptrace_forget(gate, tracee);
}

/* --- ends --- */

/* Its children that have not come to the gate yet must not run either. */
static void
disown_children(struct gate *gate, pid_t lazy)
{
    struct tracee *tracee, *next;

    HASH_ITER (hh, tracer_of(gate)->tracees, tracee, next) {
        if (tracee->role == ROLE_CHILD && tracee->lazy == lazy)
            tracee->lazy = 0;
    }
}

static bool
is_lazy_process(const struct tracee *tracee)
{
    return tracee && tracee->role == ROLE_LAZY && tracee->pid == tracee->lazy;
}

static void
on_gone(struct gate *gate, struct tracee *tracee, int status)
{
    bool lazy = is_lazy_process(tracee);
    pid_t pid = tracee->pid, original = tracee->original;

    ptrace_copy_end_unborn(gate, tracee);
    ptrace_forget(gate, tracee);
    if (original)
        ptrace_copy_is_dead(gate, original, status);
    if (pid == tracer_of(gate)->root)
        held_root_ended(gate);
    if (!lazy)
        return;
    gate_settle_unknown(gate);
    /* Whoever ends by itself may leave jobs behind on purpose: a shell's 'job &'. */
    if (WIFSIGNALED(status) || gate->plan->is_ended_by_signals) {
        gate_lazy_ended(gate, pid);
        disown_children(gate, pid);
    }
    gate_serve(gate);
}

/* --- the loop's side --- */

/* The next that has stopped or ended; 0: nobody. */
static pid_t
peek(bool *ended)
{
    siginfo_t info = {0};

    if (waitid(P_ALL, 0, &info, WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WALL) < 0)
        return 0;
    *ended = info.si_code == CLD_EXITED || info.si_code == CLD_KILLED || info.si_code == CLD_DUMPED;
    return info.si_pid;
}

/* false: what has stopped is dying meanwhile, which the next peek() tells. */
static bool
wait_for_peeked(pid_t pid, bool ended, int *status)
{
    siginfo_t info = {0};

    if (ended)
        return waitpid(pid, status, __WALL | WNOHANG) == pid;
    if (waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOHANG | __WALL) < 0 || info.si_pid != pid)
        return false;
    *status = W_STOPCODE(info.si_status);
    return true;
}

static void
serve(struct gate *gate)
{
    struct tracer *tracer = tracer_of(gate);
    bool ended;
    pid_t pid;
    int status;

    while ((pid = peek(&ended)) > 0) {
        struct tracee *tracee = tracer_find(tracer, pid);
        /* Its parent hears of its end when we have reaped it, and finds the tokens there. */
        if (ended && is_lazy_process(tracee))
            gate_sweep(gate);
        if (!wait_for_peeked(pid, ended, &status))
            continue;
        if (pid == gate->keeper)
            gate->keeper = 0;
        else if (ended && tracee)
            on_gone(gate, tracee, status);
        else if (!ended && tracee)
            on_stop(gate, tracee, status);
        else if (!ended)
            on_birth(gate, pid);
    }
}

static bool
is_busy(const struct gate *gate)
{
    return tracer_of(gate)->tracees != NULL;
}

static pid_t
find_holder(const struct gate *gate)
{
    const struct tracee *tracee = tracer_of(gate)->tracees;

    return tracee ? tracee->pid : 0;
}

static void
close_gate(struct gate *gate)
{
    struct tracer *tracer = tracer_of(gate);
    struct tracee *tracee, *next;

    HASH_ITER (hh, tracer->tracees, tracee, next) {
        ptrace_forget(gate, tracee);
    }
    ptrace_quit_close(&tracer->quit);
    free(tracer);
    gate->kind_state = NULL;
}

static bool
has_ended(const struct gate *gate, pid_t lazy)
{
    const struct tracee *tracee = tracer_find(tracer_of(gate), lazy);

    return tracee && tracee->pidfd >= 0 && process_pidfd_has_exited(tracee->pidfd);
}

/* Yama's scope 1 lets only ancestors trace; it is told of this exception. */
static int
prepare(pid_t sidecar, int *fd)
{
    *fd = -1;
    prctl(PR_SET_PTRACER, (unsigned long)sidecar, 0, 0, 0);
    return 0;
}

static int
open_gate(struct gate *gate, pid_t root, int fd)
{
    struct tracer *tracer = calloc(1, sizeof(*tracer));
    struct tracee *tracee = tracer ? add(tracer, root, ROLE_PASSER, 0) : NULL;

    if (!tracee) {
        free(tracer);
        return -ENOMEM;
    }
    if (ptrace(PTRACE_SEIZE, root, NULL, (void *)TRACE_OPTIONS) < 0) {
        int result = -errno;
        HASH_DEL(tracer->tracees, tracee);
        free(tracee);
        free(tracer);
        return result;
    }
    tracer->root = root;
    ptrace_quit_open(&tracer->quit, root);
    gate_set_kind(gate, &ptrace_gate_kind, tracer);
    return 0;
}

const struct gate_kind ptrace_gate_kind = {
    .name = "ptrace",
    .has_end_reports = true,
    .hides_ended = PTRACE_QUIT_IS_SUPPORTED,
    .prepare = prepare,
    .open = open_gate,
    .run = run,
    .end = end,
    .run_copy = ptrace_copy_run,
    .leave_as = ptrace_copy_leave,
    .put_off = ptrace_copy_put_off,
    .may_end = ptrace_quit_may_end,
    .serve = serve,
    .has_ended = has_ended,
    .is_busy = is_busy,
    .find_holder = find_holder,
    .close = close_gate,
};
