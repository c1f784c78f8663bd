/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "jobwrap/loans.h"

#include <stddef.h>

void
loans_init(struct loans *loans)
{
    *loans = (struct loans){0};
    TAILQ_INIT(&loans->ending);
    TAILQ_INIT(&loans->spare);
}

/* --- the states --- */

static void
stop_waiting(struct loans *loans, struct loan *loan)
{
    TAILQ_REMOVE(&loans->ending, loan, in_queue);
    loans->ending_count--;
}

static void
set_early(struct loans *loans, struct loan *loan, bool is_early)
{
    if (loan->is_early && !is_early)
        loans->early--;
    if (!loan->is_early && is_early)
        loans->early++;
    loan->is_early = is_early;
}

/* What is spare is used, or taken back. */
static void
stop_sparing(struct loans *loans, struct loan *loan)
{
    TAILQ_REMOVE(&loans->spare, loan, in_queue);
    loan->state = LOAN_NONE;
}

static bool
lend(struct loans *loans, struct loan *loan, unsigned clients_have, bool *is_used,
     struct loan **paid)
{
    *paid = NULL;
    if (loans->active >= clients_have)
        return false;
    if (loan->state == LOAN_SPARE)
        stop_sparing(loans, loan);
    loan->state = LOAN_ACTIVE;
    loans->active++;
    *is_used = loans_missing(loans) > 0;
    if (*is_used)
        *paid = loans_pay(loans);
    return true;
}

/* --- what jobs want --- */

void
loan_spare(struct loans *loans, struct loan *loan)
{
    if (loan->state == LOAN_NONE || loan->state == LOAN_PAID) {
        loan->state = LOAN_SPARE;
        TAILQ_INSERT_TAIL(&loans->spare, loan, in_queue);
    } else if (loan->state == LOAN_ENDING) {
        stop_waiting(loans, loan);
        loan->state = LOAN_ACTIVE;
        set_early(loans, loan, true);
    }
}

bool
loan_begin(struct loans *loans, struct loan *loan, unsigned clients_have, bool *is_used,
           struct loan **paid)
{
    *paid = NULL;
    *is_used = true;
    if (loan->state == LOAN_ENDING) /* it has waited for nothing, and has been lent all the time */
        loan_spare(loans, loan);
    if (loan->is_early) {
        set_early(loans, loan, false);
        return true;
    }
    return loan->state != LOAN_ACTIVE && lend(loans, loan, clients_have, is_used, paid);
}

static bool
wants_spare(const struct loans *loans, unsigned tokens)
{
    /* Of the active ones, those that are neither early nor ending run elsewhere. */
    return loans_missing(loans) > 0 ||
           3 * loans->early + 2 * loans->ending_count < 2 * loans->active + tokens;
}

bool
loans_lend_spare(struct loans *loans, unsigned tokens, unsigned clients_have, bool *is_used,
                 struct loan **paid)
{
    struct loan *loan = TAILQ_FIRST(&loans->spare);

    if (!loan || !wants_spare(loans, tokens) || !lend(loans, loan, clients_have, is_used, paid))
        return false;
    set_early(loans, loan, true);
    return true;
}

static bool
is_voided(struct loans *loans)
{
    if (loans->voided == 0)
        return false;
    loans->voided--;
    return true;
}

bool
loan_take_back(struct loans *loans, struct loan *loan)
{
    if (loan->state == LOAN_ENDING)
        return false;
    set_early(loans, loan, false);
    if (loan->state == LOAN_ACTIVE && !is_voided(loans)) {
        loan->state = LOAN_ENDING;
        TAILQ_INSERT_TAIL(&loans->ending, loan, in_queue);
        loans->ending_count++;
        return false;
    }
    if (loan->state == LOAN_SPARE)
        stop_sparing(loans, loan);
    loan->state = LOAN_NONE;
    return true;
}

void
loan_end(struct loans *loans, struct loan *loan)
{
    const bool is_lent = loan->state == LOAN_ACTIVE || loan->state == LOAN_ENDING;

    set_early(loans, loan, false);
    if (loan->state == LOAN_SPARE)
        stop_sparing(loans, loan);
    if (loan->state == LOAN_ENDING)
        stop_waiting(loans, loan);
    loan->state = LOAN_NONE;
    if (!is_lent || is_voided(loans))
        return;
    loans->active--;
    loans->owed++;
}

unsigned
loans_bytes(const struct loans *loans)
{
    return loans->active + loans->owed;
}

unsigned
loans_missing(const struct loans *loans)
{
    return loans->owed + loans->ending_count;
}

struct loan *
loans_pay(struct loans *loans)
{
    struct loan *loan = TAILQ_FIRST(&loans->ending);

    if (loans->owed > 0) {
        loans->owed--;
        return NULL;
    }
    stop_waiting(loans, loan);
    loan->state = LOAN_PAID;
    loans->active--;
    return loan;
}

void
loans_void(struct loans *loans, unsigned count)
{
    for (; count > 0 && loans->active > loans->ending_count; count--) {
        loans->active--;
        loans->voided++;
    }
}
