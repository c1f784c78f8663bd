/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * MAKEFLAGS is read as GNU make reads it: unquoted, split at blanks, and handed to getopt_long()
 * with make's options (decode_env_switches() of make 4.3 and 4.4.1), plus bmake's -J. It is not
 * getopt itself that does it here, because auth_replace() must know which bytes an option came
 * from.
 */

#include "libjobserver/auth.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libjobserver/program/printable.h"

#define BLANKS " \t"             /* what separates words */
#define WHITESPACE " \t\n\v\f\r" /* what make skips before the first one */
#define FIFO_PREFIX "fifo:"
#define QUOTED_MAX 80 /* how much of a bad option an error shows */

/* --- words --- */

/* The words of a MAKEFLAGS value, unquoted, one after the other, each ended by a NUL. */
struct words {
    char *text;
    size_t *raw; /* where in the value each byte of `text` begins; for a NUL: where its word ends */
    size_t size; /* of `text`; 0: no word */
    bool open;   /* what is appended to the value becomes part of the last word */
};

static void
words_clear(struct words *words)
{
    free(words->text);
    free(words->raw);
}

/* How many bytes of the value make up its next character. make expands "$$" before it unquotes, so
 * "\$$" is one. A lone $ stays: make writes one where it should write two (4.3, 4.4.1). */
static size_t
quoted_size(const char *flags)
{
    size_t n = flags[0] == '\\' && flags[1] != '\0' ? 1 : 0;

    return n + (flags[n] == '$' && flags[n + 1] == '$' ? 2 : 1);
}

static int
words_split(struct words *words, const char *flags)
{
    size_t length = strlen(flags), at = strspn(flags, WHITESPACE), n = 0;

    *words = (struct words){.text = malloc(length + 1), .raw = calloc(length + 1, sizeof(size_t))};
    if (words->text == NULL || words->raw == NULL) {
        words_clear(words);
        return -ENOMEM;
    }
    while (flags[at] != '\0') {
        size_t size = quoted_size(flags + at);

        words->raw[n] = at;
        if (strchr(BLANKS, flags[at]) != NULL) {
            words->text[n++] = '\0';
            at += strspn(flags + at, BLANKS);
            continue;
        }
        at += size;
        words->text[n++] = flags[at - 1];
    }
    if (n > 0 && words->text[n - 1] != '\0') {
        const char *unit = flags + words->raw[n - 1];

        words->open = strcmp(unit, "\\") == 0 || strcmp(unit, "$") == 0 || strcmp(unit, "\\$") == 0;
        words->raw[n] = at;
        words->text[n++] = '\0';
    }
    words->size = n;
    return 0;
}

/* The words of a command line, as they are; places are in `text` itself. */
static int
words_join(struct words *words, char *const argv[])
{
    size_t size = 0, n = 0;

    for (int i = 0; argv[i] != NULL; i++)
        size += strlen(argv[i]) + 1;
    *words = (struct words){.text = malloc(size + 1), .raw = calloc(size + 1, sizeof(size_t))};
    if (words->text == NULL || words->raw == NULL) {
        words_clear(words);
        return -ENOMEM;
    }
    for (int i = 0; argv[i] != NULL; i++) {
        memcpy(words->text + n, argv[i], strlen(argv[i]) + 1);
        n += strlen(argv[i]) + 1;
    }
    for (size_t i = 0; i < size; i++)
        words->raw[i] = i;
    words->size = size;
    return 0;
}

/* --- options --- */

enum role {
    ROLE_OTHER, /* an option that we only keep */
    ROLE_JOBS,
    ROLE_JOBSERVER,
    ROLE_NO_BUILD, /* make only says something: -n, -q, -p, -h, -v */
    ROLE_WORD,     /* no option: a variable definition, a goal */
    ROLE_END,      /* "--" */
};

enum argument {
    ARGUMENT_NONE,
    ARGUMENT_REQUIRED, /* attached, else the next word, whatever it is */
    ARGUMENT_OPTIONAL, /* attached only */
    ARGUMENT_NUMBER,   /* attached, else the next word if it is all digits */
};

struct syntax {
    const char *name;
    enum argument argument;
    enum role role;
};

/* Of make 4.4.1, which has all of 4.3's. The others are here for their arguments, and because a
 * name may be cut short as long as no other begins with the same letters. */
