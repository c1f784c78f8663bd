/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ninja-shim/gate/part.h"

#include <string.h>
#include <unistd.h>

#include "libjobserver/memory/command.h"
#include "libjobserver/process.h"
#include "ninja-shim/gate/pipes.h"

/* Its output alone goes to a pipe of its own. cargo, which reads what rustc says, has a second one for errors. */
static bool
is_read_by(pid_t pid, pid_t lazy)
{
    uint64_t output = process_pipe(pid, STDOUT_FILENO);

    return output != 0 && output != process_pipe(lazy, STDOUT_FILENO) &&
           process_pipe(pid, STDERR_FILENO) == process_pipe(lazy, STDERR_FILENO);
}

/* Taking a line apart costs more than looking for a name in it, which most have not. */
static bool
may_name_maker(char *const *words)
{
    static const char *const names[] = {"make",    "cargo",   "ninja",  "samu",
                                        "jobwrap", "jobgate", "--build"};

    for (; *words; words++)
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
            if (strstr(*words, names[i]))
                return true;
    return false;
}

static enum memory_part
read_part(pid_t pid, struct command_line *line)
{
    struct process_info info;

    /* Until it has executed, its command line is its parent's. */
    if (process_info(pid, &info) < 0 || !info.has_executed || command_line_read(line, pid) <= 0 ||
        !may_name_maker(line->words))
        return MEMORY_WORKS;
    return memory_part_of(line->words);
}

enum gate_part
gate_part_of(const struct gate *gate, pid_t pid, pid_t lazy)
{
    if (!gate->plan->rules.needs_no_tokens)
        return GATE_PART_JOB;
    if (is_read_by(pid, lazy))
        return GATE_PART_OTHER;
    struct command_line line = {0};
    enum memory_part part = read_part(pid, &line);
    command_line_free(&line);
    return part == MEMORY_WORKS         ? GATE_PART_JOB
           : part == MEMORY_STARTS_JOBS ? GATE_PART_OTHER
                                        : GATE_PART_LEADS;
}
