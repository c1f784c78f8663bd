/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The command lines of ninja and samurai, as the shim reads them.
 *
 * What is expected below was read from ReadFlags() of ninja 1.11.1, 1.12.1, 1.13.2 and 1.14.0.git
 * (which alone knows --status; up to 1.12 a number is cut to an int before it is looked at), and
 * from samurai's main(). A command line is one string here, its words separated by single blanks.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ninja-shim/shims/ninja_options.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

/* 63 words at most; "" between two blanks is a word too. */
struct command_line {
    char text[512], *argv[64];
    int argc;
};

static void
split(struct command_line *line, const char *text)
{
    char *rest = line->text, *word;

    assert_true((size_t)snprintf(line->text, sizeof(line->text), "%s", text) < sizeof(line->text));
    for (line->argc = 0; (word = strsep(&rest, " "));)
        line->argv[line->argc++] = word;
    line->argv[line->argc] = NULL;
}

static void
join(char *const *argv, char *text)
{
    *text = '\0';
    for (; *argv; argv++)
        text = stpcpy(stpcpy(text, *argv), argv[1] ? " " : "");
}

/* --- does it build? --- */

static const struct {
    const char *line;
    bool is_build;
} builds_cases[] = {
    {"ninja", true},
    {"ninja all", true},
    {"ninja -v -C out -f other.ninja -k 0 -j8 all", true},
    {"ninja --quiet --verbose --status x all", true},

    {"ninja -n", false},
    {"ninja -vn", false},
    {"ninja -j8n", true}, /* a bad number, refused */
    {"ninja -j 8 -n", false},
    {"ninja all -n", false},
    {"ninja all -vn more", false},
    {"ninja -h", false},
    {"ninja --help", false},
    {"ninja --he", false},
    {"ninja --version", false},
    {"ninja --vers", false},
    {"ninja --ver", true}, /* verbose, or version? refused */
    {"ninja --verb", true},
    {"ninja all --version", false},
    {"ninja -t clean", false},
    {"ninja -tclean", false},
    {"ninja -C out -t compdb cc", false},
    {"ninja all -t list", false},
    {"ninja -d list", false},
    {"ninja -dlist", false},
    {"ninja -w list", false},
    {"ninja -d explain -w phonycycle=err", true},
    {"ninja -d lists", true},

    /* what is no option, but an argument or an operand */
    {"ninja -C -n", true},
    {"ninja -f -t", true},
    {"ninja -f --version", true},
    {"ninja --status -n", true},
    {"ninja --status=-n", true},
    {"ninja -- -n", true},
    {"ninja -v -- --version", true},
    {"ninja - n", true},
    {"ninja n t", true},
    {"ninja -C n -f t", true},
    {"-n", true},

    /* incomplete: refused */
    {"ninja -t", true},
    {"ninja -d", true},
    {"ninja --status", true},

    /* options that only a newer ninja has: what follows may be an argument */
    {"ninja -X", true},
    {"ninja -Xn", true},
    {"ninja -X -n", true},
    {"ninja -X -t clean", true},
    {"ninja --newer --version", true},
    {"ninja --newer=-n", true},
    {"ninja --help=all", true},
    {"ninja -n -X", false},
    {"ninja -t clean -X", false},
};

static void
test_builds(void **state)
{
    for (size_t i = 0; i < COUNT(builds_cases); i++) {
        struct ninja_options options;
        struct command_line line = {.argc = 0};

        split(&line, builds_cases[i].line);
        assert_int_equal(ninja_options_read(&options, line.argc, line.argv, NULL), 0);
        if (options.is_build != builds_cases[i].is_build)
            fail_msg("'%s': builds: %d", builds_cases[i].line, options.is_build);
    }
}

/* --- -j, and where another one wins --- */

#define DEFAULT false, 0
#define JOBS(n) true, n

