/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jobwrap: runs a command with a private jobserver whose tokens are borrowed from the one around it.
 * See jobwrap(1); keeper.h says who stands between us and the command, and why.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "jobwrap/history.h"
#include "jobwrap/jobwrap.h"
#include "jobwrap/make_version.h"
#include "jobwrap/shims.h"
#include "libjobserver/environment.h"
#include "libjobserver/memory/mode.h"
#include "libjobserver/program/cpus.h"
#include "libjobserver/program/descriptors.h"
#include "libjobserver/program/message.h"
#include "libjobserver/program/program.h"
#include "libjobserver/program/usage.h"

#define LEDGER_ROOM 1024u /* where nobody says how many tokens the parent has */

static unsigned
decide_jobs(const struct jobwrap *jobwrap)
{
    if (jobwrap->options.jobs)
        return jobwrap->options.jobs;
    if (jobwrap->parent.jobserver.client)
        return parent_total(&jobwrap->parent, jobwrap->is_implicit_paid, cpus_count());
    return jobwrap->parent.is_withheld ? 1 : cpus_count();
}

static void
say_parent(const struct jobwrap *jobwrap)
{
    const struct client *client = jobwrap->parent.jobserver.client;

    if (!jobwrap->options.is_verbose)
        return;
    if (client)
        message("tokens come from %s, for at most %u jobs", client_name(client), jobwrap->jobs);
    else
        message("there is no server to borrow from: this is a pool of its own, for %u jobs",
                jobwrap->jobs);
}

/* The jobs of make and cargo, which take tokens for them themselves, are seen at gates alone. */
static const char *
decide_memory(const struct options *options)
{
    const char *mode = options->memory ? options->memory : getenv(MEMORY_MODE_VARIABLE);
    const bool is_off = mode && strcmp(mode, "off") == 0;

    return options_shows_jobs(options) && !is_off ? "on" : options->memory;
}

/* Will the command have tokens of the class that launchers of compile farms need? */
static bool
has_farm(const struct jobwrap *jobwrap)
{
    static const char name[] = "remote";
    const struct class_specs *own = &jobwrap->options.classes;
    const char *prefix = jobwrap->launch.classes;
    struct client *client = NULL;
    char *error = NULL;

    for (unsigned i = 0; i < own->count; i++)
        if (strcmp(own->specs[i].name, name) == 0)
            return true;
    int result = prefix ? client_open_class(prefix, name, &client, &error) : -ENOENT;
    free(error);
    client_close(client);
    return result == 0;
}

static void
plan_launch(struct jobwrap *jobwrap)
{
    struct client *client = jobwrap->parent.jobserver.client;
    const struct options *options = &jobwrap->options;
    const struct parent *parent = &jobwrap->parent;
    bool inherited = parent->jobserver.client && parent->jobserver.auth.kind == AUTH_PIPE;

    jobwrap->launch = (struct launch){
        .command = options->command,
        .signals = &jobwrap->signals,
        .uses_descriptors = options->style == STYLE_PIPE ||
                            (options->style == STYLE_AUTO && make_version_wants_pipe()),
        .jobs = jobwrap->jobs,
        .memory = decide_memory(options),
        .class_rules = options->class_rules,
        .has_own_classes = options->classes.count > 0,
        .classes = client ? environment_classes_around(client, false) : NULL,
        .inherited_fds = {inherited ? parent->jobserver.auth.read_fd : -1,
                          inherited ? parent->jobserver.auth.write_fd : -1},
    };
    jobwrap->launch.shims = options->wants_shims ? shims_find(has_farm(jobwrap)) : NULL;
}

static void
leave_classes_to_parent(struct jobwrap *jobwrap)
{
    struct class_specs *classes = &jobwrap->options.classes;
    const struct client *client = jobwrap->parent.jobserver.client;

    if (!client || classes->count == 0)
        return;
    message("--class '%s=%u': only a jobwrap without a parent has classes; those of %s count",
            classes->specs[0].name, classes->specs[0].jobs, client_name(client));
    classes->count = 0;
}

