/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>

#include "libjobserver/client.h"

/*
 * The tokens that are borrowed from the parent, known to a program and its keeper alike: one byte for
 * each lies in pipes that both hold, so that whoever survives can return them. How a token gets there
 * and back, and what a SIGKILL in between costs, is a matter of the client: client_move_to().
 */
#define LEDGER_PIPES 16

struct ledger {
    struct client *client;
    int pipes[LEDGER_PIPES][2];
    unsigned n_pipes;
    unsigned capacity; /* the most tokens that can be noted, if the kernel lets the pipes grow */
};

/* Room for `wanted` tokens; may end up with less, see capacity. 0 or a negative errno. `client` must
 * outlive the ledger. */
int ledger_open(struct ledger *ledger, struct client *client, unsigned wanted);

unsigned ledger_borrowed(const struct ledger *ledger);
/* One token: 1; 0 if the parent has none free, -ENOSPC if the ledger is full, or a negative errno. */
int ledger_borrow(struct ledger *ledger);
/* Gives one back: 1; 0 if none is borrowed, or a negative errno (the parent is gone). */
int ledger_repay(struct ledger *ledger);
/* One is given back to nobody, because the client has another server now, which knows nothing of what is noted.
 * false: none is borrowed. */
bool ledger_forget(struct ledger *ledger);
/* The client has another server now, which knows nothing of what is noted: as many are acquired anew as it gives at
 * once, and no more are noted than that. Who dies meanwhile, and so returns more than it has got, has the rest
 * dropped there. Returns how many are noted, or a negative errno: that server has ended, too, and nothing has changed. */
int ledger_renew(struct ledger *ledger);
/* Gives all but `keep` back; a parent that is gone gets nothing. */
void ledger_repay_all_but(struct ledger *ledger, unsigned keep);
