/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Jobs of the build that run elsewhere, on a compile farm, or wait for it, and lend the token that they have in this build
 * to others meanwhile. Pure.
 *
 * Such a job's make will put back a byte when the job ends. If the job's token was given to the pool meanwhile, more
 * bytes go round in the build than the FIFO's account holds tokens for:
 *
 *     bytes = tokens held, less the implicit slot's + loans + tokens owed
 *
 * When a loan ends, a token must be got back: a byte that lies in the FIFO, or a token of the pool. A job that ends in
 * order waits for that (loan_take_back()), so no more jobs run than there are tokens. One that is killed cannot wait: a
 * token is owed until one can be had.
 *
 * With what jobs lend that wait for the farm, make goes on to those that do not need it. It would also start all that the
 * farm will ever do. So no more of them lend than twice as many as run there, and as there are tokens; the rest keep
 * theirs, which are spare, until fewer lend or a job that ends needs one.
 */

#include <stdbool.h>
#include <sys/queue.h>

enum loan_state {
    LOAN_NONE,
    LOAN_SPARE, /* the job has its token, and waits for the farm */
    LOAN_ACTIVE,
    LOAN_ENDING, /* the job waits for a token */
    LOAN_PAID,   /* it has one again, and has not asked since */
};

struct loan {
    enum loan_state state;
    bool is_early; /* it is active, while the job waits for the farm */
    TAILQ_ENTRY(loan) in_queue;
};

TAILQ_HEAD(loan_queue, loan);

struct loans {
    unsigned active; /* those that are ending included */
    unsigned owed;   /* for jobs that were killed */
    unsigned ending_count;
    unsigned early;  /* of the active ones */
    unsigned voided; /* ended, although the job has not said so yet: its token had come back */
    struct loan_queue ending, spare;
};

void loans_init(struct loans *loans);

/* The job with this loan runs elsewhere from now on, and lends its token, unless it has done so early; clients_have: so
 * many tokens of the build are in use, with the implicit slot. false: it can have none that is not lent already. *is_used:
 * it was lent early, or a token was missing for another job, which has this one now; else the caller gives one to the
 * pool. */
bool loan_begin(struct loans *loans, struct loan *loan, unsigned clients_have, bool *is_used,
                struct loan **paid);
/* The job waits for the farm: its token is spare. */
void loan_spare(struct loans *loans, struct loan *loan);
/* Lends a spare token, if one is wanted, as loan_begin() does; tokens: so many has the build. */
bool loans_lend_spare(struct loans *loans, unsigned tokens, unsigned clients_have, bool *is_used,
                      struct loan **paid);
/* The job would go on. true: it has its token again, and the loan is over; false: loans_pay() will tell. */
bool loan_take_back(struct loans *loans, struct loan *loan);
/* The job is no more. */
void loan_end(struct loans *loans, struct loan *loan);

/* So many more bytes go round than the account holds tokens for. */
unsigned loans_bytes(const struct loans *loans);
/* So many tokens must be got back. */
unsigned loans_missing(const struct loans *loans);
/* One was got back. Who was killed comes first, since another job may be running on that token. The loan of the job that
 * has it now, to be told; NULL: it paid for one that was killed. Only while one is missing. */
struct loan *loans_pay(struct loans *loans);
/* So many tokens came back although they were lent: these loans are over. */
void loans_void(struct loans *loans, unsigned count);
