/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "jobwrap/report_page.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "jobwrap/chart.h"

#define GATES_MAX 50u
#define MIB ((double)(1 << 20))
#define GIB (1024 * MIB)
#define BYTES_SIZE 32
#define LEFT '<'
#define JOB_COLUMNS_MAX 11

static const char style[] =
    ":root{color-scheme:light dark;--page:#fff;--text:#1c2024;--faint:#5b6670;--grid:#d8dee4;"
    "--one:#1f6feb;--two:#b35900;--three:#8250df;--limit:#cf222e}\n"
    "@media(prefers-color-scheme:dark){:root{--page:#0f1419;--text:#e6e9ec;--faint:#9aa5b1;"
    "--grid:#2e3740;--one:#58a6ff;--two:#f0a050;--three:#bc8cff;--limit:#ff7b72}}\n"
    "body{margin:0;background:var(--page);color:var(--text);font:16px/1.5 system-ui,sans-serif}\n"
    "main{max-width:60rem;margin:0 auto;padding:1.5rem 1rem}\n"
    "h1{font-size:1.35rem;overflow-wrap:anywhere;margin:0 0 .5rem}\n"
    "h2{font-size:1.1rem;margin:2rem 0 .5rem}\n"
    "figure{margin:0;overflow-x:auto}\n"
    "figure>svg{width:100%;min-width:36rem;height:auto;display:block}\n"
    "svg text{font-size:12px;fill:var(--faint)}\n"
    ".grid{stroke:var(--grid);fill:none}\n"
    ".area{opacity:.45}.line{fill:none;stroke-width:1.75}\n"
    ".area.one{fill:var(--one)}.line.one{stroke:var(--one)}\n"
    ".area.two{fill:var(--two)}.line.two{stroke:var(--two);stroke-dasharray:2 2}\n"
    ".line.three{stroke:var(--three)}\n"
    ".line.limit{stroke:var(--limit);stroke-dasharray:7 3}\n"
    ".legend{list-style:none;display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;margin:.25rem 0 0;"
    "padding:0;font-size:.9rem}\n"
    ".legend svg{width:1.5rem;height:.75rem;margin-right:.4rem}\n"
    "dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(13rem,1fr));gap:.5rem 1rem;"
    "margin:1rem 0}dt{color:var(--faint);font-size:.9rem}dd{margin:0;font-weight:600}\n"
    ".wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.9rem}\n"
    "caption{text-align:left;color:var(--faint);padding-bottom:.25rem}\n"
    "th,td{padding:.2rem .6rem;border-bottom:1px solid var(--grid);text-align:right;"
    "white-space:nowrap}\n"
    "th{font-weight:600}thead th{white-space:normal;vertical-align:bottom}\n"
    "tbody th,.left{text-align:left}tbody th{white-space:normal;"
    "overflow-wrap:anywhere;min-width:11rem;font-weight:400}\n"
    ":focus-visible{outline:2px solid var(--one)}\n";

/* --- numbers --- */

static const char *
bytes_text(char text[BYTES_SIZE], uint64_t bytes)
{
    if (bytes == 0)
        return "";
    if ((double)bytes < GIB)
        snprintf(text, BYTES_SIZE, "%.0f MiB", (double)bytes / MIB);
    else
        snprintf(text, BYTES_SIZE, "%.1f GiB", (double)bytes / GIB);
    return text;
}

static void
put_time_cell(FILE *out, int64_t time_ns)
{
    char text[CHART_TIME_SIZE] = "";

    if (time_ns > 0)
        chart_print_time(text, time_ns);
    fprintf(out, "<td>%s</td>", text);
}

static void
put_bytes_cell(FILE *out, uint64_t bytes)
{
    char text[BYTES_SIZE];

    fprintf(out, "<td>%s</td>", bytes_text(text, bytes));
}

static void
put_count_cell(FILE *out, uint64_t count)
{
    if (count > 0)
        fprintf(out, "<td>%" PRIu64 "</td>", count);
    else
        fputs("<td></td>", out);
}

/* --- the figures --- */

__attribute__((format(printf, 3, 4))) static void
put_figure(FILE *out, const char *name, const char *format, ...)
{
    va_list arguments;

    fprintf(out, "<div><dt>%s</dt><dd>", name);
    va_start(arguments, format);
    vfprintf(out, format, arguments);
    va_end(arguments);
    fputs("</dd></div>\n", out);
}

