/* SPDX-License-Identifier: GPL-2.0-or-later */

/* This file answers instead of answers.c. Each request is answered once, the pool stays sound, and when all are gone
 * nothing is left. */
#include "tests/fuzz/device.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libjobserver/pool/pool.h"
#include "libjobserver/program/clock.h"
#include "steved/ioctls.h"
#include "steved/openings.h"
#include "steved/requests.h"

#define CLOSED UINT64_MAX
#define OPENINGS 4
#define CHILDREN 3
#define REQUESTS_MAX 256
#define DEATHS_MAX 2

struct fuse_req {
    bool is_answered;
    void (*interrupted)(struct fuse_req *handle, void *data);
    void *data;
};

struct fuse_pollhandle {
    int unused;
};

static struct world {
    struct server server;
    uint64_t openings[OPENINGS]; /* CLOSED: it is not open */
    struct fuse_req requests[REQUESTS_MAX];
    unsigned count, pollhandles, deaths;
    bool is_client_gone; /* answers do not arrive */
    bool is_interrupted;
    pid_t children[CHILDREN];
} world;

/* --- instead of answers.c --- */

static void
answer(struct fuse_req *handle)
{
    ALWAYS(!handle->is_answered);
    handle->is_answered = true;
}

void
answer_error(const struct request *request, int error)
{
    ALWAYS(error > 0);
    answer(request->handle);
}

void
answer_waiting(struct fuse_req *handle, int error)
{
    ALWAYS(error > 0);
    answer(handle);
}

bool
answer_token(struct fuse_req *handle)
{
    answer(handle);
    return !world.is_client_gone;
}

void
answer_empty(const struct request *request)
{
    answer(request->handle);
}

void
answer_written(const struct request *request, size_t size)
{
    answer(request->handle);
}

void
answer_poll(const struct request *request, unsigned ready)
{
    answer(request->handle);
}

/* What goes out is looked at, byte by byte. */
void
answer_ioctl(const struct request *request, const void *out, size_t size)
{
    char *copy = malloc(size + 1);

    ALWAYS(copy);
    memcpy(copy, out, size);
    free(copy);
    answer(request->handle);
}

void
answer_ioctl_retry(const struct request *request, void *argument, size_t in_size, size_t out_size)
{
    answer(request->handle);
}

bool
answer_is_interrupted(const struct request *request)
{
    return world.is_interrupted;
}

void
answer_on_interrupt(const struct request *request,
                    void (*interrupted)(struct fuse_req *handle, void *data), void *data)
{
    request->handle->interrupted = interrupted;
    request->handle->data = data;
}

void
answer_notify(struct channel *channel, struct fuse_pollhandle *pollhandle)
{
    answer_forget(pollhandle);
}

void
answer_forget(struct fuse_pollhandle *pollhandle)
{
    ALWAYS(world.pollhandles-- > 0);
    free(pollhandle);
}

/* --- who asks --- */

static void
end_children(void)
{
    for (int i = 0; i < CHILDREN; i++)
        if (world.children[i])
            kill(world.children[i], SIGKILL);
}

/* It ends with us: by its death signal if we are killed. That is set too late if we end at once; and then whoever waits
 * for the end of our output must not wait for its. A copy of us, if there are sanitizers, would take ten times as long
 * to come and go. */
static pid_t
start_child(void)
{
    char *argv[] = {(char[]){"setpriv"}, (char[]){"--pdeathsig=KILL"}, (char[]){"sleep"},
                    (char[]){"infinity"}, NULL};
    posix_spawn_file_actions_t files;
    pid_t pid;

    ALWAYS(posix_spawn_file_actions_init(&files) == 0);
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        ALWAYS(posix_spawn_file_actions_addopen(&files, fd, "/dev/null", O_RDWR, 0) == 0);
    ALWAYS(posix_spawnp(&pid, argv[0], &files, NULL, argv, environ) == 0);
    posix_spawn_file_actions_destroy(&files);
    return pid;
}

