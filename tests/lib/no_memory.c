/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * To be preloaded (LD_PRELOAD): memory runs out. Of programs below the directory NO_MEMORY_BELOW the allocation
 * NO_MEMORY_AT fails, counted from 1, and so do all that follow; with NO_MEMORY_ONCE that one alone. It counts from the
 * start on or, with NO_MEMORY_SINCE, from when the first byte of that file is not 0. A child goes on counting where its
 * parent was. There are no groups: glibc's getgrnam() does not survive it.
 */

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t size);

static struct {
    bool is_armed, fails_once;
    const volatile char *since; /* NULL: the start */
    atomic_ulong until_failure;
} memory;

/* Mapped, since a program may be forbidden to look at files by then. */
static const volatile char *
map(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *bytes = fd < 0 ? MAP_FAILED : mmap(NULL, 1, PROT_READ, MAP_SHARED, fd, 0);

    if (bytes == MAP_FAILED)
        abort();
    close(fd);
    return bytes;
}

/* Not what runs before any of the program's own. */
__attribute__((constructor)) static void
begin(void)
{
    const char *below = getenv("NO_MEMORY_BELOW"), *at = getenv("NO_MEMORY_AT");
    const char *since = getenv("NO_MEMORY_SINCE");
    char program[4096];
    ssize_t length = readlink("/proc/self/exe", program, sizeof(program));

    if (!below || !at || length < (ssize_t)strlen(below) ||
        strncmp(program, below, strlen(below)) != 0)
        return;
    memory.fails_once = getenv("NO_MEMORY_ONCE");
    memory.since = since ? map(since) : NULL;
    memory.until_failure = strtoul(at, NULL, 10);
    memory.is_armed = true;
}

static bool
has_run_out(void)
{
    if (!memory.is_armed || (memory.since && !*memory.since))
        return false;
    if (memory.until_failure > 0 && atomic_fetch_sub(&memory.until_failure, 1) > 1)
        return false;
    memory.is_armed = !memory.fails_once;
    errno = ENOMEM;
    return true;
}

void *
malloc(size_t size)
{
    return has_run_out() ? NULL : __libc_malloc(size);
}

static void *
zeroed(size_t n, size_t size)
{
    return has_run_out() ? NULL : __libc_calloc(n, size);
}

static void *
resized(void *old, size_t size)
{
    return has_run_out() ? NULL : __libc_realloc(old, size);
}

/* The names of parameters that the C library declares are its own, and cannot be used here. */
void *calloc(size_t, size_t) __attribute__((alias("zeroed")));
void *realloc(void *, size_t) __attribute__((alias("resized")));

struct group *
getgrnam(const char *name)
{
    errno = 0;
    return NULL;
}
