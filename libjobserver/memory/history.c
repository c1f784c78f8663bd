/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/memory/history.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Out of memory, a tool is not remembered; uthash would end the program. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#define FILE_NAME "memory.sqlite"
#define APPLICATION 0x6a6f6277 /* "jobw" */
#define VERSION 1
#define PATIENCE_MS 100
#define NOTES_WRITTEN 512 /* at the latest when so many are there */
#define NOTES_MAX 1024    /* while they can't be written */
#define CLASSES_MAX 256

/* Journals are cut to that after use, and pages are of 4 KiB: 64 MiB. */
#define SETTINGS                                                                                   \
    "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA synchronous = NORMAL;"       \
    "PRAGMA temp_store = MEMORY; PRAGMA cache_size = -1024; PRAGMA max_page_count = 16384;"        \
    "PRAGMA journal_size_limit = 1048576"

#define SCHEMA                                                                                     \
    "CREATE TABLE job (id INTEGER PRIMARY KEY, hash INTEGER NOT NULL, package TEXT NOT NULL,"      \
    " tool TEXT NOT NULL, path TEXT NOT NULL, command INTEGER NOT NULL,"                           \
    " peak_bytes INTEGER NOT NULL, ended_s INTEGER NOT NULL);"                                     \
    "CREATE INDEX job_by_hash ON job (hash);"                                                      \
    "CREATE INDEX job_by_package ON job (tool, package);"                                          \
    "CREATE INDEX job_by_tool ON job (tool)"

enum { FIND, OF_PACKAGE, OF_TOOL, ADD, TRIM, PRUNE, LIST, FORGET, N_STATEMENTS };

#define SAME_KEY "hash = ?1 AND package = ?2 AND tool = ?3 AND path = ?4"

static const char *const sql[N_STATEMENTS] = {
    [FIND] = "SELECT peak_bytes, command FROM job WHERE " SAME_KEY " ORDER BY id DESC LIMIT 3",
    [OF_PACKAGE] = "SELECT peak_bytes FROM job WHERE tool = ?3 AND package = ?2"
                   " ORDER BY id DESC LIMIT 255",
    [OF_TOOL] = "SELECT peak_bytes FROM job WHERE tool = ?3 ORDER BY id DESC LIMIT 255",
    [ADD] = "INSERT INTO job (hash, package, tool, path, command, peak_bytes, ended_s)"
            " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    [TRIM] = "DELETE FROM job WHERE " SAME_KEY " AND id NOT IN"
             " (SELECT id FROM job WHERE " SAME_KEY " ORDER BY id DESC LIMIT 3)",
    /* Rows are in the order of time, so that nothing is looked at but what goes. */
    [PRUNE] = "DELETE FROM job WHERE id <= (SELECT max(id) FROM job) - ?1"
              " OR id < (SELECT id FROM job WHERE ended_s >= ?2 ORDER BY id LIMIT 1)",
    [LIST] = "SELECT package, tool, path, peak_bytes, ended_s FROM job ORDER BY id DESC",
    [FORGET] = "DELETE FROM job WHERE ?1 IS NULL OR package = ?1",
};

/* The peaks of one tool, in a package or everywhere. */
struct class
{
    char name[MEMORY_TOOL_SIZE + MEMORY_PACKAGE_SIZE + 1]; /* "TOOL" or "TOOL\nPACKAGE" */
    struct memory_peaks peaks;
    struct memory_typical typical; /* of so many peaks */
    unsigned not_in_typical;
    UT_hash_handle hh;
};

struct note {
    struct memory_key key;
    uint64_t peak_bytes;
    int64_t now_s;
};

struct memory_history {
    char *path;
    sqlite3 *database; /* NULL: there is none (any more) */
    sqlite3_stmt *statements[N_STATEMENTS];
    struct class *classes;
    struct note *notes;
    unsigned n_notes;
    char *complaint;
    bool has_complained;
    bool has_written;
    int64_t last_s; /* when the last was noted */
};

/* --- what goes wrong --- */

static void
close_database(struct memory_history *history)
{
    for (int i = 0; i < N_STATEMENTS; i++) {
        sqlite3_finalize(history->statements[i]);
        history->statements[i] = NULL;
    }
    sqlite3_close(history->database);
    history->database = NULL;
}

