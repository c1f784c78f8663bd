/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Memory at the gate: which job it lets in, and what is done when it does not suffice. Here is what touches
 * processes and files; what is to be done is decided in libjobserver/memory/admission.h.
 *
 * A gate that has none (gate->memory is NULL) lets in whoever comes first.
 */

#include "ninja-shim/gate/state.h"

/* As the plan says. on_look: called with the gate when it is time for gate_memory_look(). 0; or -ENOMEM. */
int gate_memory_open(struct gate *gate, event_callback_fn on_look);
/* Writes what has been learnt. */
void gate_memory_close(struct gate *gate);

/* `process` is the first of a job that waits. */
void gate_memory_add(struct gate *gate, struct gate_job *job, const struct gate_process *process);
/* It is one of several that are joined by pipes. */
void gate_memory_join(struct gate_job *job);
/* Who may start next; NULL: nobody. Kills, stops and continues jobs on the way. */
struct gate_job *gate_memory_next(struct gate *gate);
void gate_memory_started(struct gate *gate, struct gate_job *job);
/* It starts: shall it be possible to run it again? */
bool gate_memory_wants_copy(const struct gate *gate, const struct gate_job *job);
/* It has been killed to make room, and waits. */
void gate_memory_gone(struct gate *gate, struct gate_job *job);
/* A process of a job has ended; wait_status is NULL if nobody knows how. */
void gate_memory_process_ended(struct gate_job *job, const int *wait_status);
/* One that waits will never start. */
void gate_memory_withdraw(struct gate *gate, struct gate_job *job);
/* All of the job's have, or it will never start. */
void gate_memory_remove(struct gate *gate, struct gate_job *job);
/* What the jobs use is looked at. To be called before the gate is served. */
void gate_memory_look(struct gate *gate);
/* That is done again soon enough. To be called when jobs have come, started or ended. */
void gate_memory_schedule(struct gate *gate);

/* Somebody ends it by a signal, on which it does not act while it stands still. */
bool gate_memory_is_being_ended(const struct gate_job *job);
/* A lazy client has been told to end, and tells its jobs: that is looked at soon. */
void gate_memory_look_soon(struct gate *gate);

/* Nobody stands still for memory any more: of one lazy client, or (0) of all. What waits for a job of its own
 * to end, which cannot, would wait for ever. */
void gate_memory_let_go(struct gate *gate, pid_t lazy);
