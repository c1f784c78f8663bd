/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory at the gate: what jobs are expected to need is looked up, what they use is looked at, and what admission.c
 * decides is done. */
#include "ninja-shim/gate/memory.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "libjobserver/environment.h"
#include "libjobserver/memory/history.h"
#include "libjobserver/memory/limits.h"
#include "libjobserver/memory/share.h"
#include "libjobserver/process.h"
#include "libjobserver/program/clock.h"
#include "libjobserver/program/limits.h"
#include "libjobserver/program/message.h"
#include "ninja-shim/gate/copies.h"
#include "ninja-shim/gate/tell.h"
#include "ninja-shim/gate/temporaries.h"

/* So long what has been read of the limits is good enough; and where there is plenty, until the next look. */
#define FRESH_NS (5 * NS_PER_MS)
#define FRESH_IF_PLENTY_NS (MEMORY_SAMPLE_SHORT_MS * NS_PER_MS)
/* While a build runs, what it has learnt is written so often. */
#define FLUSH_INTERVAL_NS (10 * NS_PER_S)
#define FLUSH_PATIENCE_MS 2000
/* A look comes after so many times what it costs, half a per cent of a processor, or as often as it must. */
#define SAMPLE_TIMES 200
#define DESCRIPTORS_LEAST 128u
#define ALMOST_ALL_PERCENT 75
#define BYTES_SIZE 32
#define NAME_SIZE 80
/* One that nobody has looked at while it ran has had something. */
#define PEAK_LEAST_BYTES (UINT64_C(4) << 20)

struct gate_memory {
    struct memory_admission admission;
    struct memory_limits *limits;
    struct memory_moment moment;
    struct memory_share share;      /* of what there is for all builds at one jobserver */
    int64_t read_ns;                /* when that was */
    struct memory_history *history; /* NULL: nobody has come yet */
    int64_t flushed_ns;
    struct event *look_event;
    int64_t sample_ns;        /* what the last look at all jobs has cost */
    int64_t idle_seen_ns;     /* when it was last looked which of them are idle */
    int look_ms;              /* it comes so long after it was set */
    char *root;               /* where the program has been started; owned */
    struct command_line line; /* owned */
};

/* --- what is said --- */

static void
print_bytes(char text[BYTES_SIZE], uint64_t bytes)
{
    const double mib = (double)bytes / (double)(1 << 20);

    if (mib < 1024)
        snprintf(text, BYTES_SIZE, "%.0f MiB", mib);
    else
        snprintf(text, BYTES_SIZE, "%.1f GiB", mib / 1024);
}

/* --- expectations --- */

static struct gate_job *
job_of(struct memory_job *job)
{
    return (struct gate_job *)(void *)((char *)job - offsetof(struct gate_job, memory.job));
}

/* The first time is after the last fork. */
static struct memory_history *
history_of(struct gate_memory *memory)
{
    if (memory->history)
        return memory->history;
    char *path = memory_history_path();
    memory->history = memory_history_open(path);
    memory->flushed_ns = clock_now_ns();
    free(path);
    return memory->history;
}

static void
complain(const struct gate *gate)
{
    char *complaint = memory_history_complaint(gate->memory->history);

    if (complaint && gate->plan->memory == MEMORY_MODE_ON)
        message("memory history: %s", complaint);
    free(complaint);
}

static void
set_expectation(const struct gate *gate, struct gate_job_memory *of,
                struct memory_expectation expectation)
{
    bool can_be_killed = of->may_run_twice && gate->kind->run_copy;

    of->job.expected_bytes = can_be_killed ? expectation.bold_bytes : expectation.bytes;
    of->job.is_known = expectation.source >= MEMORY_FROM_PATH;
    of->job.is_repeated = expectation.source == MEMORY_FROM_COMMAND;
    of->source = expectation.source;
}

/* What it runs is known before it has run, but not before its exec is done: a kind of gate may bring it before that.
 * Until then its command line is its parent's. */
