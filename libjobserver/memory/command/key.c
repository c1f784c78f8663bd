/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One command of a line after the other: what needs most memory in it gives the key, and each must be known to
 * do the same again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libjobserver/memory/command/private.h"

#define DEPTH_MAX 4 /* of shells in shells */
#define LAUNCHERS_MAX 8
#define OUTPUTS_MAX 32
#define COMPARISONS_MAX 1000000 /* of words; nobody waits for who removes all that he has named */

/* How much a command says of what the line needs; of equals the first counts. */
enum weight { WEIGHT_NOTHING, WEIGHT_FILTER, WEIGHT_OTHER, WEIGHT_COMPILER };

struct analysis {
    const struct memory_place *place;
    struct memory_key *key;
    char directory[DIRECTORY_SIZE];
    enum weight weight; /* of what the key is from */
    unsigned depth;
    size_t comparisons;
    bool is_aside; /* its output becomes a word: it gives no key */
    bool may_run_twice;
    bool has_memory;
    enum memory_part part;
    memory_visit *visit; /* NULL: nobody asks for the programs */
    void *visitor;
};

/* One simple command, and what is before it in its line. */
struct command {
    struct analysis *analysis;
    struct words *words;
    size_t from, end;                 /* of its words: [from, end) */
    const char *outputs[OUTPUTS_MAX]; /* of this line so far */
    size_t n_outputs;
};

static void look_at_line(struct analysis *analysis, const char *line);

/* --- words of a command --- */

/* One that there is. */
static const char *
text_of(const struct command *command, size_t i)
{
    return command->words->list[i].text;
}

static const char *
word(const struct command *command, size_t i)
{
    return i < command->end ? text_of(command, i) : NULL;
}

static bool
is_plain(const struct command *command, size_t i)
{
    return command->words->list[i].kind == WORD_PLAIN;
}

static bool
is_operand(const struct command *command, size_t i)
{
    return is_plain(command, i) && text_of(command, i)[0] != '-';
}

/* NAME=VALUE */
static bool
is_assignment(const char *text)
{
    size_t length = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789");

    return length > 0 && text[length] == '=' && (text[0] < '0' || text[0] > '9');
}

static bool
ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);

    return length > end_length && strcmp(text + length - end_length, end) == 0;
}

/* The letter among options like -rf. */
static bool
has_option(const struct command *command, char letter)
{
    for (size_t i = command->from + 1; i < command->end; i++) {
        const char *text = word(command, i);
        if (is_plain(command, i) && text[0] == '-' && text[1] != '-' && strchr(text + 1, letter))
            return true;
    }
    return false;
}

static void
doubt(struct command *command)
{
    command->analysis->may_run_twice = false;
}

/* --- what earlier commands have written and read --- */

static bool
is_output(const struct command *command, const char *file)
{
    for (size_t i = 0; i < command->n_outputs; i++)
        if (strcmp(command->outputs[i], file) == 0)
            return true;
    return false;
}

static bool
was_named(const struct command *command, const char *file)
{
    command->analysis->comparisons += command->from;
    if (command->analysis->comparisons > COMPARISONS_MAX)
        return true;
    for (size_t i = 0; i < command->from; i++) {
        const struct word *named = &command->words->list[i];
        if (named->kind != WORD_SAID && strcmp(named->text, file) == 0)
            return true;
    }
    return false;
}

/* What such a command names does not matter. */
static void
forget_words(struct command *command)
{
    for (size_t i = command->from; i < command->end; i++)
        if (is_plain(command, i))
            command->words->list[i].kind = WORD_SAID;
}

/* What the line has read before it wrote it is another file in a second run. */
static void
add_output(struct command *command, const char *file)
{
    if (is_output(command, file))
        return;
    if (was_named(command, file))
        doubt(command);
    if (command->n_outputs < OUTPUTS_MAX)
        command->outputs[command->n_outputs++] = file;
}

/* --- the key --- */

/* true: it is this one's now. */
static bool
take_key(struct command *command, enum weight weight, const char *tool, const char *file)
{
    struct analysis *analysis = command->analysis;

    if (analysis->is_aside || weight <= analysis->weight)
        return false;
    analysis->weight = weight;
    name_plainly(tool, analysis->key->tool, sizeof(analysis->key->tool));
    analysis->key->path[0] = '\0';
    if (file)
        name_path(analysis->place->root, analysis->directory, file, analysis->key->path);
    return true;
}

