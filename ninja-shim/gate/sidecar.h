/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The sidecar is the process that keeps the gate for one lazy client, beside it: in a session of its
 * own, neither its parent nor its child. It lives as long as the lazy client, what that has started,
 * and what the gate's kind is needed for.
 */

#include <sys/types.h>

#include "ninja-shim/gate/gate.h"

enum sidecar_message_type {
    SIDECAR_READY, /* to the shim. error: 0, or it has given up */
    SIDECAR_OPEN,  /* to the sidecar. kind: its number in gate_kinds; with what that has prepared */
    SIDECAR_OUTCOME, /* to the shim. error: 0, the gate stands; else what refused it */
};

struct sidecar_message {
    enum sidecar_message_type type;
    int error;
    unsigned kind;
};

/* What the sidecar's process does; `socket` is its end of the link to the shim, whose pid is `root`. */
_Noreturn void sidecar_run(const struct gate_plan *plan, pid_t root, int socket);
