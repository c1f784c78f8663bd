/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What processes have open: the pipes and files of others, and what a descriptor of our own stands for. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libjobserver/process.h"
#include "libjobserver/process/private.h"

#define LOOKS_MAX 100 /* at what never stops changing */

/* --- pipes --- */

/* 0: it is no pipe, or is not there. *inode: of whatever it is. A file system that does not answer (a
 * server of NFS or FUSE that hangs) is not asked. */
static uint64_t
pipe_at(int dir_fd, const char *name, uint64_t *inode)
{
    struct statx status;

    *inode = 0;
    if (statx(dir_fd, name, AT_STATX_DONT_SYNC, STATX_TYPE | STATX_INO, &status) < 0)
        return 0;
    *inode = status.stx_ino;
    return S_ISFIFO(status.stx_mode) ? status.stx_ino : 0;
}

uint64_t
process_pipe(pid_t pid, int fd)
{
    char path[PROCESS_PATH_SIZE];
    uint64_t inode;

    snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
    return pipe_at(AT_FDCWD, path, &inode);
}

/* Returns how many there are now. */
static size_t
add(uint64_t *pipes, size_t n, size_t max, uint64_t pipe)
{
    for (size_t i = 0; i < n; i++)
        if (pipes[i] == pipe)
            return n;
    if (n < max)
        pipes[n++] = pipe;
    return n;
}

static uint64_t
mix(uint64_t seen, uint64_t number)
{
    return (seen ^ number) * 0x100000001b3;
}

/* Returns what differs if something else is seen the next time. */
static uint64_t
look_for_pipes(pid_t pid, uint64_t *pipes, size_t *n, size_t max)
{
    char path[PROCESS_PATH_SIZE];
    struct dirent *entry;
    uint64_t seen = 0;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *fds = opendir(path);
    while (fds && (entry = readdir(fds))) {
        if (entry->d_name[0] == '.')
            continue;
        uint64_t inode, pipe = pipe_at(dirfd(fds), entry->d_name, &inode);
        seen = mix(mix(seen, strtoul(entry->d_name, NULL, 10)), inode);
        if (pipe)
            *n = add(pipes, *n, max, pipe);
    }
    if (fds)
        closedir(fds);
    return seen;
}

/* It runs meanwhile, and a pipe that goes from a number still to be read to one that has been is seen
 * nowhere. After two looks that saw the same, nothing has gone past them. */
size_t
process_pipes(pid_t pid, uint64_t *pipes, size_t max)
{
    uint64_t former, seen;
    size_t n = 0;
    int looks = 1;

    seen = look_for_pipes(pid, pipes, &n, max);
    do {
        former = seen;
        seen = look_for_pipes(pid, pipes, &n, max);
    } while (seen != former && ++looks < LOOKS_MAX);
    return n;
}

/* --- files --- */

/* In a link below /proc/PID/fd, the right to write shows that it is open for writing (proc_pid_fd(5)). */
static bool
is_written_file(int dir_fd, const char *name)
{
    struct stat link;
    struct statx file;

    return fstatat(dir_fd, name, &link, AT_SYMLINK_NOFOLLOW) == 0 && (link.st_mode & S_IWUSR) &&
           statx(dir_fd, name, AT_STATX_DONT_SYNC, STATX_TYPE, &file) == 0 &&
           S_ISREG(file.stx_mode);
}

void
process_each_written_file(pid_t pid, void (*show)(const char *path, void *argument), void *argument)
{
    char path[PATH_MAX];
    struct dirent *entry;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *fds = opendir(path);
    while (fds && (entry = readdir(fds))) {
        if (entry->d_name[0] == '.' || !is_written_file(dirfd(fds), entry->d_name))
            continue;
        ssize_t length = readlinkat(dirfd(fds), entry->d_name, path, sizeof(path));
        if (length <= 0 || (size_t)length == sizeof(path))
            continue;
        path[length] = '\0';
        show(path, argument);
    }
    if (fds)
        closedir(fds);
}

static bool
look_at(pid_t pid, int fd, struct statx *status)
{
    char path[PROCESS_PATH_SIZE];

    snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
    return statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_TYPE | STATX_INO, status) == 0;
}

static bool
is_same(pid_t pid, pid_t other, int fd)
{
    struct statx a, b;

    return look_at(pid, fd, &a) && look_at(other, fd, &b) && a.stx_ino == b.stx_ino &&
           a.stx_dev_major == b.stx_dev_major && a.stx_dev_minor == b.stx_dev_minor;
}

/* Consoles, serial lines and pseudo-terminals: Documentation/admin-guide/devices.txt of the kernel. */
static bool
is_terminal(const struct statx *status)
{
    const unsigned major = status->stx_rdev_major;

    return S_ISCHR(status->stx_mode) &&
           (major == 4 || major == 5 || (major >= 136 && major <= 143) || major == 204);
}

bool
process_shares_console(pid_t pid, pid_t parent)
{
    struct statx input;

    if (look_at(pid, STDIN_FILENO, &input) && is_terminal(&input))
        return true;
    /* Most have an output of their own. */
    return is_same(pid, parent, STDOUT_FILENO) && is_same(pid, parent, STDIN_FILENO);
}

/* --- a file --- */

size_t
process_find_file(pid_t pid, dev_t device, ino_t inode, int *numbers, size_t max)
{
    char path[PROCESS_PATH_SIZE];
    struct dirent *entry;
    struct stat status;
    size_t n = 0;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *fds = opendir(path);
    while (fds && n < max && (entry = readdir(fds)))
        if (entry->d_name[0] != '.' && fstatat(dirfd(fds), entry->d_name, &status, 0) == 0 &&
            status.st_ino == inode && status.st_dev == device)
            numbers[n++] = atoi(entry->d_name);
    if (fds)
        closedir(fds);
    return n;
}

/* --- what can be opened once more --- */

char *
process_path_to_descriptor(pid_t pid, int fd)
{
    char *path;

    return asprintf(&path, "/proc/%d/fd/%d", (int)pid, fd) < 0 ? NULL : path;
}

int
process_reopen(int fd, int flags)
{
    char path[PROCESS_PATH_SIZE];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int opened = open(path, flags | O_CLOEXEC);
    return opened < 0 ? -errno : opened;
}

int
process_descriptor_path(int fd, char *path, size_t size)
{
    char link[sizeof("/proc/self/fd/2147483647")];

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, size);
    if (length < 0)
        return -errno;
    if ((size_t)length >= size)
        return -ENAMETOOLONG;
    path[length] = '\0';
    return path[0] == '/' ? 0 : -ENOENT; /* "pipe:[...]" */
}
