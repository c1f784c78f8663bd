/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/top_nodes.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static void
forget(struct top_nodes *nodes, size_t place)
{
    struct top_node *node = &nodes->list[place];

    nodes->count--;
    memmove(node, node + 1, (nodes->count - place) * sizeof(*node));
}

void
top_nodes_note(struct top_nodes *nodes, const struct steved_event *event)
{
    struct event_place at;
    size_t place = 0;

    event_place_read(&at, event);
    while (place < nodes->count && strcmp(nodes->list[place].name, at.node) != 0)
        place++;
    const bool is_known = place < nodes->count;
    if (is_known && event->count == 0) {
        forget(nodes, place);
    } else if (is_known) {
        nodes->list[place].jobs = event->count;
    } else if (event->count > 0 && at.node[0] && nodes->count < TOP_NODES_MAX) {
        struct top_node *node = &nodes->list[nodes->count++];
        memcpy(node->name, at.node, sizeof(node->name));
        node->jobs = event->count;
    }
}

void
top_nodes_text(const struct top_nodes *nodes, char *text, size_t size)
{
    static const char more[] = ", ...";
    size_t length = 0;

    if (size > 0)
        text[0] = '\0';
    for (size_t i = 0; i < nodes->count; i++) {
        const struct top_node *node = &nodes->list[i];
        const size_t kept = i + 1 < nodes->count ? strlen(more) : 0;
        char item[EVENT_NODE_SIZE + 16];
        int item_length =
            snprintf(item, sizeof(item), "%s%s %u", i > 0 ? ", " : "", node->name, node->jobs);
        if (length + (size_t)item_length + kept >= size) {
            if (i > 0)
                snprintf(text + length, size - length, "%s", more);
            return;
        }
        memcpy(text + length, item, (size_t)item_length + 1);
        length += (size_t)item_length;
    }
}
