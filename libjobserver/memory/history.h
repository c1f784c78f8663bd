/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What jobs have needed, in a file that all builds of a user share; and what is expected of the next from
 * that. Without the file it knows only what it has been told since it was opened: a file that is
 * broken, locked, somebody else's, of a newer version, or on a full disk costs history, and never a build.
 *
 * Rows that are old go, and there are so many at most that the file stays below 64 MiB. Times (`now_s`) are
 * seconds of the real time clock.
 */

#include <stdint.h>

#include "libjobserver/memory/command.h"
#include "libjobserver/memory/expectation.h"

#define MEMORY_HISTORY_ROWS_MAX 100000
#define MEMORY_HISTORY_AGE_MAX_S (INT64_C(200) * 24 * 3600)

struct memory_history;

/* Names a directory that several users may share: each has one of his own in it, called by his number. */
#define MEMORY_HISTORY_VARIABLE "JOBWRAP_CACHE_DIR"

/* $JOBWRAP_CACHE_DIR/UID/memory.sqlite if that is set, else $XDG_CACHE_HOME/jobwrap/memory.sqlite, by default in
 * ~/.cache. To be freed. NULL: there is no such directory in the environment, or no memory. */
char *memory_history_path(void);

/* path: NULL, as if it were broken, but nothing is said of it. The directory is made if the one around it is
 * there and is the user's, or root's and sticky. It must be the user's own. NULL: out of memory. To be opened after the last fork. */
struct memory_history *memory_history_open(const char *path);
/* Writes what is left to be written. A complaint that nobody has taken is lost: memory_history_flush() and
 * memory_history_complaint() come first. */
void memory_history_close(struct memory_history *history);

/* What is wrong with the file, once, to be freed: "PATH: REASON". NULL: nothing, or it has been told. */
char *memory_history_complaint(struct memory_history *history);

/* What this job will need. */
struct memory_expectation memory_history_expect(struct memory_history *history,
                                                const struct memory_key *key);
/* The same for one of which nothing is in the file: by its tool alone, which learns while the build runs. Costs
 * next to nothing, so that all that wait can be asked for when one has ended. */
struct memory_expectation memory_history_guess(struct memory_history *history,
                                               const struct memory_key *key);

/* It has run to its end, by itself and with success, and has needed so much. It is written with others
 * later, by memory_history_flush() or when there are many: that may wait for the disk, and is to be done while there
 * is memory enough. */
void memory_history_note(struct memory_history *history, const struct memory_key *key,
                         uint64_t peak_bytes, int64_t now_s);
/* Writes it now; waits for up to patience_ms for another process that writes. What could not be written for that
 * is kept for the next time; patience_is_over: then it is lost, and complained of. */
void memory_history_flush(struct memory_history *history, int patience_ms, bool patience_is_over);

/* --- for the user --- */

/* As it is in the file, whoever wrote that. */
struct memory_history_row {
    const char *package, *tool, *path;
    uint64_t peak_bytes;
    int64_t ended_s;
};

/* All of the file, the newest first, until `show` returns false. 0, or -EIO: the complaint says why. */
int memory_history_list(struct memory_history *history,
                        bool (*show)(const struct memory_history_row *row, void *argument),
                        void *argument);
/* Forgets all of a package (NULL: all). Returns how many rows, or -EIO. */
int memory_history_forget(struct memory_history *history, const char *package);
