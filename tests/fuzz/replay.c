/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * replay [--mutations N] [--seed S] [--save FILE] DIR
 *
 * Gives a target each file of a corpus, and then N inputs that are made of them by chance, without
 * libFuzzer: for compilers and tests that have none. --save writes each input to FILE before it is tried,
 * so that after a crash it is there.
 */

#include <dirent.h>
#include <errno.h>
#include <getopt.h>

#include "tests/fuzz/input.h"

#define SIZE_MAX_INPUT 4096u
#define FILES_MAX 1024u

struct file {
    uint8_t bytes[SIZE_MAX_INPUT];
    size_t size;
};

struct replay {
    struct file *files;
    size_t count;
    unsigned mutations;
    uint64_t chance;
    const char *save;
};

static _Noreturn void
fail(const char *what)
{
    fprintf(stderr, "replay: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* --- inputs --- */

static void
read_file(struct replay *replay, const char *directory, const char *name)
{
    struct file *file = &replay->files[replay->count++];
    char *path;

    if (asprintf(&path, "%s/%s", directory, name) < 0)
        fail(name);
    FILE *stream = fopen(path, "re");
    if (!stream)
        fail(path);
    file->size = fread(file->bytes, 1, sizeof(file->bytes), stream);
    fclose(stream);
    free(path);
}

static void
read_corpus(struct replay *replay, const char *directory)
{
    struct dirent **names;
    int count = scandir(directory, &names, NULL, alphasort); /* the same order everywhere */

    replay->files = calloc(FILES_MAX, sizeof(*replay->files));
    if (count < 0 || !replay->files)
        fail(directory);
    for (int i = 0; i < count; i++) {
        if (names[i]->d_name[0] != '.' && replay->count < FILES_MAX)
            read_file(replay, directory, names[i]->d_name);
        free(names[i]);
    }
    free(names);
}

static void
try(const struct replay *replay, const struct file *input)
{
    if (replay->save) {
        FILE *stream = fopen(replay->save, "we");
        if (!stream || fwrite(input->bytes, 1, input->size, stream) != input->size ||
            fclose(stream) != 0)
            fail(replay->save);
    }
    LLVMFuzzerTestOneInput(input->bytes, input->size);
}

/* --- chance --- */

static size_t
below(struct replay *replay, size_t limit)
{
    replay->chance ^= replay->chance << 13;
    replay->chance ^= replay->chance >> 7;
    replay->chance ^= replay->chance << 17;
    return limit > 0 ? (size_t)((replay->chance >> 11) % limit) : 0;
}

static uint8_t
interesting(struct replay *replay)
{
    static const uint8_t bytes[] = {0,   1,   2,   7,    8,   16,  ' ', '-', '=', ',', '%',
                                    '0', '9', '/', '\\', '$', 'j', 127, 128, 254, 255};
    size_t chosen = below(replay, 2 * sizeof(bytes));

    return chosen < sizeof(bytes) ? bytes[chosen] : (uint8_t)below(replay, 256);
}

static void
remove_some(struct replay *replay, struct file *input)
{
    size_t at = below(replay, input->size), size = 1 + below(replay, input->size - at);

    memmove(input->bytes + at, input->bytes + at + size, input->size - at - size);
    input->size -= size;
}

/* Of another input, or of itself once more. */
static void
insert_some(struct replay *replay, struct file *input)
{
    const struct file *other = &replay->files[below(replay, replay->count)];
    size_t from = below(replay, other->size), at = below(replay, input->size + 1);
    size_t size = other->size > 0 ? 1 + below(replay, other->size - from) : 0;

    if (size > sizeof(input->bytes) - input->size)
        size = sizeof(input->bytes) - input->size;
    memmove(input->bytes + at + size, input->bytes + at, input->size - at);
    memcpy(input->bytes + at, other->bytes + from, size);
    input->size += size;
}

static void
mutate(struct replay *replay, struct file *input)
{
    for (size_t steps = 1 + below(replay, 8); steps > 0; steps--) {
        size_t kind = below(replay, 8);
        if (kind == 0 && input->size > 0)
            remove_some(replay, input);
        else if (kind <= 2)
            insert_some(replay, input);
        else if (kind == 3 && input->size > 0)
            input->bytes[below(replay, input->size)] ^= (uint8_t)(1u << below(replay, 8));
        else if (input->size > 0)
            input->bytes[below(replay, input->size)] = interesting(replay);
    }
}

/* --- the command line --- */

static unsigned long
parse(const char *text)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);

    if (*end || end == text) {
        fprintf(stderr, "replay: '%s' is not a number\n", text);
        exit(2);
    }
    return number;
}

static const char *
parse_arguments(struct replay *replay, int argc, char **argv)
{
    static const struct option options[] = {{"mutations", required_argument, NULL, 'm'},
                                            {"seed", required_argument, NULL, 's'},
                                            {"save", required_argument, NULL, 'f'},
                                            {0}};
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'm')
            replay->mutations = (unsigned)parse(optarg);
        else if (option == 's')
            replay->chance = parse(optarg);
        else if (option == 'f')
            replay->save = optarg;
        else
            exit(2);
    }
    if (optind != argc - 1) {
        fprintf(stderr, "replay: one directory is wanted\n");
        exit(2);
    }
    return argv[optind];
}

int
main(int argc, char **argv)
{
    struct replay replay = {.chance = 1};

    read_corpus(&replay, parse_arguments(&replay, argc, argv));
    replay.chance = replay.chance * UINT64_C(0x9e3779b97f4a7c15) | 1;
    for (size_t i = 0; i < replay.count; i++)
        try(&replay, &replay.files[i]);
    for (unsigned i = 0; i < replay.mutations && replay.count > 0; i++) {
        struct file input = replay.files[below(&replay, replay.count)];
        mutate(&replay, &input);
        try(&replay, &input);
    }
    printf("%zu inputs, and %u made of them\n", replay.count, replay.mutations);
    free(replay.files);
    return 0;
}
