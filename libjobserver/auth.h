/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * How a jobserver is named in the environment: --jobserver-auth in MAKEFLAGS (GNU make's manual,
 * "POSIX Jobserver Interaction"), --jobserver-fds (make < 4.2), -J R,W (bmake).
 */

#include <stdbool.h>

enum auth_kind {
    AUTH_NONE,   /* no jobserver is named */
    AUTH_FIFO,   /* fifo:PATH */
    AUTH_PIPE,   /* R,W: descriptors that the process inherited */
    AUTH_CLOSED, /* R,W with a negative number: make withholds its jobserver from this command */
};

/* Owned by the caller; auth_clear() frees what it holds. */
struct auth {
    enum auth_kind kind;
    char *path;            /* AUTH_FIFO, else NULL */
    int read_fd, write_fd; /* AUTH_PIPE and AUTH_CLOSED, else -1 */
};

void auth_clear(struct auth *auth);

/* Reads the value of MAKEFLAGS (NULL and "" name none). Of several the last wins, as in make. Words
 * are separated by unquoted blanks; make writes a blank, backslash or $ of a word as "\ ", "\\" and
 * "$$". 0, or -EINVAL with *error (to be freed) quoting the part that makes no sense, or -ENOMEM
 * with *error NULL; `auth` is written only on success. */
int auth_parse(const char *makeflags, struct auth *auth, char **error);
/* Only the kind of what it reads; AUTH_NONE, too, for what makes no sense. */
enum auth_kind auth_kind_of(const char *makeflags);

/* What a user names a jobserver by: "fifo:PATH", "R,W" or a path. 0 or -ENOMEM; `auth` is written only on
 * success. */
int auth_parse_named(const char *text, struct auth *auth);

/* "--jobserver-auth=fifo:PATH" (or R,W), quoted as make does; "" for AUTH_NONE. To be freed; NULL:
 * out of memory. */
char *auth_format(const struct auth *auth);

/* `makeflags` with every option that names a jobserver, and every -j, -jN, -j N, --jobs and
 * --jobs=N, taken out, and then "-jN" (if jobs > 0: make wants to see that it is parallel) and the
 * option for `auth` put in, before a "--" that ends the options; all else stays byte for byte. auth
 * of kind AUTH_NONE puts in nothing. To be freed; NULL: out of memory. */
char *auth_replace(const char *makeflags, const struct auth *auth, unsigned jobs);

/* The N of the -jN in `makeflags` that counts, which is the last one; make writes it for the clients of
 * its jobserver: so many jobs it has, implicit slot included. 0: there is none, or no number. */
unsigned auth_jobs(const char *makeflags);

/* What make reads in a command line of its own, which is no MAKEFLAGS: words are as they are, and the
 * first is the command's name. */
struct auth_command {
    bool builds;          /* no -n, -q, -p, -h, -v or a longer name of these */
    bool makes_sense;     /* make does not refuse one of the -j */
    bool has_jobs;        /* -jN, -j N, --jobs=N, or one without a number */
    unsigned jobs;        /* the N of the last; 0: it has none, and stands for any number */
    bool names_jobserver; /* by --jobserver-auth or --jobserver-fds */
};

/* 0 or -ENOMEM; `command` is written only on success. */
int auth_read_command(char *const argv[], struct auth_command *command);
/* The same command line without its -j. To be freed, by one free(); NULL: out of memory. */
char **auth_drop_jobs(char *const argv[]);
