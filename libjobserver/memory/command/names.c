/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How packages and files are called in keys: so that the next version is called the same. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libjobserver/memory/command/private.h"
#include "libjobserver/program/printable.h"

#define SEPARATORS "-_."

uint64_t
hash_bytes(uint64_t hash, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool
is_separator(char c)
{
    return c && strchr(SEPARATORS, c);
}

void
name_plainly(const char *text, char *name, size_t size)
{
    snprintf(name, size, "%s", text);
    make_printable_text(name, size);
}

/* --- packages --- */

/* Digits go, and of the separators that are neighbours then one is left. */
static void
strip_digits(const char *text, size_t length, char name[MEMORY_PACKAGE_SIZE])
{
    size_t to = 0;

    for (size_t i = 0; i < length && to < MEMORY_PACKAGE_SIZE - 1; i++) {
        const char c = text[i];
        if (is_digit(c) || (is_separator(c) && (to == 0 || is_separator(name[to - 1]))))
            continue;
        name[to++] = c;
    }
    name[to] = '\0';
    make_printable_text(name, MEMORY_PACKAGE_SIZE);
    to = strlen(name);
    while (to > 0 && is_separator(name[to - 1]))
        to--;
    name[to] = '\0';
}

/* What is left of "-1.0rc1", and what a build directory adds. */
static void
strip_endings(char *name)
{
    static const char *const endings[] = {"rc", "alpha", "beta", "pre", "r",     "p", "a",
                                          "b",  "v",     "git",  "dev", "build", NULL};

    for (;;) {
        size_t length = strlen(name);
        while (length > 0 && !is_separator(name[length - 1]))
            length--;
        if (length < 2 || !is_one_of(name + length, endings))
            return;
        name[length - 1] = '\0';
    }
}

/* It says nothing of whose directory it is. */
static bool
is_generic(char *name)
{
    static const char *const generic[] = {"",           "build",   "builddir", "_build",
                                          "out",        "obj",     "objs",     "debug",
                                          "release",    "default", "target",   "relwithdebinfo",
                                          "minsizerel", "work",    "src",      "source",
                                          "sources",    "dist",    "tmp",      NULL};

    for (char *c = name; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    return is_one_of(name, generic) || strncmp(name, "build-", strlen("build-")) == 0 ||
           strncmp(name, "cmake-build", strlen("cmake-build")) == 0;
}

void
name_package(const struct memory_place *place, char package[MEMORY_PACKAGE_SIZE])
{
    const char *root = place->root;
    size_t end = strlen(root);

    package[0] = '\0';
    if (place->package) {
        strip_digits(place->package, strlen(place->package), package);
        strip_endings(package);
        return;
    }
    while (end > 0) {
        size_t from = end;
        while (from > 0 && root[from - 1] != '/')
            from--;
        strip_digits(root + from, end - from, package);
        strip_endings(package);
        if (!is_generic(package))
            return;
        end = from > 0 ? from - 1 : 0;
    }
    package[0] = '\0';
}

/* --- files --- */

/* Takes out "//", "/." and "/..". */
static void
normalise(char *path)
{
    char *to = path;
    const char *from = path;

    while (*from == '/') {
        size_t length = strcspn(from + 1, "/");
        if (length == 2 && from[1] == '.' && from[2] == '.') {
            while (to > path && *--to != '/')
                ;
        } else if (length > 0 && !(length == 1 && from[1] == '.')) {
            memmove(to, from, length + 1);
            to += length + 1;
        }
        from += length + 1;
    }
    *to = '\0';
}

/* false: it is too long. */
static bool
join(const char *directory, const char *file, char path[DIRECTORY_SIZE])
{
    int length = *file == '/' ? snprintf(path, DIRECTORY_SIZE, "%s", file)
                              : snprintf(path, DIRECTORY_SIZE, "%s/%s", directory, file);

    if (length < 0 || length >= DIRECTORY_SIZE)
        return false;
    normalise(path);
    return true;
}

void
change_directory(char directory[DIRECTORY_SIZE], const char *to)
{
    char changed[DIRECTORY_SIZE];

    if (join(directory, to, changed))
        memcpy(directory, changed, sizeof(changed));
}

/* Behind the root; of what is elsewhere the last three parts, which do not move with it. */
static const char *
below_root(const char *root, const char *path)
{
    size_t length = strlen(root);
    const char *at = path + strlen(path);

    while (length > 0 && root[length - 1] == '/')
        length--;
    if (strncmp(path, root, length) == 0 && path[length] == '/')
        return path + length + 1;
    for (unsigned parts = 0; at > path; at--)
        if (*at == '/' && ++parts == 3)
            return at + 1;
    return *path == '/' ? path + 1 : path;
}

/* The length of "1.2" or "1.2.3" and so on; 0 if there is none here. A number alone is no version: parts of
 * merged sources are counted so. */
static size_t
version_length(const char *text)
{
    size_t length = 0, dots = 0;

    for (;;) {
        size_t digits = strspn(text + length, "0123456789");
        if (digits == 0)
            return 0;
        length += digits;
        if (text[length] != '.' || !is_digit(text[length + 1]))
            return dots > 0 ? length : 0;
        length++;
        dots++;
    }
}

static void
strip_versions(char *path)
{
    char *to = path;

    for (const char *from = path; *from;) {
        bool is_start = from == path || !is_digit(from[-1]);
        size_t length = is_start ? version_length(from) : 0;
        if (length == 0) {
            *to++ = *from++;
            continue;
        }
        if (to > path && is_separator(to[-1]))
            to--;
        from += length;
    }
    *to = '\0';
}

/* Of one that is too long the end is kept, and told from others by a hash. */
void
name_path(const char *root, const char *directory, const char *file, char path[MEMORY_PATH_SIZE])
{
    char whole[DIRECTORY_SIZE];

    if (!join(directory, file, whole)) {
        size_t length = strnlen(file, DIRECTORY_SIZE - 1);
        memcpy(whole, file, length);
        whole[length] = '\0';
    }
    char *below = whole + (below_root(root, whole) - whole);
    strip_versions(below);
    size_t length = strlen(below);
    if (length < MEMORY_PATH_SIZE) {
        name_plainly(below, path, MEMORY_PATH_SIZE);
        return;
    }
    unsigned hash = (unsigned)hash_bytes(HASH_START, below, length);
    int prefix = snprintf(path, MEMORY_PATH_SIZE, "%08x..", hash);
    name_plainly(printable_begin(below + length - (MEMORY_PATH_SIZE - 1 - (size_t)prefix)),
                 path + prefix, MEMORY_PATH_SIZE - (size_t)prefix);
}
