/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Loans of jobs that run elsewhere: what goes round in the build, counted by a model that knows nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "jobwrap/loans.h"
#include "tests/unit/chance.h"

static void
begin(struct loans *loans, struct loan *loan, bool is_used)
{
    struct loan *paid;
    bool used;

    assert_true(loan_begin(loans, loan, loans->active + 1, &used, &paid));
    assert_int_equal(used, is_used);
    assert_null(paid);
}

static void
test_ends_in_order(void **state)
{
    struct loans loans;
    struct loan loan = {0};

    loans_init(&loans);
    begin(&loans, &loan, false);
    assert_int_equal(loans_bytes(&loans), 1);
    assert_int_equal(loans_missing(&loans), 0);
    assert_false(loan_take_back(&loans, &loan));
    assert_false(loan_take_back(&loans, &loan));
    assert_int_equal(loans_missing(&loans), 1);
    assert_int_equal(loans_bytes(&loans), 1);
    assert_ptr_equal(loans_pay(&loans), &loan);
    assert_int_equal(loans_bytes(&loans), 0);
    assert_true(loan_take_back(&loans, &loan));
    loan_end(&loans, &loan);
    assert_int_equal(loans_missing(&loans), 0);
    /* It may lend again. */
    begin(&loans, &loan, false);
}

static void
test_killed(void **state)
{
    struct loan running = {0}, waiting = {0}, paid = {0};
    struct loans loans;

    loans_init(&loans);
    begin(&loans, &running, false);
    begin(&loans, &waiting, false);
    begin(&loans, &paid, false);
    loan_take_back(&loans, &paid);
    assert_ptr_equal(loans_pay(&loans), &paid);
    loan_take_back(&loans, &waiting);
    loan_end(&loans, &running);
    loan_end(&loans, &waiting);
    loan_end(&loans, &paid);
    assert_int_equal(loans.owed, 2);
    assert_int_equal(loans_missing(&loans), 2);
    assert_int_equal(loans_bytes(&loans), 2);
    assert_null(loans_pay(&loans));
    assert_null(loans_pay(&loans));
    assert_int_equal(loans_bytes(&loans), 0);
}

static void
test_killed_is_paid_first_and_then_who_waits_longest(void **state)
{
    struct loan killed = {0}, first = {0}, second = {0};
    struct loans loans;

    loans_init(&loans);
    begin(&loans, &killed, false);
    begin(&loans, &first, false);
    begin(&loans, &second, false);
    loan_take_back(&loans, &first);
    loan_take_back(&loans, &second);
    loan_end(&loans, &killed);
    assert_null(loans_pay(&loans));
    assert_ptr_equal(loans_pay(&loans), &first);
    assert_ptr_equal(loans_pay(&loans), &second);
}

static void
test_lent_to_who_waits(void **state)
{
    struct loan waiting = {0}, next = {0}, *paid;
    struct loans loans;
    bool is_used;

    loans_init(&loans);
    begin(&loans, &waiting, false);
    loan_take_back(&loans, &waiting);
    assert_true(loan_begin(&loans, &next, 2, &is_used, &paid));
    assert_true(is_used);
    assert_ptr_equal(paid, &waiting);
    assert_int_equal(loans_bytes(&loans), 1);
    assert_int_equal(loans_missing(&loans), 0);
}

static void
test_no_more_than_there_are(void **state)
{
    struct loan loans_of[3] = {0}, *paid;
    struct loans loans;
    bool is_used;

    loans_init(&loans);
    assert_true(loan_begin(&loans, &loans_of[0], 2, &is_used, &paid));
    assert_false(loan_begin(&loans, &loans_of[0], 2, &is_used, &paid));
    assert_true(loan_begin(&loans, &loans_of[1], 2, &is_used, &paid));
    assert_false(loan_begin(&loans, &loans_of[2], 2, &is_used, &paid));
    assert_int_equal(loans_of[2].state, LOAN_NONE);
}

static void
test_token_that_came_back(void **state)
{
    struct loan loan = {0}, other = {0};
    struct loans loans;

    loans_init(&loans);
    begin(&loans, &loan, false);
    begin(&loans, &other, false);
    loans_void(&loans, 1);
    assert_int_equal(loans_bytes(&loans), 1);
    /* Nobody knows whose it was; who asks first has it. */
    assert_true(loan_take_back(&loans, &loan));
    assert_int_equal(loans_bytes(&loans), 1);
    loan_end(&loans, &other);
    assert_int_equal(loans.owed, 1);
    assert_int_equal(loans_bytes(&loans), 1);
}

/* --- jobs that wait for the farm --- */

static bool
lend_spare(struct loans *loans, unsigned tokens, struct loan **paid)
{
    bool is_used;

    return loans_lend_spare(loans, tokens, 100, &is_used, paid);
}

