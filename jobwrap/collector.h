/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Takes the next token that the build puts back into the private FIFO, against the build's own
 * readers. Whoever learns by poll or inotify that one lies there comes too late: the readers that
 * are blocked have their turn first, in the order in which they came. So a thread of ours blocks
 * there too, when the parent asks for tokens; it knows nothing else. It cannot be called back: a
 * token that is no longer wanted when it comes is to be put back.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

struct collector {
    int fifo_fd; /* blocking, and a description of its own */
    int ask_fd;  /* eventfd: take one */
    int got_fd;  /* eventfd, readable when one was taken */
    bool is_asked;
    bool is_started;
    _Atomic pid_t thread; /* 0: it has not begun */
};

/* Opens its descriptors and starts the thread, all signals of which are blocked, unless it has been started before: 0 or
 * a negative errno, and nothing stays open. It ends with the process. `collector` is zeroed at first. */
int collector_start(struct collector *collector, const char *fifo_path);
/* Takes one token, sooner or later; does nothing if it has been asked before and has none yet. */
void collector_ask(struct collector *collector);
/* Was one taken? It belongs to the caller then. */
bool collector_has_got(struct collector *collector);
/* Has it one, which collector_has_got() has not told yet? true, too, while it is about to tell: until then a
 * token that it has taken looks like one that is lost. */
bool collector_may_have_one(const struct collector *collector);
