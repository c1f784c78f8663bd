/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/throttle/throttle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "libjobserver/pool/pool.h"
#include "libjobserver/throttle/settings.h"

/* --- its life --- */

void
throttle_init(struct throttle *throttle, const struct steved_limits *limits)
{
    *throttle = (struct throttle){.limits = *limits, .load_fd = -1, .told = POOL_NO_THROTTLE};
}

static int
open_load(struct throttle *throttle, const char *root)
{
    char *path;

    if (throttle->load_fd >= 0)
        return 0;
    if (asprintf(&path, "%s%s", root, "/proc/loadavg") < 0)
        return -ENOMEM;
    throttle->load_fd = open(path, O_RDONLY | O_CLOEXEC);
    int result = throttle->load_fd < 0 ? -errno : 0;
    free(path);
    return result;
}

int
throttle_open(struct throttle *throttle, const char *root)
{
    int result = throttle->memory ? 0 : memory_limits_open(root, &throttle->memory);

    return result < 0 ? result : open_load(throttle, root);
}

void
throttle_close(struct throttle *throttle)
{
    if (throttle->memory)
        memory_limits_close(throttle->memory);
    if (throttle->load_fd >= 0)
        close(throttle->load_fd);
    throttle->memory = NULL;
    throttle->load_fd = -1;
}

/* --- settings --- */

bool
throttle_is_set(const struct throttle *throttle)
{
    const struct steved_limits *limits = &throttle->limits;

    return limits->memory_mib > 0 || limits->memory_percent > 0 || limits->load_centi > 0;
}

int
throttle_set(struct throttle *throttle, const struct steved_settings *settings)
{
    const struct steved_limits before = throttle->limits;
    int result = throttle_change(&throttle->limits, settings);

    if (result == 0 && throttle_is_set(throttle))
        result = throttle_open(throttle, "");
    if (result < 0) {
        throttle->limits = before;
        return result;
    }
    /* What was seen is to be looked at by the new limits. */
    if (settings->named & STEVED_SET_LIMITS)
        throttle->state.has_memory = throttle->state.has_load = false;
    return 0;
}

/* --- looking --- */

static bool
read_load(int fd, unsigned *load_centi)
{
    char text[128];
    ssize_t length = pread(fd, text, sizeof(text) - 1, 0);
    unsigned whole, hundredths;

    text[length > 0 ? length : 0] = '\0';
    if (sscanf(text, "%6u.%2u", &whole, &hundredths) != 2)
        return false;
    *load_centi = whole * 100 + hundredths;
    return true;
}

/* What does not tell any more counts as no load, and as memory without end. */
static void
see(struct throttle *throttle, unsigned used, int64_t now_ns)
{
    struct throttle_state *state = &throttle->state;
    struct memory_left left = {.available_bytes = UINT64_MAX};
    unsigned load_centi = 0;

    if (throttle_wants_memory(state, &throttle->limits, now_ns)) {
        if (!throttle->memory || memory_limits_read(throttle->memory, &left) < 0)
            left = (struct memory_left){.available_bytes = UINT64_MAX};
        throttle_saw_memory(state, &throttle->limits, left.available_bytes, left.total_bytes,
                            now_ns);
    }
    if (throttle_wants_load(state, &throttle->limits, now_ns)) {
        if (!read_load(throttle->load_fd, &load_centi))
            load_centi = 0;
        throttle_saw_load(state, &throttle->limits, load_centi, used, now_ns);
    }
}

void
throttle_look(struct throttle *throttle, struct pool *pool, unsigned min_jobs, int64_t now_ns)
{
    unsigned used = pool_used(pool);

    if (!throttle_is_set(throttle) && throttle->told == POOL_NO_THROTTLE)
        return;
    see(throttle, used, now_ns);
    unsigned most = throttle_decide(&throttle->state, &throttle->limits, used, min_jobs, now_ns);
    if (most == throttle->told)
        return;
    throttle->told = most;
    pool_set_throttle(pool, most, now_ns);
}

void
throttle_hold(struct throttle *throttle, struct pool *pool, int64_t now_ns)
{
    throttle->told = 0;
    pool_set_throttle(pool, 0, now_ns);
}

int64_t
throttle_deadline_ns(const struct throttle *throttle, const struct pool *pool, bool is_lying)
{
    if (!throttle_is_set(throttle) || !(is_lying || pool_is_throttled(pool)))
        return THROTTLE_NEVER;
    return throttle_look_again_ns(&throttle->state, &throttle->limits);
}

/* --- to be seen --- */

void
throttle_tell(const struct throttle *throttle, struct steved_throttle *told, int64_t now_ns)
{
    const struct throttle_state *state = &throttle->state;

    *told =
        (struct steved_throttle){.limits = throttle->limits, .held_back_by = state->held_back_by};
    if (throttle->limits.load_centi > 0)
        told->load_centi = state->load_centi;
    if (throttle->limits.memory_mib > 0 || throttle->limits.memory_percent > 0) {
        told->available_bytes = state->available_bytes;
        told->wanted_bytes = state->wanted_bytes;
    }
    if (state->held_back_by)
        told->held_back_ms = (uint64_t)(now_ns - state->held_back_since_ns) / 1000000;
}
