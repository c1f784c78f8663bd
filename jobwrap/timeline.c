/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "jobwrap/timeline.h"

#include <stdlib.h>
#include <string.h>

#include "libjobserver/program/printable.h"

#define SLOTS_FIRST 8u
#define NOBODY_KNOWS (-1)
/* A span that ends when it begins never ends for Perfetto, which sorts ends before beginnings; and after months of
 * uptime it cannot tell nanoseconds apart. */
#define SPAN_LEAST_NS 1000

struct timeline_slot {
    bool is_taken;
    int64_t free_ns; /* since when it is free */
};

void
timeline_init(struct timeline *timeline, const struct timeline_viewer *viewer, int64_t begin_ns)
{
    *timeline = (struct timeline){.viewer = *viewer, .begin_ns = begin_ns};
    TAILQ_INIT(&timeline->gates);
}

static void
tell(const struct timeline *timeline, const struct timeline_job *job, enum timeline_change change,
     int64_t time_ns)
{
    timeline->viewer.changed(timeline->viewer.argument, job, change, time_ns);
}

/* --- gates and jobs --- */

static struct timeline_gate *
find_gate(const struct timeline *timeline, const struct steved_event *event)
{
    struct timeline_gate *gate;

    TAILQ_FOREACH (gate, &timeline->gates, in_timeline)
        if (gate->pid == event->pid && gate->account == event->account && !gate->is_gone)
            return gate;
    return NULL;
}

static void
destroy_gate(struct timeline *timeline, struct timeline_gate *gate)
{
    TAILQ_REMOVE(&timeline->gates, gate, in_timeline);
    timeline->gate_count--;
    for (unsigned i = 0; i < TIMELINE_CLASSES; i++)
        free(gate->slots[i].slots);
    free(gate->name);
    free(gate);
}

static bool
has_room(struct timeline *timeline)
{
    struct timeline_gate *gate;

    if (timeline->gate_count < TIMELINE_GATES_MAX)
        return true;
    TAILQ_FOREACH (gate, &timeline->gates, in_timeline)
        if (LIST_EMPTY(&gate->open))
            break;
    if (gate)
        destroy_gate(timeline, gate);
    return gate;
}

static struct timeline_gate *
create_gate(struct timeline *timeline, const struct steved_event *event)
{
    struct timeline_gate *gate = has_room(timeline) ? calloc(1, sizeof(*gate)) : NULL;

    if (!gate)
        return NULL;
    *gate = (struct timeline_gate){
        .account = event->account, .pid = event->pid, .number = ++timeline->gates_seen};
    LIST_INIT(&gate->open);
    TAILQ_INSERT_TAIL(&timeline->gates, gate, in_timeline);
    timeline->gate_count++;
    timeline->viewer.gate_came(timeline->viewer.argument, gate);
    return gate;
}

static struct timeline_job *
find_job(const struct timeline_gate *gate, uint64_t number)
{
    struct timeline_job *job;

    LIST_FOREACH (job, &gate->open, in_gate)
        if (job->job == number)
            return job;
    return NULL;
}

static struct timeline_job *
create_job(struct timeline *timeline, struct timeline_gate *gate, uint64_t number)
{
    struct timeline_job *job =
        timeline->job_count < TIMELINE_JOBS_MAX ? calloc(1, sizeof(*job)) : NULL;

    if (!job)
        return NULL;
    *job = (struct timeline_job){
        .gate = gate, .job = number, .serial = ++timeline->jobs_seen, .status = NOBODY_KNOWS};
    LIST_INSERT_HEAD(&gate->open, job, in_gate);
    timeline->job_count++;
    return job;
}

static void
destroy_job(struct timeline *timeline, struct timeline_job *job)
{
    LIST_REMOVE(job, in_gate);
    timeline->job_count--;
    free(job);
}

/* What another process has written. A run that has a name keeps it. */
static void
take_name(struct timeline_job *job, const struct steved_event *event)
{
    if (!event->name[0] || (job->runs && job->has_begun_named))
        return;
    memcpy(job->name, event->name, sizeof(job->name));
    job->name[sizeof(job->name) - 1] = '\0';
    make_printable_text(job->name, sizeof(job->name));
}

