/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What becomes of a process that executes a program: it goes on, or is stopped, and is watched until it
 * may run or is ended. */
#include "ninja-shim/gate/seccomp/arrivals.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>

#include "libjobserver/process.h"
#include "libjobserver/program/message.h"
#include "ninja-shim/gate/part.h"
#include "ninja-shim/gate/seccomp/exit.h"
#include "ninja-shim/gate/seccomp/stops.h"
#include "ninja-shim/gate/seccomp/trees.h"

/* Soon after something has come: has its exec failed? */
#define WATCH_MS_MIN 2
#define WATCH_MS_MAX 50
/* So many processes at most in a millisecond. */
#define WATCH_PER_MS 2
/* Then it is killed, whatever it exits with by that. */
#define END_LOOKS_MAX 100

static void
signal_process(const struct gate_process *process, int signal_number)
{
    pidfd_send_signal(process->pidfd, signal_number, NULL, 0);
}

static void
start_watch(struct seccomp_gate *of, unsigned wait_ms)
{
    const struct timeval wait = {.tv_sec = wait_ms / 1000, .tv_usec = wait_ms % 1000 * 1000L};

    of->watch_ms = wait_ms;
    evtimer_add(of->watch_event, &wait);
}

static void
watch_soon(struct seccomp_gate *of)
{
    /* What comes every moment must not put it off again and again. */
    if (of->watch_ms != WATCH_MS_MIN || !evtimer_pending(of->watch_event, NULL))
        start_watch(of, WATCH_MS_MIN);
}

/* --- what is pending --- */

/* A program that has just been executed has no handlers: what is not ignored kills. */
static bool
is_to_die(pid_t pid)
{
    const int harmless[] = {SIGCHLD, SIGCONT, SIGURG, SIGWINCH, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU};
    struct process_signals signals;

    if (process_signals(pid, &signals) < 0)
        return false;
    uint64_t deadly = signals.pending & ~signals.blocked & ~signals.ignored;
    for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
        deadly &= ~process_signal_bit(harmless[i]);
    return deadly != 0;
}

static bool
is_stopped(const struct process_info *info)
{
    return info->state == 'T' || info->state == 't';
}

/* --- the kind's part of a gate --- */

void
seccomp_arrivals_run(struct gate *gate, struct gate_process *process)
{
    struct seccomp_gate *of = seccomp_gate_of(gate);

    if (process->pid == of->arriving)
        return; /* it goes on by the answer to its notification */
    if (!of->is_inner && seccomp_stop_is_under_way(of, process->pid))
        seccomp_stop_cancel(of, process->pid);
    else
        signal_process(process, SIGCONT);
}

static void
kill_process(struct seccomp_gate *of, const struct gate_process *process)
{
    signal_process(process, SIGKILL);
    seccomp_stop_forget(of, process->pid);
}

/* false: it has not stopped yet. Before its exec it shares its memory with its parent, perhaps (vfork(2)),
 * and nothing may be written there. */
static bool
end_stopped(struct seccomp_gate *of, struct gate_process *process)
{
    struct seccomp_waiter *waiter = seccomp_waiter_of(process);
    struct process_info info;

    if (++waiter->end_looks < END_LOOKS_MAX &&
        (seccomp_stop_is_under_way(of, process->pid) || process_info(process->pid, &info) < 0 ||
         !is_stopped(&info)))
        return false;
    bool has_stopped = waiter->end_looks < END_LOOKS_MAX;
    waiter->end_looks = 0;
    /* One that is to die of a signal when it is continued does so first. */
    if (has_stopped && info.has_executed &&
        (is_to_die(process->pid) || seccomp_exit_prepare(process->pid, of->gate->queue.end_status)))
        signal_process(process, SIGCONT);
    else
        kill_process(of, process);
    return true;
}

void
seccomp_arrivals_end(struct gate *gate, struct gate_process *process, int status)
{
    struct seccomp_gate *of = seccomp_gate_of(gate);

    if (status < 0)
        kill_process(of, process);
    else if (process->pid == of->arriving)
        seccomp_waiter_of(process)->end_looks = 1; /* it is stopped first, as one that waits */
    else if (!end_stopped(of, process))
        watch_soon(of);
}

/* --- coming --- */

static void
refuse(pid_t pid, int error)
{
    message("hold back process %d: %s; killing it", (int)pid, strerror(-error));
    kill(pid, SIGKILL);
}

static void
stop(struct seccomp_gate *of, const struct seccomp_exec *exec, const struct process_info *info,
     struct seccomp_tree *tree)
{
    int result = seccomp_stop_begin(of, exec, info, tree);

    if (result < 0 && result != -ESRCH)
        refuse(info->pid, result);
}

