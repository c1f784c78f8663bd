/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * make, gmake: what stands before the real one on PATH, for the sake of a make older than 4.4, to
 * which a `fifo:` in MAKEFLAGS is a fatal error. It opens that jobserver, names it by two descriptors
 * instead, and becomes the real one. Whatever else there is, it becomes at once. See ninja-shim(1).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libjobserver/auth.h"
#include "libjobserver/environment.h"
#include "libjobserver/program/message.h"
#include "libjobserver/program/program.h"
#include "libjobserver/program/usage.h"

/* The state of the program. */
struct shim {
    char *real;       /* the path of what it becomes */
    struct auth auth; /* as MAKEFLAGS names the jobserver */
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

    if (program_find_real("make", "MAKE_SHIM_REAL", &shim->real, &error) < 0) {
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
    int result = program_find_real(SHIM_NAME, "MAKE_SHIM_REAL", &shim->real, &error);

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

/* What makes no sense is for make to complain about. */
static bool
names_fifo(struct shim *shim)
{
    const char *flags = getenv("MAKEFLAGS");
    char *error;

    if (auth_parse(flags, &shim->auth, &error) < 0) {
        free(error);
        return false;
    }
    shim->jobs = auth_jobs(flags);
    return shim->auth.kind == AUTH_FIFO;
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

/* One that cannot be asked may be old. */
static void
name_jobserver(const struct shim *shim)
{
    char answer[256];
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
        names_fifo(&shim))
        name_jobserver(&shim);
    become_real(&shim, argv);
}
