/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "libjobserver/program/message.h"

/* The child has said what is wrong if it ends without a byte. */
static _Noreturn void
wait_until_ready(int ready_fd)
{
    char byte;
    ssize_t size;

    do
        size = read(ready_fd, &byte, 1);
    while (size < 0 && errno == EINTR);
    _exit(size == 1 ? EXIT_SUCCESS : EXIT_FAILURE);
}

int
daemon_start(struct daemon_start *daemon, bool is_daemon)
{
    int ends[2];

    if (!is_daemon)
        return 0;
    if (pipe2(ends, O_CLOEXEC) < 0) {
        message_errno(errno, "start: pipe");
        return -errno;
    }
    pid_t child = fork();
    if (child < 0) {
        int error = errno;
        message_errno(error, "start: fork");
        close(ends[0]);
        close(ends[1]);
        return -error;
    }
    if (child > 0) {
        close(ends[1]);
        wait_until_ready(ends[0]);
    }
    close(ends[0]);
    setsid();
    daemon->is_daemon = true;
    daemon->ready_fd = ends[1];
    return 0;
}

void
daemon_continue(bool is_daemon)
{
    if (!is_daemon)
        return;
    message_open_syslog();
    message_to_syslog();
}

void
daemon_forget(struct daemon_start *daemon)
{
    if (daemon->ready_fd >= 0)
        close(daemon->ready_fd);
    daemon->ready_fd = -1;
}

int
daemon_prepare(struct daemon_start *daemon)
{
    if (!daemon->is_daemon)
        return 0;
    daemon->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (daemon->null_fd < 0) {
        message_errno(errno, "start: open /dev/null");
        return -errno;
    }
    if (chdir("/") < 0) {
        message_errno(errno, "start: change to directory /");
        return -errno;
    }
    message_open_syslog();
    return 0;
}

void
daemon_ready(struct daemon_start *daemon)
{
    static const char byte = '\0';

    if (!daemon->is_daemon)
        return;
    message_to_syslog();
    for (int fd = 0; fd <= 2; fd++)
        dup2(daemon->null_fd, fd);
    close(daemon->null_fd);
    /* If nobody reads it, nobody waits. */
    if (daemon->ready_fd >= 0 && write(daemon->ready_fd, &byte, 1) < 0 && errno != EPIPE)
        message_errno(errno, "start: tell the parent");
    daemon_forget(daemon);
}
