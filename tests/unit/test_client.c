/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Real FIFOs, pipes and whatever else a path or a number may turn out to be. What only steved
 * understands is tested with it, in ../bats.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "libjobserver/client.h"
#include "libjobserver/control.h"
#include "libjobserver/events/code.h"
#include "libjobserver/program/packet.h"
#include "tests/unit/child.h"
#include "tests/unit/fifo.h"
#include "tests/unit/remove_tree.h"

/* A description of its own does not block; an inherited one is left as it is. */
static bool
is_own(const struct client *client)
{
    return fcntl(client_fd(client), F_GETFL) & O_NONBLOCK;
}

/* --- a directory with one of everything --- */

struct fixture {
    char directory[64];
    char fifo[96];
    int fifo_fd; /* keeps what is in it */
    int descriptors;
};

static int
count_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int count = 0;

    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

static int
setup(void **state)
{
    struct fixture *f = test_calloc(1, sizeof(*f));

    *state = f;
    snprintf(f->directory, sizeof(f->directory), "/tmp/test_client.XXXXXX");
    if (!mkdtemp(f->directory) || chmod(f->directory, 0755) < 0)
        return -1;
    snprintf(f->fifo, sizeof(f->fifo), "%s/fifo", f->directory);
    f->descriptors = count_descriptors();
    if (mkfifo(f->fifo, 0600) < 0)
        return -1;
    f->fifo_fd = open(f->fifo, O_RDWR | O_CLOEXEC);
    return f->fifo_fd < 0 ? -1 : 0;
}

/* Fails the test if it has left a descriptor open. */
static int
teardown(void **state)
{
    struct fixture *f = *state;

    close(f->fifo_fd);
    int left = count_descriptors() - f->descriptors;
    if (left != 0)
        fprintf(stderr, "# %d descriptors left open\n", left);
    int result = remove_tree(f->directory);
    test_free(f);
    return result || left ? -1 : 0;
}

static struct client *
open_fifo(const struct fixture *f)
{
    struct client *client = NULL;
    char *error;

    if (client_open_path(f->fifo, &client, &error) != 0) {
        print_error("%s\n", error);
        fail();
    }
    return client;
}

static int
open_pair(int read_fd, int write_fd, struct client **client, char **error)
{
    struct auth auth = {.kind = AUTH_PIPE, .read_fd = read_fd, .write_fd = write_fd};

    return client_open(&auth, client, error);
}

static struct client *
open_pipe(const int ends[2])
{
    struct client *client = NULL;
    char *error;

    if (open_pair(ends[0], ends[1], &client, &error) != 0) {
        print_error("%s\n", error);
        fail();
    }
    return client;
}

/* --- opening --- */

static void
test_fifo_is_opened_as_our_own(void **state)
{
    struct fixture *f = *state;
    struct client *client = open_fifo(f);
    char name[128];

    assert_int_equal(client_kind(client), CLIENT_FIFO);
    assert_true(is_own(client));
    snprintf(name, sizeof(name), "fifo:%s", f->fifo);
    assert_string_equal(client_name(client), name);
    assert_true(fcntl(client_fd(client), F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(client_fd(client), F_GETFD) & FD_CLOEXEC);
    assert_false(fcntl(f->fifo_fd, F_GETFL) & O_NONBLOCK);
    client_close(client);
    client_close(NULL);
}

static void
test_fifo_by_auth(void **state)
{
    struct fixture *f = *state;
    struct auth auth = {.kind = AUTH_FIFO, .path = f->fifo, .read_fd = -1, .write_fd = -1};
    struct client *client;
    char *error;

    assert_int_equal(client_open(&auth, &client, &error), 0);
    client_close(client);
    auth.kind = AUTH_NONE;
    assert_int_equal(client_open(&auth, &client, &error), -EINVAL);
    assert_non_null(error);
    free(error);
    auth.kind = AUTH_CLOSED;
    assert_int_equal(client_open(&auth, &client, &error), -EINVAL);
    free(error);
}

static void
make_one_of_everything(const struct fixture *f)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char path[128];

    snprintf(path, sizeof(path), "%s/regular", f->directory);
    close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    snprintf(path, sizeof(path), "%s/loop", f->directory);
    assert_int_equal(symlink(path, path), 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", f->directory);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    close(fd);
}

static void
test_what_is_no_jobserver(void **state)
{
    static const struct {
        const char *path; /* "@": in the directory */
        int error;
        const char *message;
    } rows[] = {
        {"@/missing", -ENOENT, "No such file or directory"},
        {"@/regular/below", -ENOTDIR, "Not a directory"},
        {"@/regular", -EINVAL, "a regular file, not a jobserver"},
        {"@", -EINVAL, "a directory, not a jobserver"},
        {"@/loop", -ELOOP, "Too many levels of symbolic links"},
        {"@/socket", -ENXIO, "No such device or address"},
        {"/dev/null", -EINVAL, "a terminal or memory device, not a jobserver"},
        {"/dev/zero", -EINVAL, "a terminal or memory device, not a jobserver"},
        {"/dev/ptmx", -EINVAL, "a terminal or memory device, not a jobserver"},
        {"", -ENOENT, "No such file or directory"},
    };
    struct fixture *f = *state;

    make_one_of_everything(f);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct client *client = NULL;
        char path[128], expected[256], *error = NULL;
        bool below = rows[i].path[0] == '@';
        snprintf(path, sizeof(path), "%s%s", below ? f->directory : "", rows[i].path + below);
        snprintf(expected, sizeof(expected), "open fifo:%s: %s", path, rows[i].message);
        assert_int_equal(client_open_path(path, &client, &error), rows[i].error);
        assert_null(client);
        assert_string_equal(error, expected);
        free(error);
    }
}

