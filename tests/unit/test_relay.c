/* SPDX-License-Identifier: GPL-2.0-or-later */
/* relay_policy, with a world of its own: a parent with some tokens, a FIFO, and a clock. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "jobwrap/loans.h"
#include "jobwrap/relay_policy.h"
#include "tests/unit/chance.h"

#define MS INT64_C(1000000)

struct world {
    struct relay_policy policy;
    struct relay_view view;
    unsigned parent_free;
    bool parent_waiting; /* somebody waits there */
    unsigned most;       /* that a limit lets be borrowed */
    int64_t now_ns;
    int64_t deadline_ns;
    bool watches_parent, watches_fifo;
    unsigned borrowings, returns, dropped, asked, wakeups;
    struct loans *loans; /* NULL: only their numbers are of interest */
};

static void
init(struct world *world, unsigned parent_free, unsigned cap)
{
    struct relay_config config = relay_config_default;

    *world = (struct world){
        .view.held = 1, .parent_free = parent_free, .most = UINT_MAX, .now_ns = 1000 * MS};
    config.cap = cap;
    relay_policy_init(&world->policy, &config, world->now_ns);
}

static void
borrow(struct world *world, unsigned count)
{
    for (; count > 0; count--) {
        world->view.is_parent_empty =
            world->parent_free == 0 || world->view.borrowed >= world->most;
        if (world->view.is_parent_empty)
            return;
        world->parent_free--;
        world->view.borrowed++;
        world->view.held++;
        world->view.lying++;
        world->borrowings++;
        relay_policy_laid(&world->policy, world->now_ns);
    }
}

static void
give_back(struct world *world, unsigned count)
{
    assert_true(count <= world->view.borrowed);
    world->view.borrowed -= count;
    world->view.held -= count;
    world->parent_free += count;
    world->returns += count;
}

static void
end_loans(struct world *world, unsigned count)
{
    assert_true(count <= world->view.missing && count <= world->view.on_loan);
    world->view.missing -= count;
    world->view.on_loan -= count;
    for (; world->loans && count > 0; count--)
        loans_pay(world->loans);
}

static void
cover(struct world *world, unsigned count)
{
    for (; count > 0; count--) {
        world->view.is_parent_empty = world->parent_free == 0;
        if (world->view.is_parent_empty)
            return;
        world->parent_free--;
        world->view.held++;
        end_loans(world, 1);
    }
}

static void
do_step(struct world *world, const struct relay_step *step)
{
    switch (step->action) {
    case RELAY_BORROW:
        assert_true(world->view.borrowed + step->count - world->view.on_loan <=
                    world->policy.config.cap);
        borrow(world, step->count);
        break;
    case RELAY_TAKE_HOME:
        assert_true(step->count <= world->view.lying);
        world->view.lying -= step->count;
        give_back(world, step->count);
        break;
    case RELAY_DROP:
        world->view.lying -= step->count;
        world->dropped += step->count;
        break;
    case RELAY_PAY:
        assert_true(step->count <= world->view.lying);
        world->view.lying -= step->count;
        world->view.borrowed -= step->count;
        end_loans(world, step->count);
        break;
    case RELAY_COVER:
        cover(world, step->count);
        break;
    case RELAY_VOID:
        world->view.lying -= step->count;
        world->view.borrowed -= step->count;
        world->view.on_loan -= step->count;
        if (world->loans)
            loans_void(world->loans, step->count);
        break;
    case RELAY_ASK:
        world->asked++;
        world->view.parent =
            world->parent_waiting || world->parent_free == 0 ? RELAY_NEEDED : RELAY_NOT_NEEDED;
        break;
    case RELAY_WAIT:
        break;
    }
}

/* Something has happened: what the relay does until it waits again. */
static void
wake(struct world *world)
{
    struct relay_step step;
    int steps = 0;

    world->wakeups++;
    world->view.parent = RELAY_NEED_UNKNOWN;
    do {
        world->view.excess =
            world->view.borrowed > world->most ? world->view.borrowed - world->most : 0;
        step = relay_policy_next(&world->policy, &world->view, world->now_ns);
        world->view.is_touched = false;
        do_step(world, &step);
        assert_true(++steps < 100);
    } while (step.action != RELAY_WAIT);
    assert_true(step.deadline_ns > world->now_ns);
    world->deadline_ns = step.deadline_ns;
    world->watches_parent = step.watches_parent;
    world->watches_fifo = step.watches_fifo;
}

