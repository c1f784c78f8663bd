/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Whole builds in simulated time: jobs whose memory grows as compilers' does, on a machine that has too
 * little for as many as it has slots. The kernel must never kill, and the build must not take much
 * longer than work and memory allow. Without MEMORY_SIMULATION_SEEDS in the environment few seeds are
 * tried; each cell's figures are shown. Policies that only look at free memory lose jobs to the kernel in
 * each of these builds.
 */

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <cmocka.h>

#include "libjobserver/memory/admission.h"
#include "libjobserver/memory/arbiter.h"
#include "libjobserver/memory/expectation.h"
#include "libjobserver/memory/share.h"

#define TICK_S 0.1
#define TICK_NS INT64_C(100000000)
#define MIB (1 << 20)
#define SEEDS 3
#define JOBS_MAX 4000
#define TICKS_MAX 300000
#define BUILDS_MAX 2
#define KERNEL_KILLS_MAX 400 /* then it is given up */

/* --- chance --- */

struct chance {
    uint64_t state;
};

static double
uniform(struct chance *chance, double from, double to)
{
    uint64_t z = (chance->state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    z ^= z >> 31;
    return from + (to - from) * (double)(z >> 11) / (double)(UINT64_C(1) << 53);
}

static double
normal(struct chance *chance)
{
    double u = uniform(chance, 1e-12, 1), v = uniform(chance, 0, 1);

    return sqrt(-2 * log(u)) * cos(2 * M_PI * v);
}

/* --- jobs --- */

enum shape { RAMP, LATE, CONSTANT, MEASURED };

struct job {
    struct memory_job memory;
    double peak_mib, duration_s, done_s, used_mib;
    uint64_t recorded_bytes; /* its peak in an earlier build; 0: it was not there */
    enum shape shape;
    bool is_link; /* begins when all compile jobs have ended */
    bool is_here; /* at the gate, or past it */
    bool has_ended;
};

/* Parts of the peak after parts of the run, as measured with a compiler that optimises. */
static double
measured(double x)
{
    static const double at[] = {0, .25, .5, .75, .9, 1}, used[] = {.1, .55, .83, .95, .99, 1};

    for (size_t i = 1; i < 6; i++)
        if (x <= at[i])
            return used[i - 1] + (used[i] - used[i - 1]) * (x - at[i - 1]) / (at[i] - at[i - 1]);
    return 1;
}

static double
used_part(enum shape shape, double x)
{
    switch (shape) {
    case RAMP:
        return 0.12 + 0.88 * fmin(1, x / 0.95);
    case LATE: /* parses to half, and then optimises */
        return x < 0.75 ? 0.1 + 0.4 * x / 0.75 : 0.5 + 0.5 * fmin(1, (x - 0.75) / 0.18);
    case CONSTANT:
        return fmin(1, 0.1 + x * 9);
    default:
        return measured(x);
    }
}

static enum shape
any_shape(struct chance *chance)
{
    double which = uniform(chance, 0, 100);

    return which < 55 ? RAMP : which < 85 ? LATE : CONSTANT;
}

static void
make_compile(struct chance *chance, struct job *job, double median_mib, double spread,
             double max_mib, double median_s)
{
    double z = normal(chance);

    job->peak_mib = fmin(max_mib, median_mib * exp(spread * z));
    job->duration_s = median_s * exp(0.45 * z + 0.3 * normal(chance));
    job->shape = any_shape(chance);
}

static void
make_heavy(struct chance *chance, struct job *job, double least_mib, double most_mib,
           double least_s, double most_s)
{
    job->peak_mib = uniform(chance, least_mib, most_mib);
    job->duration_s = uniform(chance, least_s, most_s);
    job->shape = any_shape(chance);
}

/* --- builds --- */

struct build {
    struct job *jobs;
    unsigned count, slots;
    double total_mib, others_mib; /* of the machine, and what is always used */
};

static void
shuffle(struct chance *chance, struct job *jobs, unsigned count)
{
    for (unsigned i = count; i > 1; i--) {
        unsigned other = (unsigned)uniform(chance, 0, i);
        struct job job = jobs[i - 1];
        jobs[i - 1] = jobs[other];
        jobs[other] = job;
    }
}

static int
heavier_first(const void *left, const void *right)
{
    const struct job *a = left, *b = right;

    return (a->peak_mib < b->peak_mib) - (a->peak_mib > b->peak_mib);
}

/* The heaviest of a directory come together: a fiftieth of all jobs, in three lumps, after a quarter, a half
 * and three quarters of the others. They stand first in `jobs`. */
static void
cluster(struct job *jobs, unsigned count)
{
    unsigned heavy = count / 50, light = count - heavy, lump = heavy / 3 + 1, to = 0;
    struct job *sorted = malloc(count * sizeof(*sorted));

    assert_non_null(sorted);
    memcpy(sorted, jobs, count * sizeof(*sorted));
    for (unsigned quarter = 0; quarter < 4; quarter++) {
        unsigned from = light * quarter / 4, n = light * (quarter + 1) / 4 - from;
        memcpy(jobs + to, sorted + heavy + from, n * sizeof(*jobs));
        to += n;
        unsigned first = quarter * lump, left = first < heavy ? heavy - first : 0;
        n = quarter == 3 ? 0 : left < lump || quarter == 2 ? left : lump;
        memcpy(jobs + to, sorted + first, n * sizeof(*jobs));
        to += n;
    }
    assert_int_equal(to, count);
    free(sorted);
}

static struct build
webkit(struct chance *chance, struct job *jobs)
{
    for (unsigned i = 0; i < 2000; i++) {
        if (i < 40)
            make_heavy(chance, &jobs[i], 3000, 6000, 50, 130);
        else
            make_compile(chance, &jobs[i], 400, 0.45, 1500, 12);
    }
    shuffle(chance, jobs, 2000);
    return (struct build){jobs, 2000, 16, 32000, 1500};
}

static struct build
webkit_cluster(struct chance *chance, struct job *jobs)
{
    struct build build = webkit(chance, jobs);
    unsigned heavy = build.count / 50;

    qsort(jobs, build.count, sizeof(*jobs), heavier_first);
    shuffle(chance, jobs + heavy, build.count - heavy);
    cluster(jobs, build.count);
    for (unsigned i = 0; i < build.count; i++)
        jobs[i].shape = MEASURED;
    return build;
}

static struct build
webkit_heavy_first(struct chance *chance, struct job *jobs)
{
    struct build build = webkit(chance, jobs);

    qsort(jobs, build.count, sizeof(*jobs), heavier_first);
    return build;
}

static struct build
llvm(struct chance *chance, struct job *jobs)
{
    for (unsigned i = 0; i < 3000; i++)
        make_compile(chance, &jobs[i], 300, 0.4, 1500, 8);
    for (unsigned i = 3000; i < 3080; i++) {
        make_heavy(chance, &jobs[i], 4000, 8000, 20, 60);
        jobs[i].shape = uniform(chance, 0, 1) < 0.5 ? RAMP : CONSTANT;
        jobs[i].is_link = true;
    }
    shuffle(chance, jobs, 3000);
    shuffle(chance, jobs + 3000, 80);
    return (struct build){jobs, 3080, 16, 32000, 1500};
}

static struct build
ci_heavy_first(struct chance *chance, struct job *jobs)
{
    for (unsigned i = 0; i < 300; i++) {
        if (i < 15)
            make_heavy(chance, &jobs[i], 1500, 2800, 40, 90);
        else
            make_compile(chance, &jobs[i], 350, 0.4, 1200, 10);
    }
    qsort(jobs, 300, sizeof(*jobs), heavier_first);
    return (struct build){jobs, 300, 2, 4000, 500};
}

/* --- how fast it could be --- */

static double
job_area(const struct job *job)
{
    double parts = 0;

    for (unsigned k = 0; k < 50; k++)
        parts += used_part(job->shape, (k + .5) / 50);
    return job->peak_mib * job->duration_s * parts / 50;
}

static double
bound_of(const struct build *build, bool links)
{
    double work_s = 0, area = 0, longest_s = 0;

    for (unsigned i = 0; i < build->count; i++) {
        const struct job *job = &build->jobs[i];
        if (job->is_link == links) {
            work_s += job->duration_s;
            area += job_area(job);
            longest_s = fmax(longest_s, job->duration_s);
        }
    }
    return fmax(fmax(work_s / build->slots, area / (build->total_mib - build->others_mib)),
                longest_s);
}

/* No order is faster than this. */
static double
bound(const struct build *build)
{
    return bound_of(build, false) + bound_of(build, true);
}

/* --- one run --- */

struct policy {
    const char *name;
    double error;   /* records are wrong by up to so much */
    double unknown; /* so many of the jobs have none */
};

struct run {
    struct build build;
    struct memory_admission admission;
    struct memory_peaks peaks[2]; /* of compile jobs, of links */
    uint64_t medians[2];
    unsigned running, here, compiles_left, ended, kernel_kills, own_kills;
    int64_t now_ns;
    struct world *world;
    struct memory_share share;
    struct memory_party party;
    struct memory_moment moment;
};

/* The builds that run at the same time, and who arbitrates between them if there are several. */
struct world {
    struct run *runs[BUILDS_MAX];
    unsigned count, asked;
    struct memory_arbiter arbiter;
};

static struct job *
job_of(struct memory_job *memory)
{
    return (struct job *)((char *)memory - offsetof(struct job, memory));
}

/* As a history would have it. */
static void
expect(const struct run *run, struct job *job)
{
    const struct memory_record record = {.peak_bytes = job->recorded_bytes, .command = 1};

    job->memory.expected_bytes =
        memory_expect(&record, job->recorded_bytes ? 1 : 0, 1, run->medians[job->is_link], 0).bytes;
}

/* The client starts as many as a window of four times the slots, and no link before all else is there. */
static void
arrive(struct run *run)
{
    const struct build *build = &run->build;

    for (unsigned i = 0; i < build->count && run->here - run->ended < 4 * build->slots; i++) {
        struct job *job = &build->jobs[i];
        if (job->is_here)
            continue;
        if (job->is_link && run->compiles_left > 0)
            return;
        job->is_here = true;
        run->here++;
        expect(run, job);
        memory_add(&run->admission, &job->memory);
    }
}

static uint64_t
bytes_of(double mib)
{
    return mib > 0 ? (uint64_t)(mib * MIB) : 0;
}

/* By all, the dying included. */
static double
used_mib(const struct world *world)
{
    double used = world->runs[0]->build.others_mib;
    struct memory_job *memory;

    for (unsigned i = 0; i < world->count; i++) {
        struct run *run = world->runs[i];
        TAILQ_FOREACH (memory, &run->admission.started, in_list)
            used += job_of(memory)->used_mib;
        TAILQ_FOREACH (memory, &run->admission.dying, in_list)
            used += job_of(memory)->used_mib;
    }
    return used;
}

static int
ask(void *server, struct steved_memory *memory)
{
    struct run *run = server;
    struct memory_arbiter *arbiter = &run->world->arbiter;

    run->world->asked++;
    assert_int_equal(memory_arbiter_tell(arbiter, &run->party, memory, run->now_ns), 0);
    memory_arbiter_answer(arbiter, &run->party, NULL, memory, run->now_ns);
    return 0;
}

static void
look(struct run *run)
{
    struct memory_job *memory;

    TAILQ_FOREACH (memory, &run->admission.started, in_list)
        memory_sample(memory, bytes_of(job_of(memory)->used_mib), run->now_ns);
    run->moment.available_bytes = bytes_of(run->build.total_mib - used_mib(run->world));
    run->moment.total_bytes = bytes_of(run->build.total_mib);
    run->moment.now_ns = run->now_ns;
    memory_share_look(&run->share, &run->admission, &run->moment);
}

static unsigned
free_slots(const struct world *world)
{
    unsigned running = 0;

    for (unsigned i = 0; i < world->count; i++)
        running += world->runs[i]->running;
    return world->runs[0]->build.slots - running;
}

static void
decide(struct run *run)
{
    for (;;) {
        struct memory_step step = memory_share_next(&run->share, &run->admission, &run->moment);
        switch (step.action) {
        case MEMORY_KILL:
            memory_killed(&run->admission, step.job, run->now_ns);
            run->running--;
            run->own_kills++;
            break;
        case MEMORY_START:
            if (free_slots(run->world) == 0)
                return;
            memory_started(&run->admission, step.job, run->now_ns);
            job_of(step.job)->done_s = 0;
            run->running++;
            break;
        case MEMORY_REST:
            return;
        default:
            fail(); /* all may run twice */
        }
    }
}

/* Memory is free some time after the signal: what was killed in this tick is gone in the next. */
static void
bury(struct run *run)
{
    struct memory_job *memory, *next;

    for (memory = TAILQ_FIRST(&run->admission.dying); memory; memory = next) {
        next = TAILQ_NEXT(memory, in_list);
        if (memory->killed_ns == run->now_ns)
            continue;
        memory_gone(&run->admission, memory);
        job_of(memory)->used_mib = 0;
    }
}

static void
learn(struct run *run, struct job *job)
{
    struct memory_peaks *peaks = &run->peaks[job->is_link];
    struct memory_job *memory;

    memory_peaks_add(peaks, bytes_of(job->peak_mib));
    if (peaks->count >= 10 && run->ended % 25 > 0)
        return;
    run->medians[job->is_link] = memory_peaks_median(peaks);
    TAILQ_FOREACH (memory, &run->admission.waiting, in_list)
        expect(run, job_of(memory));
}

static void
end(struct run *run, struct job *job)
{
    memory_remove(&run->admission, &job->memory);
    job->used_mib = 0;
    job->has_ended = true;
    run->running--;
    run->ended++;
    run->compiles_left -= !job->is_link;
    learn(run, job);
    memory_share_ended(&run->share, &run->admission, &run->moment);
}

static void
work(struct run *run)
{
    struct memory_job *memory, *next;

    for (memory = TAILQ_FIRST(&run->admission.started); memory; memory = next) {
        struct job *job = job_of(memory);
        next = TAILQ_NEXT(memory, in_list);
        job->done_s += TICK_S;
        job->used_mib = job->peak_mib * used_part(job->shape, job->done_s / job->duration_s);
        if (job->done_s >= job->duration_s)
            end(run, job);
    }
}

/* As the kernel does: the largest. */
static void
run_out(struct world *world)
{
    while (used_mib(world) > world->runs[0]->build.total_mib) {
        struct memory_job *memory, *largest = NULL;
        struct run *its = NULL;
        for (unsigned i = 0; i < world->count; i++) {
            TAILQ_FOREACH (memory, &world->runs[i]->admission.started, in_list) {
                if (largest && job_of(memory)->used_mib <= job_of(largest)->used_mib)
                    continue;
                largest = memory;
                its = world->runs[i];
            }
        }
        if (!largest)
            return;
        memory_remove(&its->admission, largest);
        memory_add(&its->admission, largest);
        job_of(largest)->used_mib = 0;
        its->running--;
        its->kernel_kills++;
    }
}

static void
remember(struct run *run, const struct policy *policy, struct chance *chance)
{
    for (unsigned i = 0; i < run->build.count; i++) {
        struct job *job = &run->build.jobs[i];
        double wrong = 1 + uniform(chance, -policy->error, policy->error);
        bool is_known = uniform(chance, 0, 1) >= policy->unknown;
        job->recorded_bytes = is_known ? bytes_of(job->peak_mib * wrong) : 0;
        job->memory.may_run_twice = true;
        run->compiles_left += !job->is_link;
    }
}

static void
join(struct world *world, struct run *run, const struct policy *policy, struct chance *chance)
{
    memory_admission_init(&run->admission);
    remember(run, policy, chance);
    run->world = world;
    world->runs[world->count++] = run;
}

/* Several share what there is, and its slots. */
static void
share(struct world *world)
{
    memory_arbiter_init(&world->arbiter);
    for (unsigned i = 0; i < world->count; i++) {
        struct run *run = world->runs[i];
        memory_party_init(&run->party, 0);
        memory_arbiter_join(&world->arbiter, &run->party, 0, NULL, 0);
        run->share = (struct memory_share){.ask = ask, .server = run};
    }
}

/* false: all has ended. */
static bool
tick(struct world *world, int64_t now_ns)
{
    bool is_busy = false;

    for (unsigned i = 0; i < world->count; i++) {
        struct run *run = world->runs[(i + (unsigned)(now_ns / TICK_NS)) % world->count];
        run->now_ns = now_ns;
        is_busy |= run->ended < run->build.count;
        arrive(run);
        look(run);
        decide(run);
    }
    for (unsigned i = 0; i < world->count; i++) {
        work(world->runs[i]);
        bury(world->runs[i]);
        assert_true(world->runs[i]->kernel_kills < KERNEL_KILLS_MAX);
    }
    run_out(world);
    return is_busy;
}

/* How many times longer than the bound. */
static double
simulate(struct world *world)
{
    unsigned ticks = 0;
    double least = 0;

    for (unsigned i = 0; i < world->count; i++)
        least += bound(&world->runs[i]->build);
    while (tick(world, ticks * TICK_NS))
        assert_true(++ticks < TICKS_MAX);
    return ticks * TICK_S / least;
}

/* --- the table --- */

static const struct policy policies[] = {
    {"exact", 0, 0},
    {"+-20 %", 0.2, 0},
    {"10 % unknown", 0.2, 0.1},
    {"first build", 0, 1},
};

struct cell {
    double mean, worst; /* of the bound */
    unsigned kernel_kills, own_kills;
};

static unsigned
count_seeds(void)
{
    const char *text = getenv("MEMORY_SIMULATION_SEEDS");

    return text && atoi(text) > 0 ? (unsigned)atoi(text) : SEEDS;
}

static struct cell
fill_cell(struct build (*make)(struct chance *, struct job *), const struct policy *policy)
{
    struct cell cell = {0};
    unsigned seeds = count_seeds();
    struct job *jobs = malloc(JOBS_MAX * sizeof(*jobs));

    assert_non_null(jobs);
    for (unsigned seed = 1; seed <= seeds; seed++) {
        struct chance chance = {seed};
        memset(jobs, 0, JOBS_MAX * sizeof(*jobs));
        struct run run = {.build = make(&chance, jobs)};
        struct world world = {.count = 0};
        join(&world, &run, policy, &chance);
        double ratio = simulate(&world);
        cell.mean += ratio / seeds;
        cell.worst = fmax(cell.worst, ratio);
        cell.kernel_kills += run.kernel_kills;
        cell.own_kills += run.own_kills;
    }
    free(jobs);
    return cell;
}

/* limits: one a policy, what the worst seed may take. */
static void
check_row(const char *name, struct build (*make)(struct chance *, struct job *),
          const double limits[])
{
    for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
        struct cell cell = fill_cell(make, &policies[i]);
        printf("# %-18s %-12s mean %.2f worst %.2f kernel kills %u own kills %u\n", name,
               policies[i].name, cell.mean, cell.worst, cell.kernel_kills, cell.own_kills);
        assert_int_equal(cell.kernel_kills, 0);
        assert_true(cell.worst <= limits[i]);
    }
}

