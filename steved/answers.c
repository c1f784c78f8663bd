/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/answers.h"

#include <fuse_lowlevel.h>
#include <sys/uio.h>

#include "steved/channel.h"

void
answer_error(const struct request *request, int error)
{
    struct channel *channel = fuse_req_userdata(request->handle);

    channel_give(channel, fuse_reply_err(request->handle, error));
}

void
answer_waiting(struct fuse_req *handle, int error)
{
    struct channel *channel = fuse_req_userdata(handle);

    channel_give(channel, fuse_reply_err(handle, error));
}

/* Rule 4: all bytes are the same. */
bool
answer_token(struct fuse_req *handle)
{
    struct channel *channel = fuse_req_userdata(handle);
    static const char token[1] = {'+'};

    return channel_give(channel, fuse_reply_buf(handle, token, sizeof(token))) == 0;
}

void
answer_empty(const struct request *request)
{
    struct channel *channel = fuse_req_userdata(request->handle);

    channel_give(channel, fuse_reply_buf(request->handle, NULL, 0));
}

void
answer_written(const struct request *request, size_t size)
{
    struct channel *channel = fuse_req_userdata(request->handle);

    channel_give(channel, fuse_reply_write(request->handle, size));
}

void
answer_poll(const struct request *request, unsigned ready)
{
    struct channel *channel = fuse_req_userdata(request->handle);

    channel_give(channel, fuse_reply_poll(request->handle, ready));
}

void
answer_ioctl(const struct request *request, const void *out, size_t size)
{
    struct channel *channel = fuse_req_userdata(request->handle);

    channel_give(channel, fuse_reply_ioctl(request->handle, 0, size ? out : NULL, size));
}

void
answer_ioctl_retry(const struct request *request, void *argument, size_t in_size, size_t out_size)
{
    struct channel *channel = fuse_req_userdata(request->handle);
    struct iovec in = {argument, in_size}, out = {argument, out_size};

    channel_give(channel, fuse_reply_ioctl_retry(request->handle, &in, in_size ? 1 : 0, &out,
                                                 out_size ? 1 : 0));
}

bool
answer_is_interrupted(const struct request *request)
{
    return fuse_req_interrupted(request->handle);
}

void
answer_on_interrupt(const struct request *request,
                    void (*interrupted)(struct fuse_req *handle, void *data), void *data)
{
    fuse_req_interrupt_func(request->handle, interrupted, data);
}

void
answer_notify(struct channel *channel, struct fuse_pollhandle *pollhandle)
{
    channel_give(channel, fuse_lowlevel_notify_poll(pollhandle));
    fuse_pollhandle_destroy(pollhandle);
}

void
answer_forget(struct fuse_pollhandle *pollhandle)
{
    fuse_pollhandle_destroy(pollhandle);
}