static void
test_pipe_is_reopened(void **state)
{
    int ends[2];
    char token = 0, name[32];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    struct client *client = open_pipe(ends);
    assert_int_equal(client_kind(client), CLIENT_FIFO);
    assert_true(is_own(client));
    snprintf(name, sizeof(name), "%d,%d", ends[0], ends[1]);
    assert_string_equal(client_name(client), name);
    assert_true(fcntl(client_fd(client), F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(client_fd(client), F_GETFD) & FD_CLOEXEC);
    assert_int_equal(client_try_acquire(client, &token), 0);
    put(ends[1], "x");
    assert_int_equal(client_try_acquire(client, &token), 1);
    assert_int_equal(token, 'x');
    assert_int_equal(client_release(client, token), 0);
    assert_int_equal(bytes_in(ends[0]), 1);
    assert_false(fcntl(ends[0], F_GETFL) & O_NONBLOCK);
    assert_false(fcntl(ends[1], F_GETFL) & O_NONBLOCK);
    client_close(client);
    assert_int_equal(read(ends[0], &token, 1), 1); /* the inherited ones are still there */
    close(ends[0]);
    close(ends[1]);
}

static void
test_one_descriptor_for_both(void **state)
{
    struct fixture *f = *state;
    const int both[2] = {f->fifo_fd, f->fifo_fd};
    struct client *client = open_pipe(both);
    char token;

    put(f->fifo_fd, "+");
    assert_int_equal(client_try_acquire(client, &token), 1);
    assert_int_equal(client_release(client, token), 0);
    client_close(client);
    assert_int_equal(bytes_in(f->fifo_fd), 1);
}

static void
expect_refusal(int read_fd, int write_fd)
{
    struct client *client = NULL;
    char *error = NULL, start[64];

    assert_int_equal(open_pair(read_fd, write_fd, &client, &error), -EBADF);
    assert_null(client);
    assert_non_null(error);
    snprintf(start, sizeof(start), "open %d,%d: ", read_fd, write_fd);
    assert_memory_equal(error, start, strlen(start));
    free(error);
}

/* make 4.3 shows in recipes without '+' the numbers of descriptors that it has closed. */
static void
test_numbers_that_are_something_else(void **state)
{
    struct fixture *f = *state;
    int ends[2], others[2];
    char path[128];

    make_one_of_everything(f);
    snprintf(path, sizeof(path), "%s/regular", f->directory);
    int regular = open(path, O_RDWR | O_CLOEXEC), null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int path_only = open(f->fifo, O_PATH | O_CLOEXEC);
    int directory = open(f->directory, O_RDONLY | O_CLOEXEC);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(pipe2(others, O_CLOEXEC), 0);

    const int rows[][2] = {
        {ends[1], ends[0]},
        {ends[0], ends[0]},
        {ends[1], ends[1]},
        {ends[0], others[1]},
        {ends[0], 9999},
        {9999, ends[1]},
        {-1, -1},
        {-2, ends[1]},
        {regular, regular},
        {null, null},
        {path_only, path_only},
        {path_only, f->fifo_fd},
        {f->fifo_fd, path_only},
        {directory, directory},
        {ends[0], regular},
        {f->fifo_fd, ends[1]},
        {INT32_MAX, INT32_MAX},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        expect_refusal(rows[i][0], rows[i][1]);

    const int all[] = {ends[0], ends[1], others[0], others[1], regular, null, path_only, directory};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        assert_true(all[i] >= 0);
        close(all[i]);
    }
}

/* Some other server's device: any character device that is none of the well-known others will do. */
static void
test_a_foreign_device(void **state)
{
    struct client *client;
    struct steved_status status;
    struct steved_clients page = {0};
    struct steved_settings settings = {0};
    struct steved_claim claim;
    char *error;

    int result = client_open_path("/dev/fuse", &client, &error);
    if (result < 0) {
        print_message("# %s\n", error);
        free(error);
        skip();
    }
    assert_int_equal(client_kind(client), CLIENT_DEVICE);
    assert_true(is_own(client));
    assert_true(client_move_to(client, 1) < 0); /* no file system is mounted through it */
    assert_int_equal(client_tokens_in_pipe(client, 65536), 65536);
    assert_int_equal(client_get_status(client, &status), -ENOTTY);
    assert_int_equal(client_get_clients(client, &page), -ENOTTY);
    assert_int_equal(client_set(client, &settings), -ENOTTY);
    assert_int_equal(client_join_group(client), 0);
    assert_int_equal(client_pay_implicit(client), 0);
    assert_int_equal(client_claim_implicit(client, &claim), -ENOTTY);
    client_close(client);
}

/* --- taking and giving back --- */

static void
test_bytes_are_kept(void **state)
{
    struct fixture *f = *state;
    struct client *client = open_fifo(f);
    unsigned tokens_free = 99;
    char token;

    assert_int_equal(client_count_free(client, &tokens_free), 0);
    assert_int_equal(tokens_free, 0);
    assert_int_equal(client_try_acquire(client, &token), 0);
    for (int byte = 0; byte < 256; byte++) {
        assert_int_equal(client_release(client, (char)byte), 0);
        assert_int_equal(client_count_free(client, &tokens_free), 0);
        assert_int_equal(tokens_free, 1);
        assert_int_equal(client_try_acquire(client, &token), 1);
        assert_int_equal((unsigned char)token, byte);
    }
    client_close(client);
}

static int64_t
now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
test_acquire_keeps_its_deadline(void **state)
{
    struct fixture *f = *state;
    struct client *client = open_fifo(f);
    int64_t start_ms = now_ms();
    char token;

    assert_int_equal(client_acquire(client, 0, &token), 0);
    assert_true(now_ms() - start_ms < 10000);
    start_ms = now_ms();
    assert_int_equal(client_acquire(client, 60, &token), 0);
    int64_t waited_ms = now_ms() - start_ms;
    assert_true(waited_ms >= 59 && waited_ms <= 10000);
    put(f->fifo_fd, "+");
    assert_int_equal(client_acquire(client, 0, &token), 1);
    put(f->fifo_fd, "+");
    assert_int_equal(client_acquire(client, -1, &token), 1);
    client_close(client);
}

static void *
give_when_somebody_waits(void *argument)
{
    pid_t *waiter = argument;
    char path[64], state = 0;

    /* The waiter sleeps in ppoll(2) sooner or later, and nowhere else. */
    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", waiter[0]);
    while (state != 'S') {
        FILE *file = fopen(path, "re");
        if (!file || fscanf(file, "%*d %*s %c", &state) != 1)
            abort();
        fclose(file);
    }
    if (write(waiter[1], "w", 1) != 1)
        abort();
    return NULL;
}

static void
test_acquire_wakes_up(void **state)
{
    struct fixture *f = *state;
    struct client *client = open_fifo(f);
    pid_t waiter[2] = {gettid(), f->fifo_fd};
    pthread_t thread;
    char token = 0;

    assert_int_equal(pthread_create(&thread, NULL, give_when_somebody_waits, waiter), 0);
    assert_int_equal(client_acquire(client, 20000, &token), 1);
    assert_int_equal(token, 'w');
    pthread_join(thread, NULL);
    client_close(client);
}

static void
do_nothing(int signal_number)
{
}

/* A signal every so often, until a call with 0. Takes alarm(2)'s place meanwhile. */
static void
send_signals(suseconds_t interval_us)
{
    const struct timeval interval = {.tv_usec = interval_us};
    const struct itimerval timer = {.it_interval = interval, .it_value = interval};

    alarm(0);
    signal(SIGALRM, interval_us ? do_nothing : SIG_DFL);
    setitimer(ITIMER_REAL, &timer, NULL);
    if (interval_us == 0)
        alarm(HANG_S);
}

static void
test_acquire_is_interrupted(void **state)
{
    struct fixture *f = *state;
    struct client *client = open_fifo(f);
    char token;

    send_signals(5000);
    int result = client_acquire(client, -1, &token);
    send_signals(0);
    assert_int_equal(result, -EINTR);
    client_close(client);
}

static void
test_release_into_a_full_fifo(void **state)
{
    struct fixture *f = *state;
    struct client *client = open_fifo(f);
    char page[4096];

    fill(f->fifo_fd);
    unsigned full = bytes_in(f->fifo_fd);
    send_signals(5000); /* which do not keep a token from getting home */
    int result = client_release(client, '+');
    send_signals(0);
    assert_int_equal(result, -EAGAIN);
    assert_int_equal(bytes_in(f->fifo_fd), full);
    assert_int_equal(read(f->fifo_fd, page, sizeof(page)), sizeof(page));
    assert_int_equal(client_release(client, '+'), 0);
    assert_int_equal(bytes_in(f->fifo_fd), full - sizeof(page) + 1);
    client_close(client);
}

/* --- another user's pipe --- */

/* The inherited descriptions block, and stay so; every call below must come back. */
static int
use_borrowed(void *argument)
{
    const int *ends = argument;
    struct client *client;
    unsigned tokens_free;
    char *error, token = 0;

    EXPECT(become_user(NOBODY));
    int descriptors = count_descriptors();
    EXPECT(open_pair(ends[0], ends[1], &client, &error) == 0);
    EXPECT(!is_own(client));
    EXPECT(client_kind(client) == CLIENT_FIFO);
    EXPECT(client_fd(client) != ends[0]);
    EXPECT(fcntl(client_fd(client), F_GETFD) & FD_CLOEXEC);
    EXPECT(client_try_acquire(client, &token) == 0);
    EXPECT(client_acquire(client, 20, &token) == 0);
    EXPECT(write(ends[1], "ab", 2) == 2);
    EXPECT(client_try_acquire(client, &token) == 1 && token == 'a');
    EXPECT(client_acquire(client, -1, &token) == 1 && token == 'b');
    EXPECT(client_try_acquire(client, &token) == 0);
    for (unsigned i = 1; i <= 100; i++) {
        EXPECT(client_release(client, 'c') == 0);
        EXPECT(client_count_free(client, &tokens_free) == 0 && tokens_free == i);
    }
    for (int i = 0; i < 100; i++)
        EXPECT(client_try_acquire(client, &token) == 1 && token == 'c');
    EXPECT(client_try_acquire(client, &token) == 0);
    client_close(client);
    EXPECT(count_descriptors() == descriptors);
    EXPECT(!(fcntl(ends[0], F_GETFL) & O_NONBLOCK));
    EXPECT(!(fcntl(ends[1], F_GETFL) & O_NONBLOCK));
    return 0;
}

/* The mode is for when the tests do not run as root: nobody may open it again, not even its owner. */
static void
test_another_users_pipe(void **state)
{
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(fchmod(ends[0], 0), 0);
    assert_int_equal(run_in_child(use_borrowed, ends), 0);
    close(ends[0]);
    close(ends[1]);
}

static void
test_another_users_fifo(void **state)
{
    struct fixture *f = *state;
    int ends[2] = {f->fifo_fd, f->fifo_fd};

    assert_int_equal(fchmod(f->fifo_fd, 0), 0);
    assert_int_equal(run_in_child(use_borrowed, ends), 0);
}

static int
use_borrowed_full(void *argument)
{
    const int *ends = argument;
    struct client *client;
    char *error, token = 0, page[4096];

    EXPECT(become_user(NOBODY));
    EXPECT(open_pair(ends[0], ends[1], &client, &error) == 0);
    EXPECT(!is_own(client));
    EXPECT(client_release(client, '+') == -EAGAIN);
    EXPECT(read(ends[0], page, sizeof(page)) == sizeof(page));
    /* What could not be given back then must not come out as a second one now. */
    EXPECT(client_release(client, '!') == 0);
    int left = 0;
    EXPECT(ioctl(ends[0], FIONREAD, &left) == 0);
    for (; left > 2 * (int)sizeof(page); left -= (int)sizeof(page))
        EXPECT(read(ends[0], page, sizeof(page)) == sizeof(page));
    for (; left > 1; left--)
        EXPECT(client_try_acquire(client, &token) == 1 && token == 'f');
    EXPECT(client_try_acquire(client, &token) == 1 && token == '!');
    EXPECT(client_try_acquire(client, &token) == 0);
    client_close(client);
    return 0;
}

static void
test_another_users_pipe_is_full(void **state)
{
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    fill(ends[1]);
    assert_int_equal(fchmod(ends[0], 0), 0);
    assert_int_equal(run_in_child(use_borrowed_full, ends), 0);
    close(ends[0]);
    close(ends[1]);
}

static void
test_another_users_fifo_is_full(void **state)
{
    struct fixture *f = *state;
    int ends[2] = {f->fifo_fd, f->fifo_fd};

    fill(f->fifo_fd);
    assert_int_equal(fchmod(f->fifo_fd, 0), 0);
    assert_int_equal(run_in_child(use_borrowed_full, ends), 0);
}

/* --- to a pipe, and back --- */

static void
test_move_to_and_from(void **state)
{
    struct fixture *f = *state;
    struct client *client = open_fifo(f);
    int ledger[2];

    assert_int_equal(client_tokens_in_pipe(client, 65536), 65536 / (unsigned)sysconf(_SC_PAGESIZE));
    assert_int_equal(pipe2(ledger, O_CLOEXEC), 0);
    assert_int_equal(client_move_to(client, ledger[1]), 0);
    assert_int_equal(client_move_from(client, ledger[0]), 0);
    put(f->fifo_fd, "abc");
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(client_move_to(client, ledger[1]), 1);
        assert_int_equal(bytes_in(ledger[0]), i);
        assert_int_equal(bytes_in(f->fifo_fd), 3 - i);
    }
    assert_int_equal(client_move_to(client, ledger[1]), 0);
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(client_move_from(client, ledger[0]), 1);
        assert_int_equal(bytes_in(f->fifo_fd), i);
    }
    assert_int_equal(client_move_from(client, ledger[0]), 0);
    close(ledger[1]);
    assert_int_equal(client_move_from(client, ledger[0]), 0); /* empty, and at its end */
    close(ledger[0]);
    client_close(client);
}

