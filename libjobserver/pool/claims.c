/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Claims: whose token pays for whose implicit slot (rule 2). */
#include "libjobserver/pool/private.h"

/* What it holds, and what it has claimed itself: else processes that start one another, each of which
 * waits for the next, would need a token each, and wait for ever once all are taken so. */
unsigned
pool_holder_claimable(const struct pool_holder *holder)
{
    return holder->held + (holder->claimed_from != NULL);
}

/* And with it those that were claimed on, from one to the next: it was one token's worth. */
void
pool_claim_end(struct pool_holder *claimer)
{
    while (claimer && claimer->claimed_from) {
        struct pool_holder *ancestor = claimer->claimed_from;

        TAILQ_REMOVE(&ancestor->claimers, claimer, in_claimers);
        ancestor->claims--;
        claimer->claimed_from = NULL;
        claimer = claimer->claims > pool_holder_claimable(claimer)
                      ? TAILQ_LAST(&claimer->claimers, pool_holders)
                      : NULL;
    }
}

static void
claim_begin(struct pool_holder *claimer, struct pool_holder *ancestor)
{
    claimer->claimed_from = ancestor;
    ancestor->claims++;
    TAILQ_INSERT_TAIL(&ancestor->claimers, claimer, in_claimers);
}

/* No claim may end up below itself, as one of a group of two could. */
static bool
may_claim(const struct pool_holder *claimer, const struct pool_holder *ancestor)
{
    for (const struct pool_holder *up = ancestor; up; up = up->claimed_from)
        if (up == claimer)
            return false;
    return ancestor->claims < pool_holder_claimable(ancestor);
}

void
pool_trim_claims(struct pool_holder *holder)
{
    while (holder->claims > pool_holder_claimable(holder))
        pool_claim_end(TAILQ_LAST(&holder->claimers, pool_holders));
}

void
pool_claim_move(struct pool_holder *from, struct pool_holder *to)
{
    struct pool_holder *ancestor = from->claimed_from;

    if (!ancestor || to->claimed_from)
        return;
    pool_claim_end(from);
    if (may_claim(to, ancestor))
        claim_begin(to, ancestor);
}

bool
pool_claim_implicit(struct pool *pool, struct pool_process *process, struct pool_process *ancestor)
{
    struct pool_holder *claimer = process->group ? &process->group->holder : &process->holder;
    struct pool_holder *candidates[] = {&ancestor->holder,
                                        ancestor->group ? &ancestor->group->holder : NULL};

    if (claimer->claimed_from)
        return true;
    for (size_t i = 0; i < 2; i++) {
        struct pool_holder *holder = candidates[i];
        if (!holder || !may_claim(claimer, holder))
            continue;
        claim_begin(claimer, holder);
        return true;
    }
    return false;
}
