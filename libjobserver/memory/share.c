/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/memory/share.h"

#include <stddef.h>

#define NS_A_MS INT64_C(1000000)
#define SHORT_NS (MEMORY_SAMPLE_SHORT_MS * NS_A_MS)
/* Of what is available it would like so much for jobs to come. */
#define RESERVE_PART 8
/* Is there room for so many of which nobody knows anything, another's start at the same time does no harm. */
#define UNSEEN_AMPLE 8
#define QUESTIONS_MAX 4

/* --- what is told --- */

static uint32_t
age_ms(const struct memory_job *job, int64_t now_ns)
{
    int64_t age_ns = now_ns - job->started_ns;

    return age_ns > 0 ? (uint32_t)(age_ns / NS_A_MS) : 0;
}

static void
tell_of_started(const struct memory_admission *admission, struct steved_memory *question)
{
    const struct memory_job *job;

    TAILQ_FOREACH (job, &admission->started, in_list) {
        question->running += !memory_is_idle(job);
        question->unseen += memory_is_unseen(job);
        question->used_bytes += job->used_bytes;
        question->pace_bytes += job->state == MEMORY_RUNS ? job->pace_bytes : 0;
    }
}

static void
tell_of_ages(const struct memory_admission *admission, const struct memory_moment *moment,
             struct steved_memory *question)
{
    const struct memory_job *oldest = memory_oldest(admission),
                            *youngest = memory_youngest(admission, moment);

    question->youngest_ms = youngest ? age_ms(youngest, moment->now_ns) : STEVED_MEMORY_NONE;
    if (!oldest)
        return;
    question->oldest_ms = age_ms(oldest, moment->now_ns);
    question->oldest_growth_bytes = memory_growth_of(oldest);
}

/* Expected of those that would run, if they did not wait for memory. */
static uint64_t
held_bytes(const struct memory_share *share, const struct memory_admission *admission,
           const struct memory_moment *moment, unsigned running)
{
    const uint64_t taken = (uint64_t)running + moment->others.running;
    uint64_t places = share->slots > taken ? share->slots - taken : 0, held = 0;
    const struct memory_job *job;

    TAILQ_FOREACH (job, &admission->waiting, in_list) {
        if (job->is_held_up)
            continue;
        if (places-- == 0)
            break;
        held += memory_expected_peak(job);
    }
    return held;
}

static void
tell_of_all(const struct memory_share *share, const struct memory_admission *admission,
            const struct memory_moment *moment, struct steved_memory *question)
{
    const struct memory_job *job;

    *question = (struct steved_memory){
        .available_bytes = moment->available_bytes,
        .floor_bytes = memory_floor(admission, moment),
        .place = moment->place,
        .machine_available_bytes = moment->machine_available_bytes,
        .growth_bytes = memory_expected_growth(admission),
        .dying_bytes = memory_dying(admission, moment->now_ns),
        .reserve_bytes = moment->available_bytes / RESERVE_PART,
        .put_off = share->counts.put_off,
        .stopped = share->counts.stopped,
        .waited_ms = share->counts.waited_ms,
    };
    tell_of_started(admission, question);
    /* As long as it has not gone, others must not take it that nothing runs. */
    if (question->running == 0 && question->dying_bytes > 0)
        question->running = 1;
    tell_of_ages(admission, moment, question);
    if (!share->is_short)
        return;
    TAILQ_FOREACH (job, &admission->waiting, in_list)
        question->waiting += !job->is_held_up;
    question->held_bytes = held_bytes(share, admission, moment, question->running);
}

static void
note_peak(struct memory_share *share, struct steved_memory *question)
{
    if (question->used_bytes > share->counts.peak_bytes)
        share->counts.peak_bytes = question->used_bytes;
    question->peak_bytes = share->counts.peak_bytes;
}

/* --- what is answered --- */

static void
heed(const struct steved_memory *answer, struct memory_others *others)
{
    *others = (struct memory_others){
        .growth_bytes = answer->others_growth_bytes,
        .elder_growth_bytes = answer->elder_growth_bytes,
        .pace_bytes = answer->others_pace_bytes,
        .dying_bytes = answer->others_dying_bytes,
        .running = answer->others_running,
        .unseen = answer->others_unseen,
        .waiting = answer->others_waiting,
        .has_elder = answer->answer & STEVED_MEMORY_HAS_ELDER,
        .has_younger = answer->answer & STEVED_MEMORY_HAS_YOUNGER,
        .has_inner = answer->answer & STEVED_MEMORY_HAS_INNER,
    };
}

static bool
is_first_of_all(const struct memory_admission *admission, const struct memory_job *job)
{
    return job == memory_first_waiting(admission) && !memory_has_progress(admission) &&
           TAILQ_EMPTY(&admission->dying);
}

static void
go_alone(struct memory_share *share, struct memory_moment *moment)
{
    share->ask = NULL;
    share->granted = NULL;
    moment->others = (struct memory_others){.growth_bytes = 0};
}

/* Job: that would start; NULL: none. dying_bytes: what would be killed. */
static void
ask(struct memory_share *share, const struct memory_admission *admission,
    struct memory_moment *moment, const struct memory_job *job, uint64_t dying_bytes)
{
    struct steved_memory memory;

