/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Keys of command lines as ninja, make, libtool, cmake and cargo give them; which may run twice; and lines that
 * nobody would write. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "libjobserver/memory/command.h"
#include "libjobserver/program/printable.h"

#define ROUNDS 20000

static const struct memory_place place = {
    .root = "/home/u/src/duckdb-0.9.2/build",
    .directory = "/home/u/src/duckdb-0.9.2/build",
};

/* --- one line --- */

static struct memory_key
key_in(const struct memory_place *where, const char *line, bool *may_run_twice)
{
    char shell[] = "/bin/sh", option[] = "-c", *copy = strdup(line);
    char *argv[] = {shell, option, copy, NULL};
    struct memory_key key;

    assert_true(memory_key_of(where, argv, &key, may_run_twice));
    free(copy);
    return key;
}

static struct memory_key
key_of(const char *line)
{
    bool may_run_twice;

    return key_in(&place, line, &may_run_twice);
}

static void
assert_key(const char *line, const char *tool, const char *path)
{
    struct memory_key key = key_of(line);

    if (strcmp(key.tool, tool) != 0 || strcmp(key.path, path) != 0)
        print_error("%.200s\n", line);
    assert_string_equal(key.tool, tool);
    assert_string_equal(key.path, path);
}

static void
assert_twice(const char *line, bool expected)
{
    bool may_run_twice;

    key_in(&place, line, &may_run_twice);
    if (may_run_twice != expected)
        print_error("%.200s\n", line);
    assert_true(may_run_twice == expected);
}

/* --- what it is --- */

static void
test_compilers(void **state)
{
    assert_key("g++ -O2 -c ../src/a.cc -o src/a.o", "c++", "src/a.o");
    assert_key("/usr/bin/c++ -MD -MT x.o -MF x.o.d -o x.o -c x.cpp", "c++", "x.o");
    assert_key("cc -c -o a.o a.c", "cc", "a.o");
    assert_key("cc -c größe\xe9.c -o größe\xe9.o", "cc", "größe?.o");
    assert_key("gcc -oa.o -c a.c", "cc", "a.o");
    assert_key("clang -c a.cpp", "c++", "a.cpp");
    assert_key("x86_64-pc-linux-gnu-g++-13 -c a.cc -o a.o", "c++", "a.o");
    assert_key("arm-none-eabi-gcc -c a.S -o a.o", "as", "a.o");
    assert_key("clang++-15 -c a.cc -o a.o", "c++", "a.o");
    assert_key("g++ a.o b.o -o prog -lz", "link", "prog");
    assert_key(": && /usr/bin/c++ -O2 a.o -o libx.so.1.2.3 -shared && :", "link", "libx.so");
    assert_key("ld.lld -r a.o -o b.o", "link", "b.o");
    assert_key("rustc --crate-name serde --edition=2021 src/lib.rs --crate-type lib -C x=y "
               "-C extra-filename=-8a0b --out-dir target/debug/deps",
               "rustc", "lib.rs/serde");
    assert_key("rustc --crate-name serde src/lib.rs --test", "rustc", "lib.rs/serde-test");
    assert_key("rustc --crate-name a --emit=dep-info,metadata src/main.rs", "rustc",
               "main.rs/a-check");
    assert_key("rustc --crate-name a --emit=dep-info,metadata,link src/lib.rs", "rustc",
               "lib.rs/a");
    assert_key("/t/debug/build/openssl-sys-0123456789abcdef/build-script-build",
               "build-script-build", "debug/build/openssl-sys");
    assert_key("stamped-cc -c a.c -o a.o", "cc", "a.o");
}

static void
test_other_tools(void **state)
{
    assert_key("rm -f lib/liba.a && gcc-ar csrDT lib/liba.a a.o b.o", "ar", "lib/liba.a");
    assert_key("/usr/bin/cmake -E rm -f liba.a && /usr/bin/ar qc liba.a a.o && ranlib liba.a", "ar",
               "liba.a");
    assert_key("python3 ../gen.py --fast -o gen/x.h", "gen.py", "gen/x.h");
    assert_key("./generate < in > gen/out.c", "generate", "gen/out.c");
    assert_key("cd sub && ./generate --all x/y.in", "generate", "sub/x/y.in");
    assert_key("moc a.h -o moc_a.cpp", "moc", "moc_a.cpp");
    assert_key("cmake -E cmake_link_script CMakeFiles/x.dir/link.txt --verbose=1", "link",
               "CMakeFiles/x.dir/link.txt");
    assert_key("true", "", "");
    assert_key("", "", "");
}

