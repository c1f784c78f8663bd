/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * MAKEFLAGS comes from whoever started us. With clang:
 *     clang -g -O1 -D_GNU_SOURCE -fsanitize=fuzzer,address,undefined -I. \
 *         tests/fuzz/fuzz_auth.c libjobserver/auth.c -o fuzz_auth
 *     ./fuzz_auth tests/fuzz/corpus-auth
 * Built with -DFUZZ_REPLAY instead of -fsanitize=fuzzer it replays the files that it is given.
 */

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/fuzz/auth_properties.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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

#ifdef FUZZ_REPLAY
static int
replay(const char *path)
{
    static uint8_t data[1 << 20];
    FILE *file = fopen(path, "re");
    size_t size;

    if (file == NULL) {
        fprintf(stderr, "fuzz_auth: open %s: %s\n", path, strerror(errno));
        return 1;
    }
    size = fread(data, 1, sizeof(data), file);
    fclose(file);
    return LLVMFuzzerTestOneInput(data, size);
}

int
main(int argc, char **argv)
{
    int rc = 0;

    for (int i = 1; i < argc; i++)
        rc |= replay(argv[i]);
    return rc;
}
#endif
