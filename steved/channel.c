/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <linux/fuse.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libjobserver/program/message.h"
#include "steved/steps.h"

/* libfuse says what is wrong in its own words, in lines that end in a newline. */
__attribute__((format(printf, 2, 0))) static void
on_fuse_message(enum fuse_log_level level, const char *format, va_list arguments)
{
    char line[256];

    vsnprintf(line, sizeof(line), format, arguments);
    line[strcspn(line, "\n")] = '\0';
    message("%s", line);
}

static void
on_needless_message(enum fuse_log_level level, const char *format, va_list arguments)
{
}

void
channel_init(struct channel *channel, channel_answer *answer)
{
    fuse_set_log_func(on_fuse_message);
    *channel = (struct channel){.fd = -1, .answer = answer, .libfuse_fd = -1, .caught_fd = -1};
}

/* --- whom libfuse answers --- */

/* libfuse wants to have it, but session.c reads. */
static ssize_t
on_read(int fd, void *buffer, size_t size, void *userdata)
{
    return read(fd, buffer, size);
}

/* A libfuse that was built without says so, which is of no use to a user. */
static bool
has_custom_io(const struct channel *channel, struct fuse_session *fuse, int fd)
{
    const struct fuse_custom_io io = {.writev = channel->answer, .read = on_read};

    fuse_set_log_func(on_needless_message);
    bool has = steps_allow_custom_io() && fuse_session_custom_io(fuse, &io, fd) == 0;
    fuse_set_log_func(on_fuse_message);
    return has;
}

/* The longest answer fits, and some short ones. */
static int
open_pipe(int ends[2])
{
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return -errno;
    if (fcntl(ends[1], F_SETPIPE_SZ, 2 * STATE_ANSWER_SIZE) >= 0)
        return 0;
    int error = errno;
    close(ends[0]);
    close(ends[1]);
    return -error;
}

/* libfuse goes on with the number that it has of a mount, or gets here: the pipe takes its place. */
static int
open_catching(struct channel *channel, struct fuse_session *fuse, int fd)
{
    char path[32];
    int ends[2];

    snprintf(path, sizeof(path), "/dev/fd/%d", fd);
    if (fuse_session_fd(fuse) < 0 && fuse_session_mount(fuse, path) < 0)
        return -EIO;
    int error = open_pipe(ends);
    if (error < 0)
        return error;
    int kernel_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (kernel_fd < 0 || dup3(ends[1], fd, O_CLOEXEC) < 0) {
        error = -errno;
        close(ends[0]);
        if (kernel_fd >= 0)
            close(kernel_fd);
    } else {
        channel->fd = kernel_fd;
        channel->libfuse_fd = fd;
        channel->caught_fd = ends[0];
    }
    close(ends[1]);
    return error;
}

int
channel_open(struct channel *channel, struct fuse_session *fuse, int fd)
{
    if (has_custom_io(channel, fuse, fd)) {
        channel->fd = fd;
        return 0;
    }
    int error = open_catching(channel, fuse, fd);
    if (error < 0)
        message_errno(-error, "serve: make a pipe for libfuse");
    return error;
}

void
channel_close(struct channel *channel)
{
    if (channel->fd < 0)
        return;
    close(channel->fd);
    if (channel->caught_fd >= 0) {
        close(channel->caught_fd);
        close(channel->libfuse_fd);
    }
    channel->fd = channel->caught_fd = channel->libfuse_fd = -1;
}

/* --- what it has answered --- */

static int
give_one(struct channel *channel, void *answer, size_t size, bool is_plain)
{
    struct iovec whole = {answer, size};
    ssize_t given = is_plain ? write(channel->fd, answer, size)
                             : channel->answer(channel->fd, &whole, 1, channel);

    if (given >= 0)
        return 0;
    /* ENOENT: the request was interrupted. */
    int error = errno;
    if (error != ENOENT)
        message_errno(error, "serve: answer");
    return -error;
}

/* Of its own accord libfuse answers the request that it processes, and before that an interrupt that came too
 * late for its own: what has changed since is not recorded with that one. */
static int
give_all(struct channel *channel, bool last_is_ours)
{
    ssize_t size = read(channel->caught_fd, channel->caught, sizeof(channel->caught));
    int error = 0;

    for (size_t at = 0; size > 0 && at < (size_t)size;) {
        struct fuse_out_header header = {0};
        const size_t left = (size_t)size - at;
        memcpy(&header, channel->caught + at, left < sizeof(header) ? left : sizeof(header));
        if (header.len < sizeof(header) || header.len > left)
            return -EMSGSIZE;
        bool is_served = header.unique != 0 && header.unique == channel->unique;
        bool is_ours = is_served || (last_is_ours && header.len == left);
        error = give_one(channel, channel->caught + at, header.len, !is_ours);
        if (is_served)
            channel->unique = 0;
        at += header.len;
    }
    return error;
}

int
channel_give(struct channel *channel, int error)
{
    if (channel->caught_fd < 0)
        return error;
    int given = give_all(channel, error == 0);
    return error ? error : given;
}

void
channel_begin(struct channel *channel, uint64_t unique)
{
    channel->unique = unique;
}

void
channel_end(struct channel *channel)
{
    if (channel->caught_fd >= 0 && channel->unique != 0)
        give_all(channel, false);
    channel->unique = 0;
}