/* What stands behind "-o", "-oFILE", "--output=FILE"; NULL: none. */
static const char *
find_output(const struct command *command)
{
    static const char long_option[] = "--output=";
    const char *found = NULL;

    for (size_t i = command->from + 1; i < command->end; i++) {
        const char *text = word(command, i);
        if (strcmp(text, "-o") == 0 || strcmp(text, "--output") == 0)
            found = word(command, i + 1);
        else if (strncmp(text, "-o", 2) == 0 && text[2])
            found = text + 2;
        else if (strncmp(text, long_option, strlen(long_option)) == 0)
            found = text + strlen(long_option);
    }
    return found;
}

/* Where the shell writes to: no descriptor and no device. */
static const char *
find_redirection(const struct command *command)
{
    for (size_t i = command->from; i < command->end; i++) {
        const char *text = word(command, i);
        if (command->words->list[i].kind == WORD_WRITE && strncmp(text, "/dev/", 5) != 0 &&
            text[strspn(text, "0123456789-")] != '\0')
            return text;
    }
    return NULL;
}

/* What looks like a file. */
static const char *
find_operand(const struct command *command)
{
    for (size_t i = command->from + 1; i < command->end; i++)
        if (is_operand(command, i) && strpbrk(word(command, i), "./"))
            return word(command, i);
    return NULL;
}

static const char *
find_file(const struct command *command)
{
    const char *file = find_output(command);

    if (!file)
        file = find_redirection(command);
    return file ? file : find_operand(command);
}

/* --- compilers --- */

static const char *
find_source(const struct command *command)
{
    static const char *const endings[] = {".c",   ".cc", ".cpp", ".cxx", ".C",   ".c++", ".m",
                                          ".mm",  ".i",  ".ii",  ".s",   ".S",   ".cu",  ".f",
                                          ".f90", ".F",  ".F90", ".hpp", ".hxx", ".cppm"};

    for (size_t i = command->end; i-- > command->from + 1;)
        for (size_t k = 0; k < sizeof(endings) / sizeof(endings[0]); k++)
            if (is_operand(command, i) && ends_with(word(command, i), endings[k]))
                return word(command, i);
    return NULL;
}

/* What needs most is the compiler proper, of C or of C++, whatever the driver is called. */
static const char *
language_of(const char *tool, const char *source)
{
    static const char *const cxx[] = {".cc", ".cpp", ".cxx", ".C", ".c++", ".mm", ".ii", ".cppm"};

    if (source && (ends_with(source, ".s") || ends_with(source, ".S")))
        return "as";
    for (size_t i = 0; source && i < sizeof(cxx) / sizeof(cxx[0]); i++)
        if (ends_with(source, cxx[i]) && strcmp(tool, "cc") == 0)
            return "c++";
    return tool;
}

static bool
is_compile(const struct command *command)
{
    static const char *const options[] = {"-c",        "-S",  "-E", "-fsyntax-only",
                                          "--compile", "-dc", NULL};

    for (size_t i = command->from + 1; i < command->end; i++)
        if (is_one_of(word(command, i), options))
            return true;
    return false;
}

/* The lists of headers that it writes: -MF FILE, -MFFILE, -Wp,-MMD,FILE. */
static void
add_dependency_outputs(struct command *command)
{
    for (size_t i = command->from + 1; i < command->end; i++) {
        const char *text = word(command, i), *comma = strrchr(text, ',');
        if (strcmp(text, "-MF") == 0 && i + 1 < command->end)
            add_output(command, word(command, i + 1));
        else if (strncmp(text, "-MF", 3) == 0 && text[3])
            add_output(command, text + 3);
        else if (strncmp(text, "-Wp,-M", 6) == 0)
            add_output(command, comma + 1);
    }
}

static void
look_at_compiler(struct command *command, const struct tool *tool)
{
    static const char *const doubtful[] = {"-", "-wrapper", NULL};
    const char *output = find_output(command), *source = find_source(command);
    bool compiles = tool->kind == TOOL_COMPILER && is_compile(command);

    for (size_t i = command->from + 1; i < command->end; i++)
        if (is_one_of(word(command, i), doubtful))
            doubt(command);
    if (output)
        add_output(command, output);
    add_dependency_outputs(command);
    take_key(command, WEIGHT_COMPILER, compiles ? language_of(tool->name, source) : "link",
             output ? output : source);
}