static void
test_what_stands_before(void **state)
{
    assert_key("cd sub/dir && gcc -c a.c -o a.o", "cc", "sub/dir/a.o");
    assert_key("cd ../build/x; CCACHE_DIR=/c ccache g++ -c a.cc -o a.o", "c++", "x/a.o");
    assert_key("env -u X LC_ALL=C nice -n 5 timeout -k 9 100 gcc -c a.c -o a.o", "cc", "a.o");
    assert_key("ccache distcc gcc -c a.c -o a.o", "cc", "a.o");
    assert_key("set -e; echo CC a.o; bash -o pipefail -ec 'gcc -c a.c -o a.o'", "cc", "a.o");
    assert_key("/bin/bash ../libtool --silent --tag=CC --mode=compile gcc -c a.c -o a.lo", "cc",
               "a.lo");
    assert_key("/usr/bin/cmake -E __run_co_compile --launcher=ccache --tidy='tidy;x' --source=a.cc"
               " -- /usr/bin/c++ -c a.cc -o a.o",
               "c++", "a.o");
    assert_key("./wrapper rustc --crate-name x src/lib.rs", "rustc", "lib.rs/x");
    assert_key("cmake -E env A=b g++ -c a.cc -o a.o", "c++", "a.o");
    assert_key("if gcc -c a.c -o a.o; then mv x y; fi", "cc", "a.o");
    assert_key("d=`echo a.o | sed 's|x|y|'`; gcc -MF $d.T -c -o a.o a.c && mv $d.T $d.P", "cc",
               "a.o");
}

static void
test_argv_without_shell(void **state)
{
    char gcc[] = "gcc", c[] = "-c", source[] = "a b.c", o[] = "-o", output[] = "a b.o";
    char *argv[] = {gcc, c, source, o, output, NULL};
    struct memory_key key;
    bool may_run_twice;

    assert_true(memory_key_of(&place, argv, &key, &may_run_twice));
    assert_string_equal(key.tool, "cc");
    assert_string_equal(key.path, "a b.o");
    assert_true(may_run_twice);
    argv[0] = NULL;
    assert_true(memory_key_of(&place, argv, &key, &may_run_twice));
    assert_false(may_run_twice);
}

static void
test_quotes(void **state)
{
    assert_key("g++ '-DX=\"a b\"' -c \"../a b.cc\" -o a\\ b.o", "c++", "a b.o");
    assert_key("g++ \"-DX=\\\"y\\\"\" -c a.cc -o 'it'\\''s.o'", "c++", "it's.o");
    assert_key("g++ -c a.cc -o a.o # -o b.o", "c++", "a.o");
    assert_key("g++ -c a#b.cc -o a#b.o", "c++", "a#b.o");
    assert_key("g++ -c a.cc \\\n -o a.o", "c++", "a.o");
    assert_key("g++ -c a.cc -o a.o>log 2>&1", "c++", "a.o");
}

/* --- the next version, another directory --- */

static void
assert_package(const char *root, const char *name, const char *package)
{
    const struct memory_place where = {.root = root, .directory = root, .package = name};
    bool may_run_twice;
    struct memory_key key = key_in(&where, "gcc -c a.c", &may_run_twice);

    assert_string_equal(key.package, package);
}

static void
test_packages(void **state)
{
    assert_package("/home/u/duckdb-0.9.2/build", NULL, "duckdb");
    assert_package("/tmp/duckdb-0.10.3/build/release", NULL, "duckdb");
    assert_package("/var/tmp/portage/net-libs/webkit-gtk-2.44.2/work/webkit-gtk-2.44.2_build", NULL,
                   "webkit-gtk");
    assert_package("/var/tmp/portage/x/work/y", "webkit-gtk", "webkit-gtk");
    assert_package("/src/boost_1_82_0", NULL, "boost");
    assert_package("/src/foo-1.0rc1", NULL, "foo");
    assert_package("/src/gtk+-3.24.38/", NULL, "gtk+");
    assert_package("/src/Project/cmake-build-debug", NULL, "project");
    assert_package("/build", NULL, "");
    assert_package("/", NULL, "");
    assert_package("", NULL, "");
    assert_package("/src/\n\x80x", NULL, "??x");
}

