/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ninja-shim/gate/next_server.h"

#include <signal.h>

#include "libjobserver/environment.h"

void
next_server_stop_awaiting(struct gate *gate)
{
    if (!gate->next_event)
        return;
    event_free(gate->next_event);
    gate->next_event = NULL;
    server_events_close(&gate->server_events);
}

/* Nothing may be acquired before the keeper is a member of our group there; one that is started anew will be. */
static void
on_server(evutil_socket_t fd, short what, void *argument)
{
    struct gate *gate = argument;
    const struct gate_plan *plan = gate->plan;

    server_events_drain(&gate->server_events);
    struct client *found = environment_find_next(client_name(plan->client), plan->is_server_named);
    if (!found)
        return;
    /* Who has ended already will be found anew. */
    if (client_join_group(found) < 0) {
        client_close(found);
        return;
    }
    next_server_stop_awaiting(gate);
    event_free(gate->token_event);
    gate->token_event = NULL;
    gate->is_token_awaited = false;
    client_replace(plan->client, found);
    gate->is_joining = true;
    if (gate->keeper > 0)
        kill(gate->keeper, SIGKILL);
}

/* A jobwrap around us ends with its build, and a FIFO tells nobody that its owner has ended. */
void
next_server_await(struct gate *gate)
{
    const struct client *client = gate->plan->client;

    if (client_kind(client) != CLIENT_SERVER || client_is_jobwrap(client) || gate->next_event ||
        server_events_open(&gate->server_events) < 0)
        return;
    gate->next_event =
        event_new(gate->base, gate->server_events.fd, EV_READ | EV_PERSIST, on_server, gate);
    if (!gate->next_event || event_add(gate->next_event, NULL) < 0)
        return;
    /* It may be there already. */
    event_active(gate->next_event, EV_READ, 0);
}
