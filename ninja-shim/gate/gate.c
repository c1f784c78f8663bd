/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The gate at work: what comes becomes a job, which waits, runs on a token or is ended. queue.c decides,
 * the kind of gate does it to the processes. */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "libjobserver/process.h"
#include "libjobserver/program/descriptors.h"
#include "ninja-shim/gate/classes.h"
#include "ninja-shim/gate/copies.h"
#include "ninja-shim/gate/gate.h"
#include "ninja-shim/gate/memory.h"
#include "ninja-shim/gate/next_server.h"
#include "ninja-shim/gate/tell.h"
#include "ninja-shim/gate/tokens.h"
#include "ninja-shim/gate/unrun.h"

/* Where nobody says how many jobs the lazy client will start. */
#define LEDGER_ROOM 1024u
#define ENDS_AT_ONCE 64
/* The load is no event; the kernel counts it anew every five seconds. */
static const struct timeval load_interval = {.tv_sec = 1};

/* --- jobs and processes --- */

static void
destroy_job(struct gate_job *job)
{
    struct gate_process *process;

    while ((process = TAILQ_FIRST(&job->processes))) {
        TAILQ_REMOVE(&job->processes, process, in_job);
        if (process->largest_pidfd >= 0)
            close(process->largest_pidfd);
        free(process);
    }
    free(job);
}

static void
forget_process(struct gate *gate, struct gate_process *process)
{
    if (!process->is_orphan)
        HASH_DEL(gate->processes, process);
    holdings_remove(gate->holdings, process->holding);
    close(process->pidfd); /* leaves epoll as well: nobody has a copy */
    process->pidfd = -1;
    process->job->living--;
}

static bool
reads_from(const struct gate_process *reader, const struct gate_process *writer)
{
    uint64_t input = reader->pipes[STDIN_FILENO];

    return input != 0 &&
           (input == writer->pipes[STDOUT_FILENO] || input == writer->pipes[STDERR_FILENO]);
}

static bool
is_joined_to(const struct gate_process *process, const struct gate_job *job)
{
    const struct gate_process *other;

    TAILQ_FOREACH (other, &job->processes, in_job) {
        if (reads_from(process, other) || reads_from(other, process))
            return true;
    }
    return false;
}

static bool
is_reached(const struct gate_job *job, const struct pipes_set *reached)
{
    const struct gate_process *process;

    TAILQ_FOREACH (process, &job->processes, in_job) {
        for (int i = 0; i < PIPES_STANDARD; i++)
            if (pipes_set_has(reached, process->pipes[i]))
                return true;
    }
    return false;
}

static bool
is_known(const void *gate, pid_t pid)
{
    struct gate_process *process;

    HASH_FIND_INT(((const struct gate *)gate)->processes, &pid, process);
    return process != NULL;
}

/* Were both ends of a pipeline to wait for tokens of their own, one would wait for the other for ever.
 * Returns the job of the same lazy client that the process belongs to, or NULL. */
static struct gate_job *
find_joined(const struct gate *gate, const struct gate_process *process, pid_t lazy)
{
    const struct gate_process *other, *next;
    struct pipes_set reached;

    if (gate->plan->has_single_jobs)
        return NULL;
    HASH_ITER (hh, gate->processes, other, next) {
        if (other->job->lazy == lazy && is_joined_to(process, other->job))
            return other->job;
    }
    pipes_reach(&reached, lazy, process->pid, process->pipes, is_known, gate);
    HASH_ITER (hh, gate->processes, other, next) {
        if (other->job->lazy == lazy && is_reached(other->job, &reached))
            return other->job;
    }
    return NULL;
}

static struct gate_job *
create_job(struct gate *gate, pid_t lazy)
{
    struct gate_job *job = calloc(1, sizeof(*job));

    if (!job)
        return NULL;
    job->lazy = lazy;
    job->token = HOLDINGS_NO_TOKEN;
    TAILQ_INIT(&job->processes);
    queue_add(&gate->queue, &job->job);
    gate_tell_came(gate, job);
    gate->jobs_alive++;
    return job;
}

