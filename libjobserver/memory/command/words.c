/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The words of a shell's command line (POSIX, 2.3 Token Recognition), as far as compile commands have them. */
#include <stdlib.h>
#include <string.h>

#include "libjobserver/memory/command/private.h"

struct reader {
    const char *at, *end;
    char *to;       /* where the next byte of a word goes */
    char *word;     /* NULL: between words */
    bool is_quoted; /* part of the word was */
    enum word_kind next_kind;
    struct words *words;
};

/* --- the list --- */

static bool
add_word(struct words *words, const char *text, enum word_kind kind)
{
    if (words->count == WORDS_MAX) {
        words->is_doubtful = true;
        return true;
    }
    if (words->count == words->room) {
        size_t room = words->room ? 2 * words->room : 64;
        struct word *list = realloc(words->list, room * sizeof(*list));
        if (!list)
            return false;
        words->list = list;
        words->room = room;
    }
    words->list[words->count++] = (struct word){text, kind};
    return true;
}

void
words_free(struct words *words)
{
    free(words->list);
    free(words->text);
}

/* One is left for the end. */
static void
leave_room_for_end(struct words *words)
{
    if (words->count == WORDS_MAX)
        words->count--;
}

bool
words_of_argv(char *const argv[], struct words *words)
{
    *words = (struct words){0};
    for (size_t i = 0; argv[i] && !words->is_doubtful; i++)
        if (!add_word(words, argv[i], WORD_PLAIN))
            return false;
    leave_room_for_end(words);
    return add_word(words, "", WORD_END);
}

/* --- a word --- */

static void
put(struct reader *reader, char c)
{
    if (!reader->word)
        reader->word = reader->to;
    *reader->to++ = c;
}

/* A number right before a redirection is a descriptor. */
static bool
is_descriptor(const struct reader *reader)
{
    if (!reader->word || reader->is_quoted)
        return false;
    for (const char *c = reader->word; c < reader->to; c++)
        if (*c < '0' || *c > '9')
            return false;
    return true;
}

static bool
end_word(struct reader *reader)
{
    enum word_kind kind = reader->next_kind;
    const char *word = reader->word;

    if (!word)
        return true;
    *reader->to++ = '\0';
    reader->word = NULL;
    reader->is_quoted = false;
    reader->next_kind = WORD_PLAIN;
    return add_word(reader->words, word, kind);
}

/* --- what is expanded --- */

/* The command up to `end`, which is analysed for itself. It stands in the word as it was written. */
static void
keep_substitution(struct reader *reader, const char *from, const char *end)
{
    struct words *words = reader->words;

    if (words->n_substitutions == SUBSTITUTIONS_MAX) {
        words->is_doubtful = true;
        return;
    }
    put(reader, '`');
    words->substitutions[words->n_substitutions++] = reader->to;
    memcpy(reader->to, from, (size_t)(end - from));
    reader->to += end - from;
    *reader->to++ = '\0';
    /* The word goes on behind it, and is cut there for who reads it: its name is not known anyway. */
}

/* In them a backslash is one, but before these. */
static void
read_backquotes(struct reader *reader)
{
    const char *from = ++reader->at;
    bool is_plain = true;

    for (; reader->at < reader->end && *reader->at != '`'; reader->at++)
        if (*reader->at == '\\' && reader->at + 1 < reader->end && strchr("$`\\", reader->at[1]))
            is_plain = false;
    if (reader->at == reader->end || !is_plain)
        reader->words->is_doubtful = true;
    else
        keep_substitution(reader, from, reader->at++);
}

/* With quotes, parentheses or another one inside it is not looked at. */
static void
read_parentheses(struct reader *reader)
{
    const char *from = reader->at += strlen("$(");

    while (reader->at < reader->end && *reader->at != ')' && !strchr("('\"\\`$", *reader->at))
        reader->at++;
    if (reader->at == reader->end || *reader->at != ')')
        reader->words->is_doubtful = true;
    else
        keep_substitution(reader, from, reader->at++);
}

/* $$, $! and $? differ from run to run. */
static void
read_dollar(struct reader *reader)
{
    char next = reader->at + 1 < reader->end ? reader->at[1] : '\0';

    if (next == '(') {
        read_parentheses(reader);
        return;
    }
    if (next == '$' || next == '!' || next == '?')
        reader->words->is_doubtful = true;
    put(reader, *reader->at++);
}

/* --- quotes --- */

