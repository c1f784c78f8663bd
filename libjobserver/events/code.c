/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/events/code.h"

#include <stdbool.h>
#include <string.h>

/* First what most events of tokens differ in, so that one byte says which members follow. */
static const struct member {
    size_t offset;
    bool is_long;
} members[] = {
#define LONG(name)                                                                                 \
    {                                                                                              \
        offsetof(struct steved_event, name), true                                                  \
    }
#define SHORT(name)                                                                                \
    {                                                                                              \
        offsetof(struct steved_event, name), false                                                 \
    }
    LONG(time_ns),  SHORT(held),          SHORT(used),       SHORT(waiting),
    SHORT(pid),     LONG(account),        SHORT(status),     SHORT(uid),
    SHORT(count),   LONG(duration_ns),    LONG(job),         SHORT(job_class),
    LONG(bytes),    LONG(expected_bytes), LONG(limit_bytes), LONG(available_bytes),
    SHORT(process),
#undef LONG
#undef SHORT
};
#define MEMBERS (sizeof(members) / sizeof(members[0]))
#define HAS_NAME (UINT32_C(1) << MEMBERS)

/* kind, mask, a difference each, and the name with its length */
_Static_assert(1 + 3 + MEMBERS * 10 + 1 + STEVED_EVENT_NAME_SIZE <= EVENT_CODE_MAX, "too long");

static uint64_t
get(const struct steved_event *event, const struct member *member)
{
    const char *at = (const char *)event + member->offset;
    uint64_t wide;
    uint32_t narrow;

    if (member->is_long) {
        memcpy(&wide, at, sizeof(wide));
        return wide;
    }
    memcpy(&narrow, at, sizeof(narrow));
    return narrow;
}

static void
set(struct steved_event *event, const struct member *member, uint64_t value)
{
    char *at = (char *)event + member->offset;
    const uint32_t narrow = (uint32_t)value;

    if (member->is_long)
        memcpy(at, &value, sizeof(value));
    else
        memcpy(at, &narrow, sizeof(narrow));
}

/* --- numbers: seven bits a byte, the lowest first --- */

static uint8_t *
write_number(uint8_t *at, uint64_t number)
{
    for (; number > 0x7f; number >>= 7)
        *at++ = (uint8_t)(number | 0x80);
    *at++ = (uint8_t)number;
    return at;
}

/* NULL: it has no end. */
static const uint8_t *
read_number(const uint8_t *at, const uint8_t *end, uint64_t *number)
{
    *number = 0;
    for (unsigned shift = 0; at && at < end && shift < 64; shift += 7) {
        *number |= (uint64_t)(*at & 0x7f) << shift;
        if (!(*at++ & 0x80))
            return at;
    }
    return NULL;
}

/* Differences, so that small ones are small numbers, whatever their sign. */
static uint64_t
fold(uint64_t difference)
{
    return difference >> 63 ? ~(difference << 1) : difference << 1;
}

static uint64_t
unfold(uint64_t number)
{
    return number & 1 ? ~(number >> 1) : number >> 1;
}

/* --- events --- */

static size_t
encode(const struct steved_event *event, const struct steved_event *before, uint8_t *bytes)
{
    uint64_t differences[MEMBERS];
    const size_t length = strnlen(event->name, sizeof(event->name) - 1);
    uint32_t mask = length > 0 ? HAS_NAME : 0;

    for (size_t i = 0; i < MEMBERS; i++) {
        differences[i] = get(event, &members[i]) - get(before, &members[i]);
        mask |= (uint32_t)(differences[i] != 0) << i;
    }
    bytes[0] = (uint8_t)event->kind;
    uint8_t *at = write_number(bytes + 1, mask);
    for (size_t i = 0; i < MEMBERS; i++)
        if (mask & UINT32_C(1) << i)
            at = write_number(at, fold(differences[i]));
    if (length > 0) {
        *at++ = (uint8_t)length;
        memcpy(at, event->name, length);
        at += length;
    }
    return (size_t)(at - bytes);
}

size_t
event_encode(const struct steved_event *event, const struct steved_event *before, uint8_t *bytes,
             size_t room)
{
    uint8_t code[EVENT_CODE_MAX];

    if (room >= EVENT_CODE_MAX)
        return encode(event, before, bytes);
    size_t size = encode(event, before, code);
    if (size > room)
        return 0;
    memcpy(bytes, code, size);
    return size;
}

static const uint8_t *
read_name(struct steved_event *event, const uint8_t *at, const uint8_t *end)
{
    if (!at || at == end || *at >= sizeof(event->name) || *at > end - at - 1)
        return NULL;
    memcpy(event->name, at + 1, *at);
    return at + 1 + *at;
}

size_t
event_decode(struct steved_event *event, const uint8_t *bytes, size_t size)
{
    const uint8_t *end = bytes + size;
    uint64_t mask = 0, number;

    if (size == 0)
        return 0;
    event->kind = bytes[0];
    const uint8_t *at = read_number(bytes + 1, end, &mask);
    if (mask >= HAS_NAME << 1)
        return 0;
    for (size_t i = 0; i < MEMBERS; i++) {
        if (!(mask & UINT32_C(1) << i))
            continue;
        at = read_number(at, end, &number);
        set(event, &members[i], get(event, &members[i]) + unfold(number));
    }
    memset(event->name, 0, sizeof(event->name));
    if (mask & HAS_NAME)
        at = read_name(event, at, end);
    return at ? (size_t)(at - bytes) : 0;
}
