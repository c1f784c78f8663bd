/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The thread in which stevectl top asks its server. A server that is stopped (SIGSTOP) answers nothing, and its file
 * system lets a process wait for that until it ends, whatever signals it handles; and to poll the file is a request
 * like others. Who asks here can look at its terminal meanwhile.
 */

#include <pthread.h>
#include <stdbool.h>

#include "libjobserver/client.h"

/* 0 or a negative errno, or what else is to be told who has asked. */
typedef int (*top_question)(struct client *client, void *argument);

struct top_asker {
    int answer_fd; /* readable when there is an answer */
    int events_fd; /* eventfd(2): readable when something has happened at the server since the last answer */

    pthread_t thread;
    int ask_fd;
    /* The thread's from top_asker_begin() until the answer: */
    top_question question;
    struct client *client;
    void *argument;
    bool watches;
    int result;
};

/* 0 or a negative errno. */
int top_asker_start(struct top_asker *asker);
/* One question at a time: the thread has `client` and `argument` until it is answered. `watches`: after that, it waits
 * for events of the client. */
void top_asker_begin(struct top_asker *asker, top_question question, struct client *client,
                     void *argument, bool watches);
/* When answer_fd is readable: what the question has returned. */
int top_asker_end(struct top_asker *asker);
/* Ends the thread. false: it has not ended within `patience_ms`, and goes on to use what it has. */
bool top_asker_stop(struct top_asker *asker, int patience_ms);