static void
parent_gets(struct world *world, unsigned tokens)
{
    world->parent_free += tokens;
    if (world->watches_parent) {
        world->view.is_parent_empty = false;
        wake(world);
    }
}

/* Time passes, with the relay's timers, and the events at the parent that it watches. */
static void
pass(struct world *world, int64_t ns)
{
    int64_t end_ns = world->now_ns + ns;

    for (;;) {
        if (world->watches_parent && world->parent_free > 0)
            parent_gets(world, 0);
        if (world->deadline_ns > end_ns)
            break;
        world->now_ns = world->deadline_ns;
        wake(world);
    }
    world->now_ns = end_ns;
}

/* A job of the build takes a token; false: none lies there. */
static bool
take(struct world *world)
{
    if (world->view.lying == 0)
        return false;
    world->view.lying--;
    world->view.is_touched = true;
    wake(world);
    return true;
}

static void
put(struct world *world)
{
    world->view.lying++;
    world->view.is_touched = true;
    wake(world);
}

static void
test_one_token_floats(void **state)
{
    struct world world;

    init(&world, 8, UINT_MAX);
    wake(&world);
    assert_int_equal(world.view.lying, 1);
    assert_int_equal(world.view.borrowed, 1);
    assert_true(take(&world));
    assert_int_equal(world.view.lying, 1);
    assert_int_equal(world.view.borrowed, 2);
}

static void
test_cap_is_never_passed(void **state)
{
    struct world world;

    init(&world, 8, 3);
    wake(&world);
    for (int i = 0; i < 3; i++)
        assert_true(take(&world));
    assert_false(take(&world));
    assert_int_equal(world.view.borrowed, 3);
    assert_false(world.watches_parent);
    init(&world, 8, 0);
    wake(&world);
    assert_int_equal(world.view.borrowed, 0);
    assert_int_equal(world.deadline_ns, RELAY_NO_DEADLINE);
}

static void
test_empty_parent_is_watched_without_a_timer(void **state)
{
    struct world world;

    init(&world, 0, UINT_MAX);
    wake(&world);
    assert_true(world.watches_parent);
    assert_int_equal(world.deadline_ns, RELAY_NO_DEADLINE);
    parent_gets(&world, 1);
    assert_int_equal(world.view.lying, 1);
    assert_false(world.watches_parent);
}

static void
test_jobs_that_follow_each_other_do_not_bother_the_parent(void **state)
{
    struct world world;

    init(&world, 8, UINT_MAX);
    wake(&world);
    assert_true(take(&world));
    for (int i = 0; i < 1000; i++) {
        put(&world);
        pass(&world, MS);
        assert_true(take(&world));
        pass(&world, 20 * MS);
    }
    assert_int_equal(world.borrowings, 2);
    assert_int_equal(world.returns, 0);
}

static void
test_surplus_goes_home_after_a_moment(void **state)
{
    struct world world;

    init(&world, 8, UINT_MAX);
    wake(&world);
    for (int i = 0; i < 4; i++)
        assert_true(take(&world));
    for (int i = 0; i < 4; i++)
        put(&world);
    assert_int_equal(world.view.lying, 5);
    pass(&world, 5 * MS);
    assert_int_equal(world.view.lying, 1);
    assert_int_equal(world.parent_free, 7);
}

static void
test_surplus_goes_home_at_once_if_somebody_waits(void **state)
{
    struct world world;

    init(&world, 8, UINT_MAX);
    wake(&world);
    assert_true(take(&world));
    world.parent_waiting = true;
    put(&world);
    assert_int_equal(world.view.lying, 1);
    assert_int_equal(world.returns, 1);
}

