/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/unmounter.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libjobserver/program/descriptors.h"
#include "libjobserver/program/message.h"
#include "steved/mount_point.h"

/* Linux 6.8: an id that is never used again. Kernels without it take no notice, and give the old one, which
 * a mount that is made next may have. */
#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x4000U
#endif

/* Which mount is at `path`, asking no server: ours may be dead, or be the one who asks. */
static bool
identify(const char *path, struct statx *mount)
{
    return statx(AT_FDCWD, path, AT_STATX_DONT_SYNC | AT_SYMLINK_NOFOLLOW,
                 STATX_MNT_ID | STATX_MNT_ID_UNIQUE, mount) == 0;
}

/* Somebody else may have unmounted ours, and another be there by now. */
static bool
is_still_there(const char *path, const struct statx *ours)
{
    struct statx now;

    return identify(path, &now) && now.stx_dev_major == ours->stx_dev_major &&
           now.stx_dev_minor == ours->stx_dev_minor && now.stx_mnt_id == ours->stx_mnt_id;
}

/* /dev/fuse above all: as long as anybody has it open, waiters hang when the server dies. */
static void
keep_only(int pipe_fd)
{
    int null = open("/dev/null", O_RDWR);

    for (int fd = 0; fd <= 2; fd++)
        dup2(null, fd);
    dup2(pipe_fd, 3);
    descriptors_close_from(4);
    fcntl(3, F_SETFD, FD_CLOEXEC);
}

/* Signals to the server's process group or terminal are not for it. */
static void
detach(void)
{
    sigset_t all;

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    setsid();
    if (chdir("/") < 0)
        _exit(EXIT_FAILURE);
    prctl(PR_SET_NAME, "steved-unmount");
}

/* Each byte is for one try. Returns when the server is no more. */
static void
serve_tries(const char *path, const struct statx *ours)
{
    ssize_t size;
    char byte;

    while ((size = read(3, &byte, 1)) != 0) {
        if (size < 0 && errno != EINTR)
            return;
        /* Where ids are used again, what comes after ours may seem to be it. */
        if (size == 1 && is_still_there(path, ours) && mount_point_clear_unused(path) == 0)
            _exit(EXIT_SUCCESS);
    }
}

static _Noreturn void
unmount_at_end(int pipe_fd, const char *path, const struct statx *ours)
{
    detach();
    keep_only(pipe_fd);
    serve_tries(path, ours);
    /* Who starts the next server may find the mount dead, too. */
    mount_point_lock(path);
    if (is_still_there(path, ours) && mount_point_clear(path) < 0)
        _exit(EXIT_FAILURE);
    _exit(EXIT_SUCCESS);
}

int
unmounter_start(struct unmounter *unmounter, const char *path)
{
    struct statx ours;
    int ends[2], error = 0;

    if (!identify(path, &ours) || pipe2(ends, O_CLOEXEC) < 0) {
        error = -errno;
    } else {
        unmounter->pid = fork();
        if (unmounter->pid == 0) {
            close(ends[1]);
            unmount_at_end(ends[0], path, &ours);
        }
        error = unmounter->pid < 0 ? -errno : 0;
        close(ends[0]);
        unmounter->pipe_fd = ends[1];
    }
    if (error < 0) {
        message_errno(-error, "start the process that unmounts %s", path);
        mount_point_clear(path);
    }
    return error;
}

void
unmounter_try(const struct unmounter *unmounter)
{
    static const char byte = '\0';

    /* Nobody reads it: it was killed, and we go on. */
    if (unmounter->pipe_fd >= 0 && write(unmounter->pipe_fd, &byte, 1) < 0 && errno != EPIPE)
        message_errno(errno, "ask for the mount to be taken away");
}

void
unmounter_finish(struct unmounter *unmounter)
{
    int status;

    if (unmounter->pipe_fd < 0)
        return;
    close(unmounter->pipe_fd);
    unmounter->pipe_fd = -1;
    if (unmounter->pid <= 0)
        return;
    while (waitpid(unmounter->pid, &status, 0) < 0)
        if (errno != EINTR)
            return;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        message("the mount could not be taken away; the next start will");
}
