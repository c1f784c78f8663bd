/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef NINJA_SHIM_GATE_START_H
#define NINJA_SHIM_GATE_START_H

#include "ninja-shim/gate/choice.h"
#include "ninja-shim/gate/gate.h"

/* Puts a gate around this process: the program that it executes next is the root of plan.names. From
 * here on it must do nothing but that. 0; or a negative errno, and *why_not (to be freed; NULL: out of
 * memory) says what was tried and refused. */
int gate_start(const struct gate_plan *plan, enum gate_choice choice, char **why_not);

#endif
