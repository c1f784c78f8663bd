/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The keeper's process: it waits for the end of the sidecar, and then does what is left to be done. */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "libjobserver/process.h"
#include "libjobserver/program/message.h"
#include "ninja-shim/gate/keeper.h"

/* How often to see whether the sidecar has been stopped. */
#define LOOK_MS 1000

struct state {
    const struct gate_keeper_duties *duties;
    struct ledger ledger; /* the same descriptors */
    /* One for each process that holds a token and lives, then the gate kind's. */
    struct pollfd polled[HOLDINGS_MAX + 1];
    int tokens[HOLDINGS_MAX]; /* that these hold, each once */
};

/* --- when the sidecar is dead --- */

static void
end_all(const struct holdings *holdings, enum holding_kind kind)
{
    for (unsigned i = 0; i < holdings->end; i++) {
        const struct holding *holding = &holdings->holding[i];
        if (holding->kind == kind)
            syscall(SYS_pidfd_send_signal, holding->pidfd, SIGKILL, NULL, 0);
    }
}

/* With some kinds the kernel has done so. What waits comes first: stopped
 * processes are continued by the kernel when the end of their parent orphans their group. */
static void
end_what_waits(const struct holdings *holdings)
{
    end_all(holdings, HOLDING_WAITING);
    end_all(holdings, HOLDING_LAZY_CLIENT);
}

/* What has been stopped for memory has nobody else to continue it. */
static void
continue_all(const struct holdings *holdings)
{
    for (unsigned i = 0; i < holdings->end; i++) {
        const struct holding *holding = &holdings->holding[i];
        pid_t stopped = holding->stopped;
        if (holding->kind == HOLDING_RUNNING && stopped > 0 &&
            !process_pidfd_has_exited(holding->pidfd))
            process_tree_continue(stopped);
    }
}

static bool
is_counted(const struct state *state, unsigned held, int token)
{
    for (unsigned i = 0; i < held; i++)
        if (state->tokens[i] == token)
            return true;
    return false;
}

/* One has the implicit slot, which a server that keeps accounts regards as paid by our claim as long as we live. */
static bool
must_be_awaited(const struct state *state, int token)
{
    if (!state->ledger.client)
        return false;
    return token != HOLDINGS_NO_TOKEN || client_kind(state->ledger.client) == CLIENT_SERVER;
}

/* Returns how many tokens are held; *n_polled: how many processes are to be awaited. */
static unsigned
count_held(struct state *state, nfds_t *n_polled)
{
    const struct holdings *holdings = state->duties->holdings;
    unsigned held = 0;

    *n_polled = 0;
    for (unsigned i = 0; i < holdings->end; i++) {
        const struct holding *holding = &holdings->holding[i];
        int token = holding->token;
        if (holding->kind == HOLDING_NONE || !must_be_awaited(state, token) ||
            process_pidfd_has_exited(holding->pidfd))
            continue;
        if (token != HOLDINGS_NO_TOKEN && !is_counted(state, held, token))
            state->tokens[held++] = token;
        state->polled[(*n_polled)++] = (struct pollfd){.fd = holding->pidfd, .events = POLLIN};
    }
    return held;
}

/* Returns the descriptor to wait at, or -1. */
static int
keep_kind(struct holdings *holdings)
{
    const struct gate_kind *kind = holdings->kind;

    return kind && kind->keep ? kind->keep(holdings->kind_room) : -1;
}

static _Noreturn void
take_over(struct state *state)
{
    struct holdings *holdings = state->duties->holdings;
    nfds_t n_polled;

    end_what_waits(holdings);
    continue_all(holdings);
    int kind_fd = keep_kind(holdings);
    for (;;) {
        unsigned held = count_held(state, &n_polled);
        if (state->ledger.client)
            ledger_repay_all_but(&state->ledger, held);
        if (n_polled == 0 && kind_fd < 0)
            _exit(0);
        struct pollfd *of_kind = &state->polled[n_polled];
        *of_kind = (struct pollfd){.fd = kind_fd, .events = POLLIN};
        poll(state->polled, n_polled + 1, -1);
        if (of_kind->revents)
            kind_fd = keep_kind(holdings);
    }
}

/* --- while it lives --- */

/* Jobs stand still at the gate as long as the sidecar does, and whoever stopped it alone has not stopped
 * them. Returns whether it has been continued. */
static bool
continue_sidecar(pid_t sidecar)
{
    struct process_info info;

    return process_info(sidecar, &info) == 0 && info.state == 'T' && kill(sidecar, SIGCONT) == 0;
}

/* The kernel tells of its end, but only a parent of a stop. */
static void
await_end(int sidecar_pidfd)
{
    struct pollfd polled = {.fd = sidecar_pidfd, .events = POLLIN};
    const pid_t sidecar = getppid();
    bool is_said = false;
    int ready;

    while ((ready = poll(&polled, 1, LOOK_MS)) == 0 || (ready < 0 && errno == EINTR)) {
        if (!continue_sidecar(sidecar) || is_said)
            continue;
        message("the gate (pid %d) was stopped; continuing it", (int)sidecar);
        is_said = true;
    }
}

static _Noreturn void
keep(struct state *state, int ready_fd)
{
    struct client *client = state->ledger.client;

    prctl(PR_SET_NAME, "jobgate-keeper");
    /* If somebody has stopped us, the sidecar's death is still seen. */
    prctl(PR_SET_PDEATHSIG, SIGCONT);
    if (client)
        client_join_group(client);
    eventfd_write(ready_fd, 1);
    await_end(state->duties->sidecar_pidfd);
    if (state->duties->holdings->is_finished)
        _exit(0);
    take_over(state);
}

/* fork(2), but for the descriptors, which stay shared. The first two arguments change places on one
 * architecture: clone(2), "C library/kernel differences". */
static pid_t
fork_sharing_descriptors(void)
{
    const unsigned long flags = CLONE_FILES | SIGCHLD;

#ifdef __s390__
    return (pid_t)syscall(SYS_clone, 0UL, flags, 0UL, 0UL, 0UL);
#else
    return (pid_t)syscall(SYS_clone, flags, 0UL, 0UL, 0UL, 0UL);
#endif
}

/* At steved no token may be taken before the keeper is a member of the group. */
static void
wait_until_ready(pid_t pid, int ready_fd)
{
    int pidfd = process_open_pidfd(pid);
    struct pollfd polled[] = {{.fd = ready_fd, .events = POLLIN}, {.fd = pidfd, .events = POLLIN}};

    while (pidfd >= 0 && poll(polled, 2, LOOK_MS) <= 0)
        kill(pid, SIGCONT);
    if (pidfd >= 0)
        close(pidfd);
}

int
gate_keeper_start(const struct gate_keeper_duties *duties, pid_t *pid)
{
    struct state *state = malloc(sizeof(*state));
    int ready_fd = eventfd(0, EFD_CLOEXEC);

    *pid = -1;
    if (state && ready_fd >= 0) {
        state->duties = duties;
        state->ledger = *duties->ledger;
        *pid = fork_sharing_descriptors();
        if (*pid == 0)
            keep(state, ready_fd);
    }
    int result = *pid < 0 ? -errno : 0;
    if (*pid > 0)
        wait_until_ready(*pid, ready_fd);
    free(state);
    if (ready_fd >= 0)
        close(ready_fd);
    return result;
}
