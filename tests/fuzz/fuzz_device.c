/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What clients ask of steved's file. */

#include "tests/fuzz/device.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    const struct options options = {.jobs = 1 + input_below(&input, 3),
                                    .min_jobs = 1,
                                    .per_process_limit = input_below(&input, 3),
                                    .limits.load_recheck_ms = 5000,
                                    .classes = {1, {{.name = "link", .jobs = 1}}}};

    ALWAYS(server_begin(device_create(&options)) == 0);
    device_steps(&input, UINT32_MAX);
    device_end();
    return 0;
}
