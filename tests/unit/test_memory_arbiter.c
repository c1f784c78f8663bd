/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "libjobserver/memory/admission.h"
#include "libjobserver/memory/arbiter.h"
#include "libjobserver/memory/expectation.h"
#include "tests/unit/chance.h"

#define MIB (UINT64_C(1) << 20)
#define S INT64_C(1000000000)
#define MS (S / 1000)

/* --- parties --- */

static void
join_above(struct memory_arbiter *arbiter, struct memory_party *party, struct memory_party *above,
           int64_t now_ns)
{
    memory_party_init(party, now_ns);
    assert_int_equal(memory_arbiter_join(arbiter, party, 0, above, now_ns), 0);
}

static void
join(struct memory_arbiter *arbiter, struct memory_party *party, int64_t now_ns)
{
    join_above(arbiter, party, NULL, now_ns);
}

static struct steved_memory
ask(struct memory_arbiter *arbiter, struct memory_party *party, struct steved_memory told,
    int64_t now_ns)
{
    struct steved_memory answer;

    assert_int_equal(memory_arbiter_tell(arbiter, party, &told, now_ns), 0);
    memory_arbiter_answer(arbiter, party, NULL, &answer, now_ns);
    return answer;
}

/* So many run, which will grow by so much; a machine of 1000 MiB of which 100 are to stay free. */
static struct steved_memory
running(unsigned jobs, uint64_t growth_mib)
{
    return (struct steved_memory){.running = jobs,
                                  .oldest_ms = 5,
                                  .youngest_ms = STEVED_MEMORY_NONE,
                                  .available_bytes = 1000 * MIB,
                                  .floor_bytes = 100 * MIB,
                                  .growth_bytes = growth_mib * MIB};
}

static struct steved_memory
starting(unsigned jobs, uint64_t growth_mib, uint64_t start_mib)
{
    struct steved_memory memory = running(jobs, growth_mib);

    memory.flags = STEVED_MEMORY_ASKS;
    memory.start_bytes = start_mib * MIB;
    return memory;
}

static bool
is_granted(struct steved_memory answer)
{
    return answer.answer & STEVED_MEMORY_IS_GRANTED;
}

/* --- what is seen of one account --- */

static void
test_use_is_summed_by_account(void **state)
{
    struct memory_arbiter arbiter;
    struct memory_party a, same, inner, other;
    struct steved_memory told = running(2, 30);

    memory_arbiter_init(&arbiter);
    assert_int_equal(memory_arbiter_use(&arbiter, 1, 7, S).parties, 0);
    join(&arbiter, &a, S);
    join(&arbiter, &same, S);
    join(&arbiter, &other, S);
    join_above(&arbiter, &inner, &same, S);
    a.account = same.account = inner.account = other.account = 7;
    a.uid = same.uid = inner.uid = 1;
    other.uid = 2;
    told.used_bytes = 50 * MIB;
    told.waiting = 3;
    ask(&arbiter, &a, told, S);
    ask(&arbiter, &other, told, S);
    /* Its one job is what the inner one tells of. */
    told.running = 1;
    ask(&arbiter, &same, told, S);
    told.waiting = 0;
    ask(&arbiter, &inner, told, S);
    struct memory_use use = memory_arbiter_use(&arbiter, 1, 7, S);
    assert_int_equal(use.parties, 3);
    assert_int_equal(use.running, 3);
    assert_int_equal(use.waiting, 6);
    assert_int_equal(use.used_bytes, 100 * MIB);
    assert_int_equal(use.growth_bytes, 60 * MIB);
    assert_int_equal(memory_arbiter_use(&arbiter, 2, 7, S).parties, 1);
    assert_int_equal(memory_arbiter_use(&arbiter, 1, 8, S).parties, 0);
    /* What is told counts for a while. */
    assert_int_equal(memory_arbiter_use(&arbiter, 1, 7, 12 * S).parties, 0);
}

/* --- who may start --- */

static void
test_two_that_ask_at_once_do_not_both_have_it(void **state)
{
    struct memory_arbiter arbiter;
    struct memory_party a, b;

    memory_arbiter_init(&arbiter);
    join(&arbiter, &a, S);
    join(&arbiter, &b, S);
    ask(&arbiter, &a, running(1, 0), S);
    ask(&arbiter, &b, running(1, 0), S);
    assert_true(is_granted(ask(&arbiter, &a, starting(1, 0, 500), S)));
    assert_false(is_granted(ask(&arbiter, &b, starting(1, 0, 500), S)));
    assert_true(is_granted(ask(&arbiter, &b, starting(1, 0, 400), S)));
    /* It has not started it after all. */
    ask(&arbiter, &a, running(1, 0), S);
    assert_true(is_granted(ask(&arbiter, &b, starting(1, 0, 500), S)));
}

