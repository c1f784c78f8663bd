/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "jobwrap/relay.h"
#include "libjobserver/program/clock.h"
#include "libjobserver/program/message.h"
#include "libjobserver/program/numbers.h"

/* --- looking --- */

/* The implicit slot's. */
static unsigned
minus_one(unsigned tokens)
{
    return tokens > 0 ? tokens - 1 : 0;
}

static void
look(struct relay *relay)
{
    struct relay_view *view = &relay->view;

    view->held = source_held_in_all(relay->source);
    view->on_loan = loans_bytes(&relay->loans);
    view->missing = loans_missing(&relay->loans);
    view->borrowed = minus_one(view->held + view->on_loan);
    view->lying = private_fifo_lying(relay->fifo);
    view->others_wait = source_others_wait(relay->source);
    view->excess = source_excess(relay->source);
    source_set_idle(relay->source, view->lying);
}

/* What was done at the FIFO, by us too; and looks, so that it is known what is lent after it. */
static uint32_t
drain_events(struct relay *relay)
{
    uint32_t happened = fifo_watch_drain(&relay->watch);

    look(relay);
    reclaim_happened(&relay->reclaim, happened, relay_view_lent(&relay->view));
    return happened;
}

/* While somebody asks for tokens there is none to be had. */
static void
ask_recalled(struct relay *relay)
{
    relay->view.recalled = source_recalled(relay->source);
    if (relay->view.recalled > 0)
        relay->view.is_parent_empty = true;
}

/* --- doing --- */

static void
borrow(struct relay *relay, unsigned count, int64_t now_ns)
{
    for (; count > 0; count--) {
        int result = source_take(relay->source);
        relay->view.is_parent_empty = result == 0;
        if (result <= 0)
            return;
        if (!private_fifo_put(relay->fifo)) {
            source_give(relay->source);
            return;
        }
        report_borrowed(relay->report, source_borrowed(relay->source));
        relay_policy_laid(&relay->policy, now_ns);
    }
}

static void
take_home(struct relay *relay, unsigned count)
{
    /* Somebody may have been faster: what is not there is not returned. */
    while (count-- > 0 && private_fifo_take(relay->fifo)) {
        source_give(relay->source);
        source_set_idle(relay->source, private_fifo_lying(relay->fifo));
    }
}

/* A make puts back the token of a job, and somebody below it goes on with another on a claim. */
static void
give_claimed(struct relay *relay)
{
    /* What lies there beyond what was put in was never lent. */
    unsigned claimed =
        source_count_claimed(relay->source, lesser(relay->view.lying, relay->view.borrowed));

    if (claimed == 0)
        return;
    take_home(relay, claimed);
    drain_events(relay);
}

static void
drop(struct relay *relay, unsigned count)
{
    while (count-- > 0 && private_fifo_take(relay->fifo))
        relay->report->dropped++;
}

/* --- jobs that run elsewhere --- */

static void
pay(struct relay *relay)
{
    struct loan *loan = loans_pay(&relay->loans);

    if (loan)
        relay->loan_paid(loan);
}

static void
pay_from_fifo(struct relay *relay, unsigned count)
{
    while (count-- > 0 && private_fifo_take(relay->fifo))
        pay(relay);
}

static void
pay_from_parent(struct relay *relay, unsigned count)
{
    for (; count > 0; count--) {
        relay->view.is_parent_empty = source_take(relay->source) == 0;
        if (relay->view.is_parent_empty)
            return;
        pay(relay);
    }
}

static void
void_loans(struct relay *relay, unsigned count)
{
    while (count-- > 0 && private_fifo_take(relay->fifo))
        loans_void(&relay->loans, 1);
}

static void
do_step(struct relay *relay, const struct relay_step *step, int64_t now_ns)
{
    switch (step->action) {
    case RELAY_BORROW:
        borrow(relay, step->count, now_ns);
        break;
    case RELAY_TAKE_HOME:
        take_home(relay, step->count);
        break;
    case RELAY_DROP:
        drop(relay, step->count);
        break;
    case RELAY_PAY:
        pay_from_fifo(relay, step->count);
        break;
    case RELAY_COVER:
        pay_from_parent(relay, step->count);
        break;
    case RELAY_VOID:
        void_loans(relay, step->count);
        break;
    case RELAY_ASK:
        relay->view.parent = source_is_needed(relay->source) ? RELAY_NEEDED : RELAY_NOT_NEEDED;
        break;
    case RELAY_WAIT:
        break;
    }
}