/* -errno: it is not watched. */
static int
watch_end(const struct gate *gate, struct gate_process *process)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = process};

    return epoll_ctl(gate->ended_fd, EPOLL_CTL_ADD, process->pidfd, &event) < 0 ? -errno : 0;
}

/* The process is known to the holdings, and its end will be, but belongs to no job yet. */
static struct gate_process *
create_process(struct gate *gate, pid_t pid, int *error)
{
    struct gate_process *process = calloc(1, sizeof(*process));

    *error = -ENOMEM;
    if (!process)
        return NULL;
    *process = (struct gate_process){.pid = pid, .holding = -1, .largest_pidfd = -1};
    process->pidfd = process_open_pidfd(pid);
    *error = process->pidfd;
    if (process->pidfd >= 0)
        *error = descriptors_are_scarce(process->pidfd) ? -EMFILE : watch_end(gate, process);
    if (*error == 0)
        *error = process->holding = holdings_add(gate->holdings, HOLDING_WAITING, process->pidfd);
    if (process->holding >= 0)
        return process;
    if (process->pidfd >= 0)
        close(process->pidfd);
    free(process);
    return NULL;
}

/* --- running and ending --- */

static void
run_process(struct gate *gate, struct gate_process *process)
{
    /* Its token is noted before it runs, and that it runs after that: if we are killed in between, it
     * is killed as well, so that it does not stay stopped, and its token goes home by its end. */
    tokens_note(gate, process->holding, process->job);
    if (!gate_memory_wants_copy(gate, process->job) || !gate->kind->run_copy(gate, process))
        gate->kind->run(gate, process);
    holdings_run(gate->holdings, process->holding);
}

static void
run_job(struct gate *gate, struct gate_job *job, enum job_pay pay)
{
    struct gate_process *process;

    queue_run(&gate->queue, &job->job, pay);
    gate_memory_started(gate, job);
    gate_tell_started(gate, job);
    tokens_number(gate, job);
    TAILQ_FOREACH (process, &job->processes, in_job) {
        if (process->pidfd >= 0)
            run_process(gate, process);
    }
}

static void
end_job(struct gate *gate, struct gate_job *job, int status)
{
    struct gate_process *process;

    queue_end(&gate->queue, &job->job);
    gate_memory_withdraw(gate, job);
    TAILQ_FOREACH (process, &job->processes, in_job) {
        if (process->pidfd >= 0)
            gate->kind->end(gate, process, status);
    }
}

static void
tell_waiting(struct gate *gate)
{
    const struct job *job;
    const struct gate_process *process;

    TAILQ_FOREACH (job, &gate->queue.waiting, in_queue) {
        TAILQ_FOREACH (process, &((const struct gate_job *)job)->processes, in_job) {
            if (process->pidfd >= 0)
                unrun_tell(process->pidfd);
        }
    }
}

/* Of one lazy client, or (0) of all. */
static void
end_waiting(struct gate *gate, pid_t lazy, int status)
{
    struct job *job, *next;

    for (job = TAILQ_FIRST(&gate->queue.waiting); job; job = next) {
        next = TAILQ_NEXT(job, in_queue);
        if (lazy == 0 || ((struct gate_job *)job)->lazy == lazy)
            end_job(gate, (struct gate_job *)job, status);
    }
}

/* It has been killed to make room. When none of it is left, it waits again. */
static void
put_off_if_gone(struct gate *gate, struct gate_job *job)
{
    struct gate_process *process = TAILQ_FIRST(&job->processes);

    if (!copies_are_gone(process))
        return;
    gate_tell_put_off(gate, job);
    enum job_pay pay = queue_put_off(&gate->queue, &job->job);
    gate->kind->put_off(gate, process);
    holdings_wait(gate->holdings, process->holding);
    job->token = HOLDINGS_NO_TOKEN;
    gate_memory_gone(gate, job);
    gate_classes_give_back(gate, job);
    if (pay == PAY_TOKEN)
        tokens_give_back(gate);
    if (job->is_bereaved)
        end_job(gate, job, -1);
}

