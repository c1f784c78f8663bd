/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copies of jobs: when they begin, and when they end. */
#include "ninja-shim/gate/copies.h"
#include "ninja-shim/gate/tokens.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libjobserver/process.h"
#include "libjobserver/program/descriptors.h"

#define ENDS_AT_ONCE 64

int
copies_open(struct gate *gate, event_callback_fn on_end)
{
    gate->copies_fd = epoll_create1(EPOLL_CLOEXEC);
    if (gate->copies_fd < 0)
        return -errno;
    gate->copies_event = event_new(gate->base, gate->copies_fd, EV_READ | EV_PERSIST, on_end, gate);
    return gate->copies_event && event_add(gate->copies_event, NULL) == 0 ? 0 : -ENOMEM;
}

void
copies_close(struct gate *gate)
{
    if (gate->copies_event)
        event_free(gate->copies_event);
    if (gate->copies_fd >= 0)
        close(gate->copies_fd);
}

pid_t
copies_pid(const struct gate_process *process)
{
    return process->copy ? process->copy : process->pid;
}

/* --- they begin --- */

static int
watch(struct gate *gate, struct gate_process *process)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = process};

    if (descriptors_are_scarce(process->copy_pidfd))
        return -EMFILE;
    if (epoll_ctl(gate->copies_fd, EPOLL_CTL_ADD, process->copy_pidfd, &event) < 0)
        return -errno;
    process->copy_holding = holdings_add(gate->holdings, HOLDING_WAITING, process->copy_pidfd);
    return process->copy_holding < 0 ? process->copy_holding : 0;
}

int
copies_add(struct gate *gate, pid_t pid, pid_t copy)
{
    struct gate_process *process;

    HASH_FIND_INT(gate->processes, &pid, process);
    if (!process || process->copy || process_pidfd_has_exited(process->pidfd))
        return -ESRCH;
    process->copy_pidfd = process_open_pidfd(copy);
    if (process->copy_pidfd < 0)
        return process->copy_pidfd;
    int result = watch(gate, process);
    if (result < 0) {
        close(process->copy_pidfd);
        return result;
    }
    process->copy = copy;
    /* As of whatever runs: what is killed in between is killed by the keeper, and its token goes home. */
    tokens_note(gate, process->copy_holding, process->job);
    return 0;
}

void
copies_run(struct gate *gate, pid_t pid)
{
    struct gate_process *process;

    HASH_FIND_INT(gate->processes, &pid, process);
    if (!process || !process->copy)
        return;
    holdings_run(gate->holdings, process->copy_holding);
    process->job->memory.job.may_run_twice = process->job->memory.may_run_twice;
}

/* --- they end --- */

void
copies_note_peak(struct gate *gate, pid_t pid, uint64_t bytes)
{
    struct gate_process *process;

    HASH_FIND_INT(gate->processes, &pid, process);
    if (process)
        memory_note_peak(&process->job->memory.job, bytes);
}

bool
copies_outlive(struct gate *gate, struct gate_process *process)
{
    if (!process->copy)
        return false;
    if (process->is_orphan)
        return true;
    /* Its pid may be another one's soon. */
    process->is_orphan = true;
    HASH_DEL(gate->processes, process);
    epoll_ctl(gate->ended_fd, EPOLL_CTL_DEL, process->pidfd, NULL);
    process_signal(process->copy, process->copy_pidfd, SIGKILL);
    return true;
}

static void
forget_copy(struct gate *gate, struct gate_process *process)
{
    holdings_remove(gate->holdings, process->copy_holding);
    close(process->copy_pidfd); /* leaves epoll as well */
    process->copy = 0;
    process->job->memory.job.may_run_twice = false;
}

static bool
is_killed_for_memory(const struct gate_process *process, int wait_status)
{
    return process->job->memory.job.state == MEMORY_IS_DYING && WIFSIGNALED(wait_status) &&
           WTERMSIG(wait_status) == SIGKILL;
}

bool
copies_are_gone(struct gate_process *process)
{
    if (process->copy ||
        (process->largest_pidfd >= 0 && !process_pidfd_has_exited(process->largest_pidfd)))
        return false;
    if (process->largest_pidfd >= 0)
        close(process->largest_pidfd);
    process->largest_pidfd = -1;
    return true;
}

enum copies_end
copies_end(struct gate *gate, struct gate_process *process)
{
    int wait_status = W_EXITCODE(0, SIGKILL);
    enum copies_end end = COPIES_END_LEAVES;

    process_end_status(process->copy, process->copy_pidfd, &wait_status);
    if (process->is_orphan)
        end = COPIES_END_ORPHAN;
    else if (is_killed_for_memory(process, wait_status))
        end = COPIES_END_KILLED;
    else
        gate->kind->leave_as(gate, process, wait_status);
    forget_copy(gate, process);
    return end;
}

int
copies_ended(const struct gate *gate, struct gate_process **processes, int max)
{
    struct epoll_event events[ENDS_AT_ONCE];
    int ended = epoll_wait(gate->copies_fd, events, max < ENDS_AT_ONCE ? max : ENDS_AT_ONCE, 0);

    for (int i = 0; i < ended; i++)
        processes[i] = events[i].data.ptr;
    return ended;
}