/* From now on it goes without. The reason may lie in the database. */
static void
give_up(struct memory_history *history, const char *reason)
{
    if (!history->has_complained &&
        asprintf(&history->complaint, "%s: %s", history->path, reason) < 0)
        history->complaint = NULL;
    history->has_complained = true;
    close_database(history);
}

static void
give_up_for_error(struct memory_history *history)
{
    give_up(history, history->database ? sqlite3_errmsg(history->database) : "no memory");
}

static bool
is_busy(int result)
{
    return (result & 0xff) == SQLITE_BUSY || (result & 0xff) == SQLITE_LOCKED;
}

char *
memory_history_complaint(struct memory_history *history)
{
    char *complaint = history->complaint;

    history->complaint = NULL;
    return complaint;
}

/* --- statements --- */

static int
execute(struct memory_history *history, const char *text)
{
    return sqlite3_exec(history->database, text, NULL, NULL, NULL);
}

/* Ready to be bound. NULL: it has been given up. */
static sqlite3_stmt *
statement(struct memory_history *history, int which)
{
    sqlite3_stmt **prepared = &history->statements[which];

    if (!history->database)
        return NULL;
    if (!*prepared && sqlite3_prepare_v2(history->database, sql[which], -1, prepared, NULL)) {
        give_up_for_error(history);
        return NULL;
    }
    return *prepared;
}

static int64_t
hash_of(const struct memory_key *key)
{
    const char *const texts[] = {key->package, key->tool, key->path};
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < 3; i++)
        for (const char *c = texts[i];; c++) {
            hash = (hash ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
            if (!*c)
                break;
        }
    return (int64_t)hash;
}

static sqlite3_stmt *
statement_for(struct memory_history *history, int which, const struct memory_key *key)
{
    sqlite3_stmt *prepared = statement(history, which);

    if (prepared) {
        sqlite3_bind_int64(prepared, 1, hash_of(key));
        sqlite3_bind_text(prepared, 2, key->package, -1, SQLITE_STATIC);
        sqlite3_bind_text(prepared, 3, key->tool, -1, SQLITE_STATIC);
        sqlite3_bind_text(prepared, 4, key->path, -1, SQLITE_STATIC);
    }
    return prepared;
}

/* For one that gives no rows. 0 or an error of SQLite. */
static int
finish(sqlite3_stmt *prepared)
{
    int result = prepared ? sqlite3_step(prepared) : SQLITE_ERROR;

    if (prepared)
        sqlite3_reset(prepared);
    return result == SQLITE_DONE ? SQLITE_OK : result;
}

/* After the last row. A reader is not told to wait but by one who changes the whole file: that is no fault. */
static void
finish_rows(struct memory_history *history, sqlite3_stmt *prepared, int result)
{
    sqlite3_reset(prepared);
    if (result != SQLITE_DONE && result != SQLITE_ROW && !is_busy(result))
        give_up_for_error(history);
}

/* --- the file --- */

char *
memory_history_path(void)
{
    const char *shared = getenv(MEMORY_HISTORY_VARIABLE);
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char *path = NULL;

    if (shared && *shared == '/')
        return asprintf(&path, "%s/%u/" FILE_NAME, shared, geteuid()) < 0 ? NULL : path;
    if (cache && *cache == '/')
        return asprintf(&path, "%s/jobwrap/" FILE_NAME, cache) < 0 ? NULL : path;
    if (home && *home == '/')
        return asprintf(&path, "%s/.cache/jobwrap/" FILE_NAME, home) < 0 ? NULL : path;
    return NULL;
}

/* Ours; or, as /tmp, one in which everybody may have something of his own. */
static bool
may_be_used(const struct stat *status)
{
    return status->st_uid == geteuid() || (status->st_uid == 0 && (status->st_mode & S_ISVTX));
}

/* Up to so many levels above the file. What root would make in a user's home (sudo) this one could not
 * write later. */
static int
make_directory(const char *path, int levels)
{
    char *directory = strdup(path), *slash = directory ? strrchr(directory, '/') : NULL;
    struct stat status;
    int result = 0;

    if (!slash || slash == directory) {
        free(directory);
        return slash ? 0 : -ENOENT;
    }
    *slash = '\0';
    if (stat(directory, &status) == 0)
        result = may_be_used(&status) ? 0 : -EPERM;
    else if (errno != ENOENT || levels == 0)
        result = -errno;
    else
        result = make_directory(directory, levels - 1);
    if (result == 0 && mkdir(directory, 0700) < 0 && errno != EEXIST)
        result = -errno;
    free(directory);
    return result;
}

