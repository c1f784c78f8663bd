/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Which classes of tokens a command line needs. Pure: no I/O.
 *
 * Rules are text, one a line: "CLASS instead|besides NAME...", with comments from '#' on. A job that runs a program
 * called NAME needs a token of CLASS, instead of one of the cpu or besides it. The name "@link" stands for whatever
 * links: a compiler that is given objects, ld, rustc that makes a program.
 *
 * These are built in, and what a file says of a class takes the place of what is built in for it:
 *     remote instead icecc distcc recc rewrapper gomacc sccache
 *     link besides @link
 *
 * What links is done at home, whatever launches it: then no token of a class replaces that of the cpu. A line that starts
 * a build besides (`cc a.o -o a && ninja -C sub`) would hold its token while that build waits for the same class: neither
 * is said of it, and only rules that name its programs as "besides" count.
 */

#include <stdbool.h>

/* Of all rules, those that are built in included. */
#define CLASS_RULES_CLASSES_MAX 16
#define CLASS_RULES_LINE_SIZE 64

struct class_rules;

/* Why a text has been refused. */
struct class_rules_error {
    unsigned line; /* 1 is the first; 0: there is no memory */
    char word
        [CLASS_RULES_LINE_SIZE]; /* what is wrong, cut and made printable; "": something is missing */
    const char *reason;
};

/* What is built in, and the rules in `text` (NULL: none). NULL: *error says why. To be freed by class_rules_free(). */
struct class_rules *class_rules_create(const char *text, struct class_rules_error *error);
void class_rules_free(struct class_rules *rules);

/* The classes that there are rules for, numbered from 0. */
unsigned class_rules_count(const struct class_rules *rules);
const char *class_rules_name(const struct class_rules *rules, unsigned number);
/* Is there a job that needs it instead of the cpu? */
bool class_rules_is_instead(const struct class_rules *rules, unsigned number);
/* Or besides it? */
bool class_rules_is_besides(const struct class_rules *rules, unsigned number);

/* Sets of classes: bit i is class number i. */
struct class_needs {
    unsigned instead; /* all of these take the place of the cpu's token */
    unsigned besides;
};
/* What the job's environment has as CCACHE_PREFIX: programs, parted by blanks, that ccache runs before the compiler. To be
 * freed; NULL: nothing. */
typedef char *class_prefix_fn(void *argument);
/* argv: as a job executes it, with a NULL at the end. `prefix` (NULL: nobody knows) is called if one of its programs is
 * ccache. Where there is no memory it needs the cpu alone. */
struct class_needs class_rules_needs(const struct class_rules *rules, char *const argv[],
                                     class_prefix_fn *prefix, void *argument);
