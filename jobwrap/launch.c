/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "jobwrap/launch.h"
#include "jobwrap/shims.h"
#include "libjobserver/auth.h"
#include "libjobserver/program/usage.h"

/* Two descriptions, so that nobody's O_NONBLOCK at one end changes the other; both block. */
static int
open_ends(const char *path, struct auth *auth)
{
    auth->read_fd = open(path, O_RDONLY | O_NONBLOCK);
    auth->write_fd = open(path, O_WRONLY);
    if (auth->read_fd < 0 || auth->write_fd < 0 || fcntl(auth->read_fd, F_SETFL, 0) < 0)
        return -errno;
    return 0;
}

static int
prepare(const struct launch *launch, const char *fifo_path)
{
    struct auth auth = {.kind = AUTH_FIFO, .read_fd = -1, .write_fd = -1};

    for (int i = 0; i < 2; i++)
        if (launch->inherited_fds[i] >= 0)
            fcntl(launch->inherited_fds[i], F_SETFD, FD_CLOEXEC);
    auth.path = strdup(fifo_path);
    if (!auth.path)
        return -ENOMEM;
    if (launch->by_descriptors) {
        auth.kind = AUTH_PIPE;
        int result = open_ends(fifo_path, &auth);
        if (result < 0)
            return result;
    }
    int result = environment_name_jobserver(&auth, fifo_path, launch->jobs);
    if (result == 0 && launch->shims)
        result = environment_prepend_path(launch->shims);
    return result;
}

static _Noreturn void
become_command(const struct launch *launch, const char *fifo_path, int error_fd)
{
    int result = prepare(launch, fifo_path);

    if (result == 0) {
        signals_give_back(launch->signals);
        execvp(launch->command[0], launch->command);
        result = errno;
    }
    (void)!write(error_fd, &result, sizeof(result));
    _exit(EXIT_OURS);
}

int
launch_command(const struct launch *launch, const char *fifo_path, pid_t *pid)
{
    int error[2], result = 0;

    /* Close-on-exec: it ends when the command runs. */
    if (pipe2(error, O_CLOEXEC) < 0)
        return -errno;
    *pid = fork();
    if (*pid == 0)
        become_command(launch, fifo_path, error[1]);
    if (*pid < 0)
        result = -errno;
    close(error[1]);
    if (*pid > 0)
        while (read(error[0], &result, sizeof(result)) < 0 && errno == EINTR)
            continue;
    close(error[0]);
    return result;
}