static const struct jobs_case {
    const char *line;
    bool given;
    unsigned jobs;
    const char *inserted; /* with -jN put in */
} jobs_cases[] = {
    {"ninja", DEFAULT, "ninja -jN"},
    {"ninja -v all", DEFAULT, "ninja -jN -v all"},
    {"ninja -- -j8", DEFAULT, "ninja -jN -- -j8"},
    {"ninja -C -j8", DEFAULT, "ninja -jN -C -j8"},
    {"ninja -t clean -j8", DEFAULT, "ninja -jN -t clean -j8"},
    {"ninja -j8 -t compdb -j9", JOBS(8), "ninja -j8 -jN -t compdb -j9"},

    {"ninja -j8", JOBS(8), "ninja -j8 -jN"},
    {"ninja -j 8", JOBS(8), "ninja -j 8 -jN"},
    {"ninja -vj8", JOBS(8), "ninja -vj8 -jN"},
    {"ninja -vj 8", JOBS(8), "ninja -vj 8 -jN"},
    {"ninja -j8 all", JOBS(8), "ninja -j8 -jN all"},
    {"ninja -j 8 -v -- all", JOBS(8), "ninja -j 8 -jN -v -- all"},
    {"ninja -j8 -j 4 -v", JOBS(4), "ninja -j8 -j 4 -jN -v"},
    {"ninja -j8 -- -j4", JOBS(8), "ninja -j8 -jN -- -j4"},

    /* behind operands */
    {"ninja all -j8", JOBS(8), "ninja all -j8 -jN"},
    {"ninja all -j 8", JOBS(8), "ninja all -j 8 -jN"},
    {"ninja a b -vj8 c -k0 d", JOBS(8), "ninja a b -vj8 -jN c -k0 d"},
    {"ninja a b -vj 8 c", JOBS(8), "ninja a b -vj 8 -jN c"},
    {"ninja -j1 a -j2 b c -j 3 d", JOBS(3), "ninja -j1 a -j2 b c -j 3 -jN d"},
    {"ninja a -v b -j3 c -- d -j4", JOBS(3), "ninja a -v b -j3 -jN c -- d -j4"},
    {"ninja - -j3", JOBS(3), "ninja - -j3 -jN"},
    {"ninja  -j3", JOBS(3), "ninja  -j3 -jN"}, /* an empty operand */

    /* numbers */
    {"ninja -j0", JOBS(0), "ninja -j0 -jN"},
    {"ninja -j ", JOBS(0), "ninja -j  -jN"}, /* an empty argument */
    {"ninja -j+2", JOBS(2), "ninja -j+2 -jN"},
    {"ninja -j010", JOBS(10), "ninja -j010 -jN"},
    {"ninja -j2147483646", JOBS(2147483646), "ninja -j2147483646 -jN"},
    {"ninja -j2147483647", JOBS(0), "ninja -j2147483647 -jN"},
    {"ninja -j4294967297", JOBS(0), "ninja -j4294967297 -jN"},
    {"ninja -j99999999999999999999", JOBS(0), "ninja -j99999999999999999999 -jN"},

    /* refused, unless by a newer ninja */
    {"ninja -j-1", DEFAULT, "ninja -j-1 -jN"},
    {"ninja -j -1", DEFAULT, "ninja -j -1 -jN"},
    {"ninja -j-99999999999999999999", DEFAULT, "ninja -j-99999999999999999999 -jN"},
    {"ninja -j8x", DEFAULT, "ninja -j8x -jN"},
    {"ninja -j0x8", DEFAULT, "ninja -j0x8 -jN"},
    {"ninja -jauto", DEFAULT, "ninja -jauto -jN"},
    {"ninja -j3 -jx", JOBS(3), "ninja -j3 -jx -jN"},
    {"ninja -j", DEFAULT, "ninja -jN -j"},
    {"ninja -j3 -j", JOBS(3), "ninja -j3 -jN -j"},
    {"ninja --jobs=8", DEFAULT, "ninja -jN --jobs=8"},
    {"ninja -X -j8", JOBS(8), "ninja -X -j8 -jN"},
    {"ninja --newer -j 8 all", JOBS(8), "ninja --newer -j 8 -jN all"},
};