static void
note(struct relay *relay, int64_t now_ns)
{
    bool starved = relay->view.lying == 0 && !relay->policy.is_resting &&
                   !memory_arbiter_has_waiting(relay->arbiter, now_ns);
    unsigned lent = relay_view_lent(&relay->view);

    lent -= lesser(lent, relay->loans.active);
    lent += source_held_by_others(relay->source);
    report_note(relay->report, lent, starved, now_ns);
}

void
relay_note(struct relay *relay)
{
    if (relay->has_report)
        note(relay, clock_now_ns());
}

static void
wait_for(struct relay *relay, const struct relay_step *step, int64_t now_ns)
{
    if (step->watches_fifo)
        collector_ask(&relay->collector);
    if (step->deadline_ns == RELAY_NO_DEADLINE) {
        event_del(relay->timer);
        return;
    }
    struct timeval left = clock_until(step->deadline_ns, now_ns);
    event_add(relay->timer, &left);
}

/* --- losses --- */

static void
hold_back(struct relay *relay)
{
    while (relay->reclaim.missing > 0 && private_fifo_take(relay->fifo))
        reclaim_held_back(&relay->reclaim);
}

/* Bytes that the build's clients do not have any more, whatever the source believes. How many of them were more than what
 * jobs had lent that have ended as well? */
static unsigned
give_up(struct relay *relay, unsigned count)
{
    unsigned tokens = 0;

    for (; count > 0; count--) {
        if (loans_missing(&relay->loans) > 0) {
            pay(relay);
            continue;
        }
        tokens++;
        if (!relay->is_relaying)
            private_fifo_put(relay->fifo);
        else if (source_held_in_all(relay->source) > 0)
            source_give(relay->source);
        else
            loans_void(&relay->loans, 1);
    }
    return tokens;
}

static void
write_off(struct relay *relay, const struct losses_decision *decision)
{
    /* Of jobs that lent their tokens it may not be known yet that they have ended. */
    const unsigned most = source_held_in_all(relay->source) + source_held_by_others(relay->source);
    const unsigned lost = lesser(give_up(relay, decision->lost), most);

    give_up(relay, decision->back);
    if (lost > 0)
        message("%u %s lost in the build: the process that had %s has died", lost,
                lost == 1 ? "token was" : "tokens were", lost == 1 ? "it" : "them");
    relay->report->lost += lost;
}

/* true: a client has read or written since we last looked. */
static bool
find_losses(struct relay *relay)
{
    fifo_watch_moves(&relay->watch, true);
    uint32_t happened = drain_events(relay);
    unsigned lent = relay_view_lent(&relay->view);
    reclaim_look(&relay->reclaim, lent);
    uint32_t meanwhile = drain_events(relay);
    bool has_moved = meanwhile & FIFO_WATCH_MOVES || relay_view_lent(&relay->view) != lent ||
                     collector_may_have_one(&relay->collector);
    struct losses_decision decision = reclaim_decide(&relay->reclaim, has_moved);
    write_off(relay, &decision);
    return (happened | meanwhile) & FIFO_WATCH_MOVES;
}

/* --- the loop --- */

static void
run(struct relay *relay, bool touched)
{
    struct relay_step step;
    int64_t now_ns = clock_now_ns();

    relay->view.parent = RELAY_NEED_UNKNOWN;
    relay->view.is_touched = touched;
    source_look(relay->source);
    for (;;) {
        hold_back(relay);
        look(relay);
        give_claimed(relay);
        note(relay, now_ns);
        step = relay_policy_next(&relay->policy, &relay->view, now_ns);
        relay->view.is_touched = false;
        if (step.action == RELAY_WAIT && !(step.watches_parent && source_await(relay->source)))
            break;
        if (step.action == RELAY_WAIT) {
            /* It is our turn, even if we are asked for tokens too: who has been passed over goes first. */
            relay->view.is_parent_empty = false;
            continue;
        }
        do_step(relay, &step, now_ns);
        /* What we did ourselves; what others did at the same time is seen by looking again. */
        drain_events(relay);
        if (relay->view.recalled > 0)
            ask_recalled(relay);
    }
    if (!step.watches_parent)
        source_leave(relay->source);
    wait_for(relay, &step, now_ns);
    source_settle(relay->source);
}

