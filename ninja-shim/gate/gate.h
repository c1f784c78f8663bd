/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The gate: holds back what a lazy client starts, each job until a token has been waited for. How
 * processes are stopped, run and ended is a matter of struct gate_kind.
 */

#include "ninja-shim/gate/state.h"

/* 0 or a negative errno; then gate_close() too. */
int gate_open(struct gate *gate, const struct gate_plan *plan);
/* Returns whatever is still borrowed. */
void gate_close(struct gate *gate);
/* The kind that is being opened; from here on its keep() is the keeper's duty. `state` is the kind's. */
void gate_set_kind(struct gate *gate, const struct gate_kind *kind, void *state);

/* A process has stopped at the gate, a child of `lazy`. It is run as soon as that is allowed, perhaps
 * before this returns. 0, or a negative errno: nobody knows it, and it must be ended. */
int gate_admit(struct gate *gate, pid_t pid, pid_t lazy);
/* Runs what may run. */
void gate_serve(struct gate *gate);
/* The living process with this pid that came to the gate, or NULL. */
struct gate_process *gate_find(struct gate *gate, pid_t pid);

/* While a lazy client cannot reap its children: `pid` has ended so. */
void gate_report_end(struct gate *gate, pid_t pid, int wait_status);
/* Takes back the tokens of all that have ended. */
void gate_sweep(struct gate *gate);
/* Who has ended without anybody knowing how will stay so. */
void gate_settle_unknown(struct gate *gate);

/* A signal ends the lazy client, or it has ended: what waits is ended, too. */
void gate_interrupt(struct gate *gate);
void gate_lazy_ended(struct gate *gate, pid_t lazy);

/* The keeper has been started anew, just now: if that was for another server or its classes, the gate goes on with it. */
void gate_keeper_renewed(struct gate *gate);

/* Does something run, or wait? */
bool gate_is_busy(const struct gate *gate);
