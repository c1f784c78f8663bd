/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/classes/rules_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libjobserver/environment.h"
#include "libjobserver/program/message.h"
#include "libjobserver/program/usage.h"

static _Noreturn void
refuse(const char *path, const char *reason)
{
    message("--class-rules: '%s': %s", path, reason);
    exit(EXIT_USAGE);
}

/* It is named to other programs as well, so what only this one has open will not do. */
static int
open_file(const char *path)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0 || fstat(fd, &status) < 0)
        refuse(path, strerror(errno));
    if (!S_ISREG(status.st_mode))
        refuse(path, "not a regular file");
    return fd;
}

static char *
read_file(const char *path)
{
    char *text = malloc(CLASS_RULES_FILE_SIZE_MAX + 1);
    size_t length = 0;
    ssize_t r;

    if (!text)
        refuse(path, strerror(ENOMEM));
    int fd = open_file(path);
    while ((r = read(fd, text + length, CLASS_RULES_FILE_SIZE_MAX + 1 - length)) > 0)
        length += (size_t)r;
    if (r < 0)
        refuse(path, strerror(errno));
    close(fd);
    if (length > CLASS_RULES_FILE_SIZE_MAX)
        refuse(path, "larger than 64 KiB");
    text[length] = '\0';
    if (strlen(text) != length)
        refuse(path, "not a text: there is a NUL in it");
    return text;
}

static _Noreturn void
refuse_rule(const char *path, const struct class_rules_error *error)
{
    if (*error->word)
        message("%s:%u: '%s' %s", path, error->line, error->word, error->reason);
    else
        message("%s:%u: %s", path, error->line, error->reason);
    exit(EXIT_USAGE);
}

struct class_rules *
class_rules_read(const char *path)
{
    struct class_rules_error error;

    if (!path)
        path = environment_class_rules();
    char *text = path ? read_file(path) : NULL;
    struct class_rules *rules = class_rules_create(text, &error);
    free(text);
    if (rules)
        return rules;
    if (error.line > 0)
        refuse_rule(path, &error);
    message("the rules of classes: %s", error.reason);
    exit(EXIT_OURS);
}