/* All that the keeper shares. Nothing is made and no token taken yet. */
static void
plan(struct jobwrap *jobwrap)
{
    const struct options *options = &jobwrap->options;
    struct client *client = jobwrap->parent.jobserver.client;
    unsigned room = jobwrap->jobs > LEDGER_ROOM || options->jobs ? jobwrap->jobs : LEDGER_ROOM;
    int result = private_fifo_plan(&jobwrap->fifo);

    if (result == 0 && client)
        result = ledger_open(&jobwrap->ledger, client, room);
    if (result == 0)
        result = signals_take(&jobwrap->signals);
    if (result == 0)
        return;
    message("start: %s", strerror(-result));
    exit(EXIT_OURS);
}

/* At steved, what is borrowed belongs to us and the keeper. We found the group, before there is a
 * keeper: the first member is who is shown as the holder. */
static void
found_group(const struct jobwrap *jobwrap)
{
    struct client *client = jobwrap->parent.jobserver.client;

    int result = client ? client_join_group(client) : 0;
    if (result == 0)
        return;
    message("join a group at %s: %s", client_name(client), strerror(-result));
    exit(EXIT_OURS);
}

static void
start_keeper(struct jobwrap *jobwrap)
{
    int result;

    /* What a killed keeper leaves behind becomes ours. */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    jobwrap->keeper = (struct keeper){
        .ledger = jobwrap->parent.jobserver.client ? &jobwrap->ledger : NULL,
        .fifo = &jobwrap->fifo,
        .launch = &jobwrap->launch,
    };
    result = keeper_start(&jobwrap->keeper);
    if (result == 0) {
        jobwrap->is_keeper_alive = true;
        return;
    }
    message("start the keeper: %s", strerror(-result));
    exit(EXIT_OURS);
}

/* A script that is asked for the version of what it wraps has run us; or we are in a script that runs
 * itself. */
static void
guard_against_circles(const struct options *options)
{
    char **command = options->command;
    int result = program_enter_level();

    if (result == -ELOOP)
        message("run %s: %u jobwraps are around this one already; does it run itself?", command[0],
                PROGRAM_LEVEL_MAX);
    else if (result < 0)
        message_errno(result, "run %s", command[0]);
    if (result < 0)
        exit(EXIT_OURS);
    if (!program_is_asked())
        return;
    execvp(command[0], command);
    result = -errno;
    message("run %s: %s", command[0], strerror(-result));
    exit(usage_exec_status(result));
}

int
main(int argc, char **argv)
{
    struct jobwrap jobwrap = {
        .command.pidfd = -1, .relay = {.watch.fd = -1}, .control = {.fd = -1, .spare_fd = -1}};

    descriptors_guard_standard();
    options_parse(&jobwrap.options, argc, argv);
    if (jobwrap.options.wants_history)
        history_run(jobwrap.options.command);
    guard_against_circles(&jobwrap.options);
    report_start(&jobwrap.report);
    if (parent_find(&jobwrap.parent, &jobwrap.options) < 0) {
        parent_close(&jobwrap.parent);
        return EXIT_OURS;
    }
    if (jobwrap.parent.jobserver.client)
        jobwrap.is_implicit_paid =
            implicit_is_paid(jobwrap.parent.jobserver.client, jobwrap.options.implicit,
                             jobwrap.parent.jobserver.is_from_environment);
    leave_classes_to_parent(&jobwrap);
    jobwrap.jobs = decide_jobs(&jobwrap);
    say_parent(&jobwrap);
    plan_launch(&jobwrap);
    plan(&jobwrap);
    found_group(&jobwrap);
    parent_set_weight(&jobwrap.parent, jobwrap.options.weight);
    start_keeper(&jobwrap);
    message_never_wait();
    /* For us alone: the command is started by the keeper. */
    descriptors_raise_limit();
    if (jobwrap_begin(&jobwrap))
        jobwrap_run(&jobwrap);
    jobwrap_finish(&jobwrap);
    return jobwrap_exit(&jobwrap);
}
