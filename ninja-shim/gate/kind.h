/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A kind of gate: one way to stop a process where it executes a program, and to run or end it later.
 * Which job runs, and when, is decided in gate.h for all kinds; kinds.h has the list of them.
 *
 * A kind acts in three processes. The shim makes itself ready, and becomes the program whose jobs are
 * to wait. The sidecar stops, runs and ends these jobs. The keeper does what must go on when the
 * sidecar has been killed.
 */

#include <stdbool.h>
#include <sys/types.h>

struct gate;
struct gate_process;

/* Bytes that a kind has for itself, zero at first: in each process at the gate, and in the memory
 * that the sidecar shares with its keeper. */
#define GATE_KIND_PROCESS_ROOM 8
#define GATE_KIND_SHARED_ROOM 8192

/* What waits is to be ended, since something has failed. */
enum gate_end {
    GATE_END_LATER,
    GATE_END_SEEN,   /* the lazy client will show it as failed */
    GATE_END_UNSEEN, /* it is past that */
};

struct gate_kind {
    const char *name;     /* as --gate and NINJA_SHIM_GATE have it */
    bool has_end_reports; /* it calls gate_report_end() for those whose end nobody else knows */
    bool hides_ended;     /* it can do what struct gate_ending is for */

    /* In the shim, when the sidecar stands already. *fd: what open() gets there, close-on-exec, the
     * caller's; or -1. 0 or a negative errno. There may be no way back: if open() is never called
     * then, the shim perhaps cannot execute anything. */
    int (*prepare)(pid_t sidecar, int *fd);

    /* In the sidecar: takes over from the shim, `root`, and calls gate_set_kind(). `fd`, if not -1, is
     * the kind's. 0 or a negative errno: it is not there. */
    int (*open)(struct gate *gate, pid_t root, int fd);
    /* Lets a process run that has stopped at the gate; from now on it is nobody's business. */
    void (*run)(struct gate *gate, struct gate_process *process);
    /* Ends it so that it never runs, with this exit status if that can be done, else by SIGKILL. */
    void (*end)(struct gate *gate, struct gate_process *process, int status);
    /* As run(), but it can be run again: a copy of it runs (copies.h), or in the end itself, if that cannot be
     * had. false: nothing has been done. NULL: this kind has no copies. */
    bool (*run_copy)(struct gate *gate, struct gate_process *process);
    /* The copy has ended so; it does, too. */
    void (*leave_as)(struct gate *gate, struct gate_process *process, int wait_status);
    /* The copy has been killed, and it waits at the gate again. */
    void (*put_off)(struct gate *gate, struct gate_process *process);
    /* Asked whenever the gate is served while something is to be ended for that. NULL: it is seen. */
    enum gate_end (*may_end)(struct gate *gate);
    /* SIGCHLD has come: handles all that has happened. The keeper's end: gate->keeper is 0 then. */
    void (*serve)(struct gate *gate);
    /* A lazy client has ended, and this kind has not handled that yet: its jobs must not run before. */
    bool (*has_ended)(const struct gate *gate, pid_t lazy);
    /* Is there still something that may bring jobs, or needs the gate? */
    bool (*is_busy)(const struct gate *gate);
    /* Who that is; 0: nobody knows. */
    pid_t (*find_holder)(const struct gate *gate);
    void (*close)(struct gate *gate);

    /* In the keeper, when the sidecar is dead, with the shared room: does what there is to do, and
     * returns the descriptor to wait at before the next call, or -1: there will be no more. NULL:
     * there never is anything. */
    int (*keep)(void *shared);
};
