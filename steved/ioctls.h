/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "steved/requests.h"

/* What came with an ioctl. A CUSE device asks for them without their data first (`may_retry`): then
 * `argument` is where the data is in the client. */
struct ioctl_call {
    unsigned command;
    void *argument;
    const void *in;
    size_t in_size, out_size;
    bool may_retry;
};

/* The ioctls of protocol.h, and FIONREAD. Answers the request. */
void request_ioctl(struct opening *opening, const struct request *request,
                   const struct ioctl_call *call);
