/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "jobwrap/loans.h"

#include <stddef.h>

void
loans_init(struct loans *loans)
{
    *loans = (struct loans){0};
    TAILQ_INIT(&loans->ending);
}

bool
loan_begin(struct loans *loans, struct loan *loan, unsigned clients_have, bool *is_used,
           struct loan **paid)
{
    *paid = NULL;
    if (loan->state != LOAN_NONE || loans->active >= clients_have)
        return false;
    loan->state = LOAN_ACTIVE;
    loans->active++;
    *is_used = loans_missing(loans) > 0;
    if (*is_used)
        *paid = loans_pay(loans);
    return true;
}

static void
stop_waiting(struct loans *loans, struct loan *loan)
{
    TAILQ_REMOVE(&loans->ending, loan, in_ending);
    loans->ending_count--;
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
    if (loan->state == LOAN_ACTIVE && !is_voided(loans)) {
        loan->state = LOAN_ENDING;
        TAILQ_INSERT_TAIL(&loans->ending, loan, in_ending);
        loans->ending_count++;
        return false;
    }
    loan->state = LOAN_NONE;
    return true;
}

void
loan_end(struct loans *loans, struct loan *loan)
{
    const bool is_lent = loan->state == LOAN_ACTIVE || loan->state == LOAN_ENDING;

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
