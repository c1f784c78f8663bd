/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Which classes a command line needs, and which files of rules are refused. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "libjobserver/classes/rules.h"

#define WORDS_MAX 8

static struct class_rules *
rules_of(const char *text)
{
    struct class_rules_error error;
    struct class_rules *rules = class_rules_create(text, &error);

    assert_non_null(rules);
    return rules;
}

static unsigned
bit_of(const struct class_rules *rules, const char *name)
{
    for (unsigned i = 0; i < class_rules_count(rules); i++)
        if (strcmp(class_rules_name(rules, i), name) == 0)
            return 1u << i;
    fail_msg("there is no class %s", name);
    return 0;
}

static struct class_needs
needs_of_words(const struct class_rules *rules, const char *const *words)
{
    char *argv[WORDS_MAX] = {NULL};

    for (size_t i = 0; words[i]; i++)
        assert_non_null(argv[i] = strdup(words[i]));
    struct class_needs needs = class_rules_needs(rules, argv, NULL, NULL);
    for (size_t i = 0; argv[i]; i++)
        free(argv[i]);
    return needs;
}

/* As ninja runs it. */
static struct class_needs
needs_of_line(const struct class_rules *rules, const char *line)
{
    return needs_of_words(rules, (const char *const[]){"/bin/sh", "-c", line, NULL});
}

/* --- lines of builds --- */

static const char *const links[] = {
    ": && /usr/bin/c++ -O3 -DNDEBUG a.o -o x && :",
    ": && c++ -g CMakeFiles/app.dir/main.cpp.o -o app -Wl,-rpath,/b/lib libcore.so.1.2 && :",
    ": && clang++ -fuse-ld=lld -shared -Wl,-soname,libx.so.19 -o lib/libx.so.19.0 @x.rsp && :",
    "/usr/bin/cmake -E cmake_link_script CMakeFiles/x.dir/link.txt --verbose=1",
    "cd /b/src && /usr/bin/cc a.o b.o -o prog && /usr/bin/strip prog",
    "c++ -o meson-out/app meson-out/app.p/main.cpp.o -Wl,--as-needed -Wl,--no-undefined",
    "exec x86_64-linux-gnu-g++-12 -pthread a.o -o y",
    "LD_LIBRARY_PATH=/x cc a.o -o y",
    "env LC_ALL=C nice -n 5 gcc a.o -o y",
    "ccache g++ a.o -o y",
    "icecc g++ a.o -o y",
    "sccache g++ a.o -o y",
    "/bin/bash ./libtool --silent --tag=CC --mode=link gcc -g -o prog main.lo libx.la",
    "ld -r -o built-in.o a.o b.o",
    "ld.lld -shared -o a.so a.o",
    "mold -o a a.o",
    "ld -M -o a a.o",
    "/usr/lib/icecc/bin/c++ a.o -o a",
    "/usr/lib/ccache/g++ a.o -o a",
    "aarch64-linux-gnu-ld.bfd -o vmlinux arch/arm64/head.o --whole-archive vmlinux.a",
    "rustc --crate-name app src/main.rs --crate-type bin --emit=dep-info,link -C opt-level=3",
    "rustc --crate-name derive src/lib.rs --crate-type proc-macro --emit=dep-info,link",
    "rustc --crate-name x src/lib.rs --crate-type=cdylib",
    "rustc --crate-name app src/main.rs --test --emit=dep-info,link",
    "rustc hello.rs",
    "rustc --crate-name x src/lib.rs --crate-type cdylib --crate-type rlib --emit=dep-info,link",
    "rustc --crate-name x src/lib.rs --crate-type dylib --emit=link --emit=metadata",
    "gcc main.c -lm -o prog",
};

static const char *const at_home[] = {
    "/usr/bin/c++ -O3 -MD -MT a.o -MF a.o.d -o a.o -c ../a.cc",
    "ccache g++ -c a.cc -o a.o",
    "cc -E a.c -o a.i",
    "cc -M a.c",
    "gcc --version a.o",
    "gcc a.c -o x.o",
    "gcc a.c -o prog",
    "clang++ -S -emit-llvm a.cc",
    "rustc --crate-name x src/lib.rs --crate-type lib --emit=dep-info,metadata,link",
    "rustc --crate-name app src/main.rs --crate-type bin --emit=dep-info,metadata",
    "rustc -vV",
    "rustc - --crate-name ___ --print=file-names --crate-type bin --crate-type rlib",
    ": && /usr/bin/cmake -E rm -f libx.a && /usr/bin/ar qc libx.a a.o b.o && ranlib libx.a && :",
    "cd /b && /usr/bin/cmake -E copy a.o b.o",
    "cd /b && /usr/bin/cmake -E cmake_depends Ninja",
    "/bin/bash ./libtool --mode=compile gcc -c a.c -o a.lo",
    "python3 gen.py icecc -o out.c",
    "echo icecc g++ -c a.c",
    "./icecc-helper a.o",
    "mybuild $(icecc --version)",
    "/usr/local/bin/g++ -c a.cc",
    "/b/icecc/src/gen a.cc",
    "/b/icecc/configure",
    "icecc/c++/tool",
    "ld --version a.o",
    "cc a.o -o a && ninja -C sub",
    "cc a.o -o a && cd sub && make -j4",
    "icecc g++ -c a.cc && cmake --build sub",
    ":",
    "",
};

