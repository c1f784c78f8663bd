/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The keeper outlives the sidecar, if that is killed: it ends the lazy client and what waits at the
 * gate, since nothing may run without a token, gives each borrowed token back when the job that runs
 * on it has ended, and does what the gate's kind needs (struct gate_kind: keep). It shares the
 * sidecar's descriptors, not copies of them (CLONE_FILES).
 */

#include "libjobserver/ledger.h"
#include "ninja-shim/gate/holdings.h"

struct gate_keeper_duties {
    int sidecar_pidfd; /* shared, as all descriptors are */
    const struct ledger *const
        *ledgers; /* by the numbers of pools; NULL, or without a client: there is none */
    struct holdings *holdings;
};

/* Starts one. A child of the caller, of which it hears by SIGCHLD. 0 and *pid, or a negative errno. */
int gate_keeper_start(const struct gate_keeper_duties *duties, pid_t *pid);
