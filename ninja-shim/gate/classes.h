/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The classes of the gate's server: which of them a job needs, and their tokens. When there are none, nothing here does
 * anything.
 *
 * Where jobs need no tokens of the cpu here, those classes count that are needed besides them: who has taken the first
 * knows nothing of classes, and what would need one instead sees to that itself, as a launcher's shim.
 *
 * A token that was not there is waited for by its class's file. Of a class that has lost all its tokens, or
 * gets some again, its file does not always tell, so it is asked about once a second as long as jobs wait that name it.
 */

#include "ninja-shim/gate/state.h"

/* For who puts up a gate: does the plan's server have a class that its rules name, and that counts here? And how many
 * jobs may run now instead of on the cpu, at most? */
bool gate_classes_are_there(const struct gate_plan *plan);
unsigned gate_classes_jobs(const struct gate_plan *plan);

/* Those that the plan's rules name. on_change: called with the gate when it is time to serve it. Opens what the keeper
 * shares, so it is called before that is started. 0 or -ENOMEM. */
int gate_classes_open(struct gate *gate, event_callback_fn on_change);
/* Returns whatever is held. */
void gate_classes_close(struct gate *gate);

/* What a job needs is known by the command lines of its processes. For each that is one of a job by now, when it comes; and
 * where it had not executed then, now and then until this returns true: it is known now, and the gate is to be served. */
bool gate_classes_look_up(struct gate *gate, struct gate_process *process);
/* One of its processes has ended. */
void gate_classes_sum_up(const struct gate *gate, struct gate_job *job);

/* Takes the tokens of classes that the job needs now. false: one is missing, none is taken, and the queue knows. */
bool gate_classes_take(struct gate *gate, struct gate_job *job);
/* Returns those that the job holds. */
void gate_classes_give_back(struct gate *gate, struct gate_job *job);

/* The turn is over: from now on wakes up for what jobs wait for. */
void gate_classes_await(struct gate *gate);

/* A class that there was is no more; it may come back. */
bool gate_classes_are_gone(const struct gate *gate);
/* Opens those that are not there, if they are by now. true: the keeper must be started anew, which joins them. */
bool gate_classes_look_for(struct gate *gate);
/* It has been: acquires anew what jobs hold of them. false: there are none to be joined. */
bool gate_classes_renew(struct gate *gate);