static void
test_idle_float_goes_home_if_the_parent_has_none(void **state)
{
    struct world world;

    init(&world, 1, UINT_MAX);
    wake(&world);
    pass(&world, 99 * MS);
    assert_int_equal(world.view.lying, 1);
    pass(&world, 2 * MS);
    assert_int_equal(world.view.lying, 0);
    assert_int_equal(world.parent_free, 1);
}

static void
test_idle_float_stays_while_the_parent_has_others_and_costs_little(void **state)
{
    struct world world;

    init(&world, 4, UINT_MAX);
    wake(&world);
    pass(&world, 60000 * MS);
    assert_int_equal(world.view.lying, 1);
    assert_int_equal(world.borrowings, 1);
    assert_true(world.wakeups < 100);
}

/* Nobody here wants a token: how long is one kept from those who wait at the parent? */
static void
test_probes_become_rare_and_short(void **state)
{
    struct world world;
    int64_t lying_ns = 0;

    init(&world, 1, UINT_MAX);
    wake(&world);
    pass(&world, 2000 * MS);
    unsigned before = world.wakeups;
    for (int i = 0; i < 10000; i++) {
        pass(&world, MS);
        lying_ns += world.view.lying * MS;
    }
    unsigned wakeups = world.wakeups - before;
    assert_true(wakeups >= 20 && wakeups <= 10 * 10);
    assert_true(lying_ns >= 1 && lying_ns <= 300 * MS);
}

static void
test_probe_serves_who_waits_here(void **state)
{
    struct world world;
    int64_t waited_ns = 0;

    init(&world, 2, UINT_MAX);
    wake(&world);
    assert_true(take(&world)); /* and the float is the parent's last */
    pass(&world, 5000 * MS);
    while (!take(&world)) {
        pass(&world, MS);
        waited_ns += MS;
    }
    assert_true(waited_ns <= 325 * MS);
    /* Demand was seen: the next token comes without a probe's delay. */
    assert_false(world.policy.is_resting);
    parent_gets(&world, 1);
    assert_int_equal(world.view.lying, 1);
}

/* Who counts by taking all that lies there sees no more than that. */
static void
test_after_a_rest_the_whole_float_lies_there_again(void **state)
{
    struct world world;

    init(&world, 2, UINT_MAX);
    world.policy.config.floating = 4;
    wake(&world);
    assert_int_equal(world.view.lying, 2);
    world.parent_waiting = true;
    pass(&world, 300 * MS);
    assert_true(world.policy.is_resting);
    world.parent_waiting = false;
    parent_gets(&world, 6);
    pass(&world, 400 * MS);
    assert_int_equal(world.view.lying, 4);
    unsigned before = world.wakeups;
    pass(&world, 60000 * MS);
    assert_true(world.wakeups < before + 100);
}

static void
test_a_token_that_returns_is_not_taken_for_demand(void **state)
{
    struct world world;

    init(&world, 2, UINT_MAX);
    wake(&world);
    assert_true(take(&world));
    pass(&world, 1000 * MS);
    put(&world);
    pass(&world, 2000 * MS);
    assert_true(world.view.borrowed <= 1);
}

static void
test_what_was_never_lent_is_dropped(void **state)
{
    struct world world;

    init(&world, 8, UINT_MAX);
    wake(&world);
    world.view.lying += 5;
    wake(&world);
    assert_int_equal(world.dropped, 5);
    assert_int_equal(world.view.lying, 1);
    assert_int_equal(world.view.borrowed, 1);
}

static void
test_what_lies_goes_home_while_a_limit_is_on(void **state)
{
    struct world world;

    init(&world, 6, UINT_MAX);
    world.policy.config.floating = 6;
    wake(&world);
    assert_true(take(&world));
    assert_true(take(&world));
    assert_int_equal(world.view.lying, 4);
    world.most = 1;
    wake(&world);
    assert_int_equal(world.view.lying, 0);
    assert_int_equal(world.view.borrowed, 2); /* what jobs have they keep */
    assert_true(world.watches_parent);
    assert_true(world.watches_fifo); /* the token of the next job that ends */
    put(&world);
    wake(&world);
    assert_int_equal(world.view.lying, 0);
    assert_false(world.watches_fifo);
    put(&world);
    wake(&world);
    assert_int_equal(world.view.lying, 1);
    world.most = UINT_MAX;
    world.view.is_parent_empty = false; /* its turn has come */
    wake(&world);
    assert_int_equal(world.view.lying, 6);
}

