/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * make, gmake, remake: what stands before the real one on PATH. To a make older than 4.4 a `fifo:` in
 * MAKEFLAGS is a fatal error: the shim opens that jobserver, and names it by two descriptors instead. It
 * does so as well where MAKEFLAGS names descriptors that are closed here, and JOBWRAP_FIFO a path. With
 * a -jN on its command line a make leaves the jobserver: the shim becomes `jobwrap -jN make` without it.
 * Then, or where there is nothing to mend, it becomes the real one. See ninja-shim(1).
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "libjobserver/auth.h"
#include "libjobserver/environment.h"
#include "libjobserver/program/message.h"
#include "libjobserver/program/program.h"
#include "libjobserver/program/usage.h"
#include "ninja-shim/shims/ours.h"

#define REAL_VARIABLE (strcmp(SHIM_NAME, "remake") == 0 ? "REMAKE_SHIM_REAL" : "MAKE_SHIM_REAL")

/* The state of the program. */
struct shim {
    char *real;       /* the path of what it becomes */
    struct auth auth; /* as MAKEFLAGS names the jobserver, */
    bool is_withheld; /* or JOBWRAP_FIFO, where MAKEFLAGS names descriptors that are not for us */
    unsigned jobs;    /* of the -jN beside it; 0: there is none */
};

static void
check(int result)
{
    if (result == 0)
        return;
    message_errno(result, "start");
    exit(EXIT_OURS);
}

/* --- what there is --- */

/* Who looks for a gmake before a make finds the shim, even where no gmake is installed. A GNU make
 * does not mind the name. */
static bool
find_make_for_gmake(struct shim *shim)
{
    char answer[64], *error;

    if (program_find_real("make", REAL_VARIABLE, &shim->real, &error) < 0) {
        free(error);
        return false;
    }
    /* Who is asked asks nobody. */
    if (program_is_asked() ||
        (program_ask_version(shim->real, "make", answer, sizeof(answer)) == 0 &&
         strncmp(answer, "GNU Make", strlen("GNU Make")) == 0))
        return true;
    free(shim->real);
    return false;
}

static void
find_real(struct shim *shim)
{
    char *error;
    int result = program_find_real(SHIM_NAME, REAL_VARIABLE, &shim->real, &error);

    if (result == 0)
        return;
    if (result == -ENOENT && strcmp(SHIM_NAME, "gmake") == 0 && find_make_for_gmake(shim)) {
        free(error);
        return;
    }
    message("%s", error ? error : strerror(-result));
    exit(usage_exec_status(result));
}

/* What configure scripts ask for; a make says it before it looks at its jobserver. */
static bool
only_informs(int argc, char **argv)
{
    static const char *const options[] = {"--version", "-v", "--help", "-h"};

    for (size_t i = 0; argc == 2 && i < sizeof(options) / sizeof(*options); i++)
        if (strcmp(argv[1], options[i]) == 0)
            return true;
    return false;
}

/* MAKEFLAGS names descriptors that make has not given to us, or somebody has closed; the FIFO of the
 * jobwrap around is there all the same. */
static void
take_wrapper_fifo(struct shim *shim)
{
    struct jobserver jobserver;
    char *error;

    if (environment_find_inherited(&jobserver, &error) == 1 && jobserver.auth.kind == AUTH_NONE) {
        auth_clear(&shim->auth);
        shim->auth.kind = AUTH_FIFO;
        shim->auth.path = strdup(getenv("JOBWRAP_FIFO"));
        shim->is_withheld = true;
        check(shim->auth.path ? 0 : -ENOMEM);
    }
    free(error);
    environment_close(&jobserver);
}

