/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * steved.conf, and what steved makes of it. An input is the file. Whatever stands there, either it is refused in one
 * line that names the file, or what was understood can be served.
 */

#include <ctype.h>
#include <getopt.h>
#include <setjmp.h>
#include <stdarg.h>

#include "libjobserver/pool/pool.h"
#include "steved/config.h"
#include "steved/options.h"
#include "tests/fuzz/input.h"

#define PATH "/etc/steved.conf"

static struct {
    const char *file;
    char *text; /* as config_read() has given it, as long as it is read */
    struct options options;
    unsigned messages;
    bool may_exit;
    int status;
    jmp_buf end;
} world;

/* --- instead of the file, standard error and the end of the program --- */

int __wrap_config_read(const char *path, char **text);
void __wrap_message(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void __wrap_exit(int status);
_Noreturn void __real_exit(int status);

int
__wrap_config_read(const char *path, char **text)
{
    world.text = *text = strdup(world.file);
    ALWAYS(*text && strcmp(path, PATH) == 0);
    return 0;
}

void
__wrap_message(const char *format, ...)
{
    va_list arguments;
    char *text;

    va_start(arguments, format);
    ALWAYS(vasprintf(&text, format, arguments) >= 0);
    va_end(arguments);
    /* What no line tells alone is found when all of them have been read, and may name no file. */
    bool is_of_line = strncmp(text, PATH ":", sizeof(PATH)) == 0 && isdigit(text[sizeof(PATH)]);
    ALWAYS(is_of_line || strstr(text, "--"));
    if (!is_of_line)
        world.text = NULL;
    ALWAYS(!strchr(text, '\n') && world.messages++ == 0);
    free(text);
}

_Noreturn void
__wrap_exit(int status)
{
    if (!world.may_exit) /* libFuzzer does, too */
        __real_exit(status);
    world.status = status;
    longjmp(world.end, 1);
}

/* --- lines --- */

static void
check_lines(char *text)
{
    size_t size = strlen(text) + 1;
    char *room = malloc(size), *words = room, *rest = text;
    struct config_line line = {0};
    unsigned last = 0;

    ALWAYS(room);
    while (config_next(&rest, &words, &line)) {
        ALWAYS(line.number > last && line.text[0] && line.text[0] != '#');
        ALWAYS(line.name >= room && words <= room + size);
        ALWAYS(strlen(line.name) + (line.value ? strlen(line.value) : 0) <= strlen(line.text));
        ALWAYS(!strchr(line.name, '=') && !strchr(line.text, '\n'));
        last = line.number;
    }
    free(room);
}

/* --- options --- */

static void
check_options(const struct options *options)
{
    ALWAYS(!world.messages && !options->device != !options->mount_dir);
    ALWAYS(options->jobs >= 1 && options->jobs <= POOL_CAPACITY_MAX);
    ALWAYS(options->min_jobs >= 1 && options->min_jobs <= options->jobs);
    ALWAYS(options->per_process_limit <= POOL_CAPACITY_MAX);
    ALWAYS(options->per_user_limit <= POOL_CAPACITY_MAX);
    ALWAYS(options->idle_timeout_ms == 0 || options->mount_dir);
    ALWAYS(!options->device || (options->device[0] && !strchr(options->device, '/')));
    ALWAYS(!options->mount_dir || options->mount_dir[0]);
    ALWAYS(options->group[0] && (!options->user || options->user[0]));
    ALWAYS(!options->only_checks);
}

static void
check_file(void)
{
    char *argv[] = {(char[]){"steved"}, (char[]){"--config=" PATH}, NULL};

    optind = 1;
    world.may_exit = true;
    if (setjmp(world.end) == 0) {
        options_parse(&world.options, 2, argv);
        world.text = NULL;
        check_options(&world.options);
    } else {
        ALWAYS(world.status == 2 && world.messages == 1);
    }
    world.may_exit = false;
    free(world.text);
    free(world.options.files[0]);
    ALWAYS(!world.options.files[1]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    char *text = malloc(size + 1);

    ALWAYS(text);
    input_bytes(&input, text, size);
    text[size] = '\0';
    memset(&world, 0, sizeof(world));
    world.file = text;
    check_file();
    check_lines(text);
    free(text);
    return 0;
}