static void
check_jobs(const struct jobs_case *c, const char *flags)
{
    struct ninja_options options;
    struct command_line line = {.argc = 0};
    char text[600];

    split(&line, c->line);
    assert_int_equal(ninja_options_read(&options, line.argc, line.argv, flags), 0);
    if (options.has_jobs != c->given || options.jobs != c->jobs)
        fail_msg("'%s': %s -j%u", c->line, options.has_jobs ? "given" : "default", options.jobs);
    join(line.argv, text);
    assert_string_equal(text, c->line);

    char **inserted = ninja_options_insert_jobs(&options, line.argc, line.argv, "-jN");
    assert_non_null(inserted);
    join(inserted, text);
    assert_string_equal(text, c->inserted);
    free(inserted);
}

static void
test_jobs(void **state)
{
    for (size_t i = 0; i < COUNT(jobs_cases); i++)
        check_jobs(&jobs_cases[i], NULL);
}

/* What was put in is what is read back then. */
static void
test_inserted_jobs_win(void **state)
{
    for (size_t i = 0; i < COUNT(jobs_cases); i++) {
        struct ninja_options options, again;
        struct command_line line = {.argc = 0};

        split(&line, jobs_cases[i].line);
        assert_int_equal(ninja_options_read(&options, line.argc, line.argv, NULL), 0);
        char **inserted = ninja_options_insert_jobs(&options, line.argc, line.argv, "-j77");
        assert_non_null(inserted);
        assert_int_equal(ninja_options_read(&again, line.argc + 1, inserted, NULL), 0);
        if (!again.has_jobs || again.jobs != 77 || again.is_build != options.is_build)
            fail_msg("'%s': -j%u", jobs_cases[i].line, again.jobs);
        assert_int_equal(again.jobs_end, options.jobs_end + 1);
        free(inserted);
    }
}

static void
test_posixly_correct(void **state)
{
    static const struct jobs_case cases[] = {
        {"ninja -j8 all -j9", JOBS(8), "ninja -j8 -jN all -j9"},
        {"ninja all -j9", DEFAULT, "ninja -jN all -j9"},
    };

    setenv("POSIXLY_CORRECT", "", 1);
    for (size_t i = 0; i < COUNT(cases); i++)
        check_jobs(&cases[i], NULL);
    unsetenv("POSIXLY_CORRECT");
    check_jobs(&(struct jobs_case){"ninja all -j9", JOBS(9), "ninja all -j9 -jN"}, NULL);
}

/* --- samurai --- */

static const struct {
    const char *flags;
    struct jobs_case jobs;
} samurai_cases[] = {
    {"", {"samu", DEFAULT, "samu -jN"}},
    {"", {"samu all -j8", DEFAULT, "samu -jN all -j8"}},
    {"", {"samu -vj 8 all -j9", JOBS(8), "samu -vj 8 -jN all -j9"}},
    {"", {"samu --verbose -j8", JOBS(8), "samu --verbose -j8 -jN"}},
    {"-j3", {"samu", JOBS(3), "samu -jN"}},
    {"  -v  -j   3 ", {"samu all", JOBS(3), "samu -jN all"}},
    {"-vj3 -l2", {"samu -C x", JOBS(3), "samu -jN -C x"}},
    {"-j3 -j4", {"samu", JOBS(4), "samu -jN"}},
    {"-j3", {"samu -j0", JOBS(0), "samu -j0 -jN"}},
    {"-j3", {"samu -j5", JOBS(5), "samu -j5 -jN"}},
    {"-j3", {"samu -- -j5", JOBS(3), "samu -jN -- -j5"}},
    {"a -j3", {"samu", DEFAULT, "samu -jN"}},
    {"-- -j3", {"samu", DEFAULT, "samu -jN"}},
    {"-j", {"samu", DEFAULT, "samu -jN"}}, /* refused, as are the next */
    {"-jx", {"samu -j5", JOBS(5), "samu -j5 -jN"}},
    {"-n -j3", {"samu", JOBS(3), "samu -jN"}},
    {"a b c d e f g", {"samu", DEFAULT, "samu -jN"}},
};

