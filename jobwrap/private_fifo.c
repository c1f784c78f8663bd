/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "jobwrap/private_fifo.h"
#include "libjobserver/classes/spec.h"
#include "libjobserver/control.h"
#include "libjobserver/process.h"
#include "libjobserver/program/message.h"

#define ROOT_DIRECTORY "/run/jobwrap"
/* A tmpfs, which has FIFOs where the other places are on a disk that has none. */
#define SHARED_MEMORY "/dev/shm"
#define NAME "jobserver"
#define ID_DIGITS 12
/* + what JOBWRAP_MEMORY says: an empty file can be made where none may grow (ulimit -f), and on a full disk. */
#define MEMORY_NAME "memory="

static const char *const names[] = {NAME, CONTROL_NAME, MEMORY_NAME "auto", MEMORY_NAME "on",
                                    MEMORY_NAME "off"};

/* Many clients cut MAKEFLAGS at blanks and know nothing of make's quoting. */
static bool
is_plain(const char *path)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "/._+:@%=-";

    return path[strspn(path, plain)] == '\0';
}

/* A `make clean` must not remove the jobserver that it runs under. */
static bool
is_below_working_directory(const char *path)
{
    char real[PATH_MAX], working[PATH_MAX];

    if (!realpath(path, real) || !getcwd(working, sizeof(working)) || strcmp(working, "/") == 0)
        return false;
    size_t length = strlen(working);
    return strncmp(real, working, length) == 0 && (real[length] == '/' || real[length] == '\0');
}

/* Who else may rename what is in it, or above it, could put another FIFO in the place of ours. */
static bool
is_safe(const char *base)
{
    const mode_t others = geteuid() == 0 ? S_IWGRP | S_IWOTH : S_IWOTH;
    char path[PATH_MAX];
    struct stat status, top;

    if (!realpath(base, path) || stat("/", &top) < 0)
        return false;
    for (char *end = path + strlen(path); end; end = strrchr(path, '/')) {
        *end = '\0';
        if (stat(path[0] ? path : "/", &status) < 0)
            return false;
        /* In a user namespace root may be nobody. */
        bool is_of_another =
            status.st_uid != 0 && status.st_uid != geteuid() && status.st_uid != top.st_uid;
        if (is_of_another || (status.st_mode & others && !(status.st_mode & S_ISVTX)))
            return false;
    }
    return true;
}

static bool
is_usable(const char *base)
{
    struct stat status;

    return base && base[0] == '/' && is_plain(base) && stat(base, &status) == 0 &&
           S_ISDIR(status.st_mode) && access(base, W_OK | X_OK) == 0 && is_safe(base) &&
           !is_below_working_directory(base);
}

/* Another user's runtime directory stays in the environment after su(1). */
static bool
is_own(const char *base)
{
    struct stat status;

    return base && stat(base, &status) == 0 && status.st_uid == geteuid();
}

static void
add_candidate(struct private_fifo *fifo, const char *base, const char *prefix, uint64_t id)
{
    int n = 0;

    while (fifo->directories[n])
        n++;
    if (n < FIFO_CANDIDATES && asprintf(&fifo->directories[n], "%s/%s%0*" PRIx64, base, prefix,
                                        ID_DIGITS, id & 0xffffffffffff) < 0)
        fifo->directories[n] = NULL;
}

int
private_fifo_plan(struct private_fifo *fifo)
{
    uint64_t id;
    const char *runtime = getenv("XDG_RUNTIME_DIR"), *temporary = getenv("TMPDIR");

    *fifo = (struct private_fifo){.chosen = -1, .fd = -1, .directory_fd = -1};
    if (getrandom(&id, sizeof(id), 0) != sizeof(id))
        return -EIO;
    if (geteuid() == 0 && access("/run", W_OK | X_OK) == 0)
        add_candidate(fifo, ROOT_DIRECTORY, "", id);
    /* Builders that drop root's privileges could not reach into a runtime directory. */
    if (geteuid() != 0 && is_own(runtime) && is_usable(runtime))
        add_candidate(fifo, runtime, "jobwrap-", id);
    if (is_usable(temporary))
        add_candidate(fifo, temporary, "jobwrap-", id);
    add_candidate(fifo, "/tmp", "jobwrap-", id);
    if (is_usable(SHARED_MEMORY))
        add_candidate(fifo, SHARED_MEMORY, "jobwrap-", id);
    return fifo->directories[0] ? 0 : -ENOMEM;
}

/* Below /run nobody else can make or replace it. */
static int
make_root_directory(void)
{
    struct stat status;

    if (mkdir(ROOT_DIRECTORY, 0711) == 0)
        return chmod(ROOT_DIRECTORY, 0711) < 0 ? -errno : 0;
    if (errno != EEXIST || lstat(ROOT_DIRECTORY, &status) < 0)
        return -errno;
    return S_ISDIR(status.st_mode) && status.st_uid == 0 && !(status.st_mode & 022) ? 0 : -ENOTDIR;
}