static void
test_what_one_expects_is_not_there_for_others(void **state)
{
    struct memory_arbiter arbiter;
    struct memory_party a, b;

    memory_arbiter_init(&arbiter);
    join(&arbiter, &a, S);
    join(&arbiter, &b, S);
    ask(&arbiter, &a, running(2, 600), S);
    struct steved_memory answer = ask(&arbiter, &b, starting(1, 200, 101), S);
    assert_false(is_granted(answer));
    assert_int_equal(answer.others, 1);
    assert_int_equal(answer.others_running, 2);
    assert_int_equal(answer.others_growth_bytes, 600 * MIB);
    assert_true(is_granted(ask(&arbiter, &b, starting(1, 200, 100), S)));
}

static void
test_one_job_of_all_always_runs(void **state)
{
    struct memory_arbiter arbiter;
    struct memory_party a, b;

    memory_arbiter_init(&arbiter);
    join(&arbiter, &a, S);
    join(&arbiter, &b, S);
    assert_true(is_granted(ask(&arbiter, &a, starting(0, 0, 5000), S)));
    assert_false(is_granted(ask(&arbiter, &b, starting(0, 0, 5000), S)));
    memory_arbiter_leave(&arbiter, &a);
    assert_true(is_granted(ask(&arbiter, &b, starting(0, 0, 5000), S)));
}

static void
test_unknown_jobs_are_let_in_as_there_is_room_for_all_of_them(void **state)
{
    struct memory_arbiter arbiter;
    struct memory_party a, b;
    struct steved_memory told = starting(1, 0, 0);

    memory_arbiter_init(&arbiter);
    join(&arbiter, &a, S);
    join(&arbiter, &b, S);
    told.available_bytes = 1200 * MIB; /* there is room for two */
    assert_true(is_granted(ask(&arbiter, &a, told, S)));
    assert_true(is_granted(ask(&arbiter, &b, told, S)));
    told.unseen = 1;
    assert_false(is_granted(ask(&arbiter, &a, told, S)));
    /* One has been seen. */
    ask(&arbiter, &b, running(1, 0), S);
    assert_true(is_granted(ask(&arbiter, &a, told, S)));
}

static void
test_a_reserve_is_a_part_of_what_nobody_waits_for(void **state)
{
    struct memory_arbiter arbiter;
    struct memory_party a, b;
    struct steved_memory told = running(1, 100);

    memory_arbiter_init(&arbiter);
    join(&arbiter, &a, S);
    join(&arbiter, &b, S);
    told.reserve_bytes = 500 * MIB;
    assert_int_equal(ask(&arbiter, &a, told, S).granted_bytes, 100 * MIB);
    assert_int_equal(ask(&arbiter, &b, running(1, 0), S).others_growth_bytes, 200 * MIB);
    told.reserve_bytes = 30 * MIB;
    assert_int_equal(ask(&arbiter, &a, told, S).granted_bytes, 30 * MIB);
    struct steved_memory waits = running(1, 0);
    waits.waiting = 1;
    ask(&arbiter, &b, waits, S);
    assert_int_equal(ask(&arbiter, &a, told, S).granted_bytes, 0);
}

static void
test_who_has_waited_for_long_goes_first(void **state)
{
    struct memory_arbiter arbiter;
    struct memory_party a, b;
    int64_t now_ns = S;

    memory_arbiter_init(&arbiter);
    join(&arbiter, &a, now_ns);
    join(&arbiter, &b, now_ns);
    for (; now_ns < S + MEMORY_PATIENCE_NS; now_ns += S) {
        assert_true(is_granted(ask(&arbiter, &a, starting(2, 200, 10), now_ns)));
        assert_false(is_granted(ask(&arbiter, &b, starting(1, 0, 800), now_ns)));
    }
    assert_false(is_granted(ask(&arbiter, &b, starting(1, 0, 800), now_ns)));
    assert_false(is_granted(ask(&arbiter, &a, starting(2, 200, 10), now_ns)));
    ask(&arbiter, &a, running(1, 50), now_ns);
    assert_true(is_granted(ask(&arbiter, &b, starting(1, 0, 800), now_ns)));
    ask(&arbiter, &b, running(2, 0), now_ns);
    assert_true(is_granted(ask(&arbiter, &a, starting(1, 50, 10), now_ns)));
}

static void
test_what_leaves_enough_for_who_has_waited_need_not_wait(void **state)
{
    struct memory_arbiter arbiter;
    struct memory_party a, b;
    struct steved_memory large = starting(1, 0, 700), light = starting(1, 0, 10);
    int64_t now_ns = S;

    memory_arbiter_init(&arbiter);
    join(&arbiter, &a, now_ns);
    join(&arbiter, &b, now_ns);
    large.available_bytes = light.available_bytes = 300 * MIB;
    large.used_bytes = 600 * MIB; /* what runs of it will leave that free */
    ask(&arbiter, &b, large, now_ns);
    now_ns += MEMORY_PATIENCE_NS;
    assert_false(is_granted(ask(&arbiter, &b, large, now_ns)));
    assert_true(is_granted(ask(&arbiter, &a, light, now_ns)));
    light.growth_bytes = 91 * MIB;
    assert_false(is_granted(ask(&arbiter, &a, light, now_ns)));
}