static void
take_memory(struct timeline_job *job, const struct steved_event *event)
{
    if (event->bytes > job->bytes)
        job->bytes = event->bytes;
    if (event->expected_bytes > 0)
        job->expected_bytes = event->expected_bytes;
}

/* --- slots --- */

/* false: there are none for it: the run is left out. */
static bool
add_slots(struct timeline_slots *of)
{
    unsigned count = of->count > 0 ? 2 * of->count : SLOTS_FIRST;
    struct timeline_slot *slots =
        count <= TIMELINE_SLOTS_MAX ? reallocarray(of->slots, count, sizeof(*slots)) : NULL;

    if (!slots)
        return false;
    memset(slots + of->count, 0, (count - of->count) * sizeof(*slots));
    of->slots = slots;
    of->count = count;
    return true;
}

/* The lowest that has been free since then. */
static bool
take_slot(struct timeline_slots *of, int64_t since_ns, unsigned *slot)
{
    unsigned i = 0;

    while (i < of->count && (of->slots[i].is_taken || of->slots[i].free_ns > since_ns))
        i++;
    if (i == of->count && !add_slots(of))
        return false;
    of->slots[i].is_taken = true;
    *slot = i;
    return true;
}

/* --- what happens to a job --- */

static void
end_wait(struct timeline *timeline, struct timeline_job *job, int64_t time_ns)
{
    if (!job->waits)
        return;
    if (time_ns < job->waits_ns)
        time_ns = job->waits_ns;
    const int64_t waited_ns = time_ns - job->waits_ns;
    job->waits = false;
    job->waited_ns[job->reason] += waited_ns;
    job->gate->counts.waited_ns[job->reason] += waited_ns;
    timeline->counts.waited_ns[job->reason] += waited_ns;
    timeline->waiting[job->reason]--;
    tell(timeline, job, TIMELINE_WAIT_ENDS, time_ns);
}

/* What is told late has the time at which it was told, which may be after what came next. */
static int64_t
after_last_change(struct timeline_job *job, int64_t time_ns)
{
    if (time_ns < job->changed_ns + SPAN_LEAST_NS)
        time_ns = job->changed_ns + SPAN_LEAST_NS;
    job->changed_ns = time_ns;
    return time_ns;
}

static void
end_stop(struct timeline *timeline, struct timeline_job *job, int64_t time_ns)
{
    if (!job->is_stopped)
        return;
    job->is_stopped = false;
    tell(timeline, job, TIMELINE_CONTINUES, time_ns);
}

static void
find_node(const struct timeline *timeline, struct timeline_job *job, int64_t since_ns,
          int64_t time_ns)
{
    places_find(&timeline->places, job->name, job->job_class, since_ns, time_ns, job->node);
}

static void
end_move(struct timeline *timeline, struct timeline_job *job, int64_t time_ns)
{
    if (job->moved == 0)
        return;
    job->moved = 0;
    timeline->running_of[job->job_class]--;
    timeline->running_of[0]++;
    find_node(timeline, job, job->moved_ns, time_ns);
    tell(timeline, job, TIMELINE_MOVES_BACK, time_ns);
}

/* Of what has a token of a class now. */
static unsigned
class_now(const struct timeline_job *job)
{
    return job->has_moved ? 0 : job->job_class;
}

static void
end_run(struct timeline *timeline, struct timeline_job *job, enum timeline_change change,
        int64_t time_ns)
{
    if (!job->runs)
        return;
    time_ns = after_last_change(job, time_ns);
    end_stop(timeline, job, time_ns);
    end_move(timeline, job, time_ns);
    job->runs = false;
    job->ran_ns += time_ns - job->run_ns;
    job->gate->counts.ran_ns += time_ns - job->run_ns;
    timeline->counts.ran_ns += time_ns - job->run_ns;
    timeline->running--;
    timeline->running_of[class_now(job)]--;
    find_node(timeline, job, job->run_ns, time_ns);
    tell(timeline, job, change, time_ns);
    job->gate->slots[job->slot_class].slots[job->slot] = (struct timeline_slot){.free_ns = time_ns};
}

