/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stamp: a job that leaves proof of when it ran, so that concurrency is asserted and not guessed.
 *
 *     stamp LOG NAME SECONDS             runs for so long
 *     stamp LOG NAME -- COMMAND...       runs the command and exits with its status
 *     stamp --living LOG                 prints how many jobs live now that have written their start
 *
 * Each line of LOG is one write(2) with O_APPEND, times are nanoseconds of CLOCK_MONOTONIC:
 *     start NAME PID NS LIVING
 *     end NAME PID NS
 *
 * A job that is killed writes no `end`. So each also holds a lock on one byte of LOG, far behind its
 * text, which the kernel drops when the process dies, before its parent can know that it died: LIVING
 * is the number of such locks, its own included, when it began. As any peak of concurrency begins
 * with a start, the largest LIVING is the peak, whoever was killed. The lock is one of the open file
 * description, so that a command lives on in it when only its stamp is killed. A second one, SLOTS
 * bytes behind, follows the line: who waits for so many living jobs finds their lines in LOG.
 *
 * With STAMP_MEET=N in its environment, a job goes on when N of the log have lived at once, or MEET_MS
 * after the first has begun. So the peak is what the jobserver allows, however slow the machine is.
 *
 * With STAMP_BURNS in it, a job of so many seconds keeps a CPU busy instead of sleeping.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SLOTS 256
#define MEET_MS 20000
#define FIRST_SLOT ((off_t)1 << 40) /* no log grows so long */

static void
die(const char *operation, const char *thing)
{
    fprintf(stderr, "stamp: %s %s: %s\n", operation, thing, strerror(errno));
    exit(125);
}

static struct flock
slot_lock(int slot, short type)
{
    return (struct flock){
        .l_type = type, .l_whence = SEEK_SET, .l_start = FIRST_SLOT + slot, .l_len = 1};
}

/* Jobs other than ours; `first` is 0, or SLOTS for those that have written their start. */
static int
count_locks(int log, const char *path, int first)
{
    int n = 0;

    for (int slot = 0; slot < SLOTS; slot++) {
        struct flock lock = slot_lock(first + slot, F_WRLCK);

        if (fcntl(log, F_OFD_GETLK, &lock) == -1)
            die("F_OFD_GETLK", path);
        if (lock.l_type != F_UNLCK)
            n++;
    }
    return n;
}

/* Which one. */
static int
take_slot(int log, const char *path)
{
    for (int slot = 0; slot < SLOTS; slot++) {
        struct flock lock = slot_lock(slot, F_WRLCK);

        if (fcntl(log, F_OFD_SETLK, &lock) == 0)
            return slot;
        if (errno != EAGAIN && errno != EACCES)
            die("F_OFD_SETLK", path);
    }
    fprintf(stderr, "stamp: %s: more than %d jobs at once\n", path, SLOTS);
    exit(125);
}

static void
show_start(int log, const char *path, int slot)
{
    struct flock lock = slot_lock(SLOTS + slot, F_WRLCK);

    if (fcntl(log, F_OFD_SETLK, &lock) == -1)
        die("F_OFD_SETLK", path);
}

/* What a command leaves behind has inherited the lock; the job has ended all the same. */
static void
drop_slot(int log)
{
    struct flock lock = {
        .l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = FIRST_SLOT, .l_len = 2 * SLOTS};

    fcntl(log, F_OFD_SETLK, &lock);
}

static int64_t
now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void
append(int log, const char *path, const char *line, int length)
{
    if (length < 0 || length >= PIPE_BUF || write(log, line, (size_t)length) != length)
        die("write", path);
}

static void
write_start(int log, const char *path, const char *name)
{
    char line[PIPE_BUF];
    int living = count_locks(log, path, 0) + 1;

    append(log, path, line,
           snprintf(line, sizeof line, "start %s %d %" PRId64 " %d\n", name, (int)getpid(),
                    now_ns(), living));
}

static void
write_end(int log, const char *path, const char *name)
{
    char line[PIPE_BUF];

    append(log, path, line,
           snprintf(line, sizeof line, "end %s %d %" PRId64 "\n", name, (int)getpid(), now_ns()));
}