/* --- jobs that run elsewhere --- */

/* A job that has a token runs elsewhere: `world` is not woken yet. */
static void
lend(struct world *world)
{
    world->view.held--;
    world->view.on_loan++;
    world->parent_free++;
    world->view.is_parent_empty = false;
}

static void
test_what_is_lent_is_borrowed_anew(void **state)
{
    struct world world;

    init(&world, 2, 2);
    world.policy.config.floating = 2;
    wake(&world);
    assert_true(take(&world));
    assert_true(take(&world));
    assert_int_equal(world.view.lying, 0);
    for (unsigned i = 1; i <= 3; i++) {
        lend(&world);
        wake(&world);
        assert_int_equal(world.view.lying, 1);
        assert_true(take(&world));
    }
    assert_int_equal(world.view.held, 3);
    assert_int_equal(world.parent_free, 0);
}

static void
test_who_goes_on_has_what_lies_there_first(void **state)
{
    struct world world;

    init(&world, 2, UINT_MAX);
    world.policy.config.floating = 2;
    wake(&world);
    assert_true(take(&world));
    lend(&world);
    wake(&world);
    assert_int_equal(world.view.lying, 2);
    world.view.missing = 1;
    wake(&world);
    assert_int_equal(world.view.missing, 0);
    assert_int_equal(world.view.lying, 1);
    assert_int_equal(world.view.on_loan, 0);
    assert_int_equal(world.view.borrowed, 2);
}

static void
test_who_goes_on_waits_at_the_fifo_and_at_the_parent(void **state)
{
    struct world world;

    for (int is_at_parent = 0; is_at_parent < 2; is_at_parent++) {
        init(&world, 1, UINT_MAX);
        wake(&world);
        assert_true(take(&world));
        lend(&world);
        wake(&world);
        assert_true(take(&world));
        world.view.missing = 1;
        wake(&world);
        assert_int_equal(world.view.missing, 1);
        assert_true(world.watches_parent && world.watches_fifo);
        if (is_at_parent)
            parent_gets(&world, 1);
        else
            put(&world);
        assert_int_equal(world.view.missing, 0);
        assert_int_equal(world.view.lying, 0);
        assert_int_equal(world.view.borrowed, is_at_parent ? 2 : 1);
    }
}

static void
test_a_token_that_is_lent_and_comes_back_is_nobodys(void **state)
{
    struct world world;

    init(&world, 1, UINT_MAX);
    world.policy.config.floating = 4;
    wake(&world);
    assert_true(take(&world));
    lend(&world);
    lend(&world);
    wake(&world);
    assert_int_equal(world.view.lying, 2);
    put(&world);
    assert_int_equal(world.view.lying, 2);
    assert_int_equal(world.view.on_loan, 1);
    assert_int_equal(world.view.held, 2);
}

/* Whatever the build does: never more lies there than is borrowed, and no token is made or lost. */
static void
test_random_builds_conserve_tokens(void **state)
{
    struct world world;
    uint64_t seed = 12345;
    unsigned jobs = 0, others = 0;

    init(&world, 5, 4);
    wake(&world);
    for (int i = 0; i < 200000; i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1;
        unsigned choice = (unsigned)(seed >> 60);
        if (choice < 4)
            jobs += take(&world);
        else if (choice < 8 && jobs > 0)
            jobs--, put(&world);
        else if (choice < 10 && world.parent_free > 0)
            world.parent_free--, others++;
        else if (choice < 12 && others > 0)
            others--, parent_gets(&world, 1);
        else
            pass(&world, (int64_t)(seed >> 33) % (150 * MS));
        world.parent_waiting = choice & 1;
        assert_int_equal(world.view.borrowed, world.view.lying + jobs);
        assert_int_equal(world.view.borrowed + world.parent_free + others, 5);
        assert_true(world.view.borrowed <= 4);
        /* Work conserving: the parent has one and none lies here only if the float rests, or we
         * have all that we may have. */
        if (world.view.lying == 0 && world.parent_free > 0 && world.view.borrowed < 4)
            assert_true(world.policy.is_resting || world.watches_parent);
    }
}

