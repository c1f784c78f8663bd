/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Memory at the gate: which job it lets in, and what is done when it does not suffice. Here is what touches
 * processes and files; what is to be done is decided in libjobserver/memory/admission.h.
 *
 * A gate that has none (gate->memory is NULL) lets in whoever comes first.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "libjobserver/memory/admission.h"
#include "libjobserver/memory/command.h"
#include "libjobserver/memory/expectation.h"

struct gate;
struct gate_job;
struct gate_process;
struct gate_memory;

/* What a user says of it: --memory of jobgate, JOBWRAP_MEMORY. */
enum gate_memory_mode {
    GATE_MEMORY_AUTO, /* where it can be had; nothing is said where it cannot */
    GATE_MEMORY_ON,
    GATE_MEMORY_OFF,
};

#define GATE_MEMORY_MODES "auto, on or off"
/* 0, else -EINVAL, and *mode stays. */
int gate_memory_parse(const char *text, enum gate_memory_mode *mode);
/* What JOBWRAP_MEMORY says, if anything. Ends the program for what makes no sense. */
void gate_memory_read_environment(enum gate_memory_mode *mode);

/* Of one job at the gate. */
struct gate_job_memory {
    struct memory_job job;
    struct memory_key key;
    bool has_key;
    bool may_run_twice; /* which job.may_run_twice says only while there is a copy to be killed */
    enum memory_source source; /* of what is expected */
    int64_t started_ns;
    bool has_failed; /* or nobody knows how it ended */
};

/* As the plan says. 0; or -ENOMEM. */
int gate_memory_open(struct gate *gate);
/* Writes what has been learnt. */
void gate_memory_close(struct gate *gate);

/* `process` is the first of a job that waits. */
void gate_memory_add(struct gate *gate, struct gate_job *job, const struct gate_process *process);
/* It is one of several that are joined by pipes. */
void gate_memory_join(struct gate_job *job);
/* Who may start next; NULL: nobody. Kills, stops and continues jobs on the way. */
struct gate_job *gate_memory_next(struct gate *gate);
void gate_memory_started(struct gate *gate, struct gate_job *job);
/* It starts: shall it be possible to run it again? */
bool gate_memory_wants_copy(const struct gate *gate, const struct gate_job *job);
/* It has been killed to make room, and waits. */
void gate_memory_gone(struct gate *gate, struct gate_job *job);
/* A process of a job has ended; wait_status is NULL if nobody knows how. */
void gate_memory_process_ended(struct gate_job *job, const int *wait_status);
/* All of the job's have, or it will never start. */
void gate_memory_remove(struct gate *gate, struct gate_job *job);
/* Looks again soon enough. To be called when jobs have come, started or ended. */
void gate_memory_schedule(struct gate *gate);

/* Nobody stands still for memory any more: of one lazy client, or (0) of all. What waits for a job of its own
 * to end, which cannot, would wait for ever. */
void gate_memory_let_go(struct gate *gate, pid_t lazy);
