/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * --jobserver-auth in MAKEFLAGS, read and replaced.
 *
 * The strings below are what real tools write, taken from the environment of a recipe or a build
 * script: GNU make 4.3 (Debian 12) and 4.4.1 (Debian 13), bmake 20200710, cargo 1.95. Where a
 * case is not from one of them, its outcome is what both makes did with it, unless said otherwise.
 *
 * What auth_replace() writes was given back to both, made from 16 values like those below, with
 * three tokens in the FIFO or pipe: a make of four jobs ran all at once and handed the jobserver on
 * to its recipes. So did R,W with 4.3 and 4.4.1, and fifo: with 4.4.1, its path with a blank, tab,
 * backslash, $, quotes, comma, '=' or UTF-8 in it. (4.3 takes no fifo: at all. 4.4.1 writes a
 * path's $ as one $ for its recipes, and its own sub-make then opens another path. To bmake,
 * --jobserver-auth is a bad -j, and to make 4.4.1, -J is an error.)
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/auth_properties.h"
#include "tests/unit/failing_memory.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

/* --- auth_parse --- */

struct parse_case {
    const char *flags;
    enum auth_kind kind;
    const char *path;
    int read_fd, write_fd;
};

#define NONE AUTH_NONE, NULL, -1, -1
#define FIFO(path) AUTH_FIFO, path, -1, -1
#define PIPE(r, w) AUTH_PIPE, NULL, r, w
#define CLOSED(r, w) AUTH_CLOSED, NULL, r, w

