/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What /proc tells of one process: its place among the others, its owner, its names, what it was given and
 * what it waits for, its signals. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "libjobserver/process.h"
#include "libjobserver/process/private.h"
#include "libjobserver/program/printable.h"

/* The list of groups, of which there may be many, comes before the signals. */
#define STATUS_SIZE 4096
/* PF_EXITING and PF_FORKNOEXEC of the kernel's <linux/sched.h>, which proc(5) shows among the flags. */
#define EXITING 0x4u
#define FORKED_NOT_EXECUTED 0x40u

/* --- files --- */

int
process_open_file(pid_t pid, const char *name, int flags)
{
    char path[PROCESS_PATH_SIZE];

    if (pid <= 0)
        return -ESRCH;
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    int fd = open(path, flags | O_CLOEXEC);
    if (fd >= 0)
        return fd;
    return errno == ENOENT ? -ESRCH : -errno;
}

ssize_t
process_read_file(pid_t pid, const char *name, char *text, size_t size)
{
    int fd = process_open_file(pid, name, O_RDONLY);

    if (fd < 0)
        return fd;
    ssize_t length = read(fd, text, size - 1);
    int error = errno;
    close(fd);
    if (length < 0)
        return -error;
    text[length] = '\0';
    return length;
}

int
process_check_proc(void)
{
    char self[sizeof("2147483647")] = "";

    if (readlink("/proc/self", self, sizeof(self) - 1) < 0)
        return -errno;
    return atoi(self) == getpid() ? 0 : -ESRCH;
}

/* --- its place --- */

/* The name may hold blanks and parentheses of its own, what follows it cannot. */
static int
parse_stat(const char *text, struct process_info *info)
{
    struct process_info parsed = {0};
    const char *name = strchr(text, '('), *name_end = strrchr(text, ')');
    unsigned flags;

    if (!name || !name_end || name_end < name || sscanf(text, "%d", &parsed.pid) != 1)
        return -EIO;
    snprintf(parsed.name, sizeof(parsed.name), "%.*s", (int)(name_end - name - 1), name + 1);
    make_printable_text(parsed.name, sizeof(parsed.name));
    int found = sscanf(name_end + 1,
                       " %c %d %d %d %*d %*d %u %*u %*u %*u %*u %*u %*u"
                       " %*d %*d %*d %*d %u %*d %" SCNu64,
                       &parsed.state, &parsed.parent, &parsed.process_group, &parsed.session,
                       &flags, &parsed.threads, &parsed.start_ticks);
    if (found != 7)
        return -EIO;
    parsed.has_executed = !(flags & FORKED_NOT_EXECUTED);
    parsed.is_exiting = flags & EXITING;
    *info = parsed;
    return 0;
}

int
process_info(pid_t pid, struct process_info *info)
{
    char text[PROCESS_STAT_SIZE];
    ssize_t length = process_read_file(pid, "stat", text, sizeof(text));

    return length < 0 ? (int)length : parse_stat(text, info);
}

bool
process_info_is_alive(const struct process_info *info)
{
    if (info->state == 'Z')
        return info->threads > 1;
    return info->state != 'X' && info->state != 'x';
}

int
process_owner(pid_t pid, uid_t *uid)
{
    char path[PROCESS_PATH_SIZE];
    struct stat status;

    snprintf(path, sizeof(path), "/proc/%d", (int)pid);
    if (stat(path, &status) < 0)
        return errno == ENOENT ? -ESRCH : -errno;
    *uid = status.st_uid;
    return 0;
}

/* --- its name --- */

bool
process_name_is_one_of(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (strncmp(name, *names, PROCESS_NAME_SIZE - 1) == 0)
            return true;
    return false;
}

bool
process_is_called(pid_t pid, const char *const *names)
{
    char name[PROCESS_NAME_SIZE + 1]; /* and a newline */
    ssize_t length = process_read_file(pid, "comm", name, sizeof(name));

    if (length <= 1)
        return false;
    name[length - 1] = '\0';
    return process_name_is_one_of(name, names);
}

static int
command_name(pid_t pid, char *command, size_t size)
{
    struct process_info info;
    int error = process_info(pid, &info);

    if (error == 0)
        snprintf(command, size, "(%s)", info.name);
    return error;
}

int
process_command(pid_t pid, char *command, size_t size)
{
    if (size == 0)
        return -EINVAL;
    char *text = malloc(size);
    if (!text)
        return -ENOMEM;
    ssize_t length = process_read_file(pid, "cmdline", text, size);
    while (length > 0 && text[length - 1] == '\0')
        length--;
    if (length > 0) {
        if ((size_t)length == size - 1)
            length = (ssize_t)printable_cut(text, (size_t)length);
        make_printable(text, (size_t)length);
        text[length] = '\0';
        memcpy(command, text, (size_t)length + 1);
    }
    free(text);
    if (length < 0)
        return (int)length;
    return length > 0 ? 0 : command_name(pid, command, size);
}