static const struct syntax long_options[] = {
    {"always-make", ARGUMENT_NONE, ROLE_OTHER},
    {"assume-new", ARGUMENT_REQUIRED, ROLE_OTHER},
    {"assume-old", ARGUMENT_REQUIRED, ROLE_OTHER},
    {"check-symlink-times", ARGUMENT_NONE, ROLE_OTHER},
    {"debug", ARGUMENT_OPTIONAL, ROLE_OTHER},
    {"directory", ARGUMENT_REQUIRED, ROLE_OTHER},
    {"dry-run", ARGUMENT_NONE, ROLE_NO_BUILD},
    {"environment-overrides", ARGUMENT_NONE, ROLE_OTHER},
    {"eval", ARGUMENT_REQUIRED, ROLE_OTHER},
    {"file", ARGUMENT_REQUIRED, ROLE_OTHER},
    {"help", ARGUMENT_NONE, ROLE_NO_BUILD},
    {"ignore-errors", ARGUMENT_NONE, ROLE_OTHER},
    {"include-dir", ARGUMENT_REQUIRED, ROLE_OTHER},
    {"jobs", ARGUMENT_NUMBER, ROLE_JOBS},
    {"jobserver-auth", ARGUMENT_REQUIRED, ROLE_JOBSERVER},
    {"jobserver-fds", ARGUMENT_REQUIRED, ROLE_JOBSERVER},
    {"jobserver-style", ARGUMENT_REQUIRED, ROLE_OTHER},
    {"just-print", ARGUMENT_NONE, ROLE_NO_BUILD},
    {"keep-going", ARGUMENT_NONE, ROLE_OTHER},
    {"load-average", ARGUMENT_OPTIONAL, ROLE_OTHER},
    {"makefile", ARGUMENT_REQUIRED, ROLE_OTHER},
    {"max-load", ARGUMENT_OPTIONAL, ROLE_OTHER},
    {"new-file", ARGUMENT_REQUIRED, ROLE_OTHER},
    {"no-builtin-rules", ARGUMENT_NONE, ROLE_OTHER},
    {"no-builtin-variables", ARGUMENT_NONE, ROLE_OTHER},
    {"no-keep-going", ARGUMENT_NONE, ROLE_OTHER},
    {"no-print-directory", ARGUMENT_NONE, ROLE_OTHER},
    {"no-silent", ARGUMENT_NONE, ROLE_OTHER},
    {"old-file", ARGUMENT_REQUIRED, ROLE_OTHER},
    {"output-sync", ARGUMENT_OPTIONAL, ROLE_OTHER},
    {"print-data-base", ARGUMENT_NONE, ROLE_NO_BUILD},
    {"print-directory", ARGUMENT_NONE, ROLE_OTHER},
    {"question", ARGUMENT_NONE, ROLE_NO_BUILD},
    {"quiet", ARGUMENT_NONE, ROLE_OTHER},
    {"recon", ARGUMENT_NONE, ROLE_NO_BUILD},
    {"shuffle", ARGUMENT_OPTIONAL, ROLE_OTHER},
    {"silent", ARGUMENT_NONE, ROLE_OTHER},
    {"stop", ARGUMENT_NONE, ROLE_OTHER},
    {"sync-mutex", ARGUMENT_REQUIRED, ROLE_OTHER},
    {"temp-stdin", ARGUMENT_REQUIRED, ROLE_OTHER},
    {"touch", ARGUMENT_NONE, ROLE_OTHER},
    {"trace", ARGUMENT_NONE, ROLE_OTHER},
    {"version", ARGUMENT_NONE, ROLE_NO_BUILD},
    {"warn-undefined-variables", ARGUMENT_NONE, ROLE_OTHER},
    {"what-if", ARGUMENT_REQUIRED, ROLE_OTHER},
};

static const struct syntax unknown_option = {"", ARGUMENT_NONE, ROLE_OTHER};

static struct syntax
long_syntax(const char *name, size_t length)
{
    const struct syntax *found = NULL;

    for (size_t i = 0; i < sizeof(long_options) / sizeof(*long_options); i++) {
        const struct syntax *candidate = &long_options[i];

        if (strncmp(candidate->name, name, length) != 0)
            continue;
        if (candidate->name[length] == '\0')
            return *candidate;
        found = found == NULL ? candidate : &unknown_option;
    }
    return found != NULL ? *found : unknown_option;
}