/* Without any code it needs much less: cargo check, and the first half of a crate that others wait for. */
static bool
emits_code(const char *list)
{
    return strstr(list, "link") || strstr(list, "obj") || strstr(list, "asm");
}

/* The crate's name and the source's: the output's has a hash in it. */
static void
look_at_rustc(struct command *command)
{
    const char *crate = "", *source = "", *kind = "";
    char name[MEMORY_PATH_SIZE / 4], file[MEMORY_PATH_SIZE / 4], path[MEMORY_PATH_SIZE];

    for (size_t i = command->from + 1; i < command->end; i++) {
        const char *text = word(command, i);
        if (strcmp(text, "--crate-name") == 0 && i + 1 < command->end)
            crate = word(command, i + 1);
        else if (strcmp(text, "--test") == 0)
            kind = "-test";
        else if (strncmp(text, "--emit=", 7) == 0 && !emits_code(text) && !*kind)
            kind = "-check";
        else if (strcmp(text, "-") == 0)
            doubt(command);
        else if (ends_with(text, ".rs"))
            source = base_name(text);
    }
    name_plainly(crate, name, sizeof(name));
    name_plainly(source, file, sizeof(file));
    snprintf(path, sizeof(path), "%s/%s%s", file, name, kind);
    if (take_key(command, WEIGHT_COMPILER, "rustc", NULL))
        memcpy(command->analysis->key->path, path, sizeof(path));
}

/* --- links --- */

static bool
is_linked(const struct command *command, size_t i)
{
    static const char *const endings[] = {".o", ".a", ".so", ".lo", ".la", ".obj", ".lib", ".rlib"};
    const char *text = word(command, i), *name = base_name(text);

    if (strncmp(text, "-l", 2) == 0 && text[2])
        return true;
    if (!is_operand(command, i))
        return false;
    for (size_t k = 0; k < sizeof(endings) / sizeof(endings[0]); k++)
        if (ends_with(text, endings[k]))
            return true;
    return text[0] == '@' || strstr(name, ".so.");
}

/* Who reads sources alone, or is only asked for something, does not count. */
static bool
links_objects(const struct command *command, const char *const *questions)
{
    bool links = false;

    for (size_t i = command->from + 1; i < command->end; i++) {
        const char *text = word(command, i);
        if (is_one_of(text, questions))
            return false;
        if (strcmp(text, "-o") == 0)
            i++;
        else
            links = links || is_linked(command, i);
    }
    return links;
}

/* The value of "--NAME VALUE" or "--NAME=VALUE" at this word; NULL: it is another one. */
static const char *
value_of(const struct command *command, size_t i, const char *option)
{
    const char *text = word(command, i);
    size_t length = strlen(option);

    if (strncmp(text, option, length) != 0)
        return NULL;
    return text[length] == '=' ? text + length + 1 : text[length] ? NULL : word(command, i + 1);
}

static bool
is_loaded_or_run(const char *crate_types)
{
    return strstr(crate_types, "bin") || strstr(crate_types, "dylib") ||
           strstr(crate_types, "proc-macro");
}

/* A library of Rust is an archive: what links is a program, or what others load. Options that are given twice add up. */
static bool
rustc_links(const struct command *command)
{
    bool has_source = false, has_types = false, makes = false, has_emit = false, emits = false;
    const char *value;

    for (size_t i = command->from + 1; i < command->end; i++) {
        if ((value = value_of(command, i, "--crate-type"))) {
            has_types = true;
            makes = makes || is_loaded_or_run(value);
        } else if ((value = value_of(command, i, "--emit"))) {
            has_emit = true;
            emits = emits || strstr(value, "link");
        }
        makes = makes || strcmp(word(command, i), "--test") == 0;
        has_source = has_source || (is_operand(command, i) && ends_with(word(command, i), ".rs"));
    }
    return has_source && (emits || !has_emit) && (makes || !has_types);
}

static bool
is_link(const struct command *command, const struct tool *tool)
{
    static const char *const of_compilers[] = {"-M", "-MM", "--version", NULL};
    static const char *const of_linkers[] = {"--version", NULL};

    switch (tool->kind) {
    case TOOL_COMPILER:
        return !is_compile(command) && links_objects(command, of_compilers);
    case TOOL_LINKER:
        return links_objects(command, of_linkers);
    case TOOL_RUSTC:
        return rustc_links(command);
    case TOOL_CMAKE:
        return command->end - command->from > 2 &&
               strcmp(word(command, command->from + 2), "cmake_link_script") == 0;
    default:
        return false;
    }
}

