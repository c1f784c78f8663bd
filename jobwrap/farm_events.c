/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "jobwrap/farm_events.h"

#include <errno.h>
#include <stdlib.h>

/* Of a busy server, before anything else is done. */
#define PAGES_AT_ONCE 16

static void
on_event(evutil_socket_t fd, short what, void *argument)
{
    farm_events_read(argument);
}

int
farm_events_open(struct farm_events *events, const char *prefix, const char *class_name,
                 struct event_base *base)
{
    char *error = NULL;

    if (client_open_class(prefix, class_name, &events->client, &error) < 0)
        events->client = NULL;
    free(error);
    if (!events->client)
        return 0;
    if (client_watch(events->client) < 0) {
        farm_events_close(events);
        return 0;
    }
    events->event =
        event_new(base, client_watch_fd(events->client), EV_READ | EV_PERSIST, on_event, events);
    return events->event && event_add(events->event, NULL) == 0 ? 0 : -ENOMEM;
}

void
farm_events_read(struct farm_events *events)
{
    int more = 1;

    if (!events->client)
        return;
    for (unsigned pages = 0; more == 1 && pages < PAGES_AT_ONCE; pages++) {
        more = client_next_events(events->client, &events->page);
        for (unsigned i = 0; more >= 0 && i < events->page.count; i++)
            if (events->page.events[i].kind == STEVED_EVENT_JOB_PLACED)
                events->take(events->context, &events->page.events[i]);
    }
    if (more < 0)
        farm_events_close(events);
}

void
farm_events_close(struct farm_events *events)
{
    if (events->event)
        event_free(events->event);
    if (events->client)
        client_close(events->client);
    events->event = NULL;
    events->client = NULL;
}
