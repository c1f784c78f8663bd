/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* Which engine is followed, and where it answers. Pure. */

#include <stdbool.h>

enum engine_kind { ENGINE_ICECC, ENGINE_DISTCC, ENGINE_SCCACHE, ENGINE_FIXED };

struct place {
    char host[256]; /* a name or an address, without brackets */
    char port[6];
};

#define ENGINE_PLACES_MAX 256
struct engine {
    enum engine_kind kind;
    unsigned fixed_slots; /* of ENGINE_FIXED, 0 to 65536 */
    unsigned
        count; /* of places: of ENGINE_FIXED none, of ENGINE_DISTCC as many as there are hosts, else one */
    struct place places[ENGINE_PLACES_MAX];
};

/* "icecc:HOST[:PORT]", "distcc[:HOST[:PORT],...]", "sccache[:[http://]HOST[:PORT]]", "fixed:N". An address of IPv6
 * stands in brackets. distcc_hosts: what DISTCC_HOSTS says (NULL: nothing), for a distcc without hosts; localhost in
 * it is no farm. NULL, or what the text should have been. */
const char *engine_parse(struct engine *engine, const char *text, const char *distcc_hosts);
