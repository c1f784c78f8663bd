/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which job runs next, and on what; and when none may run any more. */
#include "ninja-shim/gate/queue.h"

#include <assert.h>
#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>

static struct job *
first_that_runs_on(const struct queue *queue, enum job_pay pay)
{
    struct job *job;

    TAILQ_FOREACH (job, &queue->running, in_queue) {
        if (job->pay == pay)
            return job;
    }
    return NULL;
}

struct job *
queue_first_unpaid(const struct queue *queue)
{
    return queue->rules.needs_no_tokens ? NULL : first_that_runs_on(queue, PAY_NOTHING);
}

/* It comes before who waits. */
static void
give_slot_to_unpaid(struct queue *queue)
{
    struct job *job = queue_first_unpaid(queue);

    if (!job || queue->implicit || !queue->rules.is_implicit_paid)
        return;
    job->pay = PAY_IMPLICIT;
    queue->implicit = job;
}

void
queue_init(struct queue *queue, const struct queue_rules *rules)
{
    *queue = (struct queue){.rules = *rules};
    TAILQ_INIT(&queue->waiting);
    TAILQ_INIT(&queue->running);
    TAILQ_INIT(&queue->ending);
}

void
queue_pay_implicit(struct queue *queue)
{
    queue->rules.is_implicit_paid = true;
    give_slot_to_unpaid(queue);
}

void
queue_add(struct queue *queue, struct job *job)
{
    job->state = JOB_WAITING;
    job->pay = PAY_NOTHING;
    TAILQ_INSERT_TAIL(&queue->waiting, job, in_queue);
}

/* --- pools --- */

static bool
runs_on_classes(const struct queue *queue, const struct job *job)
{
    return job->instead != 0 && !(job->instead & queue->shut);
}

unsigned
queue_needs(const struct queue *queue, const struct job *job)
{
    const unsigned besides = job->besides & ~queue->shut;

    if (queue->rules.needs_no_tokens)
        return besides;
    return besides | (runs_on_classes(queue, job) ? job->instead : QUEUE_CPU);
}

static bool
slot_is_free(const struct queue *queue)
{
    return queue->rules.is_implicit_paid && !queue->implicit;
}

bool
queue_is_held_up(const struct queue *queue, const struct job *job)
{
    unsigned empty = slot_is_free(queue) ? queue->empty & ~QUEUE_CPU : queue->empty;

    if (queue->is_serial)
        return false;
    return job->is_unknown || (queue_needs(queue, job) & empty) != 0;
}

void
queue_set_empty(struct queue *queue, unsigned pools)
{
    queue->empty |= pools;
    queue->shut &= ~pools;
}

void
queue_set_shut(struct queue *queue, unsigned classes)
{
    queue->shut |= classes;
    queue->empty &= ~classes;
}

void
queue_set_open(struct queue *queue, unsigned pools)
{
    queue->empty &= ~pools;
    queue->shut &= ~pools;
}

struct job *
queue_first(const struct queue *queue)
{
    struct job *job;

    TAILQ_FOREACH (job, &queue->waiting, in_queue)
        if (!queue_is_held_up(queue, job))
            return job;
    return NULL;
}

/* --- deciding --- */

/* As in ninja: one job always may run, another if there is room for a whole one. */
static bool
is_overloaded(const struct queue *queue, double load)
{
    return queue->rules.load_max > 0 && !TAILQ_EMPTY(&queue->running) &&
           queue->rules.load_max - load < 1;
}

enum queue_step
queue_next(const struct queue *queue, const struct job *chosen, double load)
{
    bool waits = chosen != NULL;

    if (queue->is_stopped && !TAILQ_EMPTY(&queue->waiting))
        return QUEUE_END;
    if (queue->is_serial)
        return waits && !queue->unknown && TAILQ_EMPTY(&queue->running) ? QUEUE_USE_IMPLICIT
                                                                        : QUEUE_REST;
    if (queue->rules.needs_no_tokens)
        return waits ? QUEUE_USE_NOTHING : QUEUE_REST;
    if (waits && !queue->unknown && !is_overloaded(queue, load))
        return runs_on_classes(queue, chosen) ? QUEUE_USE_CLASSES
               : slot_is_free(queue)          ? QUEUE_USE_IMPLICIT
                                              : QUEUE_USE_TOKEN;
    if (slot_is_free(queue) && first_that_runs_on(queue, PAY_TOKEN))
        return QUEUE_FREE_TOKEN;
    return waits && !queue->unknown ? QUEUE_LOAD : QUEUE_REST;
}

