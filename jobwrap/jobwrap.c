/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "jobwrap/events.h"
#include "jobwrap/jobwrap.h"
#include "jobwrap/keeper_link.h"
#include "jobwrap/report_page.h"
#include "jobwrap/result_file.h"
#include "jobwrap/tree.h"
#include "jobwrap/waiting.h"
#include "libjobserver/environment.h"
#include "libjobserver/memory/mode.h"
#include "libjobserver/program/clock.h"
#include "libjobserver/program/ending.h"
#include "libjobserver/program/message.h"
#include "libjobserver/program/numbers.h"
#include "libjobserver/program/packet.h"
#include "libjobserver/program/usage.h"

/* --- before the command --- */

static int
wait_for_keeper(struct jobwrap *jobwrap)
{
    while (jobwrap->is_keeper_alive && !jobwrap->is_keeper_ready)
        events_serve(jobwrap);
    if (jobwrap->is_keeper_ready && jobwrap->keeper_joined == 0)
        return 0;
    message("start the keeper: %s",
            jobwrap->is_keeper_ready ? strerror(-jobwrap->keeper_joined) : "it was killed");
    return -ECHILD;
}

static int
acquire_implicit(struct jobwrap *jobwrap)
{
    struct client *client = jobwrap->parent.jobserver.client;

    if (!client || jobwrap->is_implicit_paid)
        return 0;
    int result = waiting_pay_implicit(&jobwrap->ledger, jobwrap->options.implicit, jobwrap->base,
                                      &jobwrap->has_ended);
    if (result < 0) {
        if (!jobwrap->has_ended)
            message("acquire from %s: %s", client_name(client), strerror(-result));
        return result;
    }
    jobwrap->is_implicit_paid = result == WAITING_CLAIMED;
    if (jobwrap->is_implicit_paid)
        return 0;
    report_borrowed(&jobwrap->report, 1);
    client_pay_implicit(client);
    return 0;
}

/* What is lent goes where tokens move to. */
static int
move_tokens(struct jobwrap *jobwrap, unsigned floating, unsigned cap)
{
    int result = relay_start(&jobwrap->relay, jobwrap->base, floating, cap);

    if (result == 0)
        jobwrap->control.loans = &jobwrap->relay.loans;
    return result;
}

/* The FIFO is not alone any more: tokens move between it and the others. Where that fails, the next one tries again. */
static void
on_first_client(void *argument)
{
    struct jobwrap *jobwrap = argument;

    if (jobwrap->relay.is_relaying)
        return;
    int result = move_tokens(jobwrap, POOL_CAPACITY_MAX, POOL_CAPACITY_MAX);
    if (result < 0 && !jobwrap->has_relay_failed)
        message_errno(result, "start the relay");
    jobwrap->has_relay_failed = result < 0;
}

/* --- the next parent --- */

static bool
send_parent(void *argument, int file)
{
    const struct jobwrap *jobwrap = argument;
    const struct keeper_message parent = {.type = KEEPER_PARENT};

    if (jobwrap->is_keeper_alive)
        packet_send(jobwrap->keeper.socket, &parent, sizeof(parent), file);
    return jobwrap->is_keeper_alive;
}

static void
on_parent_replaced(void *argument)
{
    struct jobwrap *jobwrap = argument;

    parent_set_weight(&jobwrap->parent, jobwrap->options.weight);
    control_renew(&jobwrap->control);
    source_renew(&jobwrap->source, jobwrap->options.implicit == IMPLICIT_INHERIT);
}

static void
on_parent_lost(void *argument)
{
    struct jobwrap *jobwrap = argument;

    jobwrap->next_parent.parent = &jobwrap->parent;
    jobwrap->next_parent.is_named = jobwrap->options.parent != NULL;
    jobwrap->next_parent.send = send_parent;
    jobwrap->next_parent.replaced = on_parent_replaced;
    jobwrap->next_parent.argument = jobwrap;
    next_parent_search(&jobwrap->next_parent, jobwrap->base);
}

