/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The inner sidecars that have registered, at the outer one. */
#include "ninja-shim/gate/seccomp/peers.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "libjobserver/program/descriptors.h"
#include "libjobserver/program/packet.h"
#include "ninja-shim/gate/seccomp/link.h"
#include "ninja-shim/gate/seccomp/stops.h"
#include "ninja-shim/gate/seccomp/trees.h"

#define BACKLOG 128

static void
destroy_peer(struct seccomp_peer *peer)
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
    struct seccomp_peer *peer = argument;
    struct seccomp_gate *of = peer->of;
    struct seccomp_tree *tree = peer->tree;

    seccomp_stop_end_all(of, peer);
    if (tree && !seccomp_tree_has_living_lazy(of, tree)) {
        seccomp_tree_remove(of, tree);
    } else if (tree) {
        tree->peer = NULL;
        tree->is_abandoned = true;
        seccomp_tree_end(of, tree);
    }
    destroy_peer(peer);
}

/* Root's sidecar serves other users, too, but only for what is theirs. */
static bool
may_register(const struct seccomp_peer *peer, pid_t root)
{
    uid_t uid;

    if (seccomp_link_is_trusted(peer->uid))
        return true;
    return geteuid() == 0 && process_owner(root, &uid) == 0 && uid == peer->uid;
}

static void
register_tree(struct seccomp_peer *peer, struct seccomp_message *message)
{
    const char *names[SECCOMP_NAMES_MAX + 1] = {NULL};
    struct seccomp_message reply = {.type = SECCOMP_MESSAGE_REGISTERED};

    for (unsigned i = 0; i < SECCOMP_NAMES_MAX && message->names[i][0]; i++) {
        message->names[i][PROCESS_NAME_SIZE - 1] = '\0';
        names[i] = message->names[i];
    }
    if (peer->tree)
        return;
    if (!may_register(peer, message->pid))
        reply.error = -EPERM;
    else if (!(peer->tree =
                   seccomp_tree_add(peer->of, message->pid, message->is_root_lazy, names, peer)))
        reply.error = -ESRCH;
    if (peer->tree) {
        peer->tree->is_foreign = !seccomp_link_is_trusted(peer->uid);
        peer->tree->uid = peer->uid;
    }
    packet_send(peer->fd, &reply, sizeof(reply), -1);
}

static void
on_peer_message(evutil_socket_t fd, short what, void *argument)
{
    struct seccomp_peer *peer = argument;
    struct seccomp_message message;
    int passed;

    int result = packet_receive(fd, &message, sizeof(message), &passed);
    if (passed >= 0)
        close(passed);
    if (result == 0)
        event_del(peer->message_event); /* its end comes by its pidfd */
    if (result != 1)
        return;
    if (message.type == SECCOMP_MESSAGE_REGISTER)
        register_tree(peer, &message);
    else if (message.type == SECCOMP_MESSAGE_NOTED)
        seccomp_stop_hand_over(peer->of, peer, message.pid);
}

static void
on_connection(evutil_socket_t fd, short what, void *argument)
{
    struct seccomp_gate *of = argument;
    struct event_base *base = of->gate->base;
    struct ucred credentials;
    int connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (connection < 0)
        return;
    struct seccomp_peer *peer = calloc(1, sizeof(*peer));
    if (!peer || descriptors_are_scarce(connection) ||
        seccomp_link_credentials(connection, &credentials) < 0 ||
        (!seccomp_link_is_trusted(credentials.uid) && geteuid() != 0)) {
        free(peer);
        close(connection);
        return;
    }
    *peer = (struct seccomp_peer){.of = of,
                                  .fd = connection,
                                  .uid = credentials.uid,
                                  .pidfd = process_open_pidfd(credentials.pid)};
    LIST_INSERT_HEAD(&of->peers.list, peer, in_gate);
    peer->message_event = event_new(base, connection, EV_READ | EV_PERSIST, on_peer_message, peer);
    if (peer->pidfd >= 0)
        peer->end_event = event_new(base, peer->pidfd, EV_READ, on_peer_end, peer);
    if (!peer->message_event || !peer->end_event || event_add(peer->message_event, NULL) < 0 ||
        event_add(peer->end_event, NULL) < 0)
        destroy_peer(peer);
}

void
seccomp_peers_open(struct seccomp_gate *of, pid_t root)
{
    struct seccomp_peers *peers = &of->peers;
    struct process_info info;
    struct sockaddr_un name;

    if (process_info(root, &info) < 0)
        return;
    socklen_t length = seccomp_link_name(&name, &info);
    peers->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (peers->fd < 0 || bind(peers->fd, (struct sockaddr *)&name, length) < 0 ||
        listen(peers->fd, BACKLOG) < 0)
        return;
    peers->event = event_new(of->gate->base, peers->fd, EV_READ | EV_PERSIST, on_connection, of);
    if (peers->event)
        event_add(peers->event, NULL);
}

void
seccomp_peers_close(struct seccomp_gate *of)
{
    struct seccomp_peers *peers = &of->peers;
    struct seccomp_peer *peer;

    while ((peer = LIST_FIRST(&peers->list)))
        destroy_peer(peer);
    if (peers->event)
        event_free(peers->event);
    if (peers->fd >= 0)
        close(peers->fd);
}
