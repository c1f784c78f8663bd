/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Programs on PATH: which version they are, and which one a shim stands before.
 *
 * A shim becomes the real program in place, so that it keeps its pid. What it becomes may be another
 * copy of a shim (of a build tree, and an installed one), which then must only pass on. So the pid,
 * its start time, the number of such steps, the place on PATH and what kind of shim it was
 * (program_invocation_short_name) are in JOBSERVER_SHIM: there it means the process itself, and nothing
 * to the jobs that inherit it.
 */

#include <stdbool.h>
#include <stddef.h>

/* What `path --version` prints, with `name` as its argv[0] and no MAKEFLAGS (a make 4.3 would stop at
 * a `fifo:`): the beginning, as much as comes within three seconds, cut to `size` with the NUL. 0, or
 * a negative errno: it could not be asked. What cannot be run answers "". What is asked may be a script
 * that runs one of our programs, which then would ask in its turn, and so on: it and what it starts
 * have JOBWRAP_ASKED in their environment, and there the answer is -ELOOP. */
int program_ask_version(const char *path, const char *name, char *answer, size_t size);
/* Are we below such a question? Then become the program that is asked, and do nothing else. */
bool program_is_asked(void);
/* The text that `make --version` prints: is it a GNU make older than 4.4? */
bool make_version_is_old(const char *text);

/* A script called make that runs `jobwrap make` runs itself. For programs that stand around others:
 * one more is (JOBWRAP_LEVEL). 0; or -ELOOP: too many are. */
#define PROGRAM_LEVEL_MAX 100u
int program_enter_level(void);

/* Where the running program lies, without links. To be freed; NULL: nobody knows. */
char *program_path(void);
/* The running program itself, for execveat(2), whatever lies there by now: a descriptor or a negative errno. */
int program_open(void);
/* The directory that the running program lies in, without links. To be freed; NULL: nobody knows. */
char *program_directory(void);

/* The name that we were executed by, without its directory: of a link, the link's. Valid for ever. */
const char *program_executed_name(void);

/* The first executable file of that name on PATH. To be freed; NULL: there is none. */
char *program_find(const char *name);

/* The program that a shim called `name` stands before. Where the environment variable `variable` (NULL: none) is
 * set and not empty, it is the path that it holds. Otherwise the first on PATH behind the place by
 * which the running program was executed; if there is none, the first on PATH that is not the running program. 0 and
 * *path, to be freed; or a negative errno, and *error, to be freed (NULL: out of memory), says why. */
int program_find_real(const char *name, const char *variable, char **path, char **error);
/* The same for a shim that can do nothing without it: says why there is none, and ends with a shell's status. */
char *program_need_real(const char *name, const char *variable);

/* How many shims this process has been before; if any, all that is to be done has been done. */
unsigned program_shim_hops(void);
/* Notes one such step, which leads to `path`, by way of another program perhaps. 0 or a negative errno. */
int program_note_step(const char *path);
/* Becomes `path`, and notes that; or says why it cannot, and ends with a shell's status. */
_Noreturn void program_become_real(const char *path, char **argv);
