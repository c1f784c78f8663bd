/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/mount_point.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libjobserver/program/message.h"
#include "libjobserver/program/usage.h"
#include "libjobserver/protocol.h"

#define OUR_TYPE "fuse.steved"

static int
say(int error, const char *dir)
{
    message_errno(error, "mount %s", dir);
    return -error;
}

/* --- one at a time --- */

static bool
is_ours_alone(int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 && status.st_uid == geteuid() &&
           !(status.st_mode & (S_IRWXG | S_IRWXO));
}

int
mount_point_lock(const char *dir)
{
    char *copy = strdup(dir);
    int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1, result = -1;

    free(copy);
    if (fd < 0)
        return -1;
    if (is_ours_alone(fd))
        do
            result = flock(fd, LOCK_EX);
        while (result < 0 && errno == EINTR);
    if (result == 0)
        return fd;
    close(fd);
    return -1;
}

/* Not only closed: a child may have it, too. */
void
mount_point_unlock(int lock)
{
    if (lock < 0)
        return;
    flock(lock, LOCK_UN);
    close(lock);
}

/* --- what is there --- */

/* realpath() for a directory that cannot be looked at, because its server is dead. */
static int
resolve_by_parent(const char *dir, char path[PATH_MAX])
{
    char *for_parent = strdup(dir), *for_name = strdup(dir), parent[PATH_MAX];
    int error = 0;

    if (!for_parent || !for_name) {
        error = -ENOMEM;
    } else if (!realpath(dirname(for_parent), parent)) {
        error = -errno;
    } else {
        const char *separator = strcmp(parent, "/") == 0 ? "" : "/";
        if (snprintf(path, PATH_MAX, "%s%s%s", parent, separator, basename(for_name)) >= PATH_MAX)
            error = -ENAMETOOLONG;
    }
    free(for_parent);
    free(for_name);
    return error;
}

/* The last mount on a directory is the one that is seen. */
static bool
is_our_mount(const char *path)
{
    FILE *mounts = setmntent("/proc/self/mounts", "re");
    const struct mntent *entry;
    bool is_ours = false;

    if (!mounts)
        return false;
    while ((entry = getmntent(mounts)))
        if (strcmp(entry->mnt_dir, path) == 0)
            is_ours = strcmp(entry->mnt_type, OUR_TYPE) == 0;
    endmntent(mounts);
    return is_ours;
}

static int
run_fusermount(const char *path, const char *how)
{
    int status;
    pid_t child = fork();

    if (child < 0)
        return -errno;
    if (child == 0) {
        execlp("fusermount3", "fusermount3", "-u", how, "-q", "--", path, (char *)NULL);
        _exit(EXIT_NOT_FOUND);
    }
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EPERM;
}

static int
clear(const char *path, int flags, const char *how)
{
    if (umount2(path, flags | UMOUNT_NOFOLLOW) == 0)
        return 0;
    return errno == EPERM ? run_fusermount(path, how) : -errno;
}

int
mount_point_clear(const char *path)
{
    return clear(path, MNT_DETACH, "-z");
}

int
mount_point_clear_unused(const char *path)
{
    return clear(path, 0, "-q");
}

static int
clear_dead(const char *dir, char path[PATH_MAX])
{
    int error = resolve_by_parent(dir, path);

    if (error == 0 && !is_our_mount(path))
        error = -ENOTCONN;
    if (error < 0)
        return say(-error, dir);
    error = mount_point_clear(path);
    if (error < 0)
        message_errno(-error, "unmount %s, whose server is dead", path);
    else
        message("unmounted %s, whose server is dead", path);
    return error;
}

/* Or its server died while we asked it. */
static bool
says_dead(int error)
{
    return error == ENOTCONN || error == ECONNABORTED;
}

/* Only who answers like a steved is one; anything else may be mounted over. */
static int
refuse_live(const char *path)
{
    char file[PATH_MAX + sizeof("/jobserver")];
    struct steved_status status;

    snprintf(file, sizeof(file), "%s/jobserver", path);
    int fd = open(file, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return 0;
    bool is_served = ioctl(fd, STEVED_IOC_STATUS, &status) == 0;
    close(fd);
    if (!is_served)
        return 0;
    message("mount %s: a steved serves it already (process %d)", path, (int)status.pid);
    return -EBUSY;
}

int
mount_point_prepare(const char *dir, char path[PATH_MAX])
{
    if (mkdir(dir, 0700) < 0 && errno != EEXIST && !says_dead(errno))
        return say(errno, dir);
    /* Attributes that are still in the kernel's memory hide that the server is dead; opening the
     * directory asks for more than that. */
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return says_dead(errno) ? clear_dead(dir, path) : say(errno, dir);
    close(fd);
    if (!realpath(dir, path))
        return says_dead(errno) ? clear_dead(dir, path) : say(errno, dir);
    return refuse_live(path);
}

bool
mount_point_is_roots(const char *path)
{
    char above[PATH_MAX];
    struct stat status;

    for (const char *end = path; (end = strchr(end + 1, '/'));) {
        snprintf(above, sizeof(above), "%.*s", (int)(end - path), path);
        if (stat(above, &status) == 0 && status.st_uid == 0 &&
            !(status.st_mode & (S_IXGRP | S_IXOTH)))
            return true;
    }
    return false;
}
