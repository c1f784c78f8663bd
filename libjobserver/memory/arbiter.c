/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/memory/arbiter.h"

#include <errno.h>
#include <string.h>

#include "libjobserver/memory/admission.h"
#include "libjobserver/memory/expectation.h"
#include "libjobserver/program/numbers.h"

#define NS_A_MS INT64_C(1000000)
#define FRESH_NS (STEVED_MEMORY_FRESH_MS * NS_A_MS)
/* By so much what one tells of a job's age differs from one time to the next. */
#define JITTER_NS (100 * NS_A_MS)
#define JOBS_MAX (UINT32_C(1) << 20)
/* Of what nobody has claimed, so much may be granted for jobs to come. */
#define RESERVE_PART 8

/* --- figures --- */

/* Of two numbers that may be anything. */
static uint64_t
sum_of(uint64_t a, uint64_t b)
{
    return a + b < a ? UINT64_MAX : a + b;
}

static uint32_t
bounded(uint64_t number)
{
    return (uint32_t)lesser64(number, JOBS_MAX);
}

static uint64_t
bytes(uint64_t number)
{
    return lesser64(number, MEMORY_BYTES_MAX);
}

/* --- who counts --- */

static unsigned
jobs_of(const struct memory_party *party)
{
    return party->told.running + party->granted_jobs;
}

/* A keeper may have its description for as long as jobs run that nobody looks at any more. */
static bool
is_fresh(const struct memory_party *party, int64_t now_ns)
{
    return party->told_ns != 0 && now_ns - party->told_ns < FRESH_NS;
}

/* Does anything run of it that is not told of by those below it? */
static bool
runs_by_itself(const struct memory_party *party)
{
    return jobs_of(party) > party->below;
}

static uint64_t
growth_of(const struct memory_party *party)
{
    return runs_by_itself(party) ? party->told.growth_bytes + party->granted_bytes : 0;
}

/* Is `inner` the same, or a part of one of its jobs? */
static bool
is_around(const struct memory_party *party, const struct memory_party *inner)
{
    for (; inner; inner = inner->above)
        if (inner == party)
            return true;
    return false;
}

/* To `party`; NULL: to all. What runs around it waits for it. */
static bool
is_on_machine(const struct memory_party *other, const struct memory_party *party, int64_t now_ns)
{
    return is_fresh(other, now_ns) && !is_around(other, party);
}

/* Where it is the machine that has least, all use that. */
static bool
is_in_place(const struct memory_party *other, const struct memory_party *party)
{
    return !party || party->told.place == 0 || party->told.place == other->told.place;
}

static bool
is_other(const struct memory_party *other, const struct memory_party *party, int64_t now_ns)
{
    return is_on_machine(other, party, now_ns) && is_in_place(other, party);
}

/* What is killed is gone soon, or will not go so soon; who kills all the time kills for others, too. */
static uint64_t
dying_of(const struct memory_party *party, int64_t now_ns)
{
    bool is_soon = party->dying_ns != 0 && now_ns - party->dying_ns < MEMORY_DEATH_NS;

    return is_soon ? party->told.dying_bytes : 0;
}

static bool
is_elder(const struct memory_party *party, const struct memory_party *than)
{
    if (!runs_by_itself(party))
        return false;
    if (!than || !runs_by_itself(than))
        return true;
    if (party->oldest_ns != than->oldest_ns)
        return party->oldest_ns < than->oldest_ns;
    return party->number < than->number;
}

static bool
is_younger(const struct memory_party *party, const struct memory_party *than)
{
    if (party->told.youngest_ms == STEVED_MEMORY_NONE)
        return false;
    if (!than || than->told.youngest_ms == STEVED_MEMORY_NONE)
        return true;
    return party->youngest_ns > than->youngest_ns;
}

struct others {
    uint64_t used_bytes, growth_bytes, pace_bytes, dying_bytes, held_bytes;
    uint64_t running, unseen, waiting;
    unsigned count;
    const struct memory_party *eldest, *youngest;
};

static void
add(struct others *others, const struct memory_party *party, int64_t now_ns)
{
    const struct steved_memory *told = &party->told;

    others->count++;
    others->waiting += told->waiting;
    others->dying_bytes += dying_of(party, now_ns);
    others->held_bytes += told->held_bytes;
    if (!runs_by_itself(party))
        return;
    others->used_bytes += told->used_bytes;
    others->growth_bytes += growth_of(party);
    others->pace_bytes += told->pace_bytes;
    others->running += jobs_of(party);
    others->unseen += told->unseen + party->granted_unseen;
}

