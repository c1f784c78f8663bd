/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * To be preloaded (LD_PRELOAD): memory runs out. Of programs below the directory NO_MEMORY_BELOW the allocation
 * NO_MEMORY_AT fails, counted from 1, and so do all that follow; with NO_MEMORY_ONCE that one alone. A child goes on
 * counting where its parent was. There are no groups: glibc's getgrnam() does not survive it.
 */

#include <errno.h>
#include <grp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t size);

static struct {
    bool is_armed, fails_once;
    atomic_ulong until_failure;
} memory;

/* Not what runs before any of the program's own. */
__attribute__((constructor)) static void
begin(void)
{
    const char *below = getenv("NO_MEMORY_BELOW"), *at = getenv("NO_MEMORY_AT");
    char program[4096];
    ssize_t length = readlink("/proc/self/exe", program, sizeof(program));

    if (!below || !at || length < (ssize_t)strlen(below) ||
        strncmp(program, below, strlen(below)) != 0)
        return;
    memory.fails_once = getenv("NO_MEMORY_ONCE");
    memory.until_failure = strtoul(at, NULL, 10);
    memory.is_armed = true;
}

static bool
has_run_out(void)
{
    if (!memory.is_armed)
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
