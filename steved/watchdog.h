/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Tells the service manager, or the guardian, that the event loop still turns: a server that hangs is replaced
 * like one that is dead. */

#include <event2/event.h>

#include "steved/notify.h"

struct watchdog {
    const struct notify *notify;
    int timer_fd;       /* -1: nobody wants to hear */
    struct event *beat; /* it is due; NULL: not started */
};

/* As often as the environment asks. `notify` is the caller's, and stays where it is. After lockdown() it would be too
 * late. 0, or a negative errno after having said it. */
int watchdog_open(struct watchdog *watchdog, const struct notify *notify);
/* 0, or a negative errno after having said it. */
int watchdog_start(struct watchdog *watchdog, struct event_base *base);
void watchdog_stop(struct watchdog *watchdog);