/* Where others may write, too, one may have put a link of that name to what is another's. */
static int
check_owner(const char *path)
{
    char *directory = strndup(path, (size_t)(strrchr(path, '/') - path));
    struct stat link, status;
    int result = -ENOMEM;

    if (directory && lstat(directory, &link) == 0 && stat(directory, &status) == 0)
        result = link.st_uid == geteuid() && status.st_uid == geteuid() ? 0 : -EPERM;
    else if (directory)
        result = -errno;
    free(directory);
    return result;
}

/* A write-ahead log is shared memory, which no file system of another machine shares. */
static bool
may_be_remote(const char *path)
{
    static const unsigned remote[] = {
        0x6969 /* NFS */,      0x517b /* SMB */,    0xff534d42 /* CIFS */, 0xfe534d42 /* SMB 2 */,
        0x00c36400 /* Ceph */, 0x01021997 /* 9P */, 0x5346414f /* AFS */,  0x65735546 /* FUSE */};
    struct statfs status;

    if (statfs(path, &status) < 0)
        return false;
    for (size_t i = 0; i < sizeof(remote) / sizeof(remote[0]); i++)
        if ((unsigned)status.f_type == remote[i])
            return true;
    return false;
}

static int
read_pragma(struct memory_history *history, const char *text, int *number)
{
    sqlite3_stmt *prepared;
    int result = sqlite3_prepare_v2(history->database, text, -1, &prepared, NULL);

    if (result == SQLITE_OK)
        result = sqlite3_step(prepared);
    if (result == SQLITE_ROW)
        *number = sqlite3_column_int(prepared, 0);
    sqlite3_finalize(prepared);
    return result == SQLITE_ROW ? SQLITE_OK : result;
}

static int
make_schema(struct memory_history *history)
{
    char text[sizeof(SCHEMA) + 128];

    snprintf(text, sizeof(text), SCHEMA "; PRAGMA application_id = %d; PRAGMA user_version = %d",
             APPLICATION, VERSION);
    return execute(history, text);
}

/* In a transaction, since another process may be about to make it, too. NULL: it is ours; else what is
 * wrong. */
static const char *
check_schema(struct memory_history *history)
{
    int application, version, tables;

    if (read_pragma(history, "PRAGMA application_id", &application) ||
        read_pragma(history, "PRAGMA user_version", &version) ||
        read_pragma(history, "SELECT count(*) FROM sqlite_master", &tables))
        return sqlite3_errmsg(history->database);
    if (application == 0 && version == 0 && tables == 0)
        return make_schema(history) ? sqlite3_errmsg(history->database) : NULL;
    if (application != APPLICATION || version < 1)
        return "it belongs to another program";
    return version > VERSION ? "it was written by a newer version" : NULL;
}

/* What is there already is only read, so that nobody waits for it. */
static void
find_schema(struct memory_history *history)
{
    int version = 0;
    bool is_made =
        read_pragma(history, "PRAGMA user_version", &version) == SQLITE_OK && version != 0;

    if (!is_made && execute(history, "BEGIN IMMEDIATE")) {
        give_up_for_error(history);
        return;
    }
    const char *complaint = check_schema(history);
    if (complaint)
        give_up(history, complaint);
    else if (!is_made && execute(history, "COMMIT"))
        give_up_for_error(history);
}

