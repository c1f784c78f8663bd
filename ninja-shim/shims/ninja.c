/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ninja, ninja-build, samu: what stands before the real one on PATH. It puts a gate around itself and
 * becomes the real one, each of whose jobs then waits at the gate for a token. See ninja-shim(1).
 *
 * A gated start is told in three files. main() below finds the real ninja, reads the options, opens the
 * jobserver and decides whether jobs must wait. gate_start() in gate/start.c forks the sidecar, and asks
 * it for one kind of gate after the other. sidecar_run() in gate/sidecar.c opens what it is asked for,
 * and serves it. When one stands, the shim executes the real ninja: become_real_with_jobs() below.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "libjobserver/auth.h"
#include "libjobserver/classes/rules_file.h"
#include "libjobserver/client.h"
#include "libjobserver/environment.h"
#include "libjobserver/implicit.h"
#include "libjobserver/memory/mode.h"
#include "libjobserver/program/descriptors.h"
#include "libjobserver/program/message.h"
#include "libjobserver/program/program.h"
#include "libjobserver/program/usage.h"
#include "ninja-shim/gate/classes.h"
#include "ninja-shim/gate/start.h"
#include "ninja-shim/shims/ninja_gate.h"
#include "ninja-shim/shims/ninja_jobs.h"
#include "ninja-shim/shims/ninja_options.h"
#include "ninja-shim/shims/ninja_version.h"

#define REAL_VARIABLE "NINJA_SHIM_REAL"

/* The state of the program. */
struct shim {
    int argc;
    char **argv;
    char *real; /* the path of what it becomes */
    bool is_samurai;
    struct ninja_options options; /* of its command line */
    const struct gate_kind *gate; /* NULL: the first that is allowed here */
    bool is_gate_off;             /* jobs do not wait */
    enum implicit_policy implicit;
    enum memory_mode memory;
    struct jobserver jobserver;
    bool is_implicit_paid;
    struct class_rules *class_rules;
    char jobs_word[sizeof("-j4294967295")];
};

/* With one more -j, which wins. */
static _Noreturn void
become_real_with_jobs(struct shim *shim, unsigned jobs)
{
    snprintf(shim->jobs_word, sizeof(shim->jobs_word), "-j%u", jobs);
    char **argv =
        ninja_options_insert_jobs(&shim->options, shim->argc, shim->argv, shim->jobs_word);
    if (!argv) {
        message("start: %s", strerror(ENOMEM));
        exit(EXIT_OURS);
    }
    program_become_real(shim->real, argv);
}

/* --- what there is --- */

/* Or something that is called ninja and is samurai, as Gentoo has it: it reads its command line in a way
 * of its own. */
static bool
is_samurai(const struct shim *shim, const char *name)
{
    char *path = realpath(shim->real, NULL);
    const char *slash = path ? strrchr(path, '/') : NULL;
    bool found = strcmp(slash ? slash + 1 : name, "samu") == 0;

    free(path);
    return found;
}

static void
find_real(struct shim *shim, const char *name)
{
    /* CMake asks for a ninja-build, which Fedora has, before it asks for a ninja. */
    if (strcmp(name, "ninja-build") == 0) {
        char *error;
        int result = program_find_real(name, REAL_VARIABLE, &shim->real, &error);

        if (result == 0)
            return;
        free(error);
        if (result == -ENOENT) {
            /* Which may be a shim, and goes by this. */
            shim->argv[0][strlen(shim->argv[0]) - strlen("-build")] = '\0';
            name = "ninja";
        }
    }
    shim->real = program_need_real(name, REAL_VARIABLE);
}

static void
read_options(struct shim *shim, const char *name)
{
    const char *flags = getenv("SAMUFLAGS");

    shim->is_samurai = is_samurai(shim, name);
    if (!shim->is_samurai)
        flags = NULL;
    else if (!flags)
        flags = "";
    if (ninja_options_read(&shim->options, shim->argc, shim->argv, flags) == 0)
        return;
    message("start: %s", strerror(ENOMEM));
    exit(EXIT_OURS);
}

/* A jobserver that is named and not for us leaves the one slot that every client has, as in make. */
static void
open_jobserver(struct shim *shim)
{
    char *error = NULL;
    int result = environment_find_inherited(&shim->jobserver, &error);

    if (result < 0 && !shim->options.has_jobs) {
        const char *why = result == -ENOMEM ? strerror(ENOMEM) : ENVIRONMENT_WITHHELD;
        message("%s; using -j1", error ? error : why);
        become_real_with_jobs(shim, 1);
    }
    free(error);
}

/* --- what to do about it --- */

/* Where each job that waits is shown as a failure when another fails, they are many only if there may
 * be tokens for them one day. */
