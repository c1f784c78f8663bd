/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What the sidecar and its keeper both know: whose end gives which token back, who must not outlive
 * the sidecar, and what the gate's kind wants to be done then. It lies in memory that both share, and so do their descriptors: a pidfd that
 * is written here means the same process to both, whoever of them is killed, and however often its
 * pid is used again.
 */

#include <stdatomic.h>
#include <stddef.h>
#include <sys/types.h>

#include "ninja-shim/gate/kind.h"

#define HOLDINGS_MAX 65536u
#define HOLDINGS_NO_TOKEN (-1)

enum holding_kind {
    HOLDING_NONE,
    HOLDING_LAZY_CLIENT, /* ends with the sidecar: its jobs would run without tokens */
    HOLDING_WAITING,     /* a process at the gate, or just leaving it: the same */
    HOLDING_RUNNING,     /* runs */
};

struct holding {
    atomic_uchar kind;
    atomic_int token; /* held while the process lives: a number, which those of one job share; or
                         HOLDINGS_NO_TOKEN */
    atomic_uint
        pools; /* where tokens are held under this number, one each: as queue.h has sets of pools */
    int pidfd; /* owned by who has put it here */
    atomic_int
        stopped; /* this process and all below it stand still by SIGSTOP, or are about to; 0: none */
};

struct holdings {
    atomic_bool
        is_finished; /* the sidecar has returned everything: nothing is left for the keeper */
    _Atomic(const struct gate_kind *) kind; /* NULL: no gate stands yet */
    _Alignas(max_align_t) unsigned char kind_room[GATE_KIND_SHARED_ROOM]; /* the gate kind's own */
    atomic_uint end; /* from here on all are HOLDING_NONE */
    struct holding holding[HOLDINGS_MAX];
};

/* Shared with the processes that are forked later; it ends with them. NULL: out of memory. */
struct holdings *holdings_create(void);

/* Its number, or -ENOSPC. */
int holdings_add(struct holdings *holdings, enum holding_kind kind, int pidfd);
/* It has this token of each of these pools from now on; or HOLDINGS_NO_TOKEN of none. */
void holdings_pay(struct holdings *holdings, int number, int token, unsigned pools);
/* It runs, for certain. */
void holdings_run(struct holdings *holdings, int number);
/* It has been put off, and waits. */
void holdings_wait(struct holdings *holdings, int number);
/* `pid` and all below it are being stopped; 0: they go on. */
void holdings_stop(struct holdings *holdings, int number, pid_t pid);
void holdings_remove(struct holdings *holdings, int number);
