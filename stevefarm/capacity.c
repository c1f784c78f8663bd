/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stevefarm/capacity.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libjobserver/environment.h"

static int
open_server(struct capacity *capacity, struct client **server)
{
    char *error = NULL;

    if (!capacity->server) {
        *server = environment_find_server();
        if (*server)
            return 0;
        trouble_set(&capacity->trouble,
                    "find a server: none is running; name its file with --server PATH");
        return -1;
    }
    if (client_open_path(capacity->server, server, &error) == 0)
        return 0;
    trouble_set(&capacity->trouble, "%s", error ? error : "out of memory");
    free(error);
    return -1;
}

int
capacity_open(struct capacity *capacity)
{
    struct client *server = NULL;
    char *error = NULL;

    if (open_server(capacity, &server) < 0)
        return -1;
    char *prefix = environment_classes_of(server);
    int result = prefix ? client_open_class(prefix, capacity->class_name, &capacity->client, &error)
                        : -ENOENT;
    if (result == -ENOENT)
        trouble_set(&capacity->trouble, "%s: it has no such class (steved --class %s=0)",
                    client_name(server), capacity->class_name);
    else if (result < 0)
        trouble_set(&capacity->trouble, "%s", error ? error : strerror(-result));
    free(error);
    free(prefix);
    client_close(server);
    if (result < 0)
        capacity->client = NULL;
    return result < 0 ? -1 : 0;
}

int
capacity_set(struct capacity *capacity, unsigned jobs)
{
    const struct steved_settings settings = {
        .named = STEVED_SET_JOBS | STEVED_SET_LEASE, .jobs = jobs, .lease_ms = CAPACITY_LEASE_MS};

    if (!capacity->client && capacity_open(capacity) < 0)
        return -1;
    int error = client_set(capacity->client, &settings);
    if (error == 0) {
        trouble_clear(&capacity->trouble);
        return 0;
    }
    trouble_set(&capacity->trouble, "set its jobs to %u: %s", jobs,
                error == -EPERM ? "only root and the server's own user may" : strerror(-error));
    if (client_is_gone(error))
        capacity_close(capacity);
    return -1;
}

void
capacity_close(struct capacity *capacity)
{
    if (capacity->client)
        client_close(capacity->client);
    capacity->client = NULL;
}
