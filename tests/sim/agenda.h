/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Simulated time: what will happen, and when. Entries are members of the caller's structures. */

#include <stdbool.h>
#include <stdint.h>

#include "libjobserver/pool/heap.h"

#define NS_PER_S INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_US INT64_C(1000)

struct entry {
    struct heap_node node;
    int64_t at_ns;
    uint64_t number; /* what was set first comes first */
    void (*happen)(void *context);
    void *context;
};

struct agenda {
    struct heap heap;
    int64_t now_ns;
    uint64_t numbered;
};

void agenda_init(struct agenda *agenda);
void agenda_free(struct agenda *agenda);

void entry_init(struct entry *entry, void (*happen)(void *context), void *context);
/* It happens then instead of when it would have. A time that is over counts as now. */
void agenda_set(struct agenda *agenda, struct entry *entry, int64_t at_ns);
void agenda_cancel(struct agenda *agenda, struct entry *entry);
static inline bool
entry_is_set(const struct entry *entry)
{
    return heap_contains(&entry->node);
}

/* When the next one happens; INT64_MAX: none will. */
int64_t agenda_next_ns(const struct agenda *agenda);
/* Makes it happen. */
void agenda_step(struct agenda *agenda);
