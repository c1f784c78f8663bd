/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "jobwrap/source.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "libjobserver/program/clock.h"
#include "libjobserver/program/message.h"

#define FIFO_ACCOUNT 1u
/* While the parent asks for tokens and somebody waits here: it does not tell by itself when it asks no more. */
#define ASK_AGAIN_NS (500 * INT64_C(1000000))
#define MIN_JOBS 1u /* not below this does a limit hold anything back */

/* --- tokens from the parent, and back --- */

unsigned
source_borrowed(const struct source *source)
{
    return source->borrowed;
}

static unsigned
count_all(const struct source *source)
{
    return source->own + source_borrowed(source);
}

/* Does one job run on without a token? One that ran when the parent was lost does; and without a parent nobody would
 * ever get one. */
static bool
has_one_for_nothing(const struct source *source)
{
    return count_all(source) == 0 && (source->is_parent_gone || pool_used(source->pool) > 0);
}

/* As many as there are, less those that are to go home: but the first job runs on in any case. None, if all jobs run
 * elsewhere and the parent has got back what they had. */
static unsigned
wanted_capacity(const struct source *source)
{
    unsigned all = has_one_for_nothing(source) ? 1 : count_all(source);

    if (source->asked > 0 && all > 0)
        all -= source->asked < all ? source->asked : all - 1;
    return source->limit > 0 && source->limit < all ? source->limit : all;
}

static void
adjust_capacity(struct source *source)
{
    struct pool_status status;
    unsigned wanted = wanted_capacity(source);

    pool_get_status(source->pool, &status);
    if (wanted != status.capacity && pool_set_capacity(source->pool, wanted, clock_now_ns()) < 0)
        message("set %u jobs: out of memory", wanted);
}

/* `what` of it has failed. */
static void
lose_parent(struct source *source, const char *what, int error)
{
    if (source->is_parent_gone)
        return;
    message("%s %s: %s; going on with the tokens borrowed so far", what,
            client_name(source->parent->jobserver.client), strerror(-error));
    source->is_parent_gone = true;
    source->asked = 0;
    if (source->lost)
        source->lost(source->lost_argument);
}

static void
pay_implicit(struct source *source)
{
    if (source->owes_implicit && client_pay_implicit(source->parent->jobserver.client) == 0)
        source->owes_implicit = false;
}

/* true: there is one more. */
static bool
borrow(struct source *source)
{
    unsigned all = count_all(source);

    if (!source->ledger || source->is_parent_empty || source->is_parent_gone || source->asked > 0 ||
        (source->limit > 0 && all >= source->limit))
        return false;
    int result = ledger_borrow(source->ledger);
    source->is_parent_empty = result == 0;
    if (result == 1) {
        source->borrowed++;
        pay_implicit(source);
    } else if (result == -ENOSPC) {
        message("ledger: there is no room for more than %u tokens", source_borrowed(source));
        source->limit = all;
    } else if (result < 0) {
        lose_parent(source, "acquire from", result);
    }
    return result == 1;
}

/* What is in the ledger and nobody has: free with nobody waiting who may have it, or a debt that was paid. */
static unsigned
count_idle(const struct source *source)
{
    struct pool_status status;

    pool_get_status(source->pool, &status);
    bool is_wanted = status.waiting > status.paused && !pool_is_throttled(source->pool);
    unsigned used = pool_used(source->pool) + (is_wanted ? status.free : 0);
    unsigned all = count_all(source), in_ledger = source_borrowed(source);
    unsigned idle = all > used ? all - used : 0;
    return idle < in_ledger ? idle : in_ledger;
}

static void
repay(struct source *source)
{
    unsigned idle = source->ledger && !source->is_parent_gone ? count_idle(source) : 0;
    int result = 0;

    while (idle-- > 0 && (result = ledger_repay(source->ledger)) > 0) {
        source->borrowed--;
        if (source->asked > 0)
            source->asked--;
    }
    if (client_is_gone(result))
        lose_parent(source, "return to", result);
    adjust_capacity(source);
}

