/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>

/*
 * Nobody serves yet: starts the user's own steved ($XDG_RUNTIME_DIR/steve), which all of the user's later jobwraps
 * find, and which ends by itself a minute after the last of them. Whoever starts one at the same time has the same:
 * steved sees to that.
 *
 * Returns when it serves, or when it has turned out that it will not: true: look for it (it may be another one's). false: there
 * is none to be had here; if `is_verbose`, that is said, and why.
 */
bool start_steved(bool is_verbose);