/* --- claims --- */

static struct steved_memory
lies(void)
{
    struct steved_memory memory;

    memset(&memory, 0xff, offsetof(struct steved_memory, answer));
    memset(&memory.answer, 0, sizeof(memory) - offsetof(struct steved_memory, answer));
    memory.flags = STEVED_MEMORY_ASKS;
    return memory;
}

static void
test_what_is_claimed_ends_with_who_claims_it(void **state)
{
    struct memory_arbiter arbiter;
    struct memory_party honest, liar;

    memory_arbiter_init(&arbiter);
    join(&arbiter, &honest, S);
    join(&arbiter, &liar, S);
    ask(&arbiter, &liar, lies(), S);
    assert_false(is_granted(ask(&arbiter, &honest, starting(0, 0, 10), S)));
    memory_arbiter_leave(&arbiter, &liar);
    assert_true(is_granted(ask(&arbiter, &honest, starting(0, 0, 10), S)));
}

static void
test_a_liar_that_lives_lets_others_have_one_job_each(void **state)
{
    struct memory_arbiter arbiter;
    struct memory_party honest[2], liar;
    int64_t now_ns = S;

    memory_arbiter_init(&arbiter);
    join(&arbiter, &liar, now_ns);
    join(&arbiter, &honest[0], now_ns);
    join(&arbiter, &honest[1], now_ns);
    for (; now_ns < S + MEMORY_MISTRUST_NS; now_ns += S) {
        ask(&arbiter, &liar, lies(), now_ns);
        for (unsigned i = 0; i < 2; i++)
            assert_false(is_granted(ask(&arbiter, &honest[i], starting(0, 0, 900), now_ns)));
    }
    /* And from then on whenever nothing of it runs, but not what it sees no room for. */
    for (unsigned round = 0; round < 3; round++, now_ns += S) {
        ask(&arbiter, &liar, lies(), now_ns);
        for (unsigned i = 0; i < 2; i++) {
            assert_false(is_granted(ask(&arbiter, &honest[i], starting(0, 0, 901), now_ns)));
            assert_true(is_granted(ask(&arbiter, &honest[i], starting(0, 0, 900), now_ns)));
            assert_false(is_granted(ask(&arbiter, &honest[i], starting(1, 0, 1), now_ns)));
        }
    }
    memory_arbiter_leave(&arbiter, &liar);
    assert_true(is_granted(ask(&arbiter, &honest[0], starting(1, 0, 1), now_ns)));
}

static void
test_who_is_silent_does_not_count(void **state)
{
    struct memory_arbiter arbiter;
    struct memory_party a, b;
    const int64_t fresh_ns = STEVED_MEMORY_FRESH_MS * MS;

    memory_arbiter_init(&arbiter);
    join(&arbiter, &a, S);
    join(&arbiter, &b, S);
    ask(&arbiter, &a, running(1, 800), S);
    assert_false(is_granted(ask(&arbiter, &b, starting(1, 0, 200), S + fresh_ns - 1)));
    assert_true(is_granted(ask(&arbiter, &b, starting(1, 0, 200), S + fresh_ns)));
}

static void
test_nonsense_changes_nothing(void **state)
{
    struct memory_arbiter arbiter;
    struct memory_party a, b;
    struct steved_memory told = running(1, 300);

    memory_arbiter_init(&arbiter);
    join(&arbiter, &a, S);
    join(&arbiter, &b, S);
    ask(&arbiter, &a, told, S);
    told.growth_bytes = 0;
    for (size_t i = offsetof(struct steved_memory, answer); i < sizeof(told); i++) {
        struct steved_memory wrong = told;
        ((unsigned char *)&wrong)[i] = 1;
        assert_int_equal(memory_arbiter_tell(&arbiter, &a, &wrong, S), -EINVAL);
    }
    told.flags = STEVED_MEMORY_ASKS << 1;
    assert_int_equal(memory_arbiter_tell(&arbiter, &a, &told, S), -EINVAL);
    assert_int_equal(ask(&arbiter, &b, running(0, 0), S).others_growth_bytes, 300 * MIB);
}

