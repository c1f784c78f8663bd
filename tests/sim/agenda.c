/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/agenda.h"

#include <err.h>
#include <stddef.h>
#include <stdlib.h>

static struct entry *
entry_of(struct heap_node *node)
{
    return (struct entry *)(void *)((char *)node - offsetof(struct entry, node));
}

static bool
comes_before(struct heap_node *a, struct heap_node *b)
{
    const struct entry *left = entry_of(a), *right = entry_of(b);

    return left->at_ns != right->at_ns ? left->at_ns < right->at_ns : left->number < right->number;
}

void
agenda_init(struct agenda *agenda)
{
    *agenda = (struct agenda){.heap = {.before = comes_before}};
}

void
agenda_free(struct agenda *agenda)
{
    heap_free(&agenda->heap);
}

void
entry_init(struct entry *entry, void (*happen)(void *context), void *context)
{
    *entry = (struct entry){.happen = happen, .context = context};
}

void
agenda_set(struct agenda *agenda, struct entry *entry, int64_t at_ns)
{
    agenda_cancel(agenda, entry);
    if (heap_reserve(&agenda->heap, agenda->heap.count + 1) < 0)
        err(EXIT_FAILURE, "agenda");
    entry->at_ns = at_ns > agenda->now_ns ? at_ns : agenda->now_ns;
    entry->number = ++agenda->numbered;
    heap_insert(&agenda->heap, &entry->node);
}

void
agenda_cancel(struct agenda *agenda, struct entry *entry)
{
    if (entry_is_set(entry))
        heap_remove(&agenda->heap, &entry->node);
}

int64_t
agenda_next_ns(const struct agenda *agenda)
{
    struct heap_node *first = heap_first(&agenda->heap);

    return first ? entry_of(first)->at_ns : INT64_MAX;
}

void
agenda_step(struct agenda *agenda)
{
    struct entry *entry = entry_of(heap_first(&agenda->heap));

    heap_remove(&agenda->heap, &entry->node);
    agenda->now_ns = entry->at_ns;
    entry->happen(entry->context);
}
