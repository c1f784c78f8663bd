/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Programs of ours that a shim becomes in the place of the real one. */

#include <stdbool.h>

/* The path of jobwrap or jobgate: that of the build tree which the running program lies in, the
 * installed one, or the first on PATH. To be freed; NULL: there is none. */
char *ours_find(const char *name);

/* The variable says whether a shim makes an explicit -jN a cap: "yes", "no", or it is not set or empty: yes.
 * Ends the program for anything else. */
bool ours_caps(const char *variable);

/* Becomes `jobwrap -jN --style=STYLE -- command...`, by the path that ours_find() has found. Returns a
 * negative errno. */
int ours_become_capped(const char *jobwrap, unsigned jobs, const char *style, char **command);
