/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The state of a ptrace gate, for the files that it consists of. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "ninja-shim/gate/gate.h"
#include "ninja-shim/gate/ptrace/registers.h"
#include "ninja-shim/gate/table.h"

enum role {
    ROLE_PASSER,  /* neither a lazy client nor a job, but may become the one or start it */
    ROLE_LAZY,    /* a lazy client, or a thread of one */
    ROLE_CHILD,   /* of a lazy client; has executed nothing yet */
    ROLE_OTHER,   /* forked by such a child: none of the lazy client's jobs */
    ROLE_WAITING, /* at the gate, stopped */
    ROLE_ENDING,  /* on its way to its exit */
    ROLE_COPYING, /* the original of a job, at work to make a copy of itself: see copy.h */
    ROLE_COPY,    /* that, until it has been let go */
    ROLE_KEPT,    /* the original, stopped, while the copy runs */
    ROLE_LEAVING, /* the original, about to end as its copy has ended */
    ROLE_AGAIN,   /* about to execute its program once more: see again.h */
};

struct image;

struct tracee {
    pid_t pid; /* a thread's id */
    enum role role;
    pid_t lazy; /* ROLE_LAZY: the process; ROLE_CHILD and later: who has started it; 0: killed */
    int pidfd, holding;  /* of a lazy client's first thread, else -1 */
    int end_status;      /* ROLE_ENDING */
    struct image *image; /* owned; NULL: no copy has been made of it */
    pid_t original;      /* ROLE_COPY: of which */
    uint64_t words[3];   /* of again.h: where path, arguments and environment lie; 0: not needed */
    UT_hash_handle hh;
};

/* How far a lazy client that has failed has come to its end: see quit.h. */
enum quit_state {
    QUIT_NONE,
    QUIT_REPORTS,     /* it is to show first how what ran has ended */
    QUIT_INTERRUPTED, /* one of its jobs has been interrupted, which it has not seen yet */
    QUIT_LEAVES,      /* it has */
    QUIT_GIVEN_UP,    /* nothing is done about it */
};

struct quit {
    enum quit_state state;
    bool has_reported;
    pid_t lazy, victim;
    bool is_skipping; /* its system call is not made, and shall seem to be */
    uint64_t written,
        wanted;       /* by the call that has been cut, if any: in truth, and as it thinks */
    pid_t *strangers; /* its children that it had before it was traced; owned */
    size_t stranger_count;
};

struct tracer {
    struct tracee *tracees; /* uthash */
    pid_t root;
    struct quit quit;
};

static inline struct tracer *
tracer_of(const struct gate *gate)
{
    return gate->kind_state;
}

static inline struct tracee *
tracer_find(const struct tracer *tracer, pid_t pid)
{
    struct tracee *tracee;

    HASH_FIND_INT(tracer->tracees, &pid, tracee);
    return tracee;
}

/* It is nobody's business any more. */
void ptrace_forget(struct gate *gate, struct tracee *tracee);
/* Lets the tracee run on, untraced. */
void ptrace_release(struct gate *gate, pid_t pid);
