/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/program/output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "libjobserver/process.h"

/* Nobody reads a pipe (SIGPIPE), or a file may not become longer (SIGXFSZ, ulimit -f). */
static sigset_t
signals_of_writing(void)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGPIPE);
    sigaddset(&signals, SIGXFSZ);
    return signals;
}

static ssize_t
write_now(int fd, const char *bytes, size_t size)
{
    struct pollfd polled = {.fd = fd, .events = POLLOUT};
    ssize_t sent = send(fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (sent >= 0 || errno != ENOTSOCK)
        return sent;
    if (poll(&polled, 1, 0) == 0) {
        errno = EAGAIN;
        return -1;
    }
    return write(fd, bytes, size);
}

/* To be tried again: it has been interrupted, or somebody has set O_NONBLOCK, and we wait all the same. */
static bool
is_worth_another(int fd, bool may_wait)
{
    struct pollfd polled = {.fd = fd, .events = POLLOUT};

    if (errno == EAGAIN && may_wait)
        return poll(&polled, 1, -1) >= 0 || errno == EINTR;
    return errno == EINTR;
}

static int
write_all(int fd, const char *bytes, size_t size, bool may_wait)
{
    while (size > 0) {
        ssize_t written = may_wait ? write(fd, bytes, size) : write_now(fd, bytes, size);
        if (written < 0 && !is_worth_another(fd, may_wait))
            return -errno;
        if (written > 0) {
            bytes += written;
            size -= (size_t)written;
        }
    }
    return 0;
}

/* What the write has raised is taken away before it can be delivered. */
int
output_write(int fd, const char *bytes, size_t size, bool may_wait)
{
    const sigset_t signals = signals_of_writing();
    const struct timespec at_once = {0};
    sigset_t before;

    pthread_sigmask(SIG_BLOCK, &signals, &before);
    int result = write_all(fd, bytes, size, may_wait);
    if (result == -EPIPE || result == -EFBIG)
        sigtimedwait(&signals, NULL, &at_once);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result;
}

int
output_open_own(int fd)
{
    struct stat status;

    if (fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISFIFO(status.st_mode) && !S_ISCHR(status.st_mode))
        return -EOPNOTSUPP;
    return process_reopen(fd, O_WRONLY | O_NONBLOCK | O_NOCTTY);
}
