/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/top_builds.h"

#include <stdlib.h>

static int
compare(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

/* Of one account the wrapper comes first, and then who came first: they stand in the list in that order. */
static int
by_account(const void *a, const void *b)
{
    const struct top_build *first = a, *second = b;
    bool is_wrapper = first->first->flags & STEVED_CLIENT_GROUP;

    if (first->uid != second->uid)
        return compare(first->uid, second->uid);
    if (first->account != second->account)
        return compare(first->account, second->account);
    if (is_wrapper != ((second->first->flags & STEVED_CLIENT_GROUP) != 0))
        return is_wrapper ? -1 : 1;
    return compare((uint64_t)(uintptr_t)first->first, (uint64_t)(uintptr_t)second->first);
}

static bool
is_same(const struct top_build *a, const struct top_build *b)
{
    return a->uid == b->uid && a->account == b->account;
}

static void
add(struct top_build *sum, const struct top_build *build)
{
    sum->held += build->held;
    sum->reserved += build->reserved;
    sum->waiting += build->waiting;
    sum->clients += build->clients;
}

size_t
top_builds_collect(const struct steved_client *clients, size_t count, struct top_build *builds)
{
    size_t found = 0;

    for (size_t i = 0; i < count; i++)
        builds[i] = (struct top_build){.account = clients[i].account,
                                       .uid = clients[i].uid,
                                       .weight = clients[i].weight,
                                       .held = clients[i].held,
                                       .reserved = clients[i].reserved,
                                       .waiting = clients[i].waiting,
                                       .clients = 1,
                                       .is_paused = clients[i].flags & STEVED_CLIENT_PAUSED,
                                       .first = &clients[i]};
    qsort(builds, count, sizeof(*builds), by_account);
    for (size_t i = 0; i < count; i++) {
        if (found > 0 && is_same(&builds[found - 1], &builds[i]))
            add(&builds[found - 1], &builds[i]);
        else
            builds[found++] = builds[i];
    }
    return found;
}

/* --- shares --- */

static bool
has_share(const struct top_build *build)
{
    return !build->is_paused && build->held + build->reserved + build->waiting > 0;
}

/* Of those from `first` on that are of its user; *end is behind the last. */
static uint64_t
weigh_user(const struct top_build *builds, size_t count, size_t first, size_t *end,
           uint32_t *largest)
{
    uint64_t sum = 0;
    size_t i = first;

    *largest = 0;
    for (; i < count && builds[i].uid == builds[first].uid; i++) {
        if (!has_share(&builds[i]))
            continue;
        sum += builds[i].weight;
        if (builds[i].weight > *largest)
            *largest = builds[i].weight;
    }
    *end = i;
    return sum;
}

/* As they are collected, those of a user stand together. */
void
top_builds_share(struct top_build *builds, size_t count, unsigned jobs)
{
    uint64_t all = 0;
    uint32_t largest;
    size_t end;

    for (size_t i = 0; i < count; i = end) {
        weigh_user(builds, count, i, &end, &largest);
        all += largest;
    }
    for (size_t i = 0; i < count; i = end) {
        uint64_t own = weigh_user(builds, count, i, &end, &largest);
        for (size_t k = i; k < end; k++)
            builds[k].share = has_share(&builds[k]) ? (double)jobs * largest / (double)all *
                                                          builds[k].weight / (double)own
                                                    : 0;
    }
}

/* --- orders --- */

static int
by_age(const void *a, const void *b)
{
    const struct top_build *first = a, *second = b;

    return compare((uint64_t)(uintptr_t)first->first, (uint64_t)(uintptr_t)second->first);
}

static int
by_held(const void *a, const void *b)
{
    const struct top_build *first = a, *second = b;
    int order = compare(second->held, first->held);

    return order ? order : by_age(a, b);
}

static int
by_waiting(const void *a, const void *b)
{
    const struct top_build *first = a, *second = b;
    int order = compare(second->waiting, first->waiting);

    return order ? order : by_age(a, b);
}

static int
by_share(const void *a, const void *b)
{
    const struct top_build *first = a, *second = b;
    int order = (second->share > first->share) - (second->share < first->share);

    return order ? order : by_age(a, b);
}

static const struct {
    const char *name;
    int (*compare)(const void *a, const void *b);
} orders[TOP_ORDERS] = {
    [TOP_BY_HELD] = {"held", by_held},
    [TOP_BY_WAITING] = {"waiting", by_waiting},
    [TOP_BY_SHARE] = {"share", by_share},
    [TOP_BY_AGE] = {"age", by_age},
};

void
top_builds_sort(struct top_build *builds, size_t count, enum top_order order)
{
    qsort(builds, count, sizeof(*builds), orders[order].compare);
}

const char *
top_order_name(enum top_order order)
{
    return orders[order].name;
}
