/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/environment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <unistd.h>

#define TOTAL_MAX 65536u /* what says more than that is mistaken */

/* --- finding --- */

void
environment_close(struct jobserver *found)
{
    client_close(found->client);
    found->client = NULL;
    auth_clear(&found->auth);
}

/* make 4.3 shows a recipe without '+' numbers that it has closed. The FIFO of a jobwrap around us is
 * still there, and our slot with it. */
static int
open_wrapper_fifo(struct jobserver *found)
{
    const char *path = getenv("JOBWRAP_FIFO");
    char *error = NULL;

    if (!path || !*path || found->auth.kind == AUTH_FIFO)
        return -ENOENT;
    int result = client_open_path(path, &found->client, &error);
    free(error);
    if (result == 0)
        auth_clear(&found->auth); /* the descriptors may be something else's */
    return result;
}

int
environment_find_inherited(struct jobserver *found, char **error)
{
    *found = (struct jobserver){.auth = {.kind = AUTH_NONE, .read_fd = -1, .write_fd = -1}};
    int result = auth_parse(getenv("MAKEFLAGS"), &found->auth, error);

    if (result == 0 && found->auth.kind == AUTH_NONE)
        return 0;
    found->is_from_environment = true;
    if (result == 0 && found->auth.kind == AUTH_CLOSED)
        result = -EBADF;
    else if (result == 0)
        result = client_open(&found->auth, &found->client, error);
    if (result < 0 && open_wrapper_fifo(found) == 0) {
        free(*error);
        *error = NULL;
        return 1;
    }
    return result < 0 ? result : 1;
}

static struct client *
open_server(const char *path)
{
    struct client *client = NULL;
    char *error = NULL;

    int result = client_open_path(path, &client, &error);
    free(error);
    if (result < 0)
        return NULL;
    if (client_kind(client) != CLIENT_FIFO)
        return client;
    client_close(client);
    return NULL;
}

/* The specification of XDG_RUNTIME_DIR: a relative path is to be ignored. */
char *
environment_user_mount(void)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    char *mount;

    if (!runtime || runtime[0] != '/' || asprintf(&mount, "%s/steve", runtime) < 0)
        return NULL;
    return mount;
}

struct client *
environment_find_server(void)
{
    char *mount = environment_user_mount(), *path;
    struct client *client = NULL;

    if (mount && asprintf(&path, "%s/jobserver", mount) >= 0) {
        client = open_server(path);
        free(path);
    }
    free(mount);
    return client ? client : open_server("/dev/steve");
}

struct client *
environment_find_next(const char *name, bool is_named)
{
    const size_t scheme = strlen("fifo:");
    struct client *client = NULL;

    if (strncmp(name, "fifo:", scheme) == 0)
        client = open_server(name + scheme);
    if (!client && !is_named)
        client = environment_find_server();
    if (!client || (client_kind(client) == CLIENT_SERVER && !client_is_jobwrap(client)))
        return client;
    client_close(client);
    return NULL;
}

static int
find_named(const char *named, struct jobserver *found, char **error)
{
    *error = NULL;
    *found = (struct jobserver){.auth = {.kind = AUTH_NONE, .read_fd = -1, .write_fd = -1}};
    int result = auth_parse_named(named, &found->auth);

    if (result == 0)
        result = client_open(&found->auth, &found->client, error);
    return result < 0 ? result : 1;
}

/* Not: withheld, nobody's but another user's, or nonsense. */
static bool
is_gone(int result, const struct jobserver *found)
{
    static const int reasons[] = {ENOENT, ENOTDIR, ENXIO, ENODEV, ENOTCONN, ECONNABORTED};

    if (found->auth.kind == AUTH_PIPE)
        return result == -EBADF;
    for (size_t i = 0; i < sizeof(reasons) / sizeof(*reasons); i++)
        if (found->auth.kind == AUTH_FIFO && result == -reasons[i])
            return true;
    return false;
}

int
environment_find(const char *named, struct jobserver *found, char **error)
{
    if (named)
        return find_named(named, found, error);
    int result = environment_find_inherited(found, error);
    if (result != 0 && !is_gone(result, found))
        return result;
    struct client *server = environment_find_server();
    if (!server)
        return result;
    environment_close(found);
    *found = (struct jobserver){.client = server, .auth = found->auth};
    return 1;
}