static void
kill_child(unsigned number)
{
    if (world.deaths++ >= DEATHS_MAX)
        return;
    kill(world.children[number], SIGKILL);
    waitpid(world.children[number], NULL, 0);
    world.children[number] = start_child();
    event_base_loop(world.server.base, EVLOOP_NONBLOCK);
}

/* Us, one that is not there, one that cannot be told, and others. */
static pid_t
choose_tid(struct input *input)
{
    unsigned number = input_below(input, CHILDREN + 3);

    return number < CHILDREN        ? world.children[number]
           : number == CHILDREN     ? 0
           : number == CHILDREN + 1 ? getpid()
                                    : 4194303; /* above pid_max */
}

static struct fuse_req *
make_handle(void)
{
    struct fuse_req *handle = &world.requests[world.count++];

    *handle = (struct fuse_req){0};
    return handle;
}

static struct request
make_request(struct input *input)
{
    unsigned flags = input_byte(input);

    world.is_client_gone = flags & 8 && flags & 16;
    world.is_interrupted = flags & 32 && flags & 64;
    return (struct request){.handle = make_handle(),
                            .tid = choose_tid(input),
                            .uid = flags & 1 ? 0 : 1000,
                            .is_nonblocking = flags & 2,
                            .poll_events = flags & 4 ? POLLIN | POLLPRI : 0};
}

/* --- what is asked --- */

static void
ask_ioctl(struct opening *opening, const struct request *request, struct input *input)
{
    static const unsigned commands[] = {STEVED_IOC_STATUS,       STEVED_IOC_CLIENTS,
                                        STEVED_IOC_SET,          STEVED_IOC_JOIN_GROUP,
                                        STEVED_IOC_PAY_IMPLICIT, STEVED_IOC_CLAIM_IMPLICIT,
                                        STEVED_IOC_NEED,         STEVED_IOC_WEIGHT,
                                        STEVED_IOC_MEMORY,       STEVED_IOC_THROTTLE,
                                        STEVED_IOC_ACCOUNT,      STEVED_IOC_EVENTS,
                                        STEVED_IOC_TELL,         STEVED_IOC_CLASSES,
                                        0x541b /* FIONREAD */,   0};
    const unsigned count = sizeof(commands) / sizeof(commands[0]);
    unsigned command = commands[input_below(input, count)], how = input_byte(input);
    /* As the kernel does: the size that the number says; or any other. */
    size_t size = how & 1 ? _IOC_SIZE(command) : input_byte(input);
    void *in = malloc(size + 1);

    ALWAYS(in);
    input_bytes(input, in, size);
    const struct ioctl_call call = {.command = command,
                                    .in = in,
                                    .in_size = how & 2 ? 0 : size,
                                    .out_size = how & 4   ? 0
                                                : how & 1 ? sizeof(struct steved_clients)
                                                          : size,
                                    .may_retry = how & 8};
    request_ioctl(opening, request, &call);
    free(in);
}

static void
ask_poll(struct opening *opening, const struct request *request, struct input *input)
{
    struct fuse_pollhandle *handle = input_below(input, 2) ? malloc(sizeof(*handle)) : NULL;

    world.pollhandles += handle != NULL;
    request_poll(opening, request, handle);
}

/* As it comes from the kernel; of what is no read only the beginning matters. */
static void
arrive(const struct request *request, uint64_t opening)
{
    const unsigned session = opening == CLOSED ? 0 : (unsigned)(opening >> 32);
    struct device_read *read = state_request(world.server.state, session);

    *read = (struct device_read){
        .header = {.len = sizeof(*read),
                   .opcode = FUSE_READ,
                   .unique = world.count,
                   .uid = request->uid,
                   .pid = (uint32_t)request->tid},
        .read = {.fh = opening, .size = 1, .flags = request->is_nonblocking ? O_NONBLOCK : 0}};
}

static void
open_one(uint64_t *id, const struct request *request)
{
    const unsigned file = (unsigned)(id - world.openings) % world.server.file_count;
    struct opening *opening;
    int error = opening_create(&world.server.files[file], request, &opening);

    *id = error == 0 ? opening_id(opening) : CLOSED;
    answer(request->handle);
}