static void
test_there_are_not_too_many(void **state)
{
    static struct memory_party parties[MEMORY_PARTIES_MAX + 1];
    struct memory_arbiter arbiter;
    struct memory_party *last = &parties[MEMORY_PARTIES_MAX];
    struct steved_memory answer;

    memory_arbiter_init(&arbiter);
    for (unsigned i = 0; i < MEMORY_PARTIES_MAX; i++) {
        memory_party_init(&parties[i], S);
        parties[i].uid = i / MEMORY_PARTIES_PER_USER;
        assert_int_equal(memory_arbiter_join(&arbiter, &parties[i], 0, NULL, S), 0);
        answer = ask(&arbiter, &parties[i], lies(), S);
    }
    assert_int_equal(answer.others, MEMORY_PARTIES_MAX - 1);
    memory_party_init(last, S);
    assert_int_equal(memory_arbiter_join(&arbiter, last, 0, NULL, S), -ENOSPC);
    /* Who is silent makes room. */
    assert_int_equal(memory_arbiter_join(&arbiter, last, 0, NULL, S + STEVED_MEMORY_FRESH_MS * MS),
                     0);
    assert_int_equal(arbiter.count, MEMORY_PARTIES_MAX);
}

static void
test_one_user_leaves_room_for_others(void **state)
{
    static struct memory_party parties[MEMORY_PARTIES_PER_USER + 1];
    struct memory_arbiter arbiter;
    struct memory_party *last = &parties[MEMORY_PARTIES_PER_USER];

    memory_arbiter_init(&arbiter);
    for (unsigned i = 0; i < MEMORY_PARTIES_PER_USER; i++) {
        join(&arbiter, &parties[i], S);
        ask(&arbiter, &parties[i], lies(), S);
    }
    memory_party_init(last, S);
    assert_int_equal(memory_arbiter_join(&arbiter, last, 0, NULL, S), -ENOSPC);
    last->uid = 1;
    assert_int_equal(memory_arbiter_join(&arbiter, last, 0, NULL, S), 0);
    /* Room for one more of the user is not made by others. */
    struct memory_party another;
    memory_party_init(&another, S);
    assert_int_equal(
        memory_arbiter_join(&arbiter, &another, 0, NULL, S + STEVED_MEMORY_FRESH_MS * MS), 0);
    assert_true(last->is_member);
    assert_int_equal(arbiter.count, MEMORY_PARTIES_PER_USER + 1);
}

/* --- ages, and the dying --- */

static struct steved_memory
aged(uint32_t oldest_ms, uint32_t youngest_ms)
{
    struct steved_memory told = running(2, 1000);

    told.oldest_ms = oldest_ms;
    told.youngest_ms = youngest_ms;
    told.oldest_growth_bytes = oldest_ms * MIB;
    return told;
}

static void
test_there_is_one_eldest_of_all(void **state)
{
    struct memory_arbiter arbiter;
    struct memory_party a, b, late;
    const unsigned ages = STEVED_MEMORY_HAS_ELDER | STEVED_MEMORY_HAS_YOUNGER;

    memory_arbiter_init(&arbiter);
    join(&arbiter, &a, S);
    join(&arbiter, &b, S);
    assert_int_equal(ask(&arbiter, &a, aged(30, 20), 2 * S).answer & ages, 0);
    struct steved_memory answer = ask(&arbiter, &b, aged(20, STEVED_MEMORY_NONE), 2 * S);
    assert_int_equal(answer.answer & ages, STEVED_MEMORY_HAS_ELDER | STEVED_MEMORY_HAS_YOUNGER);
    assert_int_equal(answer.elder_growth_bytes, 30 * MIB);
    assert_int_equal(ask(&arbiter, &a, aged(30, 20), 2 * S).answer & ages, 0);
    ask(&arbiter, &b, aged(400, 5), 3 * S);
    answer = ask(&arbiter, &a, aged(130, 120), 3 * S);
    assert_int_equal(answer.answer & ages, STEVED_MEMORY_HAS_ELDER | STEVED_MEMORY_HAS_YOUNGER);
    /* Nobody's jobs are older than it is itself. */
    join(&arbiter, &late, 3 * S);
    answer = ask(&arbiter, &late, aged(UINT32_MAX - 1, STEVED_MEMORY_NONE), 3 * S);
    assert_true(answer.answer & STEVED_MEMORY_HAS_ELDER);
    assert_int_equal(answer.elder_growth_bytes, 400 * MIB);
}

/* Each tells of it at times of its own: it must not be that both are, or none is. */
static void
test_of_two_that_are_as_old_one_is_the_elder(void **state)
{
    struct memory_arbiter arbiter;
    struct memory_party a, b;

    memory_arbiter_init(&arbiter);
    join(&arbiter, &a, S);
    join(&arbiter, &b, S);
    ask(&arbiter, &a, aged(1000, 0), 3 * S);
    ask(&arbiter, &b, aged(1000, 0), 3 * S);
    for (unsigned i = 1; i < 20; i++) {
        uint32_t age_ms = 1000 + 100 * i, jitter_ms = i * 7 % 50;
        int64_t now_ns = 3 * S + 100 * MS * i;
        bool a_has =
            ask(&arbiter, &a, aged(age_ms + jitter_ms, 0), now_ns).answer & STEVED_MEMORY_HAS_ELDER;
        bool b_has =
            ask(&arbiter, &b, aged(age_ms, 0), now_ns + MS).answer & STEVED_MEMORY_HAS_ELDER;
        assert_false(a_has);
        assert_true(b_has);
    }
}

