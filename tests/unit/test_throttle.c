/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The limits of rule 10: what users write, what is decided of it and when, and what that does to a pool on a
 * machine that is two files. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "libjobserver/pool/pool.h"
#include "libjobserver/throttle/decision.h"
#include "libjobserver/throttle/settings.h"
#include "libjobserver/throttle/throttle.h"
#include "tests/unit/remove_tree.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))
#define MS INT64_C(1000000)
#define GIB (UINT64_C(1) << 30)

/* --- what users write --- */

static const struct {
    int setting;
    const char *text;
    const char *written; /* NULL: refused */
} texts[] = {
    {THROTTLE_MEMORY, "0", "0"},
    {THROTTLE_MEMORY, "4096", "4096"},
    {THROTTLE_MEMORY, "25%", "25%"},
    {THROTTLE_MEMORY, "100%", "100%"},
    {THROTTLE_MEMORY, "0%", "0"},
    {THROTTLE_MEMORY, "", NULL},
    {THROTTLE_MEMORY, "%", NULL},
    {THROTTLE_MEMORY, "101%", NULL},
    {THROTTLE_MEMORY, "5%%", NULL},
    {THROTTLE_MEMORY, "5%x", NULL},
    {THROTTLE_MEMORY, "1.5", NULL},
    {THROTTLE_MEMORY, "-1", NULL},
    {THROTTLE_MEMORY, "1073741824", NULL},
    {THROTTLE_MEMORY, "00000000000000000000000000000000000005", NULL},
    {THROTTLE_LOAD, "0", "0"},
    {THROTTLE_LOAD, "8", "8"},
    {THROTTLE_LOAD, "0.01", "0.01"},
    {THROTTLE_LOAD, "7.5", "7.5"},
    {THROTTLE_LOAD, "1000000", "1000000"},
    {THROTTLE_LOAD, "999999.99", "999999.99"},
    {THROTTLE_LOAD, "1000000.01", NULL},
    {THROTTLE_LOAD, "8.", NULL},
    {THROTTLE_LOAD, ".5", NULL},
    {THROTTLE_LOAD, "1.234", NULL},
    {THROTTLE_LOAD, "1..", NULL},
    {THROTTLE_LOAD, "1e3", NULL},
    {THROTTLE_LOAD, "nan", NULL},
    {THROTTLE_LOAD, "-0.5", NULL},
    {THROTTLE_RECHECK, "0.1", "0.1"},
    {THROTTLE_RECHECK, "5", "5"},
    {THROTTLE_RECHECK, "3600", "3600"},
    {THROTTLE_RECHECK, "0.001", NULL},
    {THROTTLE_RECHECK, "0", NULL},
    {THROTTLE_RECHECK, "3600.001", NULL},
};

static void
test_what_users_write(void **state)
{
    char written[THROTTLE_TEXT_SIZE];

    for (size_t i = 0; i < COUNT(texts); i++) {
        const struct throttle_setting *setting = &throttle_settings[texts[i].setting];
        struct steved_limits limits = {.load_recheck_ms = 777}, before = limits;
        bool is_taken = setting->parse(texts[i].text, &limits);
        setting->write(&limits, written);
        if (is_taken ? !texts[i].written || strcmp(written, texts[i].written) != 0
                     : texts[i].written || memcmp(&limits, &before, sizeof(limits)) != 0)
            fail_msg("%s '%s': %d, '%s'", setting->name, texts[i].text, is_taken, written);
    }
}

static void
test_settings_are_changed_all_or_none(void **state)
{
    struct steved_limits limits = {.memory_mib = 5, .load_recheck_ms = 5000}, before = limits;
    const struct steved_settings bad[] = {
        {.named = STEVED_SET_LIMITS, .limits = {1, 1, 1, 100}},
        {.named = STEVED_SET_LIMITS, .limits = {0, 101, 1, 100}},
        {.named = STEVED_SET_LIMITS, .limits = {UINT32_MAX, 0, 1, 100}},
        {.named = STEVED_SET_LIMITS, .limits = {0, 1, UINT32_MAX, 100}},
        {.named = STEVED_SET_LIMITS, .limits = {0, 1, 1, 0}},
        {.named = STEVED_SET_LIMITS, .limits = {0, 1, 1, UINT32_MAX}},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(throttle_change(&limits, &bad[i]), -EINVAL);
        assert_memory_equal(&limits, &before, sizeof(limits));
    }
    const struct steved_settings load = {.named = STEVED_SET_LOAD_AVERAGE,
                                         .limits = {9, 9, 800, 9}};
    assert_int_equal(throttle_change(&limits, &load), 0);
    assert_int_equal(limits.load_centi, 800);
    assert_int_equal(limits.memory_mib, 5);
    const struct steved_settings memory = {.named = STEVED_SET_MIN_MEMORY_AVAIL,
                                           .limits = {0, 10, 0, 0}};
    assert_int_equal(throttle_change(&limits, &memory), 0);
    assert_int_equal(limits.memory_mib, 0);
    assert_int_equal(limits.memory_percent, 10);
}