static void
begin_wait(struct timeline *timeline, struct timeline_job *job, const struct steved_event *event)
{
    const int64_t time_ns = (int64_t)event->time_ns;

    if (job->runs)
        return;
    end_wait(timeline, job, time_ns);
    job->waits = true;
    job->waits_ns = time_ns;
    job->reason =
        event->status == STEVED_WAITS_FOR_MEMORY ? TIMELINE_FOR_MEMORY : TIMELINE_FOR_TOKEN;
    timeline->waiting[job->reason]++;
    tell(timeline, job, TIMELINE_WAIT_BEGINS, time_ns);
}

static void
begin_run(struct timeline *timeline, struct timeline_job *job, const struct steved_event *event,
          int64_t time_ns)
{
    const bool is_known = event->job_class < TIMELINE_CLASSES;

    end_run(timeline, job, TIMELINE_RUN_ENDS, time_ns);
    end_wait(timeline, job, time_ns);
    job->job_class = is_known ? event->job_class : 0;
    job->slot_class = event->count == STEVED_RUNS_ON_CLASSES ? job->job_class : 0;
    struct timeline_slots *slots = &job->gate->slots[job->slot_class];
    if (!take_slot(slots, time_ns, &job->slot))
        return;
    job->runs = true;
    job->has_moved = false;
    job->process = event->process;
    job->has_begun_named = job->name[0];
    job->run_ns = job->changed_ns = time_ns;
    if (job->runs_begun++ == 0)
        job->began_ns = time_ns;
    timeline->running++;
    timeline->running_of[job->job_class]++;
    tell(timeline, job, TIMELINE_RUN_BEGINS, time_ns);
    if (job->slot >= slots->seen)
        slots->seen = job->slot + 1;
}

static void
stop(struct timeline *timeline, struct timeline_job *job, int64_t time_ns)
{
    if (!job->runs || job->is_stopped)
        return;
    job->is_stopped = true;
    job->gate->counts.stopped++;
    timeline->counts.stopped++;
    tell(timeline, job, TIMELINE_STOPS, after_last_change(job, time_ns));
}

static void
go_on(struct timeline *timeline, struct timeline_job *job, int64_t time_ns)
{
    if (job->is_stopped)
        end_stop(timeline, job, after_last_change(job, time_ns));
}

static struct timeline_job *
find_by_process(const struct timeline *timeline, int process)
{
    const struct timeline_gate *gate;
    struct timeline_job *job;

    TAILQ_FOREACH (gate, &timeline->gates, in_timeline)
        LIST_FOREACH (job, &gate->open, in_gate)
            if (job->runs && job->process == process)
                return job;
    return NULL;
}

static void
move_to_class(struct timeline *timeline, struct timeline_job *job, unsigned job_class,
              int64_t time_ns)
{
    if (class_now(job) != 0 || job_class >= TIMELINE_CLASSES || job->moved++ > 0)
        return;
    time_ns = after_last_change(job, time_ns);
    end_stop(timeline, job, time_ns);
    job->has_moved = true;
    job->moved_ns = time_ns;
    job->job_class = job_class;
    timeline->running_of[0]--;
    timeline->running_of[job_class]++;
    tell(timeline, job, TIMELINE_MOVES, time_ns);
}

static void
move_back(struct timeline *timeline, struct timeline_job *job, int64_t time_ns)
{
    if (job->moved != 1) {
        job->moved -= job->moved > 0;
        return;
    }
    time_ns = after_last_change(job, time_ns);
    end_stop(timeline, job, time_ns);
    end_move(timeline, job, time_ns);
}

static void
move(struct timeline *timeline, const struct steved_event *event)
{
    struct timeline_job *job =
        event->process > 0 ? find_by_process(timeline, event->process) : NULL;

    if (job && event->job_class > 0)
        move_to_class(timeline, job, event->job_class, (int64_t)event->time_ns);
    else if (job)
        move_back(timeline, job, (int64_t)event->time_ns);
}

static void
put_off(struct timeline *timeline, struct timeline_job *job, int64_t time_ns)
{
    if (!job->runs)
        return;
    job->gate->counts.put_off++;
    timeline->counts.put_off++;
    end_run(timeline, job, TIMELINE_PUT_OFF, time_ns);
}

static void
count_job(struct timeline_counts *counts, const struct timeline_job *job)
{
    if (job->runs_begun == 0)
        return;
    counts->jobs++;
    counts->failed += job->status != 0 && job->status != NOBODY_KNOWS;
    if (job->bytes > counts->most_bytes)
        counts->most_bytes = job->bytes;
}