/* --- what is lent --- */

static int
open_source(struct jobwrap *jobwrap)
{
    const struct options *options = &jobwrap->options;
    bool is_root = !jobwrap->parent.jobserver.client;

    jobwrap->source = (struct source){
        .own = is_root                     ? jobwrap->jobs
               : jobwrap->is_implicit_paid ? 1
                                           : 0,
        .ledger = is_root ? NULL : &jobwrap->ledger,
        .parent = &jobwrap->parent,
        .limit = options->jobs,
        .limits = options->limits,
        .tell = control_tell,
        .lost = on_parent_lost,
        .lost_argument = jobwrap,
        .wake = relay_wake,
        .argument = &jobwrap->relay,
    };
    return source_open(&jobwrap->source, jobwrap->base);
}

static void
on_settled(void *argument)
{
    struct jobwrap *jobwrap = argument;

    relay_note(&jobwrap->relay);
    for (unsigned i = 0; jobwrap->relay.has_report && i < jobwrap->classes.count; i++)
        report_note_class(&jobwrap->report, i, pool_used(jobwrap->classes.classes[i].pool),
                          clock_now_ns());
}

static unsigned
count_unexplained(void *argument)
{
    return relay_count_unexplained(&((struct jobwrap *)argument)->relay);
}

static void
on_loan_ended(void *argument)
{
    relay_wake(&((struct jobwrap *)argument)->relay);
}

/* Where they cannot be had, it is as if there were none. */
static void
open_classes(struct jobwrap *jobwrap)
{
    const struct class_specs *specs = &jobwrap->options.classes;

    jobwrap->classes = (struct classes){.source = &jobwrap->source, .tell = control_tell};
    int result = classes_open(&jobwrap->classes, specs, &jobwrap->fifo, jobwrap->base);
    for (unsigned i = 0; result == 0 && i < specs->count; i++)
        report_add_class(&jobwrap->report, specs->specs[i].name);
    if (result == 0)
        return;
    message("--class '%s=%u': %s", specs->specs[jobwrap->classes.count].name,
            specs->specs[jobwrap->classes.count].jobs, strerror(-result));
    classes_close(&jobwrap->classes);
}

/* Where it cannot be had, all below are one account. */
static void
open_control(struct jobwrap *jobwrap)
{
    jobwrap->control = (struct control){.source = &jobwrap->source,
                                        .classes = &jobwrap->classes,
                                        .fifo = &jobwrap->fifo,
                                        .clients = &jobwrap->relay.reclaim.clients,
                                        .first_came = on_first_client,
                                        .settled = on_settled,
                                        .count_unexplained = count_unexplained,
                                        .loan_ended = on_loan_ended,
                                        .argument = jobwrap};
    int result = control_open(&jobwrap->control, jobwrap->base);
    if (result < 0)
        message_errno(result, "make a control socket");
}

/* The prefix of the classes that the command is told of, if they are not our own; else NULL. */
static const char *
other_classes(const struct jobwrap *jobwrap)
{
    return jobwrap->options.classes.count > 0 ? NULL : jobwrap->launch.classes;
}

static int
start_relay(struct jobwrap *jobwrap)
{
    struct relay *relay = &jobwrap->relay;
    int result = open_source(jobwrap);

    if (result == 0 && jobwrap->recorder)
        result = recorder_read(jobwrap->recorder, &jobwrap->source.stream.log,
                               other_classes(jobwrap), jobwrap->base);
    if (result < 0)
        return result;
    relay->fifo = &jobwrap->fifo;
    relay->report = &jobwrap->report;
    relay->keeper = jobwrap->keeper.pid;
    relay->has_report = jobwrap->options.wants_report || jobwrap->recorder;
    relay->source = &jobwrap->source;
    relay->arbiter = &jobwrap->control.arbiter;
    relay->loan_paid = control_tell_paid;
    loans_init(&relay->loans);
    open_classes(jobwrap);
    open_control(jobwrap);
    if (jobwrap->parent.jobserver.client)
        return move_tokens(jobwrap, parent_floating(&jobwrap->parent), jobwrap->ledger.capacity);
    /* A pool of our own: all of it lies in the FIFO, until others come or a limit holds it back. */
    if (throttle_is_set(&jobwrap->source.throttle))
        return move_tokens(jobwrap, POOL_CAPACITY_MAX, POOL_CAPACITY_MAX);
    return relay_fill(relay, jobwrap->base);
}

