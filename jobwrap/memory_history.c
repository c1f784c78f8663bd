/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jobwrap --memory-history: what gates have learnt of jobs' memory is listed, or forgotten. A program of its own,
 * so that no other jobwrap has to load SQLite.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "libjobserver/memory/history.h"
#include "libjobserver/program/descriptors.h"
#include "libjobserver/program/message.h"
#include "libjobserver/program/printable.h"
#include "libjobserver/program/usage.h"

#define OPTION "--memory-history"
#define DATE_SIZE 32

/* --- the file --- */

static _Noreturn void
give_up(struct memory_history *history)
{
    char *complaint = memory_history_complaint(history);

    message("memory history: %s", complaint ? complaint : strerror(EIO));
    free(complaint);
    memory_history_close(history);
    exit(EXIT_OURS);
}

/* NULL: there is none yet. To be asked does not make it. */
static struct memory_history *
open_history(void)
{
    char *path = memory_history_path();

    if (!path) {
        message("memory history: neither XDG_CACHE_HOME nor HOME names a directory");
        exit(EXIT_OURS);
    }
    if (access(path, F_OK) < 0 && errno == ENOENT) {
        free(path);
        return NULL;
    }
    struct memory_history *history = memory_history_open(path);
    free(path);
    if (!history) {
        message("memory history: %s", strerror(ENOMEM));
        exit(EXIT_OURS);
    }
    return history;
}

/* --- list --- */

/* What is in the file may be anybody's, and is not for the terminal to obey. */
static void
print_text(const char *text, int width)
{
    const char *shown;
    int printed = 0;

    for (size_t size; *text; text += size, printed++) {
        size = printable_first(text, &shown);
        fwrite(shown, 1, size, stdout);
    }
    printf("%*s", width > printed ? width - printed : 0, "");
}

static bool
print_row(const struct memory_history_row *row, void *argument)
{
    const time_t ended = (time_t)row->ended_s;
    struct tm date;
    char text[DATE_SIZE];

    if (!localtime_r(&ended, &date) || strftime(text, sizeof(text), "%F %H:%M", &date) == 0)
        snprintf(text, sizeof(text), "?");
    printf("%7" PRIu64 " %-16s ", (row->peak_bytes + (1 << 19)) >> 20, text);
    print_text(*row->package ? row->package : "-", 16);
    putchar(' ');
    print_text(row->tool, 6);
    putchar(' ');
    print_text(*row->path ? row->path : "-", 0);
    putchar('\n');
    return !ferror(stdout);
}

static _Noreturn void
list(void)
{
    struct memory_history *history = open_history();

    printf("%7s %-16s %-16s %-6s %s\n", "MIB", "WHEN", "PACKAGE", "TOOL", "PATH");
    if (history) {
        if (memory_history_list(history, print_row, NULL) < 0)
            give_up(history);
        memory_history_close(history);
    }
    if (fflush(stdout) == 0 && !ferror(stdout))
        exit(EXIT_SUCCESS);
    message("write the list: %s", strerror(errno));
    exit(EXIT_OURS);
}

/* --- forget --- */

static _Noreturn void
forget(const char *package)
{
    struct memory_history *history = open_history();
    int count = history ? memory_history_forget(history, package) : 0;

    if (count < 0)
        give_up(history);
    if (history)
        memory_history_close(history);
    if (count == 0 && package) {
        message("memory history: nothing is known of the package '%s'", package);
        exit(EXIT_FAILURE);
    }
    exit(EXIT_SUCCESS);
}

/* --- words --- */

static void
expect_end(const char *word)
{
    if (word)
        usage_refuse(OPTION, word, "expected there");
}

int
main(int argc, char **argv)
{
    char *const *words = argv + (argc > 0);

    program_invocation_short_name = (char[]){"jobwrap"};
    descriptors_guard_standard();
    signal(SIGXFSZ, SIG_IGN); /* it is said what could not be written */
    if (!words[0] || strcmp(words[0], "list") == 0) {
        expect_end(words[0] ? words[1] : NULL);
        list();
    }
    if (strcmp(words[0], "forget") != 0)
        usage_refuse(OPTION, words[0], "list or forget");
    expect_end(words[1] ? words[2] : NULL);
    forget(words[1]);
}
