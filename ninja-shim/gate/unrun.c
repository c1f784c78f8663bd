/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is said in the output of a job that was not run. */
#include "ninja-shim/gate/unrun.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <unistd.h>

void
unrun_tell(int pidfd)
{
    char text[100];
    /* Opened by /proc it would begin at the start of a file. */
    int fd = pidfd_getfd(pidfd, STDOUT_FILENO, 0);
    struct pollfd polled = {.fd = fd, .events = POLLOUT};

    if (fd < 0)
        return;
    int length = snprintf(text, sizeof(text), "%.30s: not run, since another job has failed\n",
                          program_invocation_short_name);
    if (poll(&polled, 1, 0) == 1 && (polled.revents & POLLOUT) &&
        write(fd, text, (size_t)length) < 0)
        errno = 0; /* there is nobody else to tell */
    close(fd);
}