static void
test_what_dies_counts_for_a_while(void **state)
{
    struct memory_arbiter arbiter;
    struct memory_party a, b;
    struct steved_memory told = running(1, 0);
    int64_t now_ns;

    memory_arbiter_init(&arbiter);
    join(&arbiter, &a, S);
    join(&arbiter, &b, S);
    told.dying_bytes = 50 * MIB;
    for (now_ns = S; now_ns < S + 4 * MEMORY_DEATH_NS; now_ns += MEMORY_DEATH_NS / 10) {
        ask(&arbiter, &a, told, now_ns);
        bool counts = (now_ns - S) / MEMORY_DEATH_NS % 2 == 0;
        assert_int_equal(ask(&arbiter, &b, running(1, 0), now_ns).others_dying_bytes,
                         counts ? 50 * MIB : 0);
    }
}

/* --- groups --- */

/* In a group that has a limit of its own, on a machine that has so much. */
static struct steved_memory
in_place(struct steved_memory told, uint64_t place, uint64_t machine_mib)
{
    told.place = place;
    told.machine_available_bytes = machine_mib * MIB;
    return told;
}

static void
test_who_is_in_another_group_uses_the_machine_alone(void **state)
{
    struct memory_arbiter arbiter;
    struct memory_party a, b, machine;
    struct steved_memory start = in_place(starting(1, 0, 900), 2, 4000), answer;

    memory_arbiter_init(&arbiter);
    join(&arbiter, &a, S);
    join(&arbiter, &b, S);
    join(&arbiter, &machine, S);
    ask(&arbiter, &a, in_place(aged(2000, 0), 1, 4000), 3 * S);
    answer = ask(&arbiter, &b, start, 3 * S);
    assert_true(is_granted(answer));
    assert_int_equal(answer.others, 0);
    assert_int_equal(answer.others_growth_bytes, 0);
    assert_false(answer.answer & STEVED_MEMORY_HAS_ELDER);
    /* Who is limited by nothing else uses what all use. */
    answer = ask(&arbiter, &machine, running(1, 2500), 3 * S);
    assert_int_equal(answer.others, 2);
    assert_int_equal(answer.others_growth_bytes, 1900 * MIB);
    /* That and the first's are 500 MiB more than the machine has beyond what is left here. */
    answer = ask(&arbiter, &b, start, 3 * S);
    assert_int_equal(answer.others_growth_bytes, 500 * MIB);
    assert_false(is_granted(answer));
    start.start_bytes = 400 * MIB;
    assert_true(is_granted(ask(&arbiter, &b, start, 3 * S)));
    /* One that is too large for its group waits for nobody else. */
    start = in_place(starting(0, 0, 5000), 2, 4000);
    assert_true(is_granted(ask(&arbiter, &b, start, 3 * S)));
    start.place = 1;
    assert_false(is_granted(ask(&arbiter, &b, start, 3 * S)));
}

/* --- one in another --- */

static void
test_one_that_is_part_of_a_job_does_not_wait_for_it(void **state)
{
    struct memory_arbiter arbiter;
    struct memory_party outer, inner[2], beside;

    memory_arbiter_init(&arbiter);
    join(&arbiter, &outer, S);
    ask(&arbiter, &outer, running(2, 800), S);
    join_above(&arbiter, &inner[0], &outer, S);
    join_above(&arbiter, &inner[1], &outer, S);
    join(&arbiter, &beside, S);
    assert_true(is_granted(ask(&arbiter, &inner[0], starting(0, 0, 5000), S)));
    assert_false(is_granted(ask(&arbiter, &inner[1], starting(0, 0, 5000), S)));
    struct steved_memory answer = ask(&arbiter, &inner[0], running(0, 0), S);
    assert_int_equal(answer.others_running, 0);
    assert_true(ask(&arbiter, &outer, running(2, 800), S).answer & STEVED_MEMORY_HAS_INNER);
    /* To others what it runs are those alone; one more is its own. */
    ask(&arbiter, &inner[1], running(1, 10), S);
    answer = ask(&arbiter, &beside, running(1, 0), S);
    assert_int_equal(answer.others_running, 1);
    assert_int_equal(answer.others_growth_bytes, 10 * MIB);
    ask(&arbiter, &outer, running(3, 800), S);
    assert_int_equal(ask(&arbiter, &beside, running(1, 0), S).others_running, 4);
    /* It goes, and they are nobody's. */
    memory_arbiter_leave(&arbiter, &outer);
    assert_null(inner[0].above);
    assert_int_equal(memory_arbiter_join(&arbiter, &outer, 0, NULL, S), 0);
    assert_false(ask(&arbiter, &outer, running(1, 0), S).answer & STEVED_MEMORY_HAS_INNER);
    memory_arbiter_leave(&arbiter, &outer);
    memory_arbiter_leave(&arbiter, &inner[0]);
    assert_int_equal(ask(&arbiter, &beside, running(1, 0), S).others_running, 1);
}

