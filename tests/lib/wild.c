/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * wild: starts jobs as badly as a program can, for who traces it.
 *
 *     wild spawn ROUNDS JOB...      four threads, each of which starts so many by posix_spawn(3)
 *     wild kill ROUNDS JOB...       the same by fork(2), and kills each at a random moment, before it
 *                                   executes the job or after
 *     wild exec ROUNDS JOB...       three threads fork; a fourth executes this program again, so often
 *     wild thread ROUNDS JOB...     forks children in each of which another thread executes the job
 *     wild loop ROUNDS JOB...       forks so many, waits for none and is killed
 */

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 4

struct wild {
    char **argv;
    unsigned rounds;
    char **job;
    sem_t forked; /* posted for each child of fork_for_ever() */
};

static _Noreturn void
become_job(const struct wild *wild)
{
    execvp(wild->job[0], wild->job);
    _exit(127);
}

static void
reap(pid_t pid)
{
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
}

/* By vfork(2), in the C library. */
static pid_t
spawn_job(const struct wild *wild)
{
    pid_t pid;

    return posix_spawnp(&pid, wild->job[0], NULL, NULL, wild->job, environ) == 0 ? pid : -1;
}

static void *
spawn_jobs(void *argument)
{
    const struct wild *wild = argument;

    for (unsigned i = 0; i < wild->rounds; i++)
        reap(spawn_job(wild));
    return NULL;
}

static void *
kill_jobs(void *argument)
{
    const struct wild *wild = argument;
    unsigned seed = (unsigned)(uintptr_t)&seed;

    for (unsigned i = 0; i < wild->rounds; i++) {
        pid_t pid = fork();
        if (pid == 0)
            become_job(wild);
        for (volatile int turns = rand_r(&seed) % 300000; turns > 0; turns--)
            continue;
        if (pid > 0)
            kill(pid, SIGKILL);
        reap(pid);
    }
    return NULL;
}

static void *
fork_for_ever(void *argument)
{
    struct wild *wild = argument;

    for (;;) {
        pid_t pid = fork();
        if (pid == 0)
            become_job(wild);
        sem_post(&wild->forked);
        reap(pid);
    }
}

static void *
execute_again(void *argument)
{
    struct wild *wild = argument;
    char rounds[sizeof("4294967295")];

    if (wild->rounds == 0)
        exit(0);
    for (int i = 0; i < 2 * THREADS; i++)
        sem_wait(&wild->forked);
    snprintf(rounds, sizeof(rounds), "%u", wild->rounds - 1);
    wild->argv[2] = rounds;
    execvp(wild->argv[0], wild->argv);
    exit(127);
}

static void *
execute_job(void *argument)
{
    become_job(argument);
}

static void
start_thread(void *(*function)(void *), struct wild *wild, pthread_t *thread)
{
    if (pthread_create(thread, NULL, function, wild) != 0)
        exit(126);
}

static void
execute_while_forking(struct wild *wild)
{
    pthread_t thread;

    sem_init(&wild->forked, 0, 0);
    for (int i = 1; i < THREADS; i++)
        start_thread(fork_for_ever, wild, &thread);
    start_thread(execute_again, wild, &thread);
    for (;;)
        pause();
}

static void
execute_in_threads(struct wild *wild)
{
    pthread_t thread;

    for (unsigned i = 0; i < wild->rounds; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            start_thread(execute_job, wild, &thread);
            for (;;)
                pause();
        }
        reap(pid);
    }
}

static void
in_threads(void *(*function)(void *), struct wild *wild)
{
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        start_thread(function, wild, &threads[i]);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static void
fork_and_leave(const struct wild *wild)
{
    for (unsigned i = 0; i < wild->rounds; i++)
        if (fork() == 0)
            become_job(wild);
    for (;;)
        pause();
}

int
main(int argc, char **argv)
{
    struct wild wild = {.argv = argv, .job = argv + 3};
    const char *how = argc > 3 ? argv[1] : "";

    if (argc > 3)
        wild.rounds = (unsigned)atoi(argv[2]);
    if (strcmp(how, "spawn") == 0)
        in_threads(spawn_jobs, &wild);
    else if (strcmp(how, "kill") == 0)
        in_threads(kill_jobs, &wild);
    else if (strcmp(how, "exec") == 0)
        execute_while_forking(&wild);
    else if (strcmp(how, "thread") == 0)
        execute_in_threads(&wild);
    else if (strcmp(how, "loop") == 0)
        fork_and_leave(&wild);
    else {
        fputs("usage: wild spawn|kill|exec|thread|loop ROUNDS JOB...\n", stderr);
        return 2;
    }
    return 0;
}
