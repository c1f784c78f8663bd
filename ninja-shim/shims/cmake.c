/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cmake: what stands before the real one on PATH, for `cmake --build DIR`. The cache of a build
 * directory names ninja or make by an absolute path, so that where it was configured without us, no shim
 * is found. What it builds with ninja is put behind a gate, which traces no further than to ninja; a
 * make is kept from leaving the jobserver by a -jN. Then, and for all else, it becomes the real one. See
 * ninja-shim(1).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "libjobserver/classes/rules_file.h"
#include "libjobserver/environment.h"
#include "libjobserver/implicit.h"
#include "libjobserver/memory/mode.h"
#include "libjobserver/program/descriptors.h"
#include "libjobserver/program/message.h"
#include "libjobserver/program/program.h"
#include "libjobserver/program/usage.h"
#include "ninja-shim/gate/start.h"
#include "ninja-shim/shims/client_gate.h"
#include "ninja-shim/shims/cmake_build.h"
#include "ninja-shim/shims/make_jobserver.h"
#include "ninja-shim/shims/ninja_gate.h"
#include "ninja-shim/shims/ninja_options.h"
#include "ninja-shim/shims/ours.h"

#define LEVEL_VARIABLE "CMAKE_BUILD_PARALLEL_LEVEL"

/* The state of the program. */
struct shim {
    int argc;
    char **argv;
    char *real; /* the path of what it becomes */
    struct cmake_build build;
    char *tool; /* the path of ninja or make in the cache; NULL: none */
    char jobs_word[sizeof("-j4294967295")];
};

static _Noreturn void
fail(int result)
{
    message("start: %s", strerror(-result));
    exit(EXIT_OURS);
}

/* cmake looks for its modules beside what its argv[0] names, which would be us. */
static void
name_real(const struct shim *shim, char **argv)
{
    if (argv[0])
        argv[0] = shim->real;
}

static _Noreturn void
become_real(const struct shim *shim, char **argv)
{
    name_real(shim, argv);
    program_become_real(shim->real, argv);
}

/* Without any other -j. 0: without one. */
static char **
with_jobs(struct shim *shim, unsigned jobs)
{
    snprintf(shim->jobs_word, sizeof(shim->jobs_word), "-j%u", jobs);
    unsetenv(LEVEL_VARIABLE);
    char **argv = cmake_build_with_jobs(&shim->build, shim->argc, shim->argv,
                                        jobs > 0 ? shim->jobs_word : NULL);
    if (!argv)
        fail(-ENOMEM);
    return argv;
}

/* --- what there is --- */

static const char *
base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* A build directory that was configured below jobwrap names a shim, which does all by itself. */
static bool
is_shim(const char *tool)
{
    char *directory = program_directory(), *ours;
    struct stat ours_status, status;
    bool found = false;

    if (directory && asprintf(&ours, "%s/%s", directory, base_name(tool)) >= 0) {
        found = stat(tool, &status) == 0 && stat(ours, &ours_status) == 0 &&
                status.st_dev == ours_status.st_dev && status.st_ino == ours_status.st_ino;
        free(ours);
    }
    free(directory);
    return found;
}

/* --- make --- */

/* Its jobs wait for memory, if that may be short. */
static _Noreturn void
become_made(const struct shim *shim, char **argv)
{
    const struct cmake_build *build = &shim->build;
    unsigned jobs = !build->has_jobs  ? client_gate_jobs(NULL, 1)
                    : build->jobs > 0 ? build->jobs
                                      : CLIENT_GATE_JOBS_UNLIMITED;

    name_real(shim, argv);
    if (build->makes_sense)
        client_gate_become(jobs, shim->real, shim->tool, argv);
    become_real(shim, argv);
}

static _Noreturn void
become_making(struct shim *shim)
{
    const struct cmake_build *build = &shim->build;
    struct make_jobserver jobserver;
    char **argv = shim->argv;

    if (!make_jobserver_find(&jobserver))
        become_made(shim, argv);
    if (build->has_jobs && build->jobs != 1 && build->makes_sense && ours_caps("MAKE_SHIM_CAP") &&
        make_jobserver_can_open(&jobserver)) {
        argv = with_jobs(shim, 0);
        if (build->jobs > 0)
            make_jobserver_become_capped(&jobserver, build->jobs, argv);
        make_jobserver_rejoin(&jobserver);
    }
    make_jobserver_adapt(&jobserver, shim->tool);
    become_made(shim, argv);
}

