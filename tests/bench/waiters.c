/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * waiters PATH WAITERS GRANTS SERVER_PID: WAITERS threads stand in the queue of the jobserver, and
 * each that is granted a token returns it at once, until GRANTS were made. Prints the CPU time of the
 * server for a grant, in ns (from /proc/PID/schedstat), and how many kB the server has grown by.
 */
#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <protocol.h>
#include <sys/ioctl.h>

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

static unsigned
count_waiting(int fd)
{
    struct steved_status status;

    if (ioctl(fd, STEVED_IOC_STATUS, &status) < 0)
        err(1, "ioctl");
    return status.waiting;
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

/* Takes every token, so that all threads come to wait; returns how many. */
static long
take_all(int fd)
{
    struct steved_status status;
    char token;

    if (ioctl(fd, STEVED_IOC_STATUS, &status) < 0)
        err(1, "ioctl");
    for (unsigned i = 0; i < status.jobs; i++)
        if (read(fd, &token, 1) != 1)
            err(1, "read");
    return status.jobs;
}

int
main(int argc, char **argv)
{
    if (argc != 5)
        errx(2, "usage: waiters PATH WAITERS GRANTS SERVER_PID");
    long waiters = atol(argv[2]), grants = atol(argv[3]);
    struct run run = {.fd = open(argv[1], O_RDWR | O_CLOEXEC), .grants_left = grants};
    if (run.fd < 0)
        err(1, "open %s", argv[1]);
    pthread_t *threads = calloc((size_t)waiters, sizeof(*threads));
    if (!threads)
        err(1, "calloc");

    long taken = take_all(run.fd);
    long long empty_kb = read_number("status", argv[4]);
    start_threads(threads, waiters, &run);
    while (count_waiting(run.fd) < (unsigned long)waiters)
        usleep(1000);
    long long grown_kb = read_number("status", argv[4]) - empty_kb;

    long long start_ns = read_number("schedstat", argv[4]);
    for (long i = 0; i < taken; i++)
        if (write(run.fd, "+", 1) != 1)
            err(1, "write");
    for (long i = 0; i < waiters; i++)
        pthread_join(threads[i], NULL);
    long long used_ns = read_number("schedstat", argv[4]) - start_ns;
    /* Each thread is granted one more after the last of `grants`. */
    printf("%lld %lld\n", used_ns / (grants + waiters), grown_kb);
    free(threads);
}