static struct syntax
short_syntax(char letter)
{
    switch (letter) {
    case 'j':
        return (struct syntax){"jobs", ARGUMENT_NUMBER, ROLE_JOBS};
    case 'J': /* bmake's; make has none */
        return (struct syntax){"jobserver", ARGUMENT_REQUIRED, ROLE_JOBSERVER};
    case 'C':
    case 'E':
    case 'I':
    case 'W':
    case 'f':
    case 'o':
        return (struct syntax){"", ARGUMENT_REQUIRED, ROLE_OTHER};
    case 'O':
    case 'l':
        return (struct syntax){"", ARGUMENT_OPTIONAL, ROLE_OTHER};
    case 'h':
    case 'n':
    case 'p':
    case 'q':
    case 'v':
        return (struct syntax){"", ARGUMENT_NONE, ROLE_NO_BUILD};
    default:
        return unknown_option;
    }
}

/* Places are in the value of MAKEFLAGS. */
struct option {
    enum role role;
    const char *value; /* unquoted; NULL: none */
    size_t begin, end; /* the option, with its argument */
    size_t cut;        /* from here to `end` is what to take out, so that nothing of it remains */
    size_t word;       /* its word begins, */
    size_t before;     /* and the word before that ends (0: there is none) */
    bool first;        /* its word is the first, */
    bool implied;      /* and a group of letters without a dash */
    bool unfinished;   /* its argument is missing: it would take whatever comes next */
};

#define NO_LETTER SIZE_MAX

struct scan {
    const struct words *words;
    size_t at;          /* in words->text: the next word, */
    size_t letter;      /* the next letter of a group, or NO_LETTER, */
    size_t group;       /* the first letter of that group */
    size_t end;         /* where the last word ends that was taken */
    struct option word; /* what all options of a group have in common */
};

static void
scan_start(struct scan *scan, const struct words *words)
{
    *scan = (struct scan){.words = words, .letter = NO_LETTER};
}

static const char *
take_word(struct scan *scan)
{
    const char *text = scan->words->text + scan->at;

    scan->at += strlen(text) + 1;
    scan->end = scan->words->raw[scan->at - 1];
    return text;
}

/* Where the command's name comes first. */
static void
scan_start_behind_name(struct scan *scan, const struct words *words)
{
    scan_start(scan, words);
    if (words->size > 0)
        take_word(scan);
}

/* The argument is not attached: it is the next word, or there is none. */
static void
take_argument(struct scan *scan, enum argument argument, struct option *option)
{
    const char *next = scan->at < scan->words->size ? scan->words->text + scan->at : NULL;

    if (argument == ARGUMENT_REQUIRED && next == NULL)
        option->unfinished = true;
    if (next == NULL || argument == ARGUMENT_NONE || argument == ARGUMENT_OPTIONAL)
        return;
    if (argument == ARGUMENT_NUMBER && next[strspn(next, "0123456789")] != '\0')
        return;
    option->value = take_word(scan);
    option->end = scan->end;
}

static void
scan_long(struct scan *scan, const char *name, struct option *option)
{
    size_t length = strcspn(name, "=");
    struct syntax syntax = long_syntax(name, length);

    if (name[length] == '=' && syntax.argument == ARGUMENT_NONE)
        return; /* getopt refuses it */
    option->role = syntax.role;
    if (name[length] == '=')
        option->value = name + length + 1;
    else
        take_argument(scan, syntax.argument, option);
}

static void
scan_letter(struct scan *scan, struct option *option)
{
    const char *rest = scan->words->text + scan->letter + 1;
    struct syntax syntax = short_syntax(rest[-1]);

    *option = scan->word;
    option->role = syntax.role;
    if (scan->letter != scan->group)
        option->begin = option->cut = scan->words->raw[scan->letter];
    scan->letter = NO_LETTER;
    if (*rest == '\0')
        take_argument(scan, syntax.argument, option);
    else if (syntax.argument == ARGUMENT_NONE)
        scan->letter = (size_t)(rest - scan->words->text);
    else
        option->value = rest;
}

/* As in make, a first word with neither a dash before it nor a '=' in it is a group of letters. */
static void
scan_word(struct scan *scan, struct option *option)
{
    size_t start = scan->at, before = scan->end, begin = scan->words->raw[start];
    const char *text = take_word(scan);
    bool implied = start == 0 && text[0] != '-' && strchr(text, '=') == NULL;

    scan->word = (struct option){.role = ROLE_OTHER,
                                 .begin = begin,
                                 .end = scan->end,
                                 .cut = before,
                                 .word = begin,
                                 .before = before,
                                 .first = start == 0,
                                 .implied = implied};
    *option = scan->word;
    if (strcmp(text, "--") == 0) {
        option->role = ROLE_END;
        scan->at = scan->words->size;
    } else if (strncmp(text, "--", 2) == 0) {
        scan_long(scan, text + 2, option);
    } else if (implied || (text[0] == '-' && text[1] != '\0')) {
        scan->group = scan->letter = start + (implied ? 0 : 1);
        scan_letter(scan, option);
    } else {
        option->role = ROLE_WORD;
    }
}

