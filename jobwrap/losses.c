/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which of the lent tokens are lost: the arithmetic. */
#include "jobwrap/losses.h"

#include "libjobserver/program/numbers.h"

/* 0 instead of less than that. */
static unsigned
minus(unsigned a, unsigned b)
{
    return a > b ? a - b : 0;
}

unsigned
losses_most_of_make(unsigned children, bool has_waited)
{
    return has_waited ? minus(children, 1) : children;
}

unsigned
losses_add(unsigned most, unsigned other)
{
    return other > LOSSES_ANY_NUMBER - most ? LOSSES_ANY_NUMBER : most + other;
}

void
losses_suspect(struct losses *losses, unsigned lent)
{
    losses->suspected = lent;
}

void
losses_note_lent(struct losses *losses, unsigned lent)
{
    losses->suspected = lesser(losses->suspected, lent);
    losses->unexplained = lesser(losses->unexplained, lent);
}

bool
losses_are_open(const struct losses *losses)
{
    return losses->suspected > 0;
}

/* In the implicit slot of each dead client one job has run, no more: what is held back besides is not
 * needed, whoever lives. */
static void
take_back_spare(struct losses *losses, const struct losses_view *view,
                struct losses_decision *decision)
{
    decision->back = minus(losses->held_back, view->left_slots);
    losses->held_back -= decision->back;
    losses->suspected -= decision->back;
}

/* The dead have left tokens for all their jobs but one each. */
static unsigned
count_missing(const struct losses *losses, const struct losses_view *view, unsigned left_tokens)
{
    if (!view->is_settled)
        return 0;
    return lesser(minus(view->left_jobs, left_tokens), minus(view->left_slots, losses->held_back));
}

/* Nobody has died. While a make may have one more, what is beyond may be too few. */
static void
explain(struct losses *losses, const struct losses_view *view, unsigned beyond)
{
    if (view->is_settled || beyond > losses->unexplained)
        losses->unexplained = beyond;
}

struct losses_decision
losses_decide(struct losses *losses, const struct losses_view *view)
{
    struct losses_decision decision = {0};

    losses_note_lent(losses, view->lent);
    take_back_spare(losses, view, &decision);
    if (view->most == LOSSES_ANY_NUMBER)
        return decision;
    unsigned beyond = minus(view->lent, view->most + decision.back);
    if (losses->suspected == 0) {
        explain(losses, view, beyond);
        return decision;
    }
    unsigned left_tokens = minus(beyond, losses->unexplained);
    unsigned unused = lesser(losses->suspected, minus(left_tokens, view->left_jobs));
    unsigned back = lesser(unused, losses->held_back);
    decision.missing = count_missing(losses, view, left_tokens);
    decision.back += back;
    decision.lost = unused - back;
    losses->held_back -= back;
    losses->suspected -= unused;
    /* While jobs of dead clients run, some of their tokens are still to be found. */
    if (view->is_settled && view->left_jobs == 0)
        losses->suspected = losses->held_back;
    return decision;
}

unsigned
losses_unexplained(const struct losses *losses, const struct losses_view *view)
{
    if (losses->suspected > 0 || view->most == LOSSES_ANY_NUMBER)
        return 0;
    return minus(view->lent, view->most);
}

void
losses_hold_back(struct losses *losses, unsigned count)
{
    losses->held_back += count;
    losses->suspected += count;
}
