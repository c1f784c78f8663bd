/* SPDX-License-Identifier: GPL-2.0-or-later */
/* losses, with a world of its own: makes and other clients that take tokens, run jobs, and are killed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "jobwrap/losses.h"

/* --- one look --- */

static struct losses_decision
decide(struct losses *losses, unsigned lent, unsigned most, unsigned left_jobs, unsigned left_slots)
{
    struct losses_view view = {.lent = lent,
                               .most = most,
                               .is_settled = true,
                               .left_jobs = left_jobs,
                               .left_slots = left_slots};

    return losses_decide(losses, &view);
}

static void
test_a_make_has_one_for_each_child_but_one(void **state)
{
    assert_int_equal(losses_most_of_make(4, true), 3);
    assert_int_equal(losses_most_of_make(1, true), 0);
    assert_int_equal(losses_most_of_make(0, true), 0);
    /* It has read one, and the child is still to come. */
    assert_int_equal(losses_most_of_make(4, false), 4);
    assert_int_equal(losses_add(3, 4), 7);
    assert_int_equal(losses_add(3, LOSSES_ANY_NUMBER), LOSSES_ANY_NUMBER);
    assert_int_equal(losses_add(LOSSES_ANY_NUMBER, LOSSES_ANY_NUMBER), LOSSES_ANY_NUMBER);
}

static void
test_nothing_is_lost_while_nobody_dies(void **state)
{
    struct losses losses = {0};

    for (int i = 0; i < 10; i++)
        assert_int_equal(decide(&losses, 7, 0, 0, 0).lost, 0);
}

static void
test_what_a_dead_make_had_is_lost_when_its_jobs_have_ended(void **state)
{
    struct losses losses = {0};

    losses_suspect(&losses, 3);
    for (unsigned left = 4; left > 0; left--) {
        unsigned lent = left < 3 ? left : 3;
        struct losses_decision decision = decide(&losses, lent, 0, left - 1, 1);
        assert_int_equal(decision.lost, left > 3 ? 0 : 1);
    }
    assert_false(losses_are_open(&losses));
}

static void
test_who_may_have_any_number_keeps_it(void **state)
{
    struct losses losses = {0};

    losses_suspect(&losses, 7);
    assert_int_equal(decide(&losses, 7, LOSSES_ANY_NUMBER, 0, 0).lost, 0);
    assert_true(losses_are_open(&losses));
    /* Four of them were that client's, which has put them back. */
    assert_int_equal(decide(&losses, 3, 0, 0, 0).lost, 3);
}

static void
test_what_nobody_who_is_known_can_have_is_not_lost_by_anothers_death(void **state)
{
    struct losses losses = {0};

    decide(&losses, 5, 0, 0, 0); /* five are with somebody who is not known */
    decide(&losses, 8, 3, 0, 0); /* three with a make */
    losses_suspect(&losses, 8);
    assert_int_equal(decide(&losses, 8, 0, 0, 0).lost, 3);
    assert_int_equal(decide(&losses, 5, 0, 0, 0).lost, 0);
}

static void
test_a_make_that_has_not_waited_leaves_one_in_doubt(void **state)
{
    struct losses losses = {0};
    struct losses_view view = {.lent = 5, .most = losses_most_of_make(2, false)};

    losses_suspect(&losses, 5);
    assert_int_equal(losses_decide(&losses, &view).lost, 3);
    assert_true(losses_are_open(&losses));
    assert_int_equal(decide(&losses, 2, losses_most_of_make(2, true), 0, 0).lost, 1);
    assert_false(losses_are_open(&losses));
}

/* A sub-make of three jobs is killed: two tokens, and its parent starts another job in the slot of the
 * third. */
static void
test_a_job_whose_slot_is_used_again_has_one_held_back(void **state)
{
    struct losses losses = {0};

    losses_suspect(&losses, 2);
    assert_int_equal(decide(&losses, 2, 0, 3, 1).missing, 1);
    losses_hold_back(&losses, 1);
    struct losses_decision decision = decide(&losses, 3, 0, 3, 1);
    assert_int_equal(decision.missing + decision.back + decision.lost, 0);
    decision = decide(&losses, 3, 0, 2, 1);
    assert_int_equal(decision.back, 1);
    assert_int_equal(decision.lost, 0);
    decision = decide(&losses, 2, 0, 0, 0);
    assert_int_equal(decision.back, 0);
    assert_int_equal(decision.lost, 2);
}

static void
test_what_is_held_back_returns_whoever_lives(void **state)
{
    struct losses losses = {0};

    losses_suspect(&losses, 0);
    losses_hold_back(&losses, 1);
    assert_int_equal(decide(&losses, 5, LOSSES_ANY_NUMBER, 1, 1).back, 0);
    assert_int_equal(decide(&losses, 5, LOSSES_ANY_NUMBER, 0, 0).back, 1);
}