/* --- serving --- */

static void
on_token(evutil_socket_t fd, short what, void *argument)
{
    struct gate *gate = argument;

    gate->has_returned = false;
    gate->is_told = true;
    gate_serve(gate);
    gate->is_told = false;
}

/* Who ends one job alone, as make does by SIGTERM, knows the original: the copy has to hear of it. What goes to a
 * whole group, as from a terminal, it has got itself. */
static void
pass_on_signals(struct gate *gate)
{
    const uint64_t term = process_signal_bit(SIGTERM);
    struct gate_process *process, *next;
    struct process_signals signals;

    HASH_ITER (hh, gate->processes, process, next) {
        if (!process->copy || (process->passed_on & term) ||
            process_signals(process->pid, &signals) < 0 || !(signals.pending & term))
            continue;
        process->passed_on |= term;
        process_signal(process->copy, process->copy_pidfd, SIGTERM);
    }
}

/* Who waits for a job's end waits for that of one that stands at the gate, too. */
static void
run_what_is_ended(struct gate *gate)
{
    struct job *job, *next;

    for (job = TAILQ_FIRST(&gate->queue.waiting); job; job = next) {
        next = TAILQ_NEXT(job, in_queue);
        if (gate_memory_is_being_ended((const struct gate_job *)job))
            run_job(gate, (struct gate_job *)job, PAY_NOTHING);
    }
}

/* It is time to see what jobs use. */
static void
on_look(evutil_socket_t fd, short what, void *argument)
{
    struct gate *gate = argument;
    struct job *job, *next;

    gate_memory_look(gate);
    pass_on_signals(gate);
    if (gate->plan->rules.needs_no_tokens)
        run_what_is_ended(gate);
    for (job = TAILQ_FIRST(&gate->queue.running); job; job = next) {
        next = TAILQ_NEXT(job, in_queue);
        if (((struct gate_job *)job)->memory.job.state == MEMORY_IS_DYING)
            put_off_if_gone(gate, (struct gate_job *)job);
    }
    gate_serve(gate);
}

/* Somebody has ended, or a pause has; or it is time to look at classes. */
static void
on_end(evutil_socket_t fd, short what, void *argument)
{
    struct gate *gate = argument;

    if (gate->plan->rules.needs_no_tokens)
        run_what_is_ended(gate);
    gate_serve(gate);
}

static void
on_load(evutil_socket_t fd, short what, void *argument)
{
    struct gate *gate = argument;

    gate->is_load_awaited = false;
    gate_serve(gate);
}

/* The jobserver is polled only while somebody waits: at a server, who polls stands in its queue. */
static void
await_token(struct gate *gate, bool await)
{
    await = await && !evtimer_pending(gate->pause_event, NULL);
    if (await == gate->is_token_awaited)
        return;
    if (await)
        event_add(gate->token_event, NULL);
    else
        event_del(gate->token_event);
    gate->is_token_awaited = await;
}

static void
await_load(struct gate *gate)
{
    if (!gate->is_load_awaited)
        evtimer_add(gate->load_event, &load_interval);
    gate->is_load_awaited = true;
}

static double
read_load(const struct gate *gate)
{
    double load = 0;

    if (gate->plan->rules.load_max > 0 && getloadavg(&load, 1) != 1)
        return 0;
    return load;
}

/* Who is killed has its jobs ended, but of that the gate hears a moment later. */
static bool
is_bereaved(const struct gate *gate, const struct gate_job *job)
{
    return gate->kind->has_ended(gate, job->lazy);
}

/* false: not yet. */
static bool
end_stopped(struct gate *gate)
{
    bool has_failed = !gate->queue.is_interrupted;
    enum gate_end end = GATE_END_SEEN;

    if (has_failed && gate->kind->may_end)
        end = gate->kind->may_end(gate);
    if (end == GATE_END_LATER)
        return false;
    if (has_failed && end == GATE_END_SEEN)
        tell_waiting(gate);
    end_waiting(gate, 0, gate->queue.end_status);
    return true;
}

