/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The processors at home, which all processes there share evenly: two processes on one processor take twice as long. */

#include "tests/sim/agenda.h"

struct home_process {
    struct heap_node node;
    double end; /* on the clock of a process that always has a processor, in seconds */
    void (*ended)(void *context);
    void *context;
};

struct home {
    struct agenda *agenda;
    unsigned cpus;
    struct heap running;
    double clock_s; /* what a process has been given that is here from the beginning */
    int64_t since_ns;
    struct entry first_ends;
    double work_s; /* done, by all */
    unsigned peak; /* processes at once */
};

void home_init(struct home *home, struct agenda *agenda, unsigned cpus);
void home_free(struct home *home);
/* Calls process->ended() when the work is done. */
void home_start(struct home *home, struct home_process *process, int64_t work_ns);
/* Nothing, if it does not run. */
void home_stop(struct home *home, struct home_process *process);
