/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/holder.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int
label_by_server(const struct steved_client *client, struct process_label *label)
{
    const char *name = client->command;
    bool is_remark = name[0] == '('; /* "(gone)" */

    *label = (struct process_label){.directory = strdup("")};
    if (asprintf(&label->command, is_remark ? "%.*s" : "(%.*s)", STEVED_COMMAND_SIZE - 1, name) < 0)
        label->command = NULL;
    if (label->command && label->directory)
        return 0;
    process_label_clear(label);
    return -ENOMEM;
}

int
holder_label(const struct steved_client *client, int *patience_ms, struct process_label *label)
{
    int error = process_label(client->pid, client->start_ticks, patience_ms, label);

    return error == 0 || error == -ENOMEM ? error : label_by_server(client, label);
}
