/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes on their way to their stop, from their notification on. */
#include "ninja-shim/gate/seccomp/stops.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "libjobserver/program/descriptors.h"
#include "ninja-shim/gate/seccomp/link.h"

/* No event tells what is waited for here; it takes the target one turn on a CPU. */
static const struct timeval look_interval = {.tv_usec = 1000};
/* Then it is answered in any case: at worst its exec begins anew. */
#define LOOKS_MAX 1000

static struct seccomp_stop *
find(const struct seccomp_gate *of, const struct seccomp_peer *peer, pid_t pid)
{
    struct seccomp_stop *stop;

    TAILQ_FOREACH (stop, &of->stops, in_gate) {
        if (stop->pid == pid && stop->peer == peer)
            return stop;
    }
    return NULL;
}

static void
forget(struct seccomp_gate *of, struct seccomp_stop *stop)
{
    TAILQ_REMOVE(&of->stops, stop, in_gate);
    if (stop->holding >= 0)
        holdings_remove(of->gate->holdings, stop->holding);
    close(stop->pidfd);
    free(stop);
}

static void
look_later(struct seccomp_gate *of)
{
    if (!evtimer_pending(of->stop_event, NULL))
        evtimer_add(of->stop_event, &look_interval);
}

/* Before Linux 6.18 an answer is lost if it comes before the signal has made the target wait anew, for
 * fatal signals only now ('D'); its exec would begin again when it is continued, with its parent in
 * vfork(2) all the time. */
static void
answer_if_ready(struct seccomp_gate *of, struct seccomp_stop *stop)
{
    struct process_info info;

    bool gone = process_info(stop->pid, &info) < 0;
    if (!gone && info.state != 'D' && ++stop->looks < LOOKS_MAX &&
        seccomp_listener_is_valid(of->listener, stop->id))
        return;
    seccomp_listener_continue(of->listener, stop->id);
    stop->id = 0;
}

/* Does what can be done now; false: later. */
static bool
push(struct seccomp_gate *of, struct seccomp_stop *stop)
{
    if (stop->peer && !stop->is_announced)
        stop->is_announced = seccomp_link_announce(stop->peer, stop->pid, stop->lazy) != -EAGAIN;
    if (stop->id)
        answer_if_ready(of, stop);
    if (stop->id || (stop->peer && !stop->is_announced))
        return false;
    if (!stop->peer || stop->is_noted)
        forget(of, stop);
    return true;
}

void
seccomp_stop_on_timer(evutil_socket_t fd, short what, void *argument)
{
    struct seccomp_gate *of = argument;
    struct seccomp_stop *stop, *next;
    bool done = true;

    for (stop = TAILQ_FIRST(&of->stops); stop; stop = next) {
        next = TAILQ_NEXT(stop, in_gate);
        done = push(of, stop) && done;
    }
    if (!done)
        look_later(of);
}

/* The pidfd is that of who has sent the notification if that is still valid. */
static struct seccomp_stop *
create(struct seccomp_gate *of, const struct seccomp_exec *exec, const struct process_info *info,
       struct seccomp_tree *tree, int *error)
{
    int pidfd = process_open_pidfd(info->pid);
    struct seccomp_stop *stop = calloc(1, sizeof(*stop));

    *error = pidfd < 0 ? pidfd : stop ? 0 : -ENOMEM;
    if (*error == 0 && descriptors_are_scarce(pidfd))
        *error = -EMFILE;
    if (*error == 0 && !seccomp_listener_is_valid(of->listener, exec->id))
        *error = -ESRCH;
    if (*error == 0) {
        *stop = (struct seccomp_stop){.pid = info->pid,
                                      .lazy = info->parent,
                                      .pidfd = pidfd,
                                      .id = exec->id,
                                      .peer = tree->peer,
                                      .holding = -1};
        return stop;
    }
    if (pidfd >= 0)
        close(pidfd);
    free(stop);
    return NULL;
}

int
seccomp_stop_begin(struct seccomp_gate *of, const struct seccomp_exec *exec,
                   const struct process_info *info, struct seccomp_tree *tree)
{
    int error;
    struct seccomp_stop *old = find(of, tree->peer, info->pid);
    struct seccomp_stop *stop = create(of, exec, info, tree, &error);

    if (!stop)
        return error;
    if (old)
        forget(of, old); /* its exec has failed, or begun anew */
    if (stop->peer)
        stop->holding = holdings_add(of->gate->holdings, HOLDING_WAITING, stop->pidfd);
    TAILQ_INSERT_TAIL(&of->stops, stop, in_gate);
    pidfd_send_signal(stop->pidfd, SIGSTOP, NULL, 0);
    if (!push(of, stop))
        look_later(of);
    return 0;
}

void
seccomp_stop_cancel(struct seccomp_gate *of, pid_t pid)
{
    struct seccomp_stop *stop = find(of, NULL, pid);

    if (!stop)
        return;
    pidfd_send_signal(stop->pidfd, SIGCONT, NULL, 0);
    seccomp_listener_continue(of->listener, stop->id);
    forget(of, stop);
}

void
seccomp_stop_forget(struct seccomp_gate *of, pid_t pid)
{
    struct seccomp_stop *stop = find(of, NULL, pid);

    if (stop)
        forget(of, stop);
}

bool
seccomp_stop_is_under_way(const struct seccomp_gate *of, pid_t pid)
{
    return find(of, NULL, pid) != NULL;
}

void
seccomp_stop_hand_over(struct seccomp_gate *of, const struct seccomp_peer *peer, pid_t pid)
{
    struct seccomp_stop *stop = find(of, peer, pid);

    if (!stop)
        return;
    if (stop->holding >= 0)
        holdings_remove(of->gate->holdings, stop->holding);
    stop->holding = -1;
    stop->is_noted = true;
    if (!stop->id)
        forget(of, stop);
}

void
seccomp_stop_end_all(struct seccomp_gate *of, const struct seccomp_peer *peer)
{
    struct seccomp_stop *stop, *next;

    for (stop = TAILQ_FIRST(&of->stops); stop; stop = next) {
        next = TAILQ_NEXT(stop, in_gate);
        if (stop->peer != peer)
            continue;
        if (!stop->is_noted)
            pidfd_send_signal(stop->pidfd, SIGKILL, NULL, 0);
        else if (stop->id)
            seccomp_listener_continue(of->listener, stop->id);
        forget(of, stop);
    }
}

void
seccomp_stop_remove_all(struct seccomp_gate *of)
{
    struct seccomp_stop *stop;

    while ((stop = TAILQ_FIRST(&of->stops)))
        forget(of, stop);
}
