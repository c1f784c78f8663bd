/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef STEVED_IOCTLS_H
#define STEVED_IOCTLS_H

#include "steved/server.h"

/* The ioctls of protocol.h, and FIONREAD. A CUSE device asks for them without their data first: then
 * `argument` is where the data is in the client. Answers the request. */
void request_ioctl(fuse_req_t request, unsigned command, void *argument,
                   const struct fuse_file_info *fi, unsigned flags, const void *in, size_t in_size,
                   size_t out_size);

#endif
