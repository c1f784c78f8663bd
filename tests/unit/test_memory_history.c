/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What is remembered and forgotten, by one process and by several at once; and files that are broken, locked,
 * not ours, newer, on a full disk: they cost history, and one complaint. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libjobserver/memory/history.h"
#include "tests/unit/child.h"
#include "tests/unit/remove_tree.h"

#define MIB (UINT64_C(1) << 20)
#define NOW_S INT64_C(1800000000)
#define PROCESSES 4
#define NOTES 200

struct fixture {
    char directory[64];
    char path[128];
};

static int
setup(void **state)
{
    struct fixture *f = test_calloc(1, sizeof(*f));

    *state = f;
    snprintf(f->directory, sizeof(f->directory), "/tmp/test_memory_history.XXXXXX");
    if (!mkdtemp(f->directory))
        return -1;
    snprintf(f->path, sizeof(f->path), "%s/jobwrap/memory.sqlite", f->directory);
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;
    int result = remove_tree(f->directory);

    test_free(f);
    return result;
}

/* --- one file --- */

static struct memory_key
key(const char *package, const char *tool, const char *path, uint64_t command)
{
    struct memory_key key = {.command = command};

    snprintf(key.package, sizeof(key.package), "%s", package);
    snprintf(key.tool, sizeof(key.tool), "%s", tool);
    snprintf(key.path, sizeof(key.path), "%s", path);
    return key;
}

static struct memory_history *
open_history(const struct fixture *f)
{
    struct memory_history *history = memory_history_open(f->path);

    assert_non_null(history);
    return history;
}

static void
assert_no_complaint(struct memory_history *history)
{
    char *complaint = memory_history_complaint(history);

    if (complaint)
        print_error("%s\n", complaint);
    assert_null(complaint);
}

static void
close_history(struct memory_history *history)
{
    memory_history_flush(history, 1000, true);
    assert_no_complaint(history);
    memory_history_close(history);
}

static void
note(struct memory_history *history, const char *path, uint64_t command, uint64_t mib)
{
    const struct memory_key of = key("webkit", "c++", path, command);

    memory_history_note(history, &of, mib * MIB, NOW_S);
}

static void
note_and_close(const struct fixture *f, const char *path, uint64_t command, uint64_t mib)
{
    struct memory_history *history = open_history(f);

    note(history, path, command, mib);
    close_history(history);
}

static void
assert_expected(struct memory_history *history, const char *package, const char *path,
                uint64_t command, uint64_t mib, enum memory_source source)
{
    const struct memory_key of = key(package, "c++", path, command);
    struct memory_expectation expectation = memory_history_expect(history, &of);

    assert_int_equal(expectation.bytes / MIB, mib);
    assert_int_equal(expectation.source, source);
}

