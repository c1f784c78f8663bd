/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "jobwrap/recorder.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libjobserver/process.h"
#include "libjobserver/program/clock.h"
#include "libjobserver/program/message.h"

/* Gates whose processes are in no hurry to be looked at do not keep the build waiting for longer, all together. */
#define PATIENCE_MS 1000
#define NAME_MAX_SIZE 120

/* --- names --- */

static char *
name_of_process(pid_t pid, int *patience_ms)
{
    struct process_label label;

    if (pid <= 0 || process_label(pid, 0, patience_ms, &label) < 0)
        return NULL;
    char *text = process_label_text(&label, NAME_MAX_SIZE);
    process_label_clear(&label);
    return text;
}

/* The command with blanks between its words. */
static char *
name_of_command(char *const *words)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    if (!out)
        return NULL;
    for (size_t i = 0; words[i]; i++)
        fprintf(out, "%s%s", i > 0 ? " " : "", words[i]);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    if (strlen(text) > NAME_MAX_SIZE)
        memcpy(text + NAME_MAX_SIZE - strlen("..."), "...", sizeof("..."));
    return text;
}

/* --- who comes --- */

static void
note_client(struct recorder *recorder, const struct steved_event *event)
{
    struct recorder_client *client = &recorder->clients[recorder->clients_seen % RECORDER_CLIENTS];
    char *name = name_of_process(event->pid, &recorder->patience_ms);

    if (!name)
        name = strndup(event->name, sizeof(event->name) - 1);
    free(client->name);
    *client = (struct recorder_client){.account = event->account, .pid = event->pid, .name = name};
    recorder->clients_seen++;
}

/* pid: 0: any of the account. */
static const char *
find_client(const struct recorder *recorder, uint64_t account, int pid)
{
    for (unsigned i = 0; i < RECORDER_CLIENTS; i++) {
        /* The last first. */
        const unsigned place = (recorder->clients_seen - i - 1) % RECORDER_CLIENTS;
        const struct recorder_client *client = &recorder->clients[place];
        if (client->name && client->account == account && (pid == 0 || client->pid == pid))
            return client->name;
    }
    return NULL;
}

/* One below another jobwrap has come to that, and if it is gone that is what is left of it. */
static void
on_gate(void *argument, struct timeline_gate *gate)
{
    struct recorder *recorder = argument;
    const char *known = find_client(recorder, gate->account, gate->pid);

    if (!known)
        gate->name = name_of_process(gate->pid, &recorder->patience_ms);
    if (!known && !gate->name)
        known = find_client(recorder, gate->account, 0);
    if (known)
        gate->name = strdup(known);
    trace_gate(&recorder->trace, gate);
}

/* --- what happens --- */

static void
note(struct recorder *recorder, enum recorded number, double value, int64_t time_ns)
{
    series_note(&recorder->series[number], value, time_ns);
}

static void
note_waiting(struct recorder *recorder, enum timeline_reason reason, int64_t time_ns)
{
    const unsigned waiting = recorder->timeline.waiting[reason];

    note(recorder, RECORDED_WAITING + (enum recorded)reason, waiting, time_ns);
    if (reason == TIMELINE_FOR_TOKEN)
        trace_waiting(&recorder->trace, waiting, time_ns);
}

/* number: of one that is known. */
static void
note_class(struct recorder *recorder, unsigned number, unsigned held, int64_t time_ns)
{
    struct recorded_class *of = &recorder->of_class[number - 1];

    if (held == of->held)
        return;
    of->held = held;
    series_note(&of->series[RECORDED_CLASS_HELD], held, time_ns);
    trace_class(&recorder->trace, number, held, time_ns);
}

/* The pool of a class is our own. */
static void
note_pool_of_class(struct recorder *recorder, const struct steved_event *event)
{
    const int64_t time_ns = (int64_t)event->time_ns;
    const unsigned number = event->job_class;

    if (number > recorder->classes.count || event->kind >= STEVED_EVENT_HELD_BACK)
        return;
    note_class(recorder, number, event->used, time_ns);
    if (event->kind == STEVED_EVENT_JOBS)
        series_note(&recorder->of_class[number - 1].series[RECORDED_CLASS_JOBS], event->count,
                    time_ns);
}