/* --- what is visited --- */

static void
tell_visitor(const struct command *command, enum memory_visited what, const char *text)
{
    const struct analysis *analysis = command->analysis;

    if (analysis->visit && !analysis->is_aside)
        analysis->visit(what, text, analysis->visitor);
}

/* /usr/lib/icecc/bin/c++, /usr/lib/ccache/c++: a link to the launcher that the directory is called after. */
static void
visit_launcher_behind(const struct command *command, const char *compiler)
{
    static const char bin[] = "/bin";
    const size_t bin_length = strlen(bin);
    const char *end = strrchr(compiler, '/'), *from;
    char launcher[MEMORY_TOOL_SIZE];

    if (!end)
        return;
    if ((size_t)(end - compiler) > bin_length && strncmp(end - bin_length, bin, bin_length) == 0)
        end -= bin_length;
    for (from = end; from > compiler && from[-1] != '/';)
        from--;
    snprintf(launcher, sizeof(launcher), "%.*s", (int)(end - from), from);
    if (tool_of(launcher).kind == TOOL_LAUNCHER)
        tell_visitor(command, MEMORY_LINE_RUNS, launcher);
}

static void
visit_program(const struct command *command, const struct tool *tool)
{
    const char *program = word(command, command->from);

    if (tool->kind == TOOL_COMPILER)
        visit_launcher_behind(command, program);
    tell_visitor(command, is_link(command, tool) ? MEMORY_LINE_LINKS : MEMORY_LINE_RUNS,
                 base_name(program));
}

/* --- other tools --- */

/* Members of the same name are replaced by r, and doubled by q. */
static void
look_at_archiver(struct command *command, const struct tool *tool)
{
    size_t i = command->from + 1;

    while (i < command->end && strncmp(word(command, i), "--", 2) == 0)
        i += strchr(word(command, i), '=') ? 1 : 2;
    const char *operation = word(command, i), *archive = word(command, i + 1);
    if (!operation || !strchr(operation, 'r') || strpbrk(operation, "qdmx"))
        doubt(command);
    if (archive)
        add_output(command, archive);
    take_key(command, WEIGHT_OTHER, tool->name, archive);
}

/* What the line has read is not there any more when it runs again. What an outer line has read is not known
 * here. */
static void
look_at_remove(struct command *command)
{
    if (!has_option(command, 'f') || command->analysis->depth > 1)
        doubt(command);
    for (size_t i = command->from + 1; i < command->end; i++) {
        if (!is_operand(command, i))
            continue;
        if (strpbrk(word(command, i), "*?[$`"))
            doubt(command);
        add_output(command, word(command, i));
    }
}

/* Only what the line itself has written. */
static void
look_at_move(struct command *command)
{
    const char *operands[2] = {NULL, NULL};
    size_t count = 0;

    for (size_t i = command->from + 1; i < command->end; i++)
        if (is_operand(command, i)) {
            if (count < 2)
                operands[count] = word(command, i);
            count++;
        }
    if (count != 2 || !is_output(command, operands[0]))
        doubt(command);
    else
        add_output(command, operands[1]);
}

/* A second copy of a directory would go into the first. */
static void
look_at_copy(struct command *command)
{
    if (has_option(command, 'r') || has_option(command, 'R') || has_option(command, 'a'))
        doubt(command);
    if (command->end - command->from > 2)
        add_output(command, word(command, command->end - 1));
}

/* sed -i, and the commands of sed that write files, are seldom. */
static void
look_at_filter(struct command *command, const struct tool *tool)
{
    for (size_t i = command->from + 1; i < command->end; i++)
        if (strcmp(tool->name, "sed") == 0 &&
            (strncmp(word(command, i), "-i", 2) == 0 || strncmp(word(command, i), "--in", 4) == 0))
            doubt(command);
    take_key(command, WEIGHT_FILTER, tool->name, find_file(command));
}

