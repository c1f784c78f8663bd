/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starts the sidecar beside this process, and has it put up a gate: one kind after the other is tried,
 * each first here and then there. A program (ninja.c, jobgate.c) calls gate_start() when it has decided
 * that jobs must wait, and then executes what it gates. How the sidecar goes on is told in sidecar.c.
 */
#include "ninja-shim/gate/start.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libjobserver/environment.h"
#include "libjobserver/process.h"
#include "libjobserver/program/packet.h"
#include "ninja-shim/gate/kinds.h"
#include "ninja-shim/gate/sidecar.h"

/* Appends what was tried and refused. Returns `error`. */
static int
note(char **why_not, const char *tried, int error)
{
    char *longer = NULL;

    if (asprintf(&longer, "%s%s%s: %s", *why_not ? *why_not : "", *why_not ? "; " : "", tried,
                 strerror(-error)) < 0)
        return error;
    free(*why_not);
    *why_not = longer;
    return error;
}

/* --- the sidecar --- */

/* While we wait for it: how often to continue it, if somebody has stopped it. */
#define LOOK_MS 1000

/* What the shim knows of it. */
struct sidecar_link {
    int socket;
    pid_t sidecar;
    /* Of it, since the socket is no sign of life: its keeper may have that open as long as we live. -1: it has ended. */
    int pidfd;
};

/* Neither our child nor in our session: whoever waits for us, or ends what is in the terminal, has
 * nothing to do with it. *sidecar is shared memory. Returns 0 or a negative errno. */
static int
fork_between(const struct gate_plan *plan, const int ends[2], pid_t *sidecar)
{
    pid_t root = getpid(), between = fork();

    if (between == 0) {
        setsid();
        pid_t pid = fork();
        if (pid == 0) {
            close(ends[0]);
            sidecar_run(plan, root, ends[1]);
        }
        *sidecar = pid < 0 ? -errno : pid;
        _exit(0);
    }
    if (between < 0)
        return -errno;
    while (waitpid(between, NULL, 0) < 0 && errno == EINTR)
        continue;
    return 0;
}

static int
fork_sidecar(const struct gate_plan *plan, const int ends[2], struct sidecar_link *link)
{
    pid_t *sidecar =
        mmap(NULL, sizeof(*sidecar), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (sidecar == MAP_FAILED)
        return -errno;
    int result = fork_between(plan, ends, sidecar);
    *link = (struct sidecar_link){.socket = ends[0], .sidecar = *sidecar, .pidfd = -1};
    munmap(sidecar, sizeof(*sidecar));
    if (result < 0)
        return result;
    if (link->sidecar <= 0)
        return link->sidecar < 0 ? link->sidecar : -ECHILD;
    link->pidfd = process_open_pidfd(link->sidecar);
    if (link->pidfd >= 0)
        return 0;
    result = link->pidfd == -ESRCH ? 0 : link->pidfd;
    link->pidfd = -1;
    return result;
}

static int
await_message(const struct sidecar_link *link)
{
    struct pollfd polled[] = {{.fd = link->socket, .events = POLLIN},
                              {.fd = link->pidfd, .events = POLLIN}};
    /* Of what has ended all that it has said is there. */
    const bool has_ended = link->pidfd < 0;
    int ready;

    while ((ready = poll(polled, 2, has_ended ? 0 : LOOK_MS)) <= 0) {
        if (ready < 0 && errno != EINTR)
            return -errno;
        if (has_ended && ready == 0)
            return -EPIPE;
        process_signal(link->sidecar, link->pidfd, SIGCONT);
    }
    return polled[0].revents ? 0 : -EPIPE;
}

static int
receive(const struct sidecar_link *link, enum sidecar_message_type wanted)
{
    struct sidecar_message message;
    int fd, result = await_message(link);

    if (result < 0)
        return result;
    result = packet_receive(link->socket, &message, sizeof(message), &fd);
    if (fd >= 0)
        close(fd);
    if (result == 1)
        return message.type == wanted ? message.error : -EPROTO;
    return result < 0 ? result : -EPIPE; /* it was killed */
}

/* --- the gate --- */

static int
try_kind(const struct sidecar_link *link, unsigned number)
{
    struct sidecar_message message = {.type = SIDECAR_OPEN, .kind = number};
    int fd;

    /* It may have been killed when it was to open the kind before; this one may need it for good. */
    if (link->pidfd < 0 || process_pidfd_has_exited(link->pidfd))
        return -EPIPE;
    int result = gate_kinds[number]->prepare(link->sidecar, &fd);
    if (result == 0)
        result = packet_send(link->socket, &message, sizeof(message), fd);
    if (fd >= 0)
        close(fd);
    return result < 0 ? result : receive(link, SIDECAR_OUTCOME);
}

/* The first kind, or the wanted one, that can be had. */
static int
try_kinds(const struct sidecar_link *link, const struct gate_kind **kind, char **why_not)
{
    const struct gate_kind *wanted = *kind;
    int result = -EOPNOTSUPP;

    for (unsigned i = 0; result < 0 && gate_kinds[i]; i++) {
        if (wanted && wanted != gate_kinds[i])
            continue;
        result = try_kind(link, i);
        if (result < 0)
            note(why_not, gate_kinds[i]->name, result);
        else
            *kind = gate_kinds[i];
    }
    return result;
}

static int
put_up(const struct sidecar_link *link, const struct gate_kind **kind, char **why_not)
{
    int result = receive(link, SIDECAR_READY);

    return result < 0 ? note(why_not, "sidecar", result) : try_kinds(link, kind, why_not);
}

int
gate_start(const struct gate_plan *plan, const struct gate_kind **kind, char **why_not)
{
    struct sidecar_link link = {.pidfd = -1};
    int ends[2];

    *why_not = NULL;
    int result = process_check_proc(); /* who is a job is read there */
    if (result < 0)
        return note(why_not, "/proc", result);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return note(why_not, "socketpair", -errno);
    /* The first member of the group is who is shown as the holder. If we are in another group (-EBUSY),
     * the sidecar founds one. */
    if (!plan->rules.needs_no_tokens)
        client_join_group(plan->client);
    result = fork_sidecar(plan, ends, &link);
    close(ends[1]);
    if (result < 0)
        note(why_not, "fork", result);
    else
        result = put_up(&link, kind, why_not);
    close(ends[0]);
    if (link.pidfd >= 0)
        close(link.pidfd);
    if (result == 0) {
        free(*why_not);
        *why_not = NULL;
        if (plan->class_rules && !plan->rules.needs_no_tokens)
            result = environment_set_class_gate(true);
    }
    return result;
}
