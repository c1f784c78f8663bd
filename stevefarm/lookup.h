/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Looks up the addresses of a place while others are asked: the system's resolver of names may take minutes, if a server of
 * names does not answer. */

#include <netdb.h>

#include "stevefarm/engine.h"

/* A descriptor that is readable when the place is looked up; or a negative errno. lookup_end() closes it. */
int lookup_begin(const struct place *place);
/* 0, and *addresses are the caller's, for freeaddrinfo(); or what getaddrinfo() returned, EAI_AGAIN where the look-up had
 * not ended. */
int lookup_end(int fd, struct addrinfo **addresses);