/* false: there are no more. Nothing comes after ROLE_END. */
static bool
scan_next(struct scan *scan, struct option *option)
{
    if (scan->letter != NO_LETTER)
        scan_letter(scan, option);
    else if (scan->at < scan->words->size)
        scan_word(scan, option);
    else
        return false;
    return true;
}

/* --- reading --- */

void
auth_clear(struct auth *auth)
{
    free(auth->path);
    *auth = (struct auth){.kind = AUTH_NONE, .read_fd = -1, .write_fd = -1};
}

/* As make's sscanf("%d,%d") reads them: white space before a number and anything after the second
 * is passed over. It lets 2^32 + 3 be 3; we do not. */
static bool
parse_fds(const char *text, struct auth *auth)
{
    long fds[2];
    char *end;

    for (int i = 0; i < 2; i++) {
        errno = 0;
        fds[i] = strtol(text, &end, 10);
        if (end == text || errno == ERANGE || fds[i] < INT_MIN || fds[i] > INT_MAX)
            return false;
        if (i == 0 && *end != ',')
            return false;
        text = end + 1;
    }
    auth->kind = fds[0] < 0 || fds[1] < 0 ? AUTH_CLOSED : AUTH_PIPE;
    auth->read_fd = (int)fds[0];
    auth->write_fd = (int)fds[1];
    return true;
}

static int
parse_value(const char *value, struct auth *auth)
{
    struct auth parsed = {.kind = AUTH_FIFO, .read_fd = -1, .write_fd = -1};

    if (value == NULL)
        return -EINVAL;
    if (strncmp(value, FIFO_PREFIX, strlen(FIFO_PREFIX)) != 0) {
        if (!parse_fds(value, &parsed))
            return -EINVAL;
    } else {
        if (value[strlen(FIFO_PREFIX)] == '\0')
            return -EINVAL;
        parsed.path = strdup(value + strlen(FIFO_PREFIX));
        if (parsed.path == NULL)
            return -ENOMEM;
    }
    *auth = parsed;
    return 0;
}

/* NULL if there is no memory for it. */
static char *
describe_bad_option(const char *flags, const struct option *option)
{
    char quoted[QUOTED_MAX + 1], *error;
    const size_t length = option->end - option->begin;

    snprintf(quoted, sizeof(quoted), "%.*s", length < QUOTED_MAX ? (int)length : QUOTED_MAX,
             flags + option->begin);
    make_printable_text(quoted, sizeof(quoted));
    if (asprintf(&error, "%s: not R,W and not fifo:PATH", quoted) < 0)
        return NULL;
    return error;
}

int
auth_parse(const char *makeflags, struct auth *auth, char **error)
{
    const char *flags = makeflags != NULL ? makeflags : "";
    struct option option, last = {.role = ROLE_OTHER};
    struct words words;
    struct scan scan;
    int rc;

    *error = NULL;
    rc = words_split(&words, flags);
    if (rc < 0)
        return rc;
    scan_start(&scan, &words);
    while (scan_next(&scan, &option))
        if (option.role == ROLE_JOBSERVER)
            last = option;
    if (last.role != ROLE_JOBSERVER)
        *auth = (struct auth){.kind = AUTH_NONE, .read_fd = -1, .write_fd = -1};
    else
        rc = parse_value(last.value, auth);
    if (rc == -EINVAL) {
        *error = describe_bad_option(flags, &last);
        if (*error == NULL)
            rc = -ENOMEM;
    }
    words_clear(&words);
    return rc;
}

static unsigned
parse_jobs(const char *value)
{
    char *end;

    if (value == NULL || value[0] < '0' || value[0] > '9')
        return 0;
    errno = 0;
    unsigned long jobs = strtoul(value, &end, 10);
    return *end == '\0' && errno == 0 && jobs <= UINT_MAX ? (unsigned)jobs : 0;
}

enum auth_kind
auth_kind_of(const char *makeflags)
{
    struct auth auth;
    char *error;

    if (auth_parse(makeflags, &auth, &error) < 0) {
        free(error);
        return AUTH_NONE;
    }
    const enum auth_kind kind = auth.kind;
    auth_clear(&auth);
    return kind;
}