/* --- a make whose jobs run elsewhere for a while --- */

#define JOBS 6
#define TOKENS 4

enum job_state { JOB_NONE, JOB_HERE, JOB_ELSEWHERE, JOB_WAITS };

/* Each of its jobs but one has a byte. */
struct farm_build {
    struct world world;
    struct loans loans;
    struct loan loan_of[JOBS];
    enum job_state jobs[JOBS];
    unsigned bytes, others;
};

static unsigned
count_jobs(const struct farm_build *build, enum job_state state)
{
    unsigned count = 0;

    for (unsigned i = 0; i < JOBS; i++)
        count += build->jobs[i] == state;
    return count;
}

static void
wake_for_loans(struct farm_build *build)
{
    build->world.view.on_loan = loans_bytes(&build->loans);
    build->world.view.missing = loans_missing(&build->loans);
    wake(&build->world);
}

static void
start_job(struct farm_build *build, unsigned i)
{
    bool is_first = count_jobs(build, JOB_NONE) == JOBS;

    if (!is_first && !take(&build->world))
        return;
    build->bytes += !is_first;
    build->jobs[i] = JOB_HERE;
}

static void
end_job(struct farm_build *build, unsigned i)
{
    build->jobs[i] = JOB_NONE;
    if (build->bytes == 0)
        return;
    build->bytes--;
    put(&build->world);
}

static void
lend_for(struct farm_build *build, unsigned i)
{
    struct relay_view *view = &build->world.view;
    struct loan *paid;
    bool is_used;

    /* What is there for it is owed for another that was killed, at worst. */
    if (!loan_begin(&build->loans, &build->loan_of[i],
                    view->held + loans_bytes(&build->loans) - view->lying, &is_used, &paid)) {
        assert_true(build->loans.voided > 0);
        return;
    }
    build->jobs[i] = JOB_ELSEWHERE;
    if (!is_used) {
        assert_true(view->held > 0);
        view->held--;
        build->world.parent_free++;
        build->world.view.is_parent_empty = false;
    }
    wake_for_loans(build);
}

static void
go_on(struct farm_build *build, unsigned i)
{
    build->jobs[i] = JOB_WAITS;
    if (!loan_take_back(&build->loans, &build->loan_of[i]))
        wake_for_loans(build);
}

/* Its make notices before we do, or after it. */
static void
kill_job(struct farm_build *build, unsigned i, bool is_seen_first)
{
    if (is_seen_first) {
        loan_end(&build->loans, &build->loan_of[i]);
        wake_for_loans(build);
        end_job(build, i);
    } else {
        end_job(build, i);
        loan_end(&build->loans, &build->loan_of[i]);
        wake_for_loans(build);
    }
}

/* Who has been paid goes on. */
static void
look_at_waiting(struct farm_build *build)
{
    for (unsigned i = 0; i < JOBS; i++)
        if (build->jobs[i] == JOB_WAITS && build->loan_of[i].state != LOAN_ENDING) {
            loan_take_back(&build->loans, &build->loan_of[i]);
            assert_int_equal(build->loan_of[i].state, LOAN_NONE);
            build->jobs[i] = JOB_HERE;
        }
}

static void
do_anything(struct farm_build *build, uint64_t *random, bool kills)
{
    struct world *world = &build->world;
    const unsigned i = below(random, JOBS);

    switch (below(random, 8)) {
    case 0:
    case 1:
        if (build->jobs[i] == JOB_NONE)
            start_job(build, i);
        break;
    case 2:
        if (build->jobs[i] == JOB_HERE)
            end_job(build, i);
        break;
    case 3:
        if (build->jobs[i] == JOB_HERE)
            lend_for(build, i);
        break;
    case 4:
        if (build->jobs[i] == JOB_ELSEWHERE && kills && one_in(random, 3))
            kill_job(build, i, one_in(random, 2));
        else if (build->jobs[i] == JOB_ELSEWHERE)
            go_on(build, i);
        break;
    case 5:
        if (world->parent_free > 0)
            world->parent_free--, build->others++;
        break;
    case 6:
        if (build->others > 0)
            build->others--, parent_gets(world, 1);
        break;
    case 7:
        world->parent_waiting = one_in(random, 2);
        pass(world, below(random, 150) * MS);
        break;
    }
    look_at_waiting(build);
}

