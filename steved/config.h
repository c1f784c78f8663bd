/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Configuration files, as steved.conf(5) describes them: what stands in them, not what it means. */

#include <stdbool.h>
#include <stddef.h>

#define CONFIG_SIZE_MAX 65536

/* A line that is neither empty nor a comment. */
struct config_line {
    unsigned number;
    const char *text; /* as it stands there, without blanks around it */
    const char *name;
    const char *value; /* NULL: there is no '=' */
};

/* The next one. *rest: the text, and then what is left of it; NULL at the end. *words: where there is room for as
 * many bytes as in the text; names and values are copied there one after the other. false: there is no more. */
bool config_next(char **rest, char **words, struct config_line *line);

/* The whole file. 0 and *text, to be freed; -EFBIG: more than CONFIG_SIZE_MAX; -EILSEQ: it has a NUL; -ESPIPE: it is
 * a pipe or a terminal, which cannot be read twice; or another negative errno. */
int config_read(const char *path, char **text);

/* The user's own file, $XDG_CONFIG_HOME/steved.conf or ~/.config/steved.conf. To be freed; NULL: there can be
 * none. */
char *config_user_path(void);