/* --- what is decided --- */

static void
test_no_limit_is_never_looked_at(void **state)
{
    const struct steved_limits none = {.load_recheck_ms = 5000};
    struct throttle_state seen = {0};

    assert_false(throttle_wants_memory(&seen, &none, MS));
    assert_false(throttle_wants_load(&seen, &none, MS));
    assert_true(throttle_look_again_ns(&seen, &none) == THROTTLE_NEVER);
    assert_int_equal(throttle_decide(&seen, &none, 100, 1, MS), THROTTLE_NONE);
}

static void
test_memory_below_the_limit_holds_back_to_min_jobs(void **state)
{
    const struct steved_limits limits = {.memory_mib = 1024, .load_recheck_ms = 5000};
    struct throttle_state seen = {0};

    assert_true(throttle_wants_memory(&seen, &limits, MS));
    throttle_saw_memory(&seen, &limits, GIB, 8 * GIB, MS);
    assert_int_equal(throttle_decide(&seen, &limits, 5, 2, MS), THROTTLE_NONE);
    assert_int_equal(seen.held_back_by, 0);
    throttle_saw_memory(&seen, &limits, GIB - 1, 8 * GIB, 2 * MS);
    assert_int_equal(throttle_decide(&seen, &limits, 5, 2, 2 * MS), 2);
    assert_int_equal(seen.held_back_by, STEVED_HELD_BACK_BY_MEMORY);
    /* Since when is since the first time. */
    assert_int_equal(throttle_decide(&seen, &limits, 5, 3, 9 * MS), 3);
    assert_true(seen.held_back_since_ns == 2 * MS);
}

static void
test_memory_in_per_cent_of_all(void **state)
{
    const struct steved_limits quarter = {.memory_percent = 25}, all = {.memory_percent = 100};
    struct throttle_state seen = {0};

    throttle_saw_memory(&seen, &quarter, 2 * GIB, 8 * GIB, MS);
    assert_int_equal(throttle_decide(&seen, &quarter, 0, 1, MS), THROTTLE_NONE);
    throttle_saw_memory(&seen, &quarter, 2 * GIB - 1, 8 * GIB, MS);
    assert_int_equal(throttle_decide(&seen, &quarter, 0, 1, MS), 1);
    throttle_saw_memory(&seen, &all, 8 * GIB - 1, 8 * GIB, MS);
    assert_int_equal(throttle_decide(&seen, &all, 0, 1, MS), 1);
    throttle_saw_memory(&seen, &all, 1, UINT64_MAX, MS);
    assert_true(seen.wanted_bytes == UINT64_MAX);
}

static void
test_a_load_below_its_limit_leaves_so_many(void **state)
{
    const struct steved_limits limits = {.load_centi = 800, .load_recheck_ms = 5000};
    struct throttle_state seen = {0};

    throttle_saw_load(&seen, &limits, 520, 4, MS);
    assert_int_equal(throttle_decide(&seen, &limits, 4, 1, MS), 7);
    assert_int_equal(seen.held_back_by, 0);
    assert_int_equal(throttle_decide(&seen, &limits, 7, 1, MS), 7);
    assert_int_equal(seen.held_back_by, STEVED_HELD_BACK_BY_LOAD);
    throttle_saw_load(&seen, &limits, 799, 4, MS);
    assert_int_equal(throttle_decide(&seen, &limits, 4, 1, MS), 5);
    throttle_saw_load(&seen, &limits, 800, 4, MS);
    assert_int_equal(throttle_decide(&seen, &limits, 4, 2, MS), 2);
    assert_int_equal(seen.held_back_by, STEVED_HELD_BACK_BY_LOAD);
    throttle_saw_load(&seen, &limits, 0, 0, MS);
    assert_int_equal(throttle_decide(&seen, &limits, 0, 9, MS), 9); /* not below min_jobs */
}

