/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Memory that runs out: the n-th allocation from now on fails, and all that follow, or that one alone. For a test
 * that is linked with --wrap for these functions (meson.build, failing_memory).
 */

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

static struct {
    bool is_armed, fails_once;
    unsigned until_failure;
} failing_memory;

/* n: from 1 on. */
static inline void
failing_memory_begin(unsigned n)
{
    failing_memory.is_armed = true;
    failing_memory.fails_once = false;
    failing_memory.until_failure = n;
}

/* What comes after the n-th is there again. */
static inline void
failing_memory_begin_once(unsigned n)
{
    failing_memory_begin(n);
    failing_memory.fails_once = true;
}

/* true: something has failed. */
static inline bool
failing_memory_end(void)
{
    failing_memory.is_armed = false;
    return failing_memory.until_failure == 0;
}

static bool
has_run_out(void)
{
    if (!failing_memory.is_armed ||
        (failing_memory.fails_once && failing_memory.until_failure == 0))
        return false;
    if (failing_memory.until_failure > 0)
        failing_memory.until_failure--;
    if (failing_memory.until_failure == 0)
        errno = ENOMEM;
    return failing_memory.until_failure == 0;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_reallocarray(void *old, size_t n, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_reallocarray(void *old, size_t n, size_t size);
char *__wrap_strdup(const char *text);
int __wrap_asprintf(char **text, const char *format, ...);
int __wrap___asprintf_chk(char **text, int flag, const char *format, ...);

void *
__wrap_malloc(size_t size)
{
    return has_run_out() ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t n, size_t size)
{
    return has_run_out() ? NULL : __real_calloc(n, size);
}

void *
__wrap_realloc(void *old, size_t size)
{
    return has_run_out() ? NULL : __real_realloc(old, size);
}

void *
__wrap_reallocarray(void *old, size_t n, size_t size)
{
    return has_run_out() ? NULL : __real_reallocarray(old, n, size);
}

char *
__wrap_strdup(const char *text)
{
    return has_run_out() ? NULL : __real_strdup(text);
}

__attribute__((format(printf, 2, 3))) int
__wrap_asprintf(char **text, const char *format, ...)
{
    va_list arguments;

    if (has_run_out())
        return -1;
    va_start(arguments, format);
    int length = vasprintf(text, format, arguments);
    va_end(arguments);
    return length;
}

/* What asprintf() is where _FORTIFY_SOURCE is defined. */
__attribute__((format(printf, 3, 4))) int
__wrap___asprintf_chk(char **text, __attribute__((unused)) int flag, const char *format, ...)
{
    va_list arguments;

    if (has_run_out())
        return -1;
    va_start(arguments, format);
    int length = vasprintf(text, format, arguments);
    va_end(arguments);
    return length;
}
