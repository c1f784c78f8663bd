/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef NINJA_SHIM_GATE_SIDECAR_H
#define NINJA_SHIM_GATE_SIDECAR_H

/*
 * The sidecar is the process that keeps the gate for one lazy client, beside it: in a session of its
 * own, neither its parent nor its child. It lives as long as the lazy client, what that has
 * started, and what a seccomp filter needs it for.
 */

#include <sys/types.h>

#include "ninja-shim/gate/gate.h"

enum sidecar_message_type {
    /* from the sidecar */
    SIDECAR_READY,   /* pid: its own; error: 0, or it has given up */
    SIDECAR_OUTCOME, /* error: 0, the gate stands; else what refused it */
    /* to the sidecar */
    SIDECAR_TRACE,  /* seize me by ptrace */
    SIDECAR_LISTEN, /* with the descriptor of a seccomp listener */
    SIDECAR_JOIN,   /* there is a listener above us: use that */
};

struct sidecar_message {
    enum sidecar_message_type type;
    int error;
    pid_t pid;
};

/* What the sidecar's process does; `socket` is its end of the link to the shim (link.h), whose pid is
 * `root`. */
_Noreturn void sidecar_run(const struct gate_plan *plan, pid_t root, int socket);

#endif
