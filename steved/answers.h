/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What goes back to the kernel for a request: the one way from the files that keep account (requests.c,
 * ioctls.c) to FUSE. A request is answered once, by one of these functions, and is no more then.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct channel;
struct fuse_req;        /* libfuse's fuse_req_t */
struct fuse_pollhandle; /* where the kernel wants to hear that a poll may have another answer */

/* Who asks, and how. */
struct request {
    struct fuse_req *handle;
    pid_t tid; /* of the thread; 0: outside of our pid namespace */
    uid_t uid;
    bool is_nonblocking;
    unsigned poll_events; /* what a poll asks for; 0: it does not say */
    uint64_t
        poll_handle; /* of a poll that is to be told of another answer: by which the kernel knows it */
};

void answer_error(const struct request *request, int error);
/* A read: one token; false: nobody is there any more. Or no byte, as was asked for. */
bool answer_token(struct fuse_req *handle);
void answer_empty(const struct request *request);
/* A write of so many bytes. */
void answer_written(const struct request *request, size_t size);
/* A poll. */
void answer_poll(const struct request *request, unsigned ready);
/* An ioctl: what goes out. Or: where the caller's argument is, and how much of it is needed, which is
 * then asked for again with it. */
void answer_ioctl(const struct request *request, const void *out, size_t size);
void answer_ioctl_retry(const struct request *request, void *argument, size_t in_size,
                        size_t out_size);
/* A read that has waited: its end without a token. */
void answer_waiting(struct fuse_req *handle, int error);

/* Has a signal come before we could look at it? */
bool answer_is_interrupted(const struct request *request);
/* Calls `interrupted`, which answers, when a signal ends the caller's wait. */
void answer_on_interrupt(const struct request *request,
                         void (*interrupted)(struct fuse_req *handle, void *data), void *data);

/* Tells the kernel to poll again; the handle is no more. */
void answer_notify(struct channel *channel, struct fuse_pollhandle *pollhandle);
void answer_forget(struct fuse_pollhandle *pollhandle);