static void
ask(uint64_t *id, struct input *input)
{
    const struct request request = make_request(input);
    unsigned what = input_below(input, 6);
    struct opening *opening = opening_find(&world.server, *id);

    arrive(&request, *id);
    state_serve_request(world.server.state);
    if (!opening) {
        open_one(id, &request);
    } else if (what == 0) {
        request_read(opening, &request, input_below(input, 3));
    } else if (what == 1) {
        request_write(opening, &request, input_below(input, 5));
    } else if (what == 2) {
        ask_poll(opening, &request, input);
    } else if (what == 3 && input_below(input, 4) == 0) {
        opening_release(opening);
        *id = CLOSED;
        answer(request.handle);
    } else {
        ask_ioctl(opening, &request, input);
    }
}

static void
interrupt(struct input *input)
{
    struct fuse_req *handle = &world.requests[input_byte(input) % REQUESTS_MAX];

    if (handle->interrupted && !handle->is_answered)
        handle->interrupted(handle, handle->data);
}

static void
step(struct input *input)
{
    unsigned what = input_byte(input);

    server_look(&world.server);
    if (what < 8)
        kill_child(what % CHILDREN);
    else if (what < 24)
        interrupt(input);
    else if (what < 32)
        for (unsigned i = 0; i < world.server.file_count; i++)
            pool_expire(world.server.files[i].pool, clock_now_ns() + POOL_RESERVATION_NS);
    else
        ask(&world.openings[what % OPENINGS], input);
    server_settle(&world.server);
    device_check();
}

/* --- a server's life --- */

void
device_check(void)
{
    const char *wrong = NULL;

    for (unsigned i = 0; i < world.server.file_count && !wrong; i++)
        wrong = pool_check(world.server.files[i].pool);

    if (wrong)
        fprintf(stderr, "%s\n", wrong);
    ALWAYS(!wrong);
}

struct server *
device_create(const struct options *options)
{
    struct world fresh = {.server.options = *options};

    if (!world.children[0])
        ALWAYS(atexit(end_children) == 0);
    memset(fresh.openings, 0xff, sizeof(fresh.openings));
    for (int i = 0; i < CHILDREN; i++)
        fresh.children[i] = world.children[i] ? world.children[i] : start_child();
    world = fresh;
    ALWAYS(server_init(&world.server, requests_answer) == 0);
    return &world.server;
}

struct server *
device_succeed(const struct options *options)
{
    uint64_t openings[OPENINGS];

    memcpy(openings, world.openings, sizeof(openings));
    device_create(options);
    memcpy(world.openings, openings, sizeof(openings));
    return &world.server;
}

void
device_arrive(struct input *input)
{
    const struct request request = make_request(input);

    answer(request.handle); /* it is asked again */
    arrive(&request, world.openings[input_below(input, OPENINGS)]);
}

void
device_ask_again(const struct device_read *read)
{
    struct opening *opening = opening_find(&world.server, read->read.fh);
    bool has_room = world.count < REQUESTS_MAX;

    if (!opening || !has_room || read->header.opcode != FUSE_READ)
        return;
    const struct request request = {.handle = make_handle(),
                                    .tid = (pid_t)read->header.pid,
                                    .uid = read->header.uid,
                                    .is_nonblocking = read->read.flags & O_NONBLOCK};
    request_read(opening, &request, read->read.size);
}

void
device_steps(struct input *input, unsigned count)
{
    for (; count > 0 && input->left > 0 && world.count < REQUESTS_MAX; count--)
        step(input);
}

void
device_end(void)
{
    struct server *server = &world.server;

    server_stop(server);
    requests_end(server);
    for (unsigned i = 0; i < server->file_count; i++)
        clients_end(&server->files[i]);
    server_end(server);
    for (unsigned i = 0; i < world.count; i++)
        ALWAYS(world.requests[i].is_answered);
    ALWAYS(world.pollhandles == 0);
}
