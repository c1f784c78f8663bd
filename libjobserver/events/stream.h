/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The one stream of events of a server: its log, which the pool tells too (pool_tell()), and what both kinds of
 * servers tell besides, and answer to those who read and tell. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "libjobserver/events/log.h"
#include "libjobserver/memory/arbiter.h"
#include "libjobserver/program/allowance.h"
#include "libjobserver/protocol.h"

/* What each event of a job is charged to its user (program/allowance.h): 20,000 a second can be told in the long run. */
#define STREAM_TOLD_PRICE_NS INT64_C(10000)

struct pool_process;

struct stream {
    struct event_log log;
    unsigned held_back_by; /* as told last */
    int64_t memory_ns;     /* when that was told last */
    int64_t
        again_ns; /* when stream_settle() has something to do, whatever happens; or EVENT_LOG_NEVER */
};

void stream_init(struct stream *stream);

/* Before whatever may happen; held_back_by: STEVED_HELD_BACK_BY_*, what holds back grants now. */
void stream_tell_held_back(struct stream *stream, unsigned held_back_by);
static inline void
stream_look(struct stream *stream, unsigned held_back_by, int64_t now_ns)
{
    if (event_log_is_read(&stream->log))
        event_log_set_time(&stream->log, now_ns);
    if (held_back_by != stream->held_back_by)
        stream_tell_held_back(stream, held_back_by);
}

/* After it: those who have come get their names, at once, since they may be gone soon, at the cost of their users; and
 * those who read are woken. allowances: NULL: whatever it costs. */
void stream_settle_read(struct stream *stream, struct allowances *allowances);
static inline void
stream_settle(struct stream *stream, struct allowances *allowances)
{
    if (event_log_is_read(&stream->log))
        stream_settle_read(stream, allowances);
    else
        stream->again_ns = EVENT_LOG_NEVER;
}

/* After one of the parties has told of its memory. */
void stream_tell_memory(struct stream *stream, const struct memory_arbiter *arbiter,
                        int64_t now_ns);

/* STEVED_IOC_EVENTS; reader: names wake, owner, uid and sees_all. */
int stream_read(struct stream *stream, struct event_reader *reader, struct steved_events *page,
                int64_t now_ns);
/* STEVED_IOC_TELL, by a process of the pool; pid: as which it is seen; is_owner: root or the server's own user. */
int stream_told(struct stream *stream, const struct pool_process *process, pid_t pid, bool is_owner,
                struct steved_told *told, int64_t now_ns);
