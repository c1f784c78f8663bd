/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What tells that a server may have come: in mount namespaces of the test's own, where it may make one. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libjobserver/server_events.h"
#include "tests/unit/child.h"

#define SKIPPED 77

static bool
is_told(const struct server_events *events)
{
    struct pollfd polled = {.fd = events->fd, .events = POLLIN};

    return poll(&polled, 1, 0) == 1;
}

static bool
is_told_once(const struct server_events *events)
{
    bool was_told = is_told(events);

    server_events_drain(events);
    return was_told && !is_told(events);
}

/* /dev is another one from now on. */
static bool
has_own_space(void)
{
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("none", "/dev", "tmpfs", 0, NULL) == 0;
}

static int
mount_and_unmount(void *argument)
{
    struct server_events events;

    if (!has_own_space())
        return SKIPPED;
    EXPECT(server_events_open(&events) == 0 && !is_told(&events));
    EXPECT(mount("none", "/tmp", "tmpfs", 0, NULL) == 0 && is_told_once(&events));
    EXPECT(umount("/tmp") == 0 && is_told_once(&events));
    server_events_close(&events);
    EXPECT(events.fd == -1 && events.mounts_fd == -1 && events.inotify_fd == -1);
    return 0;
}

static int
make_device(void *argument)
{
    struct server_events events;

    if (!has_own_space())
        return SKIPPED;
    EXPECT(server_events_open(&events) == 0);
    EXPECT(close(open("/dev/one", O_CREAT | O_RDWR | O_CLOEXEC, 0600)) == 0);
    EXPECT(is_told_once(&events));
    EXPECT(chmod("/dev/one", 0660) == 0 && is_told_once(&events));
    EXPECT(rename("/dev/one", "/dev/two") == 0 && is_told_once(&events));
    EXPECT(unlink("/dev/two") == 0 && !is_told(&events));
    server_events_close(&events);
    return 0;
}

static void
run(int (*function)(void *argument))
{
    int result = run_in_child(function, NULL);

    if (result == SKIPPED)
        skip();
    assert_int_equal(result, 0);
}

static void
test_mounts_are_told(void **state)
{
    run(mount_and_unmount);
}

static void
test_devices_are_told(void **state)
{
    run(make_device);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mounts_are_told),
        cmocka_unit_test(test_devices_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