/* As the command has it in its environment. */
static void
tell_memory(const struct jobwrap *jobwrap)
{
    const char *given = jobwrap->launch.memory,
               *mode = given ? given : getenv(MEMORY_MODE_VARIABLE);

    if (mode && memory_mode_parse(mode, &(enum memory_mode){0}) == 0)
        private_fifo_tell_memory(&jobwrap->fifo, mode);
}

/* What jobs are told to be of: by number, those that the command is told of. */
static void
list_classes(const struct jobwrap *jobwrap, struct steved_classes *classes)
{
    const struct class_specs *own = &jobwrap->options.classes;
    const char *prefix = other_classes(jobwrap);

    *classes = (struct steved_classes){.count = own->count};
    for (unsigned i = 0; i < own->count; i++) {
        memcpy(classes->classes[i].name, own->specs[i].name, STEVED_CLASS_NAME_SIZE);
        classes->classes[i].jobs = own->specs[i].jobs;
    }
    if (prefix)
        environment_list_classes(prefix, classes);
}

static bool
open_recorder(struct jobwrap *jobwrap)
{
    const struct options *options = &jobwrap->options;
    struct recorder_plan plan = {.command = options->command,
                                 .trace_file = options->trace_file,
                                 .jobs = jobwrap->jobs,
                                 .is_pool = !jobwrap->parent.jobserver.client};

    if (!options_shows_jobs(options))
        return true;
    list_classes(jobwrap, &plan.classes);
    jobwrap->recorder = recorder_open(&plan);
    jobwrap->report.recorder = jobwrap->recorder;
    return jobwrap->recorder;
}

bool
jobwrap_begin(struct jobwrap *jobwrap)
{
    int result = events_open(jobwrap);

    if (result < 0) {
        message("start: %s", strerror(-result));
        return false;
    }
    if (jobwrap->options.report_file && result_file_check(jobwrap->options.report_file) < 0)
        return false;
    if (!open_recorder(jobwrap))
        return false;
    if (wait_for_keeper(jobwrap) < 0 ||
        private_fifo_make(&jobwrap->fifo, jobwrap->options.group, jobwrap->jobs) < 0 ||
        acquire_implicit(jobwrap) < 0)
        return false;
    tell_memory(jobwrap);
    result = start_relay(jobwrap);
    if (result < 0)
        message("start the relay: %s", strerror(-result));
    return result == 0;
}

/* --- the command --- */

/* The keeper was killed when it had started the command, perhaps, and not told us. */
static void
abandon(struct jobwrap *jobwrap)
{
    message("the keeper (pid %d) was killed before the command ran", jobwrap->keeper.pid);
    jobwrap->has_ended = true;
    do
        tree_end(getpid(), SIGKILL);
    while (!jobwrap->is_tree_empty && (events_serve(jobwrap), true));
}

void
jobwrap_run(struct jobwrap *jobwrap)
{
    const struct private_fifo *fifo = &jobwrap->fifo;
    struct keeper_message launch = {.type = KEEPER_LAUNCH,
                                    .value = fifo->is_pipe ? fifo->fd : fifo->chosen,
                                    .is_pipe = fifo->is_pipe};

    if (jobwrap->has_ended)
        return;
    jobwrap->is_launching = true;
    packet_send(jobwrap->keeper.socket, &launch, sizeof(launch), -1);
    while (!jobwrap->command.has_ended && (jobwrap->is_keeper_alive || jobwrap->command.pid))
        events_serve(jobwrap);
    if (!jobwrap->command.has_ended)
        abandon(jobwrap);
}

