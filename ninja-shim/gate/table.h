/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Tables of who is held back (uthash). Whoever cannot be noted cannot be held back, and must not run: without memory
 * the sidecar ends, as it would be killed, and its jobs with it.
 */

#include <stddef.h>

/* Says so, and ends the process. */
_Noreturn void table_out_of_memory(void);
/* Zeroed memory for one who is to be noted; never NULL. */
void *table_new(size_t size);

#define uthash_fatal(text) table_out_of_memory()
#include <uthash.h>
