/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Whether a server that is told of jobs (STEVED_IOC_TELL) has anybody who reads: what it said last, and from when on
 * it may be asked again. All zero: it has not been asked. No I/O, no clock.
 */

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "libjobserver/protocol.h"

struct event_readers {
    bool is_there;
    int64_t ask_ns; /* if there is none; INT64_MAX: this server tells nobody */
};

static inline bool
event_readers_may_ask(const struct event_readers *readers, int64_t now_ns)
{
    return readers->is_there || now_ns >= readers->ask_ns;
}

/* What client_tell() has returned, and *told has been answered. */
static inline void
event_readers_answered(struct event_readers *readers, int result, const struct steved_told *told,
                       int64_t now_ns)
{
    if (result != -EAGAIN) /* else there is one, and this was too much */
        readers->is_there = result == 0 && told->is_read;
    readers->ask_ns =
        result == -ENOTTY ? INT64_MAX : now_ns + STEVED_TELL_AGAIN_MS * INT64_C(1000000);
}
