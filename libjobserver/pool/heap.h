/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * A binary heap of nodes that are members of the caller's structures and know their own place, so
 * that one whose order has changed, or that is to leave, is found at once. Room is reserved
 * beforehand: inserting cannot fail.
 */

#include <stdbool.h>
#include <stddef.h>

struct heap_node {
    size_t place; /* 1-based; 0: in no heap */
};

struct heap {
    bool (*before)(struct heap_node *a, struct heap_node *b);
    struct heap_node **nodes;
    size_t count, room;
};

/* Makes room for `room` nodes: 0 or -ENOMEM. Never shrinks. */
int heap_reserve(struct heap *heap, size_t room);
void heap_free(struct heap *heap);

void heap_insert(struct heap *heap, struct heap_node *node);
void heap_remove(struct heap *heap, struct heap_node *node);
/* The order of `node` among the others has changed. */
void heap_moved(struct heap *heap, struct heap_node *node);
/* The one before all others, or NULL. */
struct heap_node *heap_first(const struct heap *heap);

static inline bool
heap_contains(const struct heap_node *node)
{
    return node->place != 0;
}
