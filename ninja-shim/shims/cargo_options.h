/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* The command line of cargo, as far as the shim needs it. Pure. */

#include <stdbool.h>

struct cargo_options {
    bool builds;   /* its command runs compilers */
    unsigned jobs; /* of -j; 0: none is given, or one that is relative (-j-1, -j default) */
};

/* argv: with its own name first, and a NULL at the end. */
void cargo_options_read(struct cargo_options *options, char *const *argv);
