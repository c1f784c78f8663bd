/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The copies that run instead of jobs that may have to be run again (ptrace/copy.h), as the gate sees them. */

#include "ninja-shim/gate/gate.h"

/* 0 or a negative errno. */
int copies_open(struct gate *gate);
void copies_close(struct gate *gate);

/* What runs of a process. */
pid_t copies_pid(const struct gate_process *process);

/* Goes on with those whose copies have ended. */
void copies_sweep(struct gate *gate);
/* A process has been killed; true: its copy has not ended yet, and it is not collected before. */
bool copies_outlive(struct gate *gate, struct gate_process *process);
/* All of its processes have been killed for memory: are they gone? Then it is put off. */
void copies_settle(struct gate *gate, struct gate_job *job);
