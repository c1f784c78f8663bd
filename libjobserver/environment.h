/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What a process is told of its jobserver: MAKEFLAGS, CARGO_MAKEFLAGS, JOBWRAP_FIFO, JOBWRAP_JOBS, JOBWRAP_CLASSES,
 * JOBWRAP_CLASS_RULES and JOBWRAP_CLASS_GATE, written and read here alone; and the one order in which a server is looked for. Functions return 0
 * or a negative errno unless they say otherwise.
 */

#include <stdbool.h>

#include "libjobserver/auth.h"
#include "libjobserver/client.h"

/* --- finding --- */

/* A jobserver that was found. environment_close() frees what it holds. */
struct jobserver {
    struct client *client;    /* NULL: none */
    struct auth auth;         /* how MAKEFLAGS, or the user, named it; else AUTH_NONE */
    bool is_from_environment; /* MAKEFLAGS names one: a client of it has started us */
};

/* For messages, where the functions below return an error and no text. */
#define ENVIRONMENT_WITHHELD                                                                       \
    "make did not pass on the jobserver in MAKEFLAGS (it does for recipes with a '+')"

/* The one that the user names ("fifo:PATH", "R,W", a path); where `named` is NULL, the one in the
 * environment, the user's steved, /dev/steve; the first that there is. What MAKEFLAGS names and is gone
 * (its path, or the two descriptors) gives way to the next.
 *   - 1: found->client is open. *error: NULL, or, to be freed, why the one in MAKEFLAGS has given way.
 *   - 0: there is none.
 *   - a negative errno: the one that is named is not for us. *error, to be freed, says why; NULL: make
 *     withholds it (AUTH_CLOSED), or there is no memory.
 * `found` is to be closed in all three cases. */
int environment_find(const char *named, struct jobserver *found, char **error);
void environment_close(struct jobserver *found);

/* Of these only the one in the environment: that which MAKEFLAGS names; where it names descriptors that
 * are not for us, the FIFO in JOBWRAP_FIFO, of the jobwrap around us, and found->auth is AUTH_NONE: the
 * descriptors, whatever they are by now, are not it. Returns as environment_find(). */
int environment_find_inherited(struct jobserver *found, char **error);

/* Of these only a steved that nobody has to name: the user's ($XDG_RUNTIME_DIR/steve/jobserver), else
 * /dev/steve; the first that answers STEVED_IOC_STATUS, or is a character device that can be opened.
 * NULL: neither. The caller's, as from client_open_path(). */
struct client *environment_find_server(void);
/* The server at `name` has ended: the next one there; or, unless the user has named it, as
 * environment_find_server(). `name`: as client_name() has it. NULL: there is no steved. The caller's. */
struct client *environment_find_next(const char *name, bool is_named);
/* Where the user's steved has its mount, $XDG_RUNTIME_DIR/steve. To be freed; NULL: nowhere. */
char *environment_user_mount(void);

/* How many jobs run at most, implicit slot included, if this jobserver lends all that it has. A steved
 * knows it, and a jobwrap what it has now; of others MAKEFLAGS says it by -jN (`makeflags`), or jobwrap by JOBWRAP_JOBS
 * (`wrapper_jobs`). NULL: not known, or not about this jobserver. 0: nobody can tell. */
unsigned environment_total_jobs(struct client *client, const char *makeflags,
                                const char *wrapper_jobs);
/* What JOBWRAP_JOBS says; 0: nothing (NULL), or nothing that makes sense. */
unsigned environment_wrapper_jobs(const char *wrapper_jobs);

/* What the path of a class's file begins with, before the name of the class: client_open_class(). NULL: we are told of
 * no classes. The environment's. */
const char *environment_classes(void);
/* The same of this server, if it has classes; else NULL. To be freed. */
char *environment_classes_of(struct client *server);
/* The same, or what we are told of, where this server (NULL: there is none) may be below the one that has them: not if it
 * is a steved, or the user has named it. What we are told may be of a server that is no more. To be freed; NULL: none. */
char *environment_classes_around(struct client *server, bool is_named);

/* The classes that whoever serves them at this prefix has, by their numbers; none, if it cannot be asked. */
void environment_list_classes(const char *prefix, struct steved_classes *classes);

/* The file with the rules of classes, JOBWRAP_CLASS_RULES; NULL: none. The environment's. */
const char *environment_class_rules(void);

/* Does somebody around us, a gate or a launcher's shim, see to the tokens of classes? JOBWRAP_CLASS_GATE. */
bool environment_has_class_gate(void);

/* --- telling --- */

/* JOBWRAP_CLASS_GATE, for what runs there; not for what starts jobs of its own there. */
int environment_set_class_gate(bool has_one);

/* JOBWRAP_CLASS_RULES, as an absolute path. */
int environment_set_class_rules(const char *path);
/* JOBWRAP_CLASSES; NULL: there are none. */
int environment_set_classes(const char *prefix);

/* `variable` becomes `old` (NULL: "") with this jobserver and -jN instead of any other: auth_replace(). */
int environment_set_flags(const char *variable, const char *old, const struct auth *auth,
                          unsigned jobs);

/* All four variables name the jobserver `auth`, which is the FIFO at `path` with `jobs` tokens (implicit
 * slot included); CARGO_MAKEFLAGS by its path, whatever `auth` is. */
int environment_name_jobserver(const struct auth *auth, const char *path, unsigned jobs);

/* For a jobserver at a path (AUTH_FIFO) that MAKEFLAGS names by descriptors, which make does not give to
 * all of its jobs: where to find it all the same, for our own tools (JOBWRAP_FIFO) and for cargo. */
int environment_publish_path(const struct auth *auth, unsigned jobs);

/* The two ends of the jobserver at `path`, to be inherited: AUTH_PIPE, blocking, and the highest numbers
 * that are free below 1024 and below the limit of descriptors; the caller closes them. Of a FIFO they are two descriptions, so that nobody's O_NONBLOCK at one end changes
 * the other; of a server's file one: who returns a token through the description that it came from is
 * known. On an error *error as from client_open(). */
int environment_open_ends(const char *path, struct auth *ends, char **error);
