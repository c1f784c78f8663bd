/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What the shims that put a gate around a ninja have in common. */

#include <stdbool.h>

#include "libjobserver/implicit.h"
#include "ninja-shim/gate/start.h"
#include "ninja-shim/shims/ninja_jobs.h"

/* NINJA_SHIM_GATE (*gate NULL: the first that is allowed here; *is_off: jobs do not wait) and
 * NINJA_SHIM_IMPLICIT. Ends the program for what makes no sense; what is not set stays. */
void ninja_gate_read_environment(const struct gate_kind **gate, bool *is_off,
                                 enum implicit_policy *implicit);

/* What the number of a ninja's jobs depends on, here and now, at the plan's server and its classes. `plan` needs no jobs
 * yet. */
void ninja_gate_measure(const struct gate_plan *plan, struct ninja_jobs *jobs);
/* The -j for a ninja whose jobs wait, where the user has given none, and where a failure shows all that
 * wait. */
unsigned ninja_gate_jobs(const struct gate_plan *plan);