static const struct parse_case parse_cases[] = {
    {NULL, NONE},
    {"", NONE},
    {" \t\n", NONE},
    {"kw", NONE},
    {" -j", NONE},
    {"i -j1", NONE},

    /* make 4.3 */
    {" -j4 --jobserver-auth=3,4", PIPE(3, 4)},
    {"k -j4 --jobserver-auth=3,4 -- FOO=bar", PIPE(3, 4)},
    {"s -Ifoo -j2 -l3 -Otarget --jobserver-auth=3,4 --no-print-directory -- X=y\\ z", PIPE(3, 4)},
    {" -j4 --jobserver-auth=3,4 --eval=A:=b", PIPE(3, 4)},
    /* make 3.82 and 4.1 */
    {" -j --jobserver-fds=5,6", PIPE(5, 6)},
    /* make 4.4.1; the last two with TMPDIR='b l' and TMPDIR='d$x\y' */
    {" -j4 --jobserver-auth=fifo:/tmp/GMfifo6906", FIFO("/tmp/GMfifo6906")},
    {"s -Ifoo -j2 -l3 -Otarget --jobserver-auth=fifo:/tmp/GMfifo6955 --no-print-directory "
     "--sync-mutex=fnm:/tmp/Gm07epsW -- X=y\\ z",
     FIFO("/tmp/GMfifo6955")},
    {" -j4 --jobserver-auth=fifo:/tmp/b\\ l/GMfifo6984", FIFO("/tmp/b l/GMfifo6984")},
    {" -j4 --jobserver-auth=fifo:/tmp/d$x\\\\y/GMfifo6986", FIFO("/tmp/d$x\\y/GMfifo6986")},
    /* make 4.4.1 --jobserver-style=pipe, in a recipe without '+' */
    {"k -j4 --jobserver-auth=3,4 --jobserver-auth=-2,-2 -- FOO=bar", CLOSED(-2, -2)},
    /* bmake -r -k -j4; it reads the other spellings too */
    {" -r -k -j 4 -J 15,16 .MAKE.LEVEL.ENV=MAKELEVEL FOO=bar", PIPE(15, 16)},
    {"-J3,4", PIPE(3, 4)},
    {"-j 4 -kJ 3,4", PIPE(3, 4)},
    /* cargo, without and with a jobserver of its own */
    {"-j --jobserver-fds=6,7 --jobserver-auth=6,7", PIPE(6, 7)},
    {"-j --jobserver-fds=fifo:/tmp/cf --jobserver-auth=fifo:/tmp/cf", FIFO("/tmp/cf")},
    /* Gentoo's environment file */
    {"--jobserver-auth=fifo:/dev/steve", FIFO("/dev/steve")},

    /* of several the last wins, whatever its form */
    {" --jobserver-auth=3,4 --jobserver-auth=5,6", PIPE(5, 6)},
    {" --jobserver-auth=fifo:/a --jobserver-fds=3,4", PIPE(3, 4)},
    {" --jobserver-fds=3,4 --jobserver-auth=fifo:/a", FIFO("/a")},
    {" --jobserver-auth=nonsense --jobserver-auth=3,4", PIPE(3, 4)},
    {"-J 3,4 --jobserver-auth=5,6", PIPE(5, 6)}, /* 4.4.1 refuses -J: our own rule */

    /* odd paths */
    {"--jobserver-auth=fifo:/a,b", FIFO("/a,b")},
    {"--jobserver-auth=fifo:3,4", FIFO("3,4")},
    {"--jobserver-auth=fifo:/a\\\tb", FIFO("/a\tb")},
    {"--jobserver-auth=fifo:/a$$b", FIFO("/a$b")},
    {"--jobserver-auth=fifo:/a\\$$b", FIFO("/a$b")},
    {"--jobserver-auth=fifo:/a\\b", FIFO("/ab")},
    {"--jobserver-auth=fifo:/a\\", FIFO("/a\\")},
    {"--jobserver-auth=fifo:/a\nb", FIFO("/a\nb")},
    {"--jobserver-auth=fifo:/\xc3\xbcn\xc3\xaf", FIFO("/\xc3\xbcn\xc3\xaf")},
    {"--jobserver-auth=fifo:'q\"", FIFO("'q\"")},
    {"--jobserver-auth=fifo:a=b", FIFO("a=b")},
    {"\\--jobserver-auth=fifo:/a", FIFO("/a")},
    {"k\t--jobserver-auth=fifo:/a\t", FIFO("/a")},
    {"\n -j4 --jobserver-auth=fifo:/a", FIFO("/a")},
    /* 4.4.1 reads this as the variable h, empty: but its own recipes get it so for "g$h" */
    {" --jobserver-auth=fifo:g$h", FIFO("g$h")},

    /* numbers, as sscanf("%d,%d") reads them */
    {"--jobserver-auth=3,4x", PIPE(3, 4)},
    {"--jobserver-auth=3,4,5", PIPE(3, 4)},
    {"--jobserver-auth=3,\\ 4", PIPE(3, 4)},
    {"--jobserver-auth=+3,004", PIPE(3, 4)},
    {"--jobserver-auth=0,2147483647", PIPE(0, INT_MAX)},
    {"--jobserver-auth=-1,-1", CLOSED(-1, -1)},
    {"--jobserver-auth=3,-2", CLOSED(3, -2)},
    {"--jobserver-auth=-2147483648,4", CLOSED(INT_MIN, 4)},

    /* what getopt makes of it */
    {"--jobserver-auth 3,4", PIPE(3, 4)},
    {"-j4 --jobserver-a=3,4", PIPE(3, 4)},
    {"-j4 --jobserver=3,4", NONE}, /* ambiguous; 4.4.1 ends with an error */
    {"-j4 --jobserver-authority=3,4", NONE},
    {"-j4 -I --jobserver-auth=3,4", NONE}, /* a directory for include */
    {"kI --jobserver-auth=3,4", NONE},
    {"-j4 --eval --jobserver-auth=3,4", NONE},
    {"-j4 -- --jobserver-auth=3,4", NONE},
    {"-I -- --jobserver-auth=3,4", PIPE(3, 4)},
    {"-j4 goal --jobserver-auth=3,4", PIPE(3, 4)},
    {"FOO=n -j4 --jobserver-auth=3,4", PIPE(3, 4)},
    {"X=--jobserver-auth=3,4", NONE},
    {" -j4 \"--jobserver-auth=3,4\"", NONE}, /* quotes quote nothing */
    {"jobserver-auth=3,4", NONE},            /* a variable */
};

