/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef JOBWRAP_PARENT_H
#define JOBWRAP_PARENT_H

#include <stdbool.h>

#include "jobwrap/options.h"
#include "libjobserver/auth.h"
#include "libjobserver/client.h"

/* The jobserver that tokens are borrowed from. */
struct parent {
    struct client *client; /* NULL: there is none */
    struct auth auth;
    bool from_environment; /* MAKEFLAGS named it: a client of it has started us */
    bool withheld;         /* MAKEFLAGS names one that cannot be used: go on as with -j1 */
};

/* By --parent; else MAKEFLAGS, the user's steved, /dev/steve. 0, or a negative errno and a message was
 * given: the user named one that cannot be opened. */
int parent_find(struct parent *parent, const struct options *options);
void parent_close(struct parent *parent);

/* How many jobs run at most, the implicit slot included, if the parent lends all that it has; where
 * nobody can tell, what is free now, or `cpus` if that is more. */
unsigned parent_total(const struct parent *parent, bool implicit_paid, unsigned cpus);

#endif
