/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ninja-shim/gate/classes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libjobserver/environment.h"
#include "libjobserver/process.h"
#include "libjobserver/program/message.h"

#define LEDGER_ROOM 1024u

static const struct timeval look_interval = {.tv_sec = 1};

static bool
counts(const struct gate_plan *plan, unsigned i)
{
    return !plan->rules.needs_no_tokens || class_rules_is_besides(plan->class_rules, i);
}

/* The pool of the class with this number in the rules. */
static unsigned
bit_of(unsigned i)
{
    return QUEUE_CPU << (i + 1);
}

/* --- what becomes known --- */

static void
await_class(struct gate_class *class, bool await)
{
    if (!class->event || await == class->is_awaited)
        return;
    if (await)
        event_add(class->event, NULL);
    else
        event_del(class->event);
    class->is_awaited = await;
}

static bool
is_shut(struct gate_class *class)
{
    struct steved_status status;

    return client_get_status(class->client, &status) < 0 || status.jobs == 0;
}

static unsigned
named_by_waiting(const struct gate *gate)
{
    const struct job *job;
    unsigned named = 0;

    TAILQ_FOREACH (job, &gate->queue.waiting, in_queue)
        named |= job->instead | job->besides;
    return named;
}

/* A class that is shut, or was empty, may not be any more; and one that a job needs instead of the cpu, while it waits
 * for another such class, may be shut by now. */
static void
look_at(struct gate *gate, unsigned pools)
{
    struct queue *queue = &gate->queue;

    for (unsigned i = 0; i < CLASS_RULES_CLASSES_MAX; i++) {
        if (!(pools & gate->classes.there & bit_of(i)))
            continue;
        if (is_shut(&gate->classes.list[i]))
            queue_set_shut(queue, bit_of(i));
        else if (queue->shut & bit_of(i))
            queue_set_open(queue, bit_of(i));
    }
}

/* One that is no more does not limit any job. */
static void
lose(struct gate *gate, unsigned i, int error)
{
    struct gate_class *class = &gate->classes.list[i];

    await_class(class, false);
    class->is_gone = client_is_gone(error);
    gate->classes.there &= ~bit_of(i);
    queue_set_shut(&gate->queue, bit_of(i));
}

/* Whether it can be had, with what else a job needs, is seen now; nobody waits for it meanwhile. */
static void
on_token(evutil_socket_t fd, short what, void *argument)
{
    struct gate_class *class = argument;
    struct gate *gate = class->gate;

    await_class(class, false);
    queue_set_open(&gate->queue, bit_of((unsigned)(class - gate->classes.list)));
    gate->classes.on_change(fd, what, gate);
}

static void
on_look(evutil_socket_t fd, short what, void *argument)
{
    struct gate *gate = argument;

    look_at(gate, named_by_waiting(gate));
    gate->classes.on_change(fd, what, gate);
}

/* --- opening --- */

/* To be freed. */
static char *
find_prefix(const struct gate_plan *plan)
{
    return environment_classes_around(plan->client, plan->is_server_named);
}

/* NULL: there is none; *error, to be freed, says why, if that is not what is to be expected. */
static struct client *
open_client(const char *prefix, const char *name, char **error)
{
    struct client *client = NULL;

    if (client_open_class(prefix, name, &client, error) < 0)
        return NULL;
    if (client_join_group(client) == 0)
        return client;
    client_close(client);
    return NULL;
}

/* NULL: there is none. */
static struct client *
look_for_client(const char *prefix, const char *name)
{
    struct client *client = NULL;
    char *error = NULL;

    int result = client_open_class(prefix, name, &client, &error);
    free(error);
    return result < 0 ? NULL : client;
}

static unsigned
count_jobs(const char *prefix, const char *name)
{
    struct client *client = look_for_client(prefix, name);
    struct steved_status status;
    unsigned jobs = 0;

    if (client && client_get_status(client, &status) == 0)
        jobs = status.jobs;
    client_close(client);
    return jobs;
}

bool
gate_classes_are_there(const struct gate_plan *plan)
{
    const struct class_rules *rules = plan->class_rules;
    char *prefix = rules ? find_prefix(plan) : NULL;
    bool are_there = false;

    for (unsigned i = 0; prefix && !are_there && i < class_rules_count(rules); i++) {
        if (!counts(plan, i))
            continue;
        struct client *client = look_for_client(prefix, class_rules_name(rules, i));
        are_there = client != NULL;
        client_close(client);
    }
    free(prefix);
    return are_there;
}

unsigned
gate_classes_jobs(const struct gate_plan *plan)
{
    const struct class_rules *rules = plan->class_rules;
    char *prefix = rules ? find_prefix(plan) : NULL;
    unsigned jobs = 0;

    for (unsigned i = 0; prefix && i < class_rules_count(rules); i++)
        if (class_rules_is_instead(rules, i))
            jobs += count_jobs(prefix, class_rules_name(rules, i));
    free(prefix);
    return jobs;
}

static int
open_event(struct gate_class *class)
{
    struct gate *gate = class->gate;

    class->event =
        event_new(gate->base, client_fd(class->client), EV_READ | EV_PERSIST, on_token, class);
    return class->event ? 0 : -ENOMEM;
}

