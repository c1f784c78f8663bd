/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Numbers over time as SVG within a page of HTML, whose style sheet has the classes. */

#include <stdio.h>

#include "jobwrap/series.h"

enum chart_shape { CHART_AREA, CHART_LINE };
enum chart_value { CHART_MEAN, CHART_LEAST, CHART_MOST }; /* of what is drawn as one */

struct chart_line {
    const struct series *series;
    const char *name;  /* as the legend has it */
    const char *style; /* its class */
    enum chart_shape shape;
    enum chart_value value;
};

struct chart {
    const char *id;    /* of the page no other has it */
    const char *title; /* both are read to those who do not see it */
    const char *description;
    const char *unit; /* of the numbers when they are divided by `divisor` */
    double divisor;
    int64_t length_ns; /* of the time that is shown */
    size_t line_count;
    const struct chart_line *lines; /* the first is drawn first; all have begun at the same time */
};

void chart_write(FILE *out, const struct chart *chart);

/* What stands for itself in HTML, in attributes as well; what cannot be shown is '?'. */
void chart_put_text(FILE *out, const char *text);
/* A time as people read it: "0.25 s", "12 s", "3:05 min", "2:10 h". */
#define CHART_TIME_SIZE 32
void chart_print_time(char text[CHART_TIME_SIZE], int64_t time_ns);