static void
check_build(const struct farm_build *build, bool kills)
{
    const struct relay_view *view = &build->world.view;
    unsigned here = count_jobs(build, JOB_HERE);

    assert_int_equal(view->held + build->world.parent_free + build->others, TOKENS);
    assert_int_equal(view->on_loan, loans_bytes(&build->loans));
    assert_int_equal(view->missing, loans_missing(&build->loans));
    assert_int_equal(view->lying + build->bytes, view->borrowed);
    if (view->held + view->on_loan > 0)
        assert_int_equal(view->borrowed, view->held + view->on_loan - 1);
    if (!kills)
        assert_true(here + view->lying <= view->held);
    /* Who waits gets the next one. */
    if (view->missing > 0)
        assert_true(view->lying == 0 && build->world.watches_parent && build->world.watches_fifo);
}

/* All jobs end, and nobody else has a token. */
static void
end_build(struct farm_build *build)
{
    for (int steps = 0; count_jobs(build, JOB_NONE) < JOBS; steps++) {
        assert_true(steps < 1000);
        while (build->others > 0)
            build->others--, parent_gets(&build->world, 1);
        look_at_waiting(build);
        for (unsigned i = 0; i < JOBS; i++)
            if (build->jobs[i] == JOB_HERE)
                end_job(build, i);
            else if (build->jobs[i] == JOB_ELSEWHERE)
                go_on(build, i);
        pass(&build->world, MS);
    }
    assert_int_equal(build->loans.active + build->loans.owed + build->loans.voided, 0);
    assert_int_equal(build->bytes, 0);
}

static void
test_random_jobs_elsewhere_conserve_tokens(void **state)
{
    uint64_t random = 1;

    for (int round = 0; round < 400; round++) {
        struct farm_build build = {0};
        const bool kills = round % 2;

        init(&build.world, TOKENS - 1, UINT_MAX);
        build.world.policy.config.floating = 1 + below(&random, TOKENS);
        build.world.loans = &build.loans;
        loans_init(&build.loans);
        wake(&build.world);
        for (int i = 0; i < 500; i++) {
            do_anything(&build, &random, kills);
            check_build(&build, kills);
        }
        end_build(&build);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_token_floats),
        cmocka_unit_test(test_cap_is_never_passed),
        cmocka_unit_test(test_empty_parent_is_watched_without_a_timer),
        cmocka_unit_test(test_jobs_that_follow_each_other_do_not_bother_the_parent),
        cmocka_unit_test(test_surplus_goes_home_after_a_moment),
        cmocka_unit_test(test_surplus_goes_home_at_once_if_somebody_waits),
        cmocka_unit_test(test_idle_float_goes_home_if_the_parent_has_none),
        cmocka_unit_test(test_idle_float_stays_while_the_parent_has_others_and_costs_little),
        cmocka_unit_test(test_probes_become_rare_and_short),
        cmocka_unit_test(test_probe_serves_who_waits_here),
        cmocka_unit_test(test_after_a_rest_the_whole_float_lies_there_again),
        cmocka_unit_test(test_a_token_that_returns_is_not_taken_for_demand),
        cmocka_unit_test(test_what_was_never_lent_is_dropped),
        cmocka_unit_test(test_what_lies_goes_home_while_a_limit_is_on),
        cmocka_unit_test(test_what_is_lent_is_borrowed_anew),
        cmocka_unit_test(test_who_goes_on_has_what_lies_there_first),
        cmocka_unit_test(test_who_goes_on_waits_at_the_fifo_and_at_the_parent),
        cmocka_unit_test(test_a_token_that_is_lent_and_comes_back_is_nobodys),
        cmocka_unit_test(test_random_builds_conserve_tokens),
        cmocka_unit_test(test_random_jobs_elsewhere_conserve_tokens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
