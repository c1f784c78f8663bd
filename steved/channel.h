/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The kernel's device, and the way of libfuse's answers to it: each passes through a function of ours.
 *
 * libfuse calls that function itself if it was built with custom I/O. Else libfuse takes one end of a pipe for
 * the device, and whoever has made it answer calls channel_give() right after that, before anything else
 * happens.
 */

#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "steved/state.h"

struct fuse_session;

/* Gives an answer to the kernel, as writev(2) would. */
typedef ssize_t channel_answer(int fd, struct iovec *parts, int count, void *channel);

/* What libfuse knows as the userdata of its session begins with it. */
struct channel {
    int fd; /* of the kernel's device; -1: there is none yet */
    channel_answer *answer;
    int libfuse_fd,
        caught_fd;   /* the pipe: libfuse writes, and we read; -1: libfuse calls `answer` */
    uint64_t unique; /* of the request that is processed; 0: it has been answered */
    unsigned char caught[STATE_ANSWER_SIZE];
};

/* libfuse's own messages become ours. */
void channel_init(struct channel *channel, channel_answer *answer);

/* libfuse serves the device by this descriptor, which is the channel's from now on. 0, or a negative errno
 * after having said it: it stays the caller's. */
int channel_open(struct channel *channel, struct fuse_session *fuse, int fd);
/* After each function of libfuse that answers: `error` is what that function returned; returns what became of the
 * answer: 0, or a negative errno. */
int channel_give(struct channel *channel, int error);
/* Before and after libfuse processes the request of this number: what it answers of its own accord is given. */
void channel_begin(struct channel *channel, uint64_t unique);
void channel_end(struct channel *channel);
void channel_close(struct channel *channel);