static void
test_versions_in_paths(void **state)
{
    assert_key("gcc -c a.c -o src/lib-1.2.3/a.o", "cc", "src/lib/a.o");
    /* Parts of merged sources are not versions. */
    assert_key("gcc -c a.c -o ub_func_12.o", "cc", "ub_func_12.o");
    assert_key("gcc -c /usr/src/x-2.0/sub/dir/a.c", "cc", "sub/dir/a.c");
    assert_key("gcc -c ../../elsewhere/a.c", "cc", "src/elsewhere/a.c");
}

static void
test_hash_of_the_command(void **state)
{
    uint64_t first = key_of("gcc -O0 -c a.c").command;

    assert_true(first == key_of("gcc -O0 -c a.c").command);
    assert_true(first != key_of("gcc -O2 -c a.c").command);
}

/* --- what starts jobs --- */

static void
assert_part(const char *line, enum memory_part alone, enum memory_part in_shell)
{
    char shell[] = "/bin/sh", c[] = "-c", *copy = strdup(line), *words[32] = {NULL};
    char *argv[] = {shell, c, strdup(line), NULL}, *rest = copy;

    for (size_t i = 0; i < 31 && (words[i] = strsep(&rest, " ")); i++)
        ;
    if (memory_part_of(words) != alone || memory_part_of(argv) != in_shell)
        print_error("%s\n", line);
    assert_int_equal(memory_part_of(words), alone);
    assert_int_equal(memory_part_of(argv), in_shell);
    free(copy);
    free(argv[2]);
}

static void
test_parts(void **state)
{
    assert_part("gcc -c make.c -o make", MEMORY_WORKS, MEMORY_WORKS);
    assert_part("echo make all", MEMORY_WORKS, MEMORY_WORKS);
    assert_part("make -C sub all", MEMORY_STARTS_JOBS, MEMORY_LEADS_TO_JOBS);
    assert_part("/usr/bin/gmake", MEMORY_STARTS_JOBS, MEMORY_LEADS_TO_JOBS);
    assert_part("cargo build", MEMORY_STARTS_JOBS, MEMORY_LEADS_TO_JOBS);
    assert_part("env A=b ninja -C x", MEMORY_STARTS_JOBS, MEMORY_LEADS_TO_JOBS);
    assert_part("cd sub && make all", MEMORY_WORKS, MEMORY_LEADS_TO_JOBS);
    assert_part("fail=; for d in a b; do (cd $d && make $t) || eval $f; done", MEMORY_WORKS,
                MEMORY_LEADS_TO_JOBS);
    assert_part("if test -d x; then jobwrap -j2 make; fi", MEMORY_WORKS, MEMORY_LEADS_TO_JOBS);
    assert_part("cmake --build x", MEMORY_STARTS_JOBS, MEMORY_LEADS_TO_JOBS);
    assert_part("cmake -E touch x", MEMORY_WORKS, MEMORY_WORKS);
    assert_part("./make.sh", MEMORY_WORKS, MEMORY_WORKS);
    assert_part("", MEMORY_WORKS, MEMORY_WORKS);
}

/* --- running twice --- */

static const char automake[] =
    "echo '  CC      ' a.o;gcc -MT a.o -MD -MP -MF .deps/a.Tpo -c -o a.o a.c &&"
    " mv -f .deps/a.Tpo .deps/a.Po";
static const char automake_in_subdirectory[] =
    "d=`echo a.o | sed 's|[^/]*$|.deps/&|;s|\\.o$||'`;gcc -MF $d.Tpo -c -o a.o a.c &&"
    " mv -f $d.Tpo $d.Po";

static const char kbuild[] =
    "set -e; echo '  CC      k/fork.o';   trap 'rm -f k/fork.o; trap - HUP; kill -s HUP $$' HUP; "
    "gcc -Wp,-MMD,k/.fork.o.d -D__KERNEL__ -c -o k/fork.o k/fork.c; "
    "scripts/basic/fixdep k/.fork.o.d k/fork.o 'gcc -c k/fork.c' > k/.fork.o.cmd; "
    "rm -f k/.fork.o.d";

