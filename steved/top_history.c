/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/top_history.h"

#define NS_A_SECOND INT64_C(1000000000)

static struct top_second *
second_of(struct top_history *history, int64_t time_ns)
{
    return &history->seconds[(uint64_t)(time_ns / NS_A_SECOND) % TOP_HISTORY_S];
}

static unsigned
greater(unsigned a, unsigned b)
{
    return a > b ? a : b;
}

/* Within one second. */
static void
add(struct top_history *history, int64_t until_ns)
{
    struct top_second *second = second_of(history, history->now_ns);
    const int64_t length_ns = until_ns - history->now_ns;

    if (history->is_known) {
        second->known_ns += length_ns;
        second->used_ns += length_ns * history->used;
        second->waiting_ns += length_ns * history->waiting;
        second->most_used = greater(second->most_used, history->used);
        second->most_waiting = greater(second->most_waiting, history->waiting);
    }
    history->now_ns = until_ns;
}

/* A time of which nothing is remembered any more need not be added up. */
void
top_history_advance(struct top_history *history, int64_t now_ns)
{
    const int64_t oldest_ns = now_ns - (TOP_HISTORY_S + 1) * NS_A_SECOND;

    if (history->now_ns < oldest_ns)
        history->now_ns = oldest_ns - oldest_ns % NS_A_SECOND;
    while (history->now_ns < now_ns) {
        const int64_t next_ns = (history->now_ns / NS_A_SECOND + 1) * NS_A_SECOND;
        if (now_ns < next_ns) {
            add(history, now_ns);
            break;
        }
        add(history, next_ns);
        *second_of(history, next_ns) = (struct top_second){.known_ns = 0};
    }
}

/* What lasts for no time at all was there, too. */
void
top_history_note(struct top_history *history, int64_t time_ns, unsigned used, unsigned waiting)
{
    top_history_advance(history, time_ns);
    history->is_known = true;
    history->used = used;
    history->waiting = waiting;
    struct top_second *second = second_of(history, history->now_ns);
    second->most_used = greater(second->most_used, used);
    second->most_waiting = greater(second->most_waiting, waiting);
}

void
top_history_interrupt(struct top_history *history, int64_t now_ns)
{
    top_history_advance(history, now_ns);
    history->is_known = false;
}

/* One that has just begun is as it is now. */
struct top_bar
top_history_bar(const struct top_history *history, unsigned seconds_ago)
{
    const int64_t number = history->now_ns / NS_A_SECOND - seconds_ago;
    const struct top_second *second = &history->seconds[(uint64_t)number % TOP_HISTORY_S];
    const double known_ns = (double)second->known_ns;
    bool is_new = seconds_ago == 0 && second->known_ns == 0 && history->is_known;

    if (number < 0 || (second->known_ns == 0 && !is_new))
        return (struct top_bar){.is_known = false};
    return (struct top_bar){
        .is_known = true,
        .used = is_new ? history->used : (double)second->used_ns / known_ns,
        .waiting = is_new ? history->waiting : (double)second->waiting_ns / known_ns,
        .most_used = second->most_used,
        .most_waiting = second->most_waiting,
    };
}

unsigned
top_history_most(const struct top_history *history)
{
    unsigned most = 0;

    for (unsigned i = 0; i < TOP_HISTORY_S; i++)
        most = greater(most, history->seconds[i].most_used);
    return most;
}