static void
compare_ages(struct others *others, const struct memory_party *party)
{
    if (is_elder(party, others->eldest))
        others->eldest = party;
    if (is_younger(party, others->youngest))
        others->youngest = party;
}

/* What all on the machine expect is as if it were expected here where the machine has no more than is left here. */
static uint64_t
growth_in_place(const struct others *others, const struct memory_party *party,
                uint64_t machine_growth_bytes)
{
    const struct steved_memory *told = &party->told;
    uint64_t more = told->machine_available_bytes > told->available_bytes
                        ? told->machine_available_bytes - told->available_bytes
                        : 0;
    uint64_t beyond = machine_growth_bytes > more ? machine_growth_bytes - more : 0;

    return beyond > others->growth_bytes ? beyond : others->growth_bytes;
}

/* MEMORY_PARTIES_MAX of MEMORY_BYTES_MAX are no more than a number has room for. */
static struct others
others_of(const struct memory_arbiter *arbiter, const struct memory_party *party, int64_t now_ns)
{
    const struct memory_party *other;
    struct others others = {0};
    uint64_t machine_growth_bytes = 0;

    LIST_FOREACH (other, &arbiter->parties, in_arbiter) {
        if (!is_on_machine(other, party, now_ns))
            continue;
        machine_growth_bytes += growth_of(other);
        if (!is_in_place(other, party))
            continue;
        add(&others, other, now_ns);
        /* Who would stop its own oldest for one that is part of it would stop that. */
        if (!party || !is_around(party, other))
            compare_ages(&others, other);
    }
    if (party && party->told.place != 0)
        others.growth_bytes = growth_in_place(&others, party, machine_growth_bytes);
    return others;
}

/* --- coming and going --- */

void
memory_arbiter_init(struct memory_arbiter *arbiter)
{
    *arbiter = (struct memory_arbiter){.count = 0};
    LIST_INIT(&arbiter->parties);
}

void
memory_party_init(struct memory_party *party, int64_t now_ns)
{
    *party = (struct memory_party){.began_ns = now_ns};
}

struct memory_party *
memory_arbiter_find(struct memory_arbiter *arbiter, int pid)
{
    struct memory_party *party;

    LIST_FOREACH (party, &arbiter->parties, in_arbiter)
        if (party->pid == pid && pid != 0)
            return party;
    return NULL;
}

static unsigned
count_of_user(const struct memory_arbiter *arbiter, uint32_t uid)
{
    const struct memory_party *party;
    unsigned count = 0;

    LIST_FOREACH (party, &arbiter->parties, in_arbiter)
        count += party->uid == uid;
    return count;
}

/* uid: NULL: of any user. */
static struct memory_party *
find_silent(struct memory_arbiter *arbiter, const uint32_t *uid, int64_t now_ns)
{
    struct memory_party *party;

    LIST_FOREACH (party, &arbiter->parties, in_arbiter)
        if ((!uid || party->uid == *uid) && !is_fresh(party, now_ns))
            return party;
    return NULL;
}

int
memory_arbiter_join(struct memory_arbiter *arbiter, struct memory_party *party, int pid,
                    struct memory_party *above, int64_t now_ns)
{
    const bool are_users = count_of_user(arbiter, party->uid) >= MEMORY_PARTIES_PER_USER;

    if (are_users || arbiter->count >= MEMORY_PARTIES_MAX) {
        struct memory_party *silent = find_silent(arbiter, are_users ? &party->uid : NULL, now_ns);
        if (!silent)
            return -ENOSPC;
        memory_arbiter_leave(arbiter, silent);
        above = above == silent ? silent->above : above;
    }
    party->number = ++arbiter->next_number;
    party->pid = pid;
    party->above = above;
    party->is_member = true;
    party->told = (struct steved_memory){.youngest_ms = STEVED_MEMORY_NONE};
    if (above)
        above->below++;
    LIST_INSERT_HEAD(&arbiter->parties, party, in_arbiter);
    arbiter->count++;
    return 0;
}

static void
add_totals(struct memory_totals *totals, const struct steved_memory *told)
{
    totals->put_off = sum_of(totals->put_off, told->put_off);
    totals->stopped = sum_of(totals->stopped, told->stopped);
    totals->waited_ms = sum_of(totals->waited_ms, told->waited_ms);
}