/* --- the end --- */

/* A shell below us tells of the signal that killed its command by a status above 128. */
static bool
was_killed(const struct jobwrap *jobwrap)
{
    int status = jobwrap->command.status;

    return jobwrap->command.has_ended &&
           (WIFSIGNALED(status) ||
            (WEXITSTATUS(status) > 128 && WEXITSTATUS(status) <= 128 + SIGRTMAX));
}

/* Tokens that jobs which run on may be using: each has one, or the implicit slot of a client that has died.
 * A build that ended as it should has all its tokens in the FIFO; what it leaves behind then is a daemon. */
static unsigned
most_used(const struct jobwrap *jobwrap, unsigned outstanding, unsigned uncovered)
{
    bool is_one_more = uncovered == 0 && (outstanding > 0 || was_killed(jobwrap));

    return outstanding + uncovered + is_one_more;
}

/* Of these, as many as there are processes that could. */
static unsigned
count_left(const struct jobwrap *jobwrap, unsigned most)
{
    if (jobwrap->is_tree_empty || most == 0)
        return 0;
    int living =
        tree_count_threads(getpid(), jobwrap->is_keeper_alive ? jobwrap->keeper.pid : 0, getsid(0));
    return living >= 0 && (unsigned)living < most ? (unsigned)living : most;
}

/* What is left runs in the slot that was lent to us, and whose it is will use it again when we have ended.
 * So we wait for a token instead, or for the end of those jobs. Returns how many tokens they use. */
static unsigned
cover_left_jobs(struct jobwrap *jobwrap, unsigned most)
{
    unsigned left = count_left(jobwrap, most);

    if (left > ledger_borrowed(&jobwrap->ledger))
        message(
            "jobs that %s has left behind still run in its implicit slot; waiting until they end, "
            "or for a token",
            jobwrap->options.command[0]);
    struct event *parent = waiting_watch(&jobwrap->ledger, jobwrap->base);
    while (parent && left > ledger_borrowed(&jobwrap->ledger)) {
        if (ledger_borrow(&jobwrap->ledger) < 0)
            break;
        if (left > ledger_borrowed(&jobwrap->ledger))
            events_serve(jobwrap);
        left = count_left(jobwrap, most);
    }
    if (parent)
        event_free(parent);
    return left;
}

/* Tokens to hold for jobs that run on. */
struct hold {
    unsigned now;
    unsigned most; /* with those that a make has not put back yet whose jobs have just ended */
};

static struct hold
settle(struct jobwrap *jobwrap)
{
    bool is_over = !jobwrap->parent.jobserver.client || !jobwrap->command.pid;
    unsigned uncovered = is_over ? 0 : relay_count_uncovered(&jobwrap->relay), outstanding = 0;

    next_parent_close(&jobwrap->next_parent);
    relay_stop(&jobwrap->relay);
    if (!is_over && !jobwrap->is_tree_empty)
        outstanding = relay_collect(&jobwrap->relay);
    if (jobwrap->recorder)
        recorder_end(jobwrap->recorder);
    jobwrap->report.recorder = NULL;
    if (jobwrap->source.pool) {
        control_close(&jobwrap->control);
        classes_close(&jobwrap->classes);
        source_close(&jobwrap->source);
    }
    if (is_over || jobwrap->is_tree_empty)
        return (struct hold){0};
    unsigned most = most_used(jobwrap, outstanding, uncovered);
    unsigned left = cover_left_jobs(jobwrap, most), borrowed = ledger_borrowed(&jobwrap->ledger);
    return (struct hold){.now = lesser(left, borrowed),
                         .most = left > 0 ? lesser(most, borrowed) : 0};
}

static void
say_what_is_held(const struct jobwrap *jobwrap, unsigned hold)
{
    if (hold > 0)
        message("jobs that %s has left behind still run; process %d holds %u of its tokens until "
                "they end",
                jobwrap->options.command[0],
                jobwrap->is_keeper_alive ? jobwrap->keeper.pid : getpid(), hold);
}