static void
test_move_to_a_full_pipe(void **state)
{
    struct fixture *f = *state;
    struct client *client = open_fifo(f);
    int ledger[2];

    assert_int_equal(pipe2(ledger, O_CLOEXEC), 0);
    assert_true(fcntl(ledger[1], F_SETPIPE_SZ, 4096) == 4096);
    put(f->fifo_fd, "ab");
    assert_int_equal(client_move_to(client, ledger[1]), 1);
    assert_int_equal(client_move_to(client, ledger[1]), -ENOSPC);
    assert_int_equal(bytes_in(f->fifo_fd), 1);
    assert_true(fcntl(ledger[1], F_SETPIPE_SZ, 8192) == 8192);
    assert_int_equal(client_move_to(client, ledger[1]), 1);
    assert_int_equal(client_move_to(client, ledger[1]), 0);
    close(ledger[0]);
    close(ledger[1]);
    client_close(client);
}

/* A pipe has 16 slots, and a make that writes a token when all are taken waits for ever. */
static void
test_spliced_tokens_leave_room_for_others(void **state)
{
    struct fixture *f = *state;
    struct client *client = open_fifo(f);
    struct pollfd writer = {.fd = f->fifo_fd, .events = POLLOUT};
    int ledger[2];

    assert_int_equal(pipe2(ledger, O_CLOEXEC), 0);
    assert_true(fcntl(ledger[1], F_SETPIPE_SZ, 64 * 4096) > 0);
    for (int i = 0; i < 64; i++) {
        put(f->fifo_fd, "+");
        assert_int_equal(client_move_to(client, ledger[1]), 1);
    }
    for (unsigned i = 1; i <= 64; i++) {
        assert_int_equal(client_move_from(client, ledger[0]), 1);
        assert_int_equal(bytes_in(f->fifo_fd), i);
        assert_int_equal(poll(&writer, 1, 0), 1);
    }
    close(ledger[0]);
    close(ledger[1]);
    client_close(client);
}

