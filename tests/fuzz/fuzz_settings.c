/* SPDX-License-Identifier: GPL-2.0-or-later */

/* Settings as users write them: limits on grants, numbers, modes. */

#include "libjobserver/implicit.h"
#include "libjobserver/memory/mode.h"
#include "libjobserver/program/program.h"
#include "libjobserver/program/usage.h"
#include "libjobserver/throttle/settings.h"
#include "tests/fuzz/input.h"

/* What was understood is written so that it is understood again, as the same. */
static void
check_setting(const struct throttle_setting *setting, const char *text)
{
    const struct steved_limits before = {.load_recheck_ms = STEVED_LOAD_RECHECK_DEFAULT_MS};
    struct steved_limits limits = before, again = before;
    struct steved_settings named = {.named = setting->named};
    char written[THROTTLE_TEXT_SIZE];

    if (!setting->parse(text, &limits)) {
        ALWAYS(memcmp(&limits, &before, sizeof(limits)) == 0);
        return;
    }
    named.limits = limits;
    ALWAYS(throttle_change(&again, &named) == 0);
    ALWAYS(memcmp(&limits, &again, sizeof(limits)) == 0);
    setting->write(&limits, written);
    again = before;
    ALWAYS(setting->parse(written, &again));
    ALWAYS(memcmp(&limits, &again, sizeof(limits)) == 0);
}

static void
check_change(struct input *input)
{
    struct steved_limits limits = {.load_recheck_ms = STEVED_LOAD_RECHECK_DEFAULT_MS};
    const struct steved_limits before = limits;
    struct steved_settings settings;

    input_bytes(input, &settings, sizeof(settings));
    if (throttle_change(&limits, &settings) < 0)
        ALWAYS(memcmp(&limits, &before, sizeof(limits)) == 0);
    else
        ALWAYS(!(limits.memory_mib && limits.memory_percent) && limits.memory_percent <= 100);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    unsigned number;

    check_change(&(struct input){data, size});
    char *text = malloc(size + 1);
    ALWAYS(text);
    input_bytes(&input, text, size);
    text[size] = '\0';
    for (int i = 0; i < THROTTLE_SETTINGS; i++)
        check_setting(&throttle_settings[i], text);
    if (usage_parse_number(text, 3, 70000, &number))
        ALWAYS(number >= 3 && number <= 70000);
    if (usage_parse_decimal(text, 3, 100, 3600000, &number))
        ALWAYS(number >= 100 && number <= 3600000);
    memory_mode_parse(text, &(enum memory_mode){0});
    implicit_parse(text, &(enum implicit_policy){0});
    make_version_is_old(text);
    free(text);
    return 0;
}