static void
finish_by_keeper(struct jobwrap *jobwrap, unsigned hold)
{
    struct keeper_message finish = {.type = KEEPER_FINISH, .value = (int)hold};

    packet_send(jobwrap->keeper.socket, &finish, sizeof(finish), -1);
    while (jobwrap->is_keeper_alive && jobwrap->keeper_holds == 0)
        events_serve(jobwrap);
}

void
jobwrap_finish(struct jobwrap *jobwrap)
{
    struct hold hold = settle(jobwrap);

    say_what_is_held(jobwrap, hold.now);
    if (jobwrap->is_keeper_alive && jobwrap->base)
        finish_by_keeper(jobwrap, hold.most);
    if (jobwrap->keeper_holds > 0)
        return;
    /* There is no keeper any more. If it has done all of this, nothing is left to be done. */
    if (jobwrap->parent.jobserver.client) {
        if (hold.most > 0)
            keeper_hold(&jobwrap->ledger, &jobwrap->fifo, getpid(), hold.most, jobwrap->signals.fd);
        ledger_repay_all_but(&jobwrap->ledger, 0);
    }
    private_fifo_remove(&jobwrap->fifo);
}

static int
say_launch_error(const struct jobwrap *jobwrap)
{
    int error = jobwrap->launch_error;

    message("run %s: %s", jobwrap->options.command[0], strerror(abs(error)));
    return error < 0 ? EXIT_OURS : usage_exec_status(error);
}

static void
release(struct jobwrap *jobwrap)
{
    events_close(jobwrap);
    private_fifo_clear(&jobwrap->fifo);
    parent_close(&jobwrap->parent);
    free(jobwrap->launch.shims);
    free(jobwrap->launch.classes);
    recorder_close(jobwrap->recorder);
}

static void
write_page(struct jobwrap *jobwrap, const char *parent, const struct memory_totals *memory)
{
    report_end(&jobwrap->report);
    char *page = report_page(jobwrap->recorder, &jobwrap->report, jobwrap->jobs, parent, memory);

    if (page)
        result_file_write(jobwrap->options.report_file, page);
    else
        message("write %s: %s", jobwrap->options.report_file, strerror(ENOMEM));
    free(page);
}

/* Those of another server, whose tokens have not passed through our hands. */
static void
report_other_classes(struct jobwrap *jobwrap)
{
    const struct recorder *recorder = jobwrap->recorder;

    if (!recorder || !other_classes(jobwrap))
        return;
    for (unsigned i = 0; i < recorder->classes.count; i++)
        report_add_recorded_class(&jobwrap->report, recorder->classes.classes[i].name,
                                  &recorder->of_class[i].series[RECORDED_CLASS_HELD]);
}

static void
write_report(struct jobwrap *jobwrap)
{
    signal(SIGXFSZ, SIG_IGN); /* it is said what could not be written */
    report_other_classes(jobwrap);
    const struct client *client = jobwrap->parent.jobserver.client;
    const struct memory_arbiter *arbiter = &jobwrap->control.arbiter;
    const struct memory_totals totals = memory_arbiter_totals(arbiter),
                               *memory = arbiter->next_number > 0 ? &totals : NULL;
    const char *parent = client ? client_name(client) : NULL;

    if (jobwrap->options.wants_page)
        write_page(jobwrap, parent, memory);
    else
        report_write(&jobwrap->report, jobwrap->options.report_file, jobwrap->jobs, parent, memory);
}

int
jobwrap_exit(struct jobwrap *jobwrap)
{
    message_may_wait();
    if (jobwrap->command.has_ended && !jobwrap->launch_error && jobwrap->options.wants_report)
        write_report(jobwrap);
    release(jobwrap);
    if (jobwrap->launch_error)
        return say_launch_error(jobwrap);
    if (jobwrap->end_signal)
        ending_by_signal(jobwrap->end_signal);
    if (!jobwrap->command.has_ended)
        return EXIT_OURS;
    return ending_like(jobwrap->command.status);
}