struct give_many {
    const char *fifo;
    int fifo_fd, ledger[2];
};

/* More tokens than a pipe of an unprivileged user may have slots. */
static int
give_many_back(void *argument)
{
    const struct give_many *many = argument;
    struct client *client;
    char *error, token, tokens[1000];
    int before, after;

    memset(tokens, '+', sizeof(tokens));
    EXPECT(become_user(NOBODY));
    EXPECT(client_open_path(many->fifo, &client, &error) == 0);
    EXPECT(write(many->ledger[1], tokens, sizeof(tokens)) == sizeof(tokens));
    for (size_t i = 0; i < sizeof(tokens); i++) {
        struct pollfd writer = {.fd = many->fifo_fd, .events = POLLOUT};
        EXPECT(client_move_from(client, many->ledger[0]) == 1);
        EXPECT(poll(&writer, 1, 0) == 1);
    }
    EXPECT(ioctl(many->fifo_fd, FIONREAD, &before) == 0 && before == sizeof(tokens));
    EXPECT(client_move_from(client, many->ledger[0]) == 0);
    for (size_t i = 0; i < sizeof(tokens); i++)
        EXPECT(client_try_acquire(client, &token) == 1);
    EXPECT(ioctl(many->fifo_fd, FIONREAD, &after) == 0 && after == 0);
    client_close(client);
    return 0;
}

