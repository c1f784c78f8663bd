/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ninja-shim/gate/tell.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "libjobserver/memory/command.h"
#include "libjobserver/process.h"
#include "libjobserver/program/clock.h"

/* --- what a job is called --- */

static void
look_up(struct gate_job *job, pid_t pid)
{
    char directory[PATH_MAX];
    const struct memory_place place = {.root = directory, .directory = directory};
    struct command_line line = {0};
    bool may_run_twice;

    if (process_directory(pid, directory, sizeof(directory)) == 0 &&
        command_line_read(&line, pid) > 0)
        memory_key_of(&place, line.words, &job->memory.key, &may_run_twice);
    command_line_free(&line);
}

/* Where jobs wait for memory this is known already. Until a process has executed, its command line is its
 * parent's. */
static void
look_up_once(struct gate_job *job, const struct gate_process *process)
{
    struct process_info info;

    if (*job->memory.key.tool || *job->memory.key.path || job->is_name_sought ||
        process_info(process->pid, &info) < 0 || !info.has_executed)
        return;
    job->is_name_sought = true;
    look_up(job, process->pid);
}

/* What it makes, else its tool; "": nobody knows yet. */
static void
name_job(struct gate_job *job, char name[STEVED_EVENT_NAME_SIZE])
{
    const struct gate_process *process = TAILQ_FIRST(&job->processes);
    const struct memory_key *key = &job->memory.key;
    struct process_info info;

    if (process)
        look_up_once(job, process);
    const char *slash = strrchr(key->path, '/'), *made = slash ? slash + 1 : key->path;
    if (!*made)
        made = key->tool;
    if (!*made && process && process_info(process->pid, &info) == 0 && info.has_executed)
        made = info.name;
    snprintf(name, STEVED_EVENT_NAME_SIZE, "%.*s", STEVED_EVENT_NAME_SIZE - 1, made);
}

/* --- what is sent --- */

static void
send_told(struct gate *gate, int64_t now_ns)
{
    struct gate_telling *telling = &gate->telling;
    int result = client_tell(gate->plan->client, &telling->told);

    event_readers_answered(&telling->readers, result, &telling->told, now_ns);
    telling->told = (struct steved_told){0};
}

void
gate_tell_now(struct gate *gate)
{
    if (gate->telling.told.count > 0)
        send_told(gate, clock_now_ns());
}

static bool
is_read(struct gate *gate)
{
    const struct event_readers *readers = &gate->telling.readers;

    if (readers->is_there || !gate->plan->client)
        return readers->is_there;
    const int64_t now_ns = clock_now_ns();
    if (event_readers_may_ask(readers, now_ns))
        send_told(gate, now_ns);
    return readers->is_there;
}

/* NULL: nobody reads. */
static struct steved_event *
add(struct gate *gate, struct gate_job *job, enum steved_event_kind kind)
{
    struct steved_told *told = &gate->telling.told;

    if (told->count == STEVED_TOLD_PER_CALL)
        gate_tell_now(gate);
    if (!is_read(gate))
        return NULL;
    struct steved_event *event = &told->events[told->count++];
    *event = (struct steved_event){
        .kind = kind, .time_ns = (uint64_t)clock_now_ns(), .job = job->number};
    return event;
}

/* --- what is told --- */

/* Of several the first. */
static unsigned
class_in(const struct gate *gate, unsigned pools)
{
    for (unsigned i = 0; i < CLASS_RULES_CLASSES_MAX; i++)
        if (pools >> (i + 1) & 1)
            return gate->classes.list[i].number;
    return 0;
}

static void
tell_what_it_runs_on(const struct gate *gate, const struct job *job, struct steved_event *event)
{
    event->job_class = class_in(gate, job->held);
    event->count = job->pay == PAY_TOKEN     ? STEVED_RUNS_ON_TOKEN
                   : job->pay == PAY_CLASSES ? STEVED_RUNS_ON_CLASSES
                                             : STEVED_RUNS_ON_SLOT;
}

void
gate_tell_came(struct gate *gate, struct gate_job *job)
{
    job->number = ++gate->telling.jobs_numbered;
    job->came_ns = clock_now_ns();
}

void
gate_tell_started(struct gate *gate, struct gate_job *job)
{
    job->began_ns = clock_now_ns();
    job->told_waiting_for = 0;
    struct steved_event *event = add(gate, job, STEVED_EVENT_JOB_STARTED);
    if (!event)
        return;
    event->duration_ns = (uint64_t)(job->began_ns - job->came_ns);
    event->expected_bytes = job->memory.job.expected_bytes;
    event->process = TAILQ_FIRST(&job->processes)->pid;
    tell_what_it_runs_on(gate, &job->job, event);
    name_job(job, event->name);
    /* Else what such a job tells itself (STEVED_EVENT_JOB_MOVED) could come before this. */
    if (gate->plan->rules.needs_no_tokens)
        gate_tell_now(gate);
}

void
gate_tell_ended(struct gate *gate, struct gate_job *job)
{
    struct steved_event *event = add(gate, job, STEVED_EVENT_JOB_ENDED);

    if (!event)
        return;
    if (job->job.state == JOB_RUNNING)
        event->duration_ns = (uint64_t)(clock_now_ns() - job->began_ns);
    event->status = job->wait_status;
    tell_what_it_runs_on(gate, &job->job, event);
    event->bytes = job->memory.job.peak_bytes;
    event->expected_bytes = job->memory.job.expected_bytes;
    name_job(job, event->name);
}

void
gate_tell_put_off(struct gate *gate, struct gate_job *job)
{
    struct steved_event *event = add(gate, job, STEVED_EVENT_JOB_PUT_OFF);

    job->came_ns = clock_now_ns();
    if (event)
        event->bytes = job->memory.job.peak_bytes;
}

void
gate_tell_stopped(struct gate *gate, struct gate_job *job)
{
    struct steved_event *event = add(gate, job, STEVED_EVENT_JOB_STOPPED);

    if (event)
        event->bytes = job->memory.job.used_bytes;
}

void
gate_tell_continued(struct gate *gate, struct gate_job *job)
{
    add(gate, job, STEVED_EVENT_JOB_CONTINUED);
}

void
gate_tell_turn_over(struct gate *gate, bool is_for_memory)
{
    const int reason = is_for_memory ? STEVED_WAITS_FOR_MEMORY : STEVED_WAITS_FOR_TOKEN;
    struct job *waiting;

    TAILQ_FOREACH (waiting, &gate->queue.waiting, in_queue) {
        struct gate_job *job = (struct gate_job *)waiting;
        if (!gate->telling.readers.is_there)
            break;
        if (job->told_waiting_for == reason || waiting->is_unknown)
            continue;
        struct steved_event *event = add(gate, job, STEVED_EVENT_JOB_WAITS);
        if (event) {
            event->status = reason;
            event->job_class =
                class_in(gate, queue_needs(&gate->queue, waiting) & gate->queue.empty);
        }
        job->told_waiting_for = reason;
    }
    gate_tell_now(gate);
}
