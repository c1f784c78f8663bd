/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The copies that run instead of jobs that may have to be run again (ptrace/copy.h), as the gate sees them. */

#include "ninja-shim/gate/state.h"

/* on_end: called with the gate when copies have ended. 0 or a negative errno. */
int copies_open(struct gate *gate, event_callback_fn on_end);
void copies_close(struct gate *gate);

/* A copy of the process `pid` has been made, to run instead of it, and is about to. 0, or a negative errno: it must
 * not. */
int copies_add(struct gate *gate, pid_t pid, pid_t copy);
/* It runs. */
void copies_run(struct gate *gate, pid_t pid);

/* It has ended, and the largest single process of all that it was had so much. To be called before `pid` ends. */
void copies_note_peak(struct gate *gate, pid_t pid, uint64_t bytes);

/* What runs of a process. */
pid_t copies_pid(const struct gate_process *process);

/* Of the next copies that have ended, up to `max`: each is to be given to copies_end(). Returns how many. */
int copies_ended(const struct gate *gate, struct gate_process **processes, int max);

enum copies_end {
    COPIES_END_LEAVES, /* the process itself will end in the same way */
    COPIES_END_KILLED, /* for memory: when copies_are_gone(), the job is put off */
    COPIES_END_ORPHAN, /* the process has ended before, and is to be collected */
};

/* The process has no copy any more. */
enum copies_end copies_end(struct gate *gate, struct gate_process *process);

/* A process has ended. true: its copy has not, which must not run on then; it is collected after that. */
bool copies_outlive(struct gate *gate, struct gate_process *process);
/* Of a job that has been killed for memory: is there nothing left of it? */
bool copies_are_gone(struct gate_process *process);