/* By another connection, as another program would. */
static void
sql(const struct fixture *f, const char *text)
{
    sqlite3 *database;

    assert_int_equal(sqlite3_open(f->path, &database), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(database);
}

static bool
count_row(const struct memory_history_row *row, void *argument)
{
    assert_true(row->peak_bytes > 0);
    ++*(int *)argument;
    return true;
}

static int
count_rows(const struct fixture *f)
{
    struct memory_history *history = open_history(f);
    int count = 0;

    assert_int_equal(memory_history_list(history, count_row, &count), 0);
    close_history(history);
    return count;
}

/* --- remembering --- */

static void
test_the_next_build_knows(void **state)
{
    note_and_close(*state, "a.o", 7, 400);
    struct memory_history *history = open_history(*state);
    assert_expected(history, "webkit", "a.o", 7, 400, MEMORY_FROM_COMMAND);
    assert_expected(history, "webkit", "a.o", 8, 500, MEMORY_FROM_PATH);
    assert_expected(history, "webkit", "b.o", 7, 400, MEMORY_FROM_PACKAGE);
    assert_expected(history, "llvm", "a.o", 7, 400, MEMORY_FROM_TOOL);
    close_history(history);
}

static void
test_the_last_three_count(void **state)
{
    note_and_close(*state, "a.o", 7, 900);
    note_and_close(*state, "a.o", 7, 400);
    note_and_close(*state, "a.o", 7, 600);
    struct memory_history *history = open_history(*state);
    assert_expected(history, "webkit", "a.o", 7, 900, MEMORY_FROM_COMMAND);
    close_history(history);
    note_and_close(*state, "a.o", 7, 500);
    history = open_history(*state);
    assert_expected(history, "webkit", "a.o", 7, 600, MEMORY_FROM_COMMAND);
    close_history(history);
    assert_int_equal(count_rows(*state), 3);
}

/* The first build learns from its own jobs. */
static void
test_tools_are_learned_at_once(void **state)
{
    struct memory_history *history = open_history(*state);

    assert_expected(history, "webkit", "x.o", 1, 0, MEMORY_FROM_NOTHING);
    note(history, "a.o", 1, 100);
    note(history, "b.o", 1, 300);
    note(history, "c.o", 1, 200);
    assert_expected(history, "webkit", "x.o", 1, 200, MEMORY_FROM_PACKAGE);
    assert_expected(history, "llvm", "x.o", 1, 200, MEMORY_FROM_TOOL);
    const struct memory_key of = key("webkit", "c++", "x.o", 1);
    assert_int_equal(memory_history_guess(history, &of).bytes, 200 * MIB);
    close_history(history);
}

static void
test_many_tools(void **state)
{
    struct memory_history *history = open_history(*state);
    char tool[16];

    for (unsigned i = 0; i < 2000; i++) {
        snprintf(tool, sizeof(tool), "tool%u", i);
        const struct memory_key of = key("p", tool, "x", 1);
        memory_history_note(history, &of, MIB, NOW_S);
    }
    close_history(history);
    assert_int_equal(count_rows(*state), 2000);
}

/* --- forgetting --- */

static void
test_old_rows_go(void **state)
{
    struct fixture *f = *state;

    note_and_close(f, "a.o", 7, 400);
    sql(f, "UPDATE job SET ended_s = ended_s - 201 * 24 * 3600");
    note_and_close(f, "b.o", 7, 400);
    struct memory_history *history = open_history(f);
    assert_expected(history, "webkit", "a.o", 7, 400, MEMORY_FROM_PACKAGE);
    close_history(history);
    assert_int_equal(count_rows(f), 1);
}

static void
test_there_are_not_too_many_rows(void **state)
{
    struct fixture *f = *state;

    note_and_close(f, "a.o", 7, 400);
    sql(f, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 101000)"
           "INSERT INTO job (hash, package, tool, path, command, peak_bytes, ended_s)"
           " SELECT i, 'p', 't', 'x' || i, i, 1, 1800000000 FROM n");
    note_and_close(f, "b.o", 7, 400);
    assert_int_equal(count_rows(f), MEMORY_HISTORY_ROWS_MAX);
}

static void
test_forget(void **state)
{
    struct memory_history *history = open_history(*state);
    const struct memory_key other = key("llvm", "c++", "x.o", 1);

    note(history, "a.o", 1, 100);
    note(history, "b.o", 1, 100);
    memory_history_note(history, &other, 300 * MIB, NOW_S);
    memory_history_flush(history, 1000, true);
    assert_int_equal(memory_history_forget(history, "webkit"), 2);
    assert_expected(history, "webkit", "a.o", 1, 300, MEMORY_FROM_TOOL);
    assert_int_equal(memory_history_forget(history, NULL), 1);
    assert_expected(history, "webkit", "a.o", 1, 0, MEMORY_FROM_NOTHING);
    close_history(history);
}

/* --- several processes --- */

/* In a child. */
static int
note_many(void *argument)
{
    struct memory_history *history = memory_history_open(((struct fixture *)argument)->path);
    char path[32];

    EXPECT(history);
    for (int i = 0; i < NOTES; i++) {
        snprintf(path, sizeof(path), "%d/%d.o", (int)getpid(), i);
        note(history, path, 1, 100);
    }
    memory_history_flush(history, 30000, true);
    char *complaint = memory_history_complaint(history);
    if (complaint)
        fprintf(stderr, "# %s\n", complaint);
    EXPECT(!complaint);
    memory_history_close(history);
    return 0;
}

static void
test_several_at_once(void **state)
{
    struct memory_history *history = open_history(*state);
    pid_t children[PROCESSES];
    int status;

    close_history(history);
    for (int i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            alarm(HANG_S);
            _exit(note_many(*state));
        }
    }
    for (int i = 0; i < PROCESSES; i++) {
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(count_rows(*state), PROCESSES * NOTES);
}

