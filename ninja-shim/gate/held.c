/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What holds a gate open when its program has ended: a job, or a process that may start one. */
#include "ninja-shim/gate/held.h"

#include "libjobserver/process.h"
#include "libjobserver/program/message.h"

static const struct timeval patience = {.tv_sec = 1};

static pid_t
find_holder(const struct gate *gate)
{
    const struct gate_process *process, *next;

    HASH_ITER (hh, gate->processes, process, next) {
        if (!process_pidfd_has_exited(process->pidfd))
            return process->pid;
    }
    return gate->kind->find_holder(gate);
}

static void
on_timer(evutil_socket_t fd, short what, void *argument)
{
    struct gate *gate = argument;
    char command[80];
    pid_t pid = find_holder(gate);

    if (pid > 0 && process_command(pid, command, sizeof(command)) == 0)
        message("the gate keeps running as long as '%s' (pid %d) runs", command, (int)pid);
    message_end();
}

void
held_root_ended(struct gate *gate)
{
    gate->held_event = evtimer_new(gate->base, on_timer, gate);
    if (!gate->held_event || evtimer_add(gate->held_event, &patience) < 0)
        message_end();
}