void
memory_arbiter_leave(struct memory_arbiter *arbiter, struct memory_party *party)
{
    struct memory_party *other;

    if (!party->is_member)
        return;
    LIST_REMOVE(party, in_arbiter);
    arbiter->count--;
    add_totals(&arbiter->ended, &party->told);
    if (party->above)
        party->above->below--;
    LIST_FOREACH (other, &arbiter->parties, in_arbiter) {
        if (other->above != party)
            continue;
        other->above = party->above;
        if (other->above)
            other->above->below++;
    }
    /* It may come back. */
    memory_party_init(party, party->began_ns);
}

/* --- what is told --- */

static bool
makes_sense(const struct steved_memory *told)
{
    for (size_t i = 0; i < sizeof(told->spare) / sizeof(told->spare[0]); i++)
        if (told->spare[i])
            return false;
    return !(told->flags & ~STEVED_MEMORY_ASKS) && !told->answer && !told->others &&
           !told->others_running && !told->others_unseen && !told->others_waiting &&
           !told->spare32 && !told->granted_bytes && !told->others_growth_bytes &&
           !told->others_pace_bytes && !told->others_dying_bytes && !told->elder_growth_bytes;
}

/* The time that it was so many milliseconds ago: no time before the party was there, and the same as the last
 * time if it is about the same. */
static int64_t
time_ago(uint32_t age_ms, int64_t former_ns, const struct memory_party *party, int64_t now_ns)
{
    int64_t time_ns = now_ns - age_ms * NS_A_MS;

    if (time_ns < party->began_ns)
        time_ns = party->began_ns;
    int64_t apart_ns = time_ns < former_ns ? former_ns - time_ns : time_ns - former_ns;
    return apart_ns < JITTER_NS ? former_ns : time_ns;
}

static void
note_times(struct memory_party *party, int64_t now_ns)
{
    const struct steved_memory *told = &party->told;
    bool waits = told->waiting > 0 || told->flags & STEVED_MEMORY_ASKS;

    party->oldest_ns = time_ago(told->oldest_ms, party->oldest_ns, party, now_ns);
    party->youngest_ns = time_ago(told->youngest_ms, party->youngest_ns, party, now_ns);
    if (!waits)
        party->waits_ns = 0;
    else if (party->waits_ns == 0)
        party->waits_ns = now_ns;
    if (!waits || told->flags & STEVED_MEMORY_ASKS)
        party->wanted_bytes = told->start_bytes;
    /* What it kills counts for so long, and then for as long what it goes on to claim does not. */
    if (told->dying_bytes > 0 &&
        (party->dying_ns == 0 || now_ns - party->dying_ns >= 2 * MEMORY_DEATH_NS))
        party->dying_ns = now_ns;
}

static void
note_peaks(struct memory_arbiter *arbiter, int64_t now_ns)
{
    const struct others all = others_of(arbiter, NULL, now_ns);
    struct memory_totals *totals = &arbiter->ended;

    if (all.used_bytes > totals->peak_bytes)
        totals->peak_bytes = all.used_bytes;
    if (all.used_bytes + all.held_bytes > totals->unheld_peak_bytes)
        totals->unheld_peak_bytes = all.used_bytes + all.held_bytes;
}

int
memory_arbiter_tell(struct memory_arbiter *arbiter, struct memory_party *party,
                    const struct steved_memory *told, int64_t now_ns)
{
    if (!makes_sense(told))
        return -EINVAL;
    party->told = *told;
    party->told.running = bounded(told->running);
    party->told.unseen = (uint32_t)lesser64(told->unseen, party->told.running);
    party->told.waiting = bounded(told->waiting);
    party->told.available_bytes = bytes(told->available_bytes);
    party->told.floor_bytes = bytes(told->floor_bytes);
    party->told.machine_available_bytes = bytes(told->machine_available_bytes);
    party->told.used_bytes = bytes(told->used_bytes);
    party->told.growth_bytes = bytes(told->growth_bytes);
    party->told.oldest_growth_bytes = lesser64(told->oldest_growth_bytes, party->told.growth_bytes);
    party->told.pace_bytes = bytes(told->pace_bytes);
    party->told.dying_bytes = bytes(told->dying_bytes);
    party->told.start_bytes = bytes(told->start_bytes);
    party->told.reserve_bytes = bytes(told->reserve_bytes);
    party->told.held_bytes = bytes(told->held_bytes);
    party->granted_bytes = party->granted_jobs = party->granted_unseen = 0;
    party->told_ns = now_ns;
    note_times(party, now_ns);
    note_peaks(arbiter, now_ns);
    return 0;
}

