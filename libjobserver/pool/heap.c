/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/pool/heap.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

int
heap_reserve(struct heap *heap, size_t room)
{
    if (room <= heap->room)
        return 0;
    size_t doubled = heap->room * 2 > room ? heap->room * 2 : room;
    struct heap_node **nodes = reallocarray(heap->nodes, doubled, sizeof(*nodes));
    if (!nodes)
        return -ENOMEM;
    heap->nodes = nodes;
    heap->room = doubled;
    return 0;
}

void
heap_free(struct heap *heap)
{
    free(heap->nodes);
    heap->nodes = NULL;
    heap->count = heap->room = 0;
}

static void
put(struct heap *heap, size_t place, struct heap_node *node)
{
    heap->nodes[place - 1] = node;
    node->place = place;
}

static void
sift_up(struct heap *heap, struct heap_node *node)
{
    size_t place = node->place;

    while (place > 1 && heap->before(node, heap->nodes[place / 2 - 1])) {
        put(heap, place, heap->nodes[place / 2 - 1]);
        place /= 2;
    }
    put(heap, place, node);
}

static void
sift_down(struct heap *heap, struct heap_node *node)
{
    size_t place = node->place;

    for (size_t child; (child = place * 2) <= heap->count; place = child) {
        if (child < heap->count && heap->before(heap->nodes[child], heap->nodes[child - 1]))
            child++;
        if (!heap->before(heap->nodes[child - 1], node))
            break;
        put(heap, place, heap->nodes[child - 1]);
    }
    put(heap, place, node);
}

void
heap_insert(struct heap *heap, struct heap_node *node)
{
    assert(!heap_contains(node) && heap->count < heap->room);
    put(heap, ++heap->count, node);
    sift_up(heap, node);
}

void
heap_remove(struct heap *heap, struct heap_node *node)
{
    assert(heap_contains(node) && heap->nodes[node->place - 1] == node);
    struct heap_node *last = heap->nodes[--heap->count];
    size_t place = node->place;

    node->place = 0;
    if (last == node)
        return;
    put(heap, place, last);
    heap_moved(heap, last);
}

void
heap_moved(struct heap *heap, struct heap_node *node)
{
    sift_up(heap, node);
    sift_down(heap, node);
}

struct heap_node *
heap_first(const struct heap *heap)
{
    return heap->count > 0 ? heap->nodes[0] : NULL;
}
