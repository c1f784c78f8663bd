/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ninja-shim/gate/seccomp/link.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "libjobserver/program/descriptors.h"
#include "libjobserver/program/packet.h"
#include "ninja-shim/gate/seccomp/arrivals.h"
#include "ninja-shim/gate/seccomp/stops.h"
#include "ninja-shim/gate/seccomp/trees.h"

#define ANCESTORS_MAX 256
#define BACKLOG 128

enum link_type {
    LINK_REGISTER,   /* pid: the inner shim's; names */
    LINK_REGISTERED, /* error */
    LINK_STOPPED,    /* pid, lazy: its parent */
    LINK_NOTED,      /* pid */
};

struct link_message {
    enum link_type type;
    int error;
    pid_t pid, lazy;
    bool root_is_lazy;
    char names[TREE_NAMES][PROCESS_NAME_SIZE];
};

/* --- the socket --- */

static socklen_t
make_name(struct sockaddr_un *name, const struct process_info *root)
{
    *name = (struct sockaddr_un){.sun_family = AF_UNIX};
    int length = snprintf(name->sun_path + 1, sizeof(name->sun_path) - 1, "jobgate/%d/%" PRIu64,
                          (int)root->pid, root->start_ticks);

    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
}

static int
read_credentials(int fd, struct ucred *credentials)
{
    socklen_t size = sizeof(*credentials);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, credentials, &size) < 0)
        return -errno;
    return credentials->pid > 0 ? 0 : -ESRCH; /* it is in a pid namespace that is not below ours */
}

static bool
is_trusted(uid_t uid)
{
    return uid == 0 || uid == geteuid();
}

/* --- the outer side --- */

int
link_announce(const struct peer *peer, pid_t pid, pid_t lazy)
{
    const struct link_message message = {.type = LINK_STOPPED, .pid = pid, .lazy = lazy};

    return packet_send(peer->fd, &message, sizeof(message), -1);
}

static void
destroy_peer(struct peer *peer)
{
    LIST_REMOVE(peer, in_gate);
    if (peer->message_event)
        event_free(peer->message_event);
    if (peer->end_event)
        event_free(peer->end_event);
    if (peer->pidfd >= 0)
        close(peer->pidfd);
    close(peer->fd);
    free(peer);
}

/* The connection tells nothing of that: the peer's keeper has it open, too. */
static void
on_peer_end(evutil_socket_t fd, short what, void *argument)
{
    struct peer *peer = argument;
    struct seccomp_gate *of = peer->of;
    struct tree *tree = peer->tree;

    (void)fd;
    (void)what;
    stop_end_all(of, peer);
    if (tree && !tree_has_living_lazy(of, tree)) {
        tree_remove(of, tree);
    } else if (tree) {
        tree->peer = NULL;
        tree->abandoned = true;
        tree_end(of, tree);
    }
    destroy_peer(peer);
}

/* Root's sidecar serves other users, too, but only for what is theirs. */
static bool
may_register(const struct peer *peer, pid_t root)
{
    uid_t uid;

    if (is_trusted(peer->uid))
        return true;
    return geteuid() == 0 && process_owner(root, &uid) == 0 && uid == peer->uid;
}

static void
register_tree(struct peer *peer, struct link_message *message)
{
    const char *names[TREE_NAMES + 1] = {NULL};
    struct link_message reply = {.type = LINK_REGISTERED};

    for (unsigned i = 0; i < TREE_NAMES && message->names[i][0]; i++) {
        message->names[i][PROCESS_NAME_SIZE - 1] = '\0';
        names[i] = message->names[i];
    }
    if (peer->tree)
        return;
    if (!may_register(peer, message->pid))
        reply.error = -EPERM;
    else if (!(peer->tree = tree_add(peer->of, message->pid, message->root_is_lazy, names, peer)))
        reply.error = -ESRCH;
    if (peer->tree) {
        peer->tree->is_foreign = !is_trusted(peer->uid);
        peer->tree->uid = peer->uid;
    }
    packet_send(peer->fd, &reply, sizeof(reply), -1);
}

static void
on_peer_message(evutil_socket_t fd, short what, void *argument)
{
    struct peer *peer = argument;
    struct link_message message;
    int passed;

    (void)what;
    int result = packet_receive(fd, &message, sizeof(message), &passed);
    if (passed >= 0)
        close(passed);
    if (result == 0)
        event_del(peer->message_event); /* its end comes by its pidfd */
    if (result != 1)
        return;
    if (message.type == LINK_REGISTER)
        register_tree(peer, &message);
    else if (message.type == LINK_NOTED)
        stop_hand_over(peer->of, peer, message.pid);
}

