/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What engines answer, as it was recorded and as it should not be, and how users name an engine. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stevefarm/answers.h"
#include "stevefarm/engine.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))
#define UNTOUCHED 77u
#define GREETING                                                                                   \
    "200-ICECC 1.4: 12s uptime, 2 hosts, 1 jobs in queue (9 total).\n"                             \
    "200 Use 'help' for help and 'quit' to quit.\n"
#define NODE_1 " node1 (10.99.0.11:10245) [x86_64] speed=83.03 jobs=3/4 load=568\n"
#define NODE_2 " node2 (10.99.0.12:10245) [x86_64] speed=0.00 jobs=0/4 load=12\n"
#define STATS                                                                                      \
    "HTTP/1.1 200 OK\nContent-Type: text/plain; charset=UTF-8\nConnection: close\n\n"              \
    "argv /usr/bin/distccd\n<distccstats>\ndcc_tcp_accept 3\n"
#define JSON "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"

struct answer {
    const char *text;
    unsigned slots; /* UNTOUCHED: it is refused */
};

static void
check(const char *(*parse)(const char *text, unsigned *slots), const struct answer *answers,
      size_t count)
{
    for (size_t i = 0; i < count; i++) {
        unsigned slots = UNTOUCHED;
        const char *wrong = parse(answers[i].text, &slots);
        if (slots != answers[i].slots || !wrong == (slots == UNTOUCHED))
            fail_msg("%u, %s: %s", slots, wrong ? wrong : "", answers[i].text);
    }
}

static void
test_icecc(void **state)
{
    static const struct answer answers[] = {
        {GREETING NODE_1 NODE_2 "200 done\n", 8},
        {GREETING "200 done\n", 0},
        {NODE_1 "   8 COMP sub:laptop on:node1 tree/src/build.cc\n" NODE_2 "200 done\n", 8},
        {NODE_1 " busy (10.0.0.3:10245) [x86_64] speed=1.00 jobs=0/4 load=1000\n200 done\n", 4},
        {NODE_1 " home (10.0.0.4:0) [x86_64] speed=1.00 jobs=0/2 load=0\n200 done\n", 4},
        {NODE_1 " new (::ffff:10.0.0.5:10245) [aarch64] speed=0.00 jobs=0/16 load=0"
                " busy installing since 2 s\n200 done\n",
         20},
        {NODE_1 NODE_2 "200 done\n" NODE_2, 8},
        /* What is not a node counts nothing. */
        {" (1:2) [a] speed=1 jobs=1/2 load=3\n n (a:b) [x] speed=1 jobs=1/2 load=3\n"
         " n (a:1) [x] speed=1 jobs=-1/2 load=3\n n (a:1) [x] speed=1 jobs=1/-2 load=3\n"
         " n (1) [x] speed=1 jobs=1/2 load=3\nn (a:1) [x] speed=1 jobs=1/2 load=3\n"
         " n (a:1) [] speed=1 jobs=1/2 load=3\n n (a:1) [x] speed=1 jobs=1/2 load=\n"
         "   8 COMP sub:a on:b /n (a:1) [x] speed=1 jobs=1/400 load=3\n200 done\n",
         0},
        {" n (a:1) [x] speed=1 jobs=0/99999999999999999999 load=0\n" NODE_1 "200 done\n",
         SLOTS_MAX},
        {" n (a:1) [x] speed=1 jobs=0/65535 load=0\n" NODE_1 "200 done\n", SLOTS_MAX},
        {"", UNTOUCHED},
        {NODE_1 "200 done", UNTOUCHED},
        {NODE_1 "x200 done\n", UNTOUCHED},
    };

    check(answer_icecc, answers, COUNT(answers));
    assert_false(answer_icecc_is_whole(GREETING NODE_1));
    assert_true(answer_icecc_is_whole(GREETING NODE_1 "200 done\n"));
}

/* "NUMBER NODE FILE;..." of the jobs of laptop. */
static void
check_jobs(const char *text, const char *expected)
{
    struct farm_jobs *jobs = calloc(1, sizeof(*jobs));
    char found[1024] = "";

    assert_non_null(jobs);
    answer_icecc_jobs(text, "laptop", jobs);
    for (size_t i = 0; i < jobs->count && i < 5; i++) {
        const struct farm_job *job = &jobs->list[i];
        const size_t length = strlen(found);
        snprintf(found + length, sizeof(found) - length, "%u %s %s;", job->number, job->node,
                 job->file);
    }
    assert_string_equal(found, expected);
    free(jobs);
}

