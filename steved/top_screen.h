/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The screen of stevectl top: a terminal that ncurses moves about in. What is shown is given; nothing is asked. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libjobserver/protocol.h"
#include "steved/top_builds.h"
#include "steved/top_history.h"
#include "steved/top_nodes.h"

/* Of a build, besides: */
struct top_row {
    const struct top_build *build;
    const char *text; /* what it is; printable */
    bool is_stopped;  /* by a signal */
    struct steved_account account;
    bool has_memory; /* `account` tells it */
};

struct top_view {
    const char *server;
    const struct steved_status *status;
    const struct steved_throttle *throttle; /* NULL: the server knows no limits */
    const struct steved_classes *classes;
    const struct top_nodes *nodes;
    const struct top_history *history;
    const struct top_row *rows;
    size_t row_count, selected, first; /* first: that is shown; see top_screen_rows() */
    enum top_order order;
    bool shows_help;
    bool is_silent;      /* what is shown is what was: the server does not answer */
    bool is_gone;        /* likewise: it has ended */
    const char *message; /* "": none */
};

enum top_key {
    TOP_KEY_NONE,
    TOP_KEY_END, /* of input: nobody is there any more */
    TOP_KEY_UP,
    TOP_KEY_DOWN,
    TOP_KEY_QUIT,
    TOP_KEY_HELP,
    TOP_KEY_MORE_JOBS,
    TOP_KEY_FEWER_JOBS,
    TOP_KEY_MORE_WEIGHT,
    TOP_KEY_LESS_WEIGHT,
    TOP_KEY_PAUSE,
    TOP_KEY_SORT,
    TOP_KEY_REDRAW,
    TOP_KEY_OTHER,
};

/* NULL, or why there cannot be a screen: no terminal, or one that cannot move its cursor. */
const char *top_screen_check(void);
/* After that. false: out of memory. */
bool top_screen_open(void);
/* The terminal is as it was before. */
void top_screen_close(void);
/* It may have another size. */
void top_screen_resize(void);
/* How many rows of builds a screen of this size has room for, beside those of the classes. */
size_t top_screen_rows(const struct steved_classes *classes);
void top_screen_draw(const struct top_view *view);
/* The next that was typed. */
enum top_key top_screen_key(void);