static void
put_time_figure(FILE *out, const char *name, int64_t time_ns)
{
    char text[CHART_TIME_SIZE];

    chart_print_time(text, time_ns);
    put_figure(out, name, "%s", text);
}

static void
put_usage_figure(FILE *out, const char *name, const struct report *report,
                 const struct report_usage *usage)
{
    put_figure(out, name, "%.2f on average, %u at most", report_mean_jobs(report, usage),
               usage->highest);
}

static void
put_memory_figures(FILE *out, const struct memory_totals *memory)
{
    char text[BYTES_SIZE];

    put_figure(out, "Memory of all jobs, at most", "%s", bytes_text(text, memory->peak_bytes));
    if (memory->unheld_peak_bytes > memory->peak_bytes)
        put_figure(out, "Estimate if no job had waited", "%s",
                   bytes_text(text, memory->unheld_peak_bytes));
}

static void
put_figures(FILE *out, const struct recorder *recorder, const struct report *report)
{
    const struct timeline_counts *counts = &recorder->timeline.counts;

    put_time_figure(out, "Time", report->since_ns - report->start_ns);
    put_usage_figure(out, "Jobs at once", report, &report->usage);
    for (unsigned i = 0; i < report->class_count; i++) {
        char name[STEVED_CLASS_NAME_SIZE + 40];
        if (report->classes[i].usage.highest == 0)
            continue;
        snprintf(name, sizeof(name), "Jobs at once of class %s", report->classes[i].name);
        put_usage_figure(out, name, report, &report->classes[i].usage);
    }
    put_figure(out, "Jobs seen at gates", "%" PRIu64 ", of which %" PRIu64 " failed", counts->jobs,
               counts->failed);
    put_time_figure(out, "No token left for more jobs", report->starved_ns);
    put_time_figure(out, "Jobs waited for tokens", counts->waited_ns[TIMELINE_FOR_TOKEN]);
    put_time_figure(out, "Jobs waited for memory", counts->waited_ns[TIMELINE_FOR_MEMORY]);
    if (counts->put_off > 0 || counts->stopped > 0)
        put_figure(out, "For lack of memory", "%" PRIu64 " put off, %" PRIu64 " stopped",
                   counts->put_off, counts->stopped);
    if (report->lost > 0 || report->dropped > 0)
        put_figure(out, "Tokens", "%" PRIu64 " lost, %" PRIu64 " returned without having been lent",
                   report->lost, report->dropped);
    if (recorder->lost > 0)
        put_figure(out, "Events missed", "%" PRIu64, recorder->lost);
}

/* --- the charts --- */

static void
write_chart(FILE *out, const char *heading, const struct chart *chart)
{
    fprintf(out, "<section><h2>%s</h2>\n", heading);
    chart_write(out, chart);
    fputs("</section>\n", out);
}

static int64_t
length_of(const struct recorder *recorder, const struct report *report)
{
    return report->since_ns - recorder->begin_ns;
}

static void
write_tokens(FILE *out, const struct recorder *recorder, const struct report *report)
{
    const struct series *series = recorder->series;
    const struct chart_line lines[] = {
        {&series[RECORDED_HELD], "Tokens in use", "one", CHART_AREA, CHART_MEAN},
        {&series[RECORDED_JOBS], "Jobs at once, at most", "limit", CHART_LINE, CHART_MOST},
    };
    char description[80];

    snprintf(description, sizeof(description), "%.2f tokens on average, %u at most.",
             report_mean_jobs(report, &report->usage), report->usage.highest);
    const struct chart chart = {.id = "tokens",
                                .title = "Tokens over time",
                                .description = description,
                                .unit = "",
                                .divisor = 1,
                                .length_ns = length_of(recorder, report),
                                .line_count = sizeof(lines) / sizeof(lines[0]),
                                .lines = lines};
    write_chart(out, "Tokens", &chart);
}

