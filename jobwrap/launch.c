/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "jobwrap/launch.h"
#include "jobwrap/shims.h"
#include "libjobserver/environment.h"
#include "libjobserver/memory/mode.h"
#include "libjobserver/program/usage.h"

static int
name_fifo(const struct launch *launch, const char *fifo_path)
{
    struct auth auth = {
        .kind = AUTH_FIFO, .path = strdup(fifo_path), .read_fd = -1, .write_fd = -1};
    int result = auth.path ? 0 : -ENOMEM;
    char *error;

    if (result == 0 && launch->uses_descriptors)
        result = environment_open_ends(fifo_path, &auth, &error);
    if (result == 0)
        result = environment_name_jobserver(&auth, fifo_path, launch->jobs);
    free(auth.path);
    return result;
}

static int
tell_classes(const struct launch *launch, const char *fifo_path)
{
    if (!launch->has_own_classes)
        return environment_set_classes(launch->classes);
    char *directory = strndup(fifo_path, (size_t)(strrchr(fifo_path, '/') + 1 - fifo_path));
    int result = directory ? environment_set_classes(directory) : -ENOMEM;
    free(directory);
    return result;
}

static int
prepare(const struct launch *launch, const char *fifo_path)
{
    for (int i = 0; i < 2; i++)
        if (launch->inherited_fds[i] >= 0)
            fcntl(launch->inherited_fds[i], F_SETFD, FD_CLOEXEC);
    if (launch->memory && setenv(MEMORY_MODE_VARIABLE, launch->memory, 1) < 0)
        return -errno;
    /* cmake makes a -jN of it, by which make leaves its jobserver. */
    unsetenv("CMAKE_BUILD_PARALLEL_LEVEL");
    int result = environment_set_class_gate(false);
    if (result == 0)
        result = name_fifo(launch, fifo_path);
    if (result == 0)
        result = tell_classes(launch, fifo_path);
    if (result == 0 && launch->class_rules)
        result = environment_set_class_rules(launch->class_rules);
    if (result == 0 && launch->shims)
        result = shims_prepend_path(launch->shims);
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
