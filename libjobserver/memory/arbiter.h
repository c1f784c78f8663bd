/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * One arbiter for all builds that use the same memory: each tells what its jobs are expected to need yet, asks
 * before it starts one, and is told of the others. Pure: no I/O, no clock; times are nanoseconds of any monotonic
 * clock. What is told and answered is struct steved_memory of protocol.h.
 *
 * A job is granted if what all expect, and itself, fits into what its party sees; or if nothing runs anywhere.
 * Who has waited for MEMORY_PATIENCE_NS goes before all others that take what it waits for. Parties are not trusted, and whatever one claims
 * ends with it; but while it lives, too, it stops nobody: a party that has waited for MEMORY_MISTRUST_NS while
 * nothing of it ran has from then on one job at a time granted by what it sees alone.
 *
 * A party may be part of a job of another (a gate that is below a gate). That one waits for it, and so does not
 * count as one that it would have to wait for.
 *
 * An arbiter may have one above it, to which it is one party: see memory_arbiter_question().
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "libjobserver/protocol.h"

#define MEMORY_PATIENCE_NS (30 * INT64_C(1000000000))
#define MEMORY_MISTRUST_NS (120 * INT64_C(1000000000))
/* More are not counted, but where one has not told anything lately. */
#define MEMORY_PARTIES_MAX 4096u
/* The same of one user: what one tells is compared with what all others have told, while everybody waits. */
#define MEMORY_PARTIES_PER_USER 512u

/* Owned by the caller; memory_party_init() at first. */
struct memory_party {
    LIST_ENTRY(memory_party) in_arbiter;
    struct memory_party *above; /* of one of its jobs it is part; NULL: of none */
    unsigned below;             /* so many are part of its own jobs */
    int pid;                    /* as memory_arbiter_find() has it */
    uint64_t number;            /* the lower one came first */
    bool is_member;
    uint32_t uid; /* with `account`: of whose jobs it tells, for memory_arbiter_use() */
    uint64_t account;
    struct steved_memory told; /* bounded */
    uint64_t granted_bytes;    /* since it told that */
    unsigned granted_jobs, granted_unseen;
    int64_t began_ns, told_ns;
    int64_t oldest_ns, youngest_ns; /* when these jobs began */
    uint64_t wanted_bytes;          /* by the last job that waits and has been asked for */
    int64_t waits_ns;    /* since when a job has waited and none was granted; 0: none waits */
    int64_t dying_ns;    /* since when it has told of killed jobs; 0: never */
    bool is_mistrustful; /* what others claim has kept it from running anything at all */
};

struct memory_totals {
    uint64_t put_off, stopped, waited_ms;
    uint64_t peak_bytes; /* the most that the jobs of all had at one time */
    /* An estimate of the same if none had waited: with what is expected of those that were held back. */
    uint64_t unheld_peak_bytes;
};

struct memory_arbiter {
    LIST_HEAD(, memory_party) parties;
    unsigned count;
    uint64_t next_number;
    struct memory_totals ended; /* of those that have left; and the peaks of all */
};

void memory_arbiter_init(struct memory_arbiter *arbiter);
/* Its jobs cannot have begun before now. */
void memory_party_init(struct memory_party *party, int64_t now_ns);

/* The member of this pid; NULL: there is none. */
struct memory_party *memory_arbiter_find(struct memory_arbiter *arbiter, int pid);
/* It is of the user that it names. `pid`: of the process that those of its jobs are below; 0: not known. above: may be
 * NULL. 0, or -ENOSPC. */
int memory_arbiter_join(struct memory_arbiter *arbiter, struct memory_party *party, int pid,
                        struct memory_party *above, int64_t now_ns);
/* Nothing happens where it is no member. */
void memory_arbiter_leave(struct memory_arbiter *arbiter, struct memory_party *party);

/* What a member tells. 0, or -EINVAL: it makes no sense, and nothing is changed. */
int memory_arbiter_tell(struct memory_arbiter *arbiter, struct memory_party *party,
                        const struct steved_memory *told, int64_t now_ns);
/* What is to be told to the arbiter above, after that; `party`: for whom, or NULL: one has left. */
void memory_arbiter_question(struct memory_arbiter *arbiter, const struct memory_party *party,
                             struct steved_memory *question, int64_t now_ns);
/* Then what is to be answered. `outside`: what the arbiter above has answered; NULL: there is none. */
void memory_arbiter_answer(struct memory_arbiter *arbiter, struct memory_party *party,
                           const struct steved_memory *outside, struct steved_memory *answer,
                           int64_t now_ns);

/* Does a job wait for memory anywhere? */
bool memory_arbiter_has_waiting(const struct memory_arbiter *arbiter, int64_t now_ns);
/* Of those that are there, and those that were. */
struct memory_totals memory_arbiter_totals(const struct memory_arbiter *arbiter);
/* What the jobs of all that count have now. */
uint64_t memory_arbiter_used(const struct memory_arbiter *arbiter, int64_t now_ns);
/* What the parties of this account tell of its jobs; 0 parties: none does. */
struct memory_use {
    unsigned parties, running, waiting;
    uint64_t used_bytes, growth_bytes;
};
struct memory_use memory_arbiter_use(const struct memory_arbiter *arbiter, uint32_t uid,
                                     uint64_t account, int64_t now_ns);
/* The members of struct steved_status that are about memory. */
void memory_arbiter_status(const struct memory_arbiter *arbiter, struct steved_status *status,
                           int64_t now_ns);
