/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/events/stream.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "libjobserver/pool/pool.h"
#include "libjobserver/process.h"
#include "libjobserver/program/clock.h"
#include "libjobserver/program/printable.h"
#include "libjobserver/serve.h"

/* Of memory is told so often at most: each of many gates tells the server ten times a second. */
#define MEMORY_EVERY_NS (100 * NS_PER_MS)

void
stream_init(struct stream *stream)
{
    *stream = (struct stream){.again_ns = EVENT_LOG_NEVER};
    event_log_init(&stream->log);
}

void
stream_tell_held_back(struct stream *stream, unsigned held_back_by)
{
    stream->held_back_by = held_back_by;
    if (event_log_is_read(&stream->log))
        event_log_add(&stream->log, STEVED_EVENT_HELD_BACK)->status = (int32_t)held_back_by;
}

void
stream_tell_memory(struct stream *stream, const struct memory_arbiter *arbiter, int64_t now_ns)
{
    struct steved_status status;

    if (!event_log_is_read(&stream->log) || now_ns - stream->memory_ns < MEMORY_EVERY_NS)
        return;
    stream->memory_ns = now_ns;
    memory_arbiter_status(arbiter, &status, now_ns);
    struct steved_event *event = event_log_add(&stream->log, STEVED_EVENT_MEMORY);
    event->bytes = memory_arbiter_used(arbiter, now_ns);
    event->expected_bytes = status.memory_growth_bytes;
    event->limit_bytes = status.memory_floor_bytes;
    event->available_bytes = status.memory_available_bytes;
    event->count = status.memory_waiting;
}

static void
name_client(struct steved_event *event, struct allowances *allowances)
{
    if (!allowances) {
        serve_name_client(event, true);
        return;
    }
    int64_t begun_ns = clock_spent_ns();
    serve_name_client(event, allowance_is_left(allowances, event->uid, clock_now_ns()));
    allowance_charge(allowances, event->uid, clock_spent_ns() - begun_ns, clock_now_ns());
}

void
stream_settle_read(struct stream *stream, struct allowances *allowances)
{
    struct event_log *log = &stream->log;
    struct steved_event *event;

    while ((event = event_log_next_unnamed(log)))
        name_client(event, allowances);
    bool is_waiting = stream->again_ns != EVENT_LOG_NEVER;
    if (!is_waiting && !event_log_has_news(log))
        return;
    const int64_t now_ns = clock_now_ns();
    if (is_waiting && now_ns < stream->again_ns && !event_log_has_many_news(log))
        return;
    stream->again_ns = event_log_wake(log, now_ns);
}

/* --- reading --- */

int
stream_read(struct stream *stream, struct event_reader *reader, struct steved_events *page,
            int64_t now_ns)
{
    if (page->size || page->has_more)
        return -EINVAL;
    int error = event_log_join(&stream->log, reader, now_ns);
    if (error == 0)
        event_log_read(&stream->log, reader, page, now_ns);
    return error;
}

/* --- what is told of jobs --- */

static bool
is_sound(const struct steved_told *told)
{
    if (told->count > STEVED_TOLD_PER_CALL || told->spare[0] || told->spare[1])
        return false;
    for (unsigned i = 0; i < told->count; i++)
        if (told->events[i].kind < STEVED_EVENT_JOB_WAITS ||
            told->events[i].kind >= STEVED_EVENT_KINDS)
            return false;
    return true;
}

/* Everybody gets those, so not everybody may tell them. */
static bool
has_places(const struct steved_told *told)
{
    for (unsigned i = 0; i < told->count; i++)
        if (told->events[i].kind == STEVED_EVENT_JOB_PLACED)
            return true;
    return false;
}

static uint64_t
time_of(const struct steved_event *told, int64_t now_ns)
{
    const uint64_t now = (uint64_t)now_ns;
    const uint64_t late_ns = STEVED_TOLD_LATE_MS * (uint64_t)NS_PER_MS;

    return told->time_ns <= now && now - told->time_ns <= late_ns ? told->time_ns : now;
}

static void
add_told(struct event_log *log, const struct pool_process *process, pid_t pid,
         const struct steved_event *told, int64_t now_ns)
{
    struct steved_event *event = event_log_add(log, told->kind);
    uint64_t account;

    pool_name_account(process, &account, &event->uid);
    event->account = account;
    event->time_ns = time_of(told, now_ns);
    event->pid = told->pid > 0 ? told->pid : pid;
    event->job = told->job;
    event->duration_ns = told->duration_ns;
    event->bytes = told->bytes;
    event->expected_bytes = told->expected_bytes;
    event->count = told->count;
    event->status = told->status;
    event->job_class = told->job_class;
    event->process = told->process;
    snprintf(event->name, sizeof(event->name), "%.*s", (int)sizeof(told->name) - 1, told->name);
    make_printable_text(event->name, sizeof(event->name));
}

int
stream_told(struct stream *stream, const struct pool_process *process, pid_t pid, bool is_owner,
            struct steved_told *told, int64_t now_ns)
{
    const bool is_read = event_log_is_read(&stream->log);

    if (!is_sound(told))
        return -EINVAL;
    if (!is_owner && has_places(told))
        return -EPERM;
    for (unsigned i = 0; is_read && i < told->count; i++)
        add_told(&stream->log, process, pid, &told->events[i], now_ns);
    *told = (struct steved_told){.is_read = is_read};
    return 0;
}