/* --- what goes wrong --- */

/* It says so once, and works for this build alone. */
static void
assert_goes_without(struct memory_history *history, const struct fixture *f, const char *reason)
{
    memory_history_flush(history, 0, true);
    char *complaint = memory_history_complaint(history);
    assert_non_null(complaint);
    if (!strstr(complaint, reason))
        print_error("%s\n", complaint);
    assert_non_null(strstr(complaint, reason));
    assert_true(strncmp(complaint, f->path, strlen(f->path)) == 0);
    assert_null(strchr(complaint, '\n'));
    free(complaint);
    note(history, "z.o", 1, 100);
    memory_history_flush(history, 0, true);
    assert_no_complaint(history);
    assert_expected(history, "webkit", "q.o", 1, 100, MEMORY_FROM_PACKAGE);
    memory_history_close(history);
}

static void
write_file(const struct fixture *f, const char *text, size_t size, off_t at)
{
    char directory[80];

    snprintf(directory, sizeof(directory), "%s/jobwrap", f->directory);
    mkdir(directory, 0700);
    int fd = open(f->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, text, size, at), size);
    close(fd);
}

static void
test_no_path(void **state)
{
    struct memory_history *history = memory_history_open(NULL);

    assert_non_null(history);
    note(history, "a.o", 1, 100);
    assert_expected(history, "webkit", "b.o", 1, 100, MEMORY_FROM_PACKAGE);
    close_history(history);
}

static void
test_no_database(void **state)
{
    write_file(*state, "This is no database, but a text that somebody has written here.", 63, 0);
    assert_goes_without(open_history(*state), *state, "not a database");
}

static void
test_an_empty_file_is_a_new_one(void **state)
{
    write_file(*state, "", 0, 0);
    note_and_close(*state, "a.o", 7, 400);
    assert_int_equal(count_rows(*state), 1);
}

/* All pages but the first are overwritten. */
static void
test_broken(void **state)
{
    char text[4096];

    memset(text, 'x', sizeof(text));
    note_and_close(*state, "a.o", 7, 400);
    for (int page = 1; page < 6; page++)
        write_file(*state, text, sizeof(text), page * (off_t)sizeof(text));
    struct memory_history *history = open_history(*state);
    note(history, "b.o", 1, 100);
    assert_goes_without(history, *state, "malformed");
}

static void
test_newer(void **state)
{
    note_and_close(*state, "a.o", 7, 400);
    sql(*state, "PRAGMA user_version = 2");
    assert_goes_without(open_history(*state), *state, "newer version");
}

static void
test_of_another_program(void **state)
{
    note_and_close(*state, "a.o", 7, 400);
    sql(*state, "PRAGMA application_id = 5");
    assert_goes_without(open_history(*state), *state, "another program");
    sql(*state, "PRAGMA application_id = 0; PRAGMA user_version = 0");
    assert_goes_without(open_history(*state), *state, "another program");
}

static void
test_table_is_missing(void **state)
{
    note_and_close(*state, "a.o", 7, 400);
    sql(*state, "DROP TABLE job");
    struct memory_history *history = open_history(*state);
    note(history, "b.o", 1, 100);
    assert_goes_without(history, *state, "no such table");
}