static void
test_parse(void **state)
{
    for (size_t i = 0; i < COUNT(parse_cases); i++) {
        const struct parse_case *c = &parse_cases[i];
        struct auth expected = {c->kind, NULL, c->read_fd, c->write_fd}, auth;
        char *error = (char[]){"left"};

        if (c->path != NULL)
            expected.path = strdup(c->path);
        if (auth_parse(c->flags, &auth, &error) != 0)
            fail_msg("'%s': %s", c->flags, error);
        assert_null(error);
        if (!auth_equal(&auth, &expected))
            fail_msg("'%s': kind %d path %s fds %d,%d", c->flags, (int)auth.kind, auth.path,
                     auth.read_fd, auth.write_fd);
        auth_clear(&auth);
        assert_int_equal(auth.kind, AUTH_NONE);
        assert_null(auth.path);
        free(expected.path);
    }
}

#define X10 "xxxxxxxxxx"

/* make 4.3 ends with an error or goes on alone, 4.4.1 says that it goes on with -j1; empty ones are
 * an error in 4.4.1. 2^32 + 3 is 3 to both, which nobody can have meant. */
static const struct {
    const char *flags, *quoted;
} bad_cases[] = {
    {"--jobserver-auth=3,", "--jobserver-auth=3,"},
    {"k -j4 --jobserver-auth=,4 -- A=b", "--jobserver-auth=,4"},
    {"--jobserver-auth=3", "--jobserver-auth=3"},
    {"--jobserver-auth=3\\ ,4", "--jobserver-auth=3\\ ,4"},
    {"--jobserver-auth=x,4", "--jobserver-auth=x,4"},
    {"--jobserver-auth=3,4 --jobserver-auth=x", "--jobserver-auth=x"},
    {"--jobserver-auth='3,4'", "--jobserver-auth='3,4'"},
    {"--jobserver-auth=", "--jobserver-auth="},
    {"-j4 --jobserver-auth", "--jobserver-auth"},
    {"--jobserver-auth=fifo:", "--jobserver-auth=fifo:"},
    {"--jobserver-auth=FIFO:/a", "--jobserver-auth=FIFO:/a"},
    {"--jobserver-fds=fifo", "--jobserver-fds=fifo"},
    {"--jobserver-auth x", "--jobserver-auth x"},
    {"-r -J 3 A=b", "-J 3"},
    {"kJ3", "J3"},
    {"-J", "-J"},
    {"--jobserver-auth=99999999999,4", "--jobserver-auth=99999999999,4"},
    {"--jobserver-auth=4294967299,4", "--jobserver-auth=4294967299,4"},
    {"--jobserver-auth=3,2147483648", "--jobserver-auth=3,2147483648"},
    {"--jobserver-auth=-2147483649,4", "--jobserver-auth=-2147483649,4"},
    {"--jobserver-auth=-99999999999999999999999,4", "--jobserver-auth=-99999999999999999999999,4"},
    {"--jobserver-auth=\x1b[2J\xc3\xbc\n\x7f", "--jobserver-auth=?[2J\xc3\xbc??"},
    {"--jobserver-auth=" X10 X10 X10 X10 X10 X10 X10 X10 X10,
     "--jobserver-auth=" X10 X10 X10 X10 X10 X10 "xxx"},
};

static void
test_parse_errors(void **state)
{
    for (size_t i = 0; i < COUNT(bad_cases); i++) {
        struct auth auth = {AUTH_CLOSED, NULL, 42, 43};
        char expected[200], *error = NULL;

        snprintf(expected, sizeof(expected), "%s: not R,W and not fifo:PATH", bad_cases[i].quoted);
        assert_int_equal(auth_parse(bad_cases[i].flags, &auth, &error), -EINVAL);
        assert_string_equal(error, expected);
        assert_int_equal(auth.kind, AUTH_CLOSED);
        assert_int_equal(auth.read_fd, 42);
        assert_int_equal(auth.write_fd, 43);
        free(error);
    }
}

/* --- auth_format --- */

