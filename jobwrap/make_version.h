/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <stdbool.h>

/* Is a GNU make older than 4.4 about, for which `fifo:` is a fatal error: PATH's, or one of those that
 * cmake calls by absolute path? Asks each of them by --version. */
bool make_version_wants_pipe(void);
