/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/top_labels.h"

#include <stdlib.h>

#include "libjobserver/holder.h"

/* Of a line as wide as any. */
#define COMMAND_MAX 400
/* A process may execute another program. */
#define FRESH_NS (5 * INT64_C(1000000000))

static struct top_label *
find(const struct top_labels *labels, const struct steved_client *client)
{
    for (size_t i = 0; i < labels->count; i++)
        if (labels->known[i].pid == client->pid &&
            labels->known[i].start_ticks == client->start_ticks)
            return &labels->known[i];
    return NULL;
}

static struct top_label *
add(struct top_labels *labels, const struct steved_client *client)
{
    struct top_label *known =
        reallocarray(labels->known, labels->count + 1, sizeof(*labels->known));

    if (!known)
        return NULL;
    labels->known = known;
    known[labels->count] =
        (struct top_label){.pid = client->pid, .start_ticks = client->start_ticks};
    return &known[labels->count++];
}

static void
read_label(struct top_label *label, const struct steved_client *client, int *patience_ms)
{
    struct process_label read;

    if (holder_label(client, patience_ms, &read) < 0)
        return;
    char *text = process_label_text(&read, COMMAND_MAX);
    process_label_clear(&read);
    if (!text)
        return;
    free(label->text);
    label->text = text;
}

const char *
top_labels_text(struct top_labels *labels, const struct steved_client *client, int *patience_ms,
                int64_t now_ns)
{
    struct top_label *label = find(labels, client);

    if (!label)
        label = add(labels, client);
    if (!label)
        return NULL;
    label->is_used = true;
    if (!label->text || now_ns - label->read_ns > FRESH_NS) {
        read_label(label, client, patience_ms);
        label->read_ns = now_ns;
    }
    return label->text;
}

void
top_labels_sweep(struct top_labels *labels)
{
    size_t kept = 0;

    for (size_t i = 0; i < labels->count; i++) {
        if (!labels->known[i].is_used) {
            free(labels->known[i].text);
            continue;
        }
        labels->known[i].is_used = false;
        labels->known[kept++] = labels->known[i];
    }
    labels->count = kept;
}

void
top_labels_clear(struct top_labels *labels)
{
    for (size_t i = 0; i < labels->count; i++)
        free(labels->known[i].text);
    free(labels->known);
    *labels = (struct top_labels){.count = 0};
}
