/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The kinds of gates that there are, and how a user names one. */

#include "ninja-shim/gate/kind.h"

/* In the order in which they are tried; ends with NULL. */
extern const struct gate_kind *const gate_kinds[];

/* A kind's name, or "auto", for the first one that is allowed here: *kind is NULL then. 0, else
 * -EINVAL, and *kind stays. */
int gate_kinds_parse(const char *text, const struct gate_kind **kind);

#define GATE_KINDS_LIST_SIZE 64
/* Fills in the words that gate_kinds_parse() knows, "auto" first, and `more` (or NULL) behind them;
 * `last` stands before the last one, `between` before the others. */
void gate_kinds_list(char list[GATE_KINDS_LIST_SIZE], const char *between, const char *last,
                     const char *more);