/* Whose pool it is tells how many there are. */
static void
write_class(FILE *out, const struct recorder *recorder, const struct report *report, unsigned i)
{
    const struct series *held = &recorder->of_class[i].series[RECORDED_CLASS_HELD],
                        *jobs = &recorder->of_class[i].series[RECORDED_CLASS_JOBS];
    const char *name = recorder->classes.classes[i].name;
    const struct chart_line lines[] = {
        {held, "Tokens in use", "one", CHART_AREA, CHART_MEAN},
        {jobs, "Tokens of the class", "limit", CHART_LINE, CHART_MOST},
    };
    char id[40], heading[80], title[sizeof(heading) + 20], description[80];

    if (series_highest(held) == 0)
        return;
    snprintf(id, sizeof(id), "class-%s", name);
    snprintf(heading, sizeof(heading), "Tokens of class %s", name);
    snprintf(title, sizeof(title), "%s over time", heading);
    snprintf(description, sizeof(description), "%.2f tokens on average, %.0f at most.",
             series_integral(held) / (double)length_of(recorder, report), series_highest(held));
    const struct chart chart = {.id = id,
                                .title = title,
                                .description = description,
                                .unit = "",
                                .divisor = 1,
                                .length_ns = length_of(recorder, report),
                                .line_count = jobs->has_value ? 2 : 1,
                                .lines = lines};
    write_chart(out, heading, &chart);
}

static void
write_waiting(FILE *out, const struct recorder *recorder, const struct report *report)
{
    const struct series *for_token = &recorder->series[RECORDED_WAITING + TIMELINE_FOR_TOKEN],
                        *for_memory = &recorder->series[RECORDED_WAITING + TIMELINE_FOR_MEMORY];
    const struct chart_line lines[] = {
        {for_token, "Jobs that wait for a token", "two", CHART_LINE, CHART_MEAN},
        {for_memory, "Jobs that wait for memory", "three", CHART_LINE, CHART_MEAN},
    };
    char description[120];

    if (series_highest(for_token) == 0 && series_highest(for_memory) == 0)
        return;
    snprintf(description, sizeof(description),
             "At most %.0f jobs waited for a token at one time, and %.0f for memory.",
             series_highest(for_token), series_highest(for_memory));
    const struct chart chart = {.id = "waiting",
                                .title = "Waiting jobs over time",
                                .description = description,
                                .unit = "",
                                .divisor = 1,
                                .length_ns = length_of(recorder, report),
                                .line_count = sizeof(lines) / sizeof(lines[0]),
                                .lines = lines};
    write_chart(out, "Jobs that wait", &chart);
}

static void
write_memory_chart(FILE *out, const struct recorder *recorder, const struct report *report)
{
    const struct series *series = recorder->series;
    const struct chart_line lines[] = {
        {&series[RECORDED_USED], "Used by jobs", "one", CHART_AREA, CHART_MOST},
        {&series[RECORDED_EXPECTED], "Used when all running jobs have grown", "two", CHART_LINE,
         CHART_MOST},
        {&series[RECORDED_AVAILABLE], "Available", "three", CHART_LINE, CHART_LEAST},
        {&series[RECORDED_FLOOR], "Floor, which stays available", "limit", CHART_LINE, CHART_MOST},
    };
    const bool is_large = series_highest(&series[RECORDED_AVAILABLE]) >= 2 * GIB;
    char used[BYTES_SIZE], floor[BYTES_SIZE], description[160];

    snprintf(description, sizeof(description), "Jobs used %s at most; the floor was %s at most.",
             bytes_text(used, (uint64_t)series_highest(&series[RECORDED_USED])),
             bytes_text(floor, (uint64_t)series_highest(&series[RECORDED_FLOOR])));
    const struct chart chart = {.id = "memory",
                                .title = "Memory over time",
                                .description = description,
                                .unit = is_large ? "GiB" : "MiB",
                                .divisor = is_large ? GIB : MIB,
                                .length_ns = length_of(recorder, report),
                                .line_count = sizeof(lines) / sizeof(lines[0]),
                                .lines = lines};
    write_chart(out, "Memory", &chart);
}

static void
write_memory(FILE *out, const struct recorder *recorder, const struct report *report)
{
    if (recorder->series[RECORDED_USED].has_value)
        write_memory_chart(out, recorder, report);
    else
        fputs("<section><h2>Memory</h2>\n<p>No gate has reported memory.</p></section>\n", out);
}

