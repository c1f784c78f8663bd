/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * cycle ROUNDS CYCLES PATH [PATH]: acquires and releases a token CYCLES times on each jobserver in
 * turn, ROUNDS times over, so that other load on the machine falls on both alike. Prints the median
 * over the rounds, in ns per cycle, a line a path.
 */
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/median.h"

#define PATHS_MAX 2

static int64_t
now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static int64_t
measure(int fd, const char *path, long cycles)
{
    int64_t start_ns = now_ns();

    for (long i = 0; i < cycles; i++) {
        char token;
        if (read(fd, &token, 1) != 1)
            err(1, "read %s", path);
        if (write(fd, &token, 1) != 1)
            err(1, "write %s", path);
    }
    return (now_ns() - start_ns) / cycles;
}

int
main(int argc, char **argv)
{
    long rounds = argc > 3 ? atol(argv[1]) : 0, cycles = argc > 3 ? atol(argv[2]) : 0;
    int paths = argc - 3, fds[PATHS_MAX];

    if (rounds < 1 || cycles < 1 || paths > PATHS_MAX)
        errx(2, "usage: cycle ROUNDS CYCLES PATH [PATH]");
    int64_t *taken_ns = calloc((size_t)(rounds * paths), sizeof(*taken_ns));
    if (!taken_ns)
        err(1, "calloc");
    for (int i = 0; i < paths; i++) {
        fds[i] = open(argv[3 + i], O_RDWR | O_CLOEXEC);
        if (fds[i] < 0)
            err(1, "open %s", argv[3 + i]);
        measure(fds[i], argv[3 + i], cycles);
    }
    for (long round = 0; round < rounds; round++)
        for (int i = 0; i < paths; i++)
            taken_ns[i * rounds + round] = measure(fds[i], argv[3 + i], cycles);
    for (int i = 0; i < paths; i++)
        printf("%lld %s\n", (long long)median(taken_ns + i * rounds, rounds), argv[3 + i]);
    free(taken_ns);
}