/* --- events --- */

static void
on_fifo(evutil_socket_t fd, short what, void *argument)
{
    struct relay *relay = argument;

    run(relay, drain_events(relay) & FIFO_WATCH_MOVES);
}

static void
on_timer(evutil_socket_t fd, short what, void *argument)
{
    run(argument, false);
}

void
relay_wake(void *argument)
{
    struct relay *relay = argument;

    if (!relay->is_relaying)
        return;
    relay->view.is_parent_empty = false;
    ask_recalled(relay);
    run(relay, false);
}

/* A job has ended, and its token was taken from the build, which may not be wanted any more. */
static void
on_collected(evutil_socket_t fd, short what, void *argument)
{
    struct relay *relay = argument;

    if (!collector_has_got(&relay->collector))
        return;
    source_look(relay->source);
    ask_recalled(relay);
    look(relay);
    bool is_wanted = relay->view.recalled > 0 || relay->view.excess > 0;
    if (relay->view.missing > 0)
        pay(relay);
    else if (is_wanted && lesser(relay->view.borrowed, relay->view.held) > 0)
        source_give(relay->source);
    else
        private_fifo_put(relay->fifo);
    ask_recalled(relay);
    run(relay, drain_events(relay) & FIFO_WATCH_MOVES);
}

/* --- a pool of our own, that nobody shares yet --- */

/* To be told of each move would cost those who move tokens more than the move itself. */
static const struct timeval moves_pause = {.tv_usec = 50000};

static void
see_to_own(struct relay *relay)
{
    hold_back(relay);
    look(relay);
    if (relay->view.lying > relay->view.borrowed) {
        drop(relay, relay->view.lying - relay->view.borrowed);
        look(relay);
    }
    note(relay, clock_now_ns());
}

static void
on_own_fifo(evutil_socket_t fd, short what, void *argument)
{
    struct relay *relay = argument;
    uint32_t happened = drain_events(relay);

    see_to_own(relay);
    if (happened & FIFO_WATCH_MOVES && !relay->has_report && relay->reclaim.missing == 0) {
        fifo_watch_moves(&relay->watch, false);
        event_add(relay->moves_timer, &moves_pause);
    }
}

static void
on_moves_pause_over(evutil_socket_t fd, short what, void *argument)
{
    struct relay *relay = argument;

    fifo_watch_moves(&relay->watch, true);
    see_to_own(relay);
}

static int
watch_own(struct relay *relay, struct event_base *base)
{
    relay->moves_timer = evtimer_new(base, on_moves_pause_over, relay);
    relay->fifo_event = event_new(base, relay->watch.fd, EV_READ | EV_PERSIST, on_own_fifo, relay);
    if (!relay->moves_timer || !relay->fifo_event || event_add(relay->fifo_event, NULL) < 0)
        return -ENOMEM;
    see_to_own(relay);
    return 0;
}

/* All moves are watched from now on. */
static void
stop_watching_own(struct relay *relay)
{
    if (relay->fifo_event)
        event_free(relay->fifo_event);
    if (relay->moves_timer)
        event_free(relay->moves_timer);
    relay->fifo_event = relay->moves_timer = NULL;
    fifo_watch_moves(&relay->watch, true);
}

/* --- the start --- */

static void
on_look(void *argument)
{
    struct relay *relay = argument;
    bool has_moved = find_losses(relay);

    if (relay->is_relaying)
        run(relay, has_moved);
    else
        see_to_own(relay);
}

/* A build that cannot be watched: its clients are looked at when one that is known has ended, or a process
 * that has lost its parent. *why: 0, or why it is not watched. 0 or a negative errno. */
