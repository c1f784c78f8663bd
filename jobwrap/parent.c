/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jobwrap/parent.h"
#include "libjobserver/environment.h"
#include "libjobserver/program/message.h"

static void
say(char *error, int result)
{
    message("%s", error ? error : strerror(-result));
    free(error);
}

static int
open_named(struct parent *parent, const char *text)
{
    char *error = NULL;
    int result = auth_parse_named(text, &parent->auth);

    if (result == 0)
        result = client_open(&parent->auth, &parent->client, &error);
    if (result < 0)
        say(error, result);
    return result;
}

/* As make does: one line, and then one job at a time. */
static void
withhold(struct parent *parent, const struct options *options, const char *why)
{
    parent->withheld = true;
    message("%s; no parent jobserver, %s", why ? why : "the jobserver in MAKEFLAGS is not for us",
            options->jobs ? "so that -j is the number of jobs" : "using -j1");
}

static void
open_environment(struct parent *parent, const struct options *options)
{
    char *error;
    int result = client_open_inherited(&parent->auth, &parent->client, &error);

    parent->from_environment = result != 0;
    if (result < 0)
        withhold(parent, options, error);
    free(error);
}

static void
open_server(struct parent *parent)
{
    char *path, *error = NULL;

    if (client_find_server(&path) < 0)
        return;
    int result = client_open_path(path, &parent->client, &error);
    if (result < 0)
        say(error, result);
    free(path);
}

int
parent_find(struct parent *parent, const struct options *options)
{
    *parent = (struct parent){.auth = {.read_fd = -1, .write_fd = -1}};
    if (options->root)
        return 0;
    if (options->parent)
        return open_named(parent, options->parent);
    open_environment(parent, options);
    if (!parent->client && !parent->withheld)
        open_server(parent);
    return 0;
}

void
parent_close(struct parent *parent)
{
    if (parent->client)
        client_close(parent->client);
    parent->client = NULL;
    auth_clear(&parent->auth);
}

unsigned
parent_total(const struct parent *parent, bool implicit_paid, unsigned cpus)
{
    const char *wrapper_jobs = parent->from_environment ? getenv("JOBWRAP_JOBS") : NULL;
    unsigned total = client_total_jobs(parent->client, NULL, wrapper_jobs);

    if (total > 0)
        return total;
    if (client_count_free(parent->client, &total) < 0 || total >= JOBS_MAX)
        return cpus;
    total += implicit_paid ? 1 : 0;
    return total > cpus ? total : cpus;
}