/* What makes no sense is for make to complain about. */
static bool
is_told_of_jobserver(struct shim *shim)
{
    const char *flags = getenv("MAKEFLAGS");
    char *error;

    if (auth_parse(flags, &shim->auth, &error) < 0) {
        free(error);
        return false;
    }
    shim->jobs = auth_jobs(flags);
    if (shim->auth.kind == AUTH_PIPE || shim->auth.kind == AUTH_CLOSED)
        take_wrapper_fifo(shim);
    return shim->auth.kind == AUTH_FIFO || shim->auth.kind == AUTH_PIPE;
}

/* --- an explicit -jN, with which make would leave the jobserver --- */

static bool
can_open_jobserver(void)
{
    struct jobserver jobserver;
    char *error;
    bool can = environment_find_inherited(&jobserver, &error) == 1;

    free(error);
    environment_close(&jobserver);
    return can;
}

/* Without a jobwrap make has its way. */
static void
become_capped(unsigned jobs, const struct auth *auth, char **argv)
{
    int result = ours_become_capped(jobs, auth->kind == AUTH_FIFO ? "fifo" : "pipe", argv);

    if (result == -ENOENT)
        return;
    message("run jobwrap: %s", strerror(-result));
    exit(EXIT_OURS);
}

/* Returns the command line that is left. -j1 serialises a makefile that is broken, in the slot that is
 * paid for. */
static char **
cap(const struct shim *shim, char **argv)
{
    struct auth_command command;

    check(auth_read_command(argv, &command));
    if (!command.has_jobs || command.jobs == 1 || !command.builds || !command.makes_sense ||
        command.names_jobserver || !ours_caps("MAKE_SHIM_CAP") || !can_open_jobserver())
        return argv;
    char **rest = auth_drop_jobs(argv);
    check(rest ? 0 : -ENOMEM);
    if (command.jobs == 0)
        return rest;
    become_capped(command.jobs, &shim->auth, rest);
    free(rest);
    return argv;
}

/* --- the environment --- */

/* As a newer make does: one line, and then one job at a time. */
static void
go_without(const char *operation, const char *why)
{
    const struct auth none = {.kind = AUTH_NONE, .read_fd = -1, .write_fd = -1};

    message("%s%s; using -j1", operation, why);
    check(environment_set_flags("MAKEFLAGS", getenv("MAKEFLAGS"), &none, 1));
}

static void
name_descriptors(const struct shim *shim)
{
    struct auth ends = {.kind = AUTH_PIPE, .read_fd = -1, .write_fd = -1};
    char *error = NULL;
    int result = environment_open_ends(shim->auth.path, &ends, &error);

    if (result < 0) {
        go_without(error ? "" : "open the jobserver: ", error ? error : strerror(-result));
        free(error);
        return;
    }
    check(environment_set_flags("MAKEFLAGS", getenv("MAKEFLAGS"), &ends, shim->jobs));
    /* The make below closes them where there is no '+'. */
    check(environment_publish_path(&shim->auth, shim->jobs));
}

/* One that cannot be asked may be old. Any make takes descriptors. */
static void
name_jobserver(const struct shim *shim)
{
    char answer[256];

    if (shim->is_withheld) {
        name_descriptors(shim);
        return;
    }
    int result = program_ask_version(shim->real, "make", answer, sizeof(answer));

    if (result < 0)
        go_without("ask make for its version: ", strerror(-result));
    else if (make_version_is_old(answer))
        name_descriptors(shim);
}

static _Noreturn void
become_real(const struct shim *shim, char **argv)
{
    int result = program_exec_real(shim->real, argv);

    message("run %s: %s", shim->real, strerror(-result));
    exit(usage_exec_status(result));
}

int
main(int argc, char **argv)
{
    struct shim shim = {.auth = {.kind = AUTH_NONE}};

    program_invocation_short_name = (char[]){"make-shim"};
    find_real(&shim);
    if (program_shim_hops() == 0 && !program_is_asked() && !only_informs(argc, argv) &&
        is_told_of_jobserver(&shim)) {
        argv = cap(&shim, argv);
        if (shim.auth.kind == AUTH_FIFO)
            name_jobserver(&shim);
    }
    become_real(&shim, argv);
}