static void
on_connection(evutil_socket_t fd, short what, void *argument)
{
    struct seccomp_gate *of = argument;
    struct event_base *base = of->gate->base;
    struct ucred credentials;
    int connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    (void)what;
    if (connection < 0)
        return;
    struct peer *peer = calloc(1, sizeof(*peer));
    if (!peer || descriptors_are_scarce(connection) ||
        read_credentials(connection, &credentials) < 0 ||
        (!is_trusted(credentials.uid) && geteuid() != 0)) {
        free(peer);
        close(connection);
        return;
    }
    *peer = (struct peer){.of = of,
                          .fd = connection,
                          .uid = credentials.uid,
                          .pidfd = process_open_pidfd(credentials.pid)};
    LIST_INSERT_HEAD(&of->link.peers, peer, in_gate);
    peer->message_event = event_new(base, connection, EV_READ | EV_PERSIST, on_peer_message, peer);
    if (peer->pidfd >= 0)
        peer->end_event = event_new(base, peer->pidfd, EV_READ, on_peer_end, peer);
    if (!peer->message_event || !peer->end_event || event_add(peer->message_event, NULL) < 0 ||
        event_add(peer->end_event, NULL) < 0)
        destroy_peer(peer);
}

void
link_open(struct seccomp_gate *of, pid_t root)
{
    struct link *link = &of->link;
    struct process_info info;
    struct sockaddr_un name;

    if (process_info(root, &info) < 0)
        return;
    socklen_t length = make_name(&name, &info);
    link->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (link->fd < 0 || bind(link->fd, (struct sockaddr *)&name, length) < 0 ||
        listen(link->fd, BACKLOG) < 0)
        return;
    link->event = event_new(of->gate->base, link->fd, EV_READ | EV_PERSIST, on_connection, of);
    if (link->event)
        event_add(link->event, NULL);
}

/* --- the inner side --- */

static void
on_outer_message(evutil_socket_t fd, short what, void *argument)
{
    struct seccomp_gate *of = argument;
    struct link_message message;
    int passed, result;

    (void)what;
    while ((result = packet_receive(fd, &message, sizeof(message), &passed)) == 1) {
        if (passed >= 0)
            close(passed);
        if (message.type != LINK_STOPPED)
            continue;
        arrive_stopped(of, message.pid, message.lazy);
        const struct link_message reply = {.type = LINK_NOTED, .pid = message.pid};
        packet_send(fd, &reply, sizeof(reply), -1);
    }
    if (result == 0)
        event_del(of->link.event); /* its end comes by its pidfd */
}

/* Nobody stops our jobs any more, so there must not be any. */
static void
on_outer_end(evutil_socket_t fd, short what, void *argument)
{
    struct seccomp_gate *of = argument;

    (void)fd;
    (void)what;
    tree_end(of, LIST_FIRST(&of->trees));
    gate_interrupt(of->gate);
}

static int
connect_to(const struct process_info *root, struct ucred *credentials)
{
    struct sockaddr_un name;
    socklen_t length = make_name(&name, root);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&name, length) == 0 &&
        read_credentials(fd, credentials) == 0 && is_trusted(credentials->uid))
        return fd;
    close(fd);
    return -ENOENT;
}

/* The connection is no sign of life: if the sidecar has been killed, its keeper still holds the socket. */
static int
await_reply(const struct seccomp_gate *of, int fd)
{
    struct pollfd polled[] = {{.fd = fd, .events = POLLIN},
                              {.fd = of->link.outer_pidfd, .events = POLLIN}};

    while (poll(polled, 2, -1) < 0)
        if (errno != EINTR)
            return -errno;
    return polled[0].revents ? 0 : -EPIPE;
}

static int
register_root(const struct seccomp_gate *of, int fd, pid_t root)
{
    const struct gate_plan *plan = of->gate->plan;
    struct link_message message = {
        .type = LINK_REGISTER, .pid = root, .root_is_lazy = plan->root_is_lazy};
    int passed;

    for (unsigned i = 0; plan->names[i]; i++) {
        if (i == TREE_NAMES)
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
link_join(struct seccomp_gate *of, pid_t root)
{
    struct link *link = &of->link;
    struct event_base *base = of->gate->base;
    struct ucred credentials;
    int fd = find_outer(root, &credentials);

    if (fd < 0)
        return fd;
    link->fd = fd;
    link->outer_pidfd = process_open_pidfd(credentials.pid);
    if (link->outer_pidfd < 0)
        return link->outer_pidfd;
    link->event = event_new(base, fd, EV_READ | EV_PERSIST, on_outer_message, of);
    link->outer_event = event_new(base, link->outer_pidfd, EV_READ, on_outer_end, of);
    if (!link->event || !link->outer_event || event_add(link->event, NULL) < 0 ||
        event_add(link->outer_event, NULL) < 0)
        return -ENOMEM;
    int result = register_root(of, fd, root);
    if (result == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
        result = -errno;
    return result;
}

void
link_close(struct seccomp_gate *of)
{
    struct link *link = &of->link;
    struct peer *peer;

    while ((peer = LIST_FIRST(&link->peers)))
        destroy_peer(peer);
    if (link->event)
        event_free(link->event);
    if (link->outer_event)
        event_free(link->outer_event);
    if (link->outer_pidfd >= 0)
        close(link->outer_pidfd);
    if (link->fd >= 0)
        close(link->fd);
}