static const char *const remote[] = {
    "icecc g++ -c a.cc -o a.o",
    "/usr/lib/icecc/bin/icecc /usr/bin/c++ -O2 -MD -MF a.d -o a.o -c a.cc",
    "ccache icecc g++ -c a.cc",
    "distcc gcc -c a.c",
    "sccache rustc --crate-name x src/lib.rs --crate-type lib --emit=metadata",
    "recc /usr/bin/g++ -c a.cc",
    "rewrapper --labels=type=compile -- clang++ -c a.cc",
    "gomacc clang++ -c a.cc",
    "CCACHE_DIR=/c icecc g++ -c a.cc",
    "cd /b/src && icecc g++ -c a.cc",
    ": && icecc g++ -c a.cc && :",
    "exec icecc g++ -c a.cc",
    "env A=b icecc g++ -c a.cc",
    "sh -c 'icecc g++ -c a.cc'",
    "bash -euo pipefail -c 'icecc g++ -c a.cc'",
    "bash -O extglob -ec 'icecc g++ -c a.cc'",
    "bash -euoc pipefail 'icecc g++ -c a.cc'",
    "bash >cc -c 'icecc g++ -c a.cc'",
    "exec 2>log icecc g++ -c a.cc",
    "/usr/lib/icecc/bin/c++ -c a.cc",
    "ccache /usr/lib64/distcc/x86_64-pc-linux-gnu-gcc -c a.c",
    "CCACHE_PREFIX=icecc ccache g++ -c a.cc",
    "cd /b && /usr/bin/cmake -E env 'CCACHE_PREFIX=nice /usr/bin/distcc' ccache c++ -c a.cc",
    "cmake -E __run_co_compile --launcher=icecc --tidy=clang-tidy --source=a.cc -- c++ -c a.cc",
};

static void
test_lines(void **state)
{
    struct class_rules *rules = rules_of(NULL);
    const unsigned link_bit = bit_of(rules, "link"), remote_bit = bit_of(rules, "remote");
    struct class_needs needs;

    for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
        needs = needs_of_line(rules, links[i]);
        if (needs.besides != link_bit || needs.instead != 0)
            fail_msg("no link: %s", links[i]);
    }
    for (size_t i = 0; i < sizeof(at_home) / sizeof(at_home[0]); i++) {
        needs = needs_of_line(rules, at_home[i]);
        if (needs.besides != 0 || needs.instead != 0)
            fail_msg("needs a class: %s", at_home[i]);
    }
    for (size_t i = 0; i < sizeof(remote) / sizeof(remote[0]); i++) {
        needs = needs_of_line(rules, remote[i]);
        if (needs.besides != 0 || needs.instead != remote_bit)
            fail_msg("not remote: %s", remote[i]);
    }
    class_rules_free(rules);
}

static void
test_a_build_in_the_line_counts_where_it_is_named(void **state)
{
    struct class_rules *rules = rules_of("builds besides ninja\n");

    assert_int_equal(needs_of_line(rules, "cc a.o -o a && ninja -C sub").besides,
                     bit_of(rules, "builds"));
    assert_true(class_rules_is_besides(rules, 0) && !class_rules_is_instead(rules, 0));
    class_rules_free(rules);
}

static void
test_words_without_a_shell(void **state)
{
    const char *const compile[] = {"/usr/bin/icecc", "g++", "-c", "a.cc", NULL};
    const char *const operand[] = {"g++", "-c", "icecc", NULL};
    const char *const nothing[] = {NULL};
    struct class_rules *rules = rules_of(NULL);

    assert_int_equal(needs_of_words(rules, compile).instead, bit_of(rules, "remote"));
    assert_int_equal(needs_of_words(rules, operand).instead, 0);
    assert_int_equal(needs_of_words(rules, nothing).besides, 0);
    class_rules_free(rules);
}

static char *
copy_of(void *text)
{
    return text ? strdup(text) : NULL;
}

