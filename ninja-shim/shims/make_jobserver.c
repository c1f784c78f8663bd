/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ninja-shim/shims/make_jobserver.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libjobserver/client.h"
#include "libjobserver/environment.h"
#include "libjobserver/program/message.h"
#include "libjobserver/program/program.h"
#include "libjobserver/program/usage.h"
#include "ninja-shim/shims/ours.h"

static void
check(int result)
{
    if (result == 0)
        return;
    message_errno(result, "start");
    exit(EXIT_OURS);
}

/* --- finding --- */

static void
take_wrapper_fifo(struct make_jobserver *jobserver)
{
    jobserver->auth = (struct auth){.kind = AUTH_FIFO, .read_fd = -1, .write_fd = -1};
    jobserver->auth.path = strdup(getenv("JOBWRAP_FIFO"));
    check(jobserver->auth.path ? 0 : -ENOMEM);
}

/* A make before 4.4 shows recipes without '+' numbers that it has closed, and Python, Node and Java close
 * descriptors in all children; the FIFO of the jobwrap around us is there all the same. */
static bool
is_withheld(void)
{
    struct jobserver found;
    char *error;
    bool withheld = environment_find_inherited(&found, &error) == 1 && found.auth.kind == AUTH_NONE;

    free(error);
    environment_close(&found);
    return withheld;
}

/* debhelper takes it out of MAKEFLAGS, and gives make a -jN. */
static bool
is_dropped(void)
{
    const char *path = getenv("JOBWRAP_FIFO");

    return path && *path;
}

bool
make_jobserver_find(struct make_jobserver *jobserver)
{
    const char *flags = getenv("MAKEFLAGS");
    char *error;

    *jobserver = (struct make_jobserver){.jobs = auth_jobs(flags)};
    int result = auth_parse(flags, &jobserver->auth, &error);
    if (result < 0) {
        free(error);
        check(result == -ENOMEM ? result : 0);
        return false;
    }
    if (jobserver->auth.kind == AUTH_PIPE || jobserver->auth.kind == AUTH_CLOSED)
        jobserver->is_withheld = is_withheld();
    else if (jobserver->auth.kind == AUTH_NONE)
        jobserver->is_dropped = is_dropped();
    if (jobserver->is_withheld || jobserver->is_dropped)
        take_wrapper_fifo(jobserver);
    return jobserver->auth.kind == AUTH_FIFO || jobserver->auth.kind == AUTH_PIPE;
}

bool
make_jobserver_can_open(const struct make_jobserver *jobserver)
{
    struct client *client = NULL;
    char *error;
    int result = client_open(&jobserver->auth, &client, &error);

    free(error);
    client_close(client);
    check(result == -ENOMEM ? result : 0);
    return result == 0;
}

/* --- telling --- */

/* As a newer make does: one line, and then one job at a time. */
static void
go_without(const char *operation, const char *why)
{
    const struct auth none = {.kind = AUTH_NONE, .read_fd = -1, .write_fd = -1};

    message("%s%s; using -j1", operation, why);
    check(environment_set_flags("MAKEFLAGS", getenv("MAKEFLAGS"), &none, 1));
}

static void
name_descriptors(const struct make_jobserver *jobserver)
{
    struct auth ends = {.kind = AUTH_PIPE, .read_fd = -1, .write_fd = -1};
    char *error = NULL;
    int result = environment_open_ends(jobserver->auth.path, &ends, &error);

    if (result < 0) {
        go_without(error ? "" : "open the jobserver: ", error ? error : strerror(-result));
        free(error);
        return;
    }
    check(environment_set_flags("MAKEFLAGS", getenv("MAKEFLAGS"), &ends, jobserver->jobs));
    /* The make below closes them where there is no '+'. */
    check(environment_publish_path(&jobserver->auth, jobserver->jobs));
}

void
make_jobserver_adapt(const struct make_jobserver *jobserver, const char *make)
{
    char answer[256];

    if (jobserver->auth.kind != AUTH_FIFO || jobserver->is_dropped)
        return;
    /* Any make takes descriptors. */
    if (jobserver->is_withheld) {
        name_descriptors(jobserver);
        return;
    }
    int result = program_ask_version(make, "make", answer, sizeof(answer));

    /* One that cannot be asked may be old. */
    if (result < 0)
        go_without("ask make for its version: ", strerror(-result));
    else if (make_version_is_old(answer))
        name_descriptors(jobserver);
}

void
make_jobserver_become_capped(struct make_jobserver *jobserver, unsigned jobs, char **command)
{
    bool is_fifo = jobserver->auth.kind == AUTH_FIFO && !jobserver->is_withheld;
    const char *style = jobserver->is_dropped ? "auto" : is_fifo ? "fifo" : "pipe";
    char *jobwrap = ours_find("jobwrap");

    if (!jobwrap)
        return;
    if (jobserver->is_dropped)
        check(environment_set_flags("MAKEFLAGS", getenv("MAKEFLAGS"), &jobserver->auth,
                                    jobserver->jobs));
    int result = ours_become_capped(jobwrap, jobs, style, command);
    message("run %s: %s", jobwrap, strerror(-result));
    exit(EXIT_OURS);
}

void
make_jobserver_rejoin(struct make_jobserver *jobserver)
{
    jobserver->is_withheld |= jobserver->is_dropped;
    jobserver->is_dropped = false;
}
