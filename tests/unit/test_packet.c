/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What comes over a socket: of its size or not, with descriptors or without. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <fcntl.h>

#include "libjobserver/program/packet.h"

static int ends[2];

static int
open_ends(void **state)
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends);
}

static int
close_ends(void **state)
{
    close(ends[0]);
    return close(ends[1]);
}

/* As many descriptors as a sender likes, which packet_send() does not. */
static void
send_descriptors(unsigned count)
{
    char body = 'x';
    union {
        char space[CMSG_SPACE(4 * sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec vector = {.iov_base = &body, .iov_len = sizeof(body)};
    struct msghdr packet = {.msg_iov = &vector,
                            .msg_iovlen = 1,
                            .msg_control = control.space,
                            .msg_controllen = CMSG_SPACE(count * sizeof(int))};
    struct cmsghdr *header = CMSG_FIRSTHDR(&packet);

    *header = (struct cmsghdr){.cmsg_len = CMSG_LEN(count * sizeof(int)),
                               .cmsg_level = SOL_SOCKET,
                               .cmsg_type = SCM_RIGHTS};
    for (unsigned i = 0; i < count; i++)
        memcpy(CMSG_DATA(header) + i * sizeof(int), &ends[1], sizeof(int));
    assert_int_equal(sendmsg(ends[1], &packet, 0), 1);
}

static int
lowest_free(void)
{
    int fd = dup(ends[0]);

    close(fd);
    return fd;
}

static void
test_size(void **state)
{
    char body[4];
    int fd;

    for (size_t size = 3; size <= 5; size++) {
        assert_int_equal(packet_send(ends[1], "12345", size, -1), 0);
        assert_int_equal(packet_receive(ends[0], body, sizeof(body), &fd),
                         size == sizeof(body) ? 1 : -EBADMSG);
        assert_int_equal(fd, -1);
    }
    close(ends[1]);
    assert_int_equal(packet_receive(ends[0], body, sizeof(body), &fd), 0);
    ends[1] = dup(ends[0]);
}

static void
test_text(void **state)
{
    char text[4];
    int fd;

    assert_int_equal(packet_receive_text(ends[0], text, sizeof(text), &fd), -EAGAIN);
    assert_int_equal(packet_send(ends[1], "12", 2, ends[0]), 0);
    assert_int_equal(packet_receive_text(ends[0], text, sizeof(text), &fd), 2);
    assert_string_equal(text, "12");
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    close(fd);
    assert_int_equal(packet_send(ends[1], "1234", 4, -1), 0);
    assert_int_equal(packet_receive_text(ends[0], text, sizeof(text), &fd), 3);
    assert_string_equal(text, "123");
    assert_int_equal(fd, -1);
}

/* None that nobody owns is left open. */
static void
test_one_descriptor_is_taken(void **state)
{
    const int lowest = lowest_free();

    for (unsigned count = 1; count <= 4; count++) {
        char body;
        int fd;
        send_descriptors(count);
        assert_int_equal(packet_receive(ends[0], &body, sizeof(body), &fd), 1);
        assert_int_equal(fd, lowest);
        close(fd);
        assert_int_equal(lowest_free(), lowest);
        int above = fcntl(ends[0], F_DUPFD_CLOEXEC, lowest + 1);
        assert_int_equal(above, lowest + 1);
        close(above);
    }
}

#define PACKET_TEST(function) cmocka_unit_test_setup_teardown(function, open_ends, close_ends)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        PACKET_TEST(test_size),
        PACKET_TEST(test_text),
        PACKET_TEST(test_one_descriptor_is_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