static unsigned
decide_jobs(const struct shim *shim, const struct ninja_jobs *jobs)
{
    bool is_quiet = shim->gate->hides_ended && !shim->is_samurai;
    bool may_grow = client_kind(shim->jobserver.client) != CLIENT_FIFO;

    return is_quiet || may_grow ? ninja_jobs_wide(jobs) : ninja_jobs_narrow(jobs);
}

/* Does the real one wait for tokens by itself, at a server of this kind? A -j would make it leave
 * the jobserver. */
static bool
is_proper_client(const struct shim *shim)
{
    char version[64];
    struct stat status;

    if (shim->options.has_jobs || shim->jobserver.auth.kind != AUTH_FIFO ||
        fstat(client_fd(shim->jobserver.client), &status) < 0 ||
        (!S_ISFIFO(status.st_mode) && !S_ISCHR(status.st_mode)))
        return false;
    return program_ask_version(shim->real, "ninja", version, sizeof(version)) == 0 &&
           ninja_version_is_proper_client(version);
}

/* The real one knows nothing of them. */
static bool
has_classes(const struct shim *shim)
{
    const struct gate_plan plan = {.client = shim->jobserver.client,
                                   .class_rules = shim->class_rules};

    return gate_classes_are_there(&plan);
}

/* Until this process ends, as ninja: a server gives a token of the dead to somebody else. At a server
 * without accounts nobody would. */
static void
acquire_for_life(const struct shim *shim)
{
    char token;

    if (shim->is_implicit_paid || client_kind(shim->jobserver.client) != CLIENT_SERVER)
        return;
    int result = implicit_acquire(shim->jobserver.client, shim->implicit, &token);
    if (result >= 0)
        return;
    message("acquire from %s: %s", client_name(shim->jobserver.client), strerror(-result));
    exit(EXIT_OURS);
}

static _Noreturn void
become_gated(struct shim *shim)
{
    static const char *const names[] = {"ninja", "ninja-build", "samu", NULL};
    const struct ninja_options *options = &shim->options;
    struct ninja_jobs jobs;
    const struct gate_ending ending = {
        .interrupted = "interrupted by user",
        .failed = options->failures_allowed == 1 ? "subcommand failed" : "subcommands failed",
        .statuses = {{2, 1}, {130, GATE_STATUS_OF_JOB}}, /* up to 1.12, and from 1.13 on */
        .removed = ".ninja_lock",
    };
    struct gate_plan plan = {
        .client = shim->jobserver.client,
        .rules = {.is_implicit_paid = shim->is_implicit_paid,
                  .failures_allowed = options->failures_allowed ? options->failures_allowed : ~0u,
                  .load_max = options->load_max},
        .may_be_paid_later = implicit_may_come(shim->jobserver.client, shim->implicit),
        .jobs = options->jobs,
        .names = names,
        .is_root_lazy = true,
        .has_single_jobs = true,
        .ending = shim->is_samurai ? NULL : &ending,
        .memory = shim->memory,
        .is_ended_by_signals = true,
        .class_rules = shim->class_rules,
    };
    char *why_not;

    if (!options->has_jobs) {
        ninja_gate_measure(&plan, &jobs);
        plan.jobs = ninja_jobs_wide(&jobs);
    }
    if (gate_start(&plan, &shim->gate, &why_not) < 0) {
        message("cannot hold jobs back (%s); using -j1", why_not ? why_not : strerror(ENOMEM));
        acquire_for_life(shim);
        become_real_with_jobs(shim, 1);
    }
    if (options->has_jobs)
        program_become_real(shim->real, shim->argv);
    become_real_with_jobs(shim, decide_jobs(shim, &jobs));
}

int
main(int argc, char **argv)
{
    struct shim shim = {.argc = argc, .argv = argv};
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    const char *name = slash ? slash + 1 : argc > 0 ? argv[0] : "ninja";

    program_invocation_short_name = (char[]){"ninja-shim"};
    descriptors_guard_standard();
    find_real(&shim, name);
    if (program_shim_hops() > 0 || program_is_asked())
        program_become_real(shim.real, argv);
    ninja_gate_read_environment(&shim.gate, &shim.is_gate_off, &shim.implicit);
    memory_mode_read_environment(&shim.memory);
    read_options(&shim, name);
    if (!shim.options.is_build || shim.is_gate_off)
        program_become_real(shim.real, argv);
    /* A gate around it knows nothing of its jobs. */
    environment_set_class_gate(false);
    open_jobserver(&shim);
    if (!shim.jobserver.client)
        program_become_real(shim.real, argv);
    shim.is_implicit_paid = implicit_is_paid(shim.jobserver.client, shim.implicit, true);
    if (shim.is_implicit_paid && shim.options.has_jobs && shim.options.jobs == 1)
        program_become_real(shim.real, argv);
    shim.class_rules = class_rules_inherit(true);
    if (is_proper_client(&shim) && !has_classes(&shim)) {
        acquire_for_life(&shim);
        program_become_real(shim.real, argv);
    }
    become_gated(&shim);
}