unsigned
environment_wrapper_jobs(const char *wrapper_jobs)
{
    unsigned total;

    return wrapper_jobs && sscanf(wrapper_jobs, "%u", &total) == 1 && total <= TOTAL_MAX ? total
                                                                                         : 0;
}

/* A make around us that has a jobserver of its own says so in MAKEFLAGS, and leaves JOBWRAP_JOBS as it
 * is. */
unsigned
environment_total_jobs(struct client *client, const char *makeflags, const char *wrapper_jobs)
{
    struct steved_status status;
    unsigned known = client_get_status(client, &status) == 0 ? status.jobs : 0;

    if (known > 0 && !client_is_jobwrap(client))
        return known;
    unsigned total = auth_jobs(makeflags);
    if (total == 0 || total > TOTAL_MAX)
        total = environment_wrapper_jobs(wrapper_jobs);
    return total > known ? total : known;
}

static int
set(const char *variable, const char *value)
{
    return setenv(variable, value, 1) < 0 ? -errno : 0;
}

/* --- classes --- */

const char *
environment_class_rules(void)
{
    const char *path = getenv("JOBWRAP_CLASS_RULES");

    return path && *path ? path : NULL;
}

const char *
environment_classes(void)
{
    const char *prefix = getenv("JOBWRAP_CLASSES");

    return prefix && prefix[0] == '/' ? prefix : NULL;
}

static const char main_file[] = "jobserver";

bool
environment_has_class_gate(void)
{
    return getenv("JOBWRAP_CLASS_GATE") != NULL;
}

int
environment_set_class_gate(bool has_one)
{
    if (has_one)
        return set("JOBWRAP_CLASS_GATE", "1");
    return unsetenv("JOBWRAP_CLASS_GATE") < 0 ? -errno : 0;
}

/* DIR/jobserver: DIR/; a device: what its name begins with. What has no path is named by the environment. */
char *
environment_classes_of(struct client *server)
{
    static const char scheme[] = "fifo:";
    const char *name = client_name(server), *told = environment_classes();
    struct steved_classes classes;
    char *prefix = NULL;

    if (client_get_classes(server, &classes) < 0 || classes.count == 0)
        return NULL;
    if (strncmp(name, scheme, strlen(scheme)) != 0)
        return told ? strdup(told) : NULL;
    char *path = realpath(name + strlen(scheme), NULL);
    const char *last = path ? strrchr(path, '/') + 1 : "";
    if (!path)
        return NULL;
    if (strcmp(last, main_file) == 0)
        prefix = strndup(path, (size_t)(last - path));
    else if (asprintf(&prefix, "%s-", path) < 0)
        prefix = NULL;
    free(path);
    return prefix;
}

char *
environment_classes_around(struct client *server, bool is_named)
{
    const char *told = environment_classes();
    const bool is_steved =
        server && client_kind(server) == CLIENT_SERVER && !client_is_jobwrap(server);
    char *own = server ? environment_classes_of(server) : NULL;

    return own || is_steved || is_named || !told ? own : strdup(told);
}

/* The way back. To be freed. */
static char *
server_at(const char *prefix)
{
    const size_t length = strlen(prefix);
    char *path;

    if (length > 0 && prefix[length - 1] == '-')
        return strndup(prefix, length - 1);
    return asprintf(&path, "%s%s", prefix, main_file) < 0 ? NULL : path;
}

void
environment_list_classes(const char *prefix, struct steved_classes *classes)
{
    char *path = server_at(prefix), *error = NULL;
    struct client *server = NULL;

    if (!path || client_open_path(path, &server, &error) < 0 ||
        client_get_classes(server, classes) < 0)
        classes->count = 0;
    client_close(server);
    free(error);
    free(path);
}

int
environment_set_class_rules(const char *path)
{
    char *absolute = realpath(path, NULL);

    if (!absolute)
        return -errno;
    int result = set("JOBWRAP_CLASS_RULES", absolute);
    free(absolute);
    return result;
}

int
environment_set_classes(const char *prefix)
{
    if (prefix)
        return set("JOBWRAP_CLASSES", prefix);
    return unsetenv("JOBWRAP_CLASSES") < 0 ? -errno : 0;
}

/* --- telling --- */

int
environment_set_flags(const char *variable, const char *old, const struct auth *auth, unsigned jobs)
{
    char *flags = auth_replace(old, auth, jobs);

    if (!flags)
        return -ENOMEM;
    int result = set(variable, flags);
    free(flags);
    return result;
}

