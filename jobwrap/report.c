/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>

#include "jobwrap/recorder.h"
#include "jobwrap/report.h"
#include "jobwrap/result_file.h"
#include "jobwrap/series.h"
#include "libjobserver/program/clock.h"
#include "libjobserver/program/message.h"

void
report_start(struct report *report)
{
    report->start_ns = report->since_ns = clock_now_ns();
    report->is_starved = true; /* until there is a token for the implicit slot */
}

void
report_borrowed(struct report *report, unsigned borrowed)
{
    report->borrowings++;
    if (borrowed > report->most_borrowed)
        report->most_borrowed = borrowed;
}

/* Before the first time there are none. */
static void
note_usage(struct report_usage *usage, unsigned jobs, int64_t now_ns)
{
    usage->job_ns += (double)usage->jobs * (double)(now_ns - usage->since_ns);
    usage->since_ns = now_ns;
    usage->jobs = jobs;
    if (jobs > usage->highest)
        usage->highest = jobs;
}

void
report_note(struct report *report, unsigned lent, bool starved, int64_t now_ns)
{
    int64_t passed_ns = now_ns - report->since_ns;

    if (report->is_starved)
        report->starved_ns += passed_ns;
    report->since_ns = now_ns;
    report->is_starved = starved;
    note_usage(&report->usage, lent + 1, now_ns);
    if (report->recorder)
        recorder_note_held(report->recorder, report->usage.jobs, now_ns);
}

void
report_note_class(struct report *report, unsigned i, unsigned held, int64_t now_ns)
{
    note_usage(&report->classes[i].usage, held, now_ns);
}

void
report_add_class(struct report *report, const char *name)
{
    struct report_class *added = &report->classes[report->class_count++];

    snprintf(added->name, sizeof(added->name), "%s", name);
}

void
report_add_recorded_class(struct report *report, const char *name, const struct series *held)
{
    report_add_class(report, name);
    report->classes[report->class_count - 1].usage = (struct report_usage){
        .highest = (unsigned)series_highest(held), .job_ns = series_integral(held)};
}

void
report_end(struct report *report)
{
    const int64_t now_ns = clock_now_ns();
    const unsigned jobs = report->usage.jobs;

    report_note(report, jobs > 0 ? jobs - 1 : 0, report->is_starved, now_ns);
    for (unsigned i = 0; i < report->class_count; i++)
        report_note_class(report, i, report->classes[i].usage.jobs, now_ns);
}

static double
seconds(int64_t ns)
{
    return (double)ns / 1e9;
}

double
report_mean_jobs(const struct report *report, const struct report_usage *usage)
{
    int64_t wall_ns = report->since_ns - report->start_ns;

    return wall_ns > 0 ? usage->job_ns / (double)wall_ns : usage->jobs;
}

static uint64_t
mib(uint64_t bytes)
{
    return bytes >> 20;
}

static void
print_memory(const struct memory_totals *memory)
{
    char without[64] = "";

    if (memory->unheld_peak_bytes > memory->peak_bytes)
        snprintf(without, sizeof(without), ", about %" PRIu64 " MiB if none had waited",
                 mib(memory->unheld_peak_bytes));
    message("memory of all jobs: at most %" PRIu64 " MiB%s", mib(memory->peak_bytes), without);
    message("jobs waited for memory: %.2f s; put off and run again: %" PRIu64
            "; stopped for a time: %" PRIu64,
            (double)memory->waited_ms / 1e3, memory->put_off, memory->stopped);
}

static void
print(const struct report *report, unsigned jobs, const char *parent)
{
    message("%.2f s with at most %u jobs from %s", seconds(report->since_ns - report->start_ns),
            jobs, parent ? parent : "its own pool");
    message("jobs at once: %.2f on average, %u at most", report_mean_jobs(report, &report->usage),
            report->usage.highest);
    for (unsigned i = 0; i < report->class_count; i++)
        message("jobs at once of class %s: %.2f on average, %u at most", report->classes[i].name,
                report_mean_jobs(report, &report->classes[i].usage),
                report->classes[i].usage.highest);
    if (parent)
        message("tokens borrowed: %" PRIu64 " times, at most %u at once", report->borrowings,
                report->most_borrowed);
    message("no token left for more jobs: %.2f s", seconds(report->starved_ns));
    if (report->lost || report->dropped)
        message("tokens lost: %" PRIu64 ", returned without having been lent: %" PRIu64,
                report->lost, report->dropped);
}

static void
add(struct json_object *object, const char *name, struct json_object *value)
{
    json_object_object_add(object, name, value);
}

static void
add_usage(struct json_object *object, const struct report *report, const struct report_usage *usage)
{
    add(object, "mean_jobs", json_object_new_double(report_mean_jobs(report, usage)));
    add(object, "highest_jobs", json_object_new_int64(usage->highest));
}

static struct json_object *
classes_to_json(const struct report *report)
{
    struct json_object *classes = json_object_new_object();

    for (unsigned i = 0; i < report->class_count; i++) {
        struct json_object *object = json_object_new_object();
        add_usage(object, report, &report->classes[i].usage);
        add(classes, report->classes[i].name, object);
    }
    return classes;
}

static struct json_object *
memory_to_json(const struct memory_totals *memory)
{
    struct json_object *object = json_object_new_object();

    add(object, "peak_bytes", json_object_new_uint64(memory->peak_bytes));
    add(object, "unheld_peak_bytes", json_object_new_uint64(memory->unheld_peak_bytes));
    add(object, "waited_s", json_object_new_double((double)memory->waited_ms / 1e3));
    add(object, "put_off", json_object_new_uint64(memory->put_off));
    add(object, "stopped", json_object_new_uint64(memory->stopped));
    return object;
}

static struct json_object *
to_json(const struct report *report, unsigned jobs, const char *parent)
{
    struct json_object *object = json_object_new_object();

    add(object, "parent", parent ? json_object_new_string(parent) : NULL);
    add(object, "jobs", json_object_new_int64(jobs));
    add(object, "wall_s", json_object_new_double(seconds(report->since_ns - report->start_ns)));
    add_usage(object, report, &report->usage);
    if (report->class_count > 0)
        add(object, "classes", classes_to_json(report));
    add(object, "borrowed", json_object_new_uint64(report->borrowings));
    add(object, "borrowed_at_once", json_object_new_int64(report->most_borrowed));
    add(object, "starved_s", json_object_new_double(seconds(report->starved_ns)));
    add(object, "dropped", json_object_new_uint64(report->dropped));
    add(object, "lost", json_object_new_uint64(report->lost));
    return object;
}

int
report_write(struct report *report, const char *file, unsigned jobs, const char *parent,
             const struct memory_totals *memory)
{
    report_end(report);
    if (!file) {
        print(report, jobs, parent);
        if (memory)
            print_memory(memory);
        return 0;
    }
    struct json_object *object = to_json(report, jobs, parent);
    if (memory)
        add(object, "memory", memory_to_json(memory));
    const char *text = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY);
    int result = result_file_write(file, text);
    json_object_put(object);
    return result;
}
