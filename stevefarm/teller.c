/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stevefarm/teller.h"

#include "stevefarm/answers.h"

struct telling {
    struct teller *teller;
    struct client *server;
    int64_t now_ns;
};

static void
send_told(const struct telling *telling)
{
    struct teller *teller = telling->teller;
    int result = client_tell(telling->server, &teller->told);

    event_readers_answered(&teller->readers, result, &teller->told, telling->now_ns);
    teller->told = (struct steved_told){0};
}

static void
tell(void *context, const struct steved_event *event)
{
    const struct telling *telling = context;
    struct steved_told *told = &telling->teller->told;

    told->events[told->count] = *event;
    told->events[told->count].job_class = telling->teller->class_number;
    if (++told->count == STEVED_TOLD_PER_CALL)
        send_told(telling);
}

/* A reader may have come or gone since. */
static bool
is_read(const struct telling *telling)
{
    struct teller *teller = telling->teller;
    const bool was_read = teller->readers.is_there;

    if (!telling->server || !event_readers_may_ask(&teller->readers, telling->now_ns))
        return false;
    send_told(telling);
    if (teller->readers.is_there && !was_read)
        teller->class_number = client_class_number(telling->server, teller->class_name);
    return teller->readers.is_there;
}

void
teller_take_icecc(struct teller *teller, struct client *server, const char *answer, int64_t now_ns)
{
    struct telling telling = {.teller = teller, .server = server, .now_ns = now_ns};

    if (!is_read(&telling)) {
        teller->before.count = 0;
        return;
    }
    answer_icecc_jobs(answer, teller->submitter, &teller->now);
    farm_jobs_compare(&teller->before, &teller->now, tell, &telling);
    if (teller->told.count > 0)
        send_told(&telling);
    teller->before = teller->now;
}
