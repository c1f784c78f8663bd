/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The command lines of jobs, of which a key of their memory is made, and which need classes of tokens. The first word
 * is the directory, and a file of rules. */

#include <ctype.h>

#include "libjobserver/classes/rules.h"
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

static void
check_classes(const char *text, char *const argv[])
{
    struct class_rules_error error = {0};
    struct class_rules *rules = class_rules_create(text, &error);

    if (!rules) {
        ALWAYS(error.line > 0 && error.reason);
        check_text(error.word, sizeof(error.word));
        rules = class_rules_create(NULL, &error);
        ALWAYS(rules);
    }
    const unsigned all = (1u << class_rules_count(rules)) - 1;
    struct class_needs needs = class_rules_needs(rules, argv, NULL, NULL);
    ALWAYS(((needs.instead | needs.besides) & ~all) == 0);
    ALWAYS((needs.instead & needs.besides) == 0);
    class_rules_free(rules);
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
        check_classes(words[0], words + 1);
    }
    free(words);
    free(text);
    return 0;
}
