/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/memory/admission.h"

#include <stddef.h>

#include "libjobserver/memory/expectation.h"
#include "libjobserver/program/numbers.h"

/* Nothing is gained by killing one that has less, or that nobody has looked at yet. */
#define KILLED_LEAST_BYTES (UINT64_C(4) << 20)
/* An edited source may need so many times what it has needed before by the same command. */
#define WORST_TIMES 4
#define SAMPLE_NS (MEMORY_SAMPLE_SHORT_MS * INT64_C(1000000))
/* One that grows is expected to grow as fast for so many looks. */
#define GROWTH_LOOKS 4
/* One that grows by so much does something. */
#define IDLE_GROWTH_BYTES (UINT64_C(1) << 20)
/* One that is seen at work once in so many looks is not idle; one that sleeps and looks for a file is seen less
 * often. */
#define IDLE_LOOKS 5

/* --- figures --- */

static uint64_t
greater(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

uint64_t
memory_expected_peak(const struct memory_job *job)
{
    return lesser64(greater(job->expected_bytes, job->least_bytes), MEMORY_BYTES_MAX);
}

/* From one time to the next a job differs by less than this. */
static bool
is_as_expected(const struct memory_job *job)
{
    uint64_t peak = memory_expected_peak(job);

    return job->is_known && job->used_bytes <= peak + peak / 32;
}

/* One that has outgrown what was expected will grow a little more; and one that grows will go on for about as long as
 * it has, but not for ever. */
uint64_t
memory_growth_of(const struct memory_job *job)
{
    uint64_t peak = memory_expected_peak(job);
    uint64_t rest = peak > job->used_bytes ? peak - job->used_bytes : 0;
    uint64_t more = lesser64(GROWTH_LOOKS * job->pace_bytes, job->used_bytes);

    return is_as_expected(job) ? rest : greater(rest, greater(more, job->used_bytes / 10));
}

uint64_t
memory_expected_growth(const struct memory_admission *admission)
{
    const struct memory_job *job;
    uint64_t growth = 0;

    TAILQ_FOREACH (job, &admission->started, in_list)
        if (job->state == MEMORY_RUNS)
            growth += memory_growth_of(job);
    return growth;
}

/* By which it may grow until it is looked at again, besides what is kept for it. */
static uint64_t
unexpected_growth(const struct memory_job *job)
{
    return is_as_expected(job) ? lesser64(memory_expected_peak(job) / 20, MEMORY_GROWTH_BYTES)
                               : MEMORY_GROWTH_BYTES;
}

uint64_t
memory_floor(const struct memory_admission *admission, const struct memory_moment *moment)
{
    const struct memory_job *job;
    uint64_t total = lesser64(moment->total_bytes, MEMORY_BYTES_MAX), tick = 0;

    TAILQ_FOREACH (job, &admission->started, in_list)
        if (job->state == MEMORY_RUNS)
            tick += unexpected_growth(job);
    tick += moment->others.running * MEMORY_GROWTH_BYTES;
    return lesser64(greater(total / 20, tick), total / 100 * 15);
}

int64_t
memory_room(const struct memory_admission *admission, const struct memory_moment *moment)
{
    return (int64_t)lesser64(moment->available_bytes, MEMORY_BYTES_MAX) -
           (int64_t)memory_expected_growth(admission) - (int64_t)memory_floor(admission, moment) -
           (int64_t)lesser64(moment->others.growth_bytes, MEMORY_BYTES_MAX);
}

/* --- jobs --- */

void
memory_admission_init(struct memory_admission *admission)
{
    TAILQ_INIT(&admission->waiting);
    TAILQ_INIT(&admission->started);
    TAILQ_INIT(&admission->dying);
}

void
memory_add(struct memory_admission *admission, struct memory_job *job)
{
    job->state = MEMORY_WAITS;
    TAILQ_INSERT_TAIL(&admission->waiting, job, in_list);
}

void
memory_remove(struct memory_admission *admission, struct memory_job *job)
{
    switch (job->state) {
    case MEMORY_IS_OUT:
        return;
    case MEMORY_WAITS:
        TAILQ_REMOVE(&admission->waiting, job, in_list);
        break;
    case MEMORY_RUNS:
    case MEMORY_IS_STOPPED:
        TAILQ_REMOVE(&admission->started, job, in_list);
        break;
    case MEMORY_IS_DYING:
        TAILQ_REMOVE(&admission->dying, job, in_list);
        break;
    }
    job->state = MEMORY_IS_OUT;
}

/* Two looks one shortly after the other tell nothing of its pace. */
void
memory_sample(struct memory_job *job, uint64_t used_bytes, int64_t now_ns)
{
    uint64_t used = lesser64(used_bytes, MEMORY_BYTES_MAX), former = job->paced_bytes;
    int64_t elapsed_ns = now_ns - job->paced_ns;

    job->used_bytes = used;
    job->peak_bytes = greater(job->peak_bytes, used);
    if (used >= job->idle_bytes + IDLE_GROWTH_BYTES) {
        job->idle_bytes = used;
        job->idle_ns = 0;
    }
    if (elapsed_ns < SAMPLE_NS / 2)
        return;
    double grown = used > former ? (double)(used - former) : 0;
    job->pace_bytes = (uint64_t)(grown * SAMPLE_NS / (double)elapsed_ns);
    job->paced_bytes = used;
    job->paced_ns = now_ns;
    job->is_unseen = false;
}

void
memory_note_peak(struct memory_job *job, uint64_t bytes)
{
    job->peak_bytes = greater(job->peak_bytes, lesser64(bytes, MEMORY_BYTES_MAX));
}

/* --- idle ones --- */

void
memory_note_activity(struct memory_job *job, bool is_active, int64_t now_ns)
{
    int64_t passed_ns = now_ns - job->idle_seen_ns;

    job->idle_seen_ns = now_ns;
    /* Nobody has looked at it for a while. */
    if (passed_ns > 2 * MEMORY_IDLE_LOOK_NS)
        passed_ns = MEMORY_IDLE_LOOK_NS;
    job->idle_ns += is_active ? -(IDLE_LOOKS - 1) * passed_ns : passed_ns;
    if (job->idle_ns < 0)
        job->idle_ns = 0;
    if (job->idle_ns > MEMORY_IDLE_NS)
        job->idle_ns = MEMORY_IDLE_NS;
}

bool
memory_is_idle(const struct memory_job *job)
{
    return job->idle_ns >= MEMORY_IDLE_NS;
}

static struct memory_job *
first_at_work(const struct memory_admission *admission)
{
    struct memory_job *job;

    TAILQ_FOREACH (job, &admission->started, in_list)
        if (!memory_is_idle(job))
            return job;
    return NULL;
}

bool
memory_has_progress(const struct memory_admission *admission)
{
    return first_at_work(admission) != NULL;
}

struct memory_job *
memory_oldest(const struct memory_admission *admission)
{
    struct memory_job *job = first_at_work(admission);

    return job ? job : TAILQ_FIRST(&admission->started);
}

/* --- who comes next --- */

static struct memory_job *
first_stopped(const struct memory_admission *admission)
{
    struct memory_job *job;

    TAILQ_FOREACH (job, &admission->started, in_list)
        if (job->state == MEMORY_IS_STOPPED)
            return job;
    return NULL;
}

struct memory_job *
memory_first_waiting(const struct memory_admission *admission)
{
    struct memory_job *job;

    TAILQ_FOREACH (job, &admission->waiting, in_list)
        if (!job->is_held_up)
            return job;
    return NULL;
}

/* Who has been there longest, and is passed by who starts now. */
static struct memory_job *
first_in_line(const struct memory_admission *admission)
{
    struct memory_job *stopped = first_stopped(admission);

    return stopped ? stopped : memory_first_waiting(admission);
}

void
memory_started(struct memory_admission *admission, struct memory_job *job, int64_t now_ns)
{
    struct memory_job *first = first_in_line(admission);

    if (first && first != job)
        first->passes++;
    TAILQ_REMOVE(&admission->waiting, job, in_list);
    TAILQ_INSERT_TAIL(&admission->started, job, in_list);
    job->state = MEMORY_RUNS;
    job->used_bytes = job->peak_bytes = 0;
    job->paced_bytes = job->pace_bytes = 0;
    job->is_unseen = true;
    job->idle_bytes = 0;
    job->idle_ns = 0;
    job->started_ns = job->paced_ns = job->idle_seen_ns = now_ns;
}

void
memory_stopped(struct memory_job *job)
{
    job->state = MEMORY_IS_STOPPED;
    job->passes = 0;
}

void
memory_continued(struct memory_job *job)
{
    job->state = MEMORY_RUNS;
}

/* It cannot be killed for the same reason for ever: each time more is expected of it. */
void
memory_killed(struct memory_admission *admission, struct memory_job *job, int64_t now_ns)
{
    uint64_t had = job->used_bytes;

    TAILQ_REMOVE(&admission->started, job, in_list);
    TAILQ_INSERT_TAIL(&admission->dying, job, in_list);
    job->state = MEMORY_IS_DYING;
    job->least_bytes = greater(job->least_bytes, had + had / 10 * 3);
    job->killed_ns = now_ns;
    job->kills++;
}

void
memory_gone(struct memory_admission *admission, struct memory_job *job)
{
    TAILQ_REMOVE(&admission->dying, job, in_list);
    TAILQ_INSERT_HEAD(&admission->waiting, job, in_list);
    job->state = MEMORY_WAITS;
    job->used_bytes = 0;
    job->passes = 0;
}

/* --- too little --- */

static bool
is_dying_soon(const struct memory_job *job, int64_t now_ns)
{
    return now_ns - job->killed_ns < MEMORY_DEATH_NS;
}

uint64_t
memory_dying(const struct memory_admission *admission, int64_t now_ns)
{
    const struct memory_job *job;
    uint64_t bytes = 0;

    TAILQ_FOREACH (job, &admission->dying, in_list)
        if (is_dying_soon(job, now_ns))
            bytes += job->used_bytes;
    return bytes;
}

/* Memory is freed some time after the signal. */
static uint64_t
available_soon(const struct memory_admission *admission, const struct memory_moment *moment)
{
    return lesser64(moment->available_bytes, MEMORY_BYTES_MAX) +
           memory_dying(admission, moment->now_ns) +
           lesser64(moment->others.dying_bytes, MEMORY_BYTES_MAX);
}

/* In so many looks. Of which is known what it needs does not need more because it grows fast. */
static uint64_t
growth_soon(const struct memory_job *job, unsigned looks)
{
    uint64_t most =
        is_as_expected(job) ? memory_growth_of(job) + unexpected_growth(job) : MEMORY_BYTES_MAX;

    return lesser64(looks * job->pace_bytes, most);
}

/* Half the floor, or what is used up until one has looked again, and what is killed then is gone. Of two builds the
 * one that has the youngest job has a look more, so that it comes first. Others can claim any pace: as far as it is
 * not seen, they have only as much killed here as for a floor more. */
static uint64_t
least_available(const struct memory_admission *admission, const struct memory_moment *moment)
{
    const struct memory_others *others = &moment->others;
    const uint64_t floor = memory_floor(admission, moment);
    const struct memory_job *job;
    const unsigned looks = others->running > 0 && !others->has_younger ? 3 : 2;
    uint64_t growth =
        looks * lesser64(others->pace_bytes, greater(floor / 2, moment->fallen_bytes));

    TAILQ_FOREACH (job, &admission->started, in_list)
        if (job->state == MEMORY_RUNS)
            growth += growth_soon(job, looks);
    return greater(floor / 2, growth);
}

/* The oldest of all must come to its end. */
static bool
must_go_on(const struct memory_admission *admission, const struct memory_moment *moment,
           const struct memory_job *job)
{
    return job == memory_oldest(admission) && !moment->others.has_elder;
}

static uint64_t
worst_peak(const struct memory_job *job)
{
    uint64_t peak = WORST_TIMES * memory_expected_peak(job);

    return job->is_repeated ? peak : greater(peak, MEMORY_AMPLE_BYTES);
}

bool
memory_could_be_killed(const struct memory_admission *admission, const struct memory_moment *moment,
                       const struct memory_job *job)
{
    const uint64_t available = lesser64(moment->available_bytes, MEMORY_BYTES_MAX);
    const struct memory_job *other;
    uint64_t needed = memory_floor(admission, moment) + worst_peak(job) +
                      moment->others.running * MEMORY_AMPLE_BYTES;

    if (memory_expected_peak(job) == 0 || job->kills > 0)
        return true;
    TAILQ_FOREACH (other, &admission->started, in_list) {
        uint64_t peak = worst_peak(other);
        needed += peak > other->used_bytes ? peak - other->used_bytes : 0;
        if (needed > available)
            return true;
    }
    return needed > available;
}

static struct memory_job *
youngest_to_kill(const struct memory_admission *admission, const struct memory_moment *moment,
                 enum memory_state state)
{
    struct memory_job *job;

    TAILQ_FOREACH_REVERSE(job, &admission->started, memory_list, in_list)
    {
        if (!must_go_on(admission, moment, job) && job->state == state && job->may_run_twice &&
            job->used_bytes >= KILLED_LEAST_BYTES)
            return job;
    }
    return NULL;
}

struct memory_job *
memory_youngest(const struct memory_admission *admission, const struct memory_moment *moment)
{
    struct memory_job *job = youngest_to_kill(admission, moment, MEMORY_IS_STOPPED);

    return job ? job : youngest_to_kill(admission, moment, MEMORY_RUNS);
}

static struct memory_job *
next_kill(const struct memory_admission *admission, const struct memory_moment *moment)
{
    if (available_soon(admission, moment) >= least_available(admission, moment))
        return NULL;
    return memory_youngest(admission, moment);
}

/* What the oldest of all needs to end must be left for it by those that can only be stopped; but it gains nothing
 * by the small ones. */
static struct memory_job *
next_stop(const struct memory_admission *admission, const struct memory_moment *moment)
{
    struct memory_job *oldest = memory_oldest(admission), *job;

    if (!oldest || moment->others.has_inner)
        return NULL;
    uint64_t rest = moment->others.has_elder
                        ? lesser64(moment->others.elder_growth_bytes, MEMORY_BYTES_MAX)
                        : memory_growth_of(oldest);
    if (moment->available_bytes >= memory_floor(admission, moment) + rest)
        return NULL;
    TAILQ_FOREACH_REVERSE(job, &admission->started, memory_list, in_list)
    {
        if (!must_go_on(admission, moment, job) && job->state == MEMORY_RUNS &&
            !job->may_run_twice && !memory_is_idle(job) &&
            job->used_bytes + memory_growth_of(job) >= MEMORY_GROWTH_BYTES)
            return job;
    }
    return NULL;
}

/* --- enough --- */

static struct memory_job *
next_continue(const struct memory_admission *admission, const struct memory_moment *moment)
{
    struct memory_job *job = first_stopped(admission);

    if (!job)
        return NULL;
    if (must_go_on(admission, moment, job))
        return job;
    return (int64_t)memory_growth_of(job) <= memory_room(admission, moment) ? job : NULL;
}

/* Does anything do its work, or is about to make room? */
static bool
is_busy(const struct memory_admission *admission, const struct memory_moment *moment)
{
    const struct memory_job *job;

    TAILQ_FOREACH (job, &admission->dying, in_list)
        if (is_dying_soon(job, moment->now_ns))
            return true;
    return memory_has_progress(admission) || moment->others.running > 0;
}

bool
memory_is_unseen(const struct memory_job *job)
{
    return job->state == MEMORY_RUNS && job->is_unseen && memory_expected_peak(job) == 0;
}

/* Of those that run nobody knows anything about some, and has not seen them growing yet: sixteen of them are up
 * to gigabytes before one can kill any. Is there room for that, and for one more such? */
static bool
has_room_for_unseen(const struct memory_admission *admission, const struct memory_moment *moment,
                    int64_t left)
{
    const struct memory_job *job;
    int64_t unseen = moment->others.unseen;

    TAILQ_FOREACH (job, &admission->started, in_list)
        unseen += memory_is_unseen(job);
    return unseen == 0 || (unseen + 1) * MEMORY_UNSEEN_BYTES <= left;
}

/* The first that fits; but who has been passed too often is passed no more. */
static struct memory_job *
next_start(const struct memory_admission *admission, const struct memory_moment *moment)
{
    const struct memory_job *stopped = first_stopped(admission);
    struct memory_job *job;

    if (!is_busy(admission, moment) ||
        (moment->others.may_run_one && !memory_has_progress(admission)))
        return memory_first_waiting(admission);
    if (stopped && stopped->passes >= MEMORY_PASSES_MAX)
        return NULL;
    int64_t left = memory_room(admission, moment);
    bool unseen_may_start = has_room_for_unseen(admission, moment, left);
    TAILQ_FOREACH (job, &admission->waiting, in_list) {
        if (job->is_held_up || (memory_expected_peak(job) == 0 && !unseen_may_start))
            continue;
        if ((int64_t)memory_expected_peak(job) <= left)
            return job;
        if (job->passes >= MEMORY_PASSES_MAX)
            return NULL;
    }
    return NULL;
}

struct memory_step
memory_next(const struct memory_admission *admission, const struct memory_moment *moment)
{
    struct memory_job *job;

    if ((job = next_kill(admission, moment)))
        return (struct memory_step){MEMORY_KILL, job};
    if ((job = next_stop(admission, moment)))
        return (struct memory_step){MEMORY_STOP, job};
    if ((job = next_continue(admission, moment)))
        return (struct memory_step){MEMORY_CONTINUE, job};
    if ((job = next_start(admission, moment)))
        return (struct memory_step){MEMORY_START, job};
    return (struct memory_step){MEMORY_REST, NULL};
}

int
memory_sample_ms(const struct memory_admission *admission, const struct memory_moment *moment)
{
    bool is_short = moment->available_bytes < moment->total_bytes / 4;
    bool is_waited_for = !TAILQ_EMPTY(&admission->waiting) || !TAILQ_EMPTY(&admission->dying) ||
                         first_stopped(admission) || moment->others.waiting > 0;

    return is_short || is_waited_for ? MEMORY_SAMPLE_SHORT_MS : MEMORY_SAMPLE_LONG_MS;
}
