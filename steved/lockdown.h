/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "steved/identity.h"

/* Becomes `identity`, gives up every capability, and lets a seccomp filter forbid what a server never
 * does: no exec, no sockets, no file opened for writing, no signal sent. Whatever needs more must have
 * been opened before. 0, or a negative errno after having said it. */
int lockdown(const struct identity *identity);

/* For a guardian: becomes `identity` and gives up every capability but, where `unmounts` and root has mounted,
 * what that takes: without effect before lockdown_raise(). 0, or a negative errno after having said it. */
int lockdown_guardian(const struct identity *identity, bool unmounts);
void lockdown_raise(void);
void lockdown_lower(void);
/* 0 or a negative errno. */
int lockdown_drop_capabilities(void);
