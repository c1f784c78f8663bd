/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "steved/config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Without blanks around it. */
static char *
trim(char *text)
{
    char *end = text + strlen(text);

    while (end > text && isspace((unsigned char)end[-1]))
        end--;
    *end = '\0';
    while (isspace((unsigned char)*text))
        text++;
    return text;
}

bool
config_next(char **rest, char **words, struct config_line *line)
{
    char *text;

    while ((text = strsep(rest, "\n"))) {
        line->number++;
        text = trim(text);
        if (*text && *text != '#')
            break;
    }
    if (!text)
        return false;
    size_t size = strlen(text) + 1;
    memcpy(*words, text, size);
    char *value = *words, *name = strsep(&value, "=");
    *words += size;
    line->text = text;
    line->name = trim(name);
    line->value = value ? trim(value) : NULL;
    return true;
}

/* Each server that follows another reads the options anew. From a pipe it would read none, or wait for ever. */
static bool
can_be_read_again(int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 && !S_ISFIFO(status.st_mode) && !isatty(fd);
}

/* 0 or a negative errno; the size is that of all but the NUL. */
static int
read_all(int fd, char *text, size_t *size)
{
    ssize_t length;

    *size = 0;
    do {
        length = read(fd, text + *size, CONFIG_SIZE_MAX + 1 - *size);
        if (length > 0)
            *size += (size_t)length;
    } while (length > 0 || (length < 0 && errno == EINTR));
    text[*size] = '\0';
    if (length < 0)
        return -errno;
    if (*size > CONFIG_SIZE_MAX)
        return -EFBIG;
    return strlen(text) == *size ? 0 : -EILSEQ;
}

int
config_read(const char *path, char **text)
{
    size_t size;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    if (!can_be_read_again(fd)) {
        close(fd);
        return -ESPIPE;
    }
    *text = malloc(CONFIG_SIZE_MAX + 2);
    int result = *text ? read_all(fd, *text, &size) : -ENOMEM;
    close(fd);
    if (result < 0)
        free(*text);
    return result;
}

/* The specification of XDG_CONFIG_HOME: a relative path is to be ignored. */
char *
config_user_path(void)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    char *path;
    int length = -1;

    if (config && config[0] == '/')
        length = asprintf(&path, "%s/steved.conf", config);
    else if (home && home[0] == '/')
        length = asprintf(&path, "%s/.config/steved.conf", home);
    return length < 0 ? NULL : path;
}