/* A short time is waited, and the rest is written when the other has gone. */
static void
test_locked_for_a_while(void **state)
{
    struct fixture *f = *state;
    sqlite3 *other;

    note_and_close(f, "a.o", 7, 400);
    assert_int_equal(sqlite3_open(f->path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    struct memory_history *history = open_history(f);
    assert_expected(history, "webkit", "a.o", 7, 400, MEMORY_FROM_COMMAND);
    note(history, "b.o", 7, 100);
    memory_history_flush(history, 10, false);
    assert_no_complaint(history);
    sqlite3_close(other);
    close_history(history);
    assert_int_equal(count_rows(f), 2);
}

static void
test_locked_for_ever(void **state)
{
    struct fixture *f = *state;
    sqlite3 *other;

    note_and_close(f, "a.o", 7, 400);
    assert_int_equal(sqlite3_open(f->path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    struct memory_history *history = open_history(f);
    for (unsigned i = 0; i < 31; i++)
        note(history, "b.o", 7, 100);
    assert_goes_without(history, f, "locked");
    sqlite3_close(other);
    /* Not even readers get at it. */
    assert_int_equal(sqlite3_open(f->path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other,
                                  "PRAGMA journal_mode = DELETE; PRAGMA locking_mode = EXCLUSIVE;"
                                  "BEGIN EXCLUSIVE; DELETE FROM job",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    assert_goes_without(open_history(f), f, "locked");
    sqlite3_close(other);
}

/* In a child, whose files may not grow any more. */
static int
note_on_a_full_disk(void *argument)
{
    const struct fixture *f = argument;
    struct memory_history *history = memory_history_open(f->path);
    struct rlimit limit = {.rlim_cur = 1 << 14, .rlim_max = 1 << 14};
    char path[32], *complaint = NULL;

    signal(SIGXFSZ, SIG_IGN);
    EXPECT(history && setrlimit(RLIMIT_FSIZE, &limit) == 0);
    for (int i = 0; i < 1000; i++) {
        snprintf(path, sizeof(path), "%d.o", i);
        note(history, path, 1, 100);
    }
    memory_history_flush(history, 1000, true);
    complaint = memory_history_complaint(history);
    EXPECT(complaint && strncmp(complaint, f->path, strlen(f->path)) == 0);
    free(complaint);
    EXPECT(memory_history_guess(history, &(struct memory_key){.tool = "c++"}).bytes == 100 * MIB);
    memory_history_close(history);
    return 0;
}

static void
test_disk_is_full(void **state)
{
    note_and_close(*state, "a.o", 7, 400);
    assert_int_equal(run_in_child(note_on_a_full_disk, *state), 0);
    /* What was there is there still. */
    struct memory_history *history = open_history(*state);
    assert_expected(history, "webkit", "a.o", 7, 400, MEMORY_FROM_COMMAND);
    close_history(history);
}

static int
use_as_nobody(void *argument)
{
    const struct fixture *f = argument;

    EXPECT(become_user(NOBODY));
    struct memory_history *history = memory_history_open(f->path);
    EXPECT(history);
    note(history, "b.o", 1, 100);
    memory_history_flush(history, 1000, true);
    char *complaint = memory_history_complaint(history);
    EXPECT(complaint);
    EXPECT(strstr(complaint, "another user's") || strstr(complaint, "readonly"));
    free(complaint);
    memory_history_close(history);
    return 0;
}

/* sudo, with HOME kept; and the other way round. */
static void
test_of_another_user(void **state)
{
    struct fixture *f = *state;

    if (geteuid() != 0)
        skip();
    note_and_close(f, "a.o", 7, 400);
    assert_int_equal(chmod(f->directory, 0777), 0);
    assert_int_equal(run_in_child(use_as_nobody, f), 0);
    assert_int_equal(remove_tree(f->directory), 0);
    assert_int_equal(mkdir(f->directory, 0777), 0);
    assert_int_equal(chown(f->directory, NOBODY, NOBODY), 0);
    assert_goes_without(open_history(f), f, "another user's");
    assert_int_equal(access(f->path, F_OK), -1);
}

/* In a directory of root's that all may use. */
static int
share_as_nobody(void *argument)
{
    const struct fixture *f = argument;
    char path[160], link[160];

    EXPECT(become_user(NOBODY));
    snprintf(path, sizeof(path), "%s/own/memory.sqlite", f->directory);
    struct memory_history *history = memory_history_open(path);
    EXPECT(history);
    EXPECT(memory_history_complaint(history) == NULL);
    memory_history_close(history);
    EXPECT(access(path, F_OK) == 0);
    snprintf(link, sizeof(link), "%s/jobwrap", f->directory);
    snprintf(path, sizeof(path), "%s/target", f->directory);
    EXPECT(symlink(path, link) == 0);
    return 0;
}

/* The kernel follows no link that another has made in a directory for all: fs.protected_symlinks. */
static bool
are_links_protected(void)
{
    FILE *file = fopen("/proc/sys/fs/protected_symlinks", "re");
    int value = 0;

    if (!file)
        return false;
    if (fscanf(file, "%d", &value) != 1)
        value = 0;
    fclose(file);
    return value != 0;
}

/* What is root's is not written to by a link that another has made. */
static void
test_shared_directory(void **state)
{
    struct fixture *f = *state;
    char path[160];

    if (geteuid() != 0)
        skip();
    snprintf(path, sizeof(path), "%s/target", f->directory);
    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(chmod(f->directory, 01777), 0);
    assert_int_equal(run_in_child(share_as_nobody, f), 0);
    assert_goes_without(open_history(f), f,
                        are_links_protected() ? strerror(EACCES) : "another user's");
    snprintf(path, sizeof(path), "%s/target/memory.sqlite", f->directory);
    assert_int_equal(access(path, F_OK), -1);
}

static void
test_read_only(void **state)
{
    struct fixture *f = *state;
    char directory[80];

    if (geteuid() != 0)
        skip();
    note_and_close(f, "a.o", 7, 400);
    snprintf(directory, sizeof(directory), "%s/jobwrap", f->directory);
    assert_int_equal(chmod(f->directory, 0755), 0);
    assert_int_equal(chown(directory, NOBODY, NOBODY), 0);
    assert_int_equal(chown(f->path, NOBODY, NOBODY), 0);
    assert_int_equal(chmod(f->path, 0400), 0);
    assert_int_equal(run_in_child(use_as_nobody, f), 0);
}

static void
test_nonsense_in_rows(void **state)
{
    struct fixture *f = *state;

    note_and_close(f, "a.o", 7, 400);
    sql(f, "UPDATE job SET peak_bytes = -1");
    struct memory_history *history = open_history(f);
    assert_expected(history, "webkit", "a.o", 7, MEMORY_BYTES_MAX / MIB, MEMORY_FROM_COMMAND);
    close_history(history);
    sql(f, "UPDATE job SET peak_bytes = 'x', command = NULL || 'y' WHERE 0");
    sql(f, "UPDATE job SET peak_bytes = 'x', command = 'y'");
    history = open_history(f);
    assert_expected(history, "webkit", "a.o", 7, 0, MEMORY_FROM_NOTHING);
    close_history(history);
}

/* --- where it is --- */

static void
assert_path(const char *cache, const char *home, const char *expected)
{
    cache ? setenv("XDG_CACHE_HOME", cache, 1) : unsetenv("XDG_CACHE_HOME");
    home ? setenv("HOME", home, 1) : unsetenv("HOME");
    char *path = memory_history_path();
    if (expected)
        assert_string_equal(path, expected);
    else
        assert_null(path);
    free(path);
}

static void
test_path(void **state)
{
    assert_path("/c", "/h", "/c/jobwrap/memory.sqlite");
    assert_path("c", "/h", "/h/.cache/jobwrap/memory.sqlite");
    assert_path("", "/h", "/h/.cache/jobwrap/memory.sqlite");
    assert_path(NULL, "/h", "/h/.cache/jobwrap/memory.sqlite");
    assert_path(NULL, NULL, NULL);
    char own[32];
    snprintf(own, sizeof(own), "/s/%u/memory.sqlite", geteuid());
    setenv(MEMORY_HISTORY_VARIABLE, "/s", 1);
    assert_path("/c", "/h", own);
    setenv(MEMORY_HISTORY_VARIABLE, "s", 1);
    assert_path("/c", "/h", "/c/jobwrap/memory.sqlite");
    setenv(MEMORY_HISTORY_VARIABLE, "", 1);
    assert_path("/c", "/h", "/c/jobwrap/memory.sqlite");
    unsetenv(MEMORY_HISTORY_VARIABLE);
    assert_path(NULL, "h", NULL);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_the_next_build_knows),
        CASE(test_the_last_three_count),
        CASE(test_tools_are_learned_at_once),
        CASE(test_many_tools),
        CASE(test_old_rows_go),
        CASE(test_there_are_not_too_many_rows),
        CASE(test_forget),
        CASE(test_several_at_once),
        CASE(test_no_path),
        CASE(test_no_database),
        CASE(test_an_empty_file_is_a_new_one),
        CASE(test_broken),
        CASE(test_newer),
        CASE(test_of_another_program),
        CASE(test_table_is_missing),
        CASE(test_locked_for_a_while),
        CASE(test_locked_for_ever),
        CASE(test_disk_is_full),
        CASE(test_of_another_user),
        CASE(test_shared_directory),
        CASE(test_read_only),
        CASE(test_nonsense_in_rows),
        cmocka_unit_test(test_path),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
