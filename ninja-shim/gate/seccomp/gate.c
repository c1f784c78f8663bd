/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The gate by seccomp_unotify(2): how it is opened and closed, and the events that it serves. */
#include "ninja-shim/gate/seccomp/gate.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ninja-shim/gate/held.h"
#include "ninja-shim/gate/seccomp/arrivals.h"
#include "ninja-shim/gate/seccomp/filter.h"
#include "ninja-shim/gate/seccomp/outer.h"
#include "ninja-shim/gate/seccomp/peers.h"
#include "ninja-shim/gate/seccomp/probe.h"
#include "ninja-shim/gate/seccomp/stops.h"
#include "ninja-shim/gate/seccomp/trees.h"

/* So many notifications before other events have their turn. */
#define AT_A_TIME 16u

/* --- events --- */

static void
on_listener(evutil_socket_t fd, short what, void *argument)
{
    struct seccomp_gate *of = argument;
    struct pollfd polled = {.fd = fd, .events = POLLIN};
    struct seccomp_exec exec;

    for (unsigned n = 0; n < AT_A_TIME && poll(&polled, 1, 0) == 1 && (polled.revents & POLLIN);
         n++)
        if (seccomp_listener_receive(of->listener, &exec) == 1)
            seccomp_arrivals_take(of, &exec);
    if (!(polled.revents & POLLIN) && (polled.revents & (POLLHUP | POLLERR | POLLNVAL))) {
        of->has_hung_up = true;
        event_del(of->listener_event);
    }
}

static void
on_root_end(evutil_socket_t fd, short what, void *argument)
{
    struct seccomp_gate *of = argument;

    event_free(of->root_event);
    of->root_event = NULL;
    held_root_ended(of->gate);
}

/* --- the kind's part of a gate --- */

/* Our only child is the keeper. */
static void
serve(struct gate *gate)
{
    pid_t pid;

    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
        if (pid == gate->keeper)
            gate->keeper = 0;
}

static bool
is_busy(const struct gate *gate)
{
    const struct seccomp_gate *of = seccomp_gate_of(gate);

    return of->is_inner ? of->root_event || of->lazies : !of->has_hung_up;
}

/* Where the filter is ours, each process below it has one more than we have ourselves. */
static pid_t
find_holder(const struct gate *gate)
{
    struct process_info *all;
    unsigned own = 0, filters;
    pid_t found = 0;

    if (seccomp_gate_of(gate)->is_inner ||
        process_status_number(getpid(), "Seccomp_filters", &own) < 0)
        return 0;
    ssize_t n = process_all(&all);
    /* Not by their parents: what has entered a container has none in it. */
    for (ssize_t i = 0; i < n && !found; i++)
        if (process_info_is_alive(&all[i]) &&
            process_status_number(all[i].pid, "Seccomp_filters", &filters) == 0 && filters > own &&
            all[i].start_ticks >= seccomp_gate_of(gate)->start_ticks)
            found = all[i].pid;
    if (n >= 0)
        free(all);
    return found;
}

static void
close_gate(struct gate *gate)
{
    struct seccomp_gate *of = seccomp_gate_of(gate);
    struct event *events[] = {of->listener_event, of->stop_event, of->watch_event, of->root_event};

    seccomp_stop_remove_all(of);
    seccomp_peers_close(of);
    seccomp_outer_close(of);
    seccomp_tree_remove_all(of);
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
        if (events[i])
            event_free(events[i]);
    seccomp_listener_close(of->listener);
    free(of);
    gate->kind_state = NULL;
}

/* --- its life --- */

/* -EBUSY: a filter is around us already, whose listener stops our jobs as well. */
static int
prepare(pid_t sidecar, int *fd)
{
    int holds = seccomp_probe();

    *fd = -1;
    if (holds < 0 && holds != -EBUSY)
        return holds;
    int listener = seccomp_filter_install();
    *fd = listener < 0 ? -1 : listener;
    return listener < 0 && listener != -EBUSY ? listener : 0;
}

/* Of the kernel's notifications, where the filter is ours; else, of the sidecar that has them. */
static int
listen_to(struct seccomp_gate *of, pid_t root)
{
    struct process_info info;

    of->is_inner = of->listener->fd < 0;
    if (of->is_inner)
        return seccomp_outer_join(of, root);
    of->listener_event =
        event_new(of->gate->base, of->listener->fd, EV_READ | EV_PERSIST, on_listener, of);
    if (!of->listener_event || event_add(of->listener_event, NULL) < 0)
        return -ENOMEM;
    seccomp_peers_open(of, root);
    of->start_ticks = process_info(root, &info) == 0 ? info.start_ticks : 0;
    return 0;
}

static int
open_all(struct seccomp_gate *of, pid_t root)
{
    struct gate *gate = of->gate;
    const struct gate_plan *plan = gate->plan;

    of->stop_event = evtimer_new(gate->base, seccomp_stop_on_timer, of);
    of->watch_event = evtimer_new(gate->base, seccomp_arrivals_on_timer, of);
    const struct seccomp_tree *tree =
        seccomp_tree_add(of, root, plan->is_root_lazy, plan->names, NULL);
    if (tree)
        of->root_event = event_new(gate->base, tree->root_pidfd, EV_READ, on_root_end, of);
    if (!of->stop_event || !of->watch_event || !of->root_event ||
        event_add(of->root_event, NULL) < 0)
        return -ENOMEM;
    return listen_to(of, root);
}

static int
open_gate(struct gate *gate, pid_t root, int fd)
{
    struct seccomp_gate *of = calloc(1, sizeof(*of));

    if (!of) {
        if (fd >= 0)
            close(fd);
        return -ENOMEM;
    }
    of->gate = gate;
    of->listener = seccomp_listener_open(gate->holdings->kind_room, gate->plan->names, fd);
    of->peers.fd = of->outer.fd = of->outer.pidfd = -1;
    LIST_INIT(&of->trees);
    TAILQ_INIT(&of->stops);
    LIST_INIT(&of->peers.list);
    gate_set_kind(gate, &seccomp_gate_kind, of);
    int result = open_all(of, root);
    if (result < 0)
        close_gate(gate);
    return result;
}

const struct gate_kind seccomp_gate_kind = {
    .name = "seccomp",
    .prepare = prepare,
    .open = open_gate,
    .run = seccomp_arrivals_run,
    .end = seccomp_arrivals_end,
    .serve = serve,
    .has_ended = seccomp_tree_has_ended_lazy,
    .is_busy = is_busy,
    .find_holder = find_holder,
    .close = close_gate,
    .keep = seccomp_listener_keep,
};
