/* SPDX-License-Identifier: GPL-2.0-or-later */

/* stevectl pause, continue and weight: of one build. */
#include "steved/ctl.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libjobserver/process.h"
#include "libjobserver/program/message.h"
#include "libjobserver/program/usage.h"
#include "steved/snapshot.h"

#define ANCESTORS_MAX 64

static const struct steved_client *
find_client(const struct snapshot *snapshot, pid_t pid)
{
    for (size_t i = 0; i < snapshot->count; i++)
        if (snapshot->clients[i].pid == pid || snapshot->clients[i].keeper == pid)
            return &snapshot->clients[i];
    return NULL;
}

/* The process itself, or the nearest above it: whoever asks may know no more than a compiler of the build. */
static const struct steved_client *
find_build(const struct snapshot *snapshot, pid_t pid)
{
    struct process_info ancestors[ANCESTORS_MAX];
    const struct steved_client *found = find_client(snapshot, pid);
    size_t count = found ? 0 : process_ancestors(pid, ancestors, ANCESTORS_MAX);

    for (size_t i = 0; i < count && !found; i++)
        found = find_client(snapshot, ancestors[i].pid);
    return found;
}

static const char *
reason_of(int error, const struct steved_account *wanted)
{
    switch (error) {
    case -EPERM:
        return wanted->named & STEVED_ACCOUNT_SET_WEIGHT
                   ? "only root and the server's own user may; the build's user may set up to 100"
                   : "only root, the server's own user and the build's user may do this, and only "
                     "the "
                     "first two may continue a build that one of them has paused";
    case -ENOENT:
        return "it has ended";
    case -ENOTTY:
        return "this server is too old for that";
    default:
        return strerror(-error);
    }
}

static int
change_account(struct ctl_server *server, const char *command, pid_t pid,
               struct steved_account *wanted)
{
    struct snapshot snapshot = {0};
    int error = snapshot_take(server->client, &snapshot);
    const struct steved_client *client = error == 0 ? find_build(&snapshot, pid) : NULL;

    if (client) {
        wanted->account = client->account;
        wanted->uid = client->uid;
        error = client_account(server->client, wanted);
    }
    if (error < 0)
        message("%s %d: %s", command, (int)pid, reason_of(error, wanted));
    else if (!client)
        message("%s %d: neither this process nor one above it is a client of this server", command,
                (int)pid);
    snapshot_clear(&snapshot);
    return error == 0 && client ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Of the word behind the command. */
static bool
parse_pid(const char *command, const char *text, pid_t *pid)
{
    unsigned number;

    if (!usage_parse_number(text, 1, INT_MAX, &number)) {
        message("%s '%s': a pid is needed, as stevectl status shows it", command, text);
        return false;
    }
    *pid = (pid_t)number;
    return true;
}

static int
set_pause(struct ctl_server *server, const char *command, bool is_paused, int argc, char **argv)
{
    struct steved_account wanted = {.named = STEVED_ACCOUNT_SET_PAUSE, .paused = is_paused};
    pid_t pid;

    if (argc != 1) {
        message("%s takes one pid", command);
        return EXIT_USAGE;
    }
    if (!parse_pid(command, argv[0], &pid))
        return EXIT_USAGE;
    if (ctl_connect(server) != EXIT_SUCCESS)
        return EXIT_FAILURE;
    return change_account(server, command, pid, &wanted);
}

int
ctl_pause(struct ctl_server *server, int argc, char **argv)
{
    return set_pause(server, "pause", true, argc, argv);
}

int
ctl_continue(struct ctl_server *server, int argc, char **argv)
{
    return set_pause(server, "continue", false, argc, argv);
}

int
ctl_weight(struct ctl_server *server, int argc, char **argv)
{
    struct steved_account wanted = {.named = STEVED_ACCOUNT_SET_WEIGHT};
    pid_t pid;

    if (argc != 2) {
        message("weight takes a pid and a weight");
        return EXIT_USAGE;
    }
    if (!parse_pid("weight", argv[0], &pid))
        return EXIT_USAGE;
    if (!usage_parse_number(argv[1], 1, STEVED_WEIGHT_MAX, &wanted.weight)) {
        message("weight '%s': a number from 1 to %u is needed", argv[1], STEVED_WEIGHT_MAX);
        return EXIT_USAGE;
    }
    if (ctl_connect(server) != EXIT_SUCCESS)
        return EXIT_FAILURE;
    return change_account(server, "weight", pid, &wanted);
}