static void
look_up(const struct gate *gate, struct gate_job_memory *of, pid_t pid, pid_t lazy)
{
    struct gate_memory *memory = gate->memory;
    struct process_info info;

    if (process_info(pid, &info) < 0 || !info.has_executed)
        return;
    of->is_looked_up = true;
    char directory[PATH_MAX];
    const struct memory_place place = {
        .root = memory->root,
        .directory = directory,
        .package = getenv("EBUILD_PHASE") ? getenv("PN") : NULL,
    };

    if (process_directory(pid, directory, sizeof(directory)) < 0 ||
        command_line_read(&memory->line, pid) <= 0)
        return;
    of->has_key = memory_key_of(&place, memory->line.words, &of->key, &of->may_run_twice);
    /* A line of echo, mkdir and the like has nothing to give back. */
    of->may_run_twice = of->may_run_twice && *of->key.tool;
    /* One of make's jobs has its input; what reads it may not run twice anyway. */
    if (of->may_run_twice && !gate->plan->rules.needs_no_tokens &&
        process_shares_console(pid, lazy))
        of->may_run_twice = false;
    if (!of->has_key || !history_of(memory))
        return;
    struct memory_expectation expectation = memory_history_expect(memory->history, &of->key);
    set_expectation(gate, of, expectation);
}

/* Those that wait, and of which nothing but the tool is known, are like what has just ended. */
static void
guess_again(const struct gate *gate)
{
    const struct gate_memory *memory = gate->memory;
    struct memory_job *job;

    TAILQ_FOREACH (job, &memory->admission.waiting, in_list) {
        struct gate_job_memory *of = &job_of(job)->memory;
        if (!of->has_key || of->source >= MEMORY_FROM_PATH)
            continue;
        struct memory_expectation expectation = memory_history_guess(memory->history, &of->key);
        set_expectation(gate, of, expectation);
    }
}

/* One of which nothing has been seen can have grown by no more than it had time for. */
static uint64_t
peak_of(const struct gate_job_memory *of)
{
    const uint64_t ran_ms = (uint64_t)((clock_now_ns() - of->started_ns) / NS_PER_MS);
    const uint64_t most_ms = ran_ms < MEMORY_SAMPLE_SHORT_MS ? ran_ms : MEMORY_SAMPLE_SHORT_MS;

    if (of->job.peak_bytes > 0)
        return of->job.peak_bytes;
    return PEAK_LEAST_BYTES + MEMORY_GROWTH_BYTES / MEMORY_SAMPLE_SHORT_MS * most_ms;
}

static void
learn(struct gate *gate, const struct gate_job_memory *of)
{
    struct gate_memory *memory = gate->memory;

    if (!of->has_key || of->has_failed || of->job.state != MEMORY_RUNS || !memory->history)
        return;
    memory_history_note(memory->history, &of->key, peak_of(of), time(NULL));
    complain(gate);
    guess_again(gate);
}

/* --- looking --- */

static bool
is_plenty(const struct gate_memory *memory)
{
    return !memory->share.is_short &&
           memory->moment.available_bytes > memory->moment.total_bytes / 2;
}

static void
read_moment(struct gate_memory *memory)
{
    struct memory_left left;
    int64_t now_ns = clock_now_ns(), fresh_ns = is_plenty(memory) ? FRESH_IF_PLENTY_NS : FRESH_NS;

    memory->moment.now_ns = now_ns;
    if (memory->read_ns != 0 && now_ns - memory->read_ns < fresh_ns)
        return;
    memory->read_ns = now_ns;
    /* Who cannot tell any more does not hold anybody back. */
    if (memory_limits_read(memory->limits, &left) < 0)
        left = (struct memory_left){.available_bytes = MEMORY_BYTES_MAX,
                                    .total_bytes = MEMORY_BYTES_MAX};
    memory->moment.place = left.place;
    memory->moment.machine_available_bytes = left.machine_available_bytes;
    memory->moment.available_bytes = left.available_bytes;
    memory->moment.total_bytes = left.total_bytes;
}

static void
sample(struct gate_memory *memory)
{
    const int64_t began_ns = clock_spent_ns();
    struct memory_job *job;
    const struct gate_process *process;

    TAILQ_FOREACH (job, &memory->admission.started, in_list) {
        uint64_t bytes = 0;
        TAILQ_FOREACH (process, &job_of(job)->processes, in_job)
            if (process->pidfd >= 0 && !process->is_orphan)
                bytes += process_tree_memory(copies_pid(process));
        /* It has ended just now. */
        if (bytes > 0)
            memory_sample(job, bytes, clock_now_ns());
    }
    memory->sample_ns = clock_spent_ns() - began_ns;
}