/* Of an interpreter it is the script that matters. */
static const char *
script_of(const struct command *command, const char *tool)
{
    static const char *const interpreters[] = {"python", "perl", "ruby", "node"};

    for (size_t k = 0; k < sizeof(interpreters) / sizeof(interpreters[0]); k++) {
        if (strncmp(tool, interpreters[k], strlen(interpreters[k])) != 0)
            continue;
        for (size_t i = command->from + 1; i < command->end; i++)
            if (is_operand(command, i))
                return base_name(word(command, i));
    }
    return tool;
}

/* cargo has each in a directory that is called by the crate and a hash. */
static bool
look_at_build_script(struct command *command, const struct tool *tool)
{
    const char *program = word(command, command->from), *end = strrchr(program, '/');
    char crate[MEMORY_PATH_SIZE];

    if (strcmp(tool->name, "build-script-build") != 0 || !end)
        return false;
    int length = (int)(end - program);
    for (const char *c = end; c > program && c[-1] != '/';)
        if (*--c == '-') {
            length = (int)(c - program);
            break;
        }
    snprintf(crate, sizeof(crate), "%.*s", length, program);
    take_key(command, WEIGHT_OTHER, tool->name, crate);
    return true;
}

static void
look_at_unknown(struct command *command, const struct tool *tool)
{
    doubt(command);
    if (!look_at_build_script(command, tool))
        take_key(command, WEIGHT_OTHER, script_of(command, tool->name), find_file(command));
}

/* Behind a shell of whatever depth it is still to be started. */
static void
note_jobs(struct analysis *analysis)
{
    analysis->part = analysis->depth > 0 ? MEMORY_LEADS_TO_JOBS : MEMORY_STARTS_JOBS;
}

/* --- what another command follows --- */

/* Behind its options and assignments. */
static void
skip_launcher(struct command *command, const char *name)
{
    static const char *const with_value[] = {"-n", "-c", "-u", "-s", "-k", "-C", NULL};
    static const char *const have_values[] = {"nice", "ionice", "env", "timeout", NULL};
    bool may_have_value = is_one_of(name, have_values);

    command->from++;
    while (command->from < command->end) {
        const char *text = text_of(command, command->from);
        if (!is_plain(command, command->from)) {
            command->from++;
        } else if (text[0] == '-') {
            command->from += may_have_value && is_one_of(text, with_value) ? 2 : 1;
        } else if (is_assignment(text)) {
            tell_visitor(command, MEMORY_LINE_ASSIGNS, text);
            command->from++;
        } else {
            break;
        }
    }
    if (strcmp(name, "timeout") == 0)
        command->from++;
}

/* Compiling it writes all anew; what it does to link depends on much. */
static void
skip_libtool(struct command *command)
{
    bool compiles = false;

    for (command->from++; command->from < command->end; command->from++) {
        const char *text = text_of(command, command->from);
        if (text[0] != '-')
            break;
        compiles = compiles || strcmp(text, "--mode=compile") == 0;
    }
    if (!compiles)
        doubt(command);
}

/* The line behind -c, or the script; -o NAME, -euo NAME and -O NAME come before it. true: it was a line. */
static bool
look_into_shell(struct command *command)
{
    for (command->from++; command->from < command->end; command->from++) {
        const char *text = text_of(command, command->from);
        if (!is_plain(command, command->from))
            continue;
        if (text[0] != '-')
            return false;
        if (text[1] == '-')
            continue;
        command->from += strpbrk(text, "oO") != NULL;
        if (!strchr(text, 'c'))
            continue;
        const char *line = word(command, command->from + 1);
        if (line)
            look_at_line(command->analysis, line);
        return true;
    }
    doubt(command); /* it reads its commands */
    return true;
}

/* Up to the compiler. The launcher is the first of a list. */
static void
skip_co_compile(struct command *command)
{
    static const char option[] = "--launcher=";
    char launcher[MEMORY_TOOL_SIZE];

    for (; command->from < command->end; command->from++) {
        const char *text = text_of(command, command->from);
        if (strcmp(text, "--") == 0)
            break;
        if (strncmp(text, option, strlen(option)) != 0)
            continue;
        const char *name = base_name(text + strlen(option));
        snprintf(launcher, sizeof(launcher), "%.*s", (int)strcspn(name, ";"), name);
        tell_visitor(command, MEMORY_LINE_RUNS, launcher);
        if (tool_of(launcher).kind != TOOL_LAUNCHER)
            doubt(command);
    }
    command->from++;
}