    tell_of_all(share, admission, moment, &memory);
    note_peak(share, &memory);
    memory.dying_bytes += dying_bytes;
    if (job) {
        memory.flags = STEVED_MEMORY_ASKS;
        memory.start_bytes = memory_expected_peak(job);
    }
    const uint64_t growth_bytes = memory.growth_bytes;
    share->is_told_of = memory.running > 0 || memory.waiting > 0 || job;
    if (share->ask(share->server, &memory) < 0) {
        go_alone(share, moment);
        return;
    }
    heed(&memory, &moment->others);
    share->granted = memory.answer & STEVED_MEMORY_IS_GRANTED ? job : NULL;
    share->counted_bytes = growth_bytes + memory.granted_bytes;
    moment->others.may_run_one = share->granted && is_first_of_all(admission, job);
}

/* --- what may be done --- */

static bool
is_counted(const struct memory_share *share, const struct memory_admission *admission,
           const struct memory_moment *moment, const struct memory_job *job)
{
    const struct memory_job *other;
    uint64_t expected = memory_expected_peak(job);
    int64_t unseen = moment->others.unseen;

    if (job == share->granted)
        return true;
    if (expected > 0)
        return memory_expected_growth(admission) + expected <= share->counted_bytes;
    TAILQ_FOREACH (other, &admission->started, in_list)
        unseen += memory_is_unseen(other);
    return (unseen + UNSEEN_AMPLE) * MEMORY_UNSEEN_BYTES <= memory_room(admission, moment);
}

static bool
is_same(struct memory_step a, struct memory_step b)
{
    return a.action == b.action && a.job == b.job;
}

/* What comes instead of it may be another that has to be asked for: few times, and the next look is soon. */
static struct memory_step
next_agreed(struct memory_share *share, const struct memory_admission *admission,
            struct memory_moment *moment)
{
    struct memory_step step = memory_next(admission, moment);

    for (unsigned i = 0; share->ask && i < QUESTIONS_MAX; i++) {
        bool is_start = step.action == MEMORY_START;
        if (!is_start && step.action != MEMORY_KILL)
            return step;
        if (is_start && is_counted(share, admission, moment, step.job))
            return step;
        if (is_start && share->is_refused)
            break;
        ask(share, admission, moment, is_start ? step.job : NULL,
            is_start ? 0 : step.job->used_bytes);
        const struct memory_step former = step;
        step = memory_next(admission, moment);
        if (!is_same(step, former)) {
            /* It is not killed, and others must not wait for that. */
            if (!is_start && share->ask)
                ask(share, admission, moment, NULL, 0);
            continue;
        }
        if (!is_start || !share->ask || step.job == share->granted)
            return step;
        share->is_refused = true;
        break;
    }
    return share->ask ? (struct memory_step){MEMORY_REST, NULL} : step;
}

static void
note_shortness(struct memory_share *share, bool is_short, int64_t now_ns)
{
    if (share->is_short)
        share->counts.waited_ms += (uint64_t)((now_ns - share->short_ns) / NS_A_MS);
    /* What is less than a millisecond is not lost. */
    if (share->is_short && is_short)
        share->short_ns = now_ns - (now_ns - share->short_ns) % NS_A_MS;
    else
        share->short_ns = now_ns;
    share->is_short = is_short;
}

struct memory_step
memory_share_next(struct memory_share *share, const struct memory_admission *admission,
                  struct memory_moment *moment)
{
    struct memory_step step = next_agreed(share, admission, moment);
    bool is_short = step.action != MEMORY_START && memory_first_waiting(admission) != NULL;

    note_shortness(share, is_short, moment->now_ns);
    return step;
}

/* Two looks one shortly after the other tell nothing of it. What is killed hides for a moment what the others go on
 * to take: so it is forgotten slowly. */
static void
note_fall(struct memory_share *share, struct memory_moment *moment)
{
    uint64_t former = share->seen_available_bytes, now = moment->available_bytes, fallen = 0;
    int64_t elapsed_ns = moment->now_ns - share->seen_ns;

    if (share->seen_ns != 0 && elapsed_ns < SHORT_NS / 2)
        return;
    if (share->seen_ns != 0 && former > now)
        fallen = (uint64_t)((double)(former - now) * SHORT_NS / (double)elapsed_ns);
    moment->fallen_bytes -= moment->fallen_bytes / 8;
    if (fallen > moment->fallen_bytes)
        moment->fallen_bytes = fallen;
    share->seen_available_bytes = now;
    share->seen_ns = moment->now_ns;
}

void
memory_share_look(struct memory_share *share, const struct memory_admission *admission,
                  struct memory_moment *moment)
{
    const struct memory_job *job = NULL;

    note_fall(share, moment);
    const struct memory_step step = memory_next(admission, moment);
    share->is_refused = false;
    if (!share->ask) {
        struct steved_memory seen = {0};
        tell_of_started(admission, &seen);
        note_peak(share, &seen);
        return;
    }
    if (step.action == MEMORY_START && !is_counted(share, admission, moment, step.job))
        job = step.job;
    else if (step.action == MEMORY_REST)
        job = memory_first_waiting(admission);
    ask(share, admission, moment, job, 0);
}

void
memory_share_gone(struct memory_share *share, const struct memory_admission *admission,
                  struct memory_moment *moment)
{
    if (share->ask && moment->others.running > 0)
        ask(share, admission, moment, NULL, 0);
}

/* Somebody may be waiting for just that. */
void
memory_share_ended(struct memory_share *share, const struct memory_admission *admission,
                   struct memory_moment *moment)
{
    bool is_over = TAILQ_EMPTY(&admission->started) && TAILQ_EMPTY(&admission->waiting) &&
                   TAILQ_EMPTY(&admission->dying);

    share->is_refused = false;
    share->granted = NULL;
    if (share->ask && share->is_told_of && (is_over || moment->others.waiting > 0))
        ask(share, admission, moment, NULL, 0);
}