/* jobs: 0: nobody knows. */
static int
name_fifo(const char *path, unsigned jobs)
{
    char number[sizeof("4294967295")];
    int result = set("JOBWRAP_FIFO", path);

    if (result < 0)
        return result;
    snprintf(number, sizeof(number), "%u", jobs);
    if (jobs > 0)
        return set("JOBWRAP_JOBS", number);
    return unsetenv("JOBWRAP_JOBS") < 0 ? -errno : 0;
}

/* cargo reads its own variable before MAKEFLAGS. It takes a path, and most who start it close
 * descriptors: make 4.3 in a recipe without '+', Python, Node and Java in all children. */
static int
name_for_cargo(const char *path, unsigned jobs)
{
    struct auth fifo = {.kind = AUTH_FIFO, .read_fd = -1, .write_fd = -1};

    fifo.path = strdup(path);
    int result = fifo.path ? environment_set_flags("CARGO_MAKEFLAGS", NULL, &fifo, jobs) : -ENOMEM;
    auth_clear(&fifo);
    return result;
}

int
environment_name_jobserver(const struct auth *auth, const char *path, unsigned jobs)
{
    int result = environment_set_flags("MAKEFLAGS", getenv("MAKEFLAGS"), auth, jobs);

    if (result == 0)
        result = name_for_cargo(path, jobs);
    return result < 0 ? result : name_fifo(path, jobs);
}

/* What makes no sense names none. */
static bool
names_jobserver(const char *flags)
{
    const enum auth_kind kind = auth_kind_of(flags);

    return kind == AUTH_FIFO || kind == AUTH_PIPE;
}

int
environment_publish_path(const struct auth *auth, unsigned jobs)
{
    const char *known = getenv("JOBWRAP_FIFO");
    char *absolute = auth->path[0] == '/' ? strdup(auth->path) : realpath(auth->path, NULL);
    int result = 0;

    if (!absolute)
        return -errno;
    /* A jobwrap's number is about another FIFO than this one. */
    if (!known || strcmp(known, absolute) != 0)
        result = name_fifo(absolute, jobs);
    free(absolute);
    if (result == 0 && !names_jobserver(getenv("CARGO_MAKEFLAGS")))
        result = environment_set_flags("CARGO_MAKEFLAGS", NULL, auth, jobs);
    return result;
}

/* What make hands to pselect(2) is below this. */
#define INHERITED_MAX FD_SETSIZE

/* The highest number that is free: scripts use low ones for themselves (`exec 3<file`, `9>lock`), and
 * a program to which make shows numbers that it has closed opens its own files from 3 on. Returns the
 * duplicate, which is inherited, or a negative errno. */
static int
duplicate_high(int fd)
{
    struct rlimit limit;
    int number = INHERITED_MAX;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < INHERITED_MAX)
        number = (int)limit.rlim_cur;
    /* Never stdin, stdout or stderr, which may be closed: what is written there is no token. */
    while (--number > STDERR_FILENO)
        if (fcntl(number, F_GETFD) < 0)
            return (fd = fcntl(fd, F_DUPFD, number)) < 0 ? -errno : fd;
    return -EMFILE;
}

/* A description of its own. Returns the descriptor or a negative errno. */
static int
open_end(const char *path, enum client_kind *kind, char **error)
{
    struct client *client;
    int fd = client_open_file(path, &client, error);

    if (fd < 0)
        return fd;
    *kind = client_kind(client);
    fd = duplicate_high(client_fd(client));
    if (fd >= 0 && fcntl(fd, F_SETFL, 0) < 0) {
        int reason = -errno;
        close(fd);
        fd = reason;
    }
    client_close(client);
    return fd;
}

int
environment_open_ends(const char *path, struct auth *ends, char **error)
{
    enum client_kind kind;
    int fd = open_end(path, &kind, error);

    if (fd < 0)
        return fd;
    ends->kind = AUTH_PIPE;
    ends->read_fd = fd;
    if (kind == CLIENT_FIFO)
        fd = open_end(path, &kind, error);
    else
        fd = duplicate_high(ends->read_fd);
    if (fd < 0) {
        close(ends->read_fd);
        return fd;
    }
    ends->write_fd = fd;
    return 0;
}
