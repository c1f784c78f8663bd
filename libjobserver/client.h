/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Taking tokens from a jobserver of any kind, and giving them back. A client has open file
 * descriptions of its own wherever the jobserver can be reopened (by its path, or through
 * /proc/self/fd), so that O_NONBLOCK is never set or cleared under somebody else's feet.
 *
 * Functions return 0 or a negative errno unless they say otherwise.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "libjobserver/auth.h"
#include "libjobserver/protocol.h"

enum client_kind {
    CLIENT_FIFO,   /* bytes in a FIFO or pipe; nobody keeps account */
    CLIENT_SERVER, /* keeps accounts: steved's file (protocol.h), or a jobwrap's FIFO (control.h) */
    CLIENT_DEVICE, /* some other server's file: read, write and poll only */
};

struct client;

/* Opens the jobserver that `auth` names (AUTH_FIFO or AUTH_PIPE). On an error *error is a line to be
 * freed that names the operation, the thing and the reason (NULL: out of memory); -EINVAL: what is
 * there is no jobserver. For AUTH_PIPE the inherited descriptors must be two ends of one FIFO or
 * pipe, or be open on one server's file (-EBADF: make 4.3 shows numbers that it has closed, and they
 * may be something else's by now). */
int client_open(const struct auth *auth, struct client **client, char **error);
/* The same for a path. */
int client_open_path(const char *path, struct client **client, char **error);
/* The same, but for the FIFO or file alone: at a jobwrap's FIFO it is a plain client like make. */
int client_open_file(const char *path, struct client **client, char **error);
/* The pool of a class at a server (STEVED_IOC_CLASSES), whose file is at `prefix` + `name`: environment_classes(). -ENOENT,
 * and *error is NULL: there is no such class, or nobody keeps accounts of it. Its tokens never are implicit slots: who
 * claims or pays by it gets -EINVAL. */
int client_open_class(const char *prefix, const char *name, struct client **client, char **error);
/* Returns no token: whoever acquired them releases them first. */
void client_close(struct client *client);

/* Has this error of a client's told that its server is no more? */
bool client_is_gone(int error);
/* `client` is from now on what `other` was, which ends; so does what `client` was. */
void client_replace(struct client *client, struct client *other);
/* For another process (a keeper) that has the same client, of a server's file: `file`, which is client_file() of its
 * new one, takes the place of the old. Owns `file`. 0 or a negative errno. */
int client_replace_file(struct client *client, int file);

enum client_kind client_kind(const struct client *client);
/* A server that is a jobwrap: one that borrows has no more at first than it needs. */
bool client_is_jobwrap(const struct client *client);
/* How messages name it: "fifo:PATH", "R,W". Valid as long as the client. */
const char *client_name(const struct client *client);

/* Readable when a token may be there, by poll, epoll or libevent. Close-on-exec; non-blocking, but where
 * the descriptors could not be reopened (another user's pipe) and it is an inherited one. */
int client_fd(const struct client *client);
/* The FIFO or file itself; as client_fd(), but at a jobwrap. */
int client_file(const struct client *client);
/* At a server: a descriptor, the caller's, that is readable when it may ask for tokens, until
 * client_drain_recall() has been called; how many it asks for its status tells. -EOPNOTSUPP: it never asks. */
int client_open_recall(struct client *client);
void client_drain_recall(const struct client *client, int fd);

/* Takes one token if one is there: 1 and *token, the byte to be written back; 0 if none. Never
 * blocks, on inherited descriptors either. -EPIPE: the jobserver is at its end. */
int client_try_acquire(struct client *client, char *token);
/* Waits for one: 1, or 0 when timeout_ms (-1: none) has passed, or -EINTR. */
int client_acquire(struct client *client, int timeout_ms, char *token);
/* Gives one back. -EAGAIN: somebody has filled the FIFO, and for a second there was no room; the
 * token is still the caller's. */
int client_release(struct client *client, char token);

/* For a job of a jobwrap's build that runs elsewhere: the token that the job has is lent to the build until
 * client_take_back(), or the end of this client: 1; 0: the job has none that could be lent; -ENOTTY: this is no jobwrap,
 * or an older one. client_take_back() waits, as client_acquire() does, until the job has its token again. client_spare():
 * the job waits until it can run elsewhere, and the token may be lent already; client_lend() or client_take_back() follows. */