/* --- doing --- */

void
queue_run(struct queue *queue, struct job *job, enum job_pay pay)
{
    TAILQ_REMOVE(&queue->waiting, job, in_queue);
    TAILQ_INSERT_TAIL(&queue->running, job, in_queue);
    job->state = JOB_RUNNING;
    job->pay = pay;
    if (pay == PAY_IMPLICIT)
        queue->implicit = job;
}

struct job *
queue_shift(struct queue *queue)
{
    struct job *job = first_that_runs_on(queue, PAY_TOKEN);

    assert(job);
    job->pay = PAY_IMPLICIT;
    queue->implicit = job;
    return job;
}

void
queue_end(struct queue *queue, struct job *job)
{
    TAILQ_REMOVE(&queue->waiting, job, in_queue);
    TAILQ_INSERT_TAIL(&queue->ending, job, in_queue);
    job->state = JOB_ENDING;
}

enum job_pay
queue_put_off(struct queue *queue, struct job *job)
{
    enum job_pay pay = queue_remove(queue, job);

    TAILQ_INSERT_HEAD(&queue->waiting, job, in_queue);
    job->state = JOB_WAITING;
    return pay;
}

enum job_pay
queue_remove(struct queue *queue, struct job *job)
{
    enum job_pay pay = job->pay;

    switch (job->state) {
    case JOB_WAITING:
        TAILQ_REMOVE(&queue->waiting, job, in_queue);
        break;
    case JOB_RUNNING:
        TAILQ_REMOVE(&queue->running, job, in_queue);
        break;
    case JOB_ENDING:
        TAILQ_REMOVE(&queue->ending, job, in_queue);
        break;
    }
    if (queue->implicit == job)
        queue->implicit = NULL;
    job->pay = PAY_NOTHING;
    give_slot_to_unpaid(queue);
    return pay;
}

/* --- how jobs end --- */

static bool
is_interruption(int signal_number)
{
    return signal_number == SIGINT || signal_number == SIGTERM || signal_number == SIGHUP;
}

int
queue_exit_code(int wait_status)
{
    if (!WIFSIGNALED(wait_status))
        return WEXITSTATUS(wait_status);
    return 128 + (is_interruption(WTERMSIG(wait_status)) ? SIGINT : WTERMSIG(wait_status));
}

void
queue_serialize(struct queue *queue)
{
    queue->is_serial = true;
}

unsigned
queue_renew(struct queue *queue, bool is_implicit_paid, unsigned tokens)
{
    struct job *job;

    queue->is_serial = false;
    queue->rules.is_implicit_paid = is_implicit_paid;
    queue->implicit = NULL;
    TAILQ_FOREACH (job, &queue->running, in_queue)
        if (job->pay != PAY_CLASSES)
            job->pay = PAY_NOTHING;
    give_slot_to_unpaid(queue);
    for (; tokens > 0 && (job = queue_first_unpaid(queue)); tokens--)
        job->pay = PAY_TOKEN;
    return tokens;
}

void
queue_stop(struct queue *queue, int end_status)
{
    queue->is_stopped = true;
    queue->is_interrupted = queue->is_interrupted || end_status < 0;
    queue->end_status = end_status;
}

void
queue_ended(struct queue *queue, int wait_status)
{
    const unsigned allowed = queue->rules.failures_allowed;
    int code = queue_exit_code(wait_status);

    if (code == 0)
        return;
    queue->failures++;
    /* ninja takes a job that was interrupted for the user's wish to end the build. */
    bool interrupted = WIFSIGNALED(wait_status) && is_interruption(WTERMSIG(wait_status));
    if (allowed && (interrupted || queue->failures >= allowed))
        queue_stop(queue, code);
    queue->is_interrupted = queue->is_interrupted || (allowed && interrupted);
}

void
queue_ended_unknown(struct queue *queue)
{
    queue->unknown++;
}

void
queue_unknown_settled(struct queue *queue, unsigned settled)
{
    queue->unknown -= settled < queue->unknown ? settled : queue->unknown;
}