static void
test_more_tokens_than_slots(void **state)
{
    struct fixture *f = *state;
    struct give_many many = {.fifo = f->fifo, .fifo_fd = f->fifo_fd};

    assert_int_equal(fchmod(f->fifo_fd, 0666), 0);
    assert_int_equal(pipe2(many.ledger, O_CLOEXEC), 0);
    assert_int_equal(run_in_child(give_many_back, &many), 0);
    close(many.ledger[0]);
    close(many.ledger[1]);
}

static int
splice_borrowed(void *argument)
{
    const int *ends = argument;
    struct client *client;
    char *error;
    int ledger[2];

    EXPECT(become_user(NOBODY));
    EXPECT(open_pair(ends[0], ends[1], &client, &error) == 0);
    EXPECT(!is_own(client));
    EXPECT(pipe2(ledger, O_CLOEXEC) == 0);
    EXPECT(client_move_to(client, ledger[1]) == 0);
    EXPECT(client_move_from(client, ledger[0]) == 0);
    EXPECT(write(ends[1], "ab", 2) == 2);
    EXPECT(client_move_to(client, ledger[1]) == 1);
    EXPECT(client_move_to(client, ledger[1]) == 1);
    EXPECT(client_move_to(client, ledger[1]) == 0);
    EXPECT(client_move_from(client, ledger[0]) == 1);
    EXPECT(client_move_from(client, ledger[0]) == 1);
    EXPECT(client_move_from(client, ledger[0]) == 0);
    client_close(client);
    return 0;
}

