/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Tells a server where jobs of this machine run (STEVED_EVENT_JOB_PLACED), as long as anybody reads its events. */

#include <stdint.h>

#include "libjobserver/client.h"
#include "libjobserver/events/readers.h"
#include "stevefarm/jobs.h"

struct teller {
    const char *submitter; /* as which the engine knows this machine; the caller's */
    const char *class_name;
    struct event_readers readers;
    uint32_t class_number; /* while there are readers */
    struct steved_told told;
    struct farm_jobs before, now;
};

/* What icecc's scheduler has answered; "": it answers nothing. server: of the class; NULL: it has gone. */
void teller_take_icecc(struct teller *teller, struct client *server, const char *answer,
                       int64_t now_ns);
