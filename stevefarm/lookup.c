/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stevefarm/lookup.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* What the thread alone has, and frees. */
struct lookup {
    struct place place;
    int fd;
};

struct found {
    int result;
    struct addrinfo *addresses;
};

static void *
look_up(void *argument)
{
    struct lookup *lookup = argument;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct found found = {0};

    found.result = getaddrinfo(lookup->place.host, lookup->place.port, &hints, &found.addresses);
    /* Nobody may be there any more. */
    if (send(lookup->fd, &found, sizeof(found), MSG_NOSIGNAL) < 0 && found.result == 0)
        freeaddrinfo(found.addresses);
    close(lookup->fd);
    free(lookup);
    return NULL;
}

static int
start_thread(const struct place *place, int fd)
{
    struct lookup *lookup = malloc(sizeof(*lookup));
    pthread_t thread;

    if (!lookup)
        return -ENOMEM;
    *lookup = (struct lookup){.place = *place, .fd = fd};
    int error = pthread_create(&thread, NULL, look_up, lookup);
    if (error)
        free(lookup);
    else
        pthread_detach(thread);
    return -error;
}

int
lookup_begin(const struct place *place)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    int result = start_thread(place, ends[1]);
    if (result == 0)
        return ends[0];
    close(ends[0]);
    close(ends[1]);
    return result;
}

int
lookup_end(int fd, struct addrinfo **addresses)
{
    struct found found = {.result = EAI_AGAIN};

    if (recv(fd, &found, sizeof(found), MSG_DONTWAIT) != sizeof(found))
        found.result = EAI_AGAIN;
    close(fd);
    *addresses = found.result == 0 ? found.addresses : NULL;
    return found.result;
}