static void
test_splice_another_users_pipe(void **state)
{
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(fchmod(ends[0], 0), 0);
    assert_int_equal(run_in_child(splice_borrowed, ends), 0);
    assert_int_equal(bytes_in(ends[0]), 2);
    close(ends[0]);
    close(ends[1]);
}

/* --- many at once --- */

#define CROWD 8
#define TOKENS 3
#define ROUNDS 2500 /* 20,000 in all */

struct crowd {
    struct client *clients[CROWD];
    atomic_int out, highest, failures;
};

struct member {
    struct crowd *crowd;
    struct client *client;
};

static void
take_and_give(struct crowd *crowd, struct client *client)
{
    char token;

    for (int round = 0; round < ROUNDS; round++) {
        if (client_acquire(client, 30000, &token) != 1) {
            atomic_fetch_add(&crowd->failures, 1);
            return;
        }
        int out = atomic_fetch_add(&crowd->out, 1) + 1;
        int highest = atomic_load(&crowd->highest);
        while (out > highest && !atomic_compare_exchange_weak(&crowd->highest, &highest, out))
            ;
        sched_yield(); /* so that others want one meanwhile */
        atomic_fetch_sub(&crowd->out, 1);
        if (client_release(client, token) != 0) {
            atomic_fetch_add(&crowd->failures, 1);
            return;
        }
    }
}

static void *
be_one_of_crowd(void *argument)
{
    struct member *member = argument;

    take_and_give(member->crowd, member->client);
    return NULL;
}

