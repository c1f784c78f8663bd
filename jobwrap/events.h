/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "jobwrap/state.h"

/* What signals, and the keeper, tell jobwrap while it waits. */

/* 0 or a negative errno. */
int events_open(struct jobwrap *jobwrap);
void events_close(struct jobwrap *jobwrap);
/* Waits for at least one event and deals with it. */
void events_serve(struct jobwrap *jobwrap);