unsigned
auth_jobs(const char *makeflags)
{
    struct option option;
    struct words words;
    struct scan scan;
    unsigned jobs = 0;

    if (makeflags == NULL || words_split(&words, makeflags) < 0)
        return 0;
    scan_start(&scan, &words);
    while (scan_next(&scan, &option))
        if (option.role == ROLE_JOBS)
            jobs = parse_jobs(option.value);
    words_clear(&words);
    return jobs;
}

static void
note_option(struct auth_command *command, const struct option *option)
{
    if (option->role == ROLE_NO_BUILD)
        command->builds = false;
    if (option->role == ROLE_JOBSERVER)
        command->names_jobserver = true;
    if (option->role != ROLE_JOBS)
        return;
    command->jobs = parse_jobs(option->value);
    command->makes_sense &= option->value == NULL || command->jobs > 0;
    command->has_jobs = true;
}

int
auth_read_command(char *const argv[], struct auth_command *command)
{
    struct auth_command read = {.builds = true, .makes_sense = true};
    struct option option;
    struct words words;
    struct scan scan;
    int rc = words_join(&words, argv);

    if (rc < 0)
        return rc;
    scan_start_behind_name(&scan, &words);
    while (scan_next(&scan, &option))
        note_option(&read, &option);
    words_clear(&words);
    *command = read;
    return 0;
}

/* --- writing --- */

static char *
quote(char *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '$')
            *out++ = '$';
        else if (strchr(BLANKS "\\", *text) != NULL)
            *out++ = '\\';
        *out++ = *text;
    }
    *out = '\0';
    return out;
}

char *
auth_format(const struct auth *auth)
{
    static const char prefix[] = "--jobserver-auth=" FIFO_PREFIX;
    char *text = NULL;

    switch (auth->kind) {
    case AUTH_NONE:
        return strdup("");
    case AUTH_PIPE:
    case AUTH_CLOSED:
        if (asprintf(&text, "--jobserver-auth=%d,%d", auth->read_fd, auth->write_fd) < 0)
            return NULL;
        return text;
    case AUTH_FIFO:
        text = malloc(sizeof(prefix) + 2 * strlen(auth->path));
        if (text != NULL)
            quote(stpcpy(text, prefix), auth->path);
        return text;
    }
    return NULL; /* unreachable: these are all kinds */
}

#define NOWHERE SIZE_MAX

/* What auth_replace() does to a value of MAKEFLAGS. Places are in that value. */
struct edit {
    const char *flags;
    bool *drop;       /* for each of its bytes */
    bool kept;        /* an option or word that stays has been seen, */
    bool dropped;     /* and one that does not */
    size_t lone_dash; /* here comes a "-", which make passes over, or NOWHERE */
    size_t insert;    /* here come the new options, */
    bool first;       /* as the first words, */
    bool implied;     /* before a group of letters that now needs its dash */
};

static bool
is_replaced(const struct option *option)
{
    return option->role == ROLE_JOBS || option->role == ROLE_JOBSERVER;
}

/* With all words before it gone, a word that is no option would become something else: a goal a
 * group of letters, and leading white space would be lost. */
static bool
needs_lone_dash(const struct edit *edit, const struct option *option)
{
    const char *text = edit->flags + option->begin;

    if (edit->kept || !edit->dropped || option->role != ROLE_WORD)
        return false;
    return strchr(WHITESPACE, text[0]) != NULL ||
           (text[0] != '-' && memchr(text, '=', option->end - option->begin) == NULL);
}

static void
edit_option(struct edit *edit, const struct option *option)
{
    edit->insert = option->end;
    if (is_replaced(option)) {
        memset(edit->drop + option->cut, true, option->end - option->cut);
        edit->dropped = true;
        return;
    }
    if (needs_lone_dash(edit, option))
        edit->lone_dash = option->before;
    edit->kept = true;
}

/* The new options stand behind the last word, but before a "--", and before a word that would take
 * them for its own. */
static void
plan_insertion(struct edit *edit, const struct option *last, bool open)
{
    bool takes_all = !is_replaced(last) && (open || last->unfinished);

    if (last->role != ROLE_END && !takes_all)
        return;
    edit->insert = last->first ? last->word : last->before;
    edit->first = last->first;
    edit->implied = last->implied;
}

