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
#include "libjobserver/classes/rules_file.h"
#include "libjobserver/client.h"
#include "libjobserver/environment.h"
#include "libjobserver/implicit.h"
#include "libjobserver/program/descriptors.h"
#include "libjobserver/program/limits.h"
#include "libjobserver/program/message.h"
#include "libjobserver/program/program.h"
#include "libjobserver/program/usage.h"
#include "ninja-shim/gate/classes.h"
#include "ninja-shim/gate/jobgate_options.h"
#include "ninja-shim/gate/start.h"

#define DESCRIPTORS_LEAST 128u

/* The state of the program. */
struct jobgate {
    struct jobgate_options options;
    struct jobserver jobserver;
    struct class_rules *class_rules;
};

static _Noreturn void
become_command(const struct jobgate *jobgate)
{
    char **command = jobgate->options.command;

    const char *program = jobgate->options.program;
    if (program)
        execv(program, command);
    else
        execvp(command[0], command);
    int error = errno;
    message("run %s: %s", program ? program : command[0], strerror(error));
    exit(usage_exec_status(error));
}

/* A script that runs itself. */
static void
enter_level(const struct jobgate *jobgate)
{
    int result = program_enter_level();

    if (result == 0)
        return;
    if (result == -ELOOP)
        message("run %s: %u jobgates are around this one already; does it run itself?",
                jobgate->options.command[0], PROGRAM_LEVEL_MAX);
    else
        message_errno(result, "run %s", jobgate->options.command[0]);
    exit(EXIT_OURS);
}

/* --- the jobserver --- */

static void
find_jobserver(struct jobgate *jobgate)
{
    char *error;
    int result = environment_find(jobgate->options.server, &jobgate->jobserver, &error);

    if (result >= 0) {
        if (error)
            message("%s; using %s", error, client_name(jobgate->jobserver.client));
        free(error);
        return;
    }
    const char *reason = error ? error : strerror(-result);
    if (!error && result != -ENOMEM && jobgate->jobserver.is_from_environment)
        reason = ENVIRONMENT_WITHHELD;
    message("%s; nothing is run", reason);
    exit(EXIT_OURS);
}

/* Who counts tokens elsewhere may know a server that counts memory; whether there is one, is not our business. */
static void
find_server(struct jobgate *jobgate)
{
    struct jobserver *jobserver = &jobgate->jobserver;
    char *error;

    environment_find(jobgate->options.server, jobserver, &error);
    free(error);
    if (!jobserver->client || client_kind(jobserver->client) == CLIENT_SERVER)
        return;
    client_close(jobserver->client);
    jobserver->client = NULL;
}

/* --- the gate --- */

static int
start_gate(const struct jobgate *jobgate, const struct gate_plan *plan, char **why_not)
{
    const struct gate_kind *kind = jobgate->options.gate;

    return gate_start(plan, &kind, why_not);
}

static void
put_up_gate(const struct jobgate *jobgate)
{
    const struct jobgate_options *options = &jobgate->options;
    const struct jobserver *jobserver = &jobgate->jobserver;
    const struct gate_plan plan = {
        .client = jobserver->client,
        .rules = {.is_implicit_paid = implicit_is_paid(jobserver->client, options->implicit,
                                                       jobserver->is_from_environment)},
        .may_be_paid_later = implicit_may_come(jobserver->client, options->implicit),
        .is_server_named = options->server != NULL,
        .names = options->names,
        .memory = options->memory,
        .class_rules = jobgate->class_rules,
    };
    char *why_not;

    if (start_gate(jobgate, &plan, &why_not) == 0)
        return;
    message("cannot hold jobs back (%s); nothing is run", why_not ? why_not : strerror(ENOMEM));
    exit(EXIT_OURS);
}

/* Where descriptors are few the build needs them itself. Without a gate it goes on all the same. */
static void
put_up_gate_without_tokens(const struct jobgate *jobgate)
{
    const struct jobgate_options *options = &jobgate->options;
    const struct gate_plan plan = {
        .client = jobgate->jobserver.client,
        .rules = {.needs_no_tokens = true},
        .is_server_named = options->server != NULL,
        .names = options->names,
        .has_single_jobs = true,
        .memory = options->memory,
        .class_rules = jobgate->class_rules,
    };
    const bool has_classes = gate_classes_are_there(&plan);
    char *why_not = NULL;

    if (options->memory == MEMORY_MODE_OFF && !has_classes)
        return;
    if (limits_descriptors() < DESCRIPTORS_LEAST)
        why_not = strdup(strerror(EMFILE));
    else if (start_gate(jobgate, &plan, &why_not) == 0)
        return;
    if (options->memory == MEMORY_MODE_ON || has_classes)
        message("cannot hold jobs back (%s); they do not wait for %s",
                why_not ? why_not : strerror(ENOMEM), has_classes ? "classes" : "memory");
    free(why_not);
}

int
main(int argc, char **argv)
{
    struct jobgate jobgate = {0};

    descriptors_guard_standard();
    jobgate_options_parse(&jobgate.options, argc, argv);
    enter_level(&jobgate);
    /* A script that is asked for the version of what it wraps has run us. */
    if (program_is_asked())
        become_command(&jobgate);
    jobgate.class_rules = jobgate.options.class_rules
                              ? class_rules_read(jobgate.options.class_rules)
                              : class_rules_inherit(true);
    if (jobgate.options.needs_no_tokens) {
        find_server(&jobgate);
        put_up_gate_without_tokens(&jobgate);
        become_command(&jobgate);
    }
    find_jobserver(&jobgate);
    if (jobgate.jobserver.client)
        put_up_gate(&jobgate);
    else
        message("there is no jobserver; jobs do not wait");
    become_command(&jobgate);
}