/* --- who may start --- */

enum verdict { DENIED, GRANTED, OPEN };

/* What is left of what it sees, when all that is expected has come. */
static int64_t
left_for(const struct memory_party *party, const struct others *others)
{
    const struct steved_memory *told = &party->told;

    return (int64_t)told->available_bytes - (int64_t)told->floor_bytes -
           (int64_t)told->growth_bytes - (int64_t)lesser64(others->growth_bytes, INT64_MAX / 2);
}

/* It has waited so long for others to come to an end that it may be that they do not. */
static bool
may_run_one(const struct memory_party *party, int64_t now_ns)
{
    const struct steved_memory *told = &party->told;
    bool trusts = !party->is_mistrustful && now_ns - party->waits_ns < MEMORY_MISTRUST_NS;

    return told->running == 0 && !trusts &&
           told->start_bytes + told->floor_bytes <= told->available_bytes;
}

/* What it would leave for the one that waits when all jobs of that have ended suffices. */
static bool
leaves_enough(const struct memory_party *party, const struct others *others,
              const struct memory_party *waiting)
{
    const struct steved_memory *told = &party->told;
    uint64_t growth = others->growth_bytes - growth_of(waiting);

    return (int64_t)told->available_bytes - (int64_t)told->floor_bytes +
               (int64_t)waiting->told.used_bytes - (int64_t)lesser64(growth, INT64_MAX / 2) -
               (int64_t)told->growth_bytes - (int64_t)told->start_bytes >=
           (int64_t)waiting->wanted_bytes;
}

static bool
must_give_way(const struct memory_arbiter *arbiter, const struct memory_party *party,
              const struct others *others, int64_t now_ns)
{
    const struct memory_party *other;

    LIST_FOREACH (other, &arbiter->parties, in_arbiter) {
        bool has_waited = other->waits_ns != 0 && now_ns - other->waits_ns >= MEMORY_PATIENCE_NS,
             is_before = party->waits_ns == 0 || other->waits_ns < party->waits_ns;
        if (has_waited && is_before && is_other(other, party, now_ns) &&
            !leaves_enough(party, others, other))
            return true;
    }
    return false;
}

static bool
fits(const struct memory_party *party, const struct others *others)
{
    int64_t left = left_for(party, others);
    uint64_t unseen = others->unseen + party->told.unseen;

    if (party->told.start_bytes > 0 || unseen == 0)
        return (int64_t)party->told.start_bytes <= left;
    return (int64_t)((unseen + 1) * MEMORY_UNSEEN_BYTES) <= left;
}

/* Does nothing run anywhere? */
static bool
is_idle(const struct memory_party *party, const struct others *others)
{
    return party->told.running == 0 && others->running == 0;
}

/* As far as it is decided without the arbiter above. */
static enum verdict
judge(const struct memory_arbiter *arbiter, const struct memory_party *party,
      const struct others *others, int64_t now_ns)
{
    if (!(party->told.flags & STEVED_MEMORY_ASKS))
        return DENIED;
    if (is_idle(party, others))
        return OPEN;
    if (may_run_one(party, now_ns))
        return fits(party, others) ? OPEN : GRANTED;
    return must_give_way(arbiter, party, others, now_ns) ? DENIED : OPEN;
}

static uint64_t
spare_for(const struct memory_party *party, const struct others *others, bool is_granted)
{
    int64_t left = left_for(party, others) - (is_granted ? (int64_t)party->told.start_bytes : 0);

    if (left <= 0 || others->waiting > 0)
        return 0;
    return lesser64(party->told.reserve_bytes, (uint64_t)left / RESERVE_PART);
}

static void
grant(struct memory_party *party, enum verdict verdict, struct steved_memory *answer)
{
    answer->answer |= STEVED_MEMORY_IS_GRANTED;
    party->is_mistrustful = verdict == GRANTED;
    party->granted_jobs = 1;
    party->granted_unseen = party->told.start_bytes == 0;
    party->waits_ns = 0;
}

/* --- with the arbiter above, or without --- */

