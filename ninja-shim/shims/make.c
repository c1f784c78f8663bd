/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * make, gmake: what stands before the real one on PATH, for the sake of a make older than 4.4, to
 * which a `fifo:` in MAKEFLAGS is a fatal error. It opens that jobserver, names it by two descriptors
 * instead, and becomes the real one. Whatever else there is, it becomes at once. See ninja-shim(1).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libjobserver/auth.h"
#include "libjobserver/client.h"
#include "libjobserver/program/message.h"
#include "libjobserver/program/program.h"
#include "libjobserver/program/usage.h"

/* The state of the program. */
struct shim {
    char *real;       /* the path of what it becomes */
    struct auth auth; /* as MAKEFLAGS names the jobserver */
    unsigned jobs;    /* of the -jN beside it; 0: there is none */
};

static _Noreturn void
give_up(int error)
{
    message("start: %s", strerror(-error));
    exit(EXIT_OURS);
}

static void
set(const char *name, const char *value)
{
    if (setenv(name, value, 1) < 0)
        give_up(-errno);
}

static void
set_flags(const char *name, const char *old, const struct auth *auth, unsigned jobs)
{
    char *flags = auth_replace(old, auth, jobs);

    if (!flags)
        give_up(-ENOMEM);
    set(name, flags);
    free(flags);
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
    if (program_ask_version(shim->real, "make", answer, sizeof(answer)) == 0 &&
        strncmp(answer, "GNU Make", strlen("GNU Make")) == 0)
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

/* --- the two descriptors --- */

/* A description of its own, which blocks; above stdin, stdout and stderr, which may be closed: what is
 * written there is no token. Returns the descriptor or a negative errno. */
static int
open_end(const char *path, enum client_kind *kind, char **error)
{
    struct client *client;
    int fd = client_open_path(path, &client, error);

    if (fd < 0)
        return fd;
    *kind = client_kind(client);
    fd = fcntl(client_fd(client), F_DUPFD, STDERR_FILENO + 1);
    if (fd < 0 || fcntl(fd, F_SETFL, 0) < 0)
        fd = -errno;
    client_close(client);
    return fd;
}

/* Of a FIFO two descriptions, so that nobody's O_NONBLOCK at one end changes the other. Of a server's
 * file one: who returns a token through the description that it came from is known. */
static int
open_ends(const char *path, struct auth *ends, char **error)
{
    enum client_kind kind;
    int fd = open_end(path, &kind, error);

    if (fd < 0)
        return fd;
    ends->read_fd = fd;
    if (kind == CLIENT_FIFO)
        fd = open_end(path, &kind, error);
    else if ((fd = fcntl(ends->read_fd, F_DUPFD, STDERR_FILENO + 1)) < 0)
        fd = -errno;
    if (fd < 0) {
        close(ends->read_fd);
        return fd;
    }
    ends->write_fd = fd;
    return 0;
}

/* --- the environment --- */

static bool
names_jobserver(const char *flags)
{
    struct auth auth;
    char *error;

    if (auth_parse(flags, &auth, &error) < 0) {
        free(error);
        return false;
    }
    bool named = auth.kind == AUTH_FIFO || auth.kind == AUTH_PIPE;
    auth_clear(&auth);
    return named;
}

/* The make below shows its recipes the descriptors, and closes them where there is no '+'. Those who
 * know better find the path: our own tools in JOBWRAP_FIFO, cargo in a variable that it reads before
 * MAKEFLAGS. */
static void
publish_path(const struct shim *shim)
{
    const char *known = getenv("JOBWRAP_FIFO"), *path = shim->auth.path;
    char *absolute = path[0] == '/' ? strdup(path) : realpath(path, NULL);
    char number[sizeof("4294967295")];

    if (!absolute)
        give_up(-errno);
    if (!known || strcmp(known, absolute) != 0) {
        /* A jobwrap's number is about another FIFO than this one. */
        snprintf(number, sizeof(number), "%u", shim->jobs);
        set("JOBWRAP_FIFO", absolute);
        if (shim->jobs > 0)
            set("JOBWRAP_JOBS", number);
        else
            unsetenv("JOBWRAP_JOBS");
    }
    free(absolute);
    if (!names_jobserver(getenv("CARGO_MAKEFLAGS")))
        set_flags("CARGO_MAKEFLAGS", NULL, &shim->auth, shim->jobs);
}

/* As a newer make does: one line, and then one job at a time. */
static void
go_without(const char *operation, const char *why)
{
    const struct auth none = {.kind = AUTH_NONE, .read_fd = -1, .write_fd = -1};

    message("%s%s; using -j1", operation, why);
    set_flags("MAKEFLAGS", getenv("MAKEFLAGS"), &none, 1);
}

static void
name_descriptors(const struct shim *shim)
{
    struct auth ends = {.kind = AUTH_PIPE, .read_fd = -1, .write_fd = -1};
    char *error = NULL;
    int result = open_ends(shim->auth.path, &ends, &error);

    if (result < 0) {
        go_without(error ? "" : "open the jobserver: ", error ? error : strerror(-result));
        free(error);
        return;
    }
    set_flags("MAKEFLAGS", getenv("MAKEFLAGS"), &ends, shim->jobs);
    publish_path(shim);
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
    if (program_shim_hops() == 0 && !only_informs(argc, argv) && names_fifo(&shim))
        name_jobserver(&shim);
    become_real(&shim, argv);
}
