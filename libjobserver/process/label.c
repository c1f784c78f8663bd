/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a build is called: its command without what stands before it, and where it works. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libjobserver/process.h"
#include "libjobserver/process/private.h"
#include "libjobserver/program/clock.h"
#include "libjobserver/program/descriptors.h"
#include "libjobserver/program/printable.h"

/* execve(2) takes 6 MiB; a process can claim more for itself. */
#define LINE_MAX_SIZE ((size_t)8 << 20)
#define READ_SIZE 4096u

/* --- the command behind the wrapper --- */

static const char *const of_jobwrap[] = {"jobs",         "parent",
                                         "weight",       "min-memory-avail",
                                         "load-average", "load-recheck-timeout",
                                         "style",        "implicit",
                                         "memory",       "trace",
                                         "group",        "class",
                                         "class-rules",  NULL};
static const char *const of_jobgate[] = {"class-rules", "jobs-of", "jobserver", "implicit",
                                         "gate",        "memory",  "program",   NULL};

static const struct wrapper {
    const char *name;
    const char *letters;      /* the options that take a value: "-j N" */
    const char *const *words; /* "--jobs N" */
} wrappers[] = {{"jobwrap", "j", of_jobwrap}, {"jobgate", "", of_jobgate}};

static const struct wrapper *
find_wrapper(const char *program)
{
    const char *slash = strrchr(program, '/'), *name = slash ? slash + 1 : program;

    for (size_t i = 0; i < sizeof(wrappers) / sizeof(wrappers[0]); i++)
        if (strcmp(name, wrappers[i].name) == 0)
            return &wrappers[i];
    return NULL;
}

static bool
begins_with(const char *word, const char *beginning)
{
    while (*beginning && *word == *beginning) {
        word++;
        beginning++;
    }
    return *beginning == '\0';
}

/* Is the next word the option's value? */
static bool
takes_next(const struct wrapper *wrapper, const char *option)
{
    if (option[1] != '-') {
        const char *letter = option + 1 + strcspn(option + 1, wrapper->letters);
        return letter[0] && !letter[1];
    }
    /* Long ones may be cut, or have their value behind '=', which is part of no name. */
    for (const char *const *word = wrapper->words; *word; word++)
        if (begins_with(*word, option + 2))
            return true;
    return false;
}

static const char *
skip_word(const char *word, const char *end)
{
    return word < end ? word + strlen(word) + 1 : end;
}

static const char *
skip_options(const struct wrapper *wrapper, const char *word, const char *end)
{
    while (word < end && word[0] == '-' && word[1]) {
        bool is_last = strcmp(word, "--") == 0, has_value = takes_next(wrapper, word);
        word = skip_word(word, end);
        if (is_last)
            break;
        if (has_value)
            word = skip_word(word, end);
    }
    return word;
}

/* The words of the line end in NULs. A jobwrap may run a jobgate, and a wrapper alone stays. */
static const char *
find_command(const char *line, const char *end)
{
    const struct wrapper *wrapper;

    while ((wrapper = find_wrapper(line))) {
        const char *command = skip_options(wrapper, skip_word(line, end), end);
        if (command >= end)
            break;
        line = command;
    }
    return line;
}

/* --- the command line, which may block --- */

static _Noreturn void
send_line(pid_t pid, int fd)
{
    char text[READ_SIZE];
    ssize_t length;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setsid(); /* it is no job of a session that somebody counts */
    /* Nobody's pipe shall stay open, nor a mount stay busy, for as long as we are blocked. */
    if (dup2(fd, 0) < 0 || chdir("/") < 0)
        _exit(1);
    descriptors_close_from(1);
    int line = process_open_file(pid, "cmdline", O_RDONLY);
    while (line >= 0 && (length = read(line, text, sizeof(text))) > 0)
        if (write(0, text, (size_t)length) != length)
            break;
    _exit(0);
}

/* As fork(2), but of the child's end nobody hears, and a wait for all children passes over it. */
static pid_t
fork_unseen(void)
{
    return (pid_t)syscall(SYS_clone, 0L, NULL, NULL, NULL, NULL);
}