static unsigned
instead_with_prefix(const struct class_rules *rules, const char *line, const char *prefix)
{
    char shell[] = "/bin/sh", option[] = "-c", *copy = strdup(line),
         *told = prefix ? strdup(prefix) : NULL;
    char *const argv[] = {shell, option, copy, NULL};
    unsigned instead = class_rules_needs(rules, argv, copy_of, told).instead;

    free(copy);
    free(told);
    return instead;
}

static void
test_what_ccache_runs_first(void **state)
{
    static const char compile[] = "/usr/bin/ccache g++ -c a.cc";
    struct class_rules *rules = rules_of(NULL);
    const unsigned remote_bit = bit_of(rules, "remote");

    assert_int_equal(instead_with_prefix(rules, compile, "icecc"), remote_bit);
    assert_int_equal(instead_with_prefix(rules, compile, " ionice  /usr/bin/distcc "), remote_bit);
    assert_int_equal(instead_with_prefix(rules, "/usr/lib/ccache/g++ -c a.cc", "icecc"),
                     remote_bit);
    assert_int_equal(instead_with_prefix(rules, "CCACHE_PREFIX= ccache g++ -c a.cc", "icecc"), 0);
    assert_int_equal(instead_with_prefix(rules, "CCACHE_PREFIX=icecc g++ -c a.cc", NULL), 0);
    assert_int_equal(instead_with_prefix(rules, compile, NULL), 0);
    assert_int_equal(instead_with_prefix(rules, compile, ""), 0);
    assert_int_equal(instead_with_prefix(rules, compile, "ionice /icecc/time"), 0);
    assert_int_equal(instead_with_prefix(rules, "ccache g++ a.o -o a", "icecc"), 0);
    assert_int_equal(instead_with_prefix(rules, "g++ -c ccache.cc", "icecc"), 0);
    class_rules_free(rules);
}

/* --- files of rules --- */

static void
test_a_file_adds_and_replaces(void **state)
{
    struct class_rules *rules = rules_of("# ours\n"
                                         "\n"
                                         "  heavy besides  cc1plus-test @link # and so on\r\n"
                                         "remote instead farmcc\n"
                                         "remote besides uploads");
    struct class_needs needs = needs_of_line(rules, "./farmcc g++ -c a.cc");

    assert_int_equal(class_rules_count(rules), 3);
    assert_int_equal(needs.instead, bit_of(rules, "remote"));
    assert_int_equal(needs_of_line(rules, "icecc g++ -c a.cc").instead, 0);
    assert_int_equal(needs_of_line(rules, "uploads x").besides, bit_of(rules, "remote"));
    needs = needs_of_line(rules, "cc a.o -o a");
    assert_int_equal(needs.besides, bit_of(rules, "heavy") | bit_of(rules, "link"));
    class_rules_free(rules);
}

static void
test_both_ways_of_one_class(void **state)
{
    struct class_rules *rules = rules_of("gpu instead render\ngpu besides check\n");
    struct class_needs needs = needs_of_line(rules, "render a && check a");

    assert_int_equal(needs.instead, bit_of(rules, "gpu"));
    assert_int_equal(needs.besides, 0);
    class_rules_free(rules);
}

static void
test_refused(void **state)
{
    static const struct {
        const char *text;
        unsigned line;
        const char *word, *reason;
    } cases[] = {
        {"remote\n", 1, "", "'instead' or 'besides' is missing"},
        {"\n# x\nremote instead\n", 3, "", "the names of programs are missing"},
        {"remote insted icecc", 1, "insted", "is neither 'instead' nor 'besides'"},
        {"cpu instead icecc", 1, "cpu", "is not a class name"},
        {"a instead b\nRemote instead icecc", 2, "Remote", "is not a class name"},
        {"a\033b instead x", 1, "a?b", "is not a class name"},
        {"remote instead /usr/bin/icecc", 1, "/usr/bin/icecc",
         "is neither @link nor the name of a program without its directory"},
        {"remote instead @all", 1, "@all",
         "is neither @link nor the name of a program without its directory"},
        {"a instead x\nb instead x\nc instead x\nd instead x\ne instead x\nf instead x\n"
         "g instead x\nh instead x\ni instead x\nj instead x\nk instead x\nl instead x\n"
         "m instead x\nn instead x\no instead x\n",
         15, "o", "is one class too many"},
    };
    struct class_rules_error error;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_null(class_rules_create(cases[i].text, &error));
        assert_int_equal(error.line, cases[i].line);
        assert_string_equal(error.word, cases[i].word);
        assert_string_equal(error.reason, cases[i].reason);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_a_build_in_the_line_counts_where_it_is_named),
        cmocka_unit_test(test_words_without_a_shell),
        cmocka_unit_test(test_what_ccache_runs_first),
        cmocka_unit_test(test_a_file_adds_and_replaces),
        cmocka_unit_test(test_both_ways_of_one_class),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
