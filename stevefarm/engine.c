/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stevefarm/engine.h"

#include <string.h>

#include "libjobserver/program/usage.h"
#include "stevefarm/answers.h"

#define ICECC_PORT "8766"
#define DISTCC_PORT "3633"
#define SCCACHE_PORT "10600"
#define PORT_MAX 65535u

static const char *
copy(char *to, size_t size, const char *from, size_t length)
{
    if (length == 0 || length >= size)
        return NULL;
    memcpy(to, from, length);
    to[length] = '\0';
    return to;
}

/* HOST, HOST:PORT, [ADDRESS] or [ADDRESS]:PORT, of so many bytes. */
static bool
parse_place(struct place *place, const char *text, size_t length, const char *default_port)
{
    const bool is_bracketed = length > 0 && text[0] == '[';
    const char *host = text + is_bracketed, *end = text + length;
    const char *host_end = memchr(host, is_bracketed ? ']' : ':', (size_t)(end - host));
    unsigned port;

    if (is_bracketed && !host_end)
        return false;
    if (!host_end)
        host_end = end;
    const char *rest = host_end + is_bracketed;
    if (!copy(place->host, sizeof(place->host), host, (size_t)(host_end - host)) ||
        strpbrk(place->host, " \t\r\n/,@[]"))
        return false;
    if (rest == end) {
        return copy(place->port, sizeof(place->port), default_port, strlen(default_port)) != NULL;
    }
    return *rest == ':' &&
           copy(place->port, sizeof(place->port), rest + 1, (size_t)(end - rest - 1)) &&
           usage_parse_number(place->port, 1, PORT_MAX, &port);
}

static bool
is_there(const struct engine *engine, const struct place *place)
{
    for (unsigned i = 0; i < engine->count; i++)
        if (strcmp(engine->places[i].host, place->host) == 0 &&
            strcmp(engine->places[i].port, place->port) == 0)
            return true;
    return false;
}

/* distcc locks a slot of a host by the host's name and port, so that one which is named twice has no more slots. */
static bool
add_place(struct engine *engine, const char *text, size_t length, const char *default_port)
{
    struct place place;

    if (!parse_place(&place, text, length, default_port))
        return false;
    if (is_there(engine, &place))
        return true;
    if (engine->count == ENGINE_PLACES_MAX)
        return false;
    engine->places[engine->count++] = place;
    return true;
}

static bool
add_places(struct engine *engine, const char *text, const char *default_port)
{
    for (size_t length; (length = strcspn(text, ",")), true; text += length + 1) {
        if (!add_place(engine, text, length, default_port))
            return false;
        if (!text[length])
            return true;
    }
}

/* Of a word of DISTCC_HOSTS, [USER@]HOST[:PORT][/LIMIT][,OPTION...], the host alone: its statistics have a port of
 * their own. */
static bool
add_distcc_host(struct engine *engine, const char *word, size_t length)
{
    const char *at = memchr(word, '@', length);

    if (strchr("-+@", word[0]))
        return true;
    if (at) {
        length -= (size_t)(at + 1 - word);
        word = at + 1;
    }
    size_t host = word[0] == '[' ? strcspn(word, "]") + 1 : strcspn(word, ":/, \t\n");
    if (host > length)
        return false;
    if (host == strlen("localhost") && strncmp(word, "localhost", host) == 0)
        return true;
    return add_place(engine, word, host, DISTCC_PORT);
}

static bool
add_distcc_hosts(struct engine *engine, const char *hosts)
{
    static const char blank[] = " \t\r\n";

    for (hosts += strspn(hosts, blank); *hosts; hosts += strspn(hosts, blank)) {
        size_t length = strcspn(hosts, blank);
        if (!add_distcc_host(engine, hosts, length))
            return false;
        hosts += length;
    }
    return engine->count > 0;
}

/* http://HOST[:PORT][/] */
static bool
parse_url(struct engine *engine, const char *url)
{
    static const char scheme[] = "http://";

    if (strncmp(url, scheme, strlen(scheme)) == 0)
        url += strlen(scheme);
    size_t length = strlen(url);
    if (length > 0 && url[length - 1] == '/')
        length--;
    return add_place(engine, url, length, SCCACHE_PORT);
}

static const char *
parse_distcc(struct engine *engine, const char *hosts, const char *distcc_hosts)
{
    if (hosts)
        return add_places(engine, hosts, DISTCC_PORT) ? NULL : "distcc:HOST[:PORT],...";
    if (distcc_hosts && add_distcc_hosts(engine, distcc_hosts))
        return NULL;
    return "an engine with hosts: distcc:HOST,..., or DISTCC_HOSTS in the environment";
}

const char *
engine_parse(struct engine *engine, const char *text, const char *distcc_hosts)
{
    static const char *const names[] = {"icecc", "distcc", "sccache", "fixed"};
    const size_t length = strcspn(text, ":");
    const char *rest = text[length] ? text + length + 1 : NULL;
    unsigned kind = 0;

    while (kind <= ENGINE_FIXED &&
           (strlen(names[kind]) != length || strncmp(text, names[kind], length) != 0))
        kind++;
    engine->kind = (enum engine_kind)kind;
    engine->count = 0;
    engine->fixed_slots = 0;
    switch (kind) {
    case ENGINE_ICECC:
        return rest && add_place(engine, rest, strlen(rest), ICECC_PORT) ? NULL
                                                                         : "icecc:HOST[:PORT]";
    case ENGINE_DISTCC:
        return parse_distcc(engine, rest, distcc_hosts);
    case ENGINE_SCCACHE:
        return parse_url(engine, rest ? rest : "127.0.0.1") ? NULL : "sccache:http://HOST[:PORT]";
    case ENGINE_FIXED:
        return rest && usage_parse_number(rest, 0, SLOTS_MAX, &engine->fixed_slots)
                   ? NULL
                   : "fixed:N, a number from 0 to 65536";
    default:
        return "icecc:HOST, distcc:HOST,..., sccache:URL or fixed:N";
    }
}