static void
test_it_is_not_elder_to_what_it_is_part_of(void **state)
{
    struct memory_arbiter arbiter;
    struct memory_party outer, inner;

    memory_arbiter_init(&arbiter);
    join(&arbiter, &outer, S);
    join_above(&arbiter, &inner, &outer, S);
    ask(&arbiter, &inner, aged(900, 0), 2 * S);
    struct steved_memory answer = ask(&arbiter, &outer, aged(800, 800), 2 * S);
    assert_false(answer.answer & (STEVED_MEMORY_HAS_ELDER | STEVED_MEMORY_HAS_YOUNGER));
    assert_int_equal(answer.others_growth_bytes, 1000 * MIB);
}

/* --- one above another --- */

struct house {
    struct memory_arbiter upper, lower;
    struct memory_party lower_as_party;
};

static void
build_house(struct house *house)
{
    memory_arbiter_init(&house->upper);
    memory_arbiter_init(&house->lower);
    join(&house->upper, &house->lower_as_party, S);
}

static struct steved_memory
ask_below(struct house *house, struct memory_party *party, struct steved_memory told,
          int64_t now_ns)
{
    struct steved_memory outside, answer;

    assert_int_equal(memory_arbiter_tell(&house->lower, party, &told, now_ns), 0);
    memory_arbiter_question(&house->lower, party, &outside, now_ns);
    outside = ask(&house->upper, &house->lower_as_party, outside, now_ns);
    memory_arbiter_answer(&house->lower, party, &outside, &answer, now_ns);
    return answer;
}

static void
test_those_below_another_are_one_with_those_beside_it(void **state)
{
    struct house house;
    struct memory_party a, b, beside;

    build_house(&house);
    join(&house.lower, &a, S);
    join(&house.lower, &b, S);
    join(&house.upper, &beside, S);
    ask(&house.upper, &beside, running(2, 100), S);
    ask_below(&house, &a, running(1, 300), S);
    struct steved_memory answer = ask_below(&house, &b, starting(1, 100, 401), S);
    assert_false(is_granted(answer));
    assert_int_equal(answer.others, 2);
    assert_int_equal(answer.others_running, 3);
    assert_int_equal(answer.others_growth_bytes, 400 * MIB);
    assert_true(is_granted(ask_below(&house, &b, starting(1, 100, 400), S)));
    assert_false(is_granted(ask_below(&house, &a, starting(1, 300, 1), S)));
    answer = ask(&house.upper, &beside, running(1, 0), S);
    assert_int_equal(answer.others_running, 3);
    assert_int_equal(answer.others_growth_bytes, 800 * MIB);
}

static void
test_ages_are_compared_through_all(void **state)
{
    struct house house;
    struct memory_party a, b, beside;

    build_house(&house);
    join(&house.lower, &a, S);
    join(&house.lower, &b, S);
    join(&house.upper, &beside, S);
    ask_below(&house, &a, aged(600, 500), 2 * S);
    ask_below(&house, &b, aged(400, 300), 2 * S);
    assert_true(ask(&house.upper, &beside, aged(200, 100), 2 * S).answer & STEVED_MEMORY_HAS_ELDER);
    assert_false(ask_below(&house, &a, aged(600, 500), 2 * S).answer & STEVED_MEMORY_HAS_ELDER);
    struct steved_memory answer = ask_below(&house, &b, aged(400, 300), 2 * S);
    assert_true(answer.answer & STEVED_MEMORY_HAS_ELDER);
    assert_true(answer.answer & STEVED_MEMORY_HAS_YOUNGER);
    assert_int_equal(answer.elder_growth_bytes, 600 * MIB);
    ask(&house.upper, &beside, aged(900, 800), 2 * S);
    answer = ask_below(&house, &a, aged(600, 500), 2 * S);
    assert_true(answer.answer & STEVED_MEMORY_HAS_ELDER);
    assert_int_equal(answer.elder_growth_bytes, 900 * MIB);
}

static void
test_a_liar_beside_does_not_stop_those_below(void **state)
{
    struct house house;
    struct memory_party honest, liar;
    int64_t now_ns = S;

    build_house(&house);
    join(&house.lower, &honest, S);
    join(&house.lower, &liar, S);
    for (; now_ns < S + MEMORY_MISTRUST_NS; now_ns += S) {
        ask_below(&house, &liar, lies(), now_ns);
        assert_false(is_granted(ask_below(&house, &honest, starting(0, 0, 10), now_ns)));
    }
    assert_true(is_granted(ask_below(&house, &honest, starting(0, 0, 10), now_ns)));
}