static void
test_no_more_are_early_than_twice_those_that_run(void **state)
{
    struct loan running = {0}, waiting[5] = {0}, *paid;
    struct loans loans;
    bool is_used;

    loans_init(&loans);
    for (unsigned i = 0; i < 5; i++)
        loan_spare(&loans, &waiting[i]);
    assert_false(lend_spare(&loans, 0, &paid));
    assert_true(lend_spare(&loans, 1, &paid));
    assert_false(lend_spare(&loans, 1, &paid));
    begin(&loans, &running, false);
    assert_true(lend_spare(&loans, 1, &paid));
    assert_true(lend_spare(&loans, 1, &paid));
    assert_false(lend_spare(&loans, 1, &paid));
    assert_int_equal(loans_bytes(&loans), 4);
    /* The first of them runs there at last: it has lent already. */
    assert_true(loan_begin(&loans, &waiting[0], 5, &is_used, &paid));
    assert_true(is_used);
    assert_int_equal(loans_bytes(&loans), 4);
    assert_true(lend_spare(&loans, 1, &paid));
    assert_int_equal(waiting[3].state, LOAN_ACTIVE);
    assert_int_equal(waiting[4].state, LOAN_SPARE);
}

static void
test_a_job_that_ends_gets_what_is_spare(void **state)
{
    struct loan ending = {0}, waiting = {0}, *paid;
    struct loans loans;

    loans_init(&loans);
    begin(&loans, &ending, false);
    loan_take_back(&loans, &ending);
    loan_spare(&loans, &waiting);
    assert_true(lend_spare(&loans, 0, &paid));
    assert_ptr_equal(paid, &ending);
    assert_int_equal(loans_missing(&loans), 0);
    /* The farm has gone, and comes back meanwhile. */
    assert_false(loan_take_back(&loans, &waiting));
    loan_spare(&loans, &waiting);
    assert_int_equal(loans_missing(&loans), 0);
    assert_int_equal(loans.early, 1);
    assert_false(loan_take_back(&loans, &waiting));
    assert_ptr_equal(loans_pay(&loans), &waiting);
    loan_spare(&loans, &waiting);
    assert_true(loan_take_back(&loans, &waiting));
    assert_int_equal(loans_bytes(&loans), 0);
}

static void
test_killed_while_they_wait(void **state)
{
    struct loan early = {0}, spare = {0}, *paid;
    struct loans loans;

    loans_init(&loans);
    loan_spare(&loans, &early);
    loan_spare(&loans, &spare);
    assert_true(lend_spare(&loans, 1, &paid));
    loan_end(&loans, &spare);
    assert_int_equal(loans.owed, 0);
    loan_end(&loans, &early);
    assert_int_equal(loans.owed, 1);
    assert_int_equal(loans.early, 0);
    assert_false(lend_spare(&loans, 1, &paid));
}

/* --- anything, in any order --- */

#define JOBS 6
#define STEPS 200000

static void
check(const struct loans *loans, const struct loan *jobs, unsigned paid)
{
    unsigned lent = 0, ending = 0, early = 0;

    for (unsigned i = 0; i < JOBS; i++) {
        lent += jobs[i].state == LOAN_ACTIVE || jobs[i].state == LOAN_ENDING;
        ending += jobs[i].state == LOAN_ENDING;
        early += jobs[i].is_early;
        assert_true(jobs[i].state == LOAN_ACTIVE || !jobs[i].is_early);
    }
    assert_int_equal(loans->early, early);
    assert_int_equal(loans->active + loans->voided, lent);
    assert_int_equal(loans->ending_count, ending);
    assert_int_equal(loans_missing(loans), loans->owed + ending);
    /* What was begun and neither paid for nor voided goes round. */
    assert_int_equal(loans_bytes(loans), paid);
}

static void
test_anything(void **state)
{
    struct loan jobs[JOBS] = {0}, *paid;
    struct loans loans;
    unsigned round = 0; /* the model */
    uint64_t random = 1;
    bool is_used;

    loans_init(&loans);
    for (unsigned i = 0; i < STEPS; i++) {
        struct loan *job = &jobs[below(&random, JOBS)];
        switch (below(&random, 7)) {
        case 0:
            if (loan_begin(&loans, job, JOBS, &is_used, &paid))
                round += !is_used;
            break;
        case 5:
            loan_spare(&loans, job);
            break;
        case 6:
            if (loans_lend_spare(&loans, below(&random, 3), JOBS, &is_used, &paid))
                round += !is_used;
            break;
        case 1:
            loan_take_back(&loans, job);
            break;
        case 2:
            loan_end(&loans, job);
            break;
        case 3:
            if (loans_missing(&loans) > 0) {
                loans_pay(&loans);
                round--;
            }
            break;
        case 4:
            if (one_in(&random, 4) && loans.active > loans.ending_count) {
                loans_void(&loans, 1);
                round--;
            }
            break;
        }
        check(&loans, jobs, round);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ends_in_order),
        cmocka_unit_test(test_killed),
        cmocka_unit_test(test_killed_is_paid_first_and_then_who_waits_longest),
        cmocka_unit_test(test_lent_to_who_waits),
        cmocka_unit_test(test_no_more_than_there_are),
        cmocka_unit_test(test_token_that_came_back),
        cmocka_unit_test(test_no_more_are_early_than_twice_those_that_run),
        cmocka_unit_test(test_a_job_that_ends_gets_what_is_spare),
        cmocka_unit_test(test_killed_while_they_wait),
        cmocka_unit_test(test_anything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
