/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ninja-shim/gate/called.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool
is_called(pid_t pid, const char *const *names)
{
    char path[sizeof("/proc/2147483647/comm")], comm[CALLED_SIZE + 1];

    snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? 0 : read(fd, comm, sizeof(comm));
    if (fd >= 0)
        close(fd);
    if (length <= 1)
        return false;
    comm[length - 1] = '\0';
    for (; *names; names++)
        if (strncmp(comm, *names, CALLED_SIZE - 1) == 0)
            return true;
    return false;
}
