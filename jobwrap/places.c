/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "jobwrap/places.h"

#include <stdbool.h>
#include <string.h>

void
places_add(struct places *places, const struct steved_event *event)
{
    struct place *place = &places->last[places->seen % PLACES_MAX];

    *place = (struct place){.time_ns = (int64_t)event->time_ns, .job_class = event->job_class};
    event_place_read(&place->at, event);
    if (place->at.node[0] && place->at.file[0])
        places->seen++;
}

/* Of a path that is so long, without the suffix of its last part. */
static size_t
without_suffix(const char *path, size_t length)
{
    size_t dot = length;

    while (dot > 0 && path[dot - 1] != '.' && path[dot - 1] != '/')
        dot--;
    return dot > 1 && path[dot - 1] == '.' && path[dot - 2] != '/' ? dot - 1 : length;
}

/* One may have fewer directories than the other. In what is made '_' may stand for '/': meson writes src_a.c.o. */
static bool
ends_alike(const char *path, size_t path_length, const char *made, size_t made_length)
{
    bool has_directory = false;

    while (path_length > 0 && made_length > 0) {
        const char of_path = path[path_length - 1], of_made = made[made_length - 1];
        if (of_path != of_made && !(of_path == '/' && of_made == '_'))
            return false;
        has_directory |= of_path == '/';
        path_length--;
        made_length--;
    }
    if (made_length == 0)
        return path_length == 0 || path[path_length - 1] == '/';
    return has_directory && made[made_length - 1] == '_';
}

/* a.o, a.c.o: of a.c. */
static bool
is_made_of(const char *made, const char *path)
{
    const size_t path_length = strlen(path), whole = strlen(made);
    const size_t made_length = without_suffix(made, whole);

    if (made_length == whole)
        return false;
    return ends_alike(path, path_length, made, made_length) ||
           ends_alike(path, without_suffix(path, path_length), made, made_length);
}

void
places_find(const struct places *places, const char *made, uint32_t job_class, int64_t from_ns,
            int64_t to_ns, char node[EVENT_NODE_SIZE])
{
    const unsigned count = places->seen < PLACES_MAX ? places->seen : PLACES_MAX;

    node[0] = '\0';
    for (unsigned i = 0; i < count; i++) {
        const struct place *place = &places->last[i];
        if (place->time_ns < from_ns || place->time_ns > to_ns ||
            (job_class && place->job_class && place->job_class != job_class) ||
            !is_made_of(made, place->at.file))
            continue;
        if (node[0] && strcmp(node, place->at.node) != 0) {
            node[0] = '\0';
            return;
        }
        memcpy(node, place->at.node, EVENT_NODE_SIZE);
    }
}