int client_lend(struct client *client);
int client_spare(struct client *client);
int client_take_back(struct client *client, int timeout_ms);

/* Moves one token into a pipe, where it lies as a byte: 1; 0 if none is there; -ENOSPC if the pipe is
 * full. And back: 1; 0 if the pipe is empty; -EAGAIN as above. `pipe_fd` is the fitting end, non-blocking,
 * of a pipe that nobody else reads at the time.
 *   - A FIFO's own byte is moved in one step, so that no SIGKILL falls between taking it and noting it
 *     (splice(2)). Given back so, each token takes a slot of the FIFO; it is made larger before more
 *     than half are taken, and if that is not allowed (pipe(7)), read and write take the place of
 *     the one step.
 *   - A server keeps the account itself, and the byte only counts.
 *   - At another server's file a token is lost if the SIGKILL falls between the read and the note. */
int client_move_to(struct client *client, int pipe_fd);
int client_move_from(struct client *client, int pipe_fd);
/* How many tokens client_move_to() can put into a pipe of so many bytes (F_SETPIPE_SZ). */
unsigned client_tokens_in_pipe(const struct client *client, unsigned bytes);

/* The number of tokens lying free, if it can be known: FIONREAD, or steved's status. */
int client_count_free(struct client *client, unsigned *tokens_free);

/* For a server that keeps accounts, the ioctls of protocol.h; where there is none that could be told
 * (another kind), they do nothing: 0. */
int client_join_group(struct client *client);
int client_pay_implicit(struct client *client);
int client_need(struct client *client, unsigned waiting_without);
/* Of the group that client_join_group() has founded: 1 to STEVED_WEIGHT_MAX. */
int client_set_weight(struct client *client, unsigned weight);
/* Only for CLIENT_SERVER, else -ENOTTY. Names end in a NUL, and '?' stands for what cannot be printed, whatever the
 * server has told. */
int client_get_status(struct client *client, struct steved_status *status);
int client_get_clients(struct client *client, struct steved_clients *page);
int client_set(struct client *client, const struct steved_settings *settings);
/* -ENOTTY, too: an older server, which has none. */
int client_get_classes(struct client *client, struct steved_classes *classes);
/* The number by which its events tell of the class with this name; 0: it does not tell. */
unsigned client_class_number(struct client *client, const char *name);
int client_claim_implicit(struct client *client, struct steved_claim *claim);
/* Tells the arbiter of memory, and replaces what *memory holds by its answer. -ENOTTY: this server is none. */
int client_memory(struct client *client, struct steved_memory *memory);
/* -ENOTTY, too: an older server, which knows no limits. */
int client_get_throttle(struct client *client, struct steved_throttle *throttle);
/* Asks about it, and sets what is named. -ENOTTY, too: an older server; -ENOENT: there is no such account. */
int client_account(struct client *client, struct steved_account *account);

/* --- what happens at a server (STEVED_IOC_EVENTS), for a client that takes no tokens itself --- */

/* Events are read from now on, until client_close(). To know what there was before, ask for the status and the
 * clients after this. 0; -ENOTTY: an older server, or none that keeps accounts; -ENOSPC, -ENOMEM: too many read. */
int client_watch(struct client *client);
/* Readable when there are events, or the server has gone, until client_next_events() returns 0. -1: client_watch()
 * was not called. */
int client_watch_fd(const struct client *client);
struct client_events {
    unsigned count;
    struct steved_event events[STEVED_EVENTS_PER_PAGE];
};
/* The next that there are, with names as of client_get_clients(). 1: there are more; 0: that is all for now, and events->count may be 0; or a negative errno,
 * after which it may be called again unless client_is_gone(). */
int client_next_events(struct client *client, struct client_events *events);
/* STEVED_IOC_TELL: told->count events of jobs, and then whether anybody reads: told->is_read. The rest of *told is
 * zero. 0; -ENOTTY: as above, do not ask again; -EAGAIN: they were too many, and are lost. */
int client_tell(struct client *client, struct steved_told *told);
