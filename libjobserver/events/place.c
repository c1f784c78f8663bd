/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/events/place.h"

#include <stdio.h>
#include <string.h>

#include "libjobserver/program/printable.h"

/* Whole parts of the path, if one at least fits. */
static const char *
end_of(const char *path, size_t room)
{
    const size_t length = strlen(path);

    if (length <= room)
        return path;
    const char *end = printable_begin(path + length - room), *slash = strchr(end, '/');
    return slash && slash[1] ? slash + 1 : end;
}

void
event_place_write(struct steved_event *event, const char *node, const char *file)
{
    char *name = event->name;

    snprintf(name, EVENT_NODE_SIZE, "%s", node);
    make_printable_text(name, EVENT_NODE_SIZE);
    for (char *blank = name; (blank = strchr(blank, ' '));)
        *blank = '?';
    size_t length = strlen(name);
    if (file[0]) {
        const size_t room = sizeof(event->name) - length - 2;
        snprintf(name + length, sizeof(event->name) - length, " %s", end_of(file, room));
    }
    make_printable(name, strlen(name));
}

void
event_place_read(struct event_place *place, const struct steved_event *event)
{
    const size_t length = strnlen(event->name, sizeof(event->name) - 1);
    const char *blank = memchr(event->name, ' ', length);
    const size_t node = blank ? (size_t)(blank - event->name) : length;

    *place = (struct event_place){0};
    memcpy(place->node, event->name, node < EVENT_NODE_SIZE ? node : EVENT_NODE_SIZE - 1);
    if (blank)
        memcpy(place->file, blank + 1, length - node - 1);
    make_printable_text(place->node, sizeof(place->node));
    make_printable_text(place->file, sizeof(place->file));
}