/* Appends what comes until the end: 1; 0: not in time. `line` has room for one byte more. */
static int
receive_line(int fd, int64_t deadline_ns, char **line, size_t *length)
{
    struct pollfd polled = {.fd = fd, .events = POLLIN};

    while (*length < LINE_MAX_SIZE) {
        int64_t left_ms = (deadline_ns - clock_now_ns() + NS_PER_MS - 1) / NS_PER_MS;
        char *larger = realloc(*line, *length + READ_SIZE + 1);
        if (!larger)
            return -ENOMEM;
        *line = larger;
        int ready = poll(&polled, 1, left_ms > 0 ? (int)left_ms : 0);
        if (ready == 0)
            return 0;
        ssize_t received = ready < 0 ? -1 : read(fd, *line + *length, READ_SIZE);
        if (received < 0 && errno != EINTR)
            return -errno;
        if (received == 0)
            return 1;
        *length += received > 0 ? (size_t)received : 0;
    }
    return 1;
}

/* One that was killed when the time was over may have ended since. Our other children signal their end,
 * and are not waited for here; who traces others would need another way. */
static void
reap_readers(void)
{
    while (waitpid(-1, NULL, __WCLONE | WNOHANG) > 0)
        ;
}

/* As receive_line(). */
static int
read_line(pid_t pid, int patience_ms, char **line, size_t *length)
{
    int64_t deadline_ns = clock_now_ns() + patience_ms * NS_PER_MS;
    int ends[2];

    reap_readers();
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    pid_t reader = fork_unseen();
    if (reader == 0)
        send_line(pid, ends[1]);
    int result = reader < 0 ? -errno : 0;
    close(ends[1]);
    if (reader > 0) {
        result = receive_line(ends[0], deadline_ns, line, length);
        kill(reader, SIGKILL);
        waitpid(reader, NULL, result == 1 ? __WALL : __WALL | WNOHANG);
    }
    close(ends[0]);
    return result;
}

/* --- the label --- */

/* At most half of the time that is left is for one process: the next may let itself be read. */
static int
read_line_in_time(pid_t pid, int *patience_ms, char **line, size_t *length)
{
    int64_t began_ns = clock_now_ns();
    int result = *patience_ms > 1 ? read_line(pid, *patience_ms / 2, line, length) : 0;

    *patience_ms -= (int)((clock_now_ns() - began_ns) / NS_PER_MS);
    return result;
}

static char *
command_of(const struct process_info *info, int *patience_ms)
{
    char *line = NULL, *name = NULL;
    size_t length = 0;

    int result = read_line_in_time(info->pid, patience_ms, &line, &length);
    while (length > 0 && line[length - 1] == '\0')
        length--;
    if (result == 1 && length > 0) {
        line[length] = '\0';
        const char *command = find_command(line, line + length);
        length -= (size_t)(command - line);
        memmove(line, command, length);
        line[length] = '\0';
        make_printable(line, length);
        return line;
    }
    free(line);
    return asprintf(&name, "(%s)", info->name) < 0 ? NULL : name;
}

static char *
directory_of(pid_t pid)
{
    char directory[PATH_MAX] = "";

    process_directory(pid, directory, sizeof(directory));
    make_printable_text(directory, sizeof(directory));
    return strdup(directory);
}

int
process_label(pid_t pid, uint64_t start_ticks, int *patience_ms, struct process_label *label)
{
    struct process_info info;
    int error = process_info(pid, &info);

    *label = (struct process_label){0};
    if (error == 0 && start_ticks != 0 && info.start_ticks != start_ticks)
        error = -ESRCH;
    if (error < 0)
        return error;
    label->command = command_of(&info, patience_ms);
    label->directory = directory_of(pid);
    label->is_stopped = info.state == 'T';
    if (label->command && label->directory)
        return 0;
    process_label_clear(label);
    return -ENOMEM;
}

void
process_label_clear(struct process_label *label)
{
    free(label->command);
    free(label->directory);
    *label = (struct process_label){0};
}

/* How much of the path stands for ~. */
static size_t
length_of_home(const char *path)
{
    const char *home = getenv("HOME");
    size_t length = home ? strlen(home) : 0;

    while (length > 0 && home[length - 1] == '/')
        length--;
    bool is_below = length > 0 && strncmp(path, home, length) == 0 &&
                    (path[length] == '/' || path[length] == '\0');
    return is_below ? length : 0;
}

char *
process_label_text(const struct process_label *label, int command_max)
{
    size_t home = length_of_home(label->directory);
    bool is_cut = strlen(label->command) > (size_t)command_max;
    size_t shown =
        is_cut ? printable_cut(label->command, (size_t)command_max) : (size_t)command_max;
    char *text;

    if (asprintf(&text, "%.*s%s%s%s%s", (int)shown, label->command, is_cut ? "..." : "",
                 label->directory[0] ? " in " : "", home ? "~" : "", label->directory + home) < 0)
        return NULL;
    return text;
}
