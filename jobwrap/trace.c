/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "jobwrap/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libjobserver/program/message.h"
#include "libjobserver/program/printable.h"

/* Events are written as a whole, as far as they fit. */
#define BUFFER_SIZE ((size_t)256 << 10)
#define OURS 1u /* the number of jobwrap itself as a process; gates have those that follow */
/* A process itself is its thread of the same number; no two threads of all have one number, since there are readers
 * that name them by it. */
#define SLOTS 5000u
_Static_assert(TIMELINE_SLOTS_MAX < SLOTS, "slots of two gates have one number");
#define LANE_SIZE (STEVED_CLASS_NAME_SIZE + sizeof(" 4294967295"))

/* --- its life --- */

static bool
is_regular(int fd, struct stat *status)
{
    return fstat(fd, status) == 0 && S_ISREG(status->st_mode);
}

/* A jobwrap that the build itself starts may have the same file named: they would write over one another. */
static int
take(int fd)
{
    struct stat status;

    if (!is_regular(fd, &status))
        return 0;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
        return -EBUSY;
    return ftruncate(fd, 0) < 0 ? -errno : 0;
}

int
trace_open(struct trace *trace, const char *file, const struct steved_classes *classes)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0666);
    int error = fd < 0 ? -errno : take(fd);

    *trace = (struct trace){.file = file, .classes = classes};
    if (error == 0 && !(trace->out = fdopen(fd, "w")))
        error = -errno;
    if (error < 0) {
        message("open %s: %s", file,
                error == -EBUSY ? "another jobwrap writes it" : strerror(-error));
        if (fd >= 0)
            close(fd);
        return error;
    }
    setvbuf(trace->out, NULL, _IOFBF, BUFFER_SIZE);
    fputs("[\n", trace->out);
    trace_flush(trace);
    return 0;
}

static void
give_up(struct trace *trace)
{
    message("write %s: %s; the trace ends there", trace->file, strerror(errno));
    fclose(trace->out);
    trace->out = NULL;
}

void
trace_flush(struct trace *trace)
{
    if (trace->out && fflush(trace->out) != 0)
        give_up(trace);
}

/* As what a build has made may be by the build itself. */
static bool
is_removed(FILE *file)
{
    struct stat status;

    return is_regular(fileno(file), &status) && status.st_nlink == 0;
}

void
trace_close(struct trace *trace)
{
    if (!trace->out)
        return;
    if (is_removed(trace->out))
        message("write %s: it was removed meanwhile", trace->file);
    fputs("\n]\n", trace->out);
    trace_flush(trace);
    if (trace->out && fclose(trace->out) != 0)
        message("write %s: %s", trace->file, strerror(errno));
    trace->out = NULL;
}

/* --- JSON --- */

static void
put_string(FILE *out, const char *text)
{
    const char *shown;

    fputc('"', out);
    for (size_t size; *text; text += size) {
        if (*text == '"' || *text == '\\')
            fputc('\\', out);
        size = printable_first(text, &shown);
        fwrite(shown, 1, size, out);
    }
    fputc('"', out);
}

/* An object without its end. */
static FILE *
begin_event(struct trace *trace, const char *phase, const char *name, unsigned pid, unsigned tid)
{
    FILE *out = trace->out;

    fprintf(out, "%s{\"ph\":\"%s\",\"pid\":%u,\"tid\":%u,\"name\":", trace->has_events ? ",\n" : "",
            phase, pid, tid);
    put_string(out, name);
    trace->has_events = true;
    return out;
}

static void
put_time(FILE *out, const char *name, int64_t time_ns)
{
    fprintf(out, ",\"%s\":%" PRId64 ".%03d", name, time_ns / 1000, (int)(time_ns % 1000));
}

static void
put_metadata(struct trace *trace, const char *kind, const char *key, unsigned pid, unsigned tid,
             const char *value)
{
    FILE *out = begin_event(trace, "M", kind, pid, tid);

    fprintf(out, ",\"args\":{\"%s\":", key);
    put_string(out, value);
    fputs("}}", out);
}

/* --- processes and threads --- */

void
trace_build(struct trace *trace, const char *name)
{
    char *text;

    if (!trace->out || asprintf(&text, "jobwrap %s", name) < 0)
        return;
    put_metadata(trace, "process_name", "name", OURS, OURS, text);
    free(text);
}

static unsigned
number_of(const struct timeline_gate *gate)
{
    return OURS + gate->number;
}

void
trace_gate(struct trace *trace, const struct timeline_gate *gate)
{
    char label[sizeof("process -2147483648")];

    if (!trace->out)
        return;
    put_metadata(trace, "process_name", "name", number_of(gate), number_of(gate),
                 gate->name ? gate->name : "a gate");
    snprintf(label, sizeof(label), "process %d", gate->pid);
    if (gate->pid != 0)
        put_metadata(trace, "process_labels", "labels", number_of(gate), number_of(gate), label);
    fprintf(begin_event(trace, "M", "process_sort_index", number_of(gate), number_of(gate)),
            ",\"args\":{\"sort_index\":%u}}", gate->number);
}

