/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* How a command line is taken apart. Pure, and bounded whatever the line is. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libjobserver/memory/command.h"

/* --- words --- */

#define WORDS_MAX 65536
#define LINE_LENGTH_MAX (1 << 20)
#define SUBSTITUTIONS_MAX 8

enum word_kind {
    WORD_PLAIN,
    WORD_END,   /* of a command: && || | ; and the like */
    WORD_WRITE, /* a file that the shell writes anew */
    WORD_READ,  /* a file that it reads */
    WORD_SAID,  /* to a command that does nothing with it (echo) */
};

struct word {
    const char *text; /* without quotes; what would be expanded stands as it was written */
    enum word_kind kind;
};

struct words {
    struct word *list; /* a WORD_END is the last */
    size_t count, room;
    char *text;                                   /* where the words lie, but those of an argv */
    const char *substitutions[SUBSTITUTIONS_MAX]; /* commands whose output becomes part of words */
    size_t n_substitutions;
    bool is_doubtful; /* it does what is not told here, or is too long */
};

/* false: no memory. words_free() in any case. */
bool words_of_line(const char *line, struct words *words);
bool words_of_argv(char *const argv[], struct words *words);
void words_free(struct words *words);

/* --- tools --- */

enum tool_kind {
    TOOL_UNKNOWN,
    TOOL_COMPILER,
    TOOL_LINKER,
    TOOL_ARCHIVER,
    TOOL_RUSTC,
    TOOL_WRITER,   /* writes one file anew, from others */
    TOOL_FILTER,   /* writes to its standard output alone */
    TOOL_NOTHING,  /* changes nothing, or nothing that a second run would not find the same */
    TOOL_MAKER,    /* starts jobs that are looked at for themselves */
    TOOL_CD,       /* from here on: preparations */
    TOOL_REMOVE,   /*  */
    TOOL_MOVE,     /*  */
    TOOL_COPY,     /*  */
    TOOL_LINK,     /*  */
    TOOL_MKDIR,    /*  */
    TOOL_LAUNCHER, /* from here on: another command follows */
    TOOL_SHELL,    /*  */
    TOOL_LIBTOOL,  /*  */
    TOOL_CMAKE,    /*  */
};

struct tool {
    const char *name; /* in keys */
    enum tool_kind kind;
    bool is_trusted; /* nothing about its name is guessed */
};

/* By the path of the program; looks past a version behind the name and a target before it. */
struct tool tool_of(const char *program);
/* The part behind the last slash. */
const char *base_name(const char *path);
bool is_one_of(const char *word, const char *const *list);

/* --- names --- */

#define DIRECTORY_SIZE 4096

/* `directory` becomes where `cd to` leads; nothing changes where that is too long. */
void change_directory(char directory[DIRECTORY_SIZE], const char *to);
/* A file in `directory`, as it stands in a key. */
void name_path(const char *root, const char *directory, const char *file,
               char path[MEMORY_PATH_SIZE]);
void name_package(const struct memory_place *place, char package[MEMORY_PACKAGE_SIZE]);
/* Cut, and made printable. */
void name_plainly(const char *text, char *name, size_t size);
uint64_t hash_bytes(uint64_t hash, const char *bytes, size_t count);
#define HASH_START UINT64_C(0xcbf29ce484222325)
