/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starts the sidecar beside this process, and has it put up a gate: one kind after the other is tried,
 * each first here and then there. A program (ninja.c, jobgate.c) calls gate_start() when it has decided
 * that jobs must wait, and then executes what it gates. How the sidecar goes on is told in sidecar.c.
 */
#include "ninja-shim/gate/start.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* Neither our child nor in our session: whoever waits for us, or ends what is in the terminal, has
 * nothing to do with it. Returns 0 or a negative errno. */
static int
fork_sidecar(const struct gate_plan *plan, const int ends[2])
{
    pid_t root = getpid(), between = fork();

    if (between == 0) {
        setsid();
        pid_t sidecar = fork();
        if (sidecar == 0) {
            close(ends[0]);
            sidecar_run(plan, root, ends[1]);
        }
        _exit(sidecar < 0 ? 1 : 0);
    }
    if (between < 0)
        return -errno;
    while (waitpid(between, NULL, 0) < 0 && errno == EINTR)
        continue;
    return 0;
}

/* The socket is no sign of life: if the sidecar has been killed, its keeper may have it open as long as
 * we live. pidfd: -1 as long as it cannot. */
static int
await_message(int socket, int pidfd)
{
    struct pollfd polled[] = {{.fd = socket, .events = POLLIN}, {.fd = pidfd, .events = POLLIN}};

    while (poll(polled, 2, -1) < 0)
        if (errno != EINTR)
            return -errno;
    return polled[0].revents ? 0 : -EPIPE;
}

static int
receive(int socket, int pidfd, enum sidecar_message_type wanted, struct sidecar_message *message)
{
    int fd, result = await_message(socket, pidfd);

    if (result < 0)
        return result;
    result = packet_receive(socket, message, sizeof(*message), &fd);
    if (fd >= 0)
        close(fd);
    if (result == 1)
        return message->type == wanted ? message->error : -EPROTO;
    return result < 0 ? result : -EPIPE; /* it was killed */
}

/* --- the gate --- */

static int
try_kind(unsigned number, int socket, pid_t sidecar, int pidfd)
{
    struct sidecar_message message = {.type = SIDECAR_OPEN, .kind = number};
    int fd;

    /* It may have been killed when it was to open the kind before; this one may need it for good. */
    if (process_pidfd_has_exited(pidfd))
        return -EPIPE;
    int result = gate_kinds[number]->prepare(sidecar, &fd);
    if (result == 0)
        result = packet_send(socket, &message, sizeof(message), fd);
    if (fd >= 0)
        close(fd);
    return result < 0 ? result : receive(socket, pidfd, SIDECAR_OUTCOME, &message);
}

/* The first kind, or the wanted one, that can be had. */
static int
try_kinds(int socket, pid_t sidecar, int pidfd, const struct gate_kind **kind, char **why_not)
{
    const struct gate_kind *wanted = *kind;
    int result = -EOPNOTSUPP;

    for (unsigned i = 0; result < 0 && gate_kinds[i]; i++) {
        if (wanted && wanted != gate_kinds[i])
            continue;
        result = try_kind(i, socket, sidecar, pidfd);
        if (result < 0)
            note(why_not, gate_kinds[i]->name, result);
        else
            *kind = gate_kinds[i];
    }
    return result;
}

static int
put_up(int socket, const struct gate_kind **kind, char **why_not)
{
    struct sidecar_message message;
    int result = receive(socket, -1, SIDECAR_READY, &message);
    int pidfd = result < 0 ? result : process_open_pidfd(message.pid);

    if (pidfd < 0)
        return note(why_not, "sidecar", pidfd == -ESRCH ? -EPIPE : pidfd);
    result = try_kinds(socket, message.pid, pidfd, kind, why_not);
    close(pidfd);
    return result;
}

int
gate_start(const struct gate_plan *plan, const struct gate_kind **kind, char **why_not)
{
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
    result = fork_sidecar(plan, ends);
    close(ends[1]);
    if (result < 0)
        note(why_not, "fork", result);
    else
        result = put_up(ends[0], kind, why_not);
    close(ends[0]);
    if (result == 0) {
        free(*why_not);
        *why_not = NULL;
    }
    return result;
}
