/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The state of the program. */

#include <event2/event.h>
#include <signal.h>
#include <stdbool.h>

#include "jobwrap/classes.h"
#include "jobwrap/command.h"
#include "jobwrap/control.h"
#include "jobwrap/keeper.h"
#include "jobwrap/launch.h"
#include "jobwrap/next_parent.h"
#include "jobwrap/options.h"
#include "jobwrap/parent.h"
#include "jobwrap/private_fifo.h"
#include "jobwrap/recorder.h"
#include "jobwrap/relay.h"
#include "jobwrap/report.h"
#include "jobwrap/signals.h"
#include "jobwrap/source.h"
#include "libjobserver/ledger.h"

struct jobwrap {
    /* settled before the keeper is forked */
    struct options options;
    struct parent parent;
    unsigned jobs; /* at most so many at once, the implicit slot included */
    bool is_implicit_paid;
    struct signals signals;
    struct launch launch;
    struct ledger ledger; /* under a parent only */
    struct private_fifo fifo;

    struct keeper keeper;
    bool is_keeper_alive, is_keeper_ready;
    bool has_continued_keeper; /* somebody had stopped it */
    int keeper_joined;         /* how its start went: 0 or a negative errno */
    unsigned keeper_holds;     /* tokens that it has taken over */

    struct event_base *base;
    struct event *signal_event, *keeper_event;
    struct relay relay;
    bool has_relay_failed; /* as was said */
    struct next_parent next_parent;
    struct source source;
    struct classes classes; /* none, under a parent */
    struct control control;
    struct report report;
    struct recorder *recorder; /* owned; NULL: none is wanted */

    struct command command;
    bool is_launching;  /* from when on signals are the command's */
    sigset_t early;     /* signals that came when it did not run yet */
    int launch_error;   /* as launch_command() */
    bool is_tree_empty; /* when the command ended, nothing else was left */
    bool has_ended;     /* a signal, or a failure of ours, has ended it before it ran */
    int end_signal;     /* 0: it was a failure */
};