static int
open_ledger(struct gate *gate, unsigned i)
{
    struct gate_class *class = &gate->classes.list[i];

    gate->ledgers[i + 1] = &class->ledger;
    return ledger_open(&class->ledger, class->client, LEDGER_ROOM);
}

/* 0 too where there is no such class. */
static int
open_class(struct gate *gate, unsigned i, const char *prefix)
{
    struct gate_class *class = &gate->classes.list[i];
    const char *name = class_rules_name(gate->plan->class_rules, i);
    char *error;

    if (!counts(gate->plan, i))
        return 0;
    class->client = open_client(prefix, name, &error);
    if (!class->client) {
        if (error)
            message("%s; its jobs do not wait for class %s", error, name);
        free(error);
        return 0;
    }
    class->number = client_class_number(class->client, name);
    int result = open_ledger(gate, i);
    if (result < 0)
        return result;
    gate->classes.there |= bit_of(i);
    queue_set_open(&gate->queue, bit_of(i));
    return open_event(class);
}

int
gate_classes_open(struct gate *gate, event_callback_fn on_change)
{
    const struct gate_plan *plan = gate->plan;
    struct gate_classes *classes = &gate->classes;
    int result = 0;

    classes->on_change = on_change;
    classes->look_event = evtimer_new(gate->base, on_look, gate);
    if (!classes->look_event)
        return -ENOMEM;
    char *prefix = plan->class_rules ? find_prefix(plan) : NULL;
    for (unsigned i = 0; i < CLASS_RULES_CLASSES_MAX; i++) {
        classes->list[i].gate = gate;
        queue_set_shut(&gate->queue, bit_of(i));
    }
    for (unsigned i = 0; prefix && result == 0 && i < class_rules_count(plan->class_rules); i++)
        result = open_class(gate, i, prefix);
    free(prefix);
    return result;
}

void
gate_classes_close(struct gate *gate)
{
    struct gate_classes *classes = &gate->classes;

    for (unsigned i = 0; i < CLASS_RULES_CLASSES_MAX; i++) {
        struct gate_class *class = &classes->list[i];
        if (class->ledger.client)
            ledger_repay_all_but(&class->ledger, 0);
        if (class->event)
            event_free(class->event);
    }
    if (classes->look_event)
        event_free(classes->look_event);
    command_line_free(&classes->line);
}

/* --- what jobs need --- */

void
gate_classes_sum_up(const struct gate *gate, struct gate_job *job)
{
    const struct gate_process *process;
    struct class_needs needs = {.instead = ~0u};

    job->job.is_unknown = false;
    TAILQ_FOREACH (process, &job->processes, in_job) {
        /* All that are joined by a pipe run where one of them must. */
        needs.instead &= process->needs.instead;
        needs.besides |= process->needs.besides;
        if (gate->classes.there && !process->is_looked_up && process->pidfd >= 0)
            job->job.is_unknown = true;
    }
    job->job.instead = needs.instead << 1;
    job->job.besides = needs.besides << 1;
}

static char *
ccache_prefix_of(void *argument)
{
    const struct gate_process *process = argument;

    return process_variable(process->pid, "CCACHE_PREFIX");
}

/* false: it has no command line. */
static bool
read_needs(struct gate *gate, struct gate_process *process)
{
    struct command_line *line = &gate->classes.line;
    const ssize_t count = command_line_read(line, process->pid);

    if (count > 0)
        process->needs =
            class_rules_needs(gate->plan->class_rules, line->words, ccache_prefix_of, process);
    return count != 0;
}

/* Until a process has executed, its command line is its parent's; while it does so, there is none for a moment. What
 * stands still has done so, and before Linux 5.18 it may really have none. */
static bool
try_to_read_needs(struct gate *gate, struct gate_process *process)
{
    struct process_info info;

    if (process_info(process->pid, &info) < 0)
        return true;
    return info.has_executed &&
           (read_needs(gate, process) || info.state == 'T' || info.state == 't');
}

bool
gate_classes_look_up(struct gate *gate, struct gate_process *process)
{
    struct gate_job *job = process->job;
    const bool was_unknown = job->job.is_unknown;

    if (process->is_looked_up || job->job.state != JOB_WAITING ||
        (!gate->classes.there && !was_unknown))
        return false;
    process->is_looked_up = try_to_read_needs(gate, process);
    gate_classes_sum_up(gate, job);
    return was_unknown && !job->job.is_unknown;
}

/* --- tokens --- */

static bool
take(struct gate *gate, unsigned i)
{
    struct gate_class *class = &gate->classes.list[i];
    int result = ledger_borrow(&class->ledger);

    if (result == 1)
        return true;
    class->is_ledger_full = result == -ENOSPC;
    if (result < 0 && !class->is_ledger_full)
        lose(gate, i, result);
    else if (is_shut(class))
        queue_set_shut(&gate->queue, bit_of(i));
    else
        queue_set_empty(&gate->queue, bit_of(i));
    return false;
}