static int
run_threads(struct crowd *crowd)
{
    struct member members[CROWD];
    pthread_t threads[CROWD];

    for (size_t i = 0; i < CROWD; i++) {
        members[i] = (struct member){.crowd = crowd, .client = crowd->clients[i]};
        EXPECT(pthread_create(&threads[i], NULL, be_one_of_crowd, &members[i]) == 0);
    }
    for (size_t i = 0; i < CROWD; i++)
        pthread_join(threads[i], NULL);
    EXPECT(crowd->failures == 0);
    EXPECT(crowd->out == 0);
    EXPECT(crowd->highest == TOKENS);
    return 0;
}

static void
test_threads_with_a_client_each(void **state)
{
    struct fixture *f = *state;
    struct crowd crowd = {0};

    put(f->fifo_fd, "+++");
    for (size_t i = 0; i < CROWD; i++)
        crowd.clients[i] = open_fifo(f);
    assert_int_equal(run_threads(&crowd), 0);
    for (size_t i = 0; i < CROWD; i++)
        client_close(crowd.clients[i]);
    assert_int_equal(bytes_in(f->fifo_fd), TOKENS);
}

static int
share_borrowed(void *argument)
{
    const int *ends = argument;
    struct crowd crowd = {0};
    char *error;

    EXPECT(become_user(NOBODY));
    EXPECT(open_pair(ends[0], ends[1], &crowd.clients[0], &error) == 0);
    EXPECT(!is_own(crowd.clients[0]));
    for (size_t i = 1; i < CROWD; i++)
        crowd.clients[i] = crowd.clients[0];
    EXPECT(run_threads(&crowd) == 0);
    client_close(crowd.clients[0]);
    return 0;
}

static void
test_threads_share_another_users_fifo(void **state)
{
    struct fixture *f = *state;
    int ends[2] = {f->fifo_fd, f->fifo_fd};

    put(f->fifo_fd, "+++");
    assert_int_equal(fchmod(f->fifo_fd, 0), 0);
    assert_int_equal(run_in_child(share_borrowed, ends), 0);
    assert_int_equal(bytes_in(f->fifo_fd), TOKENS);
}

