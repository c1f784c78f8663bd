/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/program/program.h"

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
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libjobserver/process.h"
#include "libjobserver/program/clock.h"
#include "libjobserver/program/message.h"
#include "libjobserver/program/usage.h"

#define ANSWER_TIMEOUT_MS 3000

#define SHIM_VARIABLE "JOBSERVER_SHIM" /* PID:START:HOPS:PLACE:SHIM */
/* A make that has remade its makefiles executes itself again, by the name that is the shim's, and does
 * so as often as it must; a circle of shims takes 0.1 s to come so far. */
#define SHIM_HOPS_MAX 100

#define ASKED_VARIABLE "JOBWRAP_ASKED" /* set in what is asked for its version, and below it */
#define LEVEL_VARIABLE "JOBWRAP_LEVEL" /* how many are around */
#define LEVEL_ASKED "90"               /* ten below PROGRAM_LEVEL_MAX */

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
    /* Without arguments a make would build. A script that runs itself would come so far once a question, and there
     * is one a level. */
    if (arguments[0] && setenv(ASKED_VARIABLE, "1", 1) == 0 &&
        setenv(LEVEL_VARIABLE, LEVEL_ASKED, 1) == 0)
        execv(path, arguments);
    _exit(EXIT_NOT_FOUND);
}

static void
read_answer(int fd, char *answer, size_t size)
{
    int64_t deadline_ns = clock_now_ns() + ANSWER_TIMEOUT_MS * NS_PER_MS;
    size_t length = 0;

    while (length < size - 1) {
        struct pollfd output = {.fd = fd, .events = POLLIN};
        int64_t left_ms = (deadline_ns - clock_now_ns()) / NS_PER_MS;
        if (left_ms <= 0 || poll(&output, 1, (int)left_ms) <= 0)
            break;
        ssize_t got = read(fd, answer + length, size - 1 - length);
        if (got <= 0)
            break;
        length += (size_t)got;
    }
    answer[length] = '\0';
}

bool
program_is_asked(void)
{
    return getenv(ASKED_VARIABLE) != NULL;
}

int
program_ask_version(const char *path, const char *name, char *answer, size_t size)
{
    int ends[2], result = 0;

    if (program_is_asked())
        return -ELOOP;
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

/* --- one inside the other --- */

int
program_enter_level(void)
{
    const char *text = getenv(LEVEL_VARIABLE);
    char number[sizeof("4294967295")];
    unsigned level = 0;

    if (text && sscanf(text, "%u", &level) == 1 && level >= PROGRAM_LEVEL_MAX)
        return -ELOOP;
    snprintf(number, sizeof(number), "%u", level + 1);
    return setenv(LEVEL_VARIABLE, number, 1) < 0 ? -errno : 0;
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
program_path(void)
{
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path));

    return length > 0 ? strndup(path, (size_t)length) : NULL;
}