bool
gate_classes_take(struct gate *gate, struct gate_job *job)
{
    const unsigned needs = queue_needs(&gate->queue, &job->job) & gate->classes.there;

    if (gate->queue.is_serial)
        return true;
    for (unsigned i = 0; i < CLASS_RULES_CLASSES_MAX; i++) {
        if (!(needs & bit_of(i)))
            continue;
        if (!take(gate, i)) {
            gate_classes_give_back(gate, job);
            return false;
        }
        job->job.held |= bit_of(i);
    }
    return true;
}

void
gate_classes_give_back(struct gate *gate, struct gate_job *job)
{
    for (unsigned i = 0; i < CLASS_RULES_CLASSES_MAX; i++) {
        if (!(job->job.held & bit_of(i)))
            continue;
        struct gate_class *class = &gate->classes.list[i];
        if (class->is_joining)
            ledger_forget(&class->ledger);
        else
            ledger_repay(&class->ledger);
        class->is_ledger_full = false;
        /* Others were before us, if they wait at the server; it has served them by now. */
        if (gate->queue.empty & bit_of(i))
            queue_set_open(&gate->queue, bit_of(i));
    }
    job->job.held = 0;
}

/* --- waiting --- */

/* At a server, who polls stands in its queue. What is known of classes that nobody waits for may be wrong when somebody
 * does. */
void
gate_classes_await(struct gate *gate)
{
    struct gate_classes *classes = &gate->classes;

    if (!classes->there)
        return;
    const unsigned named = named_by_waiting(gate);
    queue_set_open(&gate->queue, classes->there & ~named);
    unsigned awaited = named & (gate->queue.empty | gate->queue.shut) & classes->there;
    for (unsigned i = 0; i < CLASS_RULES_CLASSES_MAX; i++)
        if (classes->there & bit_of(i))
            await_class(&classes->list[i],
                        (awaited & bit_of(i)) && !classes->list[i].is_ledger_full);
    if (!awaited)
        evtimer_del(classes->look_event);
    else if (!evtimer_pending(classes->look_event, NULL))
        evtimer_add(classes->look_event, &look_interval);
}

/* --- another server --- */

/* What answers has tokens of ours. */
static bool
is_alive(struct gate_class *class)
{
    struct steved_status status;

    return class->client && client_get_status(class->client, &status) == 0;
}

/* No token may be taken before the keeper has joined. */
static void
join(struct gate *gate, unsigned i, struct client *found)
{
    struct gate_class *class = &gate->classes.list[i];

    lose(gate, i, 0);
    if (class->event)
        event_free(class->event);
    class->event = NULL;
    class->number = client_class_number(found, class_rules_name(gate->plan->class_rules, i));
    if (class->client) {
        client_replace(class->client, found);
    } else {
        class->client = found;
        if (open_ledger(gate, i) < 0)
            return;
    }
    class->is_joining = true;
}

bool
gate_classes_look_for(struct gate *gate)
{
    const struct class_rules *rules = gate->plan->class_rules;
    char *prefix = rules ? find_prefix(gate->plan) : NULL, *error = NULL;
    bool has_found = false;

    for (unsigned i = 0; prefix && i < class_rules_count(rules); i++) {
        if (!counts(gate->plan, i) || is_alive(&gate->classes.list[i]))
            continue;
        struct client *found = open_client(prefix, class_rules_name(rules, i), &error);
        free(error);
        if (found)
            join(gate, i, found);
        has_found = has_found || gate->classes.list[i].is_joining;
    }
    free(prefix);
    return has_found;
}

bool
gate_classes_are_gone(const struct gate *gate)
{
    for (unsigned i = 0; i < CLASS_RULES_CLASSES_MAX; i++)
        if (gate->classes.list[i].is_gone)
            return true;
    return false;
}

/* Jobs that have got no token there run on, and have none to give back. */
static void
drop_held(struct gate *gate, unsigned i, unsigned noted)
{
    struct job *job;

    TAILQ_FOREACH (job, &gate->queue.running, in_queue) {
        if (!(job->held & bit_of(i)))
            continue;
        if (noted == 0)
            job->held &= ~bit_of(i);
        else
            noted--;
    }
}

static void
renew(struct gate *gate, unsigned i)
{
    struct gate_class *class = &gate->classes.list[i];
    int noted = ledger_renew(&class->ledger);

    class->is_joining = false;
    if (noted < 0 || open_event(class) < 0) {
        lose(gate, i, noted < 0 ? noted : -ENOMEM);
        return;
    }
    drop_held(gate, i, (unsigned)noted);
    gate->classes.there |= bit_of(i);
    queue_set_open(&gate->queue, bit_of(i));
}

bool
gate_classes_renew(struct gate *gate)
{
    struct gate_process *process, *next;
    bool has_any = false;

    for (unsigned i = 0; i < CLASS_RULES_CLASSES_MAX; i++) {
        if (!gate->classes.list[i].is_joining)
            continue;
        has_any = true;
        renew(gate, i);
    }
    HASH_ITER (hh, gate->processes, process, next)
        gate_classes_look_up(gate, process);
    return has_any;
}
