/* SPDX-License-Identifier: GPL-2.0-or-later */

/* stevefarm: keeps the jobs of a class at what a compile farm has. */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "libjobserver/program/clock.h"
#include "libjobserver/program/descriptors.h"
#include "libjobserver/program/message.h"
#include "libjobserver/program/service.h"
#include "libjobserver/program/usage.h"
#include "stevefarm/answers.h"
#include "stevefarm/capacity.h"
#include "stevefarm/options.h"
#include "stevefarm/probe.h"
#include "stevefarm/teller.h"

/* The state of the program. */
struct program {
    struct options options;
    struct event_base *base;
    struct event *tick, *end;
    int signals;
    struct capacity capacity;
    struct probe *probes;  /* as many as the engine has places */
    struct teller *teller; /* NULL: this engine does not tell where jobs run */
    unsigned told_jobs;    /* to the service manager */
    bool is_ready;
    int service; /* -1: no service manager wants to know */
};

static unsigned
count_jobs(const struct program *program)
{
    const struct options *options = &program->options;
    unsigned slots = options->engine.fixed_slots;

    for (unsigned i = 0; i < options->engine.count; i++) {
        unsigned more = program->probes[i].slots;
        slots = more > SLOTS_MAX - slots ? SLOTS_MAX : slots + more;
    }
    slots = slots > options->reserve ? slots - options->reserve : 0;
    return slots < options->max ? slots : options->max;
}

static void
tell_service_manager(struct program *program, unsigned jobs)
{
    char state[64];

    if (program->service < 0 || (program->is_ready && program->told_jobs == jobs))
        return;
    snprintf(state, sizeof(state), "READY=1\nSTATUS=%u jobs", jobs);
    if (send(program->service, state, strlen(state), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        return;
    program->is_ready = true;
    program->told_jobs = jobs;
}

/* Renews the lease, too. */
static void
set_jobs(void *context)
{
    struct program *program = context;
    const unsigned jobs = count_jobs(program);

    if (capacity_set(&program->capacity, jobs) == 0)
        tell_service_manager(program, jobs);
}

static void
on_answer(void *context, const char *answer)
{
    struct program *program = context;

    teller_take_icecc(program->teller, program->capacity.client, answer, clock_now_ns());
}

static void
on_tick(evutil_socket_t fd, short what, void *context)
{
    struct program *program = context;
    const int64_t now_ns = clock_now_ns();

    for (unsigned i = 0; i < program->options.engine.count; i++)
        probe_tick(&program->probes[i], now_ns);
    set_jobs(program);
    trouble_tell(&program->capacity.trouble, program->options.class_name, now_ns);
}

static void
on_end(evutil_socket_t fd, short what, void *context)
{
    struct program *program = context;

    event_base_loopbreak(program->base);
}

/* The signals that end us. */
static int
open_signals(void)
{
    sigset_t ends;

    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &ends, NULL) < 0)
        return -errno;
    int fd = signalfd(-1, &ends, SFD_NONBLOCK | SFD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int
set_up_teller(struct program *program)
{
    const struct options *options = &program->options;

    if (options->engine.kind != ENGINE_ICECC)
        return 0;
    program->teller = calloc(1, sizeof(*program->teller));
    if (!program->teller)
        return -ENOMEM;
    program->teller->class_name = options->class_name;
    program->teller->submitter = options->name;
    return 0;
}

static int
set_up_probes(struct program *program)
{
    const struct engine *engine = &program->options.engine;

    program->probes = calloc(engine->count + 1, sizeof(*program->probes));
    for (unsigned i = 0; program->probes && i < engine->count; i++) {
        const struct probe plan = {.kind = engine->kind,
                                   .place = &engine->places[i],
                                   .base = program->base,
                                   .on_change = set_jobs,
                                   .on_answer = program->teller ? on_answer : NULL,
                                   .context = program};
        probe_init(&program->probes[i], &plan);
    }
    return program->probes ? 0 : -ENOMEM;
}

static int
set_up(struct program *program)
{
    const struct timeval second = {.tv_sec = 1};

    program->signals = open_signals();
    if (program->signals < 0)
        return program->signals;
    program->base = event_base_new();
    if (!program->base || set_up_teller(program) < 0 || set_up_probes(program) < 0)
        return -ENOMEM;
    program->tick = event_new(program->base, -1, EV_PERSIST, on_tick, program);
    program->end =
        event_new(program->base, program->signals, EV_READ | EV_PERSIST, on_end, program);
    if (!program->tick || !program->end || event_add(program->tick, &second) < 0 ||
        event_add(program->end, NULL) < 0)
        return -ENOMEM;
    return 0;
}

static void
take_down(struct program *program)
{
    for (unsigned i = 0; program->probes && i < program->options.engine.count; i++)
        probe_close(&program->probes[i]);
    free(program->probes);
    free(program->teller);
    if (program->tick)
        event_free(program->tick);
    if (program->end)
        event_free(program->end);
    if (program->base)
        event_base_free(program->base);
    if (program->signals >= 0)
        close(program->signals);
    if (program->service >= 0)
        close(program->service);
    capacity_close(&program->capacity);
}

/* Until a signal ends it: what others use of the class goes to the processors of this machine then. */
static int
follow(struct program *program)
{
    if (event_base_dispatch(program->base) < 0) {
        message("wait for events: failed");
        return EXIT_FAILURE;
    }
    return capacity_set(&program->capacity, 0) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int
main(int argc, char **argv)
{
    struct program program = {.signals = -1, .service = -1};

    descriptors_guard_standard();
    options_parse(&program.options, argc, argv);
    program.capacity = (struct capacity){.server = program.options.server,
                                         .class_name = program.options.class_name};
    const char *manager = getenv("NOTIFY_SOCKET");
    if (manager && manager[0])
        program.service = service_connect(manager);
    int error = set_up(&program);
    int status = EXIT_FAILURE;
    if (error < 0) {
        message_errno(error, "start");
    } else if (capacity_set(&program.capacity,
                            program.options.engine.count ? 0 : count_jobs(&program)) < 0) {
        message("%s: %s", program.options.class_name, program.capacity.trouble.now);
    } else {
        on_tick(-1, 0, &program);
        status = follow(&program);
    }
    take_down(&program);
    return status;
}
