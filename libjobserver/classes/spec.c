/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/classes/spec.h"

#include <stddef.h>
#include <string.h>

#include "libjobserver/pool/pool.h"
#include "libjobserver/program/usage.h"

#define QUOTE(text) #text
#define TEXT_OF(macro) QUOTE(macro)
#define LETTERS "abcdefghijklmnopqrstuvwxyz"

bool
class_name_is_valid(const char *name)
{
    static const char *const taken[] = {"cpu", "jobserver", "control"};
    size_t length = strlen(name);

    for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
        if (strcmp(name, taken[i]) == 0)
            return false;
    return length > 0 && length < STEVED_CLASS_NAME_SIZE && strspn(name, LETTERS) > 0 &&
           strspn(name, LETTERS "0123456789_-") == length;
}

static struct class_spec *
find(struct class_specs *specs, const char *name)
{
    for (unsigned i = 0; i < specs->count; i++)
        if (strcmp(specs->specs[i].name, name) == 0)
            return &specs->specs[i];
    return specs->count < STEVED_CLASSES_MAX ? &specs->specs[specs->count++] : NULL;
}

const char *
class_specs_add(struct class_specs *specs, const char *text)
{
    struct class_spec parsed = {0};
    const char *equals = strchr(text, '=');
    size_t length = equals ? (size_t)(equals - text) : 0;

    if (length == 0)
        return "NAME=N";
    if (length >= sizeof(parsed.name))
        return "NAME=N, with a NAME of at most 31 characters";
    memcpy(parsed.name, text, length);
    if (!class_name_is_valid(parsed.name))
        return "NAME=N, with a NAME of a lower-case letter and then a-z, 0-9, '_' and '-' which is "
               "neither cpu, jobserver nor control";
    if (!usage_parse_number(equals + 1, 0, POOL_CAPACITY_MAX, &parsed.jobs))
        return "NAME=N, with a number N from 0 to 65536";
    struct class_spec *spec = find(specs, parsed.name);
    if (!spec)
        return "allowed: a server has at most " TEXT_OF(STEVED_CLASSES_MAX) " classes";
    *spec = parsed;
    return NULL;
}
