/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "jobwrap/chart.h"

#include <inttypes.h>

#include "libjobserver/program/printable.h"

#define WIDTH 960.0
#define HEIGHT 240.0
#define LEFT 56.0
#define RIGHT 12.0
#define TOP 12.0
#define BOTTOM 28.0
#define TICKS_WIDE 8.0 /* about so many on each axis */
#define TICKS_HIGH 4.0
#define NS_A_SECOND 1e9

/* --- text --- */

void
chart_put_text(FILE *out, const char *text)
{
    const char *shown;

    for (size_t size; *text; text += size) {
        size = printable_first(text, &shown);
        switch (*text) {
        case '&':
            fputs("&amp;", out);
            break;
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        case '\'':
            fputs("&#39;", out);
            break;
        default:
            fwrite(shown, 1, size, out);
        }
    }
}

void
chart_print_time(char text[CHART_TIME_SIZE], int64_t time_ns)
{
    const double seconds = (double)time_ns / NS_A_SECOND;
    const int64_t whole = (int64_t)(seconds + 0.5);

    if (seconds < 10)
        snprintf(text, CHART_TIME_SIZE, "%.2f s", seconds);
    else if (seconds < 120)
        snprintf(text, CHART_TIME_SIZE, "%.0f s", seconds);
    else if (seconds < 7200)
        snprintf(text, CHART_TIME_SIZE, "%" PRId64 ":%02d min", whole / 60, (int)(whole % 60));
    else
        snprintf(text, CHART_TIME_SIZE, "%" PRId64 ":%02d h", whole / 3600,
                 (int)(whole % 3600 / 60));
}

/* --- scales --- */

struct scale {
    double highest, step;
};

/* 1, 2 or 5 times a power of ten, so that there are about so many. */
static double
round_step(double highest, double ticks)
{
    double step = 1;

    while (step * ticks < highest)
        step *= 10;
    while (step * ticks > highest * 10)
        step /= 10;
    if (step / 5 * ticks >= highest)
        return step / 5;
    return step / 2 * ticks >= highest ? step / 2 : step;
}

/* Counts have no parts. */
static struct scale
scale_of_values(const struct chart *chart)
{
    struct scale scale = {.highest = 1};

    for (size_t i = 0; i < chart->line_count; i++) {
        const double highest = series_highest(chart->lines[i].series) / chart->divisor;
        if (highest > scale.highest)
            scale.highest = highest;
    }
    scale.step = round_step(scale.highest, TICKS_HIGH);
    if (chart->divisor == 1 && scale.step < 1)
        scale.step = 1;
    const double above = scale.highest / scale.step;
    scale.highest = scale.step * ((double)(int64_t)above + (above > (double)(int64_t)above));
    return scale;
}

/* Of an hour people want parts that are not tens. */
static struct scale
scale_of_time(const struct chart *chart)
{
    static const double steps[] = {10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400};
    const double highest = (double)(chart->length_ns > 0 ? chart->length_ns : 1) / NS_A_SECOND;
    struct scale scale = {.highest = highest, .step = round_step(highest, TICKS_WIDE)};

    for (size_t i = 0; scale.step >= 10 && i < sizeof(steps) / sizeof(steps[0]); i++)
        if (steps[i] * TICKS_WIDE >= highest) {
            scale.step = steps[i];
            break;
        }
    return scale;
}

static double
x_of(const struct scale *time, double seconds)
{
    return LEFT + (WIDTH - LEFT - RIGHT) * (seconds < time->highest ? seconds / time->highest : 1);
}

static double
y_of(const struct scale *values, double value)
{
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value / values->highest);
}

/* --- axes --- */

static void
write_values_axis(FILE *out, const struct chart *chart, const struct scale *values)
{
    const int digits = values->step < 1 ? 1 : 0;

    for (int i = 0; i * values->step <= values->highest * 1.001; i++) {
        const double y = y_of(values, i * values->step);
        fprintf(out, "<path class=\"grid\" d=\"M%.0f %.1fH%.0f\"/>", LEFT, y, WIDTH - RIGHT);
        fprintf(out, "<text x=\"%.0f\" y=\"%.1f\" text-anchor=\"end\">%.*f%s%s</text>\n", LEFT - 6,
                y + 4, digits, i * values->step, *chart->unit ? " " : "", chart->unit);
    }
}

