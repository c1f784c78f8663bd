/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What comes to a seccomp gate, and what happens to it while it waits there. */

#include "ninja-shim/gate/seccomp/private.h"

/* Something executes a program. */
void seccomp_arrivals_take(struct seccomp_gate *of, const struct seccomp_exec *exec);
/* The outer sidecar has stopped a job of ours: a child of `lazy`. */
void seccomp_arrivals_take_stopped(struct seccomp_gate *of, pid_t pid, pid_t lazy);

/* A timer, while something waits: what has happened to a stopped process is told by no event. */
void seccomp_arrivals_on_timer(evutil_socket_t fd, short what, void *argument);

/* The kind's part of a gate. */
void seccomp_arrivals_run(struct gate *gate, struct gate_process *process);
void seccomp_arrivals_end(struct gate *gate, struct gate_process *process, int status);
