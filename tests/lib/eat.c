/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A compiler that needs memory and compiles nothing; it is called by a link with a compiler's name:
 *
 *     cc [-DMIB=N] [-DMS=N] [-DHOLD_MS=N] [-DCPU_MS=N] [-DLINE=FILE] [-DSTATUS=N] [-DSIGNAL=N] [-DTEMPORARY]
 *        [-DCOPY] -c FILE -o FILE
 *
 * It grows to so many MiB evenly within so many milliseconds, waits for so many and computes for so many more, waits
 * for a line from FILE, writes its output, and exits with the status, or by the signal. In $LOG stands `start FILE PID TIME_NS` then, and
 * `end FILE PID TIME_NS`. With TEMPORARY it has a file open as g++ has, $TMPDIR/cc??????.s. With COPY it fails unless a
 * shell has forked it, and has not become it as in `exec cc`: then it is what a gate has run instead of that shell.
 * On a machine where all else is slow, $EAT_SLOWER says how many times longer it grows and waits.
 */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)

struct job {
    size_t mib;
    long ms, hold_ms;
    clock_t cpu_ms;
    int status, signal_number;
    const char *output, *line;
    char temporary[PATH_MAX];
};

static _Noreturn void
fail(const char *what)
{
    perror(what);
    exit(99);
}

static void
make_temporary(struct job *job)
{
    const char *directory = getenv("TMPDIR");

    snprintf(job->temporary, sizeof(job->temporary), "%s/ccXXXXXX.s",
             directory ? directory : "/tmp");
    if (mkostemps(job->temporary, 2, O_CLOEXEC) < 0)
        fail(job->temporary);
}

static void
expect_copy(void)
{
    char path[64], name[8] = "";

    snprintf(path, sizeof(path), "/proc/%d/comm", (int)getppid());
    FILE *file = fopen(path, "re");
    if (!file || !fgets(name, sizeof(name), file) || strcmp(name, "sh\n") != 0)
        fail(path);
    fclose(file);
}

static void
read_arguments(struct job *job, char **argv)
{
    for (char **word = argv + 1; *word; word++) {
        if (strncmp(*word, "-DMIB=", 6) == 0)
            job->mib = strtoul(*word + 6, NULL, 10);
        else if (strncmp(*word, "-DMS=", 5) == 0)
            job->ms = strtol(*word + 5, NULL, 10);
        else if (strncmp(*word, "-DSTATUS=", 9) == 0)
            job->status = atoi(*word + 9);
        else if (strncmp(*word, "-DHOLD_MS=", 10) == 0)
            job->hold_ms = atol(*word + 10);
        else if (strncmp(*word, "-DSIGNAL=", 9) == 0)
            job->signal_number = atoi(*word + 9);
        else if (strncmp(*word, "-DCPU_MS=", 9) == 0)
            job->cpu_ms = atol(*word + 9);
        else if (strncmp(*word, "-DLINE=", 7) == 0)
            job->line = *word + 7;
        else if (strcmp(*word, "-DCOPY") == 0)
            expect_copy();
        else if (strcmp(*word, "-DTEMPORARY") == 0)
            make_temporary(job);
        else if (strcmp(*word, "-o") == 0 && word[1])
            job->output = *++word;
    }
}

static void
slow_down(struct job *job)
{
    const char *times = getenv("EAT_SLOWER");

    if (!times)
        return;
    job->ms *= atol(times);
    job->hold_ms *= atol(times);
    job->cpu_ms *= atol(times);
}

static void
append(const char *what, const struct job *job)
{
    const char *path = getenv("LOG");
    char line[256];
    int fd = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666) : -1;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int length = snprintf(line, sizeof(line), "%s %s %d %lld%09ld\n", what, job->output,
                          (int)getpid(), (long long)now.tv_sec, now.tv_nsec);

    if (fd >= 0 && write(fd, line, (size_t)length) < 0)
        fail(path);
    if (fd >= 0)
        close(fd);
}

static void
wait_ns(long ns)
{
    const struct timespec interval = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};

    nanosleep(&interval, NULL);
}

static void
grow(const struct job *job)
{
    if (job->mib == 0) {
        wait_ns(job->ms * 1000000);
        return;
    }
    const long step_ns = job->ms * 1000000 / (long)job->mib;
    char *memory =
        mmap(NULL, job->mib * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        fail("mmap");
    for (size_t i = 0; i < job->mib; i++) {
        memset(memory + i * MIB, (int)i + 1, MIB);
        wait_ns(step_ns);
    }
}

/* And no more than that, which is for others. */
static void
read_line(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char byte = 0;

    while (byte != '\n')
        if (fd < 0 || read(fd, &byte, 1) != 1)
            fail(path);
    close(fd);
}

int
main(int argc, char **argv)
{
    struct job job = {.output = "-"};

    read_arguments(&job, argv);
    slow_down(&job);
    append("start", &job);
    grow(&job);
    wait_ns(job.hold_ms * 1000000);
    while (clock() / (CLOCKS_PER_SEC / 1000) < job.cpu_ms)
        continue;
    if (job.line)
        read_line(job.line);
    if (job.status == 0 && strcmp(job.output, "-") != 0) {
        int fd = open(job.output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        if (fd < 0 || write(fd, "x\n", 2) < 0)
            fail(job.output);
        close(fd);
    }
    if (*job.temporary)
        unlink(job.temporary);
    append("end", &job);
    if (job.signal_number)
        raise(job.signal_number);
    return job.status;
}