static void
test_processes(void **state)
{
    struct fixture *f = *state;
    struct crowd *crowd =
        mmap(NULL, sizeof(*crowd), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pids[CROWD];

    assert_ptr_not_equal(crowd, MAP_FAILED);
    put(f->fifo_fd, "+++");
    for (size_t i = 0; i < CROWD; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0) {
            alarm(HANG_S);
            take_and_give(crowd, open_fifo(f));
            _exit(0);
        }
    }
    for (size_t i = 0; i < CROWD; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    assert_int_equal(crowd->failures, 0);
    assert_int_equal(crowd->out, 0);
    assert_int_equal(crowd->highest, TOKENS);
    assert_int_equal(bytes_in(f->fifo_fd), TOKENS);
    munmap(crowd, sizeof(*crowd));
}

/* --- a jobwrap --- */

/* In a child: one that knows so many operations, and hangs up on others. */
struct jobwrap {
    const char *fifo;
    int listens, ready[2];
    unsigned operations;
    pid_t pid;
};

static const char hostile[] = "\033[2J\n\303 <i>";

/* A name without an end, and one that is nothing to be shown. */
static void
answer(struct control_packet *packet)
{
    struct steved_event event = {.kind = STEVED_EVENT_CAME};

    if (packet->operation == CONTROL_MEMORY)
        packet->memory.others = 7;
    if (packet->operation == CONTROL_CLIENTS) {
        packet->clients.count = 1;
        memset(packet->clients.clients[0].command, '\033', STEVED_COMMAND_SIZE);
    }
    if (packet->operation == CONTROL_EVENTS) {
        memcpy(event.name, hostile, sizeof(hostile));
        packet->events.has_more = 0;
        packet->events.size = (__u32)event_encode(
            &event, &(struct steved_event){0}, packet->events.bytes, sizeof(packet->events.bytes));
    }
}

static int
serve_one(const struct jobwrap *jobwrap)
{
    int connection = accept4(jobwrap->listens, NULL, NULL, SOCK_CLOEXEC);
    struct control_packet packet;
    struct stat status;

    EXPECT(stat(jobwrap->fifo, &status) == 0);
    EXPECT(control_receive(connection, &packet) == 1 && packet.operation == CONTROL_HELLO);
    packet.hello.device = status.st_dev;
    packet.hello.inode = status.st_ino;
    packet.hello.operations = jobwrap->operations;
    EXPECT(packet_send(connection, &packet, control_answer_size(CONTROL_HELLO),
                       jobwrap->ready[0]) == 0);
    while (control_receive(connection, &packet) == 1) {
        EXPECT(packet.operation < jobwrap->operations);
        answer(&packet);
        EXPECT(packet_send(connection, &packet, control_answer_size(packet.operation), -1) == 0);
    }
    return 0;
}

static struct client *
connect_to_jobwrap(const struct fixture *f, struct jobwrap *jobwrap)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct client *client;
    char *error;

    jobwrap->fifo = f->fifo;
    assert_int_equal(pipe2(jobwrap->ready, O_CLOEXEC), 0);
    jobwrap->listens = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/control", f->directory);
    assert_int_equal(bind(jobwrap->listens, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(jobwrap->listens, 1), 0);
    jobwrap->pid = fork();
    if (jobwrap->pid == 0)
        _exit(serve_one(jobwrap));
    assert_int_equal(client_open_path(f->fifo, &client, &error), 0);
    assert_int_equal(unlink(address.sun_path), 0);
    assert_true(client_is_jobwrap(client));
    return client;
}

static void
disconnect(struct client *client, const struct jobwrap *jobwrap)
{
    int status;

    client_close(client);
    assert_int_equal(waitpid(jobwrap->pid, &status, 0), jobwrap->pid);
    assert_int_equal(status, 0);
    close(jobwrap->listens);
    close(jobwrap->ready[0]);
    close(jobwrap->ready[1]);
}

static int
ask_of_memory(const struct fixture *f, unsigned operations)
{
    struct jobwrap jobwrap = {.operations = operations};
    struct steved_memory memory = {.running = 1};
    struct client *client = connect_to_jobwrap(f, &jobwrap);
    int result = client_memory(client, &memory);

    assert_int_equal(memory.others, result == 0 ? 7 : 0);
    disconnect(client, &jobwrap);
    return result;
}

static void
test_an_older_jobwrap_is_not_asked_what_it_does_not_know(void **state)
{
    const struct fixture *f = *state;

    assert_int_equal(ask_of_memory(f, 0), -ENOTTY);
    assert_int_equal(ask_of_memory(f, CONTROL_MEMORY), -ENOTTY);
    assert_int_equal(ask_of_memory(f, CONTROL_OPERATIONS), 0);
}

static void
test_names_that_a_server_tells_may_be_shown(void **state)
{
    struct jobwrap jobwrap = {.operations = CONTROL_OPERATIONS};
    struct client *client = connect_to_jobwrap(*state, &jobwrap);
    struct steved_clients page = {0};
    struct client_events events;

    assert_int_equal(client_get_clients(client, &page), 0);
    assert_int_equal(strlen(page.clients[0].command), STEVED_COMMAND_SIZE - 1);
    assert_int_equal(page.clients[0].command[0], '?');
    assert_int_equal(client_next_events(client, &events), 0);
    assert_int_equal(events.count, 1);
    assert_string_equal(events.events[0].name, "?[2J?? <i>");
    disconnect(client, &jobwrap);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_fifo_is_opened_as_our_own),
        TEST(test_fifo_by_auth),
        TEST(test_what_is_no_jobserver),
        TEST(test_pipe_is_reopened),
        TEST(test_one_descriptor_for_both),
        TEST(test_numbers_that_are_something_else),
        TEST(test_a_foreign_device),
        TEST(test_bytes_are_kept),
        TEST(test_acquire_keeps_its_deadline),
        TEST(test_acquire_wakes_up),
        TEST(test_acquire_is_interrupted),
        TEST(test_release_into_a_full_fifo),
        TEST(test_another_users_pipe),
        TEST(test_another_users_fifo),
        TEST(test_another_users_pipe_is_full),
        TEST(test_another_users_fifo_is_full),
        TEST(test_move_to_and_from),
        TEST(test_move_to_a_full_pipe),
        TEST(test_spliced_tokens_leave_room_for_others),
        TEST(test_more_tokens_than_slots),
        TEST(test_splice_another_users_pipe),
        TEST(test_threads_with_a_client_each),
        TEST(test_threads_share_another_users_fifo),
        TEST(test_processes),
        TEST(test_an_older_jobwrap_is_not_asked_what_it_does_not_know),
        TEST(test_names_that_a_server_tells_may_be_shown),
    };

    alarm(HANG_S);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
