/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The state of a seccomp gate, for the files that it consists of. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "libjobserver/process.h"
#include "ninja-shim/gate/gate.h"
#include "ninja-shim/gate/seccomp/listener.h"
#include "ninja-shim/gate/table.h"

#define SECCOMP_NAMES_MAX 8 /* of an inner shim */

/* The processes below a shim, whose lazy clients' jobs are stopped: our own tree, or that of an inner
 * shim, whose own sidecar does all the rest. */
struct seccomp_tree {
    LIST_ENTRY(seccomp_tree) in_gate;
    struct seccomp_peer *peer; /* the inner sidecar; NULL: ours, or it has died */
    bool is_foreign;           /* the peer is another user, whom root serves */
    uid_t uid;                 /* if so: who */
    bool is_abandoned; /* its sidecar has died: nothing that is left of it may start a job */
    pid_t root;
    int root_pidfd; /* owned */
    bool is_root_lazy;
    char copies[SECCOMP_NAMES_MAX][PROCESS_NAME_SIZE]; /* of an inner shim's names */
    const char *copy_list[SECCOMP_NAMES_MAX + 1];
    const char *const *name_list; /* these, or our own ones, of which there may be more */
    bool has_had_lazy;
};

struct seccomp_lazy {
    struct seccomp_gate *of;
    struct seccomp_tree *tree;
    pid_t pid;
    int pidfd; /* owned */
    int holding;
    struct event *end_event;
    UT_hash_handle hh; /* by pid */
};

/* A process that is being stopped at its exec. */
struct seccomp_stop {
    TAILQ_ENTRY(seccomp_stop) in_gate;
    pid_t pid, lazy;
    int pidfd;                 /* owned */
    uint64_t id;               /* of the notification; 0: answered */
    unsigned looks;            /* in vain */
    struct seccomp_peer *peer; /* whose it is; NULL: ours */
    bool is_announced;         /* to the peer */
    bool is_noted;             /* by the peer, in its own holdings */
    int holding;               /* of a peer's, until then; else -1 */
};

/* An inner sidecar at our socket. */
struct seccomp_peer {
    LIST_ENTRY(seccomp_peer) in_gate;
    struct seccomp_gate *of;
    int fd, pidfd; /* owned */
    uid_t uid;
    struct event *message_event, *end_event;
    struct seccomp_tree *tree; /* NULL: it has not registered yet */
};

/* Where inner sidecars register. */
struct seccomp_peers {
    int fd; /* owned; -1: none */
    struct event *event;
    LIST_HEAD(, seccomp_peer) list;
};

/* Where we have registered, if we are an inner one ourselves. */
struct seccomp_outer {
    int fd, pidfd; /* owned; -1: none */
    struct event *message_event, *end_event;
};

struct seccomp_gate {
    struct gate *gate;
    struct seccomp_listener *listener; /* shared with the keeper */
    bool is_inner;                     /* somebody else has the descriptor */
    uint64_t start_ticks;              /* of the process that has the filter first */
    bool has_hung_up;                  /* nothing runs under the filter any more */
    struct event *listener_event;
    LIST_HEAD(, seccomp_tree) trees; /* the first is ours */
    struct seccomp_lazy *lazies;     /* uthash */
    TAILQ_HEAD(, seccomp_stop) stops;
    struct event *stop_event;
    struct event *watch_event;
    unsigned watch_ms;
    pid_t arriving; /* its notification is not answered yet; 0: none */
    struct event *root_event;
    struct seccomp_peers peers;
    struct seccomp_outer outer;
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