static void
write_time_axis(FILE *out, const struct scale *time)
{
    char text[CHART_TIME_SIZE];

    for (int i = 0; i * time->step <= time->highest; i++) {
        const double x = x_of(time, i * time->step);
        chart_print_time(text, (int64_t)(i * time->step * NS_A_SECOND));
        if (i == 0)
            snprintf(text, sizeof(text), "0");
        fprintf(out, "<path class=\"grid\" d=\"M%.1f %.0fv4\"/>", x, HEIGHT - BOTTOM);
        fprintf(out, "<text x=\"%.1f\" y=\"%.0f\" text-anchor=\"%s\">%s</text>\n", x,
                HEIGHT - BOTTOM + 18, x > WIDTH - 40 ? "end" : "middle", text);
    }
}

/* --- lines --- */

static double
value_of(const struct chart_line *line, const struct series_step *step)
{
    switch (line->value) {
    case CHART_LEAST:
        return step->least;
    case CHART_MOST:
        return step->most;
    case CHART_MEAN:
        break;
    }
    return series_mean(step);
}

/* Stairs from one step that is known to the last before one that is not. */
static size_t
write_stairs(FILE *out, const struct chart *chart, const struct chart_line *line, size_t i,
             const struct scale *values, const struct scale *time)
{
    const struct series *series = line->series;
    const double step_s = (double)series->step_ns / NS_A_SECOND, base = y_of(values, 0);
    double y, former = -1;

    fprintf(out, "M%.1f ", x_of(time, (double)i * step_s));
    if (line->shape == CHART_AREA)
        fprintf(out, "%.1f", base);
    for (; i < SERIES_STEPS && series->steps[i].known_ns > 0; i++) {
        y = y_of(values, value_of(line, &series->steps[i]) / chart->divisor);
        if (former < 0 && line->shape == CHART_LINE)
            fprintf(out, "%.1f", y);
        else if (y != former)
            fprintf(out, "V%.1f", y);
        fprintf(out, "H%.1f", x_of(time, (double)(i + 1) * step_s));
        former = y;
    }
    if (line->shape == CHART_AREA)
        fprintf(out, "V%.1fZ", base);
    return i;
}

static void
write_line(FILE *out, const struct chart *chart, const struct chart_line *line,
           const struct scale *values, const struct scale *time)
{
    size_t i = 0;

    fprintf(out, "<path class=\"%s %s\" d=\"", line->shape == CHART_AREA ? "area" : "line",
            line->style);
    while (i < SERIES_STEPS)
        if (line->series->steps[i].known_ns == 0)
            i++;
        else
            i = write_stairs(out, chart, line, i, values, time);
    fputs("\"/>\n", out);
}

static void
write_legend(FILE *out, const struct chart *chart)
{
    fputs("<figcaption><ul class=\"legend\">", out);
    for (size_t i = 0; i < chart->line_count; i++) {
        const struct chart_line *line = &chart->lines[i];
        const bool is_area = line->shape == CHART_AREA;
        fprintf(out,
                "<li><svg viewBox=\"0 0 24 12\" aria-hidden=\"true\"><path class=\"%s %s\" "
                "d=\"%s\"/></svg>%s</li>",
                is_area ? "area" : "line", line->style, is_area ? "M0 1H24V11H0Z" : "M0 6H24",
                line->name);
    }
    fputs("</ul></figcaption>\n", out);
}

void
chart_write(FILE *out, const struct chart *chart)
{
    const struct scale values = scale_of_values(chart), time = scale_of_time(chart);

    fprintf(out,
            "<figure tabindex=\"0\" aria-labelledby=\"%s-title\">\n"
            "<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-labelledby=\"%s-title "
            "%s-description\">\n",
            chart->id, WIDTH, HEIGHT, chart->id, chart->id);
    fprintf(out, "<title id=\"%s-title\">%s</title>", chart->id, chart->title);
    fprintf(out, "<desc id=\"%s-description\">%s</desc>\n", chart->id, chart->description);
    write_values_axis(out, chart, &values);
    for (size_t i = 0; i < chart->line_count; i++)
        write_line(out, chart, &chart->lines[i], &values, &time);
    write_time_axis(out, &time);
    fputs("</svg>\n", out);
    write_legend(out, chart);
    fputs("</figure>\n", out);
}
