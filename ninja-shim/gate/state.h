/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The sidecar's state, and what all kinds of gates share: see gate.h. */

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "libjobserver/classes/rules.h"
#include "libjobserver/client.h"
#include "libjobserver/events/readers.h"
#include "libjobserver/ledger.h"
#include "libjobserver/memory/mode.h"
#include "libjobserver/server_events.h"
#include "ninja-shim/gate/command_line.h"
#include "ninja-shim/gate/holdings.h"
#include "ninja-shim/gate/kind.h"
#include "ninja-shim/gate/memory_job.h"
#include "ninja-shim/gate/pipes.h"
#include "ninja-shim/gate/queue.h"
#include "ninja-shim/gate/table.h"

#define GATE_ENDING_SIZE 64     /* of a text, with its NUL */
#define GATE_STATUS_OF_JOB (-1) /* that of the job that has failed */

/* What a lazy client does that leaves because the user has interrupted a job of it, and what it does when it
 * leaves because jobs have failed: by this, jobs that wait can be ended without being shown as failed. */
struct gate_ending {
    const char *interrupted, *failed; /* what it says last, of which the second is no longer */
    struct {
        int interrupted, failed; /* its exit status */
    } statuses[2];
    const char *removed; /* the name of the one file that it removes then in either case */
};

/* What the shim has decided before there is a gate. Borrowed by the gate. */
struct gate_plan {
    struct client
        *client; /* the jobserver. Where rules.needs_no_tokens: one that keeps accounts, or NULL */
    struct queue_rules rules;
    bool may_be_paid_later;   /* the implicit slot: implicit_may_come() */
    bool is_server_named;     /* by the user: none elsewhere takes its place */
    unsigned jobs;            /* the most that the lazy client will start; 0: nobody knows */
    const char *const *names; /* processes called so are lazy clients; ends with NULL */
    bool is_root_lazy;        /* and so is the program itself, whatever it is called */
    bool has_single_jobs;     /* no job consists of processes that are joined by pipes */
    const struct gate_ending *ending;      /* NULL: nobody knows */
    enum memory_mode memory;               /* do jobs wait for memory, too? */
    const struct class_rules *class_rules; /* NULL: there are no classes */
    bool is_ended_by_signals; /* INT, TERM or HUP ends the lazy client, and it kills its jobs */
};

/* One or, where processes are joined by pipes, several that start and end as one. */
struct gate_job {
    struct job job; /* first */
    pid_t lazy;     /* who has started it */
    int token;      /* its number in the holdings, or HOLDINGS_NO_TOKEN */
    unsigned living;
    bool is_bereaved;     /* who has started it has ended: it is not run again */
    uint64_t number;      /* among all of the gate's */
    int64_t came_ns;      /* it has waited since */
    int64_t began_ns;     /* it has run since; meaningless if it has not */
    int wait_status;      /* of the process that failed, else of the last; -1: nobody knows */
    int told_waiting_for; /* as STEVED_WAITS_FOR_*; 0: nothing, or nobody has been told */
    bool is_name_sought;  /* for those who are told of it */
    struct gate_job_memory memory;
    TAILQ_HEAD(, gate_process) processes; /* the living and, of a joined job, the dead ones */
};

/* A direct child of a lazy client, from when it executes a program. */
struct gate_process {
    pid_t pid;
    int pidfd; /* owned; -1: it has ended */
    int holding;
    struct gate_job *job;
    uint64_t pipes[PIPES_STANDARD];
    struct class_needs needs; /* what of the job's needs is its own, if it is looked up */
    bool is_looked_up;
    bool is_reported; /* how it ended is known before it is collected */
    int wait_status;  /* if reported */
    pid_t copy;       /* what runs of it is this, a child of it; 0: itself */
    int copy_pidfd, copy_holding;
    uint64_t passed_on; /* signals that have been sent to the copy, too */
    int largest_pidfd;  /* owned; of those killed for memory the one that had most; -1: none */
    bool is_orphan;     /* it has been killed, and its copy has not ended yet */
    _Alignas(max_align_t) unsigned char kind_room[GATE_KIND_PROCESS_ROOM]; /* the gate kind's own */
    TAILQ_ENTRY(gate_process) in_job;
    UT_hash_handle hh; /* by pid; only while it lives */
};

struct gate_memory;

/* A class that rules name. */
struct gate_class {
    struct gate *gate;
    struct client *client; /* owned; NULL: no server has had it yet */
    struct ledger ledger;
    struct event *event; /* a token may be there */
    bool is_awaited;
    bool is_ledger_full; /* until a token goes back */
    bool is_gone;        /* its server has ended, and whether it comes back is not known */
    bool is_joining;     /* it has, and the keeper is to join */
    unsigned number;     /* as job_class of struct steved_event */
};

/* See classes.h. */
struct gate_classes {
    unsigned there; /* a set of pools, as queue.h has them: those whose tokens can be had */
    struct gate_class list[CLASS_RULES_CLASSES_MAX];
    event_callback_fn on_change;
    struct event *look_event;
    struct command_line line; /* owned */
};

/* What is told of jobs (tell.h). */
struct gate_telling {
    uint64_t jobs_numbered;
    struct event_readers readers;
    struct steved_told told; /* not sent yet */
};

struct gate {
    const struct gate_plan *plan;
    pid_t root; /* the process that has put it up, and what that has become */
    const struct gate_kind *kind;
    void *kind_state; /* the gate kind's own */
    struct event_base *base;
    struct event *token_event, *load_event, *end_event, *pause_event, *held_event;
    int copies_fd; /* the same as ended_fd, of copies */
    struct event *copies_event;
    int ended_fd; /* epoll(7) on the pidfds of all processes: asking who has ended costs the same for
                     any number of them */
    bool is_token_awaited, is_load_awaited;
    bool is_claim_awaited; /* since it was asked for in vain */
    struct ledger ledger;
    struct gate_classes classes;
    const struct ledger *ledgers[QUEUE_POOLS_MAX]; /* of all pools, for the keeper */
    bool is_ledger_full;                           /* until a token goes back */
    bool is_server_gone;
    struct server_events server_events; /* open as long as next_event is */
    struct event *next_event;           /* the next server is looked for; NULL: it is not */
    bool is_joining;                    /* there is one, which the keeper is to join */
    bool has_returned;         /* a token, since the jobserver has last said that one is there */
    bool is_told;              /* it has said so in this turn of the event loop */
    int64_t paused_ns;         /* when the last pause began */
    struct holdings *holdings; /* shared with the keeper */
    pid_t keeper;
    struct queue queue;
    struct gate_memory *memory; /* owned; NULL: nobody waits for it */
    struct gate_telling telling;
    unsigned jobs_alive, tokens_numbered;
    struct gate_process *processes; /* uthash */
};
