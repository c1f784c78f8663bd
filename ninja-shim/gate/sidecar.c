/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sidecar's life, after the shim has forked it (start.c): it becomes a process of its own, starts
 * its keeper, and opens the kind of gate that the shim asks for. The shim then executes its program, and
 * the event loop serves the gate (gate.c) until nothing is left that needs it.
 */
#include "ninja-shim/gate/sidecar.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "libjobserver/process.h"
#include "libjobserver/program/descriptors.h"
#include "libjobserver/program/message.h"
#include "libjobserver/program/packet.h"
#include "ninja-shim/gate/keeper.h"
#include "ninja-shim/gate/kinds.h"
#include "ninja-shim/gate/tell.h"

#define DESCRIPTORS_OF_JOB 4

/* The state of the program. */
struct sidecar {
    struct gate gate;
    pid_t root;
    int socket; /* to the shim */
    int child_fd;
    struct event *child_event;
    struct gate_keeper_duties duties;
};

/* --- a process of its own --- */

/* Signals that are meant for a build, or for a whole service, reach us too; what we keep ends by
 * them, and we after that. */
static void
ignore_signals(void)
{
    const int ignored[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM, SIGPIPE, SIGUSR1,
                           SIGUSR2, SIGALRM, SIGTSTP, SIGTTIN, SIGTTOU, SIGXFSZ};
    sigset_t none;

    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        signal(ignored[i], SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static int
open_children(void)
{
    sigset_t children;

    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &children, NULL) < 0)
        return -errno;
    int fd = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

/* --- events --- */

static void
on_children(evutil_socket_t fd, short what, void *argument)
{
    struct sidecar *sidecar = argument;
    struct gate *gate = &sidecar->gate;
    struct signalfd_siginfo info;

    /* Were there another one, the descriptor would be readable again. */
    if (read(fd, &info, sizeof(info)) < 0)
        return;
    gate->kind->serve(gate);
    gate_tell_now(gate);
    /* If that fails, it is tried again when something else happens. */
    if (gate->keeper <= 0 && gate_keeper_start(&sidecar->duties, &sidecar->gate.keeper) == 0)
        gate_keeper_renewed(gate);
}

/* libevent gives up by exit(1) where it cannot get a descriptor. */
static void
on_fatal(int error)
{
    message_errno(errno, "start the event loop");
    _exit(EXIT_FAILURE);
}

static void
on_log(int severity, const char *text)
{
}

/* --- its life --- */

static int
open_all(struct sidecar *sidecar, const struct gate_plan *plan)
{
    struct gate *gate = &sidecar->gate;
    int result = gate_open(gate, plan);

    if (result < 0)
        return result;
    gate->root = sidecar->root;
    descriptors_drop_inherited();
    sidecar->child_fd = open_children();
    if (sidecar->child_fd < 0)
        return sidecar->child_fd;
    sidecar->child_event =
        event_new(gate->base, sidecar->child_fd, EV_READ | EV_PERSIST, on_children, sidecar);
    if (!sidecar->child_event || event_add(sidecar->child_event, NULL) < 0)
        return -ENOMEM;
    if (!plan->rules.needs_no_tokens)
        client_join_group(plan->client);
    int pidfd = process_open_pidfd(getpid());
    if (pidfd < 0)
        return pidfd;
    /* Who cannot hold back one job would end it. */
    if (descriptors_are_scarce(pidfd + DESCRIPTORS_OF_JOB))
        return -EMFILE;
    sidecar->duties = (struct gate_keeper_duties){
        .sidecar_pidfd = pidfd, .ledgers = gate->ledgers, .holdings = gate->holdings};
    return gate_keeper_start(&sidecar->duties, &sidecar->gate.keeper);
}

static void
tell(const struct sidecar *sidecar, enum sidecar_message_type type, int error)
{
    struct sidecar_message message = {.type = type, .error = error};

    packet_send(sidecar->socket, &message, sizeof(message), -1);
}

static int
open_kind(struct sidecar *sidecar, unsigned number, int fd)
{
    for (unsigned i = 0; gate_kinds[i]; i++)
        if (i == number)
            return gate_kinds[i]->open(&sidecar->gate, sidecar->root, fd);
    return -EPROTO;
}

/* Does what the shim asks for until something succeeds, or it gives up. */
static bool
put_up(struct sidecar *sidecar)
{
    struct sidecar_message message;
    int fd;

    while (packet_receive(sidecar->socket, &message, sizeof(message), &fd) == 1) {
        int result = open_kind(sidecar, message.kind, fd);
        tell(sidecar, SIDECAR_OUTCOME, result);
        if (result == 0)
            return true;
    }
    return false;
}

static void
serve(struct sidecar *sidecar)
{
    struct gate *gate = &sidecar->gate;

    while (gate->kind->is_busy(gate) || gate_is_busy(gate))
        if (event_base_loop(gate->base, EVLOOP_ONCE) != 0)
            return;
}

_Noreturn void
sidecar_run(const struct gate_plan *plan, pid_t root, int socket)
{
    struct sidecar sidecar = {.root = root, .socket = socket, .child_fd = -1};

    prctl(PR_SET_NAME, "jobgate");
    ignore_signals();
    message_never_wait();
    event_set_fatal_callback(on_fatal);
    event_set_log_callback(on_log);
    descriptors_raise_limit();
    int result = open_all(&sidecar, plan);
    tell(&sidecar, SIDECAR_READY, result);
    bool up = result == 0 && put_up(&sidecar);
    close(socket);
    if (up) {
        serve(&sidecar);
        sidecar.gate.kind->close(&sidecar.gate);
    }
    if (sidecar.child_event)
        event_free(sidecar.child_event);
    gate_close(&sidecar.gate);
    _exit(0);
}
