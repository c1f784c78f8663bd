/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Room for the command line of one process after another. All zero: there is none yet. */

#include <sys/types.h>

struct command_line {
    char *text, **words;
};

/* Reads that of a process into line->words, which end with NULL: how many; 0: it has none; -E2BIG: they are too many, or
 * too long; -ENOMEM; or another negative errno. Makes the room if there is none. */
ssize_t command_line_read(struct command_line *line, pid_t pid);
void command_line_free(struct command_line *line);
