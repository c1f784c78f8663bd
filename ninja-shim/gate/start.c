/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libjobserver/process.h"
#include "libjobserver/program/packet.h"
#include "ninja-shim/gate/seccomp/filter.h"
#include "ninja-shim/gate/sidecar.h"
#include "ninja-shim/gate/start.h"

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

static int
receive(int socket, enum sidecar_message_type wanted, struct sidecar_message *message)
{
    int fd, result = packet_receive(socket, message, sizeof(*message), &fd);

    if (fd >= 0)
        close(fd);
    if (result == 1)
        return message->type == wanted ? message->error : -EPROTO;
    return result < 0 ? result : -EPIPE; /* it was killed */
}

static int
try_ptrace(int socket, pid_t sidecar)
{
    struct sidecar_message message = {.type = SIDECAR_TRACE};

    /* Yama's scope 1 lets only ancestors trace; it is told of this exception. */
    prctl(PR_SET_PTRACER, (unsigned long)sidecar, 0, 0, 0);
    int result = packet_send(socket, &message, sizeof(message), -1);
    return result < 0 ? result : receive(socket, SIDECAR_OUTCOME, &message);
}

static bool
is_gone(int socket)
{
    struct pollfd polled = {.fd = socket};

    return poll(&polled, 1, 0) == 1 && (polled.revents & POLLHUP);
}

/* The sidecar stands already: it must not be under the filter itself. From the filter on there is no way
 * back: if the sidecar is killed before it listens, we cannot execute anything. */
static int
try_seccomp(int socket)
{
    struct sidecar_message message = {.type = SIDECAR_LISTEN};

    /* It may have been killed when it was to trace. */
    if (is_gone(socket))
        return -EPIPE;
    int listener = seccomp_filter_install();
    if (listener == -EBUSY)
        message.type = SIDECAR_JOIN;
    else if (listener < 0)
        return listener;
    int result = packet_send(socket, &message, sizeof(message), listener < 0 ? -1 : listener);
    if (listener >= 0)
        close(listener);
    return result < 0 ? result : receive(socket, SIDECAR_OUTCOME, &message);
}

/* Appends what was tried and refused. */
static void
note(char **why_not, const char *tried, int error)
{
    char *longer = NULL;

    if (asprintf(&longer, "%s%s%s: %s", *why_not ? *why_not : "", *why_not ? "; " : "", tried,
                 strerror(-error)) < 0)
        return;
    free(*why_not);
    *why_not = longer;
}

static int
put_up(int socket, enum gate_choice choice, char **why_not)
{
    struct sidecar_message message;
    int result = receive(socket, SIDECAR_READY, &message);

    if (result < 0) {
        note(why_not, "sidecar", result);
        return result;
    }
    result = -EOPNOTSUPP;
    if (choice == GATE_AUTO || choice == GATE_PTRACE) {
        result = try_ptrace(socket, message.pid);
        if (result < 0)
            note(why_not, "ptrace", result);
    }
    if (result < 0 && (choice == GATE_AUTO || choice == GATE_SECCOMP)) {
        result = try_seccomp(socket);
        if (result < 0)
            note(why_not, "seccomp", result);
    }
    return result;
}

int
gate_start(const struct gate_plan *plan, enum gate_choice choice, char **why_not)
{
    int ends[2];

    *why_not = NULL;
    /* Who is a job is read there. */
    int result = process_check_proc();
    if (result < 0) {
        note(why_not, "/proc", result);
        return result;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
        result = -errno;
        note(why_not, "socketpair", result);
        return result;
    }
    /* The first member of the group is who is shown as the holder. If we are in another group (-EBUSY),
     * the sidecar founds one. */
    client_join_group(plan->client);
    result = fork_sidecar(plan, ends);
    close(ends[1]);
    if (result < 0)
        note(why_not, "fork", result);
    else
        result = put_up(ends[0], choice, why_not);
    close(ends[0]);
    if (result == 0) {
        free(*why_not);
        *why_not = NULL;
    }
    return result;
}
