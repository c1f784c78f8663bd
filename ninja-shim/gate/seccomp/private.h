/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef NINJA_SHIM_GATE_SECCOMP_PRIVATE_H
#define NINJA_SHIM_GATE_SECCOMP_PRIVATE_H

/* The state of a seccomp gate, for the files that it consists of. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <uthash.h>

#include "libjobserver/process.h"
#include "ninja-shim/gate/gate.h"
#include "ninja-shim/gate/seccomp/listener.h"

#define TREE_NAMES 8 /* of an inner shim */

/* The processes below a shim, whose lazy clients' jobs are stopped: our own tree, or that of an inner
 * shim, whose own sidecar does all the rest. */
struct tree {
    LIST_ENTRY(tree) in_gate;
    struct peer *peer; /* the inner sidecar; NULL: the tree is ours, or its sidecar has died */
    bool is_foreign;   /* the peer is another user, whom root serves */
    uid_t uid;         /* if so: who */
    bool abandoned;    /* its sidecar has died: nothing that is left of it may start a job */
    pid_t root;
    int root_pidfd; /* owned */
    bool root_is_lazy;
    char copies[TREE_NAMES][PROCESS_NAME_SIZE]; /* of an inner shim's names */
    const char *copy_list[TREE_NAMES + 1];
    const char *const *name_list; /* these, or our own ones, of which there may be more */
    bool had_lazy;
};

struct lazy {
    struct seccomp_gate *of;
    struct tree *tree;
    pid_t pid;
    int pidfd; /* owned */
    int holding;
    struct event *end_event;
    UT_hash_handle hh; /* by pid */
};

/* A process that is being stopped at its exec. */
struct stop {
    TAILQ_ENTRY(stop) in_gate;
    pid_t pid, lazy;
    int pidfd;         /* owned */
    uint64_t id;       /* of the notification; 0: answered */
    unsigned looks;    /* in vain */
    struct peer *peer; /* whose it is; NULL: ours */
    bool announced;    /* to the peer */
    bool noted;        /* by the peer, in its own holdings */
    int holding;       /* of a peer's, until then; else -1 */
};

/* An inner sidecar at our socket. */
struct peer {
    LIST_ENTRY(peer) in_gate;
    struct seccomp_gate *of;
    int fd, pidfd; /* owned */
    uid_t uid;
    struct event *message_event, *end_event;
    struct tree *tree; /* NULL: it has not registered yet */
};

/* Where inner sidecars register, or, for an inner one, where it has. */
struct link {
    int fd; /* owned; -1: none */
    struct event *event;
    LIST_HEAD(, peer) peers;
    int outer_pidfd; /* owned; -1: we are the outer one */
    struct event *outer_event;
};

struct seccomp_gate {
    struct gate *gate;
    struct seccomp_listener *listener; /* shared with the keeper */
    bool is_inner;                     /* somebody else has the descriptor */
    bool hung_up;                      /* nothing runs under the filter any more */
    struct event *listener_event;
    LIST_HEAD(, tree) trees; /* the first is ours */
    struct lazy *lazies;     /* uthash */
    TAILQ_HEAD(, stop) stops;
    struct event *stop_event;
    struct event *watch_event;
    unsigned watch_ms;
    pid_t arriving; /* its notification is not answered yet; 0: none */
    struct event *root_event;
    struct link link;
};

/* What we know of a process at the gate. */
struct seccomp_waiter {
    bool is_at_large;   /* it is on its way to another exec */
    unsigned end_looks; /* it is to be ended, and so many looks have found it running */
};

_Static_assert(sizeof(struct seccomp_waiter) <= GATE_KIND_PROCESS_ROOM, "there is room for it");

static inline struct seccomp_waiter *
seccomp_waiter_of(struct gate_process *process)
{
    return (void *)process->kind_room;
}

static inline struct seccomp_gate *
seccomp_gate_of(const struct gate *gate)
{
    return gate->kind_state;
}

#endif
