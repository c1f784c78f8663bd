/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "libjobserver/throttle/settings.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "libjobserver/program/usage.h"

#define MIB_MAX 1073741823u
#define LOAD_CENTI_MAX 100000000u
#define RECHECK_MIN_MS 100u
#define RECHECK_MAX_MS 3600000u

static bool
parse_memory(const char *text, struct steved_limits *limits)
{
    char digits[THROTTLE_TEXT_SIZE];
    size_t length = strcspn(text, "%");
    bool is_percent = strcmp(text + length, "%") == 0;
    unsigned value;

    if (length >= sizeof(digits) || (text[length] && !is_percent))
        return false;
    memcpy(digits, text, length);
    digits[length] = '\0';
    if (!usage_parse_number(digits, 0, is_percent ? 100 : MIB_MAX, &value))
        return false;
    limits->memory_mib = is_percent ? 0 : value;
    limits->memory_percent = is_percent ? value : 0;
    return true;
}

static void
write_memory(const struct steved_limits *limits, char text[THROTTLE_TEXT_SIZE])
{
    if (limits->memory_percent > 0)
        snprintf(text, THROTTLE_TEXT_SIZE, "%u%%", limits->memory_percent);
    else
        snprintf(text, THROTTLE_TEXT_SIZE, "%u", limits->memory_mib);
}

static bool
parse_load(const char *text, struct steved_limits *limits)
{
    return usage_parse_decimal(text, 2, 0, LOAD_CENTI_MAX, &limits->load_centi);
}

static void
write_load(const struct steved_limits *limits, char text[THROTTLE_TEXT_SIZE])
{
    snprintf(text, THROTTLE_TEXT_SIZE, "%.10g", limits->load_centi / 100.0);
}

static bool
parse_recheck(const char *text, struct steved_limits *limits)
{
    return usage_parse_decimal(text, 3, RECHECK_MIN_MS, RECHECK_MAX_MS, &limits->load_recheck_ms);
}

static void
write_recheck(const struct steved_limits *limits, char text[THROTTLE_TEXT_SIZE])
{
    snprintf(text, THROTTLE_TEXT_SIZE, "%.10g", limits->load_recheck_ms / 1000.0);
}

const struct throttle_setting throttle_settings[THROTTLE_SETTINGS] = {
    [THROTTLE_MEMORY] = {"--min-memory-avail", "min-memory-avail", STEVED_SET_MIN_MEMORY_AVAIL,
                         "a number of MiB, or one from 0% to 100%", parse_memory, write_memory},
    [THROTTLE_LOAD] = {"--load-average", "load-average", STEVED_SET_LOAD_AVERAGE,
                       "a number from 0 to 1000000, with two decimals at most", parse_load,
                       write_load},
    [THROTTLE_RECHECK] = {"--load-recheck-timeout", "load-recheck", STEVED_SET_LOAD_RECHECK,
                          "a number of seconds from 0.1 to 3600", parse_recheck, write_recheck},
};

void
throttle_parse_option(int setting, const char *text, struct steved_limits *limits)
{
    const struct throttle_setting *found = &throttle_settings[setting];

    if (!found->parse(text, limits))
        usage_refuse(found->option, text, found->wanted);
}

static bool
is_valid(const struct steved_limits *limits)
{
    return limits->memory_mib <= MIB_MAX && limits->memory_percent <= 100 &&
           !(limits->memory_mib && limits->memory_percent) &&
           limits->load_centi <= LOAD_CENTI_MAX && limits->load_recheck_ms >= RECHECK_MIN_MS &&
           limits->load_recheck_ms <= RECHECK_MAX_MS;
}

int
throttle_change(struct steved_limits *limits, const struct steved_settings *settings)
{
    struct steved_limits changed = *limits;

    if (settings->named & STEVED_SET_MIN_MEMORY_AVAIL) {
        changed.memory_mib = settings->limits.memory_mib;
        changed.memory_percent = settings->limits.memory_percent;
    }
    if (settings->named & STEVED_SET_LOAD_AVERAGE)
        changed.load_centi = settings->limits.load_centi;
    if (settings->named & STEVED_SET_LOAD_RECHECK)
        changed.load_recheck_ms = settings->limits.load_recheck_ms;
    if (!is_valid(&changed))
        return -EINVAL;
    *limits = changed;
    return 0;
}
