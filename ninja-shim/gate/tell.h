/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What the gate tells its server of the jobs, for those who read the server's events (STEVED_EVENT_JOB_* of
 * protocol.h): what falls in one turn of the event loop goes in one call. As long as nobody reads, the server is asked
 * once a second at most, and only when something happens. Whatever goes wrong here is no matter of a job.
 */

#include "ninja-shim/gate/state.h"

/* A job has come: from here on it has a number, and has waited. */
void gate_tell_came(struct gate *gate, struct gate_job *job);
/* It runs from now on. */
void gate_tell_started(struct gate *gate, struct gate_job *job);
/* All of it has ended, or will never run. To be called before what it ran on is given back: then no more jobs are
 * seen at one time than there are tokens. */
void gate_tell_ended(struct gate *gate, struct gate_job *job);
/* It has been killed for want of memory, and waits again; likewise. */
void gate_tell_put_off(struct gate *gate, struct gate_job *job);
/* It stands still for want of memory, and goes on. */
void gate_tell_stopped(struct gate *gate, struct gate_job *job);
void gate_tell_continued(struct gate *gate, struct gate_job *job);
/* The turn is over: whoever waits now waits for memory, or else for a token. Sends what there is to tell. */
void gate_tell_turn_over(struct gate *gate, bool is_for_memory);
/* Sends what there is to tell. */
void gate_tell_now(struct gate *gate);
