/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/classes/rules_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libjobserver/environment.h"
#include "libjobserver/program/message.h"
#include "libjobserver/program/usage.h"

/* *wrong: why the file will not do, a line to be freed; NULL: there is no memory for it. */
__attribute__((format(printf, 2, 3))) static void
explain(char **wrong, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    if (vasprintf(wrong, format, arguments) < 0)
        *wrong = NULL;
    va_end(arguments);
}

static int
refuse(char **wrong, const char *path, const char *reason)
{
    explain(wrong, "--class-rules: '%s': %s", path, reason);
    return -1;
}

/* It is named to other programs as well, so what only this one has open will not do. The descriptor, or -1. */
static int
open_file(const char *path, char **wrong)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return refuse(wrong, path, strerror(errno));
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
        return fd;
    close(fd);
    return refuse(wrong, path, "not a regular file");
}

/* `text` has room for a NUL beside the most that is read. 0 or -1. */
static int
read_text(const char *path, char *text, char **wrong)
{
    size_t length = 0;
    ssize_t r;
    int fd = open_file(path, wrong);

    if (fd < 0)
        return -1;
    while ((r = read(fd, text + length, CLASS_RULES_FILE_SIZE_MAX + 1 - length)) > 0)
        length += (size_t)r;
    const int error = errno;
    close(fd);
    if (r < 0)
        return refuse(wrong, path, strerror(error));
    if (length > CLASS_RULES_FILE_SIZE_MAX)
        return refuse(wrong, path, "larger than 64 KiB");
    text[length] = '\0';
    return strlen(text) == length ? 0
                                  : refuse(wrong, path, "not a text file: it contains a NUL byte");
}

/* NULL: it will not do. */
static struct class_rules *
read_rules(const char *path, char **wrong)
{
    struct class_rules_error error;
    char *text = malloc(CLASS_RULES_FILE_SIZE_MAX + 2);
    struct class_rules *rules = NULL;

    if (!text)
        refuse(wrong, path, strerror(ENOMEM));
    else if (read_text(path, text, wrong) == 0) {
        rules = class_rules_create(text, &error);
        if (!rules && *error.word)
            explain(wrong, "%s:%u: '%s' %s", path, error.line, error.word, error.reason);
        else if (!rules)
            explain(wrong, "%s:%u: %s", path, error.line, error.reason);
    }
    free(text);
    return rules;
}

struct class_rules *
class_rules_read(const char *path)
{
    char *wrong = NULL;
    struct class_rules *rules = read_rules(path, &wrong);

    if (rules)
        return rules;
    message("%s", wrong ? wrong : strerror(ENOMEM));
    exit(EXIT_USAGE);
}

struct class_rules *
class_rules_inherit(bool tells)
{
    const char *path = environment_class_rules();
    char *wrong = NULL;
    struct class_rules_error error;
    struct class_rules *rules = path ? read_rules(path, &wrong) : NULL;

    if (path && !rules && tells)
        message("%s; only the built-in rules count", wrong ? wrong : strerror(ENOMEM));
    free(wrong);
    if (!rules)
        rules = class_rules_create(NULL, &error);
    if (rules)
        return rules;
    message("the rules of classes: %s", error.reason);
    exit(EXIT_OURS);
}
