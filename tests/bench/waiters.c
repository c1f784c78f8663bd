/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * waiters PATH TOKENS WAITERS GRANTS SERVER_PID: WAITERS threads stand in the queue of the jobserver, and
 * each that is granted a token returns it at once, until GRANTS were made. Prints the CPU time of the
 * server for a grant, in ns (from /proc/PID/schedstat), and how many kB the server has grown by.
 */
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STACK_SIZE (32 * 1024)

struct run {
    int fd;
    atomic_long grants_left;
};

static void *
wait_and_return(void *argument)
{
    struct run *run = argument;
    char token;

    do {
        if (read(run->fd, &token, 1) != 1)
            err(1, "read");
        if (write(run->fd, &token, 1) != 1)
            err(1, "write");
    } while (atomic_fetch_sub(&run->grants_left, 1) > 0);
    return NULL;
}

/* Threads of this process that sleep in FUSE's wait for an answer; the first thread does not. */
static long
count_waiting(void)
{
    DIR *tasks = opendir("/proc/self/task");
    long waiting = 0;

    if (!tasks)
        err(1, "/proc/self/task");
    for (struct dirent *entry; (entry = readdir(tasks));) {
        char path[300], state[64] = "";
        snprintf(path, sizeof(path), "/proc/self/task/%s/syscall", entry->d_name);
        FILE *file = fopen(path, "re");
        if (file && fgets(state, sizeof(state), file))
            waiting += strncmp(state, "0 ", 2) == 0; /* read(2) */
        if (file)
            fclose(file);
    }
    closedir(tasks);
    return waiting;
}

static long long
read_number(const char *format, const char *pid)
{
    char path[64];
    long long number = 0;

    snprintf(path, sizeof(path), "/proc/%s/%s", pid, format);
    FILE *file = fopen(path, "re");
    if (!file)
        err(1, "%s", path);
    char line[256];
    while (fgets(line, sizeof(line), file))
        if (sscanf(line, "VmRSS: %lld", &number) == 1 || sscanf(line, "%lld", &number) == 1)
            break;
    fclose(file);
    return number;
}

static void
start_threads(pthread_t *threads, long count, struct run *run)
{
    pthread_attr_t attributes;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    for (long i = 0; i < count; i++)
        if (pthread_create(&threads[i], &attributes, wait_and_return, run) != 0)
            errx(1, "thread %ld cannot be started", i);
    pthread_attr_destroy(&attributes);
}

/* Every token, so that all threads come to wait. */
static void
take_all(int fd, long tokens)
{
    char token;

    for (long i = 0; i < tokens; i++)
        if (read(fd, &token, 1) != 1)
            err(1, "read");
}

int
main(int argc, char **argv)
{
    if (argc != 6)
        errx(2, "usage: waiters PATH TOKENS WAITERS GRANTS SERVER_PID");
    long taken = atol(argv[2]), waiters = atol(argv[3]), grants = atol(argv[4]);
    struct run run = {.fd = open(argv[1], O_RDWR | O_CLOEXEC), .grants_left = grants};
    if (run.fd < 0)
        err(1, "open %s", argv[1]);
    pthread_t *threads = calloc((size_t)waiters, sizeof(*threads));
    if (!threads)
        err(1, "calloc");

    take_all(run.fd, taken);
    long long empty_kb = read_number("status", argv[5]);
    start_threads(threads, waiters, &run);
    while (count_waiting() < waiters)
        usleep(1000);
    long long grown_kb = read_number("status", argv[5]) - empty_kb;

    long long start_ns = read_number("schedstat", argv[5]);
    for (long i = 0; i < taken; i++)
        if (write(run.fd, "+", 1) != 1)
            err(1, "write");
    for (long i = 0; i < waiters; i++)
        pthread_join(threads[i], NULL);
    long long used_ns = read_number("schedstat", argv[5]) - start_ns;
    /* Each thread is granted one more after the last of `grants`. */
    printf("%lld %lld\n", used_ns / (grants + waiters), grown_kb);
    free(threads);
}