/* --- the tables --- */

/* A column that begins with LEFT holds text, others numbers. */
static void
begin_table(FILE *out, const char *id, const char *title, const char *caption,
            const char *const *columns)
{
    fprintf(out,
            "<section><h2 id=\"%s\">%s</h2>\n<div class=\"wide\" role=\"region\" tabindex=\"0\" "
            "aria-labelledby=\"%s\"><table><caption>%s</caption>\n<thead><tr>",
            id, title, id, caption);
    for (; *columns; columns++)
        fprintf(out, "<th scope=\"col\"%s>%s</th>", **columns == LEFT ? " class=\"left\"" : "",
                **columns == LEFT ? *columns + 1 : *columns);
    fputs("</tr></thead>\n<tbody>\n", out);
}

static void
end_table(FILE *out)
{
    fputs("</tbody></table></div></section>\n", out);
}

/* What is not as it should be. */
static void
put_notes_cell(FILE *out, const struct summary_job *job)
{
    const bool is_known = job->status != 0 && job->status != -1;

    fputs("<td>", out);
    if (job->runs > 1)
        fprintf(out, "run %u times%s", job->runs, is_known ? ", " : "");
    if (is_known && WIFSIGNALED(job->status))
        fprintf(out, "signal %d", WTERMSIG(job->status));
    else if (is_known)
        fprintf(out, "exit %d", WEXITSTATUS(job->status));
    fputs("</td>", out);
}

static void
put_class_cell(FILE *out, const struct recorder *recorder, unsigned job_class)
{
    const bool is_known = job_class > 0 && job_class <= recorder->classes.count;

    fprintf(out, "<td>%s</td>", is_known ? recorder->classes.classes[job_class - 1].name : "");
}

static void
write_job(FILE *out, const struct recorder *recorder, const struct summary_job *job)
{
    fputs("<tr><th scope=\"row\">", out);
    chart_put_text(out, job->name[0] ? job->name : "a job");
    fputs("</th>", out);
    put_time_cell(out, job->ran_ns);
    put_bytes_cell(out, job->bytes);
    put_bytes_cell(out, job->expected_bytes);
    put_time_cell(out, job->waited_ns[TIMELINE_FOR_TOKEN]);
    put_time_cell(out, job->waited_ns[TIMELINE_FOR_MEMORY]);
    put_time_cell(out, job->began_ns > 0 ? job->began_ns - recorder->begin_ns : 0);
    fprintf(out, "<td>%u</td>", job->gate);
    if (recorder->classes.count > 0)
        put_class_cell(out, recorder, job->job_class);
    if (recorder->summary.has_nodes) {
        fputs("<td>", out);
        chart_put_text(out, job->node);
        fputs("</td>", out);
    }
    put_notes_cell(out, job);
    fputs("</tr>\n", out);
}

/* Those that the build has something for. */
static void
name_columns(const struct recorder *recorder, const char *columns[JOB_COLUMNS_MAX + 1])
{
    static const char *const first[] = {
        "<Job",        "Ran",  "Memory", "Expected", "Waited for a token", "Waited for memory",
        "Began after", "Build"};
    size_t count = sizeof(first) / sizeof(first[0]);

    memcpy(columns, first, sizeof(first));
    if (recorder->classes.count > 0)
        columns[count++] = "Class";
    if (recorder->summary.has_nodes)
        columns[count++] = "Where";
    columns[count++] = "Notes";
    columns[count] = NULL;
}

static void
write_jobs(FILE *out, const struct recorder *recorder, enum summary_list list)
{
    static const char *const ids[] = {"longest", "heaviest", "waited"};
    static const char *const titles[] = {"Longest jobs", "Heaviest jobs",
                                         "Jobs that waited longest"};
    static const char *const captions[] = {
        "The twenty that ran longest.",
        "The twenty that used the most memory, as far as that is known.",
        "The twenty that waited longest, for a token or for memory."};
    const size_t count = recorder->summary.lists[list].count;
    const char *columns[JOB_COLUMNS_MAX + 1];

    if (count == 0)
        return;
    name_columns(recorder, columns);
    begin_table(out, ids[list], titles[list], captions[list], columns);
    for (size_t i = 0; i < count; i++)
        write_job(out, recorder, &recorder->summary.lists[list].jobs[i]);
    end_table(out);
}

