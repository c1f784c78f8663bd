/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The sub-commands of stevectl. Each gets what follows its name, checked for nothing yet, and returns
 * the exit status after having said what is wrong. */

#include <stdbool.h>

#include "libjobserver/client.h"

/* A place where the sub-command connects once its arguments are known to be right. */
struct ctl_server {
    const char *path; /* --server; NULL: the one that environment_find_server() finds */
    struct client *client;
};

/* EXIT_SUCCESS, or EXIT_FAILURE after having said why. */
int ctl_connect(struct ctl_server *server);

/* The same for a class of that server: server->client is that of its pool. */
int ctl_connect_class(struct ctl_server *server, const char *name);

/* A jobwrap that borrows has no classes: then those of the server around, which its build uses. None, if --server
 * named the server. */
void ctl_find_classes_around(const struct ctl_server *server, struct steved_classes *classes);

int ctl_status(struct ctl_server *server, int argc, char **argv);
int ctl_watch(struct ctl_server *server, int argc, char **argv);
int ctl_get(struct ctl_server *server, int argc, char **argv);
int ctl_set(struct ctl_server *server, int argc, char **argv);
int ctl_top(struct ctl_server *server, int argc, char **argv);
int ctl_metrics(struct ctl_server *server, int argc, char **argv);
int ctl_pause(struct ctl_server *server, int argc, char **argv);
int ctl_continue(struct ctl_server *server, int argc, char **argv);
int ctl_weight(struct ctl_server *server, int argc, char **argv);