static void
test_both_limits_and_which_of_them_it_is(void **state)
{
    const struct steved_limits limits = {.memory_mib = 1, .load_centi = 100};
    struct throttle_state seen = {0};

    throttle_saw_memory(&seen, &limits, 0, GIB, MS);
    throttle_saw_load(&seen, &limits, 500, 3, MS);
    assert_int_equal(throttle_decide(&seen, &limits, 3, 1, MS), 1);
    assert_int_equal(seen.held_back_by, STEVED_HELD_BACK_BY_MEMORY | STEVED_HELD_BACK_BY_LOAD);
    throttle_saw_memory(&seen, &limits, GIB, GIB, 2 * MS);
    assert_int_equal(throttle_decide(&seen, &limits, 3, 1, 2 * MS), 1);
    assert_int_equal(seen.held_back_by, STEVED_HELD_BACK_BY_LOAD);
    assert_true(seen.held_back_since_ns == MS);
}

static void
test_how_long_a_look_is_believed(void **state)
{
    const struct steved_limits limits = {
        .memory_mib = 1, .load_centi = 100, .load_recheck_ms = 1500};
    struct throttle_state seen = {0};

    throttle_saw_memory(&seen, &limits, GIB, GIB, 1000 * MS);
    throttle_saw_load(&seen, &limits, 0, 0, 1000 * MS);
    assert_false(throttle_wants_memory(&seen, &limits, 1099 * MS));
    assert_true(throttle_wants_memory(&seen, &limits, 1100 * MS));
    assert_false(throttle_wants_load(&seen, &limits, 2499 * MS));
    assert_true(throttle_wants_load(&seen, &limits, 2500 * MS));
    assert_true(throttle_look_again_ns(&seen, &limits) == 1100 * MS);
    throttle_saw_memory(&seen, &limits, GIB, GIB, 2450 * MS);
    assert_true(throttle_look_again_ns(&seen, &limits) == 2500 * MS);
}

/* --- on a machine --- */

struct machine {
    char root[64];
    struct throttle throttle;
    struct pool *pool;
    struct pool_process *process;
    struct pool_opening *opening;
    int granted; /* as due */
};

static void
write_file(const struct machine *machine, const char *name, const char *text)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/proc/%s", machine->root, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void
write_memory(const struct machine *machine, unsigned available_mib)
{
    char text[128];

    snprintf(text, sizeof(text), "MemTotal: %u kB\nMemAvailable: %u kB\n", 8192u * 1024,
             available_mib * 1024);
    write_file(machine, "meminfo", text);
}

static int
make_machine(void **state)
{
    struct machine *machine = calloc(1, sizeof(*machine));
    const struct steved_limits none = {.load_recheck_ms = 5000};
    char path[128];

    *state = machine;
    strcpy(machine->root, "/tmp/test_throttle.XXXXXX");
    if (!mkdtemp(machine->root))
        return -1;
    snprintf(path, sizeof(path), "%s/proc", machine->root);
    mkdir(path, 0700);
    write_memory(machine, 4096);
    write_file(machine, "loadavg", "0.00 7.00 9.00 1/200 4711\n");
    machine->pool = pool_create(8);
    machine->process = pool_process_add(machine->pool, 1, pool_account(machine->pool, 0, 1), true);
    machine->opening = pool_open(machine->pool, machine->process, machine);
    throttle_init(&machine->throttle, &none);
    return throttle_open(&machine->throttle, machine->root);
}

static int
remove_machine(void **state)
{
    struct machine *machine = *state;

    throttle_close(&machine->throttle);
    pool_destroy(machine->pool);
    remove_tree(machine->root);
    free(machine);
    return 0;
}

static void
set(struct machine *machine, unsigned memory_mib, unsigned load_centi)
{
    const struct steved_settings settings = {
        .named = STEVED_SET_LIMITS,
        .limits = {.memory_mib = memory_mib, .load_centi = load_centi, .load_recheck_ms = 5000}};

    assert_int_equal(throttle_set(&machine->throttle, &settings), 0);
}

static void
look(struct machine *machine, int64_t now_ns)
{
    struct pool_due due;

    throttle_look(&machine->throttle, machine->pool, 1, now_ns);
    while (pool_next_due(machine->pool, &due))
        machine->granted += due.kind == POOL_DUE_GRANT;
}

/* true: at once. */
static bool
reads(struct machine *machine)
{
    struct pool_waiter *waiter;

    return pool_read(machine->pool, machine->opening, machine->process, false, machine, &waiter,
                     MS) == POOL_GRANTED;
}

