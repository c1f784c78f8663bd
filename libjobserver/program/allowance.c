/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/program/allowance.h"

#include <stddef.h>

static void
settle(struct allowances *allowances, int64_t now_ns)
{
    int64_t passed_ns = now_ns - allowances->settled_ns;
    unsigned kept = 0;

    if (allowances->count > 0 && passed_ns < ALLOWANCE_PART * (int64_t)allowances->count)
        return; /* less than a nanosecond each */
    allowances->settled_ns = now_ns;
    for (unsigned i = 0; i < allowances->count; i++) {
        struct allowance user = allowances->users[i];
        user.owed_ns -= passed_ns / ALLOWANCE_PART / allowances->count;
        if (user.owed_ns > 0)
            allowances->users[kept++] = user;
    }
    allowances->count = kept;
}

/* NULL: it owes nothing, and there is a line for it. */
static struct allowance *
find(struct allowances *allowances, uint32_t uid)
{
    for (unsigned i = 0; i < allowances->count; i++)
        if (allowances->users[i].uid == uid)
            return &allowances->users[i];
    return allowances->count < ALLOWANCE_USERS ? NULL : &allowances->users[ALLOWANCE_USERS - 1];
}

bool
allowance_is_left(struct allowances *allowances, uint32_t uid, int64_t now_ns)
{
    settle(allowances, now_ns);
    const struct allowance *user = find(allowances, uid);
    return !user || user->owed_ns <= ALLOWANCE_BURST_NS / allowances->count;
}

void
allowance_charge(struct allowances *allowances, uint32_t uid, int64_t spent_ns, int64_t now_ns)
{
    settle(allowances, now_ns);
    struct allowance *user = find(allowances, uid);
    if (!user) {
        user = &allowances->users[allowances->count++];
        *user = (struct allowance){.uid = uid};
    }
    user->owed_ns += spent_ns;
}
