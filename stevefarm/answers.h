/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What engines answer when they are asked for their slots. Pure: an answer is text that ends in a NUL, comes from the
 * network, and may be anything. */

#include <stdbool.h>

#include "stevefarm/jobs.h"

/* As POOL_CAPACITY_MAX of the server: more is counted as this. */
#define SLOTS_MAX 65536u

/* All return NULL and *slots, 0 to SLOTS_MAX; or what is wrong with the answer, and *slots is as it was. */

/* icecc's scheduler, to `listcs` on its telnet port. Counts the nodes that take jobs of others: they have a port, and
 * are not as busy as they can be (a load of 1000). */
const char *answer_icecc(const char *text, unsigned *slots);
/* Has the scheduler said all that it has to say to one command? `text`: what it has said, from the beginning of any line
 * on. */
bool answer_icecc_is_whole(const char *text);
/* The jobs in the same answer that the scheduler says are compiled now for the machine `submitter`. */
void answer_icecc_jobs(const char *text, const char *submitter, struct farm_jobs *jobs);

/* The statistics of one distccd by HTTP: how many compilers it runs at once. */
const char *answer_distcc(const char *text, unsigned *slots);

/* The status of an sccache-dist scheduler by HTTP: the processors of all its servers. */
const char *answer_sccache(const char *text, unsigned *slots);
