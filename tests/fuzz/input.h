/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* An input, taken apart from its beginning on. At its end all that comes is zero. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What libFuzzer calls, and replay.c. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold, whatever comes. */
#define ALWAYS(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);              \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct input {
    const uint8_t *at;
    size_t left;
};

static inline void
input_bytes(struct input *input, void *to, size_t size)
{
    size_t got = size < input->left ? size : input->left;

    memset(to, 0, size);
    if (got > 0)
        memcpy(to, input->at, got);
    input->at += got;
    input->left -= got;
}

static inline uint8_t
input_byte(struct input *input)
{
    uint8_t byte;

    input_bytes(input, &byte, 1);
    return byte;
}

/* One of 0 to `limit` - 1. */
static inline unsigned
input_below(struct input *input, unsigned limit)
{
    return input_byte(input) % limit;
}

/* The words of a command line, each up to a NUL: at most `max`, with a NULL behind the last. *text is what
 * they lie in. Both are to be freed. */
static inline char **
input_words(struct input *input, size_t max, int *count, char **text)
{
    char **words = calloc(max + 1, sizeof(*words));
    size_t size = input->left;

    *text = malloc(size + 1);
    ALWAYS(words && *text);
    input_bytes(input, *text, size);
    (*text)[size] = '\0';
    *count = 0;
    for (size_t at = 0; at < size && (size_t)*count < max; at += strlen(*text + at) + 1)
        words[(*count)++] = *text + at;
    return words;
}
