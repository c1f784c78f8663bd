/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The gate by ptrace(2). The lazy client is traced, and what it forks with it; a child that executes
 * a program stops before the first instruction of that (PTRACE_EVENT_EXEC), when a parent that waits
 * in vfork(2) is free already. When the child may run it is detached, and nobody's business any more.
 *
 * What a tracer must not change, it does not: signals are handed on, stops stay stops.
 */

#include "ninja-shim/gate/kind.h"

/* -EPERM: something else traces the shim, or Yama forbids it. */
extern const struct gate_kind ptrace_gate_kind;
