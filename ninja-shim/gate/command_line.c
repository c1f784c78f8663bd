/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ninja-shim/gate/command_line.h"

#include <errno.h>
#include <stdlib.h>

#include "libjobserver/process.h"

/* One word has 128 KiB at most (execve(2)), and a shell's is its script. */
#define TEXT_SIZE ((size_t)160 << 10)
#define WORDS_MAX 8192

ssize_t
command_line_read(struct command_line *line, pid_t pid)
{
    if (!line->text)
        line->text = malloc(TEXT_SIZE);
    if (!line->words)
        line->words = calloc(WORDS_MAX, sizeof(*line->words));
    if (!line->text || !line->words)
        return -ENOMEM;
    return process_arguments(pid, line->text, TEXT_SIZE, line->words, WORDS_MAX);
}

void
command_line_free(struct command_line *line)
{
    free(line->text);
    free(line->words);
    *line = (struct command_line){0};
}