static void
test_samurai(void **state)
{
    for (size_t i = 0; i < COUNT(samurai_cases); i++)
        check_jobs(&samurai_cases[i].jobs, samurai_cases[i].flags);
}

static void
test_samurai_builds(void **state)
{
    static const struct {
        const char *flags, *line;
        bool is_build;
    } cases[] = {
        {"", "samu", true},          {"", "samu all -n", true},     {"", "samu -n all", false},
        {"", "samu -tclean", false}, {"", "samu --version", false}, {"-n", "samu", true},
        {"-X", "samu -n", false},    {"-v -X", "samu", true},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct ninja_options options;
        struct command_line line = {.argc = 0};

        split(&line, cases[i].line);
        assert_int_equal(ninja_options_read(&options, line.argc, line.argv, cases[i].flags), 0);
        if (options.is_build != cases[i].is_build)
            fail_msg("SAMUFLAGS='%s' %s: %d", cases[i].flags, cases[i].line, options.is_build);
    }
}

/* --- -k and -l --- */

static const struct {
    const char *flags, *line;
    unsigned failures_allowed;
    double load_max;
} limit_cases[] = {
    {NULL, "ninja", 1, 0},
    {NULL, "ninja -k3 -l2.5", 3, 2.5},
    {NULL, "ninja all -k 3 more -l 2", 3, 2},
    {NULL, "ninja -k 3 -k 4 -l1 -l2", 4, 2},
    {NULL, "ninja -k0 -l0", 0, 0},
    {NULL, "ninja -l3 -l0", 1, 0},
    {NULL, "ninja -k -1 -l -1", 0, 0},
    {NULL, "ninja -k2147483647", 0, 0},
    {NULL, "ninja -k -99999999999999999999", 0, 0},
    {NULL, "ninja -k3x", 1, 0}, /* refused */
    {NULL, "ninja -kx -k4", 4, 0},
    {NULL, "ninja -l2x", 1, 2}, /* taken */
    {NULL, "ninja -lx", 1, 0},
    {NULL, "ninja -l3 -lx", 1, 3},
    {NULL, "ninja -lnan", 1, 0},
    {NULL, "ninja -l ", 1, 0},
    {NULL, "ninja -- -k3 -l2", 1, 0},
    {"-l3", "samu", 1, 3},
    {"-l3", "samu -l4 -k 2", 2, 4},
    {"-k3", "samu", 1, 0}, /* refused */
};

static void
test_limits(void **state)
{
    for (size_t i = 0; i < COUNT(limit_cases); i++) {
        struct ninja_options options;
        struct command_line line = {.argc = 0};

        split(&line, limit_cases[i].line);
        assert_int_equal(ninja_options_read(&options, line.argc, line.argv, limit_cases[i].flags),
                         0);
        if (options.failures_allowed != limit_cases[i].failures_allowed ||
            options.load_max < limit_cases[i].load_max ||
            options.load_max > limit_cases[i].load_max)
            fail_msg("'%s': -k%u -l%g", limit_cases[i].line, options.failures_allowed,
                     options.load_max);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_builds),
        cmocka_unit_test(test_jobs),
        cmocka_unit_test(test_inserted_jobs_win),
        cmocka_unit_test(test_posixly_correct),
        cmocka_unit_test(test_samurai),
        cmocka_unit_test(test_samurai_builds),
        cmocka_unit_test(test_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
