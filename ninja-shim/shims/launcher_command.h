/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What a launcher of a compile farm is asked to do, as its command line says. Pure. */

#include <stdbool.h>

/* Does it compile one file, which can be done elsewhere? Not what asks, preprocesses, links, or is about the launcher
 * itself. `argv` ends with NULL. */
bool launcher_compiles(char *const argv[]);