static bool
is_waited_for(const struct source *source)
{
    struct pool_status status;

    pool_get_status(source->pool, &status);
    return status.waiting > status.paused && status.free == 0 && status.debt == 0 &&
           !pool_is_throttled(source->pool);
}

/* More is used than there is: the parent that had lent it is no more. */
static bool
is_uncovered(const struct source *source)
{
    return pool_used(source->pool) > count_all(source);
}

/* --- limits --- */

static void
look_at_stream(struct source *source)
{
    stream_look(&source->stream, source->throttle.state.held_back_by, clock_now_ns());
}

void
source_look(struct source *source)
{
    look_at_stream(source);
    throttle_look(&source->throttle, source->pool, MIN_JOBS, clock_now_ns());
    look_at_stream(source);
}

unsigned
source_excess(const struct source *source)
{
    return pool_excess(source->pool);
}

/* --- who is told --- */

/* false: there was nothing to be told. */
static bool
tell_all(struct source *source)
{
    struct pool_due due;
    bool is_for_fifo = false, is_any = false;

    while (pool_next_due(source->pool, &due)) {
        is_any = true;
        if (due.owner == source)
            is_for_fifo = true;
        else
            source->tell(due.owner, due.kind);
    }
    const unsigned excess = source_excess(source);
    bool has_grown = excess > source->excess;
    source->excess = excess;
    if (is_for_fifo || has_grown)
        source->wake(source->argument);
    return is_any || has_grown;
}

static bool
is_anybody_waiting(const struct source *source)
{
    struct pool_status status;

    pool_get_status(source->pool, &status);
    return status.waiting > status.paused;
}

static void
watch(struct source *source)
{
    int64_t deadline_ns = pool_next_deadline(source->pool);
    int64_t again_ns = clock_now_ns() + ASK_AGAIN_NS;
    int64_t look_ns = throttle_deadline_ns(&source->throttle, source->pool, source->lying > 0);

    if (look_ns < deadline_ns)
        deadline_ns = look_ns;
    if (source->stream.again_ns < deadline_ns)
        deadline_ns = source->stream.again_ns;
    if (source->asked > 0 && is_anybody_waiting(source) && again_ns < deadline_ns)
        deadline_ns = again_ns;
    if (source->parent_event && source->is_parent_empty && !source->is_parent_gone &&
        (is_waited_for(source) || is_uncovered(source)))
        event_add(source->parent_event, NULL);
    else if (source->parent_event)
        event_del(source->parent_event);
    if (deadline_ns == POOL_NO_DEADLINE) {
        event_del(source->deadline);
        return;
    }
    struct timeval left = clock_until(deadline_ns, clock_now_ns());
    event_add(source->deadline, &left);
}

/* What the parent asks for it may not need any more: of that it tells nothing by itself. */
static void
ask_parent(struct source *source)
{
    if (source->asked == 0)
        return;
    int asked = parent_recalled(source->parent, source->recall_fd);
    source->asked = asked > 0 ? (unsigned)asked : 0;
    if (client_is_gone(asked))
        lose_parent(source, "ask", asked);
    adjust_capacity(source);
}

void
source_feed(struct source *source)
{
    ask_parent(source);
    while ((is_waited_for(source) || is_uncovered(source)) && borrow(source))
        adjust_capacity(source);
    repay(source);
}

/* Whoever has none here counts so at the parent, while we wait there. */
static void
tell_parent(struct source *source)
{
    bool waits_there = source->is_parent_empty && !pool_is_throttled(source->pool);
    unsigned needy = waits_there ? pool_count_needy(source->pool) : 0;

    if (!source->ledger || needy == source->needy || source->is_parent_gone)
        return;
    source->needy = needy;
    client_need(source->parent->jobserver.client, needy);
}

/* Whoever is woken may do something to the pool, and say so by calling this. */
void
source_settle(struct source *source)
{
    if (source->is_settling)
        return;
    source->is_settling = true;
    look_at_stream(source);
    do
        source_feed(source);
    while (tell_all(source));
    tell_parent(source);
    stream_settle(&source->stream, NULL);
    watch(source);
    source->is_settling = false;
}

