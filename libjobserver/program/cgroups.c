/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * /proc/self/cgroup says which group it is, by its path in the hierarchy; /proc/self/mountinfo which part
 * of the hierarchy is mounted where. In a container the path may begin above what is mounted.
 */
#include "libjobserver/program/cgroups.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A part of a hierarchy: `root`, as a path in it, is mounted at `directory`. */
struct mount {
    char *root, *directory;
};

struct search {
    const char *files_root, *controller;
    struct cgroup *groups;
    int count;
};

/* --- words --- */

/* In a list with commas. */
static bool
has_word(const char *list, const char *word)
{
    size_t length = strlen(word);

    for (const char *at = list; (at = strstr(at, word)); at += length)
        if ((at == list || at[-1] == ',') && (at[length] == '\0' || at[length] == ','))
            return true;
    return false;
}

/* Blanks and the like are written as \040. */
static void
decode(char *text)
{
    char *to = text;

    for (const char *from = text; *from; from++, to++) {
        unsigned code;
        if (*from == '\\' && sscanf(from, "\\%3o", &code) == 1 && code > 0 && code < 256) {
            *to = (char)code;
            from += 3;
        } else {
            *to = *from;
        }
    }
    *to = '\0';
}

static FILE *
open_file(const char *root, const char *name)
{
    char *path;

    if (asprintf(&path, "%s%s", root, name) < 0)
        return NULL;
    FILE *file = fopen(path, "re");
    free(path);
    return file;
}

/* --- which group --- */

/* The line "N:CONTROLLERS:PATH" of this hierarchy. NULL: there is none. To be freed. */
static char *
find_path(const struct search *search, bool is_version_2)
{
    FILE *file = open_file(search->files_root, "/proc/self/cgroup");
    char *line = NULL, *path = NULL;
    size_t size = 0;

    while (file && !path && getline(&line, &size, file) > 0) {
        char *rest = line;
        line[strcspn(line, "\n")] = '\0';
        strsep(&rest, ":");
        const char *controllers = strsep(&rest, ":");
        if (rest &&
            (is_version_2 ? *controllers == '\0' : has_word(controllers, search->controller)))
            path = strdup(rest);
    }
    free(line);
    if (file)
        fclose(file);
    return path;
}

/* --- where it is mounted --- */

/* The rest of `path` behind `root`; NULL: it is not below it. What is outside of a namespace begins with
 * "..". */
static const char *
path_below(const char *path, const char *root)
{
    size_t length = strcmp(root, "/") == 0 ? 0 : strlen(root);
    const char *rest = path + length;

    if (strncmp(path, root, length) != 0 || (*rest != '/' && *rest != '\0'))
        return NULL;
    if (strncmp(rest, "/..", 3) == 0 && (rest[3] == '/' || rest[3] == '\0'))
        return NULL;
    return strcmp(rest, "/") == 0 ? "" : rest;
}

/* "ID PARENT DEVICE ROOT DIRECTORY OPTIONS [OPTIONAL...] - TYPE SOURCE OPTIONS" */
static bool
is_mount_of(const struct search *search, char *line, bool is_version_2, struct mount *mount)
{
    char *words[5], *rest = line;

    line[strcspn(line, "\n")] = '\0';
    for (size_t i = 0; i < 5; i++)
        words[i] = strsep(&rest, " ");
    char *type = rest ? strstr(rest, " - ") : NULL;
    if (!type)
        return false;
    type += strlen(" - ");
    const char *kind = strsep(&type, " ");
    strsep(&type, " ");
    if (!type ||
        (is_version_2 ? strcmp(kind, "cgroup2") != 0
                      : strcmp(kind, "cgroup") != 0 || !has_word(type, search->controller)))
        return false;
    *mount = (struct mount){.root = words[3], .directory = words[4]};
    decode(mount->root);
    decode(mount->directory);
    return true;
}

/* What shows most of the groups around this one is best; what shows nothing of them (a namespace's edge)
 * at least has a limit of its own. */
static bool
is_better(const struct mount *mount, const struct mount *best, const char *path)
{
    bool is_above = path_below(path, mount->root), best_is_above;

    if (!best->root)
        return true;
    best_is_above = path_below(path, best->root);
    if (is_above != best_is_above)
        return is_above;
    return strlen(mount->root) < strlen(best->root);
}

static struct mount
find_mount(const struct search *search, bool is_version_2, const char *path)
{
    FILE *file = open_file(search->files_root, "/proc/self/mountinfo");
    struct mount best = {0}, mount;
    char *line = NULL;
    size_t size = 0;

    while (file && getline(&line, &size, file) > 0) {
        if (!is_mount_of(search, line, is_version_2, &mount) || !is_better(&mount, &best, path))
            continue;
        free(best.root);
        free(best.directory);
        best = (struct mount){strdup(mount.root), strdup(mount.directory)};
        if (!best.root || !best.directory)
            break;
    }
    free(line);
    if (file)
        fclose(file);
    return best;
}

/* --- the groups --- */

static int
add_group(struct search *search, const char *directory, bool is_version_2)
{
    size_t size = (size_t)(search->count + 1) * sizeof(*search->groups);
    struct cgroup *groups = realloc(search->groups, size);

    if (!groups)
        return -ENOMEM;
    search->groups = groups;
    groups[search->count].is_version_2 = is_version_2;
    groups[search->count].directory = strdup(directory);
    if (!groups[search->count].directory)
        return -ENOMEM;
    search->count++;
    return 0;
}

static int
add_levels(struct search *search, const struct mount *mount, const char *path, bool is_version_2)
{
    const char *below = path_below(path, mount->root);
    size_t top = strlen(search->files_root) + strlen(mount->directory);
    int result = 0;
    char *directory;

    if (asprintf(&directory, "%s%s%s", search->files_root, mount->directory, below ? below : "") <
        0)
        return -ENOMEM;
    for (int level = 0; level < CGROUPS_MAX && result == 0; level++) {
        result = add_group(search, directory, is_version_2);
        char *slash = strrchr(directory, '/');
        if (strlen(directory) <= top || !slash)
            break;
        *slash = '\0';
    }
    free(directory);
    return result;
}

static int
search_hierarchy(struct search *search, bool is_version_2)
{
    char *path = find_path(search, is_version_2);

    if (!path)
        return 0;
    struct mount mount = find_mount(search, is_version_2, path);
    int result = mount.root && mount.directory ? add_levels(search, &mount, path, is_version_2) : 0;
    free(mount.root);
    free(mount.directory);
    free(path);
    return result;
}

int
cgroups_find(const char *root, const char *controller, struct cgroup **groups)
{
    struct search search = {.files_root = root, .controller = controller};
    int result = search_hierarchy(&search, false);

    if (result == 0)
        result = search_hierarchy(&search, true);
    if (result < 0) {
        cgroups_free(search.groups, search.count);
        return result;
    }
    *groups = search.groups;
    return search.count;
}

void
cgroups_free(struct cgroup *groups, int count)
{
    for (int i = 0; i < count; i++)
        free(groups[i].directory);
    free(groups);
}

int
cgroup_read_numbers(const struct cgroup *group, const char *name, long long numbers[2])
{
    char *path;

    if (asprintf(&path, "%s/%s", group->directory, name) < 0)
        return 0;
    FILE *file = fopen(path, "re");
    free(path);
    if (!file)
        return 0;
    int count = fscanf(file, "%lld %lld", &numbers[0], &numbers[1]);
    fclose(file);
    return count;
}
