/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <limits.h>

#include "jobwrap/relay_policy.h"

#define MS INT64_C(1000000)

const struct relay_config relay_config_default = {
    .floating = 1,
    .cap = UINT_MAX,
    .surplus_ns = 5 * MS,
    .linger_ns = 100 * MS,
    .linger_max_ns = 800 * MS,
    .probe_hold_ns = 5 * MS,
    .probe_min_ns = 20 * MS,
    .probe_max_ns = 320 * MS,
};

static int64_t
min_ns(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

void
relay_policy_init(struct relay_policy *policy, const struct relay_config *config, int64_t now_ns)
{
    *policy = (struct relay_policy){
        .config = *config,
        .idle_since_ns = now_ns,
        .surplus_since_ns = -1,
        .linger_ns = config->linger_ns,
        .probe_ns = config->probe_min_ns,
    };
}

unsigned
relay_view_lent(const struct relay_view *view)
{
    return view->borrowed > view->lying ? view->borrowed - view->lying : 0;
}

/* Somebody has done something: all that waits longer and longer starts anew. */
static void
notice(struct relay_policy *policy, const struct relay_view *view, int64_t now_ns)
{
    unsigned lent = relay_view_lent(view);

    if (!view->is_touched && lent == policy->lent)
        return;
    if (lent > policy->lent) { /* a token was taken: there is demand */
        policy->is_resting = policy->is_probing = false;
        policy->probe_ns = policy->config.probe_min_ns;
    }
    policy->lent = lent;
    policy->idle_since_ns = now_ns;
    policy->linger_ns = policy->config.linger_ns;
}

void
relay_policy_laid(struct relay_policy *policy, int64_t now_ns)
{
    policy->idle_since_ns = now_ns;
    policy->is_probing = policy->is_resting;
}

/* What is asked for, and what a limit would not let be granted now: the build would take it without being
 * asked. What lies in the FIFO goes home at once; else what is put back next, if the build is not faster. */
static bool
decide_return(const struct relay_view *view, struct relay_step *step)
{
    unsigned asked = view->recalled > view->excess ? view->recalled : view->excess;

    if (asked > view->borrowed)
        asked = view->borrowed;
    if (asked == 0)
        return false;
    step->watches_fifo = true;
    if (view->lying == 0)
        return false;
    step->action = RELAY_TAKE_HOME;
    step->count = view->lying < asked ? view->lying : asked;
    return true;
}

/* One is enough to see whether somebody waits. */
static unsigned
floating(const struct relay_policy *policy)
{
    return policy->is_resting ? 1 : policy->config.floating;
}

static bool
decide_surplus(struct relay_policy *policy, const struct relay_view *view, int64_t now_ns,
               struct relay_step *step)
{
    if (view->lying <= floating(policy)) {
        policy->surplus_since_ns = -1;
        return false;
    }
    if (policy->surplus_since_ns < 0)
        policy->surplus_since_ns = now_ns;
    int64_t deadline_ns = policy->surplus_since_ns + policy->config.surplus_ns;
    if (now_ns >= deadline_ns || view->parent == RELAY_NEEDED) {
        step->action = RELAY_TAKE_HOME;
        step->count = view->lying - floating(policy);
        return true;
    }
    if (view->parent == RELAY_NEED_UNKNOWN) {
        step->action = RELAY_ASK;
        return true;
    }
    step->deadline_ns = min_ns(step->deadline_ns, deadline_ns);
    return false;
}

static bool
decide_borrowing(const struct relay_policy *policy, const struct relay_view *view, int64_t now_ns,
                 struct relay_step *step)
{
    const unsigned tokens = view->borrowed > view->on_loan ? view->borrowed - view->on_loan : 0;

    if (view->lying >= floating(policy) || tokens >= policy->config.cap)
        return false;
    if (policy->is_resting && now_ns < policy->probe_at_ns) {
        step->deadline_ns = min_ns(step->deadline_ns, policy->probe_at_ns);
        return false;
    }
    if (view->is_parent_empty) {
        step->watches_parent = true;
        return false;
    }
    unsigned missing = floating(policy) - view->lying;
    unsigned allowed = policy->config.cap - tokens;
    step->action = RELAY_BORROW;
    step->count = missing < allowed ? missing : allowed;
    return true;
}

static void
go_home(struct relay_policy *policy, const struct relay_view *view, int64_t now_ns,
        struct relay_step *step)
{
    step->action = RELAY_TAKE_HOME;
    step->count = view->lying;
    policy->is_resting = true;
    policy->is_probing = false;
    policy->probe_at_ns = now_ns + policy->probe_ns;
    policy->probe_ns = min_ns(2 * policy->probe_ns, policy->config.probe_max_ns);
}

static void
decide_idle(struct relay_policy *policy, const struct relay_view *view, int64_t now_ns,
            struct relay_step *step)
{
    if (view->lying == 0)
        return;
    bool is_short = policy->is_probing || view->others_wait;
    int64_t hold_ns = is_short ? policy->config.probe_hold_ns : policy->linger_ns;
    if (now_ns < policy->idle_since_ns + hold_ns) {
        step->deadline_ns = min_ns(step->deadline_ns, policy->idle_since_ns + hold_ns);
        return;
    }
    if (view->parent == RELAY_NEED_UNKNOWN && !view->others_wait) {
        step->action = RELAY_ASK;
        return;
    }
    if (view->parent == RELAY_NEEDED || view->others_wait) {
        go_home(policy, view, now_ns, step);
        return;
    }
    /* Nobody else needs it: there is nothing to save any more. */
    policy->is_resting = policy->is_probing = false;
    policy->idle_since_ns = now_ns;
    policy->linger_ns = min_ns(2 * policy->linger_ns, policy->config.linger_max_ns);
    step->deadline_ns = min_ns(step->deadline_ns, now_ns + policy->linger_ns);
    decide_borrowing(policy, view, now_ns, step);
}

/* A job that has run elsewhere goes on, or was killed. Who would start another one is served after it. */
static bool
decide_missing(const struct relay_view *view, struct relay_step *step)
{
    if (view->missing == 0)
        return false;
    if (view->lying > 0) {
        step->action = RELAY_PAY;
        step->count = view->lying < view->missing ? view->lying : view->missing;
        return true;
    }
    if (!view->is_parent_empty) {
        step->action = RELAY_COVER;
        step->count = view->missing;
        return true;
    }
    step->watches_parent = step->watches_fifo = true;
    return false;
}

static bool
decide_void(const struct relay_view *view, struct relay_step *step)
{
    if (view->on_loan == 0 || view->lying <= view->held)
        return false;
    step->action = RELAY_VOID;
    step->count = view->lying - view->held;
    return true;
}

struct relay_step
relay_policy_next(struct relay_policy *policy, const struct relay_view *view, int64_t now_ns)
{
    struct relay_step step = {.action = RELAY_WAIT, .deadline_ns = RELAY_NO_DEADLINE};

    notice(policy, view, now_ns);
    if (view->lying > view->borrowed) {
        step.action = RELAY_DROP;
        step.count = view->lying - view->borrowed;
        return step;
    }
    if (decide_missing(view, &step) || decide_void(view, &step) || decide_return(view, &step) ||
        decide_surplus(policy, view, now_ns, &step) ||
        decide_borrowing(policy, view, now_ns, &step))
        return step;
    decide_idle(policy, view, now_ns, &step);
    return step;
}