static void
test_jobs_of_icecc(void **state)
{
    check_jobs(NODE_1 "   8 COMP sub:laptop on:node1 tree/src/build.cc\n" NODE_2
                      "   4294967295 COMP sub:laptop on:node2 a b.c\r\n200 done\n",
               "8 node1 tree/src/build.cc;4294967295 node2 a b.c;");
    check_jobs(" 8 COMP sub:laptop on:node1 tree/src/build.cc\n200 done\n",
               "8 node1 tree/src/build.cc;");
    /* Another's, or none that runs; or it is not what a scheduler says. */
    check_jobs("   1 COMP sub:laptop2 on:n a.c\n   2 COMP sub:lap on:n a.c\n"
               "   3 PEND sub:laptop on:n a.c\n   4 WAIT sub:laptop on:n a.c\n"
               "   5 COMP sub:laptop on: a.c\n   6 COMP sub:laptop on:n\n"
               "   7 COMP sub:laptop on:n \n   8 COMP  sub:laptop on:n a.c\n"
               "9 COMP sub:laptop on:n a.c\n   -1 COMP sub:laptop on:n a.c\n"
               "   4294967296 COMP sub:laptop on:n a.c\n   COMP sub:laptop on:n a.c\n"
               "   99999999999999999999999 COMP sub:laptop on:n a.c\n"
               "   10 COMP sub:other on:n / 11 COMP sub:laptop on:n a.c\n200 done\n",
               "");
    check_jobs("   8 COMP sub:laptop on:node1 a.c\n", "");
    check_jobs("200 done\n   8 COMP sub:laptop on:node1 a.c\n", "");
    check_jobs("   8 COMP sub:laptop on:node-with-a-name-that-is-far-too-long-for-us "
               "a/directory/with-a-long-name/and-another-one/with/a/really-long-name/a.c\n"
               "200 done\n",
               "8 node-with-a-name-that-is-far-to "
               "ry/with-a-long-name/and-another-one/with/a/really-long-name/a.c;");
}

static void
test_there_are_so_many_jobs_and_no_more(void **state)
{
    static const char line[] = "   8 COMP sub:laptop on:node1 a.c\n", end[] = "200 done\n";
    const size_t length = strlen(line), count = FARM_JOBS_MAX + 10;
    char *text = malloc(count * length + sizeof(end));
    struct farm_jobs *jobs = calloc(1, sizeof(*jobs));

    assert_true(text && jobs);
    for (size_t i = 0; i < count; i++)
        memcpy(text + i * length, line, sizeof(line));
    memcpy(text + count * length, end, sizeof(end));
    answer_icecc_jobs(text, "laptop", jobs);
    assert_int_equal(jobs->count, FARM_JOBS_MAX);
    free(jobs);
    free(text);
}

/* "NAME=COUNT;" of each. */
static void
note_event(void *context, const struct steved_event *event)
{
    char *told = context;
    const size_t length = strlen(told);

    snprintf(told + length, 1024 - length, "%s=%u;", event->name, event->count);
}

static void
check_change(const char *before, const char *now, const char *expected)
{
    struct farm_jobs *jobs = calloc(2, sizeof(*jobs));
    char told[1024] = "", text[2][1024];

    assert_non_null(jobs);
    for (int i = 0; i < 2; i++) {
        snprintf(text[i], sizeof(text[i]), "%s200 done\n", i ? now : before);
        answer_icecc_jobs(text[i], "laptop", &jobs[i]);
    }
    farm_jobs_compare(&jobs[0], &jobs[1], note_event, told);
    assert_string_equal(told, expected);
    free(jobs);
}

#define JOB(number, node) "   " #number " COMP sub:laptop on:" #node " d/" #number ".c\n"

static void
test_what_is_told_of_jobs(void **state)
{
    check_change("", JOB(1, n) JOB(2, n) JOB(3, m), "n d/1.c=2;n d/2.c=2;m d/3.c=1;");
    check_change(JOB(1, n) JOB(2, n), JOB(1, n) JOB(2, n), "");
    check_change(JOB(1, n) JOB(2, n), JOB(2, n), "n=1;");
    check_change(JOB(1, n) JOB(2, n) JOB(3, m), "", "n=0;m=0;");
    check_change(JOB(1, n), JOB(2, n), "n d/2.c=1;");
    check_change(JOB(1, n), JOB(1, m), "m d/1.c=1;n=0;");
}

