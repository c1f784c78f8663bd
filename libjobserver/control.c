/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The client's side of a control socket, and the sizes of its packets. */
#include "libjobserver/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libjobserver/program/packet.h"

#define HEADER offsetof(struct control_packet, hello)

/* Root asks anybody's server, but does not wait for one that will not answer. */
#define PATIENCE_S 2

static const struct {
    size_t question, answer;
} sizes[CONTROL_OPERATIONS] = {
    [CONTROL_HELLO] = {sizeof(struct control_hello), sizeof(struct control_hello)},
    [CONTROL_STATUS] = {0, sizeof(struct steved_status)},
    [CONTROL_CLIENTS] = {sizeof(struct steved_clients), sizeof(struct steved_clients)},
    [CONTROL_SET] = {sizeof(struct steved_settings), 0},
    [CONTROL_CLAIM_IMPLICIT] = {0, sizeof(struct steved_claim)},
    [CONTROL_NEED] = {sizeof(struct steved_need), 0},
    [CONTROL_WEIGHT] = {sizeof(struct steved_weight), 0},
    [CONTROL_MEMORY] = {sizeof(struct steved_memory), sizeof(struct steved_memory)},
    [CONTROL_THROTTLE] = {0, sizeof(struct steved_throttle)},
    [CONTROL_EVENTS] = {offsetof(struct steved_events, bytes), sizeof(struct steved_events)},
    [CONTROL_TELL] = {sizeof(struct steved_told), sizeof(struct steved_told)},
    [CONTROL_ACCOUNT] = {sizeof(struct steved_account), sizeof(struct steved_account)},
    [CONTROL_CLASSES] = {0, sizeof(struct steved_classes)},
};

size_t
control_question_size(unsigned operation)
{
    return HEADER + (operation < CONTROL_OPERATIONS ? sizes[operation].question : 0);
}

size_t
control_answer_size(unsigned operation)
{
    return HEADER + (operation < CONTROL_OPERATIONS ? sizes[operation].answer : 0);
}

int
control_ask(int connection, struct control_packet *packet, int *fd)
{
    const unsigned operation = packet->operation;
    int passed, result = packet_send(connection, packet, control_question_size(operation), -1);

    if (result < 0)
        return result;
    result = packet_receive(connection, packet, control_answer_size(operation), &passed);
    if (result ==
        -EAGAIN) { /* an answer that came later would be taken for that to the next question */
        shutdown(connection, SHUT_RDWR);
        result = -ETIMEDOUT;
    }
    if (fd)
        *fd = passed;
    else if (passed >= 0)
        close(passed);
    if (result <= 0)
        return result < 0 ? result : -EPIPE;
    return packet->operation == operation ? packet->result : -EBADMSG;
}

int
control_receive(int connection, struct control_packet *packet)
{
    ssize_t got;

    do
        got = recv(connection, packet, sizeof(*packet), MSG_TRUNC);
    while (got < 0 && errno == EINTR);
    if (got <= 0)
        return got == 0 || errno == ECONNRESET ? 0 : -errno;
    const size_t size = (size_t)got;
    if (size < HEADER || packet->operation >= CONTROL_OPERATIONS ||
        size != control_question_size(packet->operation))
        return -EBADMSG;
    /* No further: most packets are short, and the longest has several KiB. */
    const size_t answer_size = control_answer_size(packet->operation);
    if (answer_size > size)
        memset((char *)packet + size, 0, answer_size - size);
    return 1;
}

struct sockaddr_un
control_address(int directory_fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/" CONTROL_NAME,
             directory_fd);
    return address;
}

static void
limit_waiting(int connection, time_t patience_s)
{
    const struct timeval limit = {.tv_sec = patience_s};

    setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

static int
connect_beside(const char *fifo_path)
{
    const char *slash = strrchr(fifo_path, '/');
    char *directory = slash ? strndup(fifo_path, (size_t)(slash - fifo_path) + 1) : strdup("./");
    int directory_fd = directory ? open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    int connection = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    const struct sockaddr_un address = control_address(directory_fd);

    free(directory);
    limit_waiting(connection, PATIENCE_S);
    bool is_connected =
        directory_fd >= 0 && connection >= 0 &&
        connect(connection, (const struct sockaddr *)&address, sizeof(address)) == 0;
    int error = errno;
    if (directory_fd >= 0)
        close(directory_fd);
    if (is_connected)
        return connection;
    if (connection >= 0)
        close(connection);
    return -error;
}

/* Root's server, or our own, which is waited for; or anybody's if we are root. */
static bool
is_trusted(int connection)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);

    if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
        return false;
    bool is_roots_or_own = peer.uid == 0 || peer.uid == geteuid();
    if (is_roots_or_own)
        limit_waiting(connection, 0);
    return is_roots_or_own || geteuid() == 0;
}

static int
greet(int connection, int fifo_fd, int *ready_fd, unsigned *operations)
{
    struct control_packet packet = {
        .operation = CONTROL_HELLO,
        .hello = {.version = CONTROL_VERSION, .operations = CONTROL_OPERATIONS}};
    struct stat status;

    *ready_fd = -1;
    if (!is_trusted(connection))
        return -EACCES;
    if (fstat(fifo_fd, &status) < 0)
        return -errno;
    packet.hello.device = status.st_dev;
    packet.hello.inode = status.st_ino;
    int result = control_ask(connection, &packet, ready_fd);
    if (result < 0)
        return result;
    if (*ready_fd < 0 || packet.hello.version != CONTROL_VERSION ||
        packet.hello.device != status.st_dev || packet.hello.inode != status.st_ino)
        return -EPROTO;
    *operations = packet.hello.operations;
    return 0;
}

int
control_connect(const char *fifo_path, int fifo_fd, int *ready_fd, unsigned *operations)
{
    int connection = connect_beside(fifo_path);

    if (connection < 0)
        return connection;
    int result = greet(connection, fifo_fd, ready_fd, operations);
    if (result == 0)
        return connection;
    if (*ready_fd >= 0)
        close(*ready_fd);
    close(connection);
    return result;
}
