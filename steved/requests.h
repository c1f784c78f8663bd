/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What a client does with the open file, told to the pool; the same on a FUSE mount and on a CUSE device.
 * Each function answers the request, now or later. */

#include "steved/answers.h"
#include "steved/openings.h"
#include "steved/server.h"

void request_read(struct opening *opening, const struct request *request, size_t size);
void request_write(struct opening *opening, const struct request *request, size_t size);
/* Takes over `pollhandle`, which may be NULL: then nobody waits for another answer. */
void request_poll(struct opening *opening, const struct request *request,
                  struct fuse_pollhandle *pollhandle);

/* For the reader of events that has it open. */
void request_wake_reader(void *opening);

/* The server ends: who waits gets an error, and no description is left. */
void requests_end(struct server *server);
/* The kernel knows no description of this file any more, nor who waits. */
void requests_end_file(struct file *file);

/* What has changed is collected for the next state_commit(), and with it the answers that this has made due to
 * others: before any of them, or that of who asks, is given (rule 12). */
void requests_record(struct server *server);
/* Gives the answers that the pools have made due; to be called after each request, death or deadline. */
void requests_answer(struct server *server);
