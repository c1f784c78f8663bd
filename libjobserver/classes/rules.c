/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/classes/rules.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "libjobserver/classes/spec.h"
#include "libjobserver/memory/command.h"
#include "libjobserver/program/printable.h"

#define BUILT_IN_CLASSES 2
#define BLANKS " \t\r\n"

static const char built_in[] = "remote instead icecc distcc recc rewrapper gomacc sccache\n"
                               "link besides @link\n";

struct rule {
    const char *program; /* in the text */
    unsigned class;
    bool is_instead;
};

struct class_rules {
    char *texts[2]; /* owned; NULL: none */
    char names[CLASS_RULES_CLASSES_MAX][STEVED_CLASS_NAME_SIZE];
    unsigned n_classes;
    struct rule *rules;
    size_t n_rules;
};

/* --- reading --- */

struct reader {
    struct class_rules *rules;
    struct class_rules_error *error;
    unsigned line;
    unsigned n_classes_before; /* of these the text has nothing more to say */
    unsigned n_classes_max;
};

static bool
refuse(const struct reader *reader, const char *word, const char *reason)
{
    struct class_rules_error *error = reader->error;

    *error = (struct class_rules_error){.line = reader->line, .reason = reason};
    strncpy(error->word, word ? word : "", sizeof(error->word) - 1);
    make_printable_text(error->word, sizeof(error->word));
    return false;
}

static bool
refuse_for_memory(struct class_rules_error *error)
{
    *error = (struct class_rules_error){.reason = "out of memory"};
    return false;
}

static int
find_class(const struct class_rules *rules, const char *name)
{
    for (unsigned i = 0; i < rules->n_classes; i++)
        if (strcmp(rules->names[i], name) == 0)
            return (int)i;
    return -1;
}

/* -1: it has been refused. */
static int
read_class(struct reader *reader, const char *name)
{
    struct class_rules *rules = reader->rules;
    int number = find_class(rules, name);

    if (number >= 0)
        return number;
    if (!class_name_is_valid(name))
        refuse(reader, name, "is not a class name");
    else if (rules->n_classes == reader->n_classes_max)
        refuse(reader, name, "is one class too many");
    else {
        memcpy(rules->names[rules->n_classes], name, strlen(name) + 1);
        return (int)rules->n_classes++;
    }
    return -1;
}

static bool
add_rule(struct reader *reader, const struct rule *rule)
{
    struct class_rules *rules = reader->rules;
    struct rule *longer = realloc(rules->rules, (rules->n_rules + 1) * sizeof(*longer));

    if (!longer)
        return refuse_for_memory(reader->error);
    rules->rules = longer;
    longer[rules->n_rules++] = *rule;
    return true;
}

static bool
read_programs(struct reader *reader, struct rule *rule, char **rest)
{
    static const char link[] = "@link";
    bool has_one = false;

    while ((rule->program = strtok_r(NULL, BLANKS, rest))) {
        if (strchr(rule->program, '/') ||
            (rule->program[0] == '@' && strcmp(rule->program, link) != 0))
            return refuse(reader, rule->program,
                          "is neither @link nor the name of a program without its directory");
        if (!add_rule(reader, rule))
            return false;
        has_one = true;
    }
    return has_one || refuse(reader, NULL, "the names of programs are missing");
}

/* `line` becomes its words. */
static bool
read_line(struct reader *reader, char *line)
{
    struct rule rule = {0};
    char *rest;

    line[strcspn(line, "#")] = '\0';
    const char *class = strtok_r(line, BLANKS, &rest);
    if (!class)
        return true;
    int number = find_class(reader->rules, class);
    if (number >= 0 && (unsigned)number < reader->n_classes_before)
        return true;
    number = read_class(reader, class);
    if (number < 0)
        return false;
    rule.class = (unsigned)number;
    const char *how = strtok_r(NULL, BLANKS, &rest);
    if (!how)
        return refuse(reader, NULL, "'instead' or 'besides' is missing");
    rule.is_instead = strcmp(how, "instead") == 0;
    if (!rule.is_instead && strcmp(how, "besides") != 0)
        return refuse(reader, how, "is neither 'instead' nor 'besides'");
    return read_programs(reader, &rule, &rest);
}

/* `text` is the rules' own. */
static bool
read_text(struct class_rules *rules, char *text, unsigned n_classes_max,
          struct class_rules_error *error)
{
    struct reader reader = {.rules = rules,
                            .error = error,
                            .n_classes_before = rules->n_classes,
                            .n_classes_max = n_classes_max};