static void
test_memory_that_comes_back_serves_who_waits(void **state)
{
    struct machine *machine = *state;
    struct steved_throttle told;

    set(machine, 2048, 0);
    write_memory(machine, 1024);
    assert_true(throttle_deadline_ns(&machine->throttle, machine->pool, false) == POOL_NO_DEADLINE);
    look(machine, 1000 * MS);
    assert_true(reads(machine)); /* min_jobs */
    assert_false(reads(machine));
    assert_false(reads(machine));
    assert_true(throttle_deadline_ns(&machine->throttle, machine->pool, false) == 1100 * MS);
    write_memory(machine, 3000);
    look(machine, 1099 * MS);
    assert_int_equal(machine->granted, 0);
    throttle_tell(&machine->throttle, &told, 1099 * MS);
    assert_int_equal(told.held_back_by, STEVED_HELD_BACK_BY_MEMORY);
    assert_int_equal(told.held_back_ms, 99);
    assert_true(told.available_bytes == GIB && told.wanted_bytes == 2 * GIB);
    look(machine, 1100 * MS);
    assert_int_equal(machine->granted, 2);
    throttle_tell(&machine->throttle, &told, 1100 * MS);
    assert_int_equal(told.held_back_by, 0);
    assert_int_equal(told.held_back_ms, 0);
}

static void
test_the_load_is_looked_at_only_while_somebody_waits(void **state)
{
    struct machine *machine = *state;
    struct steved_throttle told;

    set(machine, 0, 300);
    write_file(machine, "loadavg", "1.50 0.00 0.00 1/200 4711\n");
    look(machine, 1000 * MS);
    assert_true(reads(machine) && reads(machine)); /* 1.5 are left */
    assert_true(throttle_deadline_ns(&machine->throttle, machine->pool, false) == POOL_NO_DEADLINE);
    /* Where tokens lie, anybody may be about to take one. */
    assert_true(throttle_deadline_ns(&machine->throttle, machine->pool, true) == 6000 * MS);
    assert_false(reads(machine));
    assert_true(throttle_deadline_ns(&machine->throttle, machine->pool, false) == 6000 * MS);
    look(machine, 5999 * MS);
    assert_int_equal(machine->granted, 0);
    throttle_tell(&machine->throttle, &told, 5999 * MS);
    assert_int_equal(told.held_back_by, STEVED_HELD_BACK_BY_LOAD);
    assert_int_equal(told.load_centi, 150);
    look(machine, 6000 * MS);
    assert_int_equal(machine->granted, 1);
}

static void
test_without_a_limit_all_is_as_it_was(void **state)
{
    struct machine *machine = *state;

    set(machine, 8192, 0);
    look(machine, 1000 * MS);
    assert_true(reads(machine));
    for (int i = 0; i < 7; i++)
        assert_false(reads(machine));
    set(machine, 0, 0);
    assert_false(throttle_is_set(&machine->throttle));
    look(machine, 1001 * MS);
    assert_int_equal(machine->granted, 7);
    assert_true(throttle_deadline_ns(&machine->throttle, machine->pool, true) == POOL_NO_DEADLINE);
}

static void
test_what_does_not_tell_limits_nothing(void **state)
{
    struct machine *machine = *state;

    set(machine, 2048, 800);
    write_file(machine, "meminfo", "nonsense\n");
    write_file(machine, "loadavg", "nonsense\n");
    look(machine, 1000 * MS);
    for (int i = 0; i < 8; i++)
        assert_true(reads(machine));
}

static void
test_a_machine_that_tells_nothing_is_refused(void **state)
{
    const struct steved_limits none = {.load_recheck_ms = 5000};
    struct throttle throttle;

    throttle_init(&throttle, &none);
    assert_int_equal(throttle_open(&throttle, "/nonexistent"), -ENOENT);
    throttle_close(&throttle);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, make_machine, remove_machine)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_users_write),
        cmocka_unit_test(test_settings_are_changed_all_or_none),
        cmocka_unit_test(test_no_limit_is_never_looked_at),
        cmocka_unit_test(test_memory_below_the_limit_holds_back_to_min_jobs),
        cmocka_unit_test(test_memory_in_per_cent_of_all),
        cmocka_unit_test(test_a_load_below_its_limit_leaves_so_many),
        cmocka_unit_test(test_both_limits_and_which_of_them_it_is),
        cmocka_unit_test(test_how_long_a_look_is_believed),
        CASE(test_memory_that_comes_back_serves_who_waits),
        CASE(test_the_load_is_looked_at_only_while_somebody_waits),
        CASE(test_without_a_limit_all_is_as_it_was),
        CASE(test_what_does_not_tell_limits_nothing),
        cmocka_unit_test(test_a_machine_that_tells_nothing_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