/* What of such words may be there when it is told; "": nothing is. */
static void
assert_announced(const char *line, size_t size, const char *expected)
{
    char *copy = strdup(line), *argv[16] = {NULL}, *rest = copy, path[64];

    assert_true(size <= sizeof(path));
    for (size_t i = 0; i < 15 && (argv[i] = strtok_r(rest, " ", &rest)); i++)
        ;
    assert_true(memory_announcement_of(argv, path, size) == (*expected != '\0'));
    if (*expected)
        assert_string_equal(path, expected);
    free(copy);
}

static void
test_announcements(void **state)
{
    static const char told[] =
        "sccache rustc --crate-name a --json=diagnostic-rendered-ansi,artifacts "
        "--emit=dep-info,metadata,link -C extra-filename=-1f --out-dir /t/deps";

    assert_announced(told, 64, "/t/deps/liba-1f.rmeta");
    assert_announced(told, 8, "");
    assert_announced("rustc --crate-name a --json=artifacts --emit=dep-info,link --out-dir /t", 64,
                     "");
    assert_announced("rustc --crate-name a --emit=metadata,link --out-dir /t", 64, "");
    assert_announced("--json=artifacts --emit=metadata --crate-name a --out-dir", 64, "");
    assert_announced("cc -c a.c -o a.o", 64, "");
}

static void
test_may_run_twice(void **state)
{
    static const char *const lines[] = {
        "g++ -O2 -MD -MF a.d -c a.cc -o a.o",
        "cd x && ccache g++ -c a.cc -o a.o",
        ": && g++ a.o -o prog && :",
        "rm -f liba.a && ar csr liba.a a.o && ranlib liba.a",
        "musl-gcc -c a.c -o a.o",
        "mkdir -p d && gcc -c a.c -o d/a.o",
        automake,
        kbuild,
        automake_in_subdirectory,
        "/bin/bash ./libtool --tag=CXX --mode=compile g++ -c a.cc -o a.lo",
        "gcc -Wp,-MMD,.a.o.d -c -o .tmp_a.o a.c; mv -f .tmp_a.o a.o",
        "gcc -E a.c | sed 's/x/y/' > a.i",
        "gcc -c a.c -o a.o > log 2>&1",
        "gcc -c $SOURCE -o a.o",
        "rustc --crate-name x src/lib.rs",
        "cmake -E __run_co_compile --launcher=/usr/bin/ccache -- gcc -c a.c -o a.o",
        "cmake -E touch stamp && x86_64-pc-linux-gnu-gcc-13 -c a.c -o a.o",
        "gcc -save-temps -c a.c -o x.i && rm -f x.i",
    };

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        assert_twice(lines[i], true);
}

static void
test_may_not_run_twice(void **state)
{
    static const char *const lines[] = {
        "ar qc liba.a a.o",
        "./wrapper gcc -c a.c -o a.o",
        "install -m 644 a b",
        "make -C sub && gcc -c a.c -o a.o",
        "/bin/bash ./libtool --mode=link gcc -o liba.la a.lo",
        "rm -f liba.a && ar qc liba.a a.o",
        "gcc -c a.c -o a.o >> log",
        "gcc -c a.c -o a.$$.o",
        "gcc -c a.c -o a.o & wait",
        "gcc -x c - -o a.o",
        "kill 1; gcc -c a.c -o a.o",
        "gcc -c a.c -o a.o && ./run-tests",
        "./generate > out",
        "python3 gen.py",
        "gcc -c a.i -o a.o && rm -f a.i && gcc -c b.c -o b.o",
        "mv a.tmp a.c && gcc -c a.c -o a.o",
        "rm -f *.c && gcc -c a.i -o a.o",
        "rm a.o; gcc -c a.c -o a.o",
        "mkdir d && gcc -c a.c -o d/a.o",
        "gcc -E a.c -o b.c && gcc -E b.c -o a.c",
        "sed -i s/x/y/ a.c && gcc -c a.c",
        "gcc -c a.c -o a.o <<END\nEND",
        "gcc -c a.c -o `./next-name`.o",
        "gcc -c a.c -o $(./next-name).o",
        "gcc -c a.c -o \"$(./next-name).o\"",
        "stamped-cc -c a.c -o a.o",
        "gcc -wrapper ./count -c a.c -o a.o",
        "if gcc -c a.c; then true; fi",
        "sh script",
        "sh",
        "sh -c 'sh -c \"sh -c \\\"sh -c gcc\\\"\"'",
        "gcc -c 'a.c",
        "/bin/sh libtool --mode=link gcc -o x a.lo",
        "cmake --build x",
        "cmake -E __run_co_compile '--launcher=./count;ccache' -- gcc -c a.c -o a.o",
        "cmake -E cmake_link_script link.txt",
        "gcc -c a.i -o a.o; sh -c 'rm -f a.i'; gcc -c b.c -o b.o",
        "cp -r a b && gcc -c b/a.c -o a.o",
    };

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        assert_twice(lines[i], false);
}