static int
make_directory(const char *directory)
{
    if (strncmp(directory, ROOT_DIRECTORY "/", strlen(ROOT_DIRECTORY "/")) == 0) {
        int result = make_root_directory();
        if (result < 0)
            return result;
    }
    return mkdir(directory, 0700) < 0 ? -errno : 0;
}

/* Root's builders drop privileges (Portage's userpriv) and are told apart by their group. */
static int
open_to_group(const struct private_fifo *fifo, const char *group)
{
    const struct group *entry = geteuid() == 0 ? getgrnam(group) : NULL;

    if (!entry)
        return 0;
    if (fchown(fifo->fd, 0, entry->gr_gid) < 0 || fchmod(fifo->fd, 0660) < 0 ||
        chmod(fifo->directories[fifo->chosen], 0711) < 0)
        return -errno;
    return 0;
}

/* Wrappers below put their tokens back by splice(2), each into a slot of its own. */
static void
make_room(int fd, unsigned tokens)
{
    long bytes = (long)tokens * sysconf(_SC_PAGESIZE);

    if (bytes > fcntl(fd, F_GETPIPE_SZ) && bytes <= INT_MAX)
        fcntl(fd, F_SETPIPE_SZ, (int)bytes);
}

static int
make_fifo(struct private_fifo *fifo, const char *group, unsigned tokens)
{
    if (mkfifo(fifo->path, 0600) < 0)
        return -errno;
    fifo->fd = open(fifo->path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fifo->fd < 0)
        return -errno;
    make_room(fifo->fd, tokens);
    return open_to_group(fifo, group);
}

