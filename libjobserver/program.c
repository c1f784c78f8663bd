/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <paths.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "process.h"

#define ANSWER_TIMEOUT_MS 3000

#define SHIM_VARIABLE "JOBSERVER_SHIM" /* PID:START:HOPS */
/* A make that has remade its makefiles executes itself again, by the name that is the shim's, and does
 * so as often as it must; a circle of shims takes 0.1 s to come so far. */
#define SHIM_HOPS_MAX 100

/* --- asking for the version --- */

bool
make_version_is_old(const char *text)
{
    unsigned major, minor = 0;

    return sscanf(text, "GNU Make %u.%u", &major, &minor) >= 1 &&
           (major < 4 || (major == 4 && minor < 4));
}

/* stdout goes to `output`. Ours may be closed: then `output` or the null device is one of the three,
 * and one is not to fall over the other. */
static _Noreturn void
become_asked(const char *path, const char *name, int output)
{
    char version[] = "--version", *arguments[] = {strdup(name), version, NULL};
    int null = open(_PATH_DEVNULL, O_RDWR);

    if (output <= STDERR_FILENO)
        output = fcntl(output, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    dup2(null, STDIN_FILENO);
    dup2(null, STDERR_FILENO);
    dup2(output, STDOUT_FILENO);
    unsetenv("MAKEFLAGS");
    execv(path, arguments);
    _exit(127);
}

static int64_t
now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

static void
read_answer(int fd, char *answer, size_t size)
{
    int64_t deadline = now_ms() + ANSWER_TIMEOUT_MS;
    size_t length = 0;

    while (length < size - 1) {
        struct pollfd output = {.fd = fd, .events = POLLIN};
        int64_t left = deadline - now_ms();
        if (left <= 0 || poll(&output, 1, (int)left) <= 0)
            break;
        ssize_t got = read(fd, answer + length, size - 1 - length);
        if (got <= 0)
            break;
        length += (size_t)got;
    }
    answer[length] = '\0';
}

int
program_ask_version(const char *path, const char *name, char *answer, size_t size)
{
    int ends[2], result = 0;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    pid_t pid = fork();
    if (pid == 0)
        become_asked(path, name, ends[1]);
    if (pid < 0)
        result = -errno;
    close(ends[1]);
    if (pid > 0) {
        read_answer(ends[0], answer, size);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    close(ends[0]);
    return result;
}

/* --- PATH --- */

enum judgement {
    IS_NONE, /* or no regular file */
    IS_NOT_EXECUTABLE,
    IS_SELF,
    IS_PROGRAM,
};

/* *path: what of PATH is left; NULL at its end, for which this returns false. As for execvp(3), an
 * empty directory is the current one; one that is too long has no program. */
static bool
next_candidate(const char **path, const char *name, char *candidate, size_t size)
{
    if (!*path)
        return false;
    int length = (int)strcspn(*path, ":");
    int written = snprintf(candidate, size, "%.*s%s%s", length, *path, length ? "/" : "", name);
    if (written < 0 || (size_t)written >= size)
        candidate[0] = '\0';
    *path = (*path)[length] == ':' ? *path + length + 1 : NULL;
    return true;
}

static const char *
search_path(void)
{
    const char *path = getenv("PATH");

    return path ? path : _PATH_DEFPATH;
}

/* Where /proc is not mounted, nobody is the running program, and the hops end a circle. */
static struct stat
stat_self(void)
{
    struct stat self;

    return stat("/proc/self/exe", &self) == 0 ? self : (struct stat){0};
}

static enum judgement
judge(const char *candidate, const struct stat *self)
{
    struct stat status;

    if (stat(candidate, &status) < 0 || !S_ISREG(status.st_mode))
        return IS_NONE;
    if (self->st_ino && status.st_dev == self->st_dev && status.st_ino == self->st_ino)
        return IS_SELF;
    return access(candidate, X_OK) == 0 ? IS_PROGRAM : IS_NOT_EXECUTABLE;
}

char *
program_find(const char *name)
{
    const struct stat nobody = {0};
    const char *path = search_path();
    char candidate[PATH_MAX];

    while (next_candidate(&path, name, candidate, sizeof(candidate)))
        if (judge(candidate, &nobody) == IS_PROGRAM)
            return strdup(candidate);
    return NULL;
}

/* --- behind a shim --- */

/* Returns `error`. */
__attribute__((format(printf, 3, 4))) static int
refuse(int error, char **text, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    if (vasprintf(text, format, arguments) < 0)
        *text = NULL;
    va_end(arguments);
    return error;
}

static int
take(const char *found, char **path)
{
    *path = strdup(found);
    return *path ? 0 : -ENOMEM;
}

static int
take_named(const char *variable, const char *named, char **path, char **error)
{
    const struct stat self = stat_self();
    struct stat status;

    if (!strchr(named, '/'))
        return refuse(-ENOENT, error, "%s: '%s' is not a path", variable, named);
    if (stat(named, &status) < 0) {
        int reason = -errno;
        return refuse(reason, error, "%s: '%s': %s", variable, named, strerror(-reason));
    }
    switch (judge(named, &self)) {
    case IS_NONE:
        return refuse(-EACCES, error, "%s: '%s' is not a regular file", variable, named);
    case IS_NOT_EXECUTABLE:
        return refuse(-EACCES, error, "%s: '%s' cannot be executed", variable, named);
    case IS_SELF:
        return refuse(-ELOOP, error, "%s: '%s' is this shim itself", variable, named);
    case IS_PROGRAM:
        break;
    }
    return take(named, path);
}

static void
note_first(char (*noted)[PATH_MAX], const char *candidate)
{
    if (!(*noted)[0])
        snprintf(*noted, sizeof(*noted), "%s", candidate);
}

/* Behind our last place: were it the first, a link to us behind a copy of us would lead back to the copy.
 * Nothing behind us, or we are not on PATH: the first that is not us. */
static int
search_behind(const char *name, char **found, char **error)
{
    const struct stat self = stat_self();
    const char *path = search_path();
    char candidate[PATH_MAX], first[PATH_MAX] = "", behind[PATH_MAX] = "", barred[PATH_MAX] = "";
    bool seen_self = false;

    while (next_candidate(&path, name, candidate, sizeof(candidate))) {
        enum judgement judgement = judge(candidate, &self);
        if (judgement == IS_SELF) {
            seen_self = true;
            behind[0] = '\0';
        } else if (judgement == IS_PROGRAM) {
            note_first(&first, candidate);
            if (seen_self)
                note_first(&behind, candidate);
        } else if (judgement == IS_NOT_EXECUTABLE) {
            note_first(&barred, candidate);
        }
    }
    if (behind[0] || first[0])
        return take(behind[0] ? behind : first, found);
    if (barred[0])
        return refuse(-EACCES, error, "run %s: %s", barred, strerror(EACCES));
    return refuse(-ENOENT, error, "run %s: there is none on PATH besides this shim", name);
}

int
program_find_real(const char *name, const char *variable, char **path, char **error)
{
    const char *named = getenv(variable);

    *error = NULL;
    if (program_shim_hops() > SHIM_HOPS_MAX)
        return refuse(-ENOENT, error, "only shims found on PATH for '%s'", name);
    if (named && *named)
        return take_named(variable, named, path, error);
    return search_behind(name, path, error);
}

/* A pid alone would do, were there no pid namespaces, in each of which the first processes have the
 * same. exec(2) keeps the start time. */
static uint64_t
start_ticks(void)
{
    struct process_info info;

    return process_info(getpid(), &info) == 0 ? info.start_ticks : 0;
}

unsigned
program_shim_hops(void)
{
    const char *text = getenv(SHIM_VARIABLE);
    uint64_t start;
    unsigned hops;
    int pid, end = -1;

    if (!text || sscanf(text, "%d:%" SCNu64 ":%u:%n", &pid, &start, &hops, &end) != 3 || end < 0 ||
        strcmp(text + end, program_invocation_short_name) != 0 || pid != getpid() ||
        start != start_ticks())
        return 0;
    return hops;
}

int
program_exec_real(const char *path, char **argv)
{
    char *text;

    if (asprintf(&text, "%d:%" PRIu64 ":%u:%s", getpid(), start_ticks(), program_shim_hops() + 1,
                 program_invocation_short_name) < 0)
        return -ENOMEM;
    int result = setenv(SHIM_VARIABLE, text, 1) < 0 ? -errno : 0;
    free(text);
    if (result < 0)
        return result;
    execv(path, argv);
    return -errno;
}

int
program_exit_status(int error)
{
    return error == -ENOENT ? 127 : 126;
}
