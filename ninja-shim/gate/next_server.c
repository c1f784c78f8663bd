/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ninja-shim/gate/next_server.h"

#include <signal.h>

#include "libjobserver/environment.h"
#include "ninja-shim/gate/classes.h"

void
next_server_stop_awaiting(struct gate *gate)
{
    if (!gate->next_event)
        return;
    event_free(gate->next_event);
    gate->next_event = NULL;
    server_events_close(&gate->server_events);
}

/* A jobwrap around us ends with its build, and a FIFO tells nobody that its owner has ended. */
static bool
is_sought(const struct gate *gate)
{
    const struct client *client = gate->plan->client;

    return gate->is_server_gone && !gate->is_joining && client_kind(client) == CLIENT_SERVER &&
           !client_is_jobwrap(client);
}

/* false: there is none yet. */
static bool
replace_server(struct gate *gate)
{
    const struct gate_plan *plan = gate->plan;
    struct client *found = environment_find_next(client_name(plan->client), plan->is_server_named);

    if (!found)
        return false;
    /* Who has ended already will be found anew. */
    if (client_join_group(found) < 0) {
        client_close(found);
        return false;
    }
    event_free(gate->token_event);
    gate->token_event = NULL;
    gate->is_token_awaited = false;
    client_replace(plan->client, found);
    gate->telling.readers = (struct event_readers){0};
    gate->is_joining = true;
    return true;
}

/* Nothing may be acquired before the keeper is a member of our group there; one that is started anew will be. Classes
 * may be another server's than that of a jobwrap around us, which lives on. */
static void
on_server(evutil_socket_t fd, short what, void *argument)
{
    struct gate *gate = argument;

    server_events_drain(&gate->server_events);
    bool has_server = is_sought(gate) && replace_server(gate);
    bool has_classes = gate_classes_look_for(gate);
    if (!is_sought(gate) && !gate_classes_are_gone(gate))
        next_server_stop_awaiting(gate);
    if ((has_server || has_classes) && gate->keeper > 0)
        kill(gate->keeper, SIGKILL);
}

static int
listen_to_events(struct gate *gate)
{
    if (gate->next_event)
        return 0;
    int result = server_events_open(&gate->server_events);
    if (result < 0)
        return result;
    gate->next_event =
        event_new(gate->base, gate->server_events.fd, EV_READ | EV_PERSIST, on_server, gate);
    return gate->next_event && event_add(gate->next_event, NULL) == 0 ? 0 : -ENOMEM;
}

void
next_server_await(struct gate *gate)
{
    bool is_wanted = is_sought(gate) || gate_classes_are_gone(gate);

    /* It may be there already. */
    if (is_wanted && listen_to_events(gate) == 0)
        event_active(gate->next_event, EV_READ, 0);
}