/* --- what is to be seen --- */

static void
test_totals_outlive_who_told_them(void **state)
{
    struct memory_arbiter arbiter;
    struct memory_party a, b;
    struct steved_memory told = running(1, 0), outside;

    memory_arbiter_init(&arbiter);
    join(&arbiter, &a, S);
    join(&arbiter, &b, S);
    told.put_off = 2;
    told.stopped = 3;
    told.waited_ms = 4;
    told.used_bytes = 100 * MIB;
    told.held_bytes = 70 * MIB;
    ask(&arbiter, &a, told, S);
    ask(&arbiter, &b, told, S);
    told.used_bytes = 50 * MIB;
    told.put_off = 3;
    ask(&arbiter, &b, told, S);
    memory_arbiter_leave(&arbiter, &a);
    memory_arbiter_question(&arbiter, NULL, &outside, S);
    struct memory_totals totals = memory_arbiter_totals(&arbiter);
    assert_int_equal(totals.put_off, 5);
    assert_int_equal(totals.stopped, 6);
    assert_int_equal(totals.waited_ms, 8);
    assert_int_equal(totals.peak_bytes, 200 * MIB);
    assert_int_equal(totals.unheld_peak_bytes, 340 * MIB);
    assert_int_equal(outside.held_bytes, 70 * MIB);
    assert_int_equal(outside.put_off, 5);
    assert_int_equal(outside.running, 1);
    assert_int_equal(outside.available_bytes, 1000 * MIB);
}

static void
test_the_status_is_of_who_sees_least(void **state)
{
    struct memory_arbiter arbiter;
    struct memory_party a, b;
    struct steved_status status = {0};
    struct steved_memory told = running(1, 30);

    memory_arbiter_init(&arbiter);
    memory_arbiter_status(&arbiter, &status, S);
    assert_int_equal(status.memory_available_bytes, 0);
    join(&arbiter, &a, S);
    join(&arbiter, &b, S);
    told.waiting = 4;
    ask(&arbiter, &a, told, S);
    told.available_bytes = 950 * MIB;
    told.floor_bytes = 40 * MIB;
    ask(&arbiter, &b, told, S);
    memory_arbiter_status(&arbiter, &status, S);
    assert_int_equal(status.memory_available_bytes, 1000 * MIB);
    assert_int_equal(status.memory_floor_bytes, 100 * MIB);
    assert_int_equal(status.memory_growth_bytes, 60 * MIB);
    assert_int_equal(status.memory_running, 2);
    assert_int_equal(status.memory_waiting, 8);
    /* Who has told nothing for long sees nothing. */
    const int64_t later_ns = S + STEVED_MEMORY_FRESH_MS * INT64_C(1000000);
    told.available_bytes = 2000 * MIB;
    ask(&arbiter, &b, told, later_ns);
    memory_arbiter_status(&arbiter, &status, later_ns + S);
    assert_int_equal(status.memory_available_bytes, 2000 * MIB);
}

/* --- anything --- */

#define PARTIES 12
#define STEPS 20000

static uint64_t
any_bytes(uint64_t *random)
{
    return one_in(random, 20) ? next_random(random) : next_random(random) % (500 * MIB);
}

static struct steved_memory
anything(uint64_t *random)
{
    struct steved_memory told = {
        .flags = one_in(random, 2) ? STEVED_MEMORY_ASKS : 0,
        .running = below(random, 4),
        .unseen = below(random, 3),
        .waiting = below(random, 3),
        .oldest_ms = below(random, 3000),
        .youngest_ms = one_in(random, 3) ? STEVED_MEMORY_NONE : below(random, 3000),
        .available_bytes = any_bytes(random),
        .place = below(random, 3),
        .machine_available_bytes = any_bytes(random),
        .floor_bytes = any_bytes(random) / 8,
        .used_bytes = any_bytes(random),
        .growth_bytes = any_bytes(random),
        .oldest_growth_bytes = any_bytes(random),
        .pace_bytes = any_bytes(random),
        .dying_bytes = any_bytes(random),
        .start_bytes = any_bytes(random),
        .reserve_bytes = any_bytes(random),
    };
    if (one_in(random, 30))
        told.running = told.unseen = told.waiting = UINT32_MAX;
    return told;
}

static bool
is_one_of(const struct memory_party *party, const struct memory_party *inner)
{
    for (; inner; inner = inner->above)
        if (inner == party)
            return true;
    return false;
}

/* What is counted of one is what it has told, bounded, and what it was granted after that; and nobody is granted what
 * does not fit beside it, but as the first of all, or as one that has waited for too long. */