/* --- lines that nobody would write --- */

static char *
repeat(const char *head, const char *part, size_t count)
{
    size_t length = strlen(part);
    char *line = malloc(strlen(head) + length * count + 1), *to = stpcpy(line, head);

    for (size_t i = 0; i < count; i++)
        to = stpcpy(to, part);
    return line;
}

static void
test_long_lines(void **state)
{
    static const char *const parts[] = {"x",  "a.o ", "'",    "\"",   "`",      "$(",
                                        "(",  ";",    "env ", "a=b ", "sh -c ", "> x ",
                                        "\\", "../",  "1.2",  "-",    "cd x;",  "if "};
    struct memory_key key;

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        char *line = repeat("gcc -c a.c -o ", parts[i], 300000);
        key = key_of(line);
        assert_string_equal(key.tool, "cc");
        free(line);
        line = repeat("", parts[i], 300000);
        key_of(line);
        free(line);
    }
    char *line = repeat("gcc -c a.c -o b.o ", "a.o ", 1000000);
    assert_twice(line, false);
    assert_key(line, "cc", "b.o");
    free(line);
    /* More than are remembered as written. */
    line = repeat(
        "rm -f 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 "
        "30 31 32;",
        "rm -f x y z;", 15000);
    assert_twice(line, false);
    free(line);
}

static void
assert_printable(const char *text)
{
    char shown[MEMORY_PATH_SIZE];

    snprintf(shown, sizeof(shown), "%s", text);
    make_printable(shown, strlen(shown));
    assert_string_equal(text, shown);
}

/* The end of a path that is too long begins with a whole character. */
static void
test_long_paths(void **state)
{
    for (unsigned extra = 0; extra < 2; extra++) {
        char line[512] = "cc -c a.c -o ";
        for (unsigned i = 0; i < MEMORY_PATH_SIZE; i++)
            strcat(line, "é");
        strcat(line, extra ? "o" : "");
        const struct memory_key key = key_of(line);
        assert_null(strchr(key.path, '?'));
        assert_printable(key.path);
    }
}

/* Of bytes that mean something, and of any. */
static void
test_random_lines(void **state)
{
    static const char *const pieces[] = {
        "gcc",    " -c ",  "a.c",  "-o",   " ",        "'",         "\"",     "`",   "$(",  ")",
        "$$",     ";",     "&&",   "|",    ">",        ">>",        "2>&1",   "<",   "\\",  "\n",
        "sh -c ", "cd ",   "/",    "..",   "env ",     "A=b ",      "rm -f ", "mv ", "ar ", "q",
        "#",      "1.2.3", "\x01", "\xff", "\xc3\x9f", "cmake -E ", "-"};
    unsigned seed = 1;

    for (int round = 0; round < ROUNDS; round++) {
        char line[512] = "";
        unsigned n = (unsigned)rand_r(&seed) % 30;
        for (unsigned i = 0; i < n; i++)
            strcat(line, pieces[(unsigned)rand_r(&seed) % (sizeof(pieces) / sizeof(pieces[0]))]);
        struct memory_key key = key_of(line);
        assert_printable(key.tool);
        assert_printable(key.path);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compilers),
        cmocka_unit_test(test_other_tools),
        cmocka_unit_test(test_what_stands_before),
        cmocka_unit_test(test_argv_without_shell),
        cmocka_unit_test(test_quotes),
        cmocka_unit_test(test_packages),
        cmocka_unit_test(test_versions_in_paths),
        cmocka_unit_test(test_hash_of_the_command),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_announcements),
        cmocka_unit_test(test_may_run_twice),
        cmocka_unit_test(test_may_not_run_twice),
        cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_long_paths),
        cmocka_unit_test(test_random_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
