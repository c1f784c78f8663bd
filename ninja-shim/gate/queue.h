/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Which job of a lazy client may run, and on what: the decisions of the gate. Pure: no I/O, no clock.
 *
 * A job waits from when it stands at the gate until it has a token, or the implicit slot, which
 * goes to one job at a time. When it has ended its token goes back at once; but what comes next is not
 * decided before it is known how it ended, since after a failure ninja starts nothing any more, and
 * then a job that waits must not run either.
 *
 * Tokens come from pools: the cpu's, and those of classes. A job may need tokens of classes besides that of the cpu,
 * or instead of it; it gets all that it needs in one moment, or none, and so holds nothing while it waits. Who waits
 * for a pool in which there is nothing holds up nobody who does without that pool. A class that is shut, having no
 * tokens at all, is left out: then jobs that would need it instead of the cpu need the cpu.
 */

#include <stdbool.h>
#include <sys/queue.h>

enum job_state { JOB_WAITING, JOB_RUNNING, JOB_ENDING };

enum job_pay {
    PAY_NOTHING,  /* it does not run, or needs no token */
    PAY_TOKEN,    /* a token of its own */
    PAY_IMPLICIT, /* the implicit slot */
    PAY_CLASSES,  /* nothing of the cpu: it runs on tokens of classes instead */
};

/* Sets of pools: bit 0 is the cpu, bit i the class with the number i. */
#define QUEUE_CPU 1u
#define QUEUE_POOLS_MAX 32

/* Owned by the caller; zeroed at first. */
struct job {
    TAILQ_ENTRY(job) in_queue; /* of the waiting or the running ones */
    enum job_state state;
    enum job_pay pay;
    unsigned instead, besides; /* classes whose tokens it needs; the caller's, until it runs */
    bool
        is_unknown; /* nobody knows yet which those are; the caller's: it waits until somebody does */
    unsigned held; /* classes of which it has a token; the caller's */
};

TAILQ_HEAD(job_list, job);

struct queue_rules {
    bool is_implicit_paid;     /* there is an implicit slot */
    bool needs_no_tokens;      /* of the cpu: the client takes them itself, or counts its jobs */
    unsigned failures_allowed; /* so many failures stop the build (ninja -k); 0: none does */
    double load_max;           /* the load average at which at most one job runs; 0: no limit */
};

struct queue {
    struct queue_rules rules;
    struct job_list waiting, running, ending; /* the longest there comes first */
    struct job *implicit;                     /* who has the implicit slot; NULL: nobody */
    unsigned failures;
    unsigned unknown; /* jobs have ended, nobody knows how yet */
    unsigned empty;   /* pools in which there is no token for us now */
    unsigned shut;    /* classes that are left out */
    bool is_serial;   /* one job at a time, on nothing */
    bool is_stopped;  /* nothing that waits runs any more */
    bool
        is_interrupted; /* by a signal, to a job or to the lazy client: it does not wait for others */
    int end_status;     /* what it exits with instead; meaningless until stopped */
};

void queue_init(struct queue *queue, const struct queue_rules *rules);

/* From now on there is an implicit slot. */
void queue_pay_implicit(struct queue *queue);

/* A job has come to the gate. */
void queue_add(struct queue *queue, struct job *job);

/* The pools whose tokens it needs. */
unsigned queue_needs(const struct queue *queue, const struct job *job);
/* It waits for a pool that is empty, or until it is known what it needs. */
bool queue_is_held_up(const struct queue *queue, const struct job *job);
/* What is known of these pools has changed. A pool that is empty, or shut, is no longer the other. */
void queue_set_empty(struct queue *queue, unsigned pools);
void queue_set_shut(struct queue *queue, unsigned classes);
void queue_set_open(struct queue *queue, unsigned pools);

/* Who comes first of those that wait and are not held up; NULL: nobody does. */
struct job *queue_first(const struct queue *queue);

enum queue_step {
    QUEUE_REST,         /* until a job comes or ends, or more is known */
    QUEUE_USE_IMPLICIT, /* queue_run() the chosen one, on the implicit slot */
    QUEUE_USE_TOKEN,    /* the same, on a token, if one is to be had */
    QUEUE_USE_CLASSES,  /* the same, on tokens of classes alone */
    QUEUE_USE_NOTHING,  /* the same, as it is */
    QUEUE_FREE_TOKEN,   /* queue_shift(): a token can go back */
    QUEUE_END,          /* queue_end() all that wait */
    QUEUE_LOAD,         /* the load is too high: ask again when it may have changed */
};

/* What is to be done now. `chosen`: which of those that wait and are not held up is to run next; NULL: none may yet.
 * `load`: the load average of the last minute, if there is a limit. Whatever it runs on, the tokens of classes that it
 * needs come with it: if one is missing, nothing is kept, and queue_set_empty() or queue_set_shut() says so. */
enum queue_step queue_next(const struct queue *queue, const struct job *chosen, double load);

/* Moves one that waits to those that run. */
void queue_run(struct queue *queue, struct job *job, enum job_pay pay);
/* The implicit slot is free: the first that runs on a token takes it over, and is returned; its
 * token is to be given back. */
struct job *queue_shift(struct queue *queue);
/* Moves one that waits to those that are ended without having run. */
void queue_end(struct queue *queue, struct job *job);

/* One that runs waits again, before all others. Returns what it ran on: PAY_TOKEN is to be given back, and what it
 * held of classes. */
enum job_pay queue_put_off(struct queue *queue, struct job *job);

/* The job is gone. Returns what it ran on, likewise. */
enum job_pay queue_remove(struct queue *queue, struct job *job);

/* How a job that ran has ended: wait_status as from waitpid(2). */
void queue_ended(struct queue *queue, int wait_status);
/* Nobody knows yet; and later: somebody has told by queue_ended(), or will never know. */
void queue_ended_unknown(struct queue *queue);
void queue_unknown_settled(struct queue *queue, unsigned settled);

/* There are no tokens any more, and nobody counts: from now on one job at a time, when those that run
 * have ended. */
void queue_serialize(struct queue *queue);
/* There is a server again, which knows nothing of what runs: so many of these jobs have a token there, and one has the
 * implicit slot, if that is paid for; the others run on nothing. Returns how many tokens none of them needs. */
unsigned queue_renew(struct queue *queue, bool is_implicit_paid, unsigned tokens);
/* One that runs on nothing, after that; NULL: none does. Then a token is its before any that waits is run. */
struct job *queue_first_unpaid(const struct queue *queue);

/* Whatever waits, and comes yet, is to be ended; end_status: -1, by a signal. */
void queue_stop(struct queue *queue, int end_status);

/* What a shell, and ninja from 1.13 on, makes of a wait status: a number to exit with. A job that was
 * interrupted (INT, TERM, HUP) counts as SIGINT, as in ninja. */
int queue_exit_code(int wait_status);
