/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "jobwrap/series.h"

#include <string.h>

void
series_init(struct series *series, int64_t begin_ns)
{
    *series = (struct series){.begin_ns = begin_ns, .step_ns = SERIES_FIRST_STEP_NS};
}

/* --- steps --- */

static void
widen(struct series_step *step, double least, double most)
{
    if (step->known_ns == 0 || least < step->least)
        step->least = least;
    if (step->known_ns == 0 || most > step->most)
        step->most = most;
}

static struct series_step
merged(const struct series_step *a, const struct series_step *b)
{
    struct series_step both = *a;

    if (b->known_ns == 0)
        return both;
    widen(&both, b->least, b->most);
    both.integral += b->integral;
    both.known_ns += b->known_ns;
    return both;
}

/* Each two become one of twice the length. */
static void
coarsen(struct series *series)
{
    for (size_t i = 0; i < SERIES_STEPS / 2; i++)
        series->steps[i] = merged(&series->steps[2 * i], &series->steps[2 * i + 1]);
    memset(&series->steps[SERIES_STEPS / 2], 0, sizeof(series->steps) / 2);
    series->step_ns *= 2;
}

/* Its value from one time to another. */
static void
add(struct series *series, int64_t from_ns, int64_t to_ns)
{
    while (from_ns < to_ns) {
        const int64_t number = (from_ns - series->begin_ns) / series->step_ns;
        const int64_t end_ns = series->begin_ns + (number + 1) * series->step_ns;
        const int64_t part_ns = (to_ns < end_ns ? to_ns : end_ns) - from_ns;
        struct series_step *step = &series->steps[number];
        widen(step, series->value, series->value);
        step->integral += series->value * (double)part_ns;
        step->known_ns += part_ns;
        from_ns += part_ns;
    }
}

void
series_end(struct series *series, int64_t now_ns)
{
    if (!series->has_value || now_ns <= series->since_ns)
        return;
    while ((now_ns - series->begin_ns) / series->step_ns >= SERIES_STEPS)
        coarsen(series);
    add(series, series->since_ns, now_ns);
    series->since_ns = now_ns;
}

void
series_note(struct series *series, double value, int64_t now_ns)
{
    if (now_ns < series->begin_ns)
        now_ns = series->begin_ns;
    series_end(series, now_ns);
    if (!series->has_value)
        series->since_ns = now_ns;
    series->has_value = true;
    series->value = value;
}

/* --- reading --- */

size_t
series_count(const struct series *series)
{
    size_t count = SERIES_STEPS;

    while (count > 0 && series->steps[count - 1].known_ns == 0)
        count--;
    return count;
}

double
series_mean(const struct series_step *step)
{
    return step->integral / (double)step->known_ns;
}

double
series_integral(const struct series *series)
{
    double integral = 0;

    for (size_t i = 0; i < SERIES_STEPS; i++)
        integral += series->steps[i].integral;
    return integral;
}

double
series_highest(const struct series *series)
{
    double highest = 0;

    for (size_t i = 0; i < SERIES_STEPS; i++)
        if (series->steps[i].known_ns > 0 && series->steps[i].most > highest)
            highest = series->steps[i].most;
    return highest;
}
