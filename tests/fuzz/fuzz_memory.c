/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What gates tell the arbiter of memory, who trusts none of them. */

#include "libjobserver/memory/arbiter.h"
#include "tests/fuzz/input.h"

#define PARTIES 4

struct place {
    struct memory_arbiter arbiter;
    struct memory_party parties[PARTIES];
    int64_t now_ns;
};

/* What others may come to, however often they say so. */
static void
check_answer(const struct steved_memory *answer, const struct steved_memory *told)
{
    const unsigned known = STEVED_MEMORY_IS_GRANTED | STEVED_MEMORY_HAS_ELDER |
                           STEVED_MEMORY_HAS_YOUNGER | STEVED_MEMORY_HAS_INNER;

    ALWAYS(!(answer->answer & ~known));
    ALWAYS(answer->others < PARTIES);
    if (!(told->flags & STEVED_MEMORY_ASKS))
        ALWAYS(!(answer->answer & STEVED_MEMORY_IS_GRANTED));
}

static void
tell(struct place *place, struct memory_party *party, struct input *input)
{
    struct steved_memory told, question, answer = {0}, outside;

    input_bytes(input, &told, sizeof(told));
    if (!party->is_member)
        memory_arbiter_join(&place->arbiter, party, (int)(party - place->parties),
                            memory_arbiter_find(&place->arbiter, (int)input_below(input, PARTIES)),
                            place->now_ns);
    if (memory_arbiter_tell(&place->arbiter, party, &told, place->now_ns) < 0)
        return;
    bool is_below = input_below(input, 2);
    memory_arbiter_question(&place->arbiter, party, &question, place->now_ns);
    if (is_below)
        input_bytes(input, &outside, sizeof(outside));
    memory_arbiter_answer(&place->arbiter, party, is_below ? &outside : NULL, &answer,
                          place->now_ns);
    if (!is_below)
        check_answer(&answer, &told);
}

static void
step(struct place *place, struct input *input)
{
    struct memory_party *party = &place->parties[input_below(input, PARTIES)];
    struct steved_status status = {0};

    switch (input_below(input, 4)) {
    case 0:
        memory_arbiter_leave(&place->arbiter, party);
        break;
    case 1:
        place->now_ns += (int64_t)input_byte(input) * 1000000000;
        break;
    default:
        tell(place, party, input);
    }
    memory_arbiter_status(&place->arbiter, &status, place->now_ns);
    memory_arbiter_totals(&place->arbiter);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct place place = {.now_ns = 1000000000};
    struct input input = {data, size};

    memory_arbiter_init(&place.arbiter);
    for (int i = 0; i < PARTIES; i++)
        memory_party_init(&place.parties[i], place.now_ns);
    while (input.left > 0)
        step(&place, &input);
    for (int i = 0; i < PARTIES; i++)
        memory_arbiter_leave(&place.arbiter, &place.parties[i]);
    ALWAYS(place.arbiter.count == 0);
    return 0;
}
