/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What servers of a pool answer in the structures of protocol.h: steved by ioctl, jobwrap by its socket. */

#include <stddef.h>

#include "libjobserver/pool/pool.h"
#include "libjobserver/protocol.h"

/* All but min_jobs and per_process_limit, which are the server's; `opening`: who asks. */
void serve_status(const struct pool *pool, const struct pool_opening *opening,
                  struct steved_status *answer);
/* In: its cursor. 0, or -EINVAL: a reserved member is not 0. */
int serve_clients(const struct pool *pool, struct steved_clients *page);
/* 0, or -EINVAL: names settings that are not known. */
int serve_check_settings(const struct steved_settings *settings);