/* A job of our own: stopped only if it must wait. */
static void
arrive_at_own(struct seccomp_gate *of, const struct seccomp_exec *exec,
              const struct process_info *info, struct seccomp_tree *tree)
{
    struct gate_process *process = gate_find(of->gate, info->pid);
    int result = 0;

    if (!process) {
        of->arriving = info->pid;
        result = gate_admit(of->gate, info->pid, info->parent);
        of->arriving = 0;
        process = gate_find(of->gate, info->pid);
    }
    if (result < 0) {
        refuse(info->pid, result);
        return;
    }
    if (!process || process->job->job.state == JOB_RUNNING) {
        seccomp_listener_continue(of->listener, exec->id);
    } else if (process->job->job.state == JOB_WAITING ||
               seccomp_waiter_of(process)->end_looks > 0) {
        seccomp_waiter_of(process)->is_at_large = false;
        stop(of, exec, info, tree);
        watch_soon(of);
    }
}

/* A child of a lazy client executes its first program. */
static void
arrive_from_lazy(struct seccomp_gate *of, const struct seccomp_exec *exec,
                 const struct process_info *info, struct seccomp_tree *tree)
{
    if (tree->is_abandoned) {
        seccomp_listener_kill(of->listener, exec->id, info->pid);
    } else if (seccomp_exec_is_called(exec, tree->name_list)) {
        seccomp_tree_add_lazy(of, tree, info->pid);
        seccomp_listener_continue(of->listener, exec->id);
    } else if (tree->peer) {
        stop(of, exec, info, tree);
    } else if (gate_part_of(of->gate, info->pid, info->parent) != GATE_PART_JOB) {
        seccomp_listener_continue(of->listener, exec->id);
    } else {
        arrive_at_own(of, exec, info, tree);
    }
}

void
seccomp_arrivals_take(struct seccomp_gate *of, const struct seccomp_exec *exec)
{
    struct process_info info;
    int first = seccomp_exec_is_first(exec, &info);
    struct seccomp_tree *tree = first > 0 ? seccomp_tree_of_lazy(of, info.parent) : NULL;

    if (first < 0)
        seccomp_listener_refuse(of->listener, exec->id, first);
    else if (tree)
        arrive_from_lazy(of, exec, &info, tree);
    else if (first && seccomp_tree_has_orphan(of, &info))
        seccomp_listener_kill(of->listener, exec->id, info.pid);
    else
        seccomp_listener_continue(of->listener, exec->id);
}

void
seccomp_arrivals_take_stopped(struct seccomp_gate *of, pid_t pid, pid_t lazy)
{
    struct gate_process *process = gate_find(of->gate, pid);

    seccomp_tree_add_lazy(of, LIST_FIRST(&of->trees), lazy);
    if (process && process->job->job.state == JOB_RUNNING) {
        signal_process(process, SIGCONT); /* its exec had failed, and this is its next one */
    } else if (process) {
        seccomp_waiter_of(process)->is_at_large = false;
        watch_soon(of);
    } else {
        int result = gate_admit(of->gate, pid, lazy);
        if (result < 0)
            refuse(pid, result);
        watch_soon(of);
    }
}

/* --- waiting --- */

static void
look_at(struct seccomp_gate *of, struct gate_process *process)
{
    struct process_info info;

    if (seccomp_stop_is_under_way(of, process->pid) || process_info(process->pid, &info) < 0)
        return;
    bool stopped = is_stopped(&info);
    if (stopped && !info.has_executed) {
        /* Its exec has failed. It tries another file, or gives up, with its parent still in
         * vfork(2), perhaps. */
        seccomp_waiter_of(process)->is_at_large = true;
        signal_process(process, SIGCONT);
    } else if (stopped && is_to_die(process->pid)) {
        /* A stopped process acts on no signal but SIGKILL; ninja, interrupted, sends them to its
         * jobs and waits for their ends. Continued, it dies of that one first. */
        signal_process(process, SIGCONT);
    } else if (!stopped && !seccomp_waiter_of(process)->is_at_large) {
        /* Somebody has continued it: the shell, after ^Z, all that belongs to its job. */
        signal_process(process, SIGSTOP);
    }
}

void
seccomp_arrivals_on_timer(evutil_socket_t fd, short what, void *argument)
{
    struct seccomp_gate *of = argument;
    struct gate_process *process, *next;
    unsigned waiting = 0;

    HASH_ITER (hh, of->gate->processes, process, next) {
        bool ending =
            process->job->job.state == JOB_ENDING && seccomp_waiter_of(process)->end_looks > 0;
        if (ending ? end_stopped(of, process) : process->job->job.state != JOB_WAITING)
            continue;
        if (!ending)
            look_at(of, process);
        waiting++;
    }
    unsigned wait_ms = 2 * of->watch_ms < WATCH_MS_MAX ? 2 * of->watch_ms : WATCH_MS_MAX;
    if (wait_ms < waiting / WATCH_PER_MS)
        wait_ms = waiting / WATCH_PER_MS;
    if (waiting > 0)
        start_watch(of, wait_ms);
}
