/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Finds lost tokens: decides when to look at the clients, looks, and tells what is to be done. A look is
 * wanted by events alone, but takes some ms of CPU time, so that looks have a distance from each other.
 */

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "jobwrap/clients.h"
#include "jobwrap/losses.h"

struct reclaim {
    void (*look)(void *argument);
    void *argument;
    struct clients clients;
    struct losses losses;
    struct losses_view view; /* as last seen */
    unsigned missing;        /* tokens that are still to be held back, when some lie in the FIFO */
    struct event *timer;     /* calls for a look */
    int64_t not_before_ns, looked_ns;
    int64_t look_at_ns;  /* what the timer is set to, if it is */
    unsigned vain_looks; /* one after the other that could not tell */
    unsigned found_lost; /* by the last look that could, and not written off yet */
    unsigned
        unexplained;  /* as the last look has shown: losses_unexplained(); 0: it could not tell */
    bool is_doubtful; /* the next one is to find them, too */
    bool has_failed;  /* the last look */
};

/* `look` is called when it is time to look. 0 or a negative errno. */
int reclaim_open(struct reclaim *reclaim, int fifo_fd, pid_t keeper, struct event_base *base,
                 void (*look)(void *argument), void *argument);
void reclaim_close(struct reclaim *reclaim);

/* The command runs: see clients_set_command(). */
void reclaim_command(struct reclaim *reclaim, pid_t command, bool inherits);
/* What fifo_watch_drain() has told. `lent`: tokens that do not lie in the FIFO. */
void reclaim_happened(struct reclaim *reclaim, uint32_t happened, unsigned lent);
/* Somebody has ended whose parent had died before. */
void reclaim_orphan_ended(struct reclaim *reclaim, unsigned lent);

/* The look. Then, if no token has moved meanwhile, decides: what it says to be lost or back is taken for
 * done. */
void reclaim_look(struct reclaim *reclaim, unsigned lent);
struct losses_decision reclaim_decide(struct reclaim *reclaim, bool has_moved);
/* One of the missing tokens was taken out of the FIFO. */
void reclaim_held_back(struct reclaim *reclaim);

/* Jobs of dead clients that run on in slots that others have now, and that no token is held back for. */
unsigned reclaim_uncovered(const struct reclaim *reclaim);
