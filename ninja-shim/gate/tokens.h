/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What jobs of the gate run on: tokens that its ledger has borrowed, and the implicit slot. Here it is also noticed
 * that the server has ended: then jobs run one at a time, until there is another (next_server.h).
 */

#include "ninja-shim/gate/state.h"

/* Takes one token from the server into the ledger; false: there is none for us now, or no server. */
bool tokens_borrow(struct gate *gate);
/* Returns one token that no job runs on. */
void tokens_give_back(struct gate *gate);
/* Returns a token that a running job can do without; queue_next() has said that there is one. */
void tokens_free_one(struct gate *gate);

/* While a job waits for a token: asks whether it may have the implicit slot by now. */
bool tokens_claim_slot(struct gate *gate);
/* Gives the token that was just borrowed to a job that runs on nothing; false: there is no such job. */
bool tokens_pay_for_unpaid(struct gate *gate);

/* Names the tokens that the job is about to run on, if it runs on any. */
void tokens_number(struct gate *gate, struct gate_job *job);
/* Notes in a holding, that of a process of the job or of a copy, what the job runs on. */
void tokens_note(struct gate *gate, int holding, const struct gate_job *job);

/* The ledger has come to another server, which has let it have `tokens` of those that it held: jobs that run are paid
 * from these, what is left over goes back, and what is missing is borrowed. */
void tokens_renew(struct gate *gate, unsigned tokens);
/* What jobs run on is other than what was noted: all of it is noted anew. */
void tokens_note_all(struct gate *gate);
