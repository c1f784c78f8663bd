/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jobwrap/parent.h"
#include "jobwrap/start_steved.h"
#include "libjobserver/environment.h"
#include "libjobserver/program/message.h"

/* As make does: one line, and then one job at a time. */
static void
withhold(struct parent *parent, const struct options *options, const char *why)
{
    parent->is_withheld = true;
    message("%s; no parent jobserver, %s", why ? why : ENVIRONMENT_WITHHELD,
            options->jobs ? "so -j is the number of jobs" : "using -j1");
}

/* MAKEFLAGS, as a profile sets it, names the user's own steved, which does not serve. */
static bool
names_users_own(const struct jobserver *found)
{
    char *mount = environment_user_mount();
    size_t length = mount ? strlen(mount) : 0;
    bool is_own = length > 0 && found->is_from_environment && found->auth.kind == AUTH_FIFO &&
                  strncmp(found->auth.path, mount, length) == 0 &&
                  strcmp(found->auth.path + length, "/jobserver") == 0;

    free(mount);
    return is_own;
}

/* 1: found->client is open; else as environment_find(). */
static int
find(struct jobserver *found, const struct options *options, char **error)
{
    if (options->is_alone)
        return environment_find_inherited(found, error);
    int result = environment_find(options->parent, found, error);
    if (options->parent || result > 0 || (result < 0 && !names_users_own(found)) ||
        !start_steved(options->is_verbose))
        return result;
    environment_close(found);
    free(*error);
    *error = NULL;
    return environment_find(NULL, found, error);
}

int
parent_find(struct parent *parent, const struct options *options)
{
    char *error = NULL;

    *parent = (struct parent){.jobserver = {.auth = {.read_fd = -1, .write_fd = -1}}};
    if (options->is_root)
        return 0;
    int result = find(&parent->jobserver, options, &error);
    if (result < 0 && parent->jobserver.is_from_environment) {
        withhold(parent, options, error);
        result = 0;
    } else if (result < 0) {
        message("%s", error ? error : strerror(-result));
    } else if (error) {
        message("%s; using %s", error, client_name(parent->jobserver.client));
    }
    free(error);
    return result < 0 ? result : 0;
}

void
parent_close(struct parent *parent)
{
    environment_close(&parent->jobserver);
}

void
parent_set_weight(const struct parent *parent, unsigned weight)
{
    struct client *client = parent->jobserver.client;

    if (!client || !weight)
        return;
    int result = client_set_weight(client, weight);
    if (result == -EPERM)
        message("--weight=%u at %s: only root and the server's own user may set more than %u",
                weight, client_name(client), STEVED_WEIGHT_DEFAULT);
    else if (result < 0)
        message("--weight=%u at %s: %s", weight, client_name(client),
                result == -ENOTTY  ? "it does not support weights"
                : result == -EBUSY ? "its share is that of the build around it"
                                   : strerror(-result));
}

unsigned
parent_total(const struct parent *parent, bool implicit_paid, unsigned cpus)
{
    struct client *client = parent->jobserver.client;
    const char *wrapper_jobs =
        parent->jobserver.is_from_environment ? getenv("JOBWRAP_JOBS") : NULL;
    unsigned total = environment_total_jobs(client, NULL, wrapper_jobs);

    if (total > 0)
        return total;
    if (client_count_free(client, &total) < 0 || total >= JOBS_MAX)
        return cpus;
    total += implicit_paid ? 1 : 0;
    return total > cpus ? total : cpus;
}

unsigned
parent_floating(const struct parent *parent)
{
    struct steved_status status;

    /* A jobwrap whose jobs all run elsewhere has none, for now. */
    return client_get_status(parent->jobserver.client, &status) == 0 && status.jobs > 0
               ? status.jobs
               : 1;
}

bool
parent_is_needed(const struct parent *parent, bool is_waiting)
{
    struct client *client = parent->jobserver.client;
    struct steved_status status;
    unsigned tokens_free;

    if (client_get_status(client, &status) == 0)
        return status.waiting > (is_waiting ? 1 : 0);
    return client_count_free(client, &tokens_free) < 0 || tokens_free == 0;
}

int
parent_open_recall(const struct parent *parent)
{
    return client_open_recall(parent->jobserver.client);
}

int
parent_recalled(const struct parent *parent, int recall_fd)
{
    struct steved_status status;

    client_drain_recall(parent->jobserver.client, recall_fd);
    int result = client_get_status(parent->jobserver.client, &status);
    return result < 0 ? result : status.recalled < INT_MAX ? (int)status.recalled : INT_MAX;
}
