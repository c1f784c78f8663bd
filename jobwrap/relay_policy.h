/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * When to borrow a token from the parent and when to take one home. Pure: what is seen comes in,
 * what is to be done goes out, one step at a time; the time is nanoseconds of a monotonic clock.
 *
 * A reader that blocks on the private FIFO cannot be seen. So a token, the float, lies in it for
 * whoever comes next, and when it has gone another is borrowed. A float that nobody takes goes home
 * if the parent has none left (somebody may be waiting there), and is then put out again from time
 * to time, to see whether somebody waits here.
 */

#include <stdbool.h>
#include <stdint.h>

#define RELAY_NO_DEADLINE INT64_MAX

struct relay_config {
    unsigned floating;     /* tokens that should lie in the FIFO */
    unsigned cap;          /* the most that the build may have, its implicit slot not counted */
    int64_t surplus_ns;    /* how long more than the float may lie: a job that ends is followed by
                              another in no time, which then need not go to the parent */
    int64_t linger_ns;     /* how long an untouched float lies before the parent is looked at */
    int64_t linger_max_ns; /* ... and at most, after it has been left where it is several times */
    int64_t probe_hold_ns; /* how long a float lies that is put out to see whether somebody waits */
    int64_t probe_min_ns, probe_max_ns; /* how long it stays home in between */
};
extern const struct relay_config relay_config_default; /* cap: none */

enum relay_need { RELAY_NEED_UNKNOWN, RELAY_NEEDED, RELAY_NOT_NEEDED };

/* What is seen. */
struct relay_view {
    unsigned lying;    /* tokens in the FIFO */
    unsigned borrowed; /* that go round in the build; the implicit slot's is not counted */
    unsigned held;     /* by the FIFO's account: what lies there beyond this is nobody's */
    unsigned
        on_loan; /* of what goes round: for jobs that run elsewhere, whose tokens others have (loans.h) */
    unsigned missing; /* tokens that must be got back for such jobs */
    bool is_touched;  /* a client has read or written since the last time */
    /* borrowing was tried in vain, and the parent has not become readable since */
    bool is_parent_empty;
    enum relay_need parent; /* does somebody at the parent need tokens? */
    bool others_wait;       /* beside the FIFO: an idle float goes to them, whatever the shares */
    unsigned recalled;      /* tokens that the parent asks for, ours being more than our share */
    unsigned excess; /* tokens that are held though a limit would not let them be granted now */
};

enum relay_action {
    RELAY_WAIT,      /* until the deadline, an event at the FIFO, or (watch_parent) at the parent */
    RELAY_BORROW,    /* `count` tokens, and put them into the FIFO; see relay_policy_laid() */
    RELAY_TAKE_HOME, /* `count` tokens from the FIFO, and back to the parent */
    RELAY_DROP,      /* `count` bytes from the FIFO that were never lent */
    RELAY_PAY,       /* `count` tokens from the FIFO, for jobs that have run elsewhere */
    RELAY_COVER,     /* the same, but from the parent */
    RELAY_VOID,      /* `count` bytes from the FIFO that their jobs have lent, and put back */
    RELAY_ASK,       /* whether the parent needs tokens */
};

struct relay_step {
    enum relay_action action;
    unsigned count;
    bool watches_parent;
    bool watches_fifo; /* take the next token that is put back: it is wanted at the parent */
    int64_t deadline_ns;
};

struct relay_policy {
    struct relay_config config;
    unsigned lent;               /* as last seen */
    int64_t idle_since_ns;       /* the float lies untouched, or was last looked at */
    int64_t surplus_since_ns;    /* -1: there is none */
    int64_t linger_ns, probe_ns; /* they grow while nothing happens */
    bool is_resting;             /* the float is at home */
    bool is_probing;             /* it lies there to see whether somebody waits */
    int64_t probe_at_ns;
};

void relay_policy_init(struct relay_policy *policy, const struct relay_config *config,
                       int64_t now_ns);
/* The next thing to do; the caller does it, looks again, and calls again, until it is RELAY_WAIT. */
struct relay_step relay_policy_next(struct relay_policy *policy, const struct relay_view *view,
                                    int64_t now_ns);
/* RELAY_BORROW has succeeded. */
void relay_policy_laid(struct relay_policy *policy, int64_t now_ns);

/* Tokens that the build's jobs hold. */
unsigned relay_view_lent(const struct relay_view *view);
