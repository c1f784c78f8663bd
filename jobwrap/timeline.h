/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What gates tell of jobs (STEVED_EVENT_JOB_* of protocol.h), put together: which job has run when, in which slot of
 * its gate (the lowest that is free), and how long it has waited for what. Jobs that run on tokens of a class instead of
 * the cpu's have slots of their own. Pure; times are nanoseconds of the clock that the events have.
 *
 * What is told is anybody's: it is bounded, and what makes no sense is left out. One whose beginning nobody has told
 * is put where it must have run when its end is told.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "jobwrap/places.h"
#include "libjobserver/protocol.h"

/* More jobs than that at one time are not looked at, nor runs that would need more slots of a gate; and of more gates
 * the first of those that do nothing are forgotten. */
#define TIMELINE_GATES_MAX 1024u
#define TIMELINE_JOBS_MAX 4096u
#define TIMELINE_SLOTS_MAX 4096u

/* Reasons to wait. */
enum timeline_reason { TIMELINE_FOR_TOKEN, TIMELINE_FOR_MEMORY, TIMELINE_REASONS };

struct timeline_counts {
    uint64_t jobs; /* that have run, and ended; and of these: */
    uint64_t failed;
    uint64_t put_off, stopped; /* each time */
    int64_t ran_ns, waited_ns[TIMELINE_REASONS];
    uint64_t most_bytes; /* of one job */
};

/* By the number of the class, 0 for the cpu. */
#define TIMELINE_CLASSES (STEVED_CLASSES_MAX + 1u)

struct timeline_slot;

struct timeline_slots {
    struct timeline_slot *slots;
    unsigned count;
    unsigned seen; /* so many have been taken by now, but by what begins just now */
};

/* A gate, which stands for one ninja, make or cargo with all that it starts. */
struct timeline_gate {
    TAILQ_ENTRY(timeline_gate) in_timeline;
    uint64_t account;
    int pid;
    char *name;      /* gate_came() may set it to what is to be freed; NULL: it has none */
    unsigned number; /* 1 is the first that has come */
    bool is_gone;
    struct timeline_slots slots[TIMELINE_CLASSES];
    struct timeline_counts counts;
    LIST_HEAD(, timeline_job) open;
};

struct timeline_job {
    LIST_ENTRY(timeline_job) in_gate;
    struct timeline_gate *gate;
    uint64_t job;                      /* its number among the gate's */
    uint64_t serial;                   /* among all */
    char name[STEVED_EVENT_NAME_SIZE]; /* "": nobody has told */
    bool waits, runs, is_stopped;
    bool has_begun_named;        /* this run */
    enum timeline_reason reason; /* why it waits */
    int64_t waits_ns;            /* since when */
    int64_t waited_ns[TIMELINE_REASONS];
    int64_t began_ns; /* when it ran first; and when this run has begun, for as long as all took: */
    int64_t run_ns, ran_ns;
    int64_t changed_ns;  /* when this run has begun, stopped, moved or gone on last */
    unsigned slot;       /* while it runs; 0 is the first */
    unsigned slot_class; /* of whose slots it is one */
    unsigned job_class;  /* of whose tokens it has one, as was told last */
    int process;         /* its first, in this run; 0: nobody has told */
    unsigned moved;   /* so many parts of it run on tokens of job_class now, and not on the cpu's */
    int64_t moved_ns; /* since when */
    bool has_moved;   /* in this run, whose own token is the cpu's */
    unsigned runs_begun;
    uint64_t bytes,
        expected_bytes; /* the most that it had, as far as it is known; 0: nobody knows */
    int status;         /* as of waitpid(2); -1: nobody knows. When it has ended */
    char node
        [EVENT_NODE_SIZE]; /* where its last run was, once that has ended; "": here, or nobody knows */
};

/* What has happened to a job, in the order in which it is to be shown. */
enum timeline_change {
    TIMELINE_WAIT_BEGINS,
    TIMELINE_WAIT_ENDS,
    TIMELINE_RUN_BEGINS,
    TIMELINE_RUN_ENDS,
    TIMELINE_PUT_OFF, /* the same, and it waits again */
    TIMELINE_STOPS,
    TIMELINE_CONTINUES,
    TIMELINE_MOVES,      /* from the cpu to a class, job_class */
    TIMELINE_MOVES_BACK, /* job_class stays what it was */
    TIMELINE_ENDS,       /* it is over */
};

/* Who is told. */
struct timeline_viewer {
    void (*gate_came)(void *argument, struct timeline_gate *gate);
    void (*changed)(void *argument, const struct timeline_job *job, enum timeline_change change,
                    int64_t time_ns);
    void *argument;
};

struct timeline {
    struct timeline_viewer viewer;
    int64_t begin_ns;                  /* nothing has happened before */
    TAILQ_HEAD(, timeline_gate) gates; /* those that are gone, too; the first that has come first */
    unsigned gate_count, job_count;
    unsigned gates_seen;
    uint64_t jobs_seen;
    struct timeline_counts counts;               /* of all that there have been */
    unsigned waiting[TIMELINE_REASONS], running; /* now */
    unsigned running_of[TIMELINE_CLASSES];       /* by what they have a token of now */
    struct places places;
};

void timeline_init(struct timeline *timeline, const struct timeline_viewer *viewer,
                   int64_t begin_ns);
/* Those of other kinds than STEVED_EVENT_JOB_* and STEVED_EVENT_LEFT mean nothing to it. */
void timeline_add(struct timeline *timeline, const struct steved_event *event);
/* All that is open ends now. */
void timeline_end(struct timeline *timeline, int64_t now_ns);
void timeline_clear(struct timeline *timeline);