/* Others that wait may do without the cpu's token. Returns whether to ask for the next step. */
static bool
go_on_without_token(struct gate *gate)
{
    if (gate->is_server_gone || (!gate->is_claim_awaited && tokens_claim_slot(gate)))
        return true;
    if (!gate->classes.there)
        return false;
    queue_set_empty(&gate->queue, QUEUE_CPU);
    return true;
}

/* false: there is none. true: it runs, or another step is due. */
static bool
run_on_token(struct gate *gate, struct gate_job *job)
{
    if (gate->is_claim_awaited && tokens_claim_slot(gate))
        return true;
    if (!tokens_borrow(gate))
        return go_on_without_token(gate);
    if (tokens_pay_for_unpaid(gate))
        return true;
    if (gate_classes_take(gate, job))
        run_job(gate, job, PAY_TOKEN);
    else
        tokens_give_back(gate);
    return true;
}

static bool
use_for(struct gate *gate, struct gate_job *job, enum job_pay pay)
{
    assert(job);
    if (is_bereaved(gate, job))
        return false;
    if (pay == PAY_TOKEN)
        return run_on_token(gate, job);
    if (gate_classes_take(gate, job))
        run_job(gate, job, pay);
    return true;
}

/* One step, for the chosen job where it is for one; false: nothing more can be done now. */
static bool
take_step(struct gate *gate, enum queue_step step, struct gate_job *job)
{
    switch (step) {
    case QUEUE_USE_IMPLICIT:
        return use_for(gate, job, PAY_IMPLICIT);
    case QUEUE_USE_TOKEN:
        return use_for(gate, job, PAY_TOKEN);
    case QUEUE_USE_CLASSES:
        return use_for(gate, job, PAY_CLASSES);
    case QUEUE_USE_NOTHING:
        return use_for(gate, job, PAY_NOTHING);
    case QUEUE_FREE_TOKEN:
        tokens_free_one(gate);
        return true;
    case QUEUE_END:
        return end_stopped(gate);
    case QUEUE_LOAD:
        await_load(gate);
        return false;
    case QUEUE_REST:
        return false;
    }
    return false;
}

void
gate_serve(struct gate *gate)
{
    double load = read_load(gate);
    enum queue_step step;
    struct gate_job *job;

    /* A failure that nobody has looked at yet comes before what waits. */
    gate_sweep(gate);
    queue_set_open(&gate->queue, QUEUE_CPU);
    do {
        job = gate_memory_next(gate);
        step = queue_next(&gate->queue, job ? &job->job : NULL, load);
    } while (take_step(gate, step, job));
    gate_tell_turn_over(gate, !job && queue_first(&gate->queue));
    bool wants_token = step == QUEUE_USE_TOKEN || (gate->queue.empty & QUEUE_CPU);
    await_token(gate, wants_token && !gate->is_server_gone && !gate->is_ledger_full);
    gate_classes_await(gate);
    if (!gate->next_event && gate_classes_are_gone(gate))
        next_server_await(gate);
    gate_memory_schedule(gate);
}

/* --- coming and going --- */

int
gate_admit(struct gate *gate, pid_t pid, pid_t lazy)
{
    int error;
    struct gate_process *process = create_process(gate, pid, &error);

    if (!process)
        return error;
    if (!gate->plan->has_single_jobs)
        pipes_read_standard(process->pid, process->pipes);
    struct gate_job *job = find_joined(gate, process, lazy);
    if (job)
        gate_memory_join(job);
    else if ((job = create_job(gate, lazy)))
        gate_memory_add(gate, job, process);
    process->job = job;
    if (!job) {
        holdings_remove(gate->holdings, process->holding);
        close(process->pidfd);
        free(process);
        return -ENOMEM;
    }
    HASH_ADD_INT(gate->processes, pid, process);
    TAILQ_INSERT_TAIL(&job->processes, process, in_job);
    job->living++;
    gate_classes_look_up(gate, process);
    if (job->job.state == JOB_RUNNING)
        run_process(gate, process);
    else if (job->job.state == JOB_ENDING)
        gate->kind->end(gate, process, gate->queue.end_status);
    gate_serve(gate);
    return 0;
}