/* How long a job still waits for others; 0: `wanted` have lived at once, or it has waited enough. */
static int
ms_to_wait(const char *path, int wanted)
{
    char line[PIPE_BUF];
    int64_t first_ns = 0, start_ns;
    int living = 0;
    FILE *log = fopen(path, "re");

    if (!log)
        die("open", path);
    while (living < wanted && fgets(line, sizeof line, log)) {
        if (sscanf(line, "start %*s %*d %" SCNd64 " %d", &start_ns, &living) == 2 && !first_ns)
            first_ns = start_ns;
    }
    fclose(log);
    int64_t left_ms = MEET_MS - (now_ns() - first_ns) / 1000000;
    return living >= wanted || left_ms <= 0 ? 0 : (int)left_ms;
}

static void
meet(const char *path)
{
    const char *text = getenv("STAMP_MEET");
    int wanted = text ? atoi(text) : 0, left_ms;
    struct inotify_event event; /* has no name: it is a file that is watched */

    if (wanted <= 1)
        return;
    struct pollfd log = {.fd = inotify_init1(IN_CLOEXEC), .events = POLLIN};
    if (log.fd == -1 || inotify_add_watch(log.fd, path, IN_MODIFY) == -1)
        die("watch", path);
    while ((left_ms = ms_to_wait(path, wanted)) > 0)
        if (poll(&log, 1, left_ms) > 0 && read(log.fd, &event, sizeof event) == -1)
            die("read from the watch of", path);
    close(log.fd);
}

static int
run_command(char **command)
{
    int status;
    pid_t pid = fork();

    if (pid == -1)
        die("fork for", command[0]);
    if (pid == 0) {
        execvp(command[0], command);
        fprintf(stderr, "stamp: exec %s: %s\n", command[0], strerror(errno));
        _exit(errno == ENOENT ? 127 : 126);
    }
    while (waitpid(pid, &status, 0) == -1) {
        if (errno != EINTR)
            die("wait for", command[0]);
    }
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void
pass_time(struct timespec left)
{
    const int64_t end_ns = now_ns() + (int64_t)left.tv_sec * 1000000000 + left.tv_nsec;

    if (getenv("STAMP_BURNS")) {
        while (now_ns() < end_ns)
            continue;
        return;
    }
    while (nanosleep(&left, &left) == -1 && errno == EINTR)
        continue;
}

static bool
parse_seconds(const char *text, struct timespec *duration)
{
    char *end;
    double seconds = strtod(text, &end);

    if (end == text || *end != '\0' || !(seconds >= 0 && seconds <= 86400))
        return false;
    duration->tv_sec = (time_t)seconds;
    duration->tv_nsec = (long)((seconds - (double)duration->tv_sec) * 1e9);
    return true;
}

static int
usage(void)
{
    fputs("usage: stamp LOG NAME SECONDS | stamp LOG NAME -- COMMAND... | stamp --living LOG\n",
          stderr);
    return 2;
}

static int
open_log(const char *path)
{
    /* Inherited by the command on purpose: see above. */
    int log = open(path, O_RDWR | O_APPEND | O_CREAT, 0666);

    if (log == -1)
        die("open", path);
    return log;
}

static int
print_living(const char *path)
{
    printf("%d\n", count_locks(open_log(path), path, SLOTS));
    return 0;
}

int
main(int argc, char **argv)
{
    struct timespec left = {0};
    bool command = argc > 4 && strcmp(argv[3], "--") == 0;
    int log, status = 0;

    if (argc == 3 && strcmp(argv[1], "--living") == 0)
        return print_living(argv[2]);
    if (!command && (argc != 4 || !parse_seconds(argv[3], &left)))
        return usage();

    log = open_log(argv[1]);
    int slot = take_slot(log, argv[1]);
    write_start(log, argv[1], argv[2]);
    show_start(log, argv[1], slot);
    meet(argv[1]);
    if (command)
        status = run_command(argv + 4);
    else
        pass_time(left);
    write_end(log, argv[1], argv[2]);
    drop_slot(log);
    return status;
}