static void
plan_edit(struct edit *edit, const struct words *words)
{
    struct option option;
    struct scan scan;

    if (words->size == 0) {
        memset(edit->drop, true, edit->insert);
        return;
    }
    scan_start(&scan, words);
    while (scan_next(&scan, &option))
        edit_option(edit, &option);
    plan_insertion(edit, &option, words->open);
}

/* NULL: out of memory. A leading blank, where nothing stands before, is what make writes too: the
 * first word of MAKEFLAGS is for single letters, and makefiles look for an 'n' in it. */
static char *
apply_edit(const struct edit *edit, const char *options)
{
    size_t length = strlen(edit->flags);
    char *text = malloc(length + strlen(options) + sizeof("-  -")), *out = text;

    if (text == NULL)
        return NULL;
    for (size_t i = 0; i <= length; i++) {
        if (i == edit->lone_dash)
            *out++ = '-';
        if (i == edit->insert && *options != '\0') {
            if (!edit->first || i == 0)
                *out++ = ' ';
            out = stpcpy(out, options);
            if (edit->first)
                out = stpcpy(out, edit->implied ? " -" : " ");
        }
        if (i < length && !edit->drop[i])
            *out++ = edit->flags[i];
    }
    *out = '\0';
    return text;
}

/* "-jN --jobserver-auth=...", or one of them, or "". NULL: out of memory. */
static char *
format_options(const struct auth *auth, unsigned jobs)
{
    char *named = auth_format(auth), *options = NULL;

    if (named == NULL || jobs == 0)
        return named;
    if (asprintf(&options, *named != '\0' ? "-j%u %s" : "-j%u%s", jobs, named) < 0)
        options = NULL;
    free(named);
    return options;
}

char *
auth_replace(const char *makeflags, const struct auth *auth, unsigned jobs)
{
    struct edit edit = {.flags = makeflags != NULL ? makeflags : "", .lone_dash = NOWHERE};
    char *options, *result = NULL;
    struct words words;

    edit.insert = strlen(edit.flags);
    edit.drop = calloc(edit.insert + 1, sizeof(bool));
    options = format_options(auth, jobs);
    if (edit.drop != NULL && options != NULL && words_split(&words, edit.flags) == 0) {
        plan_edit(&edit, &words);
        result = apply_edit(&edit, options);
        words_clear(&words);
    }
    free(options);
    free(edit.drop);
    return result;
}

/* Takes what is dropped out of the words. */
static void
words_cut(struct words *words, const bool *drop)
{
    size_t n = 0;

    for (size_t i = 0; i < words->size; i++)
        if (!drop[i])
            words->text[n++] = words->text[i];
    words->size = n;
}

/* In one allocation. NULL: out of memory. */
static char **
words_to_argv(const struct words *words)
{
    size_t count = 0, n = 0;

    for (size_t i = 0; i < words->size; i++)
        count += words->text[i] == '\0';
    char **argv = malloc((count + 1) * sizeof(*argv) + words->size);
    if (argv == NULL)
        return NULL;
    char *text = memcpy(argv + count + 1, words->text, words->size);
    for (size_t at = 0; at < words->size; at += strlen(text + at) + 1)
        argv[n++] = text + at;
    argv[n] = NULL;
    return argv;
}

char **
auth_drop_jobs(char *const argv[])
{
    char **result = NULL;
    struct option option;
    struct words words;
    struct scan scan;

    if (words_join(&words, argv) < 0)
        return NULL;
    bool *drop = calloc(words.size + 1, sizeof(bool));
    if (drop != NULL) {
        scan_start_behind_name(&scan, &words);
        while (scan_next(&scan, &option))
            if (option.role == ROLE_JOBS)
                memset(drop + option.cut, true, option.end - option.cut);
        words_cut(&words, drop);
        result = words_to_argv(&words);
    }
    free(drop);
    words_clear(&words);
    return result;
}

int
auth_parse_named(const char *text, struct auth *auth)
{
    int read_fd, write_fd, end = -1;

    if (sscanf(text, "%d,%d%n", &read_fd, &write_fd, &end) == 2 && text[end] == '\0') {
        *auth = (struct auth){.kind = AUTH_PIPE, .read_fd = read_fd, .write_fd = write_fd};
        return 0;
    }
    if (strncmp(text, "fifo:", strlen("fifo:")) == 0)
        text += strlen("fifo:");
    char *path = strdup(text);
    if (!path)
        return -ENOMEM;
    *auth = (struct auth){.kind = AUTH_FIFO, .path = path, .read_fd = -1, .write_fd = -1};
    return 0;
}