/* `cmake -E` has many tools. true: nothing of it is left to be looked at. */
static bool
look_into_cmake(struct command *command)
{
    static const char *const harmless[] = {"touch",
                                           "copy",
                                           "copy_if_different",
                                           "make_directory",
                                           "echo",
                                           "echo_append",
                                           "true",
                                           "cmake_symlink_library",
                                           "cmake_symlink_executable",
                                           "create_symlink",
                                           "cmake_echo_color",
                                           NULL};
    const char *option = word(command, command->from + 1);
    const char *tool = word(command, command->from + 2);

    if (option && strcmp(option, "--build") == 0)
        note_jobs(command->analysis);
    if (!option || strcmp(option, "-E") != 0 || !tool)
        return false;
    command->from += 2;
    if (is_one_of(tool, harmless))
        return true;
    if (strcmp(tool, "rm") == 0 || strcmp(tool, "remove") == 0) {
        look_at_remove(command);
        return true;
    }
    if (strcmp(tool, "__run_co_compile") == 0) {
        skip_co_compile(command);
        return false;
    }
    if (strcmp(tool, "cmake_link_script") == 0)
        take_key(command, WEIGHT_COMPILER, "link", word(command, command->from + 1));
    if (strcmp(tool, "env") == 0 || strcmp(tool, "time") == 0)
        skip_launcher(command, tool);
    return false;
}

/* --- one command --- */

static void
look_at_tool(struct command *command, const struct tool *tool)
{
    if (!tool->is_trusted && tool->kind != TOOL_UNKNOWN)
        doubt(command);
    switch (tool->kind) {
    case TOOL_COMPILER:
    case TOOL_LINKER:
        look_at_compiler(command, tool);
        break;
    case TOOL_RUSTC:
        look_at_rustc(command);
        break;
    case TOOL_ARCHIVER:
        look_at_archiver(command, tool);
        break;
    case TOOL_WRITER:
        take_key(command, WEIGHT_OTHER, tool->name, find_file(command));
        break;
    case TOOL_FILTER:
        look_at_filter(command, tool);
        break;
    case TOOL_CD:
        if (word(command, command->from + 1))
            change_directory(command->analysis->directory, word(command, command->from + 1));
        break;
    case TOOL_REMOVE:
        look_at_remove(command);
        break;
    case TOOL_MOVE:
        look_at_move(command);
        break;
    case TOOL_COPY:
        look_at_copy(command);
        break;
    case TOOL_LINK:
        if (!has_option(command, 'f'))
            doubt(command);
        break;
    case TOOL_MKDIR:
        if (!has_option(command, 'p'))
            doubt(command);
        break;
    case TOOL_NOTHING:
        forget_words(command);
        break;
    case TOOL_MAKER:
        note_jobs(command->analysis);
        look_at_unknown(command, tool);
        break;
    default:
        look_at_unknown(command, tool);
    }
}

/* A wrapper that nobody knows, before a compiler: what it does besides nobody knows either. */
static bool
is_wrapper(const struct command *command)
{
    const char *next = word(command, command->from + 1);
    enum tool_kind kind =
        next && is_plain(command, command->from + 1) ? tool_of(next).kind : TOOL_UNKNOWN;

    return kind == TOOL_COMPILER || kind == TOOL_RUSTC;
}

/* true: another command follows in the same words. */
static bool
look_past(struct command *command, const struct tool *tool, bool *is_done)
{
    size_t from = command->from;

    switch (tool->kind) {
    case TOOL_LAUNCHER:
        skip_launcher(command, tool->name);
        return true;
    case TOOL_LIBTOOL:
        skip_libtool(command);
        return true;
    case TOOL_SHELL:
        *is_done = look_into_shell(command);
        return true;
    case TOOL_CMAKE:
        *is_done = look_into_cmake(command);
        return *is_done || command->from > from + 2;
    case TOOL_UNKNOWN:
        if (!is_wrapper(command))
            return false;
        doubt(command);
        command->from++;
        return true;
    default:
        return false;
    }
}

/* Words of the shell that a command may follow, or none. */
static void
skip_beginning(struct command *command)
{
    static const char *const reserved[] = {"!",  "{",     "}",     "if", "then", "elif", "else",
                                           "fi", "while", "until", "do", "done", NULL};

    for (; command->from < command->end; command->from++) {
        const char *text = text_of(command, command->from);
        if (is_one_of(text, reserved))
            doubt(command);
        else if (is_plain(command, command->from) && !is_assignment(text))
            return;
        else if (is_plain(command, command->from))
            tell_visitor(command, MEMORY_LINE_ASSIGNS, text);
    }
}