static const struct {
    enum auth_kind kind;
    const char *path;
    int read_fd, write_fd;
    const char *text;
} format_cases[] = {
    {NONE, ""},
    {PIPE(3, 4), "--jobserver-auth=3,4"},
    {CLOSED(-2, -2), "--jobserver-auth=-2,-2"},
    {FIFO("/dev/steve"), "--jobserver-auth=fifo:/dev/steve"},
    {FIFO("/a b\tc"), "--jobserver-auth=fifo:/a\\ b\\\tc"},
    {FIFO("/a\\b"), "--jobserver-auth=fifo:/a\\\\b"},
    {FIFO("/a$b$"), "--jobserver-auth=fifo:/a$$b$$"},
    {FIFO("/'q\",\xc3\xbc"), "--jobserver-auth=fifo:/'q\",\xc3\xbc"},
    {FIFO("\\ $"), "--jobserver-auth=fifo:\\\\\\ $$"},
};

static void
test_format(void **state)
{
    for (size_t i = 0; i < COUNT(format_cases); i++) {
        struct auth auth = {format_cases[i].kind, NULL, format_cases[i].read_fd,
                            format_cases[i].write_fd};
        struct auth again;
        char *text, *error;

        if (format_cases[i].path != NULL)
            auth.path = strdup(format_cases[i].path);
        text = auth_format(&auth);
        assert_string_equal(text, format_cases[i].text);
        assert_int_equal(auth_parse(text, &again, &error), 0);
        assert_true(auth_equal(&auth, &again));
        auth_clear(&auth);
        auth_clear(&again);
        free(text);
    }
}

/* --- auth_replace --- */

/* In each: fifo:/n and 8 jobs are put in. */
static const struct {
    const char *flags, *replaced;
} replace_cases[] = {
#define NEW " -j8 --jobserver-auth=fifo:/n"
    {NULL, NEW},
    {"", NEW},
    {" ", NEW},
    {"kw", "kw" NEW},
    {"-k", "-k" NEW},
    {"A=b", "A=b" NEW},
    {" -j4 --jobserver-auth=3,4", NEW},
    {" -j4 --jobserver-auth=3,4 -- FOO=bar", NEW " -- FOO=bar"},
    {"s -Ifoo -j2 -l3 -Otarget --jobserver-auth=3,4 --no-print-directory -- X=y\\ z",
     "s -Ifoo -l3 -Otarget --no-print-directory" NEW " -- X=y\\ z"},
    {"s -Ifoo -j2 -l3 -Otarget --jobserver-auth=fifo:/tmp/GMfifo6955 --no-print-directory "
     "--sync-mutex=fnm:/tmp/Gm07epsW -- X=y\\ z",
     "s -Ifoo -l3 -Otarget --no-print-directory --sync-mutex=fnm:/tmp/Gm07epsW" NEW " -- X=y\\ z"},
    {"k -j4 --jobserver-auth=3,4 --jobserver-auth=-2,-2 -- FOO=bar", "k" NEW " -- FOO=bar"},
    {" -j4 --jobserver-auth=3,4 -- A=a$$ B=\\\\ C=-j4 --jobserver-auth=5,6",
     NEW " -- A=a$$ B=\\\\ C=-j4 --jobserver-auth=5,6"},
    {"-- A=b", NEW " -- A=b"},
    {" -- A=b", " -j8 --jobserver-auth=fifo:/n -- A=b"},
    {"\n-- A=b", "\n-j8 --jobserver-auth=fifo:/n -- A=b"},
    {" -r -k -j 4 -J 15,16 .MAKE.LEVEL.ENV=MAKELEVEL FOO=bar",
     " -r -k .MAKE.LEVEL.ENV=MAKELEVEL FOO=bar" NEW},
    {"-j --jobserver-fds=6,7 --jobserver-auth=6,7", NEW},
    {"--jobserver-auth=fifo:/dev/steve", NEW},
    {" -j4 --jobserver-auth=fifo:/a\\ b\\", NEW},
    {" --jobserver-style=pipe -j4", " --jobserver-style=pipe" NEW},

    /* every spelling of -j */
    {"k -j", "k" NEW},
    {"k -j 3 -s", "k -s" NEW},
    {"k -j -s", "k -s" NEW},
    {"k -j s", "k s" NEW},
    {"k --jobs", "k" NEW},
    {"k --jobs=3", "k" NEW},
    {"k --jobs 3", "k" NEW},
    {"k -\\j3", "k" NEW},
    {"j3", NEW},
    {"kj3", "k" NEW},
    {"kj 3 -s", "k -s" NEW},
    {"-kj3", "-k" NEW},
    {"-k -sj3 -w", "-k -s -w" NEW},
    {"kj=3", "kj=3" NEW},     /* a variable */
    {"-Ij3", "-Ij3" NEW},     /* a directory */
    {"-I -j3", "-I -j3" NEW}, /* a directory too */
    {"-I -- -k", "-I --"
                 " -k" NEW},

    /* blanks and quotes are kept where they are */
    {"k  -s\t-w ", "k  -s\t-w" NEW " "},
    {"k  -j4\t\t-w", "k\t\t-w" NEW},
    {"k -I'a -j4", "k -I'a" NEW},
    {"k -Ia\\ -j4", "k -Ia\\ -j4" NEW},
    {"k -I\xff\x01", "k -I\xff\x01" NEW},

    /* what was no option does not become one, and takes no option of ours */
    {"-j4 goal", "- goal" NEW},
    {"-j4 goal -- A=b", "- goal" NEW " -- A=b"},
    {"j4 -- goal", NEW " -- goal"},
    {"-j4 A=b", " A=b" NEW},
    {"-j4 \n-k", "- \n-k" NEW},
    {"k -I", "k" NEW " -I"},
    {"k -e -wI", "k -e" NEW " -wI"},
    {"kI", NEW " -kI"},
    {"-I", NEW " -I"},
    {"\n kI", "\n -j8 --jobserver-auth=fifo:/n -kI"},
    {"k --eval", "k" NEW " --eval"},
    {"k a\\", "k" NEW " a\\"},
    {"k\\", NEW " -k\\"},
    {"k -I a\\", "k" NEW " -I a\\"},
    {"k a\\\\", "k a\\\\" NEW},
    {"k a$", "k" NEW " a$"},
    {"k a\\$", "k" NEW " a\\$"},
    {"k a$$", "k a$$" NEW},
#undef NEW
};

