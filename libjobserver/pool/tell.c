/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What happens, told to a log while somebody reads it. */
#include "libjobserver/pool/private.h"

void
pool_tell(struct pool *pool, struct event_log *log, unsigned job_class)
{
    pool->log = log;
    pool->job_class = job_class;
}

static pid_t
pid_of(struct pool_holder *holder)
{
    if (!holder->is_group)
        return container_of(holder, struct pool_process, holder)->pid;
    const struct pool_group *group = container_of(holder, struct pool_group, holder);
    const struct pool_process *first = TAILQ_FIRST(&group->members);
    return first ? first->pid : group->last_pid;
}

static void
describe(const struct pool *pool, const struct pool_account *account, struct steved_event *event)
{
    event->used = pool_used(pool);
    event->waiting = pool->waiter_count - pool->reserved;
    if (!account)
        return;
    event->account = account->key;
    event->uid = account->user->uid;
    event->held = account->share.tokens;
}

static void
add(struct pool *pool, enum steved_event_kind kind, const struct pool_account *account, pid_t pid,
    unsigned count)
{
    struct steved_event *event = event_log_add(pool->log, kind);

    event->job_class = pool->job_class;
    event->pid = pid;
    event->count = count;
    describe(pool, account, event);
}

void
pool_add_event(struct pool *pool, enum steved_event_kind kind, struct pool_holder *holder,
               unsigned count)
{
    add(pool, kind, holder->account, pid_of(holder), count);
}

void
pool_add_jobs(struct pool *pool)
{
    add(pool, STEVED_EVENT_JOBS, NULL, 0, pool->capacity);
}

void
pool_add_weight(struct pool *pool, const struct pool_account *account)
{
    add(pool, STEVED_EVENT_WEIGHT, account, 0, account->share.weight);
}

void
pool_add_pause(struct pool *pool, const struct pool_account *account)
{
    add(pool, STEVED_EVENT_PAUSED, account, 0, 0);
    event_log_newest(pool->log)->status = account->pause;
}

void
pool_add_left(struct pool *pool, const struct pool_group *group, pid_t pid)
{
    add(pool, STEVED_EVENT_LEFT, group->holder.account, pid, 0);
}

void
pool_add_grant(struct pool *pool, struct pool_holder *holder, const struct pool_wait *wait)
{
    pool_add_event(pool, STEVED_EVENT_GRANTED, holder, 1);
    struct steved_event *event = event_log_newest(pool->log);
    event->status = wait->status;
    if (wait->since_ns > 0)
        event->duration_ns = (uint64_t)(pool->log->now_ns - wait->since_ns);
}

/* Several of one holder at a time are one event. */
void
pool_add_return(struct pool *pool, struct pool_holder *holder, enum steved_event_kind kind,
                int status)
{
    struct steved_event *newest = event_log_newest(pool->log);
    const pid_t pid = pid_of(holder);

    if (newest && newest->kind == kind && newest->pid == pid && newest->status == status &&
        newest->job_class == pool->job_class && newest->account == holder->account->key &&
        newest->uid == holder->account->user->uid) {
        newest->count++;
        describe(pool, holder->account, newest);
        return;
    }
    pool_add_event(pool, kind, holder, 1);
    event_log_newest(pool->log)->status = status;
}