static void
check_answer(const struct memory_party parties[], const struct memory_party *asker,
             const struct steved_memory *answer, int64_t now_ns)
{
    const struct steved_memory *told = &asker->told;
    uint64_t here = 0, everywhere = 0, running = 0;

    for (unsigned i = 0; i < PARTIES; i++) {
        const struct memory_party *party = &parties[i];
        unsigned jobs = party->told.running + party->granted_jobs;
        assert_true(party->told.growth_bytes <= MEMORY_BYTES_MAX);
        assert_true(party->told.unseen <= party->told.running);
        if (!party->is_member || is_one_of(party, asker) || party->told_ns == 0 ||
            now_ns - party->told_ns >= STEVED_MEMORY_FRESH_MS * MS || jobs <= party->below)
            continue;
        everywhere += party->told.growth_bytes + party->granted_bytes;
        if (told->place != 0 && party->told.place != told->place)
            continue;
        here += party->told.growth_bytes + party->granted_bytes;
        running += jobs;
    }
    if (told->place == 0)
        assert_true(answer->others_growth_bytes == here);
    else
        assert_true(answer->others_growth_bytes >= here &&
                    answer->others_growth_bytes <= everywhere);
    if (!is_granted(*answer) || asker->is_mistrustful || (told->running == 0 && running == 0))
        return;
    uint64_t need = told->growth_bytes + told->start_bytes + told->floor_bytes;
    assert_true(here + need <= told->available_bytes);
    if (told->place != 0 && told->machine_available_bytes > told->available_bytes)
        assert_true(everywhere + need <= told->machine_available_bytes);
}

static void
test_random_operations(void **state)
{
    static struct memory_party parties[PARTIES];
    struct memory_arbiter arbiter;
    uint64_t random = 1;
    int64_t now_ns = S;

    memory_arbiter_init(&arbiter);
    for (unsigned step = 0; step < STEPS; step++, now_ns += below(&random, 300) * MS) {
        struct memory_party *party = &parties[below(&random, PARTIES)],
                            *other = &parties[below(&random, PARTIES)];
        unsigned members = 0, above = 0;
        if (one_in(&random, 20)) {
            memory_arbiter_leave(&arbiter, party);
        } else if (!party->is_member) {
            memory_party_init(party, now_ns);
            memory_arbiter_join(&arbiter, party, (int)step,
                                other->is_member && one_in(&random, 2) ? other : NULL, now_ns);
            assert_ptr_equal(memory_arbiter_find(&arbiter, (int)step), step > 0 ? party : NULL);
        } else {
            struct steved_memory answer = ask(&arbiter, party, anything(&random), now_ns);
            check_answer(parties, party, &answer, now_ns);
        }
        for (unsigned i = 0; i < PARTIES; i++) {
            members += parties[i].is_member;
            above += parties[i].is_member ? parties[i].below : 0;
            assert_true(!parties[i].is_member || !parties[i].above || parties[i].above->is_member);
        }
        assert_int_equal(arbiter.count, members);
        for (unsigned i = 0; i < PARTIES; i++)
            above -= parties[i].is_member && parties[i].above;
        assert_int_equal(above, 0);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_use_is_summed_by_account),
        cmocka_unit_test(test_two_that_ask_at_once_do_not_both_have_it),
        cmocka_unit_test(test_what_one_expects_is_not_there_for_others),
        cmocka_unit_test(test_one_job_of_all_always_runs),
        cmocka_unit_test(test_unknown_jobs_are_let_in_as_there_is_room_for_all_of_them),
        cmocka_unit_test(test_a_reserve_is_a_part_of_what_nobody_waits_for),
        cmocka_unit_test(test_who_has_waited_for_long_goes_first),
        cmocka_unit_test(test_what_leaves_enough_for_who_has_waited_need_not_wait),
        cmocka_unit_test(test_what_is_claimed_ends_with_who_claims_it),
        cmocka_unit_test(test_a_liar_that_lives_lets_others_have_one_job_each),
        cmocka_unit_test(test_who_is_silent_does_not_count),
        cmocka_unit_test(test_nonsense_changes_nothing),
        cmocka_unit_test(test_there_are_not_too_many),
        cmocka_unit_test(test_one_user_leaves_room_for_others),
        cmocka_unit_test(test_who_is_in_another_group_uses_the_machine_alone),
        cmocka_unit_test(test_there_is_one_eldest_of_all),
        cmocka_unit_test(test_of_two_that_are_as_old_one_is_the_elder),
        cmocka_unit_test(test_what_dies_counts_for_a_while),
        cmocka_unit_test(test_one_that_is_part_of_a_job_does_not_wait_for_it),
        cmocka_unit_test(test_it_is_not_elder_to_what_it_is_part_of),
        cmocka_unit_test(test_those_below_another_are_one_with_those_beside_it),
        cmocka_unit_test(test_ages_are_compared_through_all),
        cmocka_unit_test(test_a_liar_beside_does_not_stop_those_below),
        cmocka_unit_test(test_totals_outlive_who_told_them),
        cmocka_unit_test(test_the_status_is_of_who_sees_least),
        cmocka_unit_test(test_random_operations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