static void
note_end(struct gate *gate, const struct gate_process *process)
{
    int wait_status = process->wait_status;
    bool is_known =
        process->is_reported || process_end_status(process->pid, process->pidfd, &wait_status) == 0;

    if (process->job->wait_status == 0)
        process->job->wait_status = is_known ? wait_status : -1;
    gate_memory_process_ended(process->job, is_known ? &wait_status : NULL);
    if (process->job->job.state != JOB_RUNNING || gate->queue.rules.failures_allowed == 0)
        return;
    if (is_known)
        queue_ended(&gate->queue, wait_status);
    else if (gate->kind->has_end_reports)
        queue_ended_unknown(&gate->queue);
}

static void
collect(struct gate *gate, struct gate_process *process)
{
    struct gate_job *job = process->job;

    if (copies_outlive(gate, process))
        return;
    note_end(gate, process);
    if (job->living == 1)
        gate_tell_ended(gate, job);
    /* The token goes first. While it is on its way the keeper finds one token less than it thinks
     * it must hold, and holds what there is. */
    if (job->living == 1) {
        enum job_pay pay = queue_remove(&gate->queue, &job->job);
        gate_classes_give_back(gate, job);
        if (pay == PAY_TOKEN)
            tokens_give_back(gate);
    }
    forget_process(gate, process);
    gate_classes_sum_up(gate, job);
    if (job->living > 0)
        return;
    gate_memory_remove(gate, job);
    destroy_job(job);
    gate->jobs_alive--;
}

struct gate_process *
gate_find(struct gate *gate, pid_t pid)
{
    struct gate_process *process;

    HASH_FIND_INT(gate->processes, &pid, process);
    if (!process || !process_pidfd_has_exited(process->pidfd))
        return process;
    /* The pid may be another one's already. */
    collect(gate, process);
    return NULL;
}

static void
sweep_copies(struct gate *gate)
{
    struct gate_process *processes[ENDS_AT_ONCE];
    int ended;

    do {
        ended = copies_ended(gate, processes, ENDS_AT_ONCE);
        for (int i = 0; i < ended; i++) {
            switch (copies_end(gate, processes[i])) {
            case COPIES_END_LEAVES:
                break;
            case COPIES_END_KILLED:
                put_off_if_gone(gate, processes[i]->job);
                break;
            case COPIES_END_ORPHAN:
                collect(gate, processes[i]);
                break;
            }
        }
    } while (ended == ENDS_AT_ONCE);
}

void
gate_sweep(struct gate *gate)
{
    struct epoll_event events[ENDS_AT_ONCE];
    int ended;

    sweep_copies(gate);
    do {
        ended = epoll_wait(gate->ended_fd, events, ENDS_AT_ONCE, 0);
        for (int i = 0; i < ended; i++)
            collect(gate, events[i].data.ptr);
    } while (ended == ENDS_AT_ONCE);
}

void
gate_report_end(struct gate *gate, pid_t pid, int wait_status)
{
    struct gate_process *process;

    HASH_FIND_INT(gate->processes, &pid, process);
    if (process) {
        process->is_reported = true;
        process->wait_status = wait_status;
    } else if (gate->queue.unknown > 0) {
        queue_ended(&gate->queue, wait_status);
    }
}

void
gate_settle_unknown(struct gate *gate)
{
    queue_unknown_settled(&gate->queue, gate->queue.unknown);
}

void
gate_interrupt(struct gate *gate)
{
    gate_memory_let_go(gate, 0);
    queue_stop(&gate->queue, -1);
    gate_serve(gate);
}

