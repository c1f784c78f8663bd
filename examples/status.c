/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Asks a steved how many of its tokens are free:
 *
 *     cc $(pkg-config --cflags steved) -o status status.c
 *     ./status /dev/steve
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <steved/protocol.h>

int
main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: status FILE\n");
        return 2;
    }

    int fd = open(argv[1], O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        perror(argv[1]);
        return EXIT_FAILURE;
    }

    struct steved_status status = {0};
    /* A file of another kind refuses it by ENOTTY; a version of the protocol that is not ours has another number. */
    if (ioctl(fd, STEVED_IOC_STATUS, &status) != 0) {
        perror("STEVED_IOC_STATUS");
        close(fd);
        return EXIT_FAILURE;
    }
    close(fd);
    if (status.version != STEVED_PROTOCOL_VERSION) {
        fprintf(stderr, "%s: version %u of the protocol, not %u\n", argv[1], status.version,
                STEVED_PROTOCOL_VERSION);
        return EXIT_FAILURE;
    }
    printf("%u of %u tokens are free, %u clients wait\n", status.free, status.jobs, status.waiting);
    return EXIT_SUCCESS;
}
