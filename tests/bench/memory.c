/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * memory ROUNDS: what it costs that jobs wait for memory, in ns of processor time and the median of so many
 * rounds, a figure a line: to look at the memory of a job of four processes, and to decide who may start
 * when sixteen jobs run and none, ten or a thousand wait that do not fit.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libjobserver/memory/admission.h"
#include "libjobserver/process.h"
#include "libjobserver/program/clock.h"

#define WAITING_MAX 1000
#define RUNNING 16
#define PROCESSES 4
#define TIMES 200
#define MIB (UINT64_C(1) << 20)

static int
compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;

    return (a > b) - (a < b);
}

static void
print_median(const char *name, double *costs_ns, int rounds)
{
    qsort(costs_ns, (size_t)rounds, sizeof(*costs_ns), compare);
    printf("%.1f %s\n", costs_ns[rounds / 2], name);
}

/* Each the parent of the next, and ends with its own; the last one says that it is there. */
static _Noreturn void
be_tree(int ready_fd)
{
    pid_t child = 0;

    for (int depth = 1; child == 0; depth++) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        child = depth < PROCESSES ? fork() : -1;
    }
    if (child > 0 || write(ready_fd, "", 1) == 1)
        pause();
    _exit(0);
}

/* Returns the pid of the first. */
static pid_t
start_tree(void)
{
    int ends[2];
    char byte;
    pid_t first = pipe(ends) < 0 ? -1 : fork();

    if (first == 0)
        be_tree(ends[1]);
    if (first < 0 || read(ends[0], &byte, 1) != 1)
        exit(1);
    return first;
}

static void
bench_sample(double *costs_ns, int rounds)
{
    pid_t first = start_tree();

    for (int round = 0; round < rounds; round++) {
        const int64_t began_ns = clock_spent_ns();
        for (int i = 0; i < TIMES; i++)
            if (process_tree_memory(first) == 0)
                exit(1);
        costs_ns[round] = (double)(clock_spent_ns() - began_ns) / TIMES;
    }
    kill(first, SIGKILL); /* and so all */
    waitpid(first, NULL, 0);
    print_median("sample", costs_ns, rounds);
}

static void
bench_admission(int waiting, double *costs_ns, int rounds)
{
    static struct memory_job jobs[RUNNING + WAITING_MAX];
    struct memory_admission admission;
    const struct memory_moment moment = {.available_bytes = 1000 * MIB, .total_bytes = 16000 * MIB};
    char name[32];

    memset(jobs, 0, sizeof(jobs));
    memory_admission_init(&admission);
    for (int i = 0; i < RUNNING + waiting; i++) {
        jobs[i].expected_bytes = 900 * MIB;
        memory_add(&admission, &jobs[i]);
        if (i < RUNNING)
            memory_started(&admission, &jobs[i], 0);
        if (i < RUNNING)
            memory_sample(&jobs[i], 800 * MIB, MEMORY_DEATH_NS);
    }
    for (int round = 0; round < rounds; round++) {
        const int64_t began_ns = clock_spent_ns();
        for (int i = 0; i < TIMES; i++)
            if (memory_next(&admission, &moment).action != MEMORY_REST)
                exit(1);
        costs_ns[round] = (double)(clock_spent_ns() - began_ns) / TIMES;
    }
    snprintf(name, sizeof(name), "admission %d", waiting);
    print_median(name, costs_ns, rounds);
}

int
main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 0;
    double *costs_ns = rounds > 0 ? calloc((size_t)rounds, sizeof(*costs_ns)) : NULL;

    if (!costs_ns)
        return 2;
    bench_sample(costs_ns, rounds);
    bench_admission(0, costs_ns, rounds);
    bench_admission(10, costs_ns, rounds);
    bench_admission(WAITING_MAX, costs_ns, rounds);
    free(costs_ns);
    return 0;
}
