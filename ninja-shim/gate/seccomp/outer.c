/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The outer sidecar, which has the listener: an inner one registers there, and hears of its jobs. */
#include "ninja-shim/gate/seccomp/outer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "libjobserver/program/packet.h"
#include "ninja-shim/gate/seccomp/arrivals.h"
#include "ninja-shim/gate/seccomp/link.h"
#include "ninja-shim/gate/seccomp/trees.h"

#define ANCESTORS_MAX 256

static void
on_outer_message(evutil_socket_t fd, short what, void *argument)
{
    struct seccomp_gate *of = argument;
    struct seccomp_message message;
    int passed, result;

    while ((result = packet_receive(fd, &message, sizeof(message), &passed)) == 1) {
        if (passed >= 0)
            close(passed);
        if (message.type != SECCOMP_MESSAGE_STOPPED)
            continue;
        seccomp_arrivals_take_stopped(of, message.pid, message.lazy);
        const struct seccomp_message reply = {.type = SECCOMP_MESSAGE_NOTED, .pid = message.pid};
        packet_send(fd, &reply, sizeof(reply), -1);
    }
    if (result == 0)
        event_del(of->outer.message_event); /* its end comes by its pidfd */
}

/* Nobody stops our jobs any more, so there must not be any. */
static void
on_outer_end(evutil_socket_t fd, short what, void *argument)
{
    struct seccomp_gate *of = argument;

    seccomp_tree_end(of, LIST_FIRST(&of->trees));
    gate_interrupt(of->gate);
}

static int
connect_to(const struct process_info *root, struct ucred *credentials)
{
    struct sockaddr_un name;
    socklen_t length = seccomp_link_name(&name, root);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&name, length) == 0 &&
        seccomp_link_credentials(fd, credentials) == 0 && seccomp_link_is_trusted(credentials->uid))
        return fd;
    close(fd);
    return -ENOENT;
}

/* The connection is no sign of life: if the sidecar has been killed, its keeper still holds the socket. */
static int
await_reply(const struct seccomp_gate *of, int fd)
{
    struct pollfd polled[] = {{.fd = fd, .events = POLLIN},
                              {.fd = of->outer.pidfd, .events = POLLIN}};

    while (poll(polled, 2, -1) < 0)
        if (errno != EINTR)
            return -errno;
    return polled[0].revents ? 0 : -EPIPE;
}

static int
register_root(const struct seccomp_gate *of, int fd, pid_t root)
{
    const struct gate_plan *plan = of->gate->plan;
    struct seccomp_message message = {
        .type = SECCOMP_MESSAGE_REGISTER, .pid = root, .is_root_lazy = plan->is_root_lazy};
    int passed;

    for (unsigned i = 0; plan->names[i]; i++) {
        if (i == SECCOMP_NAMES_MAX)
            return -E2BIG;
        strncpy(message.names[i], plan->names[i], PROCESS_NAME_SIZE - 1);
    }
    int result = packet_send(fd, &message, sizeof(message), -1);
    if (result == 0)
        result = await_reply(of, fd);
    if (result < 0)
        return result;
    result = packet_receive(fd, &message, sizeof(message), &passed);
    if (passed >= 0)
        close(passed);
    if (result == 0)
        return -EPIPE;
    return result < 0 ? result : message.error;
}

static int
find_outer(pid_t root, struct ucred *credentials)
{
    struct process_info ancestors[ANCESTORS_MAX];
    size_t n = process_ancestors(root, ancestors, ANCESTORS_MAX);

    for (size_t i = 0; i < n; i++) {
        int fd = connect_to(&ancestors[i], credentials);
        if (fd >= 0)
            return fd;
    }
    return -EBUSY; /* as the kernel has said */
}

int
seccomp_outer_join(struct seccomp_gate *of, pid_t root)
{
    struct seccomp_outer *outer = &of->outer;
    struct event_base *base = of->gate->base;
    struct ucred credentials;
    int fd = find_outer(root, &credentials);

    if (fd < 0)
        return fd;
    outer->fd = fd;
    outer->pidfd = process_open_pidfd(credentials.pid);
    if (outer->pidfd < 0)
        return outer->pidfd;
    outer->message_event = event_new(base, fd, EV_READ | EV_PERSIST, on_outer_message, of);
    outer->end_event = event_new(base, outer->pidfd, EV_READ, on_outer_end, of);
    if (!outer->message_event || !outer->end_event || event_add(outer->message_event, NULL) < 0 ||
        event_add(outer->end_event, NULL) < 0)
        return -ENOMEM;
    int result = register_root(of, fd, root);
    if (result == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
        result = -errno;
    return result;
}

void
seccomp_outer_close(struct seccomp_gate *of)
{
    struct seccomp_outer *outer = &of->outer;

    if (outer->message_event)
        event_free(outer->message_event);
    if (outer->end_event)
        event_free(outer->end_event);
    if (outer->pidfd >= 0)
        close(outer->pidfd);
    if (outer->fd >= 0)
        close(outer->fd);
}
