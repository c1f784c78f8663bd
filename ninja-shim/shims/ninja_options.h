/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What of ninja's command line matters to the gate. */

#include <stdbool.h>

struct ninja_options {
    bool is_build;             /* false: it runs no job (-t, -n, -h, --version, -d list, -w list) */
    bool has_jobs;             /* by -j; else it is ninja's default */
    unsigned jobs;             /* 0: -j0, no limit */
    unsigned failures_allowed; /* -k, 1 if not given; 0: no limit */
    double load_max;           /* -l; 0: none */
    int jobs_end;              /* where in argv another -j wins: behind the last one, else 1 */
};

/* argv is what main() got, one word at least. flags: NULL for ninja; for samurai, which takes no
 * option behind the first operand, the value of SAMUFLAGS, "" if there is none. What ninja refuses
 * is no error here, and neither is what only a newer one knows: it builds, as far as we know, and
 * shall say so itself. 0 or -ENOMEM. */
int ninja_options_read(struct ninja_options *options, int argc, char *const *argv,
                       const char *flags);

/* argv with one more word, a "-jN" that wins over every -j that is there. The caller frees the
 * array; word's text is in it, the words of argv stay where they are. NULL: no memory. */
char **ninja_options_insert_jobs(const struct ninja_options *options, int argc, char *const *argv,
                                 const char *word);