/* --- events --- */

static void
on_parent(evutil_socket_t fd, short what, void *argument)
{
    struct source *source = argument;

    source->is_parent_empty = false;
    source_look(source);
    source_settle(source);
}

static void
on_recall(evutil_socket_t fd, short what, void *argument)
{
    struct source *source = argument;

    source->asked = 1; /* or more: source_feed() asks how many */
    source_settle(source);
}

static void
on_deadline(evutil_socket_t fd, short what, void *argument)
{
    struct source *source = argument;

    source_look(source);
    pool_expire(source->pool, clock_now_ns());
    source_settle(source);
}

/* --- the FIFO's account --- */

bool
source_await(struct source *source)
{
    if (pool_poll(source->pool, source->opening, source->process, true, clock_now_ns()))
        return true;
    source_feed(source);
    return pool_poll(source->pool, source->opening, source->process, true, clock_now_ns());
}

int
source_take(struct source *source)
{
    struct pool_waiter *none;

    if (!source_await(source) || pool_read(source->pool, source->opening, source->process, true,
                                           NULL, &none, clock_now_ns()) != POOL_GRANTED)
        return 0;
    if (source_held_in_all(source) == 1)
        pool_pay_implicit(source->pool, source->opening, source->process, clock_now_ns());
    return 1;
}

void
source_leave(struct source *source)
{
    pool_unpoll(source->pool, source->opening, source->process);
    source_feed(source);
}

void
source_give(struct source *source)
{
    pool_write(source->pool, source->opening, source->process, 1, clock_now_ns());
    source_feed(source);
}

unsigned
source_held_in_all(const struct source *source)
{
    return pool_held(source->opening);
}

unsigned
source_held(const struct source *source)
{
    unsigned held = source_held_in_all(source);

    return held > 0 ? held - 1 : 0;
}

unsigned
source_held_by_others(const struct source *source)
{
    struct pool_status status;

    pool_get_status(source->pool, &status);
    return status.held - pool_held(source->opening);
}

unsigned
source_recalled(const struct source *source)
{
    return pool_recalled(source->pool, source->opening);
}

void
source_set_idle(struct source *source, unsigned lying)
{
    source->lying = lying;
    pool_set_idle(source->pool, source->opening, lying, clock_now_ns());
}

unsigned
source_count_claimed(const struct source *source, unsigned lying)
{
    unsigned held = source_held_in_all(source), idle = lying < held ? lying : held;
    unsigned taken = pool_claims(source->opening) + idle;
    unsigned claimed = taken > held ? taken - held : 0;

    return claimed < idle ? claimed : idle;
}

bool
source_others_wait(const struct source *source)
{
    return pool_others_wait(source->pool, source->opening);
}

bool
source_is_needed(const struct source *source)
{
    struct pool_status status;

    pool_get_status(source->pool, &status);
    return source_others_wait(source) || status.debt > 0 ||
           (source->ledger && !source->is_parent_gone &&
            parent_is_needed(source->parent, source->is_parent_empty));
}

bool
source_is_paused(const struct source *source)
{
    struct steved_status status;

    return source->ledger && !source->is_parent_gone &&
           (source->is_parent_empty || source->asked > 0) &&
           client_get_status(source->parent->jobserver.client, &status) == 0 &&
           status.flags & STEVED_STATUS_IS_PAUSED;
}

static void
set_jobs(struct source *source, unsigned jobs)
{
    source->limit = jobs;
    if (!source->ledger)
        source->own = jobs;
    adjust_capacity(source);
}

int
source_set(struct source *source, const struct steved_settings *settings)
{
    bool has_jobs = settings->named & STEVED_SET_JOBS;

    if (has_jobs && (settings->jobs < 1 || settings->jobs > POOL_CAPACITY_MAX))
        return -EINVAL;
    int result = throttle_set(&source->throttle, settings);
    if (result < 0)
        return result;
    source_look(source);
    if (has_jobs)
        set_jobs(source, settings->jobs);
    source_settle(source);
    return 0;
}

