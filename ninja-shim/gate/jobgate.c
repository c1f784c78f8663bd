/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jobgate: runs a command in which each child of processes of a certain name waits for a token: the gate
 * that ninja-shim has for ninja, for others whose children are independent. See jobgate(1).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libjobserver/auth.h"
#include "libjobserver/client.h"
#include "libjobserver/environment.h"
#include "libjobserver/implicit.h"
#include "libjobserver/program/descriptors.h"
#include "libjobserver/program/message.h"
#include "libjobserver/program/usage.h"
#include "ninja-shim/gate/jobgate_options.h"
#include "ninja-shim/gate/start.h"

/* The state of the program. */
struct jobgate {
    struct jobgate_options options;
    struct auth auth;
    struct client *client; /* NULL: no jobserver */
    bool from_environment;
};

static _Noreturn void
become_command(const struct jobgate *jobgate)
{
    char **command = jobgate->options.command;

    execvp(command[0], command);
    int error = errno;
    message("run %s: %s", command[0], strerror(error));
    exit(error == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE);
}

/* --- the jobserver --- */

static _Noreturn void
refuse_jobserver(const char *error, int result)
{
    message("%s; nothing is run", error ? error : strerror(-result));
    exit(EXIT_OURS);
}

static void
open_named(struct jobgate *jobgate, const char *text)
{
    char *error = NULL;
    int result = auth_parse_named(text, &jobgate->auth);

    if (result == 0)
        result = client_open(&jobgate->auth, &jobgate->client, &error);
    if (result < 0)
        refuse_jobserver(error, result);
}

/* The one that MAKEFLAGS names, the user's steved, /dev/steve. */
static void
find_jobserver(struct jobgate *jobgate)
{
    char *path, *error = NULL;
    int result = client_open_inherited(&jobgate->auth, &jobgate->client, &error);

    jobgate->from_environment = result != 0;
    if (result < 0)
        refuse_jobserver(error ? error : "the jobserver in MAKEFLAGS is not for us", result);
    if (result > 0 || client_find_server(&path) < 0)
        return;
    result = client_open_path(path, &jobgate->client, &error);
    if (result < 0)
        refuse_jobserver(error, result);
    free(path);
}

/* --- the gate --- */

static void
put_up_gate(struct jobgate *jobgate)
{
    const struct jobgate_options *options = &jobgate->options;
    struct gate_plan plan = {
        .client = jobgate->client,
        .rules = {.implicit_paid = implicit_is_paid(jobgate->client, options->implicit,
                                                    jobgate->from_environment)},
        .names = options->names,
    };
    char *why_not;

    if (gate_start(&plan, options->gate, &why_not) == 0)
        return;
    message("cannot hold jobs back (%s); nothing is run", why_not ? why_not : strerror(ENOMEM));
    exit(EXIT_OURS);
}

int
main(int argc, char **argv)
{
    struct jobgate jobgate = {.auth = {.read_fd = -1, .write_fd = -1}};

    descriptors_guard_standard();
    jobgate_options_parse(&jobgate.options, argc, argv);
    if (jobgate.options.server)
        open_named(&jobgate, jobgate.options.server);
    else
        find_jobserver(&jobgate);
    if (jobgate.client)
        put_up_gate(&jobgate);
    else
        message("there is no jobserver; jobs do not wait");
    become_command(&jobgate);
}