    if (!text)
        return refuse_for_memory(error);
    for (char *line = text, *next; line; line = next) {
        char *end = strchr(line, '\n');
        next = end ? end + 1 : NULL;
        if (end)
            *end = '\0';
        reader.line++;
        if (!read_line(&reader, line))
            return false;
    }
    return true;
}

struct class_rules *
class_rules_create(const char *text, struct class_rules_error *error)
{
    struct class_rules *rules = calloc(1, sizeof(*rules));

    if (!rules) {
        refuse_for_memory(error);
        return NULL;
    }
    rules->texts[0] = strdup(text ? text : "");
    rules->texts[1] = strdup(built_in);
    if (read_text(rules, rules->texts[0], CLASS_RULES_CLASSES_MAX - BUILT_IN_CLASSES, error) &&
        read_text(rules, rules->texts[1], CLASS_RULES_CLASSES_MAX, error))
        return rules;
    class_rules_free(rules);
    return NULL;
}

void
class_rules_free(struct class_rules *rules)
{
    if (!rules)
        return;
    free(rules->texts[0]);
    free(rules->texts[1]);
    free(rules->rules);
    free(rules);
}

unsigned
class_rules_count(const struct class_rules *rules)
{
    return rules->n_classes;
}

const char *
class_rules_name(const struct class_rules *rules, unsigned number)
{
    return rules->names[number];
}

static bool
has_rule(const struct class_rules *rules, unsigned number, bool is_instead)
{
    for (size_t i = 0; i < rules->n_rules; i++)
        if (rules->rules[i].class == number && rules->rules[i].is_instead == is_instead)
            return true;
    return false;
}

bool
class_rules_is_instead(const struct class_rules *rules, unsigned number)
{
    return has_rule(rules, number, true);
}

bool
class_rules_is_besides(const struct class_rules *rules, unsigned number)
{
    return has_rule(rules, number, false);
}

/* --- asking --- */

struct asking {
    const struct class_rules *rules;
    struct class_needs needs;
    bool links;
    bool has_ccache;
    char *prefix; /* owned; that the line itself gives to ccache; NULL: none */
};

static void
apply(const struct class_rules *rules, const char *program, struct class_needs *needs)
{
    for (size_t i = 0; i < rules->n_rules; i++) {
        const struct rule *rule = &rules->rules[i];
        if (strcmp(rule->program, program) == 0)
            *(rule->is_instead ? &needs->instead : &needs->besides) |= 1u << rule->class;
    }
}

/* The last one counts. */
static void
note_assignment(struct asking *asking, const char *text)
{
    static const char variable[] = "CCACHE_PREFIX=";

    if (strncmp(text, variable, strlen(variable)) != 0)
        return;
    free(asking->prefix);
    asking->prefix = strdup(text + strlen(variable));
}

static void
on_visit(enum memory_visited what, const char *text, void *visitor)
{
    struct asking *asking = visitor;

    if (what == MEMORY_LINE_ASSIGNS) {
        note_assignment(asking, text);
        return;
    }
    apply(asking->rules, text, &asking->needs);
    asking->links = asking->links || what == MEMORY_LINE_LINKS;
    asking->has_ccache = asking->has_ccache || strcmp(text, "ccache") == 0;
}

/* `programs` become their words. */
static void
apply_prefix(struct asking *asking, char *programs)
{
    char *rest;

    for (char *word = strtok_r(programs, BLANKS, &rest); word;
         word = strtok_r(NULL, BLANKS, &rest)) {
        const char *slash = strrchr(word, '/');
        apply(asking->rules, slash ? slash + 1 : word, &asking->needs);
    }
}

struct class_needs
class_rules_needs(const struct class_rules *rules, char *const argv[], class_prefix_fn *prefix,
                  void *argument)
{
    struct asking asking = {.rules = rules};

    bool has_memory = memory_programs_of(argv, on_visit, &asking);
    if (asking.has_ccache && prefix && !asking.prefix)
        asking.prefix = prefix(argument);
    if (asking.has_ccache && asking.prefix)
        apply_prefix(&asking, asking.prefix);
    free(asking.prefix);
    if (!has_memory)
        return (struct class_needs){0};
    if ((asking.links || asking.needs.instead) && memory_part_of(argv) != MEMORY_WORKS) {
        asking.needs.instead = 0;
        asking.links = false;
    }
    if (asking.links) {
        asking.needs.instead = 0;
        apply(rules, "@link", &asking.needs);
    }
    asking.needs.besides &= ~asking.needs.instead;
    return asking.needs;
}