/* The cpu's slots come first, and then those of each class. */
static unsigned
place_of(const struct timeline_job *job)
{
    return SLOTS * job->slot_class + job->slot + 1;
}

static unsigned
thread_of(const struct timeline_job *job)
{
    return SLOTS * TIMELINE_CLASSES * number_of(job->gate) + place_of(job);
}

/* "": it is none. */
static const char *
name_of_class(const struct trace *trace, unsigned job_class)
{
    if (job_class == 0)
        return "";
    return job_class <= trace->classes->count ? trace->classes->classes[job_class - 1].name
                                              : "a class";
}

static void
name_slot(struct trace *trace, const struct timeline_job *job)
{
    char name[LANE_SIZE];
    const unsigned pid = number_of(job->gate), tid = thread_of(job);

    if (job->slot < job->gate->slots[job->slot_class].seen)
        return;
    snprintf(name, sizeof(name), "%s %u",
             job->slot_class ? name_of_class(trace, job->slot_class) : "slot", job->slot + 1);
    put_metadata(trace, "thread_name", "name", pid, tid, name);
    fprintf(begin_event(trace, "M", "thread_sort_index", pid, tid),
            ",\"args\":{\"sort_index\":%u}}", place_of(job));
}

/* --- jobs --- */

static const char *const waits_for[TIMELINE_REASONS] = {
    [TIMELINE_FOR_TOKEN] = "waits for a token",
    [TIMELINE_FOR_MEMORY] = "waits for memory",
};

/* Many a job has no name before it starts, so its end tells the name too. */
static void
put_wait(struct trace *trace, const struct timeline_job *job, const char *phase, int64_t time_ns)
{
    FILE *out = begin_event(trace, phase, waits_for[job->reason], number_of(job->gate),
                            number_of(job->gate));

    put_time(out, "ts", time_ns);
    fprintf(out,
            ",\"cat\":\"wait\",\"id2\":{\"local\":\"0x%" PRIx64 "\"},\"args\":{\"job\":%" PRIu64,
            job->serial, job->job);
    if (job->name[0]) {
        fputs(",\"name\":", out);
        put_string(out, job->name);
    }
    fputs("}}", out);
}

static void
put_class(const struct trace *trace, const struct timeline_job *job)
{
    if (job->job_class == 0)
        return;
    fputs(",\"class\":", trace->out);
    put_string(trace->out, name_of_class(trace, job->job_class));
}

static void
put_node(const struct trace *trace, const struct timeline_job *job)
{
    if (!job->node[0])
        return;
    fputs(",\"where\":", trace->out);
    put_string(trace->out, job->node);
}

/* Members without the end. */
static void
put_start(const struct trace *trace, const struct timeline_job *job)
{
    FILE *out = trace->out;

    fprintf(out, "\"job\":%" PRIu64, job->job);
    if (job->expected_bytes > 0)
        fprintf(out, ",\"expected_bytes\":%" PRIu64, job->expected_bytes);
    if (job->runs_begun > 1)
        fprintf(out, ",\"run\":%u", job->runs_begun);
    if (!job->has_moved)
        put_class(trace, job);
}

static void
put_outcome(const struct trace *trace, const struct timeline_job *job, enum timeline_change change)
{
    FILE *out = trace->out;
    const bool is_known = job->status != -1, is_put_off = change == TIMELINE_PUT_OFF;

    fprintf(out, "\"put_off\":%s", is_put_off ? "true" : "false");
    if (is_known && WIFSIGNALED(job->status))
        fprintf(out, ",\"signal\":%d", WTERMSIG(job->status));
    else if (is_known)
        fprintf(out, ",\"exit_status\":%d", WEXITSTATUS(job->status));
    if (job->bytes > 0)
        fprintf(out, ",\"peak_bytes\":%" PRIu64, job->bytes);
    if (job->has_moved)
        put_class(trace, job);
    put_node(trace, job);
}

static void
begin_run(struct trace *trace, const struct timeline_job *job, int64_t time_ns)
{
    name_slot(trace, job);
    if (!job->has_begun_named)
        return;
    FILE *out = begin_event(trace, "B", job->name, number_of(job->gate), thread_of(job));
    put_time(out, "ts", time_ns);
    fputs(",\"cat\":\"job\",\"args\":{", out);
    put_start(trace, job);
    fputs("}}", out);
}