/* --- its life --- */

static int
open_account(struct source *source)
{
    struct pool_account *account = pool_account(source->pool, geteuid(), FIFO_ACCOUNT);
    struct pool_waiter *none;
    const int64_t now_ns = clock_now_ns();

    source->process = account ? pool_process_add(source->pool, getpid(), account, true) : NULL;
    source->opening = source->process ? pool_open(source->pool, source->process, source) : NULL;
    if (!source->opening)
        return -ENOMEM;
    int result =
        pool_group_join(source->pool, source->opening, source->process, FIFO_ACCOUNT, now_ns);
    if (result < 0)
        return result;
    if (pool_read(source->pool, source->opening, source->process, true, NULL, &none, now_ns) !=
        POOL_GRANTED)
        return -EIO;
    return pool_pay_implicit(source->pool, source->opening, source->process, now_ns);
}

static int
watch_parent(struct source *source, struct event_base *base)
{
    struct client *client = source->parent->jobserver.client;

    source->parent_event =
        event_new(base, client_fd(client), EV_READ | EV_PERSIST, on_parent, source);
    if (!source->parent_event)
        return -ENOMEM;
    source->recall_fd = parent_open_recall(source->parent);
    if (source->recall_fd == -EOPNOTSUPP)
        return 0;
    if (source->recall_fd < 0)
        return source->recall_fd;
    source->recall_event =
        event_new(base, source->recall_fd, EV_READ | EV_PERSIST, on_recall, source);
    return source->recall_event && event_add(source->recall_event, NULL) == 0 ? 0 : -ENOMEM;
}

static void
unwatch_parent(struct source *source)
{
    if (source->parent_event)
        event_free(source->parent_event);
    if (source->recall_event)
        event_free(source->recall_event);
    if (source->recall_fd >= 0)
        close(source->recall_fd);
    source->parent_event = source->recall_event = NULL;
    source->recall_fd = -1;
}

static int
open_throttle(struct source *source)
{
    int result = throttle_is_set(&source->throttle) ? throttle_open(&source->throttle, "") : 0;

    if (result < 0)
        message_errno(-result, "read the memory or the load of the machine");
    return result;
}

int
source_open(struct source *source, struct event_base *base)
{
    source->recall_fd = -1;
    throttle_init(&source->throttle, &source->limits);
    stream_init(&source->stream);
    source->borrowed = source->ledger ? ledger_borrowed(source->ledger) : 0;
    source->pool = pool_create(source->own + source_borrowed(source));
    source->deadline = evtimer_new(base, on_deadline, source);
    if (!source->pool || !source->deadline)
        return -ENOMEM;
    pool_tell(source->pool, &source->stream.log, 0);
    int result = open_throttle(source);
    if (result == 0)
        result = open_account(source);
    if (result == 0 && source->ledger)
        result = watch_parent(source, base);
    return result;
}

void
source_close(struct source *source)
{
    unwatch_parent(source);
    if (source->deadline)
        event_free(source->deadline);
    pool_destroy(source->pool);
    throttle_close(&source->throttle);
    *source = (struct source){.recall_fd = -1};
}

/* --- the next parent --- */

void
source_renew(struct source *source, bool is_implicit_paid)
{
    unwatch_parent(source);
    source->own = is_implicit_paid ? 1 : 0;
    source->owes_implicit = !is_implicit_paid;
    source->needy = source->asked = 0;
    source->is_parent_empty = source->is_parent_gone = false;
    int result = ledger_renew(source->ledger);
    if (result >= 0) {
        source->borrowed = (unsigned)result;
        if (source->borrowed > 0)
            pay_implicit(source);
        result = watch_parent(source, event_get_base(source->deadline));
    }
    if (result < 0)
        lose_parent(source, "acquire from", result);
    adjust_capacity(source);
    source_settle(source);
    source->wake(source->argument);
}