/* Who sees least; NULL: nobody tells. */
static const struct memory_party *
tightest(const struct memory_arbiter *arbiter, int64_t now_ns)
{
    const struct memory_party *party, *found = NULL;
    int64_t least = INT64_MAX;

    LIST_FOREACH (party, &arbiter->parties, in_arbiter) {
        int64_t room = (int64_t)party->told.available_bytes - (int64_t)party->told.floor_bytes;
        if (!is_fresh(party, now_ns) || party->told.available_bytes == 0 || room >= least)
            continue;
        least = room;
        found = party;
    }
    return found;
}

/* Of all as of one. */
static void
tell_of_all(const struct memory_arbiter *arbiter, struct steved_memory *question, int64_t now_ns)
{
    const struct others all = others_of(arbiter, NULL, now_ns);
    const struct memory_totals totals = memory_arbiter_totals(arbiter);

    question->running = bounded(all.running);
    question->unseen = bounded(all.unseen);
    question->waiting = bounded(all.waiting);
    question->used_bytes = all.used_bytes;
    question->growth_bytes = all.growth_bytes;
    question->pace_bytes = all.pace_bytes;
    question->dying_bytes = all.dying_bytes;
    question->held_bytes = all.held_bytes;
    question->youngest_ms = STEVED_MEMORY_NONE;
    if (all.youngest)
        question->youngest_ms = (uint32_t)((now_ns - all.youngest->youngest_ns) / NS_A_MS);
    if (all.eldest) {
        question->oldest_ms = (uint32_t)((now_ns - all.eldest->oldest_ns) / NS_A_MS);
        question->oldest_growth_bytes = all.eldest->told.oldest_growth_bytes;
    }
    question->put_off = totals.put_off;
    question->stopped = totals.stopped;
    question->waited_ms = totals.waited_ms;
    question->peak_bytes = totals.peak_bytes;
}

void
memory_arbiter_question(struct memory_arbiter *arbiter, const struct memory_party *party,
                        struct steved_memory *question, int64_t now_ns)
{
    const struct memory_party *seer = party ? party : tightest(arbiter, now_ns);

    *question = (struct steved_memory){0};
    tell_of_all(arbiter, question, now_ns);
    if (seer) {
        question->available_bytes = seer->told.available_bytes;
        question->floor_bytes = seer->told.floor_bytes;
        question->place = seer->told.place;
        question->machine_available_bytes = seer->told.machine_available_bytes;
    }
    if (!party)
        return;
    const struct others others = others_of(arbiter, party, now_ns);
    const uint64_t start_bytes = party->told.start_bytes;
    switch (judge(arbiter, party, &others, now_ns)) {
    case DENIED:
        break;
    case GRANTED:
        question->running++;
        question->growth_bytes += start_bytes;
        break;
    case OPEN:
        question->flags = STEVED_MEMORY_ASKS;
        question->start_bytes = start_bytes;
        break;
    }
    if (others.waiting == 0)
        question->reserve_bytes = party->told.reserve_bytes;
}

/* Without an arbiter above. */
static void
decide(const struct memory_arbiter *arbiter, struct memory_party *party,
       const struct others *others, struct steved_memory *answer, int64_t now_ns)
{
    enum verdict verdict = judge(arbiter, party, others, now_ns);
    bool is_granted =
        verdict == GRANTED || (verdict == OPEN && (is_idle(party, others) || fits(party, others)));

    answer->granted_bytes = spare_for(party, others, is_granted);
    if (!is_granted)
        return;
    answer->granted_bytes += party->told.start_bytes;
    grant(party, verdict, answer);
}

/* What is granted above is; what is granted here though it is not there was told to it as done. */
static void
pass_on(const struct memory_arbiter *arbiter, struct memory_party *party,
        const struct others *others, const struct steved_memory *outside,
        struct steved_memory *answer, int64_t now_ns)
{
    enum verdict verdict = judge(arbiter, party, others, now_ns);

    answer->granted_bytes = bytes(outside->granted_bytes);
    if (verdict == GRANTED)
        answer->granted_bytes += party->told.start_bytes;
    if (verdict == GRANTED || (verdict == OPEN && outside->answer & STEVED_MEMORY_IS_GRANTED))
        grant(party, verdict, answer);
}