static bool
is_active(const struct gate_job *job)
{
    const struct gate_process *process;

    TAILQ_FOREACH (process, &job->processes, in_job)
        if (process->pidfd >= 0 && process_tree_is_active(copies_pid(process)))
            return true;
    return false;
}

/* Nobody cares as long as none waits. */
static void
look_who_is_idle(struct gate_memory *memory)
{
    const int64_t now_ns = clock_now_ns();
    struct memory_job *job;

    if (!memory->share.is_short || now_ns - memory->idle_seen_ns < MEMORY_IDLE_LOOK_NS)
        return;
    memory->idle_seen_ns = now_ns;
    TAILQ_FOREACH (job, &memory->admission.started, in_list)
        if (job->state == MEMORY_RUNS)
            memory_note_activity(job, is_active(job_of(job)), now_ns);
}

/* What waits for the disk takes its time, and is done while there is memory enough. */
static void
flush_now_and_then(struct gate *gate)
{
    struct gate_memory *memory = gate->memory;
    int64_t now_ns = clock_now_ns();

    if (!memory->history || now_ns - memory->flushed_ns < FLUSH_INTERVAL_NS ||
        memory->moment.available_bytes < memory->moment.total_bytes / 4)
        return;
    memory->flushed_ns = now_ns;
    memory_history_flush(memory->history, 0, false);
    complain(gate);
}

static void
look_up_late(const struct gate *gate, struct memory_list *jobs)
{
    struct memory_job *job;

    TAILQ_FOREACH (job, jobs, in_list) {
        struct gate_job *of = job_of(job);
        const struct gate_process *process = TAILQ_FIRST(&of->processes);
        if (!of->memory.is_looked_up && process && process->pidfd >= 0)
            look_up(gate, &of->memory, process->pid, of->lazy);
    }
}

/* --- standing still --- */

/* What it makes, or its command. */
static const char *
name_of(const struct gate_job *job, char name[NAME_SIZE])
{
    const char *path = job->memory.key.path, *slash = strrchr(path, '/');
    const struct gate_process *process = TAILQ_FIRST(&job->processes);

    snprintf(name, NAME_SIZE, "%.*s", NAME_SIZE - 1, slash ? slash + 1 : path);
    if (!*name && (!process || process_command(process->pid, name, NAME_SIZE) < 0))
        snprintf(name, NAME_SIZE, "a job");
    return name;
}

static void
tell_stopped(const struct gate_job *job)
{
    char name[NAME_SIZE], had[BYTES_SIZE];

    print_bytes(had, job->memory.job.used_bytes);
    message("%s has %s and is stopped until there is memory again", name_of(job, name), had);
}

static void
stop(struct gate *gate, struct gate_job *job)
{
    struct gate_process *process;

    TAILQ_FOREACH (process, &job->processes, in_job) {
        if (process->pidfd < 0)
            continue;
        holdings_stop(gate->holdings, process->holding, copies_pid(process));
        process_tree_stop(copies_pid(process));
    }
    memory_stopped(&job->memory.job);
    gate->memory->share.counts.stopped++;
    gate_tell_stopped(gate, job);
    tell_stopped(job);
}

static void
go_on(struct gate *gate, struct gate_job *job)
{
    struct gate_process *process;

    TAILQ_FOREACH (process, &job->processes, in_job) {
        if (process->pidfd < 0)
            continue;
        process_tree_continue(copies_pid(process));
        holdings_stop(gate->holdings, process->holding, 0);
    }
    memory_continued(&job->memory.job);
    gate_tell_continued(gate, job);
}

/* Those by which a user, or who gives up a build, ends its jobs. */
static const int ending_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
#define N_ENDING_SIGNALS (sizeof(ending_signals) / sizeof(ending_signals[0]))

bool
gate_memory_is_being_ended(const struct gate_job *job)
{
    const struct gate_process *process;
    struct process_signals signals;

    TAILQ_FOREACH (process, &job->processes, in_job) {
        if (process->pidfd < 0 || process_signals(copies_pid(process), &signals) < 0)
            continue;
        for (size_t i = 0; i < N_ENDING_SIGNALS; i++)
            if (signals.pending & ~signals.ignored & ~signals.blocked &
                process_signal_bit(ending_signals[i]))
                return true;
    }
    return false;
}

