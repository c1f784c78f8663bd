/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What a job is, for its memory, from its command line: under which key its peak is remembered, so that
 * it is found again in the next version of the package, in another directory, with other options; and
 * whether it may be killed and run again. Pure: no I/O. It looks into `sh -c`, past what only prepares
 * (cd, ":", VAR=x) and past launchers (ccache, env, nice, libtool).
 *
 * Command lines are anybody's: of any length and with anything in them. What is looked at is bounded, and what
 * is put into a key is printable.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEMORY_PACKAGE_SIZE 64
#define MEMORY_TOOL_SIZE 32
#define MEMORY_PATH_SIZE 192

struct memory_key {
    char package[MEMORY_PACKAGE_SIZE]; /* without version; "": it has no name */
    char tool[MEMORY_TOOL_SIZE]; /* "cc", "c++", "link", "ar", "rustc"; else the program's name */
    char
        path[MEMORY_PATH_SIZE]; /* what it writes, else what it reads, below the build's root; "" */
    uint64_t command;           /* a hash of all of the command line */
};

/* Where a job runs. */
struct memory_place {
    const char *root;      /* of its build: where the make or ninja was started; absolute */
    const char *directory; /* its own; absolute */
    const char *package;   /* if somebody knows its name (PN in an ebuild); NULL: the root's */
};

/* argv: as the job executes it, with a NULL at the end. false: there is no memory; then *key is empty, and it
 * may not run twice.
 * *may_run_twice: all commands of the line are known to do the same again whatever a killed run has left
 * behind: they write their output anew. What reads the standard input, appends, or depends on the shell's
 * process is none of these, nor is what nobody knows. The caller must see to the rest: a job that shares the
 * user's terminal is not run twice. */
bool memory_key_of(const struct memory_place *place, char *const argv[], struct memory_key *key,
                   bool *may_run_twice);

/* cargo hears from a rustc, long before that ends, that the metadata of its crate are written, and then starts what needs
 * them. It ends by itself if it hears so twice. true: a job of this argv tells so; then *path is the file with them,
 * maybe relative to the job's directory. When that is there, the job must not be run again. */
bool memory_announcement_of(char *const argv[], char *path, size_t size);

/* What a command line does with jobs. */
enum memory_part {
    MEMORY_WORKS, /* it is one */
    MEMORY_STARTS_JOBS, /* it is called as one of those that start them: make, cargo, ninja and the like */
    MEMORY_LEADS_TO_JOBS, /* a shell's line, with such a one in it */
};

/* argv: as for memory_key_of(). */
enum memory_part memory_part_of(char *const argv[]);

/* What a command line does, in its order. Texts are valid during the call. */
enum memory_visited {
    MEMORY_LINE_RUNS, /* a program: the name of its file, without the directory */
    MEMORY_LINE_LINKS, /* the same, and it makes a program, or a library that is loaded, from objects and libraries */
    MEMORY_LINE_ASSIGNS, /* NAME=VALUE, for a program that it runs */
};
typedef void memory_visit(enum memory_visited what, const char *text, void *visitor);
/* Visits all that the line runs, and launchers before what they launch: also where the compiler's directory is called
 * after the launcher, which it is a link to then. Commands whose output becomes part of the line do not count. argv: as
 * for memory_key_of(). false: there is no memory, and some may be missing. */
bool memory_programs_of(char *const argv[], memory_visit *visit, void *visitor);