static int
watch_clients(struct relay *relay, struct event_base *base, int *why)
{
    *why = 0;
    if (relay->reclaim.timer)
        return 0;
    *why = fifo_watch_open(&relay->watch, relay->fifo->path, true);
    return reclaim_open(&relay->reclaim, relay->fifo->fd, relay->keeper, base, on_look, relay);
}

static int
make_events(struct relay *relay, struct event_base *base)
{
    int result = collector_start(&relay->collector, relay->fifo->path);

    if (result < 0)
        return result;
    if (!relay->timer)
        relay->timer = evtimer_new(base, on_timer, relay);
    if (!relay->collected_event)
        relay->collected_event =
            event_new(base, relay->collector.got_fd, EV_READ | EV_PERSIST, on_collected, relay);
    if (!relay->timer || !relay->collected_event || event_add(relay->collected_event, NULL) < 0)
        return -ENOMEM;
    if (relay->watch.fd < 0)
        return 0;
    stop_watching_own(relay);
    relay->fifo_event = event_new(base, relay->watch.fd, EV_READ | EV_PERSIST, on_fifo, relay);
    return relay->fifo_event && event_add(relay->fifo_event, NULL) == 0 ? 0 : -ENOMEM;
}

int
relay_start(struct relay *relay, struct event_base *base, unsigned floating, unsigned cap)
{
    struct relay_config config = relay_config_default;
    int why, result = watch_clients(relay, base, &why);

    if (result < 0)
        return result;
    if (why < 0)
        message("inotify: %s; jobs may start later than they could", strerror(-why));
    /* What is taken from the FIFO is seen only when it is looked at for another reason: so all that the
     * build may have lies in it, until it is asked for. */
    config.floating = relay->watch.fd < 0 ? cap : floating;
    config.cap = cap;
    relay_policy_init(&relay->policy, &config, clock_now_ns());
    result = make_events(relay, base);
    relay->is_relaying = result == 0;
    if (result == 0)
        run(relay, false);
    return result;
}

int
relay_fill(struct relay *relay, struct event_base *base)
{
    int why, result = watch_clients(relay, base, &why);

    if (result < 0)
        return result;
    while (source_take(relay->source) == 1)
        if (!private_fifo_put(relay->fifo))
            return -errno;
    source_leave(relay->source);
    if (why == 0)
        return watch_own(relay, base);
    message("inotify: %s; lost and surplus tokens are found late%s", strerror(-why),
            relay->has_report ? ", and the report says nothing about jobs" : "");
    return 0;
}

/* --- the command --- */

void
relay_command(struct relay *relay, pid_t command, bool inherits)
{
    reclaim_command(&relay->reclaim, command, inherits);
}

void
relay_orphan_ended(struct relay *relay)
{
    if (!relay->reclaim.timer)
        return;
    look(relay);
    reclaim_orphan_ended(&relay->reclaim, relay_view_lent(&relay->view));
}

unsigned
relay_count_unexplained(struct relay *relay)
{
    if (!relay->reclaim.timer)
        return 0;
    on_look(relay);
    return relay->reclaim.unexplained;
}

unsigned
relay_count_uncovered(struct relay *relay)
{
    if (!relay->reclaim.timer)
        return 0;
    find_losses(relay);
    return reclaim_uncovered(&relay->reclaim);
}

/* --- the end --- */

void
relay_stop(struct relay *relay)
{
    struct event *events[] = {relay->fifo_event, relay->timer, relay->moves_timer,
                              relay->collected_event};

    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
        if (events[i])
            event_free(events[i]);
    relay->fifo_event = relay->timer = relay->moves_timer = relay->collected_event = NULL;
    relay->is_relaying = false;
    fifo_watch_close(&relay->watch);
    reclaim_close(&relay->reclaim);
}

unsigned
relay_collect(struct relay *relay)
{
    unsigned collected = 0;

    look(relay);
    while (private_fifo_take(relay->fifo))
        collected++;
    if (collector_has_got(&relay->collector))
        collected++;
    unsigned outstanding = relay->view.borrowed > collected ? relay->view.borrowed - collected : 0;
    /* Who runs elsewhere uses none. */
    return lesser(outstanding, source_held(relay->source));
}