static void
test_replace(void **state)
{
    const struct auth fifo = {AUTH_FIFO, (char[]){"/n"}, -1, -1};

    for (size_t i = 0; i < COUNT(replace_cases); i++) {
        char *text = auth_replace(replace_cases[i].flags, &fifo, 8);

        assert_string_equal(text, replace_cases[i].replaced);
        free(text);
    }
}

/* Only what is asked for is put in; what was there goes in any case. */
static void
test_replace_parts(void **state)
{
    const struct auth none = {AUTH_NONE, NULL, -1, -1}, pair = {AUTH_PIPE, NULL, 5, 6};
    static const struct {
        const char *flags, *nothing, *jobs, *pair;
    } cases[] = {
        {"", "", " -j3", " --jobserver-auth=5,6"},
        {"k -j4 --jobserver-auth=3,4 -- A=b", "k -- A=b", "k -j3 -- A=b",
         "k --jobserver-auth=5,6 -- A=b"},
        {" -r -J 3,4 A=b", " -r A=b", " -r A=b -j3", " -r A=b --jobserver-auth=5,6"},
        {"-j4 goal", "- goal", "- goal -j3", "- goal --jobserver-auth=5,6"},
        {"kI", "kI", " -j3 -kI", " --jobserver-auth=5,6 -kI"},
    };

    for (size_t i = 0; i < COUNT(cases); i++) {
        char *nothing = auth_replace(cases[i].flags, &none, 0);
        char *jobs = auth_replace(cases[i].flags, &none, 3);
        char *fds = auth_replace(cases[i].flags, &pair, 0);

        assert_string_equal(nothing, cases[i].nothing);
        assert_string_equal(jobs, cases[i].jobs);
        assert_string_equal(fds, cases[i].pair);
        free(nothing);
        free(jobs);
        free(fds);
    }
}

/* --- auth_jobs --- */