static void
let_go(struct gate *gate, bool (*is_meant)(const struct gate_job *job, pid_t lazy), pid_t lazy)
{
    struct memory_job *job, *next;

    for (job = TAILQ_FIRST(&gate->memory->admission.started); job; job = next) {
        next = TAILQ_NEXT(job, in_list);
        if (job->state != MEMORY_IS_STOPPED || !is_meant(job_of(job), lazy))
            continue;
        go_on(gate, job_of(job));
        memory_remove(&gate->memory->admission, job);
    }
}

static bool
is_to_end(const struct gate_job *job, pid_t lazy)
{
    return gate_memory_is_being_ended(job);
}

static bool
is_of(const struct gate_job *job, pid_t lazy)
{
    return lazy == 0 || job->lazy == lazy;
}

void
gate_memory_let_go(struct gate *gate, pid_t lazy)
{
    if (gate->memory)
        let_go(gate, is_of, lazy);
}

/* --- killing --- */

static void
tidy_up(pid_t pid, void *argument)
{
    temporaries_remove(pid);
}

static void
tell_put_off(const struct gate_job *job)
{
    const struct memory_job *of = &job->memory.job;
    char name[NAME_SIZE], had[BYTES_SIZE], wanted[BYTES_SIZE];

    print_bytes(had, of->used_bytes);
    print_bytes(wanted, of->least_bytes);
    message("%s needed %s and was put off; run again when there are %s", name_of(job, name), had,
            wanted);
}

/* Is what it has told of its work there already? */
static bool
has_announced(struct gate_memory *memory, pid_t pid, bool *could_have)
{
    char directory[PATH_MAX], file[PATH_MAX], path[2 * PATH_MAX];

    *could_have = command_line_read(&memory->line, pid) > 0 &&
                  memory_announcement_of(memory->line.words, file, sizeof(file)) &&
                  process_directory(pid, directory, sizeof(directory)) == 0;
    if (!*could_have)
        return false;
    snprintf(path, sizeof(path), "%s/%s", *file == '/' ? "" : directory, file);
    return access(path, F_OK) == 0;
}

/* What must not be told twice may be told at any moment, but by what stands still. Then it is stopped instead. */
static bool
is_told_once(struct gate *gate, struct gate_job *job)
{
    pid_t pid =
        TAILQ_FIRST(&job->processes)->pid; /* as it was executed, whatever the copy has become */
    bool could_have, has = has_announced(gate->memory, pid, &could_have);

    if (!could_have)
        return false;
    if (job->memory.job.state == MEMORY_RUNS)
        stop(gate, job);
    if (!has && !has_announced(gate->memory, pid, &could_have))
        return false;
    gate_memory_join(job);
    return true;
}

/* Its only process is the copy, with all below. */
static void
put_off(struct gate *gate, struct gate_job *job)
{
    struct gate_process *process = TAILQ_FIRST(&job->processes);

    memory_killed(&gate->memory->admission, &job->memory.job, clock_now_ns());
    gate->memory->share.counts.put_off++;
    process->largest_pidfd = process_tree_kill(process->copy, tidy_up, NULL);
    tell_put_off(job);
}

void
gate_memory_gone(struct gate *gate, struct gate_job *job)
{
    struct gate_memory *memory = gate->memory;

    memory_gone(&memory->admission, &job->memory.job);
    memory->read_ns = 0;
    read_moment(memory);
    memory_share_gone(&memory->share, &memory->admission, &memory->moment);
}

/* --- what the gate asks --- */

void
gate_memory_look(struct gate *gate)
{
    look_up_late(gate, &gate->memory->admission.waiting);
    look_up_late(gate, &gate->memory->admission.started);
    sample(gate->memory);
    look_who_is_idle(gate->memory);
    let_go(gate, is_to_end, 0);
    gate->memory->read_ns = 0;
    read_moment(gate->memory);
    memory_share_look(&gate->memory->share, &gate->memory->admission, &gate->memory->moment);
    flush_now_and_then(gate);
}