ssize_t
process_arguments(pid_t pid, char *text, size_t size, char **words, size_t max)
{
    ssize_t length = process_read_file(pid, "cmdline", text, size);
    size_t n = 0;

    if (length < 0)
        return length;
    if ((size_t)length == size - 1)
        return -E2BIG;
    for (char *word = text; word < text + length; word += strlen(word) + 1) {
        if (n + 1 >= max)
            return -E2BIG;
        words[n++] = word;
    }
    words[n] = NULL;
    return (ssize_t)n;
}

int
process_directory(pid_t pid, char *path, size_t size)
{
    char link[PROCESS_PATH_SIZE];

    snprintf(link, sizeof(link), "/proc/%d/cwd", (int)pid);
    ssize_t length = readlink(link, path, size);
    if (length < 0)
        return errno == ENOENT ? -ESRCH : -errno;
    if ((size_t)length == size) {
        path[0] = '\0';
        return -ENAMETOOLONG;
    }
    path[length] = '\0';
    return 0;
}

/* --- what it was given, and what it does --- */

/* `end` is where its NUL is, or behind it. The text is cut into words. */
static bool
has_word(char *text, const char *end, bool (*is_word)(const char *word))
{
    while (text < end) {
        size_t length = strcspn(text, " \t");
        text[length] = '\0';
        if (length > 0 && is_word(text))
            return true;
        text += length + 1;
    }
    return false;
}

/* NUL-ended ones. NULL: it cannot be looked at. */
static FILE *
open_lines(pid_t pid, const char *name)
{
    int fd = process_open_file(pid, name, O_RDONLY);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "r");

    if (!file && fd >= 0)
        close(fd);
    return file;
}

static bool
has_argument(pid_t pid, bool (*is_word)(const char *word))
{
    FILE *file = open_lines(pid, "cmdline");
    char *line = NULL;
    size_t size = 0;
    bool found = false;
    ssize_t got;

    while (file && !found && (got = getdelim(&line, &size, '\0', file)) > 0)
        found = has_word(line, line + got, is_word);
    if (file)
        fclose(file);
    free(line);
    return found;
}

char *
process_variable(pid_t pid, const char *variable)
{
    FILE *file = open_lines(pid, "environ");
    size_t length = strlen(variable), size = 0;
    char *line = NULL, *value = NULL;

    while (file && !value && getdelim(&line, &size, '\0', file) > 0)
        if (strncmp(line, variable, length) == 0 && line[length] == '=')
            value = strdup(line + length + 1);
    if (file)
        fclose(file);
    free(line);
    return value;
}

bool
process_was_given(pid_t pid, const char *variable, bool (*is_word)(const char *word))
{
    char *value = process_variable(pid, variable);
    bool found =
        has_argument(pid, is_word) || (value && has_word(value, value + strlen(value), is_word));

    free(value);
    return found;
}

bool
process_waits_for_events(pid_t pid)
{
    static const long calls[] = {
        SYS_wait4,  SYS_waitid, SYS_pselect6, SYS_ppoll,
#ifdef SYS_select
        SYS_select,
#endif
#ifdef SYS_poll
        SYS_poll,
#endif
    };
    char text[256];
    ssize_t length = process_read_file(pid, "syscall", text, sizeof(text));
    char *end = text;
    long call = length > 0 ? strtol(text, &end, 10) : -1;

    for (size_t i = 0; end != text && i < sizeof(calls) / sizeof(*calls); i++)
        if (call == calls[i])
            return true;
    return false;
}

/* --- its status --- */

static uint64_t
signal_set(const char *status, const char *key)
{
    const char *line = strstr(status, key);

    return line ? strtoull(line + strlen(key), NULL, 16) : 0;
}

int
process_signals(pid_t pid, struct process_signals *signals)
{
    char status[STATUS_SIZE];
    ssize_t length = process_read_file(pid, "status", status, sizeof(status));

    if (length <= 0)
        return length < 0 ? (int)length : -EIO;
    /* No name holds a newline: the kernel escapes it. */
    *signals = (struct process_signals){
        .pending = signal_set(status, "\nSigPnd:") | signal_set(status, "\nShdPnd:"),
        .blocked = signal_set(status, "\nSigBlk:"),
        .ignored = signal_set(status, "\nSigIgn:"),
    };
    return 0;
}

int
process_status_number(pid_t pid, const char *key, unsigned *number)
{
    char status[STATUS_SIZE], line[64];
    ssize_t length = process_read_file(pid, "status", status, sizeof(status));

    if (length <= 0)
        return length < 0 ? (int)length : -EIO;
    snprintf(line, sizeof(line), "\n%s:", key);
    const char *found = strstr(status, line);
    if (!found || sscanf(found + strlen(line), "%u", number) != 1)
        return -ENODATA;
    return 0;
}

uint64_t
process_signal_bit(int signal_number)
{
    return UINT64_C(1) << (signal_number - 1);
}
