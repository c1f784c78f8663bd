/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "jobwrap/relay.h"
#include "jobwrap/tree.h"
#include "libjobserver/program/clock.h"
#include "libjobserver/program/message.h"

/* --- looking --- */

static void
look(struct relay *relay)
{
    struct relay_view *view = &relay->view;

    view->borrowed = source_held(relay->source);
    view->lying = private_fifo_lying(relay->fifo);
    view->others_wait = source_others_wait(relay->source);
    source_set_idle(relay->source, view->lying);
}

static bool
drain_events(struct relay *relay)
{
    char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
    bool any = false;

    while (relay->inotify_fd >= 0 && read(relay->inotify_fd, buffer, sizeof(buffer)) > 0)
        any = true;
    return any;
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
        relay->view.is_parent_gone = result < 0;
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
    unsigned claimed = source_count_claimed(relay->source, relay->view.lying);

    if (claimed == 0)
        return;
    take_home(relay, claimed);
    drain_events(relay);
    look(relay);
}

static void
drop(struct relay *relay, unsigned count)
{
    while (count-- > 0 && private_fifo_take(relay->fifo))
        relay->report->dropped++;
}

static void
write_off(struct relay *relay, unsigned count)
{
    message("%u %s lost in the build: fewer threads live than tokens are lent", count,
            count == 1 ? "token was" : "tokens were");
    relay->report->lost += count;
    while (count-- > 0)
        source_give(relay->source);
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
    case RELAY_WRITE_OFF:
        write_off(relay, step->count);
        break;
    case RELAY_ASK:
        relay->view.parent = source_is_needed(relay->source) ? RELAY_NEEDED : RELAY_NOT_NEEDED;
        break;
    case RELAY_COUNT:
        relay->view.living = tree_count_threads(getpid(), relay->not_a_job, 0);
        if (relay->view.living < 0)
            relay->view.living = INT32_MAX;
        else if (relay->collector.is_asked)
            relay->view.living++; /* it may just have one in its hands */
        break;
    case RELAY_WAIT:
        break;
    }
}

/* A token is set aside for the build, and somebody else has come since who needs it more. */
static void
pass_on(struct relay *relay)
{
    if (source_take(relay->source) == 1)
        source_give(relay->source);
}

static void
note(struct relay *relay, int64_t now_ns)
{
    bool starved = relay->view.lying == 0 && !relay->policy.is_resting;

    report_note(relay->report, relay_view_lent(&relay->view), starved, now_ns);
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

static void
run(struct relay *relay, bool touched)
{
    struct relay_step step;
    int64_t now_ns = clock_now_ns();

    relay->view.parent = RELAY_NEED_UNKNOWN;
    relay->view.living = -1;
    relay->view.is_touched = touched;
    for (;;) {
        look(relay);
        give_claimed(relay);
        note(relay, now_ns);
        step = relay_policy_next(&relay->policy, &relay->view, now_ns);
        relay->view.is_touched = false;
        if (step.action == RELAY_WAIT && !(step.watches_parent && source_await(relay->source)))
            break;
        if (step.action == RELAY_WAIT && relay->view.recalled > 0)
            pass_on(relay);
        else if (step.action == RELAY_WAIT)
            relay->view.is_parent_empty = false;
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

    run(relay, drain_events(relay));
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
    ask_recalled(relay);
    look(relay);
    if (relay->view.recalled > 0 && relay->view.borrowed > 0)
        source_give(relay->source);
    else
        private_fifo_put(relay->fifo);
    ask_recalled(relay);
    run(relay, drain_events(relay));
}

static int
open_inotify(const char *path)
{
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

    if (fd < 0)
        return -errno;
    /* IN_OPEN: see client.c, announce(). */
    if (inotify_add_watch(fd, path, IN_ACCESS | IN_MODIFY | IN_OPEN) < 0) {
        int result = -errno;
        close(fd);
        return result;
    }
    return fd;
}

static int
make_events(struct relay *relay, struct event_base *base)
{
    int result = collector_start(&relay->collector, relay->fifo->path);

    if (result < 0)
        return result;
    relay->timer = evtimer_new(base, on_timer, relay);
    relay->collected_event =
        event_new(base, relay->collector.got_fd, EV_READ | EV_PERSIST, on_collected, relay);
    if (!relay->timer || !relay->collected_event || event_add(relay->collected_event, NULL) < 0)
        return -ENOMEM;
    if (relay->inotify_fd < 0)
        return 0;
    if (relay->fifo_event) /* it was looked at for the report alone */
        event_free(relay->fifo_event);
    relay->fifo_event = event_new(base, relay->inotify_fd, EV_READ | EV_PERSIST, on_fifo, relay);
    return relay->fifo_event && event_add(relay->fifo_event, NULL) == 0 ? 0 : -ENOMEM;
}

/* What is taken from the FIFO is seen only when it is looked at for another reason: so all that the build
 * may have lies in it, until it is asked for. */
static void
do_without_inotify(struct relay *relay, unsigned *floating, unsigned cap)
{
    message("inotify: %s; jobs may begin later than they could", strerror(-relay->inotify_fd));
    relay->inotify_fd = -1;
    *floating = cap;
}

int
relay_start(struct relay *relay, struct event_base *base, unsigned floating, unsigned cap)
{
    struct relay_config config = relay_config_default;

    if (relay->inotify_fd < 0)
        relay->inotify_fd = open_inotify(relay->fifo->path);
    if (relay->inotify_fd < 0)
        do_without_inotify(relay, &floating, cap);
    config.floating = floating;
    config.cap = cap;
    relay_policy_init(&relay->policy, &config, clock_now_ns());
    int result = make_events(relay, base);
    relay->is_relaying = result == 0;
    if (result == 0)
        run(relay, false);
    return result;
}

static void
on_watched_fifo(evutil_socket_t fd, short what, void *argument)
{
    struct relay *relay = argument;

    drain_events(relay);
    look(relay);
    note(relay, clock_now_ns());
}

static int
watch_fifo(struct relay *relay, struct event_base *base)
{
    relay->inotify_fd = open_inotify(relay->fifo->path);
    if (relay->inotify_fd < 0) {
        message("inotify: %s; the report knows nothing of jobs", strerror(-relay->inotify_fd));
        relay->inotify_fd = -1;
        return 0;
    }
    relay->fifo_event =
        event_new(base, relay->inotify_fd, EV_READ | EV_PERSIST, on_watched_fifo, relay);
    look(relay);
    note(relay, clock_now_ns());
    return relay->fifo_event && event_add(relay->fifo_event, NULL) == 0 ? 0 : -ENOMEM;
}

int
relay_fill(struct relay *relay, struct event_base *base, bool watches)
{
    while (source_take(relay->source) == 1)
        if (!private_fifo_put(relay->fifo))
            return -errno;
    source_leave(relay->source);
    return watches ? watch_fifo(relay, base) : 0;
}

void
relay_stop(struct relay *relay)
{
    struct event *events[] = {relay->fifo_event, relay->timer, relay->collected_event};

    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
        if (events[i])
            event_free(events[i]);
    relay->fifo_event = relay->timer = relay->collected_event = NULL;
    relay->is_relaying = false;
    if (relay->inotify_fd >= 0)
        close(relay->inotify_fd);
    relay->inotify_fd = -1;
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
    return relay->view.borrowed > collected ? relay->view.borrowed - collected : 0;
}
