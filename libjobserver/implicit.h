/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Is the implicit slot of this process paid for? One answer for all of our programs.
 *
 * GNU make's manual: a client owns one job slot without reading a token, because its parent
 * acquired one before starting it. That is so when a client started us; a login shell with a
 * system-wide server in its environment acquired nothing.
 */

#include "libjobserver/auth.h"
#include "libjobserver/client.h"

enum implicit_policy {
    IMPLICIT_AUTO,    /* find out */
    IMPLICIT_INHERIT, /* the caller knows that it is paid for */
    IMPLICIT_ACQUIRE, /* the caller knows that it is not (podman, systemd-run) */
};

/* "auto", "inherit", "acquire": 0, else -EINVAL and *policy stays. */
int implicit_parse(const char *text, enum implicit_policy *policy);

/* true: paid for. false: acquire a token first, and run nothing before.
 *   - IMPLICIT_INHERIT, IMPLICIT_ACQUIRE: what they say.
 *   - a FIFO or pipe: paid for, if MAKEFLAGS named it (`from_environment`), since the client that
 *     put it there started us; a FIFO that the user named on the command line is not.
 *   - steved: if an ancestor holds a token that nobody has claimed for this; claims it.
 *   - another server's file: not. */
bool implicit_is_paid(struct client *client, enum implicit_policy policy, bool from_environment);

/* May it be paid for later on, though it is not now: by a token of an ancestor that somebody else has
 * claimed at present? Then who waits for a token waits for that as well, or siblings that wait for one
 * another do so for ever. client_fd() becomes readable when either has come; ask implicit_is_paid() again
 * before a token is tried for. */
bool implicit_may_come(const struct client *client, enum implicit_policy policy);

/* Waits until it is paid for. 0: it is; 1: by a token, *token, that the caller holds from now on; or
 * -errno, as client_try_acquire(). */
int implicit_acquire(struct client *client, enum implicit_policy policy, char *token);
