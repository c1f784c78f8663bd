/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What comes from a network that claims to be a compile farm, and how users name one. */

#include "stevefarm/answers.h"
#include "stevefarm/engine.h"
#include "tests/fuzz/input.h"

#define BEFORE (SLOTS_MAX + 1)

static void
check_answer(const char *(*parse)(const char *text, unsigned *slots), const char *text)
{
    unsigned slots = BEFORE;
    const char *wrong = parse(text, &slots);

    ALWAYS(wrong ? slots == BEFORE : slots <= SLOTS_MAX);
}

static void
check_engine(const char *text, const char *distcc_hosts)
{
    struct engine *engine = malloc(sizeof(*engine));

    ALWAYS(engine);
    if (!engine_parse(engine, text, distcc_hosts)) {
        ALWAYS(engine->count <= ENGINE_PLACES_MAX && engine->fixed_slots <= SLOTS_MAX);
        ALWAYS((engine->count == 0) == (engine->kind == ENGINE_FIXED));
        for (unsigned i = 0; i < engine->count; i++)
            ALWAYS(engine->places[i].host[0] && engine->places[i].port[0]);
    }
    free(engine);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    char *text = malloc(size + 1);

    ALWAYS(text);
    input_bytes(&input, text, size);
    text[size] = '\0';
    check_answer(answer_icecc, text);
    check_answer(answer_distcc, text);
    check_answer(answer_sccache, text);
    check_engine(text, NULL);
    check_engine("distcc", text);
    free(text);
    return 0;
}
