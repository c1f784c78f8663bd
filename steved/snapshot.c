/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libjobserver/holder.h"

/* For all clients whose memory is locked, together. */
#define PATIENCE_MS 1000

static int
append_page(struct snapshot *snapshot, const struct steved_clients *page)
{
    size_t count = page->count <= STEVED_CLIENTS_PER_PAGE ? page->count : STEVED_CLIENTS_PER_PAGE;
    struct steved_client *clients =
        reallocarray(snapshot->clients, snapshot->count + count, sizeof(struct steved_client));

    if (!clients)
        return -ENOMEM;
    memcpy(clients + snapshot->count, page->clients, count * sizeof(*clients));
    snapshot->clients = clients;
    snapshot->count += count;
    return 0;
}

/* Page by page: clients come and go between two of them. */
int
snapshot_take(struct client *client, struct snapshot *snapshot)
{
    struct steved_clients page = {0};
    int error = client_get_status(client, &snapshot->status);

    snapshot->has_throttle = client_get_throttle(client, &snapshot->throttle) == 0;
    if (client_get_classes(client, &snapshot->classes) < 0)
        snapshot->classes.count = 0;
    while (error == 0) {
        page = (struct steved_clients){.cursor = page.cursor};
        error = client_get_clients(client, &page);
        if (error < 0 || page.count == 0)
            break;
        error = append_page(snapshot, &page);
    }
    return error;
}

/* After the server has told all: they may let us wait. */
int
snapshot_label(struct snapshot *snapshot)
{
    int error = 0, patience_ms = PATIENCE_MS;

    snapshot->labels = calloc(snapshot->count + 1, sizeof(*snapshot->labels));
    if (!snapshot->labels)
        return -ENOMEM;
    for (size_t i = 0; i < snapshot->count && error == 0; i++)
        error = holder_label(&snapshot->clients[i], &patience_ms, &snapshot->labels[i]);
    return error;
}

void
snapshot_clear(struct snapshot *snapshot)
{
    for (size_t i = 0; snapshot->labels && i < snapshot->count; i++)
        process_label_clear(&snapshot->labels[i]);
    free(snapshot->labels);
    free(snapshot->clients);
    *snapshot = (struct snapshot){.count = 0};
}
