/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Puts a gate around a program that is about to be executed. */

#include "ninja-shim/gate/gate.h"
#include "ninja-shim/gate/kind.h"

/* Puts a gate around this process: the program that it executes next is the root of plan.names. From
 * here on it must do nothing but that. *kind: NULL, the first of gate_kinds that is allowed here; which
 * one that is is filled in. 0; or a negative errno, and *why_not (to be freed; NULL: out of memory) says what was tried and refused. */
int gate_start(const struct gate_plan *plan, const struct gate_kind **kind, char **why_not);