static const struct {
    const char *flags;
    unsigned jobs;
} jobs_cases[] = {
    {NULL, 0},
    {"", 0},
    /* make 4.3 and 4.4.1 */
    {" -j4 --jobserver-auth=3,4", 4},
    {"s -Ifoo -j2 -l3 -Otarget --jobserver-auth=3,4 --no-print-directory -- X=y\\ z", 2},
    {"k -j16 --jobserver-auth=fifo:/tmp/GMfifo6906 -- -j3", 16},
    {" -j", 0}, /* as many as there are */
    /* bmake, cargo */
    {" -r -k -j 4 -J 15,16 .MAKE.LEVEL.ENV=MAKELEVEL FOO=bar", 4},
    {"-j --jobserver-fds=6,7 --jobserver-auth=6,7", 0},
    {"--jobserver-auth=fifo:/dev/steve", 0},

    {"--jobs=7", 7},
    {"--jobs 7", 7},
    {"--job 7", 0}, /* ambiguous */
    {"kj7", 7},
    {"-kj 7", 7},
    {"-j7 -j9", 9},
    {"-j7 --jobs", 0},
    {"-j007", 7},
    {"-j4294967295", 4294967295},
    {"-j4294967296", 0},
    {"-j99999999999999999999999", 0},
    {"-j0", 0},
    {"-j-1", 0},
    {"-j+1", 0},
    {"-j4x", 0},
    {"-j=4", 0},
    {"-j\\ 4", 0},
    {"-j x", 0},
    {"-l4", 0},
    {"-I -j4", 0}, /* a directory */
    {"J=-j4", 0},
};

static void
test_jobs(void **state)
{
    for (size_t i = 0; i < COUNT(jobs_cases); i++)
        if (auth_jobs(jobs_cases[i].flags) != jobs_cases[i].jobs)
            fail_msg("'%s'", jobs_cases[i].flags);
}

/* --- a command line --- */

#define ARGV_MAX 8

/* Words end with '|'. What is left of them without -j is `rest`. */
static const struct {
    const char *line, *rest;
    bool builds, makes_sense, has_jobs;
    unsigned jobs;
    bool names_jobserver;
} commands[] = {
    {"", "", true, true, false, 0, false},
    {"make|", "make|", true, true, false, 0, false},
    {"make|-j8|", "make|", true, true, true, 8, false},
    {"make|-j|8|", "make|", true, true, true, 8, false},
    {"make|--jobs=8|", "make|", true, true, true, 8, false},
    {"make|--jobs|8|all|", "make|all|", true, true, true, 8, false},
    {"make|-kj8|all|", "make|-k|all|", true, true, true, 8, false},
    {"make|-kj|8|-s|", "make|-k|-s|", true, true, true, 8, false},
    {"make|-j|", "make|", true, true, true, 0, false},
    {"make|-j|all|", "make|all|", true, true, true, 0, false},
    {"make|--jobs|all|", "make|all|", true, true, true, 0, false},
    {"make|-kj|-s|", "make|-k|-s|", true, true, true, 0, false},
    {"make|-j8|-j|", "make|", true, true, true, 0, false},
    {"make|-j|-j2|-j3|", "make|", true, true, true, 3, false},
    {"make|all|-j8|X=1|", "make|all|X=1|", true, true, true, 8, false},
    {"make||-j8||", "make|||", true, true, true, 8, false},
    {"make|-C|-j8|", "make|-C|-j8|", true, true, false, 0, false},
    {"make|-Cdir|-j8|-f|-j3|", "make|-Cdir|-f|-j3|", true, true, true, 8, false},
    {"make|-C|a b|-j8|", "make|-C|a b|", true, true, true, 8, false},
    {"make|--|-j8|", "make|--|-j8|", true, true, false, 0, false},
    {"make|kj8|", "make|kj8|", true, true, false, 0, false}, /* a goal */
    {"-j8|-j3|", "-j8|", true, true, true, 3, false},
    {"make|-j0|", "make|", true, false, true, 0, false},
    {"make|-j8x|-j8|", "make|", true, false, true, 8, false},
    {"make|-jk|", "make|", true, false, true, 0, false},
    {"make|-n|-j8|", "make|-n|", false, true, true, 8, false},
    {"make|-sqj8|", "make|-sq|", false, true, true, 8, false},
    {"make|-j8|--just-print|", "make|--just-print|", false, true, true, 8, false},
    {"make|--print-data|-j8|", "make|--print-data|", false, true, true, 8, false},
    {"make|-v|", "make|-v|", false, true, false, 0, false},
    {"make|--jobserver-auth=3,4|-j8|", "make|--jobserver-auth=3,4|", true, true, true, 8, true},
};

