/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What a server tells its guardian, what that keeps for the next one, and when there is a next one. */
#include "steved/notices.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "child.h"
#include "libjobserver/program/packet.h"
#include "steved/lives.h"
#include "steved/notify.h"

/* Of waitpid(2). */
#define EXITED(status) ((status) << 8)
#define KILLED(number) (number)

static int
open_null(void)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

static bool
is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static struct notice
parse(const char *text, int fd)
{
    struct notice notice;

    snprintf(notice.text, sizeof(notice.text), "%s", text);
    notice_parse(&notice, fd);
    return notice;
}

static void
test_parse(void **none)
{
    assert_true(parse("READY=1", -1).is_ready);
    assert_true(parse("STATUS=x\nREADY=1\n", -1).is_ready);
    assert_false(parse("READY=10", -1).is_ready);
    assert_false(parse("READY=", -1).is_ready);
    assert_false(parse("STATUS=READY=1", -1).is_ready);
    assert_false(parse("", -1).is_ready);
    assert_true(parse("WATCHDOG=1", -1).is_alive);
    assert_false(parse("WATCHDOG=trigger", -1).is_alive);
    assert_int_equal(parse("FDSTORE=1\nFDNAME=device", -1).fd, -1);
}

static void
test_descriptor(void **none)
{
    static const char *const refused[] = {"FDNAME=device",
                                          "FDSTORE=1",
                                          "FDSTORE=0\nFDNAME=device",
                                          "FDSTORE=1\nFDNAME=",
                                          "FDSTORE=1\nFDNAME=a b",
                                          "FDSTORE=1\nFDNAME=a:b",
                                          "FDSTORE=1\nFDNAME=\x80",
                                          "FDSTORE=1\nFDNAME=a\x1f"};
    int fd = open_null();
    struct notice notice = parse("FDSTORE=1\nFDNAME=device", fd);

    assert_int_equal(notice.fd, fd);
    assert_string_equal(notice.name, "device");
    close(fd);
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        fd = open_null();
        assert_int_equal(parse(refused[i], fd).fd, -1);
        assert_false(is_open(fd));
    }
}

static void
test_forget(void **none)
{
    assert_true(parse("FDSTOREREMOVE=1\nFDNAME=device", -1).removes);
    assert_false(parse("FDSTOREREMOVE=1", -1).removes);
    assert_false(parse("FDNAME=device", -1).removes);
}

static void
test_receive(void **none)
{
    struct notice notice;
    int ends[2], null = open_null();
    const char *text = "FDSTORE=1\nFDNAME=device";

    assert_int_equal(notices_open(ends), 0);
    assert_false(notices_receive(ends[0], &notice));
    assert_int_equal(packet_send(ends[1], text, strlen(text), null), 0);
    assert_int_equal(packet_send(ends[1], "READY=1", 7, -1), 0);
    assert_true(notices_receive(ends[0], &notice));
    assert_true(notice.fd >= 0 && notice.fd != null);
    assert_int_equal(fcntl(notice.fd, F_GETFD), FD_CLOEXEC);
    close(notice.fd);
    assert_true(notices_receive(ends[0], &notice));
    assert_true(notice.is_ready && notice.fd == -1);
    assert_false(notices_receive(ends[0], &notice));
    close(null);
    close(ends[0]);
    close(ends[1]);
}