/* --- a build --- */

#define MAKES 4

struct make {
    bool is_alive;
    unsigned children; /* each but the first has a token */
};

struct build {
    struct losses losses;
    struct make makes[MAKES];
    unsigned capacity, lying, held_back;
    unsigned left[MAKES]; /* jobs of the make that was there before */
    unsigned lost_tokens; /* with dead makes, in truth */
    uint64_t seed;
};

static unsigned
number_below(struct build *build, unsigned limit)
{
    build->seed = build->seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (unsigned)(build->seed >> 33) % limit;
}

static unsigned
tokens_of(const struct make *make)
{
    return make->children > 0 ? make->children - 1 : 0;
}

static void
act(struct build *build, unsigned i)
{
    struct make *make = &build->makes[i];
    bool needs_token = make->children > 0;

    if (!make->is_alive && build->left[i] == 0) {
        *make = (struct make){.is_alive = true};
    } else if (number_below(build, 2) == 0 && make->is_alive &&
               (!needs_token || build->lying > 0)) {
        make->children++;
        build->lying -= needs_token;
    } else if (make->is_alive && make->children > 0) {
        build->lying += make->children > 1;
        make->children--;
    }
}

static void
kill_one(struct build *build, unsigned i)
{
    struct make *make = &build->makes[i];

    if (!make->is_alive)
        return;
    build->left[i] = make->children;
    build->lost_tokens += tokens_of(make);
    make->is_alive = false;
    losses_suspect(&build->losses, build->capacity - build->lying);
}

static struct losses_decision
look(struct build *build)
{
    struct losses_view view = {.lent = build->capacity - build->lying, .is_settled = true};

    for (unsigned i = 0; i < MAKES; i++) {
        if (build->makes[i].is_alive)
            view.most = losses_add(view.most, losses_most_of_make(build->makes[i].children, true));
        view.left_jobs += build->left[i];
        view.left_slots += build->left[i] > 0;
    }
    return losses_decide(&build->losses, &view);
}

static unsigned
count_left(const struct build *build)
{
    unsigned left = 0;

    for (unsigned i = 0; i < MAKES; i++)
        left += build->left[i];
    return left;
}

static void
look_and_do(struct build *build)
{
    struct losses_decision decision = look(build);

    assert_true(decision.lost <= build->lost_tokens);
    assert_true(decision.back <= build->held_back);
    build->lost_tokens -= decision.lost;
    build->held_back -= decision.back;
    build->lying += decision.lost + decision.back;
    /* Who runs without a make has a token; but for the one job of each in its slot. */
    assert_true(build->lost_tokens + build->held_back + MAKES >= count_left(build));
    for (; decision.missing > 0 && build->lying > 0; decision.missing--) {
        build->lying--;
        build->held_back++;
        losses_hold_back(&build->losses, 1);
    }
}

static void
check(const struct build *build)
{
    unsigned held = 0;

    for (unsigned i = 0; i < MAKES; i++)
        held += build->makes[i].is_alive ? tokens_of(&build->makes[i]) : 0;
    assert_int_equal(build->lying + held + build->lost_tokens + build->held_back, build->capacity);
    assert_true(build->losses.held_back == build->held_back);
}

/* Whatever is killed when: no token is made, none stays lost, and none is held back for nobody. */
static void
test_random_builds_lose_nothing(void **state)
{
    struct build build = {.capacity = 8, .lying = 8, .seed = 20261128};

    for (int step = 0; step < 300000; step++) {
        unsigned i = number_below(&build, MAKES), choice = number_below(&build, 20);
        if (choice < 12)
            act(&build, i);
        else if (choice < 13)
            kill_one(&build, i);
        else if (choice < 16)
            build.left[i] -= build.left[i] > 0;
        else
            look_and_do(&build);
        check(&build);
        if (choice >= 16 && count_left(&build) == 0)
            assert_int_equal(build.lost_tokens + build.held_back, 0);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_make_has_one_for_each_child_but_one),
        cmocka_unit_test(test_nothing_is_lost_while_nobody_dies),
        cmocka_unit_test(test_what_a_dead_make_had_is_lost_when_its_jobs_have_ended),
        cmocka_unit_test(test_who_may_have_any_number_keeps_it),
        cmocka_unit_test(test_what_nobody_who_is_known_can_have_is_not_lost_by_anothers_death),
        cmocka_unit_test(test_a_make_that_has_not_waited_leaves_one_in_doubt),
        cmocka_unit_test(test_a_job_whose_slot_is_used_again_has_one_held_back),
        cmocka_unit_test(test_what_is_held_back_returns_whoever_lives),
        cmocka_unit_test(test_random_builds_lose_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