void
gate_memory_add(struct gate *gate, struct gate_job *job, const struct gate_process *process)
{
    if (!gate->memory)
        return;
    look_up(gate, &job->memory, process->pid, job->lazy);
    memory_add(&gate->memory->admission, &job->memory.job);
}

void
gate_memory_join(struct gate_job *job)
{
    job->memory.may_run_twice = job->memory.job.may_run_twice = false;
}

bool
gate_memory_wants_copy(const struct gate *gate, const struct gate_job *job)
{
    const struct gate_memory *memory = gate->memory;
    const struct gate_job_memory *of = &job->memory;

    if (!memory || !of->may_run_twice || !gate->kind->run_copy || job->living > 1)
        return false;
    return memory_could_be_killed(&memory->admission, &memory->moment, &of->job);
}

static void
note_who_is_held_up(struct gate *gate)
{
    struct job *job;

    TAILQ_FOREACH (job, &gate->queue.waiting, in_queue)
        ((struct gate_job *)job)->memory.job.is_held_up = queue_is_held_up(&gate->queue, job);
}

struct gate_job *
gate_memory_next(struct gate *gate)
{
    struct gate_memory *memory = gate->memory;
    bool has_stopped = false;

    if (!memory)
        return (struct gate_job *)queue_first(&gate->queue);
    note_who_is_held_up(gate);
    read_moment(memory);
    for (;;) {
        struct memory_step step =
            memory_share_next(&memory->share, &memory->admission, &memory->moment);
        switch (step.action) {
        case MEMORY_REST:
            return NULL;
        case MEMORY_KILL:
            if (is_told_once(gate, job_of(step.job)))
                has_stopped = true;
            else
                put_off(gate, job_of(step.job));
            break;
        case MEMORY_STOP:
            stop(gate, job_of(step.job));
            has_stopped = true;
            break;
        case MEMORY_CONTINUE:
            /* More that run need more room: it must not go to and fro. */
            if (has_stopped)
                return NULL;
            go_on(gate, job_of(step.job));
            break;
        case MEMORY_START:
            return job_of(step.job);
        }
    }
}

void
gate_memory_started(struct gate *gate, struct gate_job *job)
{
    if (!gate->memory)
        return;
    job->memory.started_ns = clock_now_ns();
    memory_started(&gate->memory->admission, &job->memory.job, job->memory.started_ns);
}

void
gate_memory_process_ended(struct gate_job *job, const int *wait_status)
{
    if (!wait_status || *wait_status != 0)
        job->memory.has_failed = true;
    for (size_t i = 0; wait_status && i < N_ENDING_SIGNALS; i++)
        if (WIFSIGNALED(*wait_status) && WTERMSIG(*wait_status) == ending_signals[i])
            job->memory.was_told_to_end = true;
}

void
gate_memory_withdraw(struct gate *gate, struct gate_job *job)
{
    if (gate->memory)
        memory_remove(&gate->memory->admission, &job->memory.job);
}

static bool
runs_alone(const struct gate_memory *memory, const struct memory_job *job)
{
    return TAILQ_FIRST(&memory->admission.started) == job && !TAILQ_NEXT(job, in_list) &&
           memory->moment.others.running == 0;
}

/* The kernel has killed it, or it was told that there is no more, and perhaps says so itself. */
static void
tell_too_large(const struct gate_memory *memory, const struct gate_job *job)
{
    const struct memory_job *of = &job->memory.job;
    char name[NAME_SIZE], had[BYTES_SIZE], all[BYTES_SIZE];

    if (!job->memory.has_failed || job->memory.was_told_to_end || of->state != MEMORY_RUNS ||
        !runs_alone(memory, of) ||
        of->peak_bytes + 2 * of->pace_bytes < memory->moment.total_bytes / 100 * ALMOST_ALL_PERCENT)
        return;
    print_bytes(had, of->peak_bytes);
    print_bytes(all, memory->moment.total_bytes);
    message("%s failed when it had %s of %s, and nothing ran beside it: one job alone does not fit",
            name_of(job, name), had, all);
}

static void
tell_others(struct gate_memory *memory)
{
    read_moment(memory);
    memory_share_ended(&memory->share, &memory->admission, &memory->moment);
}