void
gate_lazy_ended(struct gate *gate, pid_t lazy)
{
    struct job *job;

    gate_memory_let_go(gate, lazy);
    end_waiting(gate, lazy, -1);
    TAILQ_FOREACH (job, &gate->queue.running, in_queue)
        if (((struct gate_job *)job)->lazy == lazy)
            ((struct gate_job *)job)->is_bereaved = true;
}

bool
gate_is_busy(const struct gate *gate)
{
    return gate->jobs_alive > 0;
}

/* --- its life --- */

static int
open_token_event(struct gate *gate)
{
    gate->token_event =
        event_new(gate->base, client_fd(gate->plan->client), EV_READ | EV_PERSIST, on_token, gate);
    return gate->token_event ? 0 : -ENOMEM;
}

/* Tokens of the cpu may be another's business: then there is no ledger, and nobody is waited for. */
static int
open_tokens(struct gate *gate)
{
    const struct gate_plan *plan = gate->plan;

    if (plan->rules.needs_no_tokens)
        return gate_classes_open(gate, on_end);
    int result = ledger_open(&gate->ledger, plan->client, plan->jobs ? plan->jobs : LEDGER_ROOM);
    gate->ledgers[0] = &gate->ledger;
    if (result == 0)
        result = open_token_event(gate);
    return result < 0 ? result : gate_classes_open(gate, on_end);
}

void
gate_keeper_renewed(struct gate *gate)
{
    bool has_classes = gate_classes_renew(gate), has_server = gate->is_joining;
    int result = has_server ? ledger_renew(&gate->ledger) : 0;

    if (!has_classes && !has_server)
        return;
    gate->is_joining = false;
    if (result < 0)
        next_server_await(gate); /* it has ended, too */
    else if (has_server && open_token_event(gate) < 0)
        return;
    else if (has_server)
        tokens_renew(gate, (unsigned)result);
    tokens_note_all(gate);
    gate_serve(gate);
}

int
gate_open(struct gate *gate, const struct gate_plan *plan)
{
    *gate = (struct gate){.plan = plan, .ended_fd = -1, .copies_fd = -1};
    queue_init(&gate->queue, &plan->rules);
    gate->holdings = holdings_create();
    gate->base = event_base_new();
    if (!gate->holdings || !gate->base)
        return -ENOMEM;
    int result = open_tokens(gate);
    if (result < 0)
        return result;
    gate->ended_fd = epoll_create1(EPOLL_CLOEXEC);
    if (gate->ended_fd < 0)
        return -errno;
    gate->load_event = evtimer_new(gate->base, on_load, gate);
    gate->end_event = event_new(gate->base, gate->ended_fd, EV_READ | EV_PERSIST, on_end, gate);
    gate->pause_event = evtimer_new(gate->base, on_end, gate);
    if (!gate->load_event || !gate->end_event || !gate->pause_event)
        return -ENOMEM;
    if (event_add(gate->end_event, NULL) < 0)
        return -ENOMEM;
    result = copies_open(gate, on_end);
    return result < 0 ? result : gate_memory_open(gate, on_look);
}

void
gate_set_kind(struct gate *gate, const struct gate_kind *kind, void *state)
{
    gate->kind = kind;
    gate->kind_state = state;
    gate->holdings->kind = kind;
}

void
gate_close(struct gate *gate)
{
    struct event *events[] = {gate->token_event, gate->load_event, gate->end_event,
                              gate->pause_event, gate->held_event};

    if (gate->ledger.client)
        ledger_repay_all_but(&gate->ledger, 0);
    gate_classes_close(gate);
    next_server_stop_awaiting(gate);
    gate_memory_close(gate);
    gate_tell_now(gate);
    copies_close(gate);
    if (gate->holdings)
        gate->holdings->is_finished = true;
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
        if (events[i])
            event_free(events[i]);
    if (gate->ended_fd >= 0)
        close(gate->ended_fd);
    if (gate->base)
        event_base_free(gate->base);
}