static void
test_webkit_cluster(void **state)
{
    check_row("webkit cluster", webkit_cluster, (double[]){1.13, 1.15, 1.17, 1.18});
}

static void
test_webkit_heavy_first(void **state)
{
    check_row("webkit heavy first", webkit_heavy_first, (double[]){1.21, 1.21, 1.24, 1.44});
}

static void
test_llvm(void **state)
{
    check_row("llvm", llvm, (double[]){1.19, 1.20, 1.23, 1.22});
}

static void
test_ci_heavy_first(void **state)
{
    check_row("ci heavy first", ci_heavy_first, (double[]){1.20, 1.20, 1.22, 1.47});
}

/* Two builds at once: what is known of the second is as bad. */
static void
check_pair(const char *name, struct build (*const make[])(struct chance *, struct job *),
           const double limits[])
{
    struct job *jobs = malloc(BUILDS_MAX * JOBS_MAX * sizeof(*jobs));

    assert_non_null(jobs);
    for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++) {
        struct chance chance = {i + 1};
        struct world world = {.count = 0};
        struct run runs[BUILDS_MAX] = {0};
        memset(jobs, 0, BUILDS_MAX * JOBS_MAX * sizeof(*jobs));
        for (unsigned n = 0; n < BUILDS_MAX; n++) {
            runs[n].build = make[n](&chance, jobs + n * JOBS_MAX);
            join(&world, &runs[n], &policies[i], &chance);
        }
        share(&world);
        double ratio = simulate(&world);
        printf("# %-18s %-12s %.2f kernel kills %u own kills %u asked %u\n", name, policies[i].name,
               ratio, runs[0].kernel_kills + runs[1].kernel_kills,
               runs[0].own_kills + runs[1].own_kills, world.asked);
        assert_int_equal(runs[0].kernel_kills + runs[1].kernel_kills, 0);
        assert_true(ratio <= limits[i]);
    }
    free(jobs);
}

static void
test_two_builds(void **state)
{
    check_pair(
        "webkit twice",
        (struct build(*[])(struct chance *, struct job *)){webkit_heavy_first, webkit_heavy_first},
        (double[]){1.20, 1.20, 1.22, 1.42});
}

static void
test_two_small_builds(void **state)
{
    check_pair("ci twice",
               (struct build(*[])(struct chance *, struct job *)){ci_heavy_first, ci_heavy_first},
               (double[]){1.20, 1.20, 1.20, 1.42});
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_webkit_cluster), cmocka_unit_test(test_webkit_heavy_first),
        cmocka_unit_test(test_llvm),           cmocka_unit_test(test_ci_heavy_first),
        cmocka_unit_test(test_two_builds),     cmocka_unit_test(test_two_small_builds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
