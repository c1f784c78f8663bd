/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Where jobs wait for memory alone, not all that a lazy client starts is a job. make reads what $(shell) says and
 * does nothing meanwhile. What starts jobs itself has these looked at: the sub-make of a recipe here, where it
 * is called like a lazy client; others (ninja) by a gate of their own. A shell that will start such a one does
 * no work either.
 */

#include "ninja-shim/gate/state.h"

enum gate_part {
    GATE_PART_JOB,
    GATE_PART_OTHER, /* it runs at once, and is nobody's business */
    GATE_PART_LEADS, /* the same, but a lazy client is expected below it */
};

/* Of a child of `lazy` that has executed a program. */
enum gate_part gate_part_of(const struct gate *gate, pid_t pid, pid_t lazy);