/* What is longer than any notice ends nothing, and no second descriptor comes along. */
static void
test_receive_too_much(void **none)
{
    static char text[2 * NOTICE_SIZE];
    struct notice notice;
    struct iovec vector = {.iov_base = text, .iov_len = sizeof(text)};
    union {
        char space[CMSG_SPACE(2 * sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct msghdr packet = {.msg_iov = &vector,
                            .msg_iovlen = 1,
                            .msg_control = control.space,
                            .msg_controllen = sizeof(control.space)};
    int ends[2], nulls[2] = {open_null(), open_null()};

    int length = snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=device\nSTATUS=");
    memset(text + length, 'x', sizeof(text) - (size_t)length);
    struct cmsghdr *header = CMSG_FIRSTHDR(&packet);
    *header = (struct cmsghdr){CMSG_LEN(sizeof(nulls)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(header), nulls, sizeof(nulls));
    assert_int_equal(notices_open(ends), 0);
    assert_true(sendmsg(ends[1], &packet, 0) > 0);
    assert_true(notices_receive(ends[0], &notice));
    assert_true(notice.fd >= 0);
    int next = open_null();
    assert_int_equal(next, notice.fd + 1);
    for (size_t i = 0; i < 2; i++) {
        close(nulls[i]);
        close(ends[i]);
    }
    close(notice.fd);
    close(next);
}

static void
set_watchdog(const char *interval, const char *pid)
{
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    if (interval)
        setenv("WATCHDOG_USEC", interval, 1);
    if (pid)
        setenv("WATCHDOG_PID", pid, 1);
}

static void
test_watchdog(void **none)
{
    static const char *const refused[] = {"", "1s", "-1", " 1", "18446744073709551616"};
    uint64_t us;
    char pid[16];

    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    set_watchdog(NULL, NULL);
    assert_false(notify_watchdog(&us));
    set_watchdog("5000000", pid);
    assert_true(notify_watchdog(&us) && us == 5000000);
    set_watchdog("0", NULL);
    assert_true(notify_watchdog(&us) && us == 0);
    set_watchdog("7200000000", NULL);
    assert_true(notify_watchdog(&us) && us == 3600000000);
    set_watchdog("5000000", "1");
    assert_false(notify_watchdog(&us));
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        set_watchdog(refused[i], NULL);
        assert_false(notify_watchdog(&us));
    }
    set_watchdog(NULL, NULL);
}

/* Who does not read does not make it wait, and it hears when nobody is there. */
static void
test_alive(void **none)
{
    struct notice notice;
    int ends[2];

    assert_int_equal(notices_open(ends), 0);
    const struct notify notify = {.fd = ends[1]};
    assert_true(notify_alive(&notify));
    assert_true(notices_receive(ends[0], &notice) && notice.is_alive);
    for (unsigned i = 0; i < 5000; i++)
        assert_true(notify_alive(&notify));
    close(ends[0]);
    assert_false(notify_alive(&notify));
    close(ends[1]);
    assert_false(notify_alive(&(struct notify){.fd = -1}));
}

static void
test_store(void **none)
{
    struct fd_store store = {0};
    int first = open_null(), second = open_null();
    char name[FD_NAME_SIZE];

    assert_true(fd_store_put(&store, "a", first));
    assert_true(fd_store_put(&store, "a", second));
    assert_false(is_open(first));
    assert_int_equal(store.count, 1);
    assert_true(fd_store_has(&store, "a") && !fd_store_has(&store, "b"));
    for (size_t i = 1; i < FD_STORE_MAX; i++) {
        snprintf(name, sizeof(name), "n%zu", i);
        assert_true(fd_store_put(&store, name, open_null()));
    }
    int extra = open_null();
    assert_false(fd_store_put(&store, "extra", extra));
    assert_false(is_open(extra));
    fd_store_drop(&store, "n2");
    fd_store_drop(&store, "n2");
    assert_int_equal(store.count, FD_STORE_MAX - 1);
    assert_true(fd_store_has(&store, "n7") && !fd_store_has(&store, "n2"));
    fd_store_close(&store);
    assert_false(is_open(second));
    assert_int_equal(store.count, 0);
}

/* Each is another file: what is laid out is told apart by its size. */
static int
make_file(off_t size)
{
    int fd = memfd_create("file", MFD_CLOEXEC);

    return ftruncate(fd, size) == 0 ? fd : -1;
}

static off_t
size_of(int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 && fcntl(fd, F_GETFD) == 0 ? status.st_size : -1;
}

/* In a child, whose low numbers are taken by what is laid out, and in another order. */
static int
pass(void *argument)
{
    struct fd_store store = {0};
    char names[FD_STORE_MAX * FD_NAME_SIZE] = "", name[FD_NAME_SIZE];
    int other = dup2(make_file(100), FD_PASSED_FIRST);

    for (int i = 0; i < FD_STORE_MAX; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        strcat(strcat(names, i ? ":" : ""), name);
        fd_store_put(&store, name, dup2(make_file(i), FD_PASSED_FIRST + FD_STORE_MAX - i));
    }
    EXPECT(fd_store_pass(&store, &other) == 0);
    for (int i = 0; i < FD_STORE_MAX; i++)
        EXPECT(size_of(FD_PASSED_FIRST + i) == i);
    EXPECT(other == FD_PASSED_END - 1 && size_of(other) == 100);
    EXPECT(strcmp(getenv("LISTEN_FDNAMES"), names) == 0);
    EXPECT(atoi(getenv("LISTEN_FDS")) == FD_STORE_MAX && atoi(getenv("LISTEN_PID")) == getpid());
    return 0;
}

static void
test_pass(void **none)
{
    assert_int_equal(run_in_child(pass, NULL), 0);
}

/* At a time when no crash is one of many. */
static bool
go_on(struct lives *lives, int status)
{
    static int64_t now_ns;
    int64_t pause_ns;
    bool goes_on = lives_go_on(lives, status, now_ns += LIVES_CRASHES_NS, &pause_ns);

    assert_int_equal(pause_ns, 0);
    return goes_on;
}

static void
test_lives(void **none)
{
    struct lives lives = {0};

    /* One that has never been ready has said why, or nobody knows what it has left. */
    assert_false(lives_replace(&lives));
    assert_false(go_on(&lives, KILLED(SIGKILL)));
    lives_ready(&lives);
    assert_true(go_on(&lives, KILLED(SIGKILL)));
    for (unsigned i = 1; i < LIVES_DEATHS_MAX; i++)
        assert_true(go_on(&lives, i % 2 ? EXITED(EXIT_FAILURE) : KILLED(SIGSEGV)));
    assert_false(lives_are_over(&lives));
    assert_false(go_on(&lives, KILLED(SIGKILL)));
    assert_true(lives_are_over(&lives));
}

static void
test_lives_again(void **none)
{
    struct lives lives = {.has_served = true};

    for (unsigned i = 0; i < 3 * LIVES_DEATHS_MAX; i++) {
        assert_true(go_on(&lives, KILLED(SIGKILL)));
        if (i % 2)
            lives_ready(&lives);
    }
    assert_false(go_on(&lives, EXITED(EXIT_SUCCESS)));
}

static void
test_lives_replaced(void **none)
{
    struct lives lives = {.has_served = true};

    assert_true(lives_replace(&lives));
    assert_true(go_on(&lives, EXITED(EXIT_SUCCESS)));
    /* That was for one only. */
    assert_false(go_on(&lives, EXITED(EXIT_SUCCESS)));
    lives.is_ending = true;
    assert_false(lives_replace(&lives));
    assert_false(go_on(&lives, KILLED(SIGKILL)));
}

static int64_t
pause_after(struct lives *lives, int status, int64_t now_s)
{
    int64_t pause_ns;

    lives_ready(lives);
    assert_true(lives_go_on(lives, status, now_s * 1000000000, &pause_ns));
    return pause_ns / 1000000000;
}

static void
test_lives_pauses(void **none)
{
    struct lives lives = {0};

    for (int64_t i = 0; i < 20; i++)
        assert_int_equal(pause_after(&lives, KILLED(SIGKILL), 100), 0);
    for (int64_t i = 0; i < 4; i++)
        assert_int_equal(
            pause_after(&lives, i % 2 ? KILLED(SIGSEGV) : EXITED(EXIT_FAILURE), 100 + i), 0);
    /* The fifth: until the first is ten seconds ago. */
    assert_int_equal(pause_after(&lives, KILLED(SIGSEGV), 104), 6);
    assert_int_equal(pause_after(&lives, KILLED(SIGSEGV), 110), 1);
    assert_int_equal(pause_after(&lives, KILLED(SIGKILL), 110), 0);
    assert_int_equal(pause_after(&lives, KILLED(SIGSEGV), 119), 0);
    /* One that makes room has not crashed. */
    for (int64_t i = 0; i < 20; i++) {
        lives_ready(&lives);
        assert_true(lives_replace(&lives));
        assert_int_equal(pause_after(&lives, KILLED(SIGSEGV), 119), 0);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_descriptor),
        cmocka_unit_test(test_forget),
        cmocka_unit_test(test_receive),
        cmocka_unit_test(test_receive_too_much),
        cmocka_unit_test(test_watchdog),
        cmocka_unit_test(test_alive),
        cmocka_unit_test(test_store),
        cmocka_unit_test(test_pass),
        cmocka_unit_test(test_lives),
        cmocka_unit_test(test_lives_again),
        cmocka_unit_test(test_lives_replaced),
        cmocka_unit_test(test_lives_pauses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
