/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The command lines of jobs, of which a key of their memory is made. The first word is the directory. */

#include <ctype.h>

#include "libjobserver/memory/command.h"
#include "tests/fuzz/input.h"

#define WORDS_MAX 64

static void
check_text(const char *text, size_t room)
{
    ALWAYS(strnlen(text, room) < room);
    for (; *text; text++)
        ALWAYS(*text != '\n' && !iscntrl((unsigned char)*text));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    struct memory_key key, again;
    bool twice, twice_again;
    char *text;
    int count;

    char **words = input_words(&input, WORDS_MAX, &count, &text);
    if (count > 0) {
        const struct memory_place place = {.root = "/build/pkg-1.2/work",
                                           .directory = words[0],
                                           .package = input.left % 2 ? "pkg" : NULL};
        ALWAYS(memory_key_of(&place, words + 1, &key, &twice));
        ALWAYS(memory_key_of(&place, words + 1, &again, &twice_again));
        ALWAYS(strcmp(key.tool, again.tool) == 0 && strcmp(key.path, again.path) == 0);
        ALWAYS(key.command == again.command && twice == twice_again);
        check_text(key.package, sizeof(key.package));
        check_text(key.tool, sizeof(key.tool));
        check_text(key.path, sizeof(key.path));
        memory_part_of(words + 1);
    }
    free(words);
    free(text);
    return 0;
}