static void
note_running(struct recorder *recorder, unsigned number, int64_t time_ns)
{
    if (!recorder->is_pool && number != 0 && number <= recorder->classes.count)
        note_class(recorder, number, recorder->timeline.running_of[number], time_ns);
}

static void
on_change(void *argument, const struct timeline_job *job, enum timeline_change change,
          int64_t time_ns)
{
    struct recorder *recorder = argument;

    trace_changed(&recorder->trace, job, change, time_ns);
    if (change == TIMELINE_WAIT_BEGINS || change == TIMELINE_WAIT_ENDS)
        note_waiting(recorder, job->reason, time_ns);
    else if (change == TIMELINE_ENDS)
        summary_add(&recorder->summary, job);
    else
        note_running(recorder, job->job_class, time_ns);
}

static void
note_memory(struct recorder *recorder, const struct steved_event *event)
{
    const int64_t time_ns = (int64_t)event->time_ns;
    const double used = (double)event->bytes;

    note(recorder, RECORDED_USED, used, time_ns);
    note(recorder, RECORDED_EXPECTED, used + (double)event->expected_bytes, time_ns);
    /* Nobody reports it when no gate is left. */
    if (event->available_bytes != 0) {
        note(recorder, RECORDED_AVAILABLE, (double)event->available_bytes, time_ns);
        note(recorder, RECORDED_FLOOR, (double)event->limit_bytes, time_ns);
    }
    trace_memory(&recorder->trace, event);
}

static void
note_event(struct recorder *recorder, const struct steved_event *event)
{
    const int64_t time_ns = (int64_t)event->time_ns;

    if (event->job_class != 0 && event->kind < STEVED_EVENT_JOB_WAITS) {
        note_pool_of_class(recorder, event);
        return;
    }
    timeline_add(&recorder->timeline, event);
    switch (event->kind) {
    case STEVED_EVENT_CAME:
        note_client(recorder, event);
        break;
    case STEVED_EVENT_LOST:
        recorder->lost += event->count;
        trace_moment(&recorder->trace, "events were missed", event->count, time_ns);
        break;
    case STEVED_EVENT_MEMORY:
        note_memory(recorder, event);
        break;
    case STEVED_EVENT_JOBS:
        if (recorder->is_pool)
            note(recorder, RECORDED_JOBS, event->count, time_ns);
        break;
    case STEVED_EVENT_RECLAIMED:
        trace_moment(&recorder->trace, "tokens taken back from dead processes", event->count,
                     time_ns);
        break;
    case STEVED_EVENT_RECALLED:
        trace_moment(&recorder->trace, "tokens asked for", event->count, time_ns);
        break;
    }
}

static void
read_all(struct recorder *recorder)
{
    struct steved_event event;

    farm_events_read(&recorder->farm);
    while (event_log_next(recorder->log, &recorder->reader, &event, clock_now_ns()))
        note_event(recorder, &event);
    trace_flush(&recorder->trace);
}

static void
on_read(evutil_socket_t fd, short what, void *argument)
{
    read_all(argument);
}

/* Not from where the event is told. */
static void
on_wake(void *owner)
{
    event_active(((struct recorder *)owner)->read_event, EV_READ, 1);
}

void
recorder_note_held(struct recorder *recorder, unsigned held, int64_t now_ns)
{
    if (held == recorder->held)
        return;
    recorder->held = held;
    note(recorder, RECORDED_HELD, held, now_ns);
    trace_held(&recorder->trace, held, now_ns);
}

/* --- its life --- */

static void
begin_class(struct recorder *recorder, unsigned i)
{
    struct series *series = recorder->of_class[i].series;

    for (unsigned number = 0; number < RECORDED_CLASS_NUMBERS; number++)
        series_init(&series[number], recorder->begin_ns);
    series_note(&series[RECORDED_CLASS_HELD], 0, recorder->begin_ns);
    if (recorder->is_pool)
        series_note(&series[RECORDED_CLASS_JOBS], recorder->classes.classes[i].jobs,
                    recorder->begin_ns);
}

