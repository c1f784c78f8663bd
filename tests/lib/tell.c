/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * tell PATH [KIND NAME [PID]]: as a gate, tells the server of an event of this kind (a number, STEVED_EVENT_JOB_*)
 * about a job of this name; with PID as one that hands on what a gate has told. Asks only, without KIND. Prints 1 if
 * somebody reads, else 0.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libjobserver/client.h"
#include "libjobserver/program/message.h"

static struct steved_told
told_by(int argc, char **argv)
{
    struct steved_told told = {0};
    struct steved_event *event = &told.events[0];

    if (argc < 4)
        return told;
    told.count = 1;
    event->kind = (__u32)atoi(argv[2]);
    snprintf(event->name, sizeof(event->name), "%s", argv[3]);
    event->pid = argc > 4 ? atoi(argv[4]) : 0;
    event->job = 7;
    event->process = 51;
    event->count = event->kind == STEVED_EVENT_JOB_PLACED ? 2 : 0;
    event->bytes = 1 << 20;
    event->duration_ns = 2000000000;
    event->expected_bytes = UINT64_MAX;
    /* What is not a gate's to say. */
    event->uid = 4711;
    event->account = 4711;
    event->held = 4711;
    return told;
}

int
main(int argc, char **argv)
{
    struct steved_told told = told_by(argc, argv);
    struct client *client;
    char *error;

    if (argc < 2 || client_open_path(argv[1], &client, &error) < 0) {
        message("open %s", argc < 2 ? "what" : argv[1]);
        return 2;
    }
    int result = client_tell(client, &told);
    client_close(client);
    if (result < 0) {
        message("tell: %s", strerror(-result));
        return 1;
    }
    printf("%u\n", told.is_read);
    return 0;
}
