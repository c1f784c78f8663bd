/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/program/printable.h"

#include <stdbool.h>
#include <string.h>

#define CHARACTER_SIZE 4u

static bool
continues(char byte)
{
    return ((unsigned char)byte & 0xc0) == 0x80;
}

/* By its first byte; 0: none begins with it. */
static size_t
length_of(char byte)
{
    const unsigned char first = (unsigned char)byte;

    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4)
        return 0;
    return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

static bool
is_shown(uint32_t code)
{
    static const struct {
        uint32_t first, last;
    } hidden[] = {
        {0, 0x1f},
        {0x7f, 0x9f}, /* control characters */
        {0x2028, 0x202e},
        {0x2066, 0x2069}, /* separators, and overrides of the direction */
        {0xd800, 0xdfff}, /* surrogates */
        {0x110000, ~UINT32_C(0)},
    };

    for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++)
        if (code >= hidden[i].first && code <= hidden[i].last)
            return false;
    return true;
}

size_t
printable_character(const char *text, size_t length, uint32_t *code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const size_t size = length > 0 ? length_of(text[0]) : 0;

    if (size == 0 || size > length)
        return 0;
    *code = (unsigned char)text[0] & (size == 1 ? 0x7fu : 0x7fu >> size);
    for (size_t i = 1; i < size; i++) {
        if (!continues(text[i]))
            return 0;
        *code = *code << 6 | ((unsigned char)text[i] & 0x3fu);
    }
    return *code >= least[size] && is_shown(*code) ? size : 0;
}

size_t
printable_first(const char *text, const char **shown)
{
    uint32_t code;
    const size_t size = printable_character(text, strnlen(text, CHARACTER_SIZE), &code);

    *shown = size > 0 ? text : "?";
    return size > 0 ? size : 1;
}

void
make_printable(char *text, size_t length)
{
    uint32_t code;

    for (size_t at = 0, size; at < length; at += size) {
        size = printable_character(text + at, length - at, &code);
        if (size > 0)
            continue;
        text[at] = text[at] ? '?' : ' ';
        size = 1;
    }
}

void
make_printable_text(char *text, size_t size)
{
    size_t length = strlen(text);

    if (length + 1 == size)
        length = printable_cut(text, length);
    text[length] = '\0';
    make_printable(text, length);
}

size_t
printable_cut(const char *text, size_t length)
{
    size_t kept = 1;

    while (kept < 4 && kept < length && continues(text[length - kept]))
        kept++;
    return length > 0 && length_of(text[length - kept]) > kept ? length - kept : length;
}

const char *
printable_begin(const char *text)
{
    while (continues(*text))
        text++;
    return text;
}