/* Whatever names there are. */
static void
test_places_are_one_name(void **state)
{
    static const struct {
        const char *node, *file, *read_node, *read_file;
    } names[] = {
        {"node1", "tree/src/a b.cc", "node1", "tree/src/a b.cc"},
        {"node1", "", "node1", ""},
        {"no de", "a\x1b\n.c", "no?de", "a??.c"},
        {"012345678901234567890123456789é", "größe.c", "012345678901234567890123456789", "größe.c"},
        {"n", "€9012345678901234567890123456789012345678901234567890123456789", "n",
         "9012345678901234567890123456789012345678901234567890123456789"},
        {"0123456789012345678901234567890123456789", "a/0123456789012345/0123456789/b.c",
         "0123456789012345678901234567890", "0123456789/b.c"},
        {"n", "0123456789012345678901234567890123456789012345678901234567890123456789", "n",
         "9012345678901234567890123456789012345678901234567890123456789"},
    };

    for (size_t i = 0; i < COUNT(names); i++) {
        struct steved_event event = {0};
        struct event_place place;
        event_place_write(&event, names[i].node, names[i].file);
        event_place_read(&place, &event);
        assert_string_equal(place.node, names[i].read_node);
        assert_string_equal(place.file, names[i].read_file);
    }
    struct steved_event event;
    struct event_place place;
    memset(&event, 'x', sizeof(event));
    event_place_read(&place, &event);
    assert_int_equal(strlen(place.node), EVENT_NODE_SIZE - 1);
    assert_string_equal(place.file, "");
    memset(&event, ' ', sizeof(event));
    event_place_read(&place, &event);
    assert_string_equal(place.node, "");
    assert_int_equal(strlen(place.file), STEVED_EVENT_NAME_SIZE - 2);
}

static void
test_distcc(void **state)
{
    static const struct answer answers[] = {
        {STATS "dcc_current_load 0\ndcc_max_kids 4\ndcc_io_error 0\n</distccstats>\n", 4},
        {"HTTP/1.0 200 OK\r\n\r\n<distccstats>\ndcc_max_kids 70000\n", SLOTS_MAX},
        {STATS "dcc_max_kids -1\n", UNTOUCHED},
        {STATS "dcc_max_kids 12", UNTOUCHED},
        {STATS "dcc_max_kids 12x\n", UNTOUCHED},
        {STATS, UNTOUCHED},
        {"HTTP/1.1 200 OK\n\ndcc_max_kids 4\n", UNTOUCHED},
        {"HTTP/1.1 200 OK\n<distccstats>\ndcc_max_kids 4\n", UNTOUCHED},
        {"HTTP/1.1 404 Not Found\n\n<distccstats>\ndcc_max_kids 4\n", UNTOUCHED},
        {"HTTP/1.1", UNTOUCHED},
        {"HTTP/1.111111111111 200\n\n", UNTOUCHED},
        {"", UNTOUCHED},
    };

    check(answer_distcc, answers, COUNT(answers));
}

static void
test_sccache(void **state)
{
    static const struct answer answers[] = {
        {JSON "{\"num_servers\":0,\"num_cpus\":0,\"in_progress\":0}", 0},
        {JSON "{\"num_servers\":2,\"num_cpus\":48,\"in_progress\":7}", 48},
        {JSON "{\"num_cpus\":9223372036854775807}", SLOTS_MAX},
        {JSON "{\"num_cpus\":99999999999999999999999}", SLOTS_MAX},
        {JSON "{\"num_cpus\":-1}", UNTOUCHED},
        {JSON "{\"num_cpus\":\"48\"}", UNTOUCHED},
        {JSON "{\"num_cpus\":4.5}", UNTOUCHED},
        {JSON "{\"num_cpus\":null}", UNTOUCHED},
        {JSON "[48]", UNTOUCHED},
        {JSON "48", UNTOUCHED},
        {JSON "null", UNTOUCHED},
        {JSON "", UNTOUCHED},
        {JSON "{\"num_cpus\":48", UNTOUCHED},
        {JSON "[[[[[[[[[[[[[[[[[[[[", UNTOUCHED},
        {"HTTP/1.1 500 Internal Server Error\r\n\r\n{\"num_cpus\":48}", UNTOUCHED},
    };

    check(answer_sccache, answers, COUNT(answers));
}