void
gate_memory_remove(struct gate *gate, struct gate_job *job)
{
    if (!gate->memory)
        return;
    tell_too_large(gate->memory, job);
    learn(gate, &job->memory);
    bool has_run = job->memory.job.state != MEMORY_IS_OUT;
    memory_remove(&gate->memory->admission, &job->memory.job);
    /* What it had is free again. */
    if (!is_plenty(gate->memory))
        gate->memory->read_ns = 0;
    if (has_run || gate->jobs_alive == 1)
        tell_others(gate->memory);
}

/* Where nothing depends on it, peaks are still to be seen for the next build, as well as they can be for so little. */
static int
interval_ms(const struct gate_memory *memory)
{
    const int needed_ms = memory_sample_ms(&memory->admission, &memory->moment);
    const int64_t cheap_ms = memory->sample_ns / NS_PER_US * SAMPLE_TIMES / 1000;

    if (cheap_ms < MEMORY_SAMPLE_SHORT_MS)
        return MEMORY_SAMPLE_SHORT_MS;
    return cheap_ms < needed_ms ? (int)cheap_ms : needed_ms;
}

void
gate_memory_schedule(struct gate *gate)
{
    struct gate_memory *memory = gate->memory;

    if (!memory)
        return;
    if (gate->jobs_alive == 0) {
        event_del(memory->look_event);
        return;
    }
    int wanted_ms = interval_ms(memory);
    if (evtimer_pending(memory->look_event, NULL) && memory->look_ms <= wanted_ms)
        return;
    const struct timeval interval = {.tv_sec = wanted_ms / 1000,
                                     .tv_usec = wanted_ms % 1000 * 1000L};
    memory->look_ms = wanted_ms;
    evtimer_add(memory->look_event, &interval);
}

void
gate_memory_look_soon(struct gate *gate)
{
    const struct timeval interval = {.tv_usec = MEMORY_SAMPLE_SHORT_MS * 1000L};

    if (!gate->memory)
        return;
    gate->memory->look_ms = MEMORY_SAMPLE_SHORT_MS;
    evtimer_add(gate->memory->look_event, &interval);
}

/* --- its life --- */

static int
ask_server(void *server, struct steved_memory *memory)
{
    return client_memory(server, memory);
}

static void
destroy(struct gate_memory *memory)
{
    if (memory->look_event)
        event_free(memory->look_event);
    if (memory->limits)
        memory_limits_close(memory->limits);
    command_line_free(&memory->line);
    free(memory->root);
    free(memory);
}

static unsigned
total_jobs(struct client *client)
{
    return client ? environment_total_jobs(client, getenv("MAKEFLAGS"), getenv("JOBWRAP_JOBS")) : 0;
}

int
gate_memory_open(struct gate *gate, event_callback_fn on_look)
{
    if (gate->plan->memory == MEMORY_MODE_OFF)
        return 0;
    struct gate_memory *memory = calloc(1, sizeof(*memory));
    if (!memory)
        return -ENOMEM;
    memory_admission_init(&memory->admission);
    memory->root = getcwd(NULL, 0);
    memory->look_event = evtimer_new(gate->base, on_look, gate);
    memory->share = (struct memory_share){
        .ask = gate->plan->client ? ask_server : NULL,
        .server = gate->plan->client,
        .slots = total_jobs(gate->plan->client),
    };
    /* The limits and the history have a score of them, and the jobs come first. */
    int result = limits_descriptors() < DESCRIPTORS_LEAST ? -EMFILE
                                                          : memory_limits_open("", &memory->limits);
    if (result == 0 && (!memory->root || !memory->look_event))
        result = -ENOMEM;
    if (result == 0) {
        gate->memory = memory;
        return 0;
    }
    if (gate->plan->memory == MEMORY_MODE_ON)
        message("jobs do not wait for memory: %s", strerror(-result));
    destroy(memory);
    return 0;
}

void
gate_memory_close(struct gate *gate)
{
    struct gate_memory *memory = gate->memory;

    if (!memory)
        return;
    gate_memory_let_go(gate, 0);
    if (memory->history) {
        memory_history_flush(memory->history, FLUSH_PATIENCE_MS, true);
        complain(gate);
        memory_history_close(memory->history);
    }
    destroy(memory);
    gate->memory = NULL;
}