static int64_t
weight_of(const struct timeline_gate *gate)
{
    return gate->counts.ran_ns + gate->counts.waited_ns[TIMELINE_FOR_TOKEN] +
           gate->counts.waited_ns[TIMELINE_FOR_MEMORY];
}

static int
compare_gates(const void *a, const void *b)
{
    const struct timeline_gate *const *one = a, *const *other = b;
    const int64_t of_one = weight_of(*one), of_other = weight_of(*other);

    return (of_one < of_other) - (of_one > of_other);
}

static void
write_gate(FILE *out, const struct timeline_gate *gate)
{
    const struct timeline_counts *counts = &gate->counts;

    fprintf(out, "<tr><td>%u</td><th scope=\"row\" class=\"name\">", gate->number);
    chart_put_text(out, gate->name ? gate->name : "a gate");
    fputs("</th>", out);
    put_count_cell(out, counts->jobs);
    put_count_cell(out, counts->failed);
    put_time_cell(out, counts->ran_ns);
    put_time_cell(out, counts->waited_ns[TIMELINE_FOR_TOKEN]);
    put_time_cell(out, counts->waited_ns[TIMELINE_FOR_MEMORY]);
    put_count_cell(out, counts->put_off);
    put_count_cell(out, counts->stopped);
    put_bytes_cell(out, counts->most_bytes);
    fputs("</tr>\n", out);
}

static void
write_gates(FILE *out, const struct timeline *timeline)
{
    static const char *const columns[] = {"No.",
                                          "<Build",
                                          "Jobs",
                                          "Failed",
                                          "Ran",
                                          "Waited for tokens",
                                          "Waited for memory",
                                          "Put off",
                                          "Stopped",
                                          "Heaviest job",
                                          NULL};
    const struct timeline_gate **gates = calloc(timeline->gate_count + 1, sizeof(*gates));
    const struct timeline_gate *gate;
    size_t count = 0;

    if (!gates || timeline->gate_count == 0) {
        free(gates);
        return;
    }
    TAILQ_FOREACH (gate, &timeline->gates, in_timeline)
        gates[count++] = gate;
    qsort(gates, count, sizeof(*gates), compare_gates);
    begin_table(
        out, "builds", "Who waited for what",
        "Each ninja, make or cargo with the jobs that it started; times are those of all its "
        "jobs together.",
        columns);
    for (size_t i = 0; i < count && i < GATES_MAX; i++)
        write_gate(out, gates[i]);
    end_table(out);
    if (count > GATES_MAX)
        fprintf(out, "<p>And %zu more.</p>\n", count - GATES_MAX);
    free(gates);
}

/* --- the page --- */

static void
write_head(FILE *out, const struct recorder *recorder)
{
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>",
          out);
    chart_put_text(out, recorder->command);
    fprintf(out, " - jobwrap</title>\n<style>\n%s</style>\n</head>\n<body>\n<main>\n<h1>", style);
    chart_put_text(out, recorder->command);
    fputs("</h1>\n", out);
}

char *
report_page(const struct recorder *recorder, const struct report *report, unsigned jobs,
            const char *parent, const struct memory_totals *memory)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    if (!out)
        return NULL;
    write_head(out, recorder);
    fprintf(out, "<p>At most %u jobs at once, with tokens from ", jobs);
    chart_put_text(out, parent ? parent : "its own pool");
    fputs(".</p>\n<dl>\n", out);
    put_figures(out, recorder, report);
    if (memory)
        put_memory_figures(out, memory);
    fputs("</dl>\n", out);
    write_tokens(out, recorder, report);
    for (unsigned i = 0; i < recorder->classes.count; i++)
        write_class(out, recorder, report, i);
    write_waiting(out, recorder, report);
    write_memory(out, recorder, report);
    write_gates(out, &recorder->timeline);
    for (enum summary_list list = 0; list < SUMMARY_LISTS; list++)
        write_jobs(out, recorder, list);
    if (recorder->timeline.jobs_seen == 0)
        fputs("<p>No gate has reported jobs.</p>\n", out);
    fputs("</main>\n</body>\n</html>\n", out);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}