static void
read_single_quotes(struct reader *reader)
{
    for (reader->at++; reader->at < reader->end && *reader->at != '\''; reader->at++)
        put(reader, *reader->at);
    if (reader->at == reader->end)
        reader->words->is_doubtful = true;
    else
        reader->at++;
}

static void
read_double_quotes(struct reader *reader)
{
    reader->at++;
    while (reader->at < reader->end && *reader->at != '"') {
        if (*reader->at == '`') {
            read_backquotes(reader);
        } else if (*reader->at == '$') {
            read_dollar(reader);
        } else {
            if (*reader->at == '\\' && reader->at + 1 < reader->end &&
                strchr("\"\\$`\n", reader->at[1]))
                reader->at++;
            put(reader, *reader->at++);
        }
    }
    if (reader->at == reader->end)
        reader->words->is_doubtful = true;
    else
        reader->at++;
}

static void
read_quotes(struct reader *reader)
{
    if (!reader->word)
        reader->word = reader->to;
    reader->is_quoted = true;
    if (*reader->at == '\'')
        read_single_quotes(reader);
    else
        read_double_quotes(reader);
}

static void
read_backslash(struct reader *reader)
{
    reader->at++;
    if (reader->at == reader->end)
        return;
    if (*reader->at != '\n') {
        put(reader, *reader->at);
        reader->is_quoted = true;
    }
    reader->at++;
}

/* --- operators --- */

static bool
starts_with(const struct reader *reader, const char *text)
{
    size_t length = strlen(text);

    return (size_t)(reader->end - reader->at) >= length && memcmp(reader->at, text, length) == 0;
}

/* What appends, and what is not a file. */
static bool
read_redirection(struct reader *reader)
{
    static const char *const doubtful[] = {">>", "<<", "<>", "<&", ">(", "<("};
    bool writes = *reader->at == '>';

    for (size_t i = 0; i < sizeof(doubtful) / sizeof(doubtful[0]); i++)
        if (starts_with(reader, doubtful[i]))
            reader->words->is_doubtful = true;
    if (is_descriptor(reader)) {
        reader->to = reader->word;
        reader->word = NULL;
    }
    if (!end_word(reader))
        return false;
    /* >&2: what follows is a descriptor, and as a file it harms nobody. */
    reader->at += starts_with(reader, ">|") || starts_with(reader, ">&") ||
                          starts_with(reader, ">>") || starts_with(reader, "<<")
                      ? 2
                      : 1;
    reader->next_kind = writes ? WORD_WRITE : WORD_READ;
    return true;
}

/* In the background nothing is waited for. */
static bool
read_separator(struct reader *reader)
{
    if (starts_with(reader, "&>"))
        return reader->at++, read_redirection(reader);
    bool is_double = starts_with(reader, "&&") || starts_with(reader, "||");
    if (*reader->at == '&' && !is_double)
        reader->words->is_doubtful = true;
    reader->at += is_double ? 2 : 1;
    return end_word(reader) && add_word(reader->words, "", WORD_END);
}

static void
skip_comment(struct reader *reader)
{
    while (reader->at < reader->end && *reader->at != '\n')
        reader->at++;
}

static bool
read_next(struct reader *reader)
{
    char c = *reader->at;

    if (c == ' ' || c == '\t' || c == '\r')
        return reader->at++, end_word(reader);
    if (strchr(";|&()\n", c))
        return read_separator(reader);
    if (c == '<' || c == '>')
        return read_redirection(reader);
    if (c == '#' && !reader->word)
        skip_comment(reader);
    else if (c == '\'' || c == '"')
        read_quotes(reader);
    else if (c == '\\')
        read_backslash(reader);
    else if (c == '`')
        read_backquotes(reader);
    else if (c == '$')
        read_dollar(reader);
    else
        put(reader, *reader->at++);
    return true;
}

bool
words_of_line(const char *line, struct words *words)
{
    size_t length = strnlen(line, LINE_LENGTH_MAX);

    *words = (struct words){.is_doubtful = line[length] != '\0'};
    /* Each byte gives at most itself and the end of a word, a substitution two more. */
    words->text = malloc(2 * length + 4 * (size_t)SUBSTITUTIONS_MAX + 2);
    if (!words->text)
        return false;
    struct reader reader = {.at = line, .end = line + length, .to = words->text, .words = words};
    while (reader.at < reader.end && words->count < WORDS_MAX)
        if (!read_next(&reader))
            return false;
    if (!end_word(&reader))
        return false;
    leave_room_for_end(words);
    return add_word(words, "", WORD_END);
}
