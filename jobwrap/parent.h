/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The jobserver that tokens are borrowed from: how it is found, and what it tells. The tokens themselves
 * go through the ledger. */

#include <stdbool.h>

#include "jobwrap/options.h"
#include "libjobserver/environment.h"

struct parent {
    struct jobserver jobserver; /* client: NULL: there is none */
    bool is_withheld;           /* MAKEFLAGS names one that cannot be used: go on as with -j1 */
};

/* By --parent; else MAKEFLAGS, the user's steved, /dev/steve, a steved that is started for it. 0, or a negative errno and a message was
 * given: the user named one that cannot be opened. */
int parent_find(struct parent *parent, const struct options *options);
void parent_close(struct parent *parent);

/* Where it cannot be set that is said, and the build goes on all the same. 0: it was not given. */
void parent_set_weight(const struct parent *parent, unsigned weight);

/* How many jobs run at most, the implicit slot included, if the parent lends all that it has; where
 * nobody can tell, what is free now, or `cpus` if that is more. */
unsigned parent_total(const struct parent *parent, bool implicit_paid, unsigned cpus);

/* How many tokens may lie in the build's FIFO for whoever comes: all that it gets, where the parent can ask
 * for them when others have less, so that clients that count the tokens by taking all see what they may
 * have. Else 1. */
unsigned parent_floating(const struct parent *parent);

/* May somebody else need tokens now? A server tells how many wait, of whom we may be one (`is_waiting`); of
 * a FIFO that is empty somebody may be waiting for. */
bool parent_is_needed(const struct parent *parent, bool is_waiting);

/* A descriptor that becomes readable when the parent may ask for tokens: the caller's, to be read by
 * parent_recalled(). -EOPNOTSUPP: it never asks; or another negative errno. */
int parent_open_recall(const struct parent *parent);
/* How many it asks for now, or a negative errno (client_is_gone()). */
int parent_recalled(const struct parent *parent, int recall_fd);
