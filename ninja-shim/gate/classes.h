/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The classes of the gate's server: which of them a job needs, and their tokens. When there are none, nothing here does
 * anything.
 *
 * A token that was not there is waited for by its class's file. Of a class that has lost all its tokens, or
 * gets some again, its file does not always tell, so it is asked about once a second as long as jobs wait that name it.
 */

#include "ninja-shim/gate/state.h"

/* How many jobs may run now instead of on the cpu, at most. For who puts up a gate. */
unsigned gate_classes_jobs(const struct gate_plan *plan);

/* Those that the plan's rules name. on_change: called with the gate when it is time to serve it. Opens what the keeper
 * shares, so it is called before that is started. 0 or -ENOMEM. */
int gate_classes_open(struct gate *gate, event_callback_fn on_change);
/* Returns whatever is held. */
void gate_classes_close(struct gate *gate);

/* A process of a job that waits has come. */
void gate_classes_look_up(struct gate *gate, struct gate_job *job, pid_t pid);

/* Takes the tokens of classes that the job needs now. false: one is missing, none is taken, and the queue knows. */
bool gate_classes_take(struct gate *gate, struct gate_job *job);
/* Returns those that the job holds. */
void gate_classes_give_back(struct gate *gate, struct gate_job *job);

/* The turn is over: from now on wakes up for what jobs wait for. */
void gate_classes_await(struct gate *gate);

/* There is another server: its classes take the place of those of the old one. The keeper must be started anew. */
void gate_classes_replace(struct gate *gate);
/* The keeper has been: acquires anew what jobs hold. */
void gate_classes_renew(struct gate *gate);
