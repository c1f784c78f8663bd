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

static _Noreturn void
unmount_at_end(int pipe_fd, const char *path, const struct statx *ours)
{
    char byte;

    detach();
    keep_only(pipe_fd);
    while (read(3, &byte, 1) < 0 && errno == EINTR)
        ;
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