static void
close_job(struct timeline *timeline, struct timeline_job *job, int64_t time_ns)
{
    end_wait(timeline, job, time_ns);
    end_run(timeline, job, TIMELINE_RUN_ENDS, time_ns);
    count_job(&job->gate->counts, job);
    count_job(&timeline->counts, job);
    tell(timeline, job, TIMELINE_ENDS, time_ns);
    destroy_job(timeline, job);
}

/* Nobody has told that it had begun. */
static void
end_unseen(struct timeline *timeline, struct timeline_job *job, const struct steved_event *event)
{
    const int64_t end_ns = (int64_t)event->time_ns, most_ns = end_ns - timeline->begin_ns;

    if (event->duration_ns == 0 || job->runs_begun > 0 || most_ns <= 0)
        return;
    const int64_t ran_ns =
        event->duration_ns < (uint64_t)most_ns ? (int64_t)event->duration_ns : most_ns;
    begin_run(timeline, job, event, end_ns - ran_ns);
}

static void
end_job(struct timeline *timeline, struct timeline_job *job, const struct steved_event *event)
{
    end_unseen(timeline, job, event);
    job->status = event->status;
    close_job(timeline, job, (int64_t)event->time_ns);
}

/* --- events --- */

static void
gate_left(struct timeline *timeline, const struct steved_event *event)
{
    struct timeline_gate *gate = find_gate(timeline, event);
    struct timeline_job *job;

    if (!gate)
        return;
    while ((job = LIST_FIRST(&gate->open)))
        close_job(timeline, job, (int64_t)event->time_ns);
    gate->is_gone = true;
}

static struct timeline_job *
job_of(struct timeline *timeline, const struct steved_event *event)
{
    struct timeline_gate *gate = find_gate(timeline, event);

    if (!gate)
        gate = create_gate(timeline, event);
    if (!gate)
        return NULL;
    struct timeline_job *job = find_job(gate, event->job);
    return job ? job : create_job(timeline, gate, event->job);
}

void
timeline_add(struct timeline *timeline, const struct steved_event *event)
{
    const int64_t time_ns = (int64_t)event->time_ns;

    if (event->kind == STEVED_EVENT_LEFT)
        gate_left(timeline, event);
    if (event->kind == STEVED_EVENT_JOB_PLACED)
        places_add(&timeline->places, event);
    if (event->kind == STEVED_EVENT_JOB_MOVED)
        move(timeline, event);
    if (event->kind < STEVED_EVENT_JOB_WAITS || event->kind > STEVED_EVENT_JOB_CONTINUED)
        return;
    struct timeline_job *job = job_of(timeline, event);
    if (!job)
        return;
    take_name(job, event);
    take_memory(job, event);
    switch (event->kind) {
    case STEVED_EVENT_JOB_WAITS:
        begin_wait(timeline, job, event);
        break;
    case STEVED_EVENT_JOB_STARTED:
        begin_run(timeline, job, event, time_ns);
        break;
    case STEVED_EVENT_JOB_ENDED:
        end_job(timeline, job, event);
        break;
    case STEVED_EVENT_JOB_PUT_OFF:
        put_off(timeline, job, time_ns);
        break;
    case STEVED_EVENT_JOB_STOPPED:
        stop(timeline, job, time_ns);
        break;
    case STEVED_EVENT_JOB_CONTINUED:
        go_on(timeline, job, time_ns);
        break;
    }
}

/* --- its end --- */

void
timeline_end(struct timeline *timeline, int64_t now_ns)
{
    struct timeline_gate *gate;
    struct timeline_job *job;

    TAILQ_FOREACH (gate, &timeline->gates, in_timeline)
        while ((job = LIST_FIRST(&gate->open)))
            close_job(timeline, job, now_ns);
}

void
timeline_clear(struct timeline *timeline)
{
    struct timeline_gate *gate;
    struct timeline_job *job;

    while ((gate = TAILQ_FIRST(&timeline->gates))) {
        while ((job = LIST_FIRST(&gate->open)))
            destroy_job(timeline, job);
        destroy_gate(timeline, gate);
    }
}
