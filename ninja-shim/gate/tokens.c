/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ninja-shim/gate/tokens.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "libjobserver/implicit.h"
#include "libjobserver/process.h"
#include "libjobserver/program/clock.h"
#include "libjobserver/program/message.h"
#include "ninja-shim/gate/next_server.h"

/* How long others need to wake up and read, and how far apart two such pauses are: together they cost at most a
 * fiftieth of one token. */
static const struct timeval pause_length = {.tv_usec = 1000};
#define PAUSE_INTERVAL_NS (50 * NS_PER_MS)

void
tokens_number(struct gate *gate, struct gate_job *job)
{
    bool has_any = job->job.pay == PAY_TOKEN || job->job.held;

    job->token = has_any ? (int)(gate->tokens_numbered++ & INT_MAX) : HOLDINGS_NO_TOKEN;
}

void
tokens_note(struct gate *gate, int holding, const struct gate_job *job)
{
    const struct job *of = &job->job;
    unsigned pools = of->held | (of->pay == PAY_TOKEN ? QUEUE_CPU : 0);

    holdings_pay(gate->holdings, holding, pools ? job->token : HOLDINGS_NO_TOKEN, pools);
}

static bool
goes_on(const struct gate *gate)
{
    struct process_info info;

    return process_info(gate->root, &info) == 0 && process_info_is_alive(&info);
}

/* Without a server nobody counts any more; one at a time is what everybody may do. A jobwrap that ends with the build
 * may be gone before the last token is given back. */
static void
lose_server(struct gate *gate, int error)
{
    if (gate->is_server_gone)
        return;
    if (goes_on(gate))
        message("jobserver %s: %s; going on with one job at a time",
                client_name(gate->plan->client), strerror(-error));
    gate->is_server_gone = true;
    queue_serialize(&gate->queue);
    next_server_await(gate);
}

/* A FIFO has no queue, and tells of nobody who waits: the first to read is always who is awake already. */
static void
pause_at_fifo(struct gate *gate)
{
    int64_t now_ns = clock_now_ns();

    if (client_kind(gate->plan->client) != CLIENT_FIFO ||
        now_ns - gate->paused_ns < PAUSE_INTERVAL_NS)
        return;
    gate->paused_ns = now_ns;
    evtimer_add(gate->pause_event, &pause_length);
}

void
tokens_give_back(struct gate *gate)
{
    int result = gate->is_joining ? ledger_forget(&gate->ledger) : ledger_repay(&gate->ledger);

    gate->is_ledger_full = false;
    gate->has_returned = true;
    pause_at_fifo(gate);
    if (result < 0)
        lose_server(gate, result);
}

/* What has just been returned is for others who wait: taken again at once, it would never be theirs. A server
 * that keeps accounts has served them by then; and who does not ask a jobwrap has no place in its queue. */
static bool
may_borrow(const struct gate *gate)
{
    bool is_mine = gate->is_told || !gate->has_returned;

    return !gate->is_server_gone && (is_mine || client_kind(gate->plan->client) == CLIENT_SERVER);
}

bool
tokens_borrow(struct gate *gate)
{
    int result = may_borrow(gate) ? ledger_borrow(&gate->ledger) : 0;

    gate->is_told = false;
    gate->is_ledger_full = result == -ENOSPC;
    if (result < 0 && !gate->is_ledger_full)
        lose_server(gate, result);
    gate->is_claim_awaited &= result == 0;
    return result == 1;
}

bool
tokens_claim_slot(struct gate *gate)
{
    if (gate->is_server_gone || gate->queue.rules.is_implicit_paid ||
        !gate->plan->may_be_paid_later)
        return false;
    bool is_paid = implicit_is_paid(gate->plan->client, IMPLICIT_AUTO, false);
    gate->is_claim_awaited = !is_paid;
    if (is_paid)
        queue_pay_implicit(&gate->queue);
    return is_paid;
}

/* What it runs on, or does not any more. */
static void
note_token(struct gate *gate, struct gate_job *job)
{
    struct gate_process *process;

    TAILQ_FOREACH (process, &job->processes, in_job) {
        if (process->pidfd >= 0)
            tokens_note(gate, process->holding, job);
        if (process->copy)
            tokens_note(gate, process->copy_holding, job);
    }
}

void
tokens_free_one(struct gate *gate)
{
    struct gate_job *job = (struct gate_job *)queue_shift(&gate->queue);

    note_token(gate, job);
    tokens_give_back(gate);
}

bool
tokens_pay_for_unpaid(struct gate *gate)
{
    struct gate_job *job = (struct gate_job *)queue_first_unpaid(&gate->queue);

    if (!job)
        return false;
    job->job.pay = PAY_TOKEN;
    tokens_number(gate, job);
    note_token(gate, job);
    return true;
}

void
tokens_note_all(struct gate *gate)
{
    struct job *job;

    TAILQ_FOREACH (job, &gate->queue.running, in_queue) {
        struct gate_job *running = (struct gate_job *)job;
        tokens_number(gate, running);
        note_token(gate, running);
    }
}

void
tokens_renew(struct gate *gate, unsigned tokens)
{
    const struct client *client = gate->plan->client;
    bool is_paid = gate->plan->may_be_paid_later
                       ? implicit_is_paid(gate->plan->client, IMPLICIT_AUTO, false)
                       : gate->plan->rules.is_implicit_paid;
    unsigned unused = queue_renew(&gate->queue, is_paid, tokens);

    gate->is_server_gone = gate->is_claim_awaited = false;
    message("tokens come from %s now", client_name(client));
    while (unused-- > 0 && !gate->is_server_gone)
        tokens_give_back(gate);
    while (queue_first_unpaid(&gate->queue) && tokens_borrow(gate))
        tokens_pay_for_unpaid(gate);
}
