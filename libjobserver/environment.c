/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/environment.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define TOTAL_MAX 65536u /* what says more than that is mistaken */

/* make 4.3 shows a recipe without '+' numbers that it has closed. The FIFO of a jobwrap around us is
 * still there, and our slot with it. */
static int
open_wrapper_fifo(struct auth *auth, struct client **client)
{
    const char *path = getenv("JOBWRAP_FIFO");
    char *error = NULL;

    if (!path || !*path || auth->kind == AUTH_FIFO)
        return -ENOENT;
    int result = client_open_path(path, client, &error);
    free(error);
    if (result == 0)
        auth_clear(auth); /* the descriptors may be something else's */
    return result;
}

int
client_open_inherited(struct auth *auth, struct client **client, char **error)
{
    *auth = (struct auth){.kind = AUTH_NONE, .read_fd = -1, .write_fd = -1};
    int result = auth_parse(getenv("MAKEFLAGS"), auth, error);

    if (result == 0 && auth->kind == AUTH_NONE)
        return 0;
    if (result == 0 && auth->kind == AUTH_CLOSED)
        result = -EBADF;
    else if (result == 0)
        result = client_open(auth, client, error);
    if (result < 0 && open_wrapper_fifo(auth, client) == 0) {
        free(*error);
        *error = NULL;
        return 1;
    }
    return result < 0 ? result : 1;
}

static unsigned
parse_total(const char *text)
{
    unsigned total;

    return text && sscanf(text, "%u", &total) == 1 ? total : 0;
}

/* A make around us that has a jobserver of its own says so in MAKEFLAGS, and leaves JOBWRAP_JOBS as it
 * is. */
unsigned
client_total_jobs(struct client *client, const char *makeflags, const char *wrapper_jobs)
{
    struct steved_status status;

    if (client_get_status(client, &status) == 0 && status.jobs > 0)
        return status.jobs;
    unsigned total = auth_jobs(makeflags);
    if (total == 0 || total > TOTAL_MAX)
        total = parse_total(wrapper_jobs);
    return total <= TOTAL_MAX ? total : 0;
}