static void
look_at_command(struct command *command)
{
    bool is_done = false;

    skip_beginning(command);
    for (int i = 0; i < LAUNCHERS_MAX && command->from < command->end; i++) {
        struct tool tool = tool_of(word(command, command->from));
        visit_program(command, &tool);
        if (!look_past(command, &tool, &is_done)) {
            look_at_tool(command, &tool);
            is_done = true;
        }
        if (is_done)
            return;
    }
    if (command->from < command->end)
        doubt(command);
}

/* --- all of them --- */

static void
look_at_words(struct analysis *analysis, struct words *words)
{
    struct command command = {.analysis = analysis, .words = words};

    if (words->is_doubtful)
        analysis->may_run_twice = false;
    for (size_t from = 0; from < words->count; from = command.end + 1) {
        command.from = command.end = from;
        while (words->list[command.end].kind != WORD_END)
            command.end++;
        size_t end = command.end;
        look_at_command(&command);
        command.end = end;
        for (size_t i = from; i < end; i++)
            if (words->list[i].kind == WORD_WRITE)
                add_output(&command, words->list[i].text);
    }
}

static void
look_aside(struct analysis *analysis, const struct words *words)
{
    bool was_aside = analysis->is_aside;

    analysis->is_aside = true;
    for (size_t i = 0; i < words->n_substitutions; i++)
        look_at_line(analysis, words->substitutions[i]);
    analysis->is_aside = was_aside;
}

static void
look_at_line(struct analysis *analysis, const char *line)
{
    struct words words;

    if (analysis->depth == DEPTH_MAX) {
        analysis->may_run_twice = false;
        return;
    }
    analysis->depth++;
    if (words_of_line(line, &words)) {
        look_at_words(analysis, &words);
        look_aside(analysis, &words);
    } else {
        analysis->has_memory = false;
    }
    words_free(&words);
    analysis->depth--;
}

static uint64_t
hash_of(char *const argv[])
{
    uint64_t hash = HASH_START;

    for (size_t i = 0; argv[i]; i++)
        hash = hash_bytes(hash, argv[i], strlen(argv[i]) + 1);
    return hash;
}

/* false: there is no memory. */
static bool
analyse(struct analysis *analysis, char *const argv[])
{
    struct words words = {0};

    if (words_of_argv(argv, &words)) {
        analysis->may_run_twice = argv[0];
        analysis->has_memory = true;
        change_directory(analysis->directory, analysis->place->directory);
        look_at_words(analysis, &words);
    }
    words_free(&words);
    return analysis->has_memory;
}

bool
memory_key_of(const struct memory_place *place, char *const argv[], struct memory_key *key,
              bool *may_run_twice)
{
    struct analysis *analysis = calloc(1, sizeof(*analysis));
    bool has_memory = false;

    *key = (struct memory_key){0};
    *may_run_twice = false;
    if (analysis) {
        analysis->place = place;
        analysis->key = key;
        has_memory = analyse(analysis, argv);
    }
    if (has_memory) {
        name_package(place, key->package);
        key->command = hash_of(argv);
        *may_run_twice = analysis->may_run_twice;
    } else {
        *key = (struct memory_key){0};
    }
    free(analysis);
    return has_memory;
}

enum memory_part
memory_part_of(char *const argv[])
{
    static const struct memory_place nowhere = {.root = "/", .directory = "/"};
    struct analysis *analysis = calloc(1, sizeof(*analysis));
    enum memory_part part = MEMORY_WORKS;
    struct memory_key key;

    if (analysis) {
        analysis->place = &nowhere;
        analysis->key = &key;
        analyse(analysis, argv);
        part = analysis->part;
    }
    free(analysis);
    return part;
}

bool
memory_programs_of(char *const argv[], memory_visit *visit, void *visitor)
{
    static const struct memory_place nowhere = {.root = "/", .directory = "/"};
    struct analysis *analysis = calloc(1, sizeof(*analysis));
    bool has_memory = false;
    struct memory_key key = {0};

    if (analysis) {
        analysis->place = &nowhere;
        analysis->key = &key;
        analysis->visit = visit;
        analysis->visitor = visitor;
        has_memory = analyse(analysis, argv);
    }
    free(analysis);
    return has_memory;
}