/* "HOST PORT ..." of all places; NULL: it is refused. */
static void
check_engine(const char *text, const char *distcc_hosts, const char *expected)
{
    static struct engine engine;
    char places[1024] = "";
    const char *wanted = engine_parse(&engine, text, distcc_hosts);

    if (!expected) {
        assert_non_null(wanted);
        return;
    }
    if (wanted)
        fail_msg("%s is not %s", text, wanted);
    for (unsigned i = 0; i < engine.count; i++) {
        strcat(strcat(places, i ? " " : ""), engine.places[i].host);
        strcat(strcat(places, " "), engine.places[i].port);
    }
    assert_string_equal(places, expected);
}

static void
test_engines(void **state)
{
    static const char *const refused[] = {
        "",          "icecc",       "icecc:",     "icecc:a:", "icecc:a:0",    "icecc:a:65536",
        "icecc:a,b", "icecc:a:1:2", "icecc:[::1", "icecc:[]", "icecc:[::1]x", "icecc:a b",
        "distcc:",   "distcc:a,",   "distcc:,a",  "distcc",   "sccache:",     "sccache:https://a",
        "fixed",     "fixed:",      "fixed:-1",   "fixed:1x", "fixed:65537",  "sccache:http://a/b",
        "reapi:a",   "icecc.a",     "ice:a",      "iceccx:a", "distcc:a@b",
    };
    char long_host[400] = "icecc:";

    for (size_t i = 0; i < COUNT(refused); i++)
        check_engine(refused[i], NULL, NULL);
    memset(long_host + strlen(long_host), 'a', 300);
    check_engine(long_host, NULL, NULL);
    check_engine("icecc:farm", NULL, "farm 8766");
    check_engine("icecc:10.0.0.1:80", NULL, "10.0.0.1 80");
    check_engine("icecc:[fe80::1%eth0]:80", NULL, "fe80::1%eth0 80");
    check_engine("icecc:[::1]", NULL, "::1 8766");
    check_engine("distcc:a,b:1,[::1]:2", "c", "a 3633 b 1 ::1 2");
    check_engine("sccache", NULL, "127.0.0.1 10600");
    check_engine("sccache:http://a/", NULL, "a 10600");
    check_engine("sccache:http://a:80", NULL, "a 80");
    check_engine("fixed:65536", NULL, "");
    check_engine("distcc",
                 " --randomize localhost/2 red\tme@blue:/usr/bin/distccd green:3632/8,lzo,cpp "
                 "[::1]:5/3 +zeroconf\n",
                 "red 3633 blue 3633 green 3633 ::1 3633");
    check_engine("distcc", "red red/8 blue me@red:/usr/bin/distccd,lzo", "red 3633 blue 3633");
    check_engine("distcc:a,b,a,a:3634,a:3633", NULL, "a 3633 b 3633 a 3634");
    check_engine("distcc", "localhost --randomize", NULL);
    check_engine("distcc", "a@", NULL);
    check_engine("distcc", "[::1", NULL);
}

/* As many as there is room for, and no more. */
static void
test_many_places(void **state)
{
    static struct engine engine;
    char text[16 + 5 * (ENGINE_PLACES_MAX + 1)] = "distcc:a";

    for (unsigned i = 1; i < ENGINE_PLACES_MAX; i++)
        sprintf(text + strlen(text), ",b%u", i);
    assert_null(engine_parse(&engine, text, NULL));
    assert_int_equal(engine.count, ENGINE_PLACES_MAX);
    assert_null(engine_parse(&engine, strcat(text, ",a"), NULL));
    assert_int_equal(engine.count, ENGINE_PLACES_MAX);
    assert_non_null(engine_parse(&engine, strcat(text, ",c"), NULL));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_icecc),
        cmocka_unit_test(test_distcc),
        cmocka_unit_test(test_sccache),
        cmocka_unit_test(test_engines),
        cmocka_unit_test(test_many_places),
        cmocka_unit_test(test_jobs_of_icecc),
        cmocka_unit_test(test_there_are_so_many_jobs_and_no_more),
        cmocka_unit_test(test_what_is_told_of_jobs),
        cmocka_unit_test(test_places_are_one_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