static void
open_database(struct memory_history *history)
{
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    int error = make_directory(history->path, 2);

    if (error == 0)
        error = check_owner(history->path);
    if (error) {
        give_up(history, error == -EPERM ? "its directory is another user's" : strerror(-error));
        return;
    }
    if (sqlite3_open_v2(history->path, &history->database, flags, NULL)) {
        give_up_for_error(history);
        return;
    }
    sqlite3_busy_timeout(history->database, PATIENCE_MS);
    sqlite3_db_config(history->database, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    if (execute(history, SETTINGS)) {
        give_up_for_error(history);
        return;
    }
    /* If somebody else has it open just now, this is for the next. */
    if (!may_be_remote(history->path))
        execute(history, "PRAGMA journal_mode = WAL");
    find_schema(history);
}

struct memory_history *
memory_history_open(const char *path)
{
    struct memory_history *history = calloc(1, sizeof(*history));

    if (!history)
        return NULL;
    history->notes = calloc(NOTES_MAX, sizeof(*history->notes));
    history->path = path ? strdup(path) : NULL;
    if (!history->notes || (path && !history->path)) {
        memory_history_close(history);
        return NULL;
    }
    if (path)
        open_database(history);
    return history;
}

/* --- tools --- */

static void
forget_classes(struct memory_history *history)
{
    struct class *class, *next;

    HASH_ITER (hh, history->classes, class, next) {
        HASH_DEL(history->classes, class);
        free(class);
    }
}

void
memory_history_close(struct memory_history *history)
{
    if (history->notes)
        memory_history_flush(history, PATIENCE_MS, true);
    close_database(history);
    forget_classes(history);
    free(history->complaint);
    free(history->notes);
    free(history->path);
    free(history);
}

/* The newest come first, and are added last. */
static void
load_peaks(struct memory_history *history, struct class *class, int which,
           const struct memory_key *key)
{
    sqlite3_stmt *prepared = statement_for(history, which, key);
    uint64_t bytes[MEMORY_PEAKS];
    unsigned count = 0;
    int result = SQLITE_DONE;

    if (!prepared)
        return;
    while (count < MEMORY_PEAKS && (result = sqlite3_step(prepared)) == SQLITE_ROW)
        bytes[count++] = (uint64_t)sqlite3_column_int64(prepared, 0);
    finish_rows(history, prepared, result);
    while (count > 0)
        memory_peaks_add(&class->peaks, bytes[--count]);
    class->typical = memory_peaks_typical(&class->peaks);
}

/* NULL: out of memory. */
static struct class *
find_class(struct memory_history *history, int which, const struct memory_key *key)
{
    struct class *class;
    char name[sizeof(class->name)];

    snprintf(name, sizeof(name), "%s%s%s", key->tool, which == OF_PACKAGE ? "\n" : "",
             which == OF_PACKAGE ? key->package : "");
    HASH_FIND_STR(history->classes, name, class);
    if (class)
        return class;
    if (HASH_COUNT(history->classes) >= CLASSES_MAX)
        forget_classes(history);
    class = calloc(1, sizeof(*class));
    if (!class)
        return NULL;
    memcpy(class->name, name, sizeof(name));
    HASH_ADD_STR(history->classes, name, class);
    if (!class->hh.tbl) {
        free(class);
        return NULL;
    }
    load_peaks(history, class, which, key);
    return class;
}

/* Of many peaks one more changes little, and to sort them takes 10 us. */
static void
add_to_class(struct memory_history *history, int which, const struct note *note)
{
    struct class *class = find_class(history, which, &note->key);

    if (!class)
        return;
    memory_peaks_add(&class->peaks, note->peak_bytes);
    if (++class->not_in_typical <= class->peaks.count / 20)
        return;
    class->typical = memory_peaks_typical(&class->peaks);
    class->not_in_typical = 0;
}

/* --- expecting --- */

static struct memory_expectation
expect(struct memory_history *history, const struct memory_key *key,
       const struct memory_record *records, size_t count)
{
    const struct class *class = find_class(history, OF_TOOL, key);
    const struct memory_typical none = {0}, of_tool = class ? class->typical : none;

    class = find_class(history, OF_PACKAGE, key);
    return memory_expect(records, count, key->command, class ? class->typical : none, of_tool);
}

struct memory_expectation
memory_history_guess(struct memory_history *history, const struct memory_key *key)
{
    return expect(history, key, NULL, 0);
}

struct memory_expectation
memory_history_expect(struct memory_history *history, const struct memory_key *key)
{
    struct memory_record records[MEMORY_RECORDS];
    sqlite3_stmt *prepared = statement_for(history, FIND, key);
    size_t count = 0;
    int result = SQLITE_DONE;

    if (!prepared)
        return memory_history_guess(history, key);
    while (count < MEMORY_RECORDS && (result = sqlite3_step(prepared)) == SQLITE_ROW)
        records[count++] = (struct memory_record){
            .peak_bytes = (uint64_t)sqlite3_column_int64(prepared, 0),
            .command = (uint64_t)sqlite3_column_int64(prepared, 1),
        };
    finish_rows(history, prepared, result);
    return expect(history, key, records, count);
}

/* --- noting --- */

void
memory_history_note(struct memory_history *history, const struct memory_key *key,
                    uint64_t peak_bytes, int64_t now_s)
{
    const struct note note = {*key, peak_bytes < MEMORY_BYTES_MAX ? peak_bytes : MEMORY_BYTES_MAX,
                              now_s};

    if (peak_bytes == 0)
        return;
    add_to_class(history, OF_TOOL, &note);
    add_to_class(history, OF_PACKAGE, &note);
    if (!history->database || history->n_notes == NOTES_MAX)
        return;
    history->notes[history->n_notes++] = note;
    history->last_s = now_s;
    if (history->n_notes >= NOTES_WRITTEN && history->n_notes % 64 == 0)
        memory_history_flush(history, PATIENCE_MS, false);
}

static int
write_note(struct memory_history *history, const struct note *note)
{
    sqlite3_stmt *prepared = statement_for(history, ADD, &note->key);

    if (!prepared)
        return SQLITE_ERROR;
    sqlite3_bind_int64(prepared, 5, (int64_t)note->key.command);
    sqlite3_bind_int64(prepared, 6, (int64_t)note->peak_bytes);
    sqlite3_bind_int64(prepared, 7, note->now_s);
    int result = finish(prepared);
    return result ? result : finish(statement_for(history, TRIM, &note->key));
}

static int
prune(struct memory_history *history)
{
    sqlite3_stmt *prepared = statement(history, PRUNE);

    if (prepared) {
        sqlite3_bind_int64(prepared, 1, MEMORY_HISTORY_ROWS_MAX);
        sqlite3_bind_int64(prepared, 2, history->last_s - MEMORY_HISTORY_AGE_MAX_S);
    }
    return finish(prepared);
}

/* All, or none. Old rows go once, at the first. */
static int
write_notes(struct memory_history *history)
{
    int result = execute(history, "BEGIN IMMEDIATE");

    for (unsigned i = 0; i < history->n_notes && result == SQLITE_OK; i++)
        result = write_note(history, &history->notes[i]);
    if (result == SQLITE_OK && !history->has_written)
        result = prune(history);
    return result ? result : execute(history, "COMMIT");
}

void
memory_history_flush(struct memory_history *history, int patience_ms, bool patience_is_over)
{
    if (!history->database || history->n_notes == 0)
        return;
    sqlite3_busy_timeout(history->database, patience_ms);
    int result = write_notes(history);
    if (result == SQLITE_OK) {
        history->has_written = true;
        history->n_notes = 0;
    } else if (!is_busy(result) || patience_is_over) {
        if (history->database)
            give_up_for_error(history);
    } else {
        execute(history, "ROLLBACK");
    }
    if (history->database)
        sqlite3_busy_timeout(history->database, PATIENCE_MS);
}

/* --- for the user --- */

int
memory_history_list(struct memory_history *history,
                    bool (*show)(const struct memory_history_row *row, void *argument),
                    void *argument)
{
    sqlite3_stmt *prepared = statement(history, LIST);
    int result = SQLITE_ERROR;

    while (prepared && (result = sqlite3_step(prepared)) == SQLITE_ROW) {
        const char *texts[3];
        for (int i = 0; i < 3; i++) {
            const void *text = sqlite3_column_text(prepared, i);
            texts[i] = text ? text : "";
        }
        const struct memory_history_row row = {texts[0], texts[1], texts[2],
                                               (uint64_t)sqlite3_column_int64(prepared, 3),
                                               sqlite3_column_int64(prepared, 4)};
        if (!show(&row, argument))
            break;
    }
    if (prepared)
        finish_rows(history, prepared, result);
    return result == SQLITE_DONE || result == SQLITE_ROW ? 0 : -EIO;
}

int
memory_history_forget(struct memory_history *history, const char *package)
{
    sqlite3_stmt *prepared = statement(history, FORGET);

    if (!prepared)
        return -EIO;
    sqlite3_bind_text(prepared, 1, package, -1, SQLITE_STATIC);
    if (finish(prepared)) {
        give_up_for_error(history);
        return -EIO;
    }
    forget_classes(history);
    return sqlite3_changes(history->database);
}
