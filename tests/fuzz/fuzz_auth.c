/* SPDX-License-Identifier: GPL-2.0-or-later */

/* MAKEFLAGS comes from whoever started us. */

#include "tests/fuzz/auth_properties.h"
#include "tests/fuzz/input.h"

/* One input: MAKEFLAGS, and after a first NUL the path of the FIFO. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *flags = malloc(size + 2);
    const char *path;

    if (flags == NULL)
        abort();
    memcpy(flags, data, size);
    flags[size] = flags[size + 1] = '\0';
    path = flags + strlen(flags) + 1;
    check_auth_properties(flags, path, (unsigned)size % 3);
    free(flags);
    return 0;
}