int
program_open(void)
{
    int fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

char *
program_directory(void)
{
    char *path = program_path();
    char *slash = path ? strrchr(path, '/') : NULL;

    if (slash)
        *slash = '\0';
    return path;
}

const char *
program_executed_name(void)
{
    const char *executed = (const char *)getauxval(AT_EXECFN);
    const char *slash = executed ? strrchr(executed, '/') : NULL;

    return slash ? slash + 1 : executed ? executed : program_invocation_short_name;
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

/* --- from shim to shim --- */

/* What the shim that became us has noted. */
struct hop {
    unsigned hops;
    unsigned place; /* on PATH, where it found us */
};

/* A pid alone would do, were there no pid namespaces, in each of which the first processes have the
 * same. exec(2) keeps the start time. */
static uint64_t
start_ticks(void)
{
    struct process_info info;

    return process_info(getpid(), &info) == 0 ? info.start_ticks : 0;
}

static struct hop
read_hop(void)
{
    const char *text = getenv(SHIM_VARIABLE);
    struct hop hop;
    uint64_t start;
    int pid, end = -1;

    if (!text ||
        sscanf(text, "%d:%" SCNu64 ":%u:%u:%n", &pid, &start, &hop.hops, &hop.place, &end) != 4 ||
        end < 0 || strcmp(text + end, program_invocation_short_name) != 0 || pid != getpid() ||
        start != start_ticks())
        return (struct hop){.hops = 0};
    return hop;
}

unsigned
program_shim_hops(void)
{
    return read_hop().hops;
}

/* How many places on PATH are before and up to the one by which we were executed: what stands there
 * may have led to us. The same shim may be there more than once, and a copy of it in between. */
static unsigned
places_up_to_us(const char *name)
{
    const char *executed = (const char *)getauxval(AT_EXECFN), *path = search_path();
    const struct stat self = stat_self();
    const struct hop hop = read_hop();
    unsigned by_name = 0, by_file = 0;
    char candidate[PATH_MAX];

    for (unsigned place = 0; next_candidate(&path, name, candidate, sizeof(candidate)); place++) {
        bool is_it = executed && strcmp(candidate, executed) == 0;
        if (is_it && hop.hops > 0 && hop.place == place)
            return place + 1;
        if (is_it && by_name == 0)
            by_name = place + 1;
        if (by_file == 0 && judge(candidate, &self) == IS_SELF)
            by_file = place + 1;
    }
    return by_name ? by_name : by_file;
}

/* Where on PATH, behind us, is what we become? */
static unsigned
place_behind_us(const char *next)
{
    const char *slash = strrchr(next, '/'), *path = search_path();
    const char *name = slash ? slash + 1 : next;
    unsigned skip = places_up_to_us(name);
    char candidate[PATH_MAX];

    for (unsigned place = 0; next_candidate(&path, name, candidate, sizeof(candidate)); place++)
        if (place >= skip && strcmp(candidate, next) == 0)
            return place;
    return UINT_MAX;
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

/* The first program that is not us, behind the first `skip` places on PATH. *barred: the first that
 * cannot be executed. */
static bool
search_from(const char *name, unsigned skip, char (*found)[PATH_MAX], char (*barred)[PATH_MAX])
{
    const struct stat self = stat_self();
    const char *path = search_path();
    char candidate[PATH_MAX];

    for (unsigned place = 0; next_candidate(&path, name, candidate, sizeof(candidate)); place++) {
        enum judgement judgement = judge(candidate, &self);
        if (judgement == IS_PROGRAM && place >= skip) {
            memcpy(*found, candidate, sizeof(*found));
            return true;
        }
        if (judgement == IS_NOT_EXECUTABLE && !(*barred)[0])
            memcpy(*barred, candidate, sizeof(*barred));
    }
    return false;
}

/* Nothing behind us, or we are not on PATH: then the first that is not us. */
static int
search_behind(const char *name, char **path, char **error)
{
    char found[PATH_MAX], barred[PATH_MAX] = "";

    if (search_from(name, places_up_to_us(name), &found, &barred) ||
        search_from(name, 0, &found, &barred))
        return take(found, path);
    if (barred[0])
        return refuse(-EACCES, error, "run %s: %s", barred, strerror(EACCES));
    return refuse(-ENOENT, error, "run %s: there is none on PATH besides this shim", name);
}

int
program_find_real(const char *name, const char *variable, char **path, char **error)
{
    const char *named = variable ? getenv(variable) : NULL;

    *error = NULL;
    if (program_shim_hops() > SHIM_HOPS_MAX)
        return refuse(-ENOENT, error, "only shims found on PATH for '%s'", name);
    if (named && *named)
        return take_named(variable, named, path, error);
    return search_behind(name, path, error);
}

char *
program_need_real(const char *name, const char *variable)
{
    char *path, *error;
    int result = program_find_real(name, variable, &path, &error);

    if (result == 0)
        return path;
    message("%s", error ? error : strerror(-result));
    exit(usage_exec_status(result));
}

int
program_note_step(const char *path)
{
    char *text;

    if (asprintf(&text, "%d:%" PRIu64 ":%u:%u:%s", getpid(), start_ticks(), program_shim_hops() + 1,
                 place_behind_us(path), program_invocation_short_name) < 0)
        return -ENOMEM;
    int result = setenv(SHIM_VARIABLE, text, 1) < 0 ? -errno : 0;
    free(text);
    return result;
}

_Noreturn void
program_become_real(const char *path, char **argv)
{
    int result = program_note_step(path);

    if (result == 0) {
        execv(path, argv);
        result = -errno;
    }
    message("run %s: %s", path, strerror(-result));
    exit(usage_exec_status(result));
}