static void
begin_series(struct recorder *recorder, unsigned jobs)
{
    const int64_t begin_ns = recorder->begin_ns;

    for (unsigned i = 0; i < recorder->classes.count; i++)
        begin_class(recorder, i);

    for (enum recorded number = 0; number < RECORDED_NUMBERS; number++)
        series_init(&recorder->series[number], begin_ns);
    for (enum recorded number = 0; number < RECORDED_USED; number++)
        note(recorder, number, number == RECORDED_JOBS ? jobs : 0, begin_ns);
}

struct recorder *
recorder_open(const struct recorder_plan *plan)
{
    struct recorder *recorder = calloc(1, sizeof(*recorder));
    const struct timeline_viewer viewer = {
        .gate_came = on_gate, .changed = on_change, .argument = recorder};

    if (!recorder || !(recorder->command = name_of_command(plan->command))) {
        message("start: %s", strerror(ENOMEM));
        free(recorder);
        return NULL;
    }
    signal(SIGXFSZ, SIG_IGN); /* it is said what could not be written */
    recorder->begin_ns = clock_now_ns();
    recorder->is_pool = plan->is_pool;
    recorder->classes = plan->classes;
    recorder->patience_ms = PATIENCE_MS;
    timeline_init(&recorder->timeline, &viewer, recorder->begin_ns);
    begin_series(recorder, plan->jobs);
    if (plan->trace_file &&
        trace_open(&recorder->trace, plan->trace_file, &recorder->classes) < 0) {
        recorder_close(recorder);
        return NULL;
    }
    trace_build(&recorder->trace, recorder->command);
    return recorder;
}

static void
on_placed(void *context, const struct steved_event *event)
{
    struct recorder *recorder = context;

    timeline_add(&recorder->timeline, event);
}

int
recorder_read(struct recorder *recorder, struct event_log *log, const char *class_prefix,
              struct event_base *base)
{
    int error = 0;

    recorder->farm = (struct farm_events){.take = on_placed, .context = recorder};
    if (class_prefix && recorder->classes.count > 0)
        error = farm_events_open(&recorder->farm, class_prefix, recorder->classes.classes[0].name,
                                 base);
    recorder->read_event = event_new(base, -1, EV_PERSIST, on_read, recorder);
    if (error < 0 || !recorder->read_event)
        return -ENOMEM;
    recorder->log = log;
    recorder->reader = (struct event_reader){
        .wake = on_wake, .owner = recorder, .uid = geteuid(), .sees_all = true};
    return event_log_join(log, &recorder->reader, clock_now_ns());
}

static void
end_series(struct recorder *recorder, int64_t now_ns)
{
    for (enum recorded number = 0; number < RECORDED_NUMBERS; number++)
        series_end(&recorder->series[number], now_ns);
    for (unsigned i = 0; i < recorder->classes.count; i++)
        for (unsigned number = 0; number < RECORDED_CLASS_NUMBERS; number++)
            series_end(&recorder->of_class[i].series[number], now_ns);
}

void
recorder_end(struct recorder *recorder)
{
    const int64_t now_ns = clock_now_ns();

    if (recorder->log && recorder->reader.is_reading) {
        read_all(recorder);
        event_log_leave(recorder->log, &recorder->reader);
    }
    farm_events_close(&recorder->farm);
    timeline_end(&recorder->timeline, now_ns);
    recorder_note_held(recorder, 0, now_ns);
    end_series(recorder, now_ns);
    trace_close(&recorder->trace);
    if (recorder->read_event)
        event_free(recorder->read_event);
    recorder->read_event = NULL;
    recorder->log = NULL;
}

void
recorder_close(struct recorder *recorder)
{
    if (!recorder)
        return;
    farm_events_close(&recorder->farm);
    trace_close(&recorder->trace);
    timeline_clear(&recorder->timeline);
    for (unsigned i = 0; i < RECORDER_CLIENTS; i++)
        free(recorder->clients[i].name);
    free(recorder->command);
    free(recorder);
}