static int
open_directory(int base_fd, const char *name)
{
    return openat(base_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Where it cannot be had the FIFO itself shows that it is in use, as long as anybody reads it. */
static void
lock(struct private_fifo *fifo)
{
    fifo->directory_fd = open_directory(AT_FDCWD, fifo->directories[fifo->chosen]);
    if (fifo->directory_fd >= 0)
        flock(fifo->directory_fd, LOCK_SH | LOCK_NB);
}

int
private_fifo_choose(struct private_fifo *fifo, int candidate)
{
    fifo->chosen = candidate;
    lock(fifo);
    if (asprintf(&fifo->path, "%s/" NAME, fifo->directories[candidate]) >= 0)
        return 0;
    fifo->path = NULL;
    return -ENOMEM;
}

/* And the files of classes, whatever their names. Owns the descriptor. */
static void
remove_files(int directory_fd)
{
    DIR *entries = fdopendir(directory_fd);
    struct dirent *entry;

    if (!entries) {
        close(directory_fd);
        return;
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        unlinkat(directory_fd, names[i], 0);
    while ((entry = readdir(entries)))
        if (class_name_is_valid(entry->d_name))
            unlinkat(directory_fd, entry->d_name, 0);
    closedir(entries);
}

static void
remove_candidate(const struct private_fifo *fifo, int candidate)
{
    int fd = open_directory(AT_FDCWD, fifo->directories[candidate]);

    if (fd >= 0)
        remove_files(fd);
    rmdir(fifo->directories[candidate]);
}

static void
let_go(struct private_fifo *fifo)
{
    free(fifo->path);
    if (fifo->fd >= 0)
        close(fifo->fd);
    if (fifo->directory_fd >= 0)
        close(fifo->directory_fd);
    fifo->chosen = fifo->fd = fifo->directory_fd = -1;
    fifo->path = NULL;
}

static int
make_in(struct private_fifo *fifo, int candidate, const char *group, unsigned tokens)
{
    int result = make_directory(fifo->directories[candidate]);

    if (result < 0)
        return result;
    result = private_fifo_choose(fifo, candidate);
    if (result == 0)
        result = make_fifo(fifo, group, tokens);
    if (result < 0) {
        let_go(fifo);
        remove_candidate(fifo, candidate);
    }
    return result;
}

/* By its path in /proc it is opened like a FIFO. */
static int
make_pipe(struct private_fifo *fifo, unsigned tokens)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    int fd = process_reopen(ends[0], O_RDWR | O_NONBLOCK);
    close(ends[0]);
    close(ends[1]);
    if (fd < 0)
        return fd;
    make_room(fd, tokens);
    fifo->fd = fd;
    return private_fifo_choose_pipe(fifo, getpid(), fd);
}

int
private_fifo_choose_pipe(struct private_fifo *fifo, pid_t owner, int fd)
{
    fifo->is_pipe = true;
    fifo->path = process_path_to_descriptor(owner, fd);
    return fifo->path ? 0 : -ENOMEM;
}

/* Appends "DIRECTORY: REASON". */
static void
note(char **why_not, const char *directory, int error)
{
    int length = (int)(strrchr(directory, '/') - directory);
    char *longer;

    if (asprintf(&longer, "%s%s%.*s: %s", *why_not ? *why_not : "", *why_not ? "; " : "", length,
                 directory, strerror(-error)) < 0)
        return;
    free(*why_not);
    *why_not = longer;
}

int
private_fifo_make(struct private_fifo *fifo, const char *group, unsigned tokens)
{
    char *why_not = NULL;
    int result = -ENOENT;

    for (int i = 0; result < 0 && i < FIFO_CANDIDATES && fifo->directories[i]; i++) {
        result = make_in(fifo, i, group, tokens);
        if (result < 0)
            note(&why_not, fifo->directories[i], result);
    }
    if (result < 0) {
        result = make_pipe(fifo, tokens);
        const char *reasons = why_not ? why_not : strerror(ENOMEM);
        if (result < 0)
            message("make a FIFO (%s), or a pipe: %s", reasons, strerror(-result));
        else
            message("no FIFO can be made (%s); a pipe takes its place, for this user only",
                    reasons);
    }
    free(why_not);
    return result;
}

int
private_fifo_share(const struct private_fifo *fifo, const char *path)
{
    struct stat status;

    if (fstat(fifo->fd, &status) < 0 || chmod(path, status.st_mode & 07777) < 0 ||
        (geteuid() == 0 && chown(path, status.st_uid, status.st_gid) < 0))
        return -errno;
    return 0;
}

int
private_fifo_make_beside(const struct private_fifo *fifo, const char *name, struct stat *status)
{
    char path[PATH_MAX];

    if (fifo->is_pipe)
        return -ENOTDIR;
    snprintf(path, sizeof(path), "%s/%s", fifo->directories[fifo->chosen], name);
    if (mkfifo(path, 0600) < 0)
        return -errno;
    int result = private_fifo_share(fifo, path);
    if (result == 0 && lstat(path, status) < 0)
        result = -errno;
    return result;
}

char *
private_fifo_control(const struct private_fifo *fifo)
{
    char *path;

    return asprintf(&path, "%s/" CONTROL_NAME, fifo->directories[fifo->chosen]) < 0 ? NULL : path;
}

void
private_fifo_tell_memory(const struct private_fifo *fifo, const char *mode)
{
    char path[PATH_MAX];

    if (fifo->is_pipe)
        return;
    snprintf(path, sizeof(path), "%s/" MEMORY_NAME "%s", fifo->directories[fifo->chosen], mode);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd >= 0)
        close(fd);
    else
        message_errno(errno, "make %s", path);
}

void
private_fifo_remove(const struct private_fifo *fifo)
{
    for (int i = 0; i < FIFO_CANDIDATES && fifo->directories[i]; i++)
        remove_candidate(fifo, i);
}

/* --- what others have left behind --- */

/* Long enough for one that is being made. */
#define LEFT_FOR_S 60

/* Jobs may run on without jobwrap and keeper; who has the FIFO open reads it, too. */
static bool
is_in_use(int directory_fd)
{
    if (flock(directory_fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
        return true;
    int fd = openat(directory_fd, NAME, O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    return fd >= 0 || (errno != ENXIO && errno != ENOENT);
}

static void
sweep_directory(int base_fd, const char *name)
{
    int fd = open_directory(base_fd, name);
    struct stat status;

    if (fd < 0)
        return;
    if (fstat(fd, &status) == 0 && status.st_uid == geteuid() &&
        status.st_mtime + LEFT_FOR_S < time(NULL) && !is_in_use(fd)) {
        int files_fd = open_directory(fd, ".");
        if (files_fd >= 0)
            remove_files(files_fd);
        unlinkat(base_fd, name, AT_REMOVEDIR);
    }
    close(fd);
}

/* As add_candidate() makes them. */
static bool
is_alike(const char *name, const char *ours)
{
    size_t length = strlen(ours);

    return strlen(name) == length && strncmp(name, ours, length - ID_DIGITS) == 0 &&
           strspn(name + length - ID_DIGITS, "0123456789abcdef") == ID_DIGITS;
}

void
private_fifo_sweep(const struct private_fifo *fifo)
{
    const char *ours = fifo->chosen < 0 ? NULL : strrchr(fifo->directories[fifo->chosen], '/') + 1;
    struct dirent *entry;

    if (!ours)
        return;
    char *base =
        strndup(fifo->directories[fifo->chosen], (size_t)(ours - fifo->directories[fifo->chosen]));
    DIR *entries = base ? opendir(base) : NULL;
    while (entries && (entry = readdir(entries)))
        if (is_alike(entry->d_name, ours) && strcmp(entry->d_name, ours) != 0)
            sweep_directory(dirfd(entries), entry->d_name);
    if (entries)
        closedir(entries);
    free(base);
}

/* --- its end, and tokens --- */

void
private_fifo_clear(struct private_fifo *fifo)
{
    let_go(fifo);
    for (int i = 0; i < FIFO_CANDIDATES; i++)
        free(fifo->directories[i]);
    *fifo = (struct private_fifo){.chosen = -1, .fd = -1, .directory_fd = -1};
}

unsigned
private_fifo_lying(const struct private_fifo *fifo)
{
    int bytes = 0;

    return ioctl(fifo->fd, FIONREAD, &bytes) == 0 && bytes > 0 ? (unsigned)bytes : 0;
}

bool
private_fifo_put(struct private_fifo *fifo)
{
    return write(fifo->fd, "+", 1) == 1;
}

bool
private_fifo_take(struct private_fifo *fifo)
{
    char token;

    return read(fifo->fd, &token, 1) == 1;
}
