/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds lost tokens: when to look, and what has to be done. */
#include "jobwrap/reclaim.h"

#include <errno.h>

#include "jobwrap/fifo_watch.h"
#include "libjobserver/program/clock.h"

/* Looking takes at most a 25th of the time, as long as there is something to look for. */
#define PAUSE_LOOKS 24
#define PAUSE_MAX_NS (400 * NS_PER_MS)
/* After looks in vain the pause is twice as long each time, up to 8 times. */
#define DOUBLINGS_MAX 3u
/* Who has inherited the descriptors opens nothing: only reads tell of it. As long as tokens move it is looked at
 * that often. */
#define MOVES_PAUSE_NS NS_PER_S

/* --- when to look --- */

static void
on_timer(evutil_socket_t fd, short what, void *argument)
{
    const struct reclaim *reclaim = argument;

    reclaim->look(reclaim->argument);
}

static void
want_look_at(struct reclaim *reclaim, int64_t at_ns)
{
    struct timeval left = clock_until(at_ns, clock_now_ns());

    if (evtimer_pending(reclaim->timer, NULL) && reclaim->look_at_ns <= at_ns)
        return;
    reclaim->look_at_ns = at_ns;
    event_add(reclaim->timer, &left);
}

static void
want_look(struct reclaim *reclaim)
{
    want_look_at(reclaim, reclaim->not_before_ns);
}

/* Tokens move, and somebody may have them who is not known yet. */
static void
want_look_at_moves(struct reclaim *reclaim)
{
    const bool is_pipe = reclaim->clients.inherited[0] >= 0;
    int64_t at_ns = reclaim->looked_ns + MOVES_PAUSE_NS;

    if (!is_pipe)
        return;
    want_look_at(reclaim, at_ns > reclaim->not_before_ns ? at_ns : reclaim->not_before_ns);
}

static void
on_client_ended(void *argument)
{
    want_look(argument);
}

int
reclaim_open(struct reclaim *reclaim, int fifo_fd, pid_t keeper, struct event_base *base,
             void (*look)(void *argument), void *argument)
{
    *reclaim = (struct reclaim){.look = look, .argument = argument};
    reclaim->timer = evtimer_new(base, on_timer, reclaim);
    if (!reclaim->timer)
        return -ENOMEM;
    return clients_open(&reclaim->clients, fifo_fd, keeper, base, on_client_ended, reclaim);
}

void
reclaim_close(struct reclaim *reclaim)
{
    if (!reclaim->timer)
        return;
    event_free(reclaim->timer);
    reclaim->timer = NULL;
    clients_close(&reclaim->clients);
}

void
reclaim_command(struct reclaim *reclaim, pid_t command, bool inherits)
{
    if (!reclaim->timer)
        return;
    clients_set_command(&reclaim->clients, command, inherits);
    want_look(reclaim);
}

void
reclaim_happened(struct reclaim *reclaim, uint32_t happened, unsigned lent)
{
    losses_note_lent(&reclaim->losses, lent);
    /* Until then only processes of ours have it open. One of them becomes the command, and closes it by that: it would
     * be taken for a client that has died, and whatever is lent by then for lost. */
    if (reclaim->clients.command == 0)
        return;
    if (happened & FIFO_WATCH_CLOSES)
        losses_suspect(&reclaim->losses, lent);
    if (happened & (IN_OPEN | FIFO_WATCH_CLOSES))
        want_look(reclaim);
    else if (happened & IN_ACCESS)
        want_look_at_moves(reclaim);
}

void
reclaim_orphan_ended(struct reclaim *reclaim, unsigned lent)
{
    losses_suspect(&reclaim->losses, lent);
    want_look(reclaim);
}

/* --- looking --- */

static void
pause_after(struct reclaim *reclaim, int64_t began_ns)
{
    int64_t pause_ns = PAUSE_LOOKS * (reclaim->looked_ns - began_ns);

    if (pause_ns > PAUSE_MAX_NS)
        pause_ns = PAUSE_MAX_NS;
    reclaim->not_before_ns = reclaim->looked_ns + (pause_ns << reclaim->vain_looks);
}

void
reclaim_look(struct reclaim *reclaim, unsigned lent)
{
    int64_t began_ns = clock_now_ns();
    bool has_died = false;

    reclaim->has_failed = clients_look(&reclaim->clients, lent, &reclaim->view, &has_died) < 0;
    if (has_died)
        losses_suspect(&reclaim->losses, lent);
    reclaim->looked_ns = clock_now_ns();
    pause_after(reclaim, began_ns);
}

/* Nobody tells when a busy build is quiet, or a make has started the job that it has a token for. */
static void
look_again(struct reclaim *reclaim)
{
    if (reclaim->vain_looks < DOUBLINGS_MAX)
        reclaim->vain_looks++;
    want_look(reclaim);
}

/* /proc is read while processes come and go. What one look finds lost is so if the next one finds it, too. */
static struct losses_decision
decide_twice(struct reclaim *reclaim)
{
    const struct losses before = reclaim->losses;
    struct losses_decision decision = losses_decide(&reclaim->losses, &reclaim->view);
    unsigned found = decision.lost;

    reclaim->is_doubtful = found > reclaim->found_lost;
    if (reclaim->is_doubtful) {
        reclaim->losses = before;
        decision = (struct losses_decision){0};
    }
    reclaim->found_lost = reclaim->is_doubtful ? found : 0;
    return decision;
}

struct losses_decision
reclaim_decide(struct reclaim *reclaim, bool has_moved)
{
    const struct losses_view *view = &reclaim->view;
    struct losses_decision decision = {0};
    bool is_vain = has_moved || reclaim->has_failed;

    reclaim->is_doubtful = false;
    reclaim->unexplained = 0;
    if (!is_vain) {
        decision = decide_twice(reclaim);
        reclaim->missing = decision.missing;
        if (decision.lost == 0 && decision.back == 0)
            reclaim->unexplained = losses_unexplained(&reclaim->losses, view);
    }
    /* Who may have any number tells by its end when it is worth another look. */
    if (losses_are_open(&reclaim->losses) && view->most != LOSSES_ANY_NUMBER &&
        (is_vain || !view->is_settled))
        look_again(reclaim);
    else if (reclaim->is_doubtful)
        want_look(reclaim);
    else
        reclaim->vain_looks = 0;
    if (has_moved)
        want_look_at_moves(reclaim);
    return decision;
}

void
reclaim_held_back(struct reclaim *reclaim)
{
    losses_hold_back(&reclaim->losses, 1);
    reclaim->missing--;
}

unsigned
reclaim_uncovered(const struct reclaim *reclaim)
{
    unsigned slots = reclaim->view.left_slots, held_back = reclaim->losses.held_back;

    return slots > held_back ? slots - held_back : 0;
}