static void
split(char *line, char *argv[ARGV_MAX])
{
    size_t n = 0;

    for (char *end; (end = strchr(line, '|')) != NULL; line = end + 1) {
        *end = '\0';
        argv[n++] = line;
    }
    argv[n] = NULL;
}

static void
check_command(size_t i)
{
    char line[64], rest[64], *argv[ARGV_MAX], *expected[ARGV_MAX];
    struct auth_command command;
    size_t n = 0;

    snprintf(line, sizeof(line), "%s", commands[i].line);
    snprintf(rest, sizeof(rest), "%s", commands[i].rest);
    split(line, argv);
    split(rest, expected);
    assert_int_equal(auth_read_command(argv, &command), 0);
    if (command.builds != commands[i].builds || command.makes_sense != commands[i].makes_sense ||
        command.has_jobs != commands[i].has_jobs || command.jobs != commands[i].jobs ||
        command.names_jobserver != commands[i].names_jobserver)
        fail_msg("'%s'", commands[i].line);
    char **dropped = auth_drop_jobs(argv);
    assert_non_null(dropped);
    for (; dropped[n] != NULL && expected[n] != NULL; n++)
        if (strcmp(dropped[n], expected[n]) != 0)
            fail_msg("'%s': '%s'", commands[i].line, dropped[n]);
    if (dropped[n] != NULL || expected[n] != NULL)
        fail_msg("'%s': %zu words", commands[i].line, n);
    free(dropped);
}

static void
test_command(void **state)
{
    for (size_t i = 0; i < COUNT(commands); i++)
        check_command(i);
}

/* --- properties --- */

/* Values made of pieces that mean something, and of the tables above. */
static void
test_properties(void **state)
{
    static const char *const pieces[] = {
        " ",
        " ",
        " ",
        "\t",
        "\n",
        "\\",
        "$",
        "$$",
        "-",
        "--",
        "=",
        ",",
        "3",
        "3,4",
        "-2",
        "fifo:",
        "/a",
        "j",
        "J",
        "n",
        "k",
        "I",
        "E",
        "O",
        "l",
        "-j",
        "-j4",
        "-J",
        "--jobs",
        " -- ",
        " -n ",
        "A=b",
        "goal",
        "--eval",
        "--dry-run",
        "--no-",
        "'",
        "\"",
        "\xc3",
        "--jus",
        "--re",
        "\x01",
        "-I",
        "--jobserver-auth=",
        "auth",
        "--jobserver-fds=",
        "--jobserver-",
        "--jobserver-auth ",
        "--output-sync",
    };
    char flags[2048], path[64];

    srandom(1);
    for (int round = 0; round < 30000; round++) {
        char *end = flags;

        flags[0] = path[0] = '\0';
        for (long n = random() % 12; n > 0; n--)
            end = stpcpy(end, pieces[(size_t)random() % COUNT(pieces)]);
        end = path;
        for (long n = random() % 4; n > 0; n--)
            end = stpcpy(end, pieces[(size_t)random() % 20]);
        check_auth_properties(flags, path, (unsigned)random() % 3);
    }
    for (size_t i = 0; i < COUNT(parse_cases); i++)
        check_auth_properties(parse_cases[i].flags != NULL ? parse_cases[i].flags : "", "/n", 2);
    for (size_t i = 0; i < COUNT(replace_cases); i++)
        check_auth_properties(replace_cases[i].flags != NULL ? replace_cases[i].flags : "", " ", 2);
}

/* MAKEFLAGS may be as long as an environment string (128 KiB). */
static void
test_long(void **state)
{
    const size_t size = 128 * UINT64_C(1024);
    char *flags = malloc(size);

    assert_non_null(flags);
    for (const char *filling = "x \\"; *filling != '\0'; filling++) {
        memset(flags, *filling, size - 1);
        flags[size - 1] = '\0';
        check_auth_properties(flags, "/n", 2);
    }
    free(flags);
}

/* --- one by one, and without memory --- */