static void
tell_of_others(const struct memory_party *party, const struct others *others,
               const struct steved_memory *outside, struct steved_memory *answer)
{
    const bool has_elder = others->eldest && is_elder(others->eldest, party);
    const uint32_t flags = STEVED_MEMORY_HAS_ELDER | STEVED_MEMORY_HAS_YOUNGER;

    answer->others = others->count;
    answer->others_running = bounded(others->running);
    answer->others_unseen = bounded(others->unseen);
    answer->others_waiting = bounded(others->waiting);
    answer->others_growth_bytes = others->growth_bytes;
    answer->others_pace_bytes = others->pace_bytes;
    answer->others_dying_bytes = others->dying_bytes;
    if (has_elder) {
        answer->answer |= STEVED_MEMORY_HAS_ELDER;
        answer->elder_growth_bytes = others->eldest->told.oldest_growth_bytes;
    }
    if (others->youngest && is_younger(others->youngest, party))
        answer->answer |= STEVED_MEMORY_HAS_YOUNGER;
    if (party->below > 0)
        answer->answer |= STEVED_MEMORY_HAS_INNER;
    if (!outside)
        return;
    answer->answer |= outside->answer & flags;
    answer->others = bounded((uint64_t)answer->others + outside->others);
    answer->others_running = bounded((uint64_t)answer->others_running + outside->others_running);
    answer->others_unseen = bounded((uint64_t)answer->others_unseen + outside->others_unseen);
    answer->others_waiting = bounded((uint64_t)answer->others_waiting + outside->others_waiting);
    answer->others_growth_bytes = sum_of(answer->others_growth_bytes, outside->others_growth_bytes);
    answer->others_pace_bytes = sum_of(answer->others_pace_bytes, outside->others_pace_bytes);
    answer->others_dying_bytes = sum_of(answer->others_dying_bytes, outside->others_dying_bytes);
    if (outside->answer & STEVED_MEMORY_HAS_ELDER)
        answer->elder_growth_bytes = outside->elder_growth_bytes;
}

void
memory_arbiter_answer(struct memory_arbiter *arbiter, struct memory_party *party,
                      const struct steved_memory *outside, struct steved_memory *answer,
                      int64_t now_ns)
{
    const struct others others = others_of(arbiter, party, now_ns);

    *answer = (struct steved_memory){0};
    tell_of_others(party, &others, outside, answer);
    if (outside)
        pass_on(arbiter, party, &others, outside, answer, now_ns);
    else
        decide(arbiter, party, &others, answer, now_ns);
    party->granted_bytes = answer->granted_bytes;
}

/* --- what is to be seen --- */

struct memory_totals
memory_arbiter_totals(const struct memory_arbiter *arbiter)
{
    const struct memory_party *party;
    struct memory_totals totals = arbiter->ended;

    LIST_FOREACH (party, &arbiter->parties, in_arbiter)
        add_totals(&totals, &party->told);
    return totals;
}

bool
memory_arbiter_has_waiting(const struct memory_arbiter *arbiter, int64_t now_ns)
{
    const struct memory_party *party;

    LIST_FOREACH (party, &arbiter->parties, in_arbiter)
        if (is_fresh(party, now_ns) && party->told.waiting > 0)
            return true;
    return false;
}

struct memory_use
memory_arbiter_use(const struct memory_arbiter *arbiter, uint32_t uid, uint64_t account,
                   int64_t now_ns)
{
    const struct memory_party *party;
    struct others all = {0};

    LIST_FOREACH (party, &arbiter->parties, in_arbiter)
        if (party->uid == uid && party->account == account && is_fresh(party, now_ns))
            add(&all, party, now_ns);
    return (struct memory_use){.parties = all.count,
                               .running = bounded(all.running),
                               .waiting = bounded(all.waiting),
                               .used_bytes = all.used_bytes,
                               .growth_bytes = all.growth_bytes};
}

uint64_t
memory_arbiter_used(const struct memory_arbiter *arbiter, int64_t now_ns)
{
    return others_of(arbiter, NULL, now_ns).used_bytes;
}

void
memory_arbiter_status(const struct memory_arbiter *arbiter, struct steved_status *status,
                      int64_t now_ns)
{
    struct others all = others_of(arbiter, NULL, now_ns);
    const struct memory_party *party = tightest(arbiter, now_ns);

    status->memory_growth_bytes = all.growth_bytes;
    status->memory_running = bounded(all.running);
    status->memory_waiting = bounded(all.waiting);
    status->memory_available_bytes = party ? party->told.available_bytes : 0;
    status->memory_floor_bytes = party ? party->told.floor_bytes : 0;
}