/* One that had no name when it began is written as a whole. */
static void
end_run(struct trace *trace, const struct timeline_job *job, enum timeline_change change,
        int64_t time_ns)
{
    const unsigned pid = number_of(job->gate), tid = thread_of(job);
    const bool is_whole = !job->has_begun_named;
    FILE *out =
        begin_event(trace, is_whole ? "X" : "E", job->name[0] ? job->name : "a job", pid, tid);

    put_time(out, "ts", is_whole ? job->run_ns : time_ns);
    if (is_whole)
        put_time(out, "dur", time_ns - job->run_ns);
    fputs(",\"cat\":\"job\",\"args\":{", out);
    if (is_whole) {
        put_start(trace, job);
        fputc(',', out);
    }
    put_outcome(trace, job, change);
    fputs("}}", out);
}

static void
put_stop(struct trace *trace, const struct timeline_job *job, const char *phase, int64_t time_ns)
{
    if (!job->has_begun_named)
        return;
    FILE *out =
        begin_event(trace, phase, "stopped for memory", number_of(job->gate), thread_of(job));
    put_time(out, "ts", time_ns);
    fputs(",\"cat\":\"stop\"}", out);
}

/* As a whole: where it has been is known at its end. */
static void
put_move(struct trace *trace, const struct timeline_job *job, int64_t time_ns)
{
    FILE *out = begin_event(trace, "X", name_of_class(trace, job->job_class), number_of(job->gate),
                            thread_of(job));

    put_time(out, "ts", job->moved_ns);
    put_time(out, "dur", time_ns - job->moved_ns);
    fprintf(out, ",\"cat\":\"class\",\"args\":{\"job\":%" PRIu64, job->job);
    put_node(trace, job);
    fputs("}}", out);
}

void
trace_changed(struct trace *trace, const struct timeline_job *job, enum timeline_change change,
              int64_t time_ns)
{
    if (!trace->out)
        return;
    switch (change) {
    case TIMELINE_WAIT_BEGINS:
        put_wait(trace, job, "b", time_ns);
        break;
    case TIMELINE_WAIT_ENDS:
        put_wait(trace, job, "e", time_ns);
        break;
    case TIMELINE_RUN_BEGINS:
        begin_run(trace, job, time_ns);
        break;
    case TIMELINE_RUN_ENDS:
    case TIMELINE_PUT_OFF:
        end_run(trace, job, change, time_ns);
        break;
    case TIMELINE_STOPS:
        put_stop(trace, job, "B", time_ns);
        break;
    case TIMELINE_CONTINUES:
        put_stop(trace, job, "E", time_ns);
        break;
    case TIMELINE_MOVES_BACK:
        put_move(trace, job, time_ns);
        break;
    case TIMELINE_MOVES:
    case TIMELINE_ENDS:
        break;
    }
}

/* --- the rest --- */

static void
put_tokens(struct trace *trace, const char *counter, const char *what, unsigned count,
           int64_t time_ns)
{
    if (!trace->out)
        return;
    FILE *out = begin_event(trace, "C", counter, OURS, OURS);
    put_time(out, "ts", time_ns);
    fprintf(out, ",\"args\":{\"%s\":%u}}", what, count);
}

void
trace_held(struct trace *trace, unsigned held, int64_t time_ns)
{
    put_tokens(trace, "tokens", "held", held, time_ns);
}

void
trace_waiting(struct trace *trace, unsigned waiting, int64_t time_ns)
{
    put_tokens(trace, "tokens", "waiting", waiting, time_ns);
}

void
trace_class(struct trace *trace, unsigned job_class, unsigned held, int64_t time_ns)
{
    char counter[sizeof("tokens of ") + STEVED_CLASS_NAME_SIZE];

    if (!trace->out)
        return;
    snprintf(counter, sizeof(counter), "tokens of %s", name_of_class(trace, job_class));
    put_tokens(trace, counter, "held", held, time_ns);
}

void
trace_memory(struct trace *trace, const struct steved_event *event)
{
    if (!trace->out)
        return;
    FILE *out = begin_event(trace, "C", "memory (bytes)", OURS, OURS);
    put_time(out, "ts", (int64_t)event->time_ns);
    fprintf(out, ",\"args\":{\"used\":%" PRIu64 ",\"expected growth\":%" PRIu64,
            (uint64_t)event->bytes, (uint64_t)event->expected_bytes);
    if (event->available_bytes != 0)
        fprintf(out, ",\"available\":%" PRIu64 ",\"floor\":%" PRIu64,
                (uint64_t)event->available_bytes, (uint64_t)event->limit_bytes);
    fputs("}}", out);
}

void
trace_moment(struct trace *trace, const char *name, unsigned count, int64_t time_ns)
{
    if (!trace->out)
        return;
    FILE *out = begin_event(trace, "i", name, OURS, OURS);
    put_time(out, "ts", time_ns);
    fprintf(out, ",\"s\":\"p\",\"args\":{\"count\":%u}}", count);
}
