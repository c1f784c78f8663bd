/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "jobwrap/pipeline.h"
#include "jobwrap/waiting.h"
#include "libjobserver/holder.h"
#include "libjobserver/program/message.h"

/* How long to wait for a token before that is said, and for holders that do not let us see what they
 * are. */
#define PATIENCE_MS 1000
/* Then, whether this build has been paused. */
#define LOOK_AGAIN_S 5
#define COMMAND_MAX 80

static void
print_holder(FILE *out, const struct steved_client *holder, int *patience_ms)
{
    struct process_label label;

    if (holder_label(holder, patience_ms, &label) < 0)
        return;
    char *text = process_label_text(&label, COMMAND_MAX);
    if (text)
        fprintf(out, "%s (pid %d%s): %u", text, (int)holder->pid,
                label.is_stopped ? ", stopped" : "", holder->held);
    free(text);
    process_label_clear(&label);
}

static void
print_holders(FILE *out, struct client *client, int *patience_ms)
{
    struct steved_clients *page = calloc(1, sizeof(*page));
    const char *separator = ", held by ";

    while (page && client_get_clients(client, page) == 0 && page->count > 0) {
        for (unsigned i = 0; i < page->count; i++) {
            const struct steved_client *holder = &page->clients[i];
            if (holder->held == 0)
                continue;
            fputs(separator, out);
            print_holder(out, holder, patience_ms);
            separator = "; ";
        }
    }
    free(page);
}

/* Until then it is granted nothing, however many are free. */
static bool
is_paused(struct client *client)
{
    struct steved_status status;

    return client_get_status(client, &status) == 0 && status.flags & STEVED_STATUS_IS_PAUSED;
}

#define BECAUSE_IT_IS_PAUSED                                                                       \
    ", which grants none because this build is paused (see stevectl continue)"

struct waiting {
    struct client *client;
    struct event *timer;
    bool has_told, has_told_of_pause;
};

static void
tell_who_holds(struct waiting *waiting, FILE *out)
{
    int patience_ms = PATIENCE_MS;

    print_holders(out, waiting->client, &patience_ms);
    pipeline_print_deadlock(out, waiting->client, &patience_ms);
}

/* Who waits is not woken by a pause, which would have to be by a lie about tokens. */
static void
on_patience_over(evutil_socket_t fd, short what, void *argument)
{
    const struct timeval again = {.tv_sec = LOOK_AGAIN_S};
    struct waiting *waiting = argument;
    const bool was_told = waiting->has_told, pauses = is_paused(waiting->client);
    char *text = NULL;
    size_t size;

    event_add(waiting->timer, &again);
    if (was_told && (!pauses || waiting->has_told_of_pause))
        return;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return;
    fprintf(out, "waiting for a token from %s%s", client_name(waiting->client),
            pauses ? BECAUSE_IT_IS_PAUSED : "");
    if (!was_told)
        tell_who_holds(waiting, out);
    waiting->has_told = true;
    waiting->has_told_of_pause = pauses;
    if (fclose(out) == 0)
        message("%s", text);
    free(text);
}

/* The loop returns; what the descriptor has to say, the next try tells. */
static void
on_parent(evutil_socket_t fd, short what, void *argument)
{
}

struct event *
waiting_watch(const struct ledger *ledger, struct event_base *base)
{
    struct event *ready =
        event_new(base, client_fd(ledger->client), EV_READ | EV_PERSIST, on_parent, NULL);

    if (ready)
        event_add(ready, NULL);
    return ready;
}

/* 1: *result is how it was paid for. 0: not yet. */
static int
try_both(struct ledger *ledger, enum implicit_policy policy, enum waiting_result *result)
{
    bool may_come = implicit_may_come(ledger->client, policy);

    *result = WAITING_CLAIMED;
    if (may_come && implicit_is_paid(ledger->client, policy, true))
        return 1;
    *result = WAITING_BORROWED;
    return ledger_borrow(ledger);
}

int
waiting_pay_implicit(struct ledger *ledger, enum implicit_policy policy, struct event_base *base,
                     const bool *ended)
{
    struct waiting waiting = {.client = ledger->client};
    struct event *timer = waiting.timer = evtimer_new(base, on_patience_over, &waiting);
    struct event *ready = waiting_watch(ledger, base);
    const struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
    enum waiting_result how = WAITING_BORROWED;
    int result = timer && ready ? try_both(ledger, policy, &how) : -ENOMEM;

    if (result == 0)
        event_add(timer, &patience);
    while (result == 0 && !*ended) {
        if (event_base_loop(base, EVLOOP_ONCE) < 0)
            result = -EIO;
        else if (!*ended)
            result = try_both(ledger, policy, &how);
    }
    if (timer)
        event_free(timer);
    if (ready)
        event_free(ready);
    if (result == 0)
        return -EINTR;
    return result < 0 ? result : (int)how;
}