static void
test_named(void **state)
{
    const struct {
        const char *text;
        enum auth_kind kind;
        const char *path;
        int read_fd, write_fd;
    } cases[] = {{"3,4", PIPE(3, 4)},
                 {"fifo:/a b", FIFO("/a b")},
                 {"/dev/steve", FIFO("/dev/steve")},
                 {"3,4x", FIFO("3,4x")}};
    struct auth auth;

    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(auth_parse_named(cases[i].text, &auth), 0);
        assert_int_equal(auth.kind, cases[i].kind);
        assert_int_equal(auth.read_fd, cases[i].read_fd);
        assert_int_equal(auth.write_fd, cases[i].write_fd);
        if (cases[i].path)
            assert_string_equal(auth.path, cases[i].path);
        else
            assert_null(auth.path);
        auth_clear(&auth);
    }
}

static void
test_kind(void **state)
{
    assert_int_equal(auth_kind_of(NULL), AUTH_NONE);
    assert_int_equal(auth_kind_of(" -j --jobserver-auth=nonsense"), AUTH_NONE);
    assert_int_equal(auth_kind_of(" -j --jobserver-auth=3,4"), AUTH_PIPE);
    assert_int_equal(auth_kind_of(" -j --jobserver-auth=fifo:/a"), AUTH_FIFO);
}

/* Each returns whether it has run out of memory. */
static bool
parse_fails(void)
{
    struct auth auth;
    char *error;
    int result = auth_parse(" -j --jobserver-auth=fifo:/a", &auth, &error);

    assert_true(result == 0 || result == -ENOMEM);
    if (result == 0)
        auth_clear(&auth);
    else
        assert_null(error);
    return result < 0;
}

static bool
parse_error_fails(void)
{
    struct auth auth;
    char *error;
    int result = auth_parse(" -j --jobserver-auth=x", &auth, &error);

    assert_int_equal(result, error ? -EINVAL : -ENOMEM);
    free(error);
    return result == -ENOMEM;
}

static bool
parse_named_fails(void)
{
    struct auth auth;
    int result = auth_parse_named("fifo:/a", &auth);

    assert_true(result == 0 || result == -ENOMEM);
    if (result == 0)
        auth_clear(&auth);
    return result < 0;
}

static bool
replace_fails(void)
{
    char path[] = "/a";
    const struct auth fifo = {.kind = AUTH_FIFO, .path = path, .read_fd = -1, .write_fd = -1};
    char *text = auth_replace("k -j3 --jobserver-auth=3,4", &fifo, 7);

    free(text);
    return !text;
}

static bool
format_fails(void)
{
    const struct auth ends = {.kind = AUTH_PIPE, .read_fd = 3, .write_fd = 4};
    char *text = auth_format(&ends);

    free(text);
    return !text;
}

static bool
command_fails(void)
{
    char name[] = "make", jobs[] = "-j3", *argv[] = {name, jobs, NULL};
    struct auth_command command;
    int result = auth_read_command(argv, &command);

    assert_true(result == 0 || result == -ENOMEM);
    return result < 0;
}

static bool
drop_fails(void)
{
    char name[] = "make", jobs[] = "-j3", *argv[] = {name, jobs, NULL};
    char **dropped = auth_drop_jobs(argv);

    free(dropped);
    return !dropped;
}

static void
test_no_memory(void **state)
{
    bool (*const all[])(void) = {parse_fails,  parse_error_fails, parse_named_fails, replace_fails,
                                 format_fails, command_fails,     drop_fails};

    for (size_t i = 0; i < COUNT(all); i++) {
        unsigned nth = 0;
        bool fails;
        do {
            failing_memory_begin(++nth);
            fails = all[i]();
            assert_int_equal(failing_memory_end(), fails);
        } while (fails);
        assert_true(nth > 1);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),         cmocka_unit_test(test_parse_errors),
        cmocka_unit_test(test_format),        cmocka_unit_test(test_replace),
        cmocka_unit_test(test_replace_parts), cmocka_unit_test(test_jobs),
        cmocka_unit_test(test_command),       cmocka_unit_test(test_properties),
        cmocka_unit_test(test_long),          cmocka_unit_test(test_named),
        cmocka_unit_test(test_kind),          cmocka_unit_test(test_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
