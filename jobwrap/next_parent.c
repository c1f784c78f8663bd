/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "jobwrap/next_parent.h"

#include <errno.h>

#include "libjobserver/program/message.h"

static void
stop_watching(struct next_parent *next)
{
    if (!next->event)
        return;
    event_free(next->event);
    next->event = NULL;
    server_events_close(&next->events);
}

static void
look(struct next_parent *next)
{
    const char *name = client_name(next->parent->jobserver.client);

    if (next->found)
        return;
    next->found = environment_find_next(name, next->is_named);
    /* Who has ended already will be found anew. */
    if (next->found && client_join_group(next->found) < 0) {
        client_close(next->found);
        next->found = NULL;
    }
    if (next->found && !next->send(next->argument, client_file(next->found)))
        next_parent_joined(next, 0);
}

static void
on_event(evutil_socket_t fd, short what, void *argument)
{
    struct next_parent *next = argument;

    server_events_drain(&next->events);
    look(next);
}

void
next_parent_search(struct next_parent *next, struct event_base *base)
{
    struct client *client = next->parent->jobserver.client;

    /* A jobwrap around us ends with its build, and a FIFO tells nobody that its owner has ended. */
    if (client_kind(client) != CLIENT_SERVER || client_is_jobwrap(client) || next->event)
        return;
    int result = server_events_open(&next->events);
    if (result < 0) {
        message_errno(result, "watch for the next server");
        return;
    }
    next->event = event_new(base, next->events.fd, EV_READ | EV_PERSIST, on_event, next);
    if (!next->event)
        return;
    event_add(next->event, NULL);
    /* It may be there already. */
    event_active(next->event, EV_READ, 0);
}

void
next_parent_joined(struct next_parent *next, int result)
{
    struct client *found = next->found;

    if (!found)
        return;
    next->found = NULL;
    if (result < 0) {
        client_close(found);
        look(next);
        return;
    }
    stop_watching(next);
    client_replace(next->parent->jobserver.client, found);
    message("tokens come from %s now", client_name(next->parent->jobserver.client));
    next->replaced(next->argument);
}

void
next_parent_close(struct next_parent *next)
{
    stop_watching(next);
    client_close(next->found);
    next->found = NULL;
}