/* --- ninja --- */

/* What stands behind the "--"; its -j is known already. */
static struct ninja_options
read_native(const struct shim *shim)
{
    struct ninja_options options = {.is_build = true, .failures_allowed = 1};
    int native = shim->build.native;

    if (native == shim->argc)
        return options;
    int result = ninja_options_read(&options, shim->argc - native, shim->argv + native, NULL);
    if (result < 0)
        fail(result);
    return options;
}

static _Noreturn void
become_gated(struct shim *shim, const struct jobserver *jobserver, const struct gate_kind *kind,
             bool is_paid)
{
    const struct cmake_build *build = &shim->build;
    struct ninja_options options = read_native(shim);
    const char *names[] = {"ninja", "ninja-build", "samu", base_name(shim->tool), NULL};
    struct gate_plan plan = {
        .client = jobserver->client,
        .rules = {.is_implicit_paid = is_paid,
                  .failures_allowed = options.failures_allowed ? options.failures_allowed : ~0u,
                  .load_max = options.load_max},
        .names = names,
        .has_single_jobs = true,
        .is_ended_by_signals = true,
        .class_rules = class_rules_inherit(true),
    };
    char *why_not;

    memory_mode_read_environment(&plan.memory);
    plan.jobs = build->has_jobs && build->jobs > 0 ? build->jobs : ninja_gate_jobs(&plan);
    unsigned jobs = plan.jobs;
    if (gate_start(&plan, &kind, &why_not) < 0) {
        message("cannot hold jobs back (%s); using -j1", why_not ? why_not : strerror(ENOMEM));
        jobs = 1;
    }
    become_real(shim, with_jobs(shim, jobs));
}

static _Noreturn void
become_building(struct shim *shim)
{
    enum implicit_policy implicit = IMPLICIT_AUTO;
    const struct gate_kind *kind = NULL;
    struct jobserver jobserver;
    bool is_off = false;
    char *error;

    ninja_gate_read_environment(&kind, &is_off, &implicit);
    if (is_off || !shim->build.makes_sense || !read_native(shim).is_build)
        become_real(shim, shim->argv);
    int result = environment_find_inherited(&jobserver, &error);
    if (result < 0 && !shim->build.has_jobs) {
        message("%s; using -j1", error ? error : ENVIRONMENT_WITHHELD);
        become_real(shim, with_jobs(shim, 1));
    }
    free(error);
    if (result <= 0)
        become_real(shim, shim->argv);
    bool is_paid = implicit_is_paid(jobserver.client, implicit, true);
    if (is_paid && shim->build.has_jobs && shim->build.jobs == 1)
        become_real(shim, shim->argv);
    become_gated(shim, &jobserver, kind, is_paid);
}

int
main(int argc, char **argv)
{
    struct shim shim = {.argc = argc, .argv = argv};

    program_invocation_short_name = (char[]){"cmake-shim"};
    descriptors_guard_standard();
    shim.real = program_need_real("cmake", "CMAKE_SHIM_REAL");
    int result = cmake_build_read(&shim.build, argc, argv, getenv(LEVEL_VARIABLE));
    if (result < 0)
        fail(result);
    if (program_shim_hops() > 0 || program_is_asked() || !shim.build.directory)
        become_real(&shim, argv);
    enum cmake_tool tool = cmake_build_tool(shim.build.directory, &shim.tool);
    if (!shim.tool || is_shim(shim.tool))
        become_real(&shim, argv);
    /* The gate below which it is knows nothing of its jobs. */
    environment_set_class_gate(false);
    if (tool == CMAKE_TOOL_NINJA)
        become_building(&shim);
    if (tool == CMAKE_TOOL_MAKE)
        become_making(&shim);
    become_real(&shim, argv);
}
