/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stevefarm/probe.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libjobserver/program/clock.h"
#include "stevefarm/answers.h"
#include "stevefarm/lookup.h"

#define ANSWER_TIMEOUT_MS 3000
/* A scheduler tells some hundred bytes a node. */
#define ANSWER_SIZE ((size_t)1 << 20)
#define READ_SIZE ((size_t)65536)

/* How an engine is asked. */
struct dialect {
    const char *request;
    const char *(*parse)(const char *answer, unsigned *slots);
    bool (*is_whole)(const char *part); /* NULL: it closes the connection when it has answered */
};

static const struct dialect dialects[] = {
    [ENGINE_ICECC] = {"listcs\n", answer_icecc, answer_icecc_is_whole},
    [ENGINE_DISTCC] = {"GET / HTTP/1.0\r\n\r\n", answer_distcc, NULL},
    [ENGINE_SCCACHE] = {"GET /api/v1/scheduler/status HTTP/1.0\r\nConnection: close\r\n"
                        "Accept: application/json\r\n\r\n",
                        answer_sccache, NULL},
};

void
probe_init(struct probe *probe, const struct probe *plan)
{
    *probe = *plan;
    probe->fd = -1;
}

static void
tell_answer(const struct probe *probe, const char *answer)
{
    if (probe->on_answer)
        probe->on_answer(probe->context, answer);
}

static void
set_slots(struct probe *probe, unsigned slots)
{
    if (probe->slots == slots)
        return;
    probe->slots = slots;
    probe->on_change(probe->context);
}

static void
forget_answer(struct probe *probe)
{
    free(probe->answer);
    probe->answer = NULL;
    probe->length = probe->line = 0;
}

static void
disconnect(struct probe *probe)
{
    if (probe->event)
        event_free(probe->event);
    probe->event = NULL;
    if (probe->fd >= 0)
        close(probe->fd);
    probe->fd = -1;
    forget_answer(probe);
    probe->state = PROBE_CLOSED;
}

/* trouble_set() has said why. */
static void
give_up(struct probe *probe)
{
    disconnect(probe);
    set_slots(probe, 0);
    tell_answer(probe, "");
}

static void
give_up_errno(struct probe *probe, const char *operation, int error)
{
    trouble_set(&probe->trouble, "%s: %s", operation, strerror(error));
    give_up(probe);
}

/* --- connecting --- */

static void
forget_addresses(struct probe *probe)
{
    if (probe->addresses)
        freeaddrinfo(probe->addresses);
    probe->addresses = probe->next = NULL;
}

static void on_event(evutil_socket_t fd, short what, void *context);

/* 0, or a negative errno. */
static int
watch(struct probe *probe, short what)
{
    if (probe->event)
        event_free(probe->event);
    probe->event = event_new(probe->base, probe->fd, (short)(what | EV_PERSIST), on_event, probe);
    return probe->event && event_add(probe->event, NULL) == 0 ? 0 : -ENOMEM;
}

/* To probe->next: 0, or a negative errno. */
static int
begin_to_connect(struct probe *probe)
{
    const struct addrinfo *to = probe->next;

    probe->fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (probe->fd < 0)
        return -errno;
    if (connect(probe->fd, to->ai_addr, to->ai_addrlen) < 0 && errno != EINPROGRESS)
        return -errno;
    probe->state = PROBE_CONNECTING;
    return watch(probe, EV_WRITE);
}

/* The address that was tried last has refused: the next, or no more of them until they are looked up anew. */
static void
connect_to_next(struct probe *probe, int error)
{
    while (error < 0) {
        disconnect(probe);
        probe->next = probe->next->ai_next;
        if (!probe->next) {
            forget_addresses(probe);
            give_up_errno(probe, "connect", -error);
            return;
        }
        error = begin_to_connect(probe);
    }
}

static void
look_up(struct probe *probe)
{
    int result = lookup_begin(probe->place);

    if (result >= 0) {
        probe->fd = result;
        probe->state = PROBE_LOOKING_UP;
        result = watch(probe, EV_READ);
    }
    if (result < 0)
        give_up_errno(probe, "look up its address", -result);
}

/* It ends by itself: no other one is begun meanwhile. */
static void
say_that_it_lasts(struct probe *probe, int64_t now_ns)
{
    if (now_ns - probe->begun_ns > ANSWER_TIMEOUT_MS * NS_PER_MS)
        trouble_set(&probe->trouble, "look up its address: no answer yet");
}

static int
end_lookup(struct probe *probe)
{
    const int fd = probe->fd;

    event_free(probe->event);
    probe->event = NULL;
    probe->fd = -1;
    return lookup_end(fd, &probe->addresses);
}

static void
on_looked_up(struct probe *probe)
{
    int result = end_lookup(probe);

    probe->next = probe->addresses;
    if (result == 0) {
        probe->begun_ns = clock_now_ns();
        connect_to_next(probe, begin_to_connect(probe));
        return;
    }
    trouble_set(&probe->trouble, "look up its address: %s", gai_strerror(result));
    give_up(probe);
}

static void
open_connection(struct probe *probe)
{
    if (!probe->addresses) {
        look_up(probe);
        return;
    }
    connect_to_next(probe, begin_to_connect(probe));
}

/* --- asking --- */

static void
ask(struct probe *probe)
{
    const char *request = dialects[probe->kind].request;
    const size_t size = strlen(request);

    forget_answer(probe);
    probe->state = PROBE_ASKING;
    ssize_t sent = send(probe->fd, request, size, MSG_NOSIGNAL);
    if (sent != (ssize_t)size)
        give_up_errno(probe, "ask", sent < 0 ? errno : EAGAIN);
}

static void
on_connected(struct probe *probe)
{
    int error = 0;
    socklen_t size = sizeof(error);

    if (getsockopt(probe->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
        error = errno;
    if (error == 0)
        error = -watch(probe, EV_READ);
    if (error != 0)
        connect_to_next(probe, -error);
    else
        ask(probe);
}

static void
take_answer(struct probe *probe)
{
    unsigned slots = 0;
    const char *wrong = dialects[probe->kind].parse(probe->answer ? probe->answer : "", &slots);

    if (wrong) {
        trouble_set(&probe->trouble, "read the answer: %s", wrong);
        give_up(probe);
        return;
    }
    trouble_clear(&probe->trouble);
    probe->state = PROBE_IDLE;
    set_slots(probe, slots);
    tell_answer(probe, probe->answer);
    if (!dialects[probe->kind].is_whole)
        disconnect(probe);
}

static void
on_end(struct probe *probe)
{
    if (probe->state == PROBE_ASKING && !dialects[probe->kind].is_whole) {
        take_answer(probe);
        return;
    }
    trouble_set(&probe->trouble, "it has closed the connection");
    give_up(probe);
}

/* So many bytes are new. Each line is looked at once, when it is whole: an answer may come byte by byte. */
static bool
ends_now(struct probe *probe, size_t got)
{
    const struct dialect *dialect = &dialects[probe->kind];
    const char *newline = memrchr(probe->answer + probe->length - got, '\n', got);

    if (!dialect->is_whole || !newline)
        return false;
    const char *part = probe->answer + probe->line;
    probe->line = (size_t)(newline + 1 - probe->answer);
    return dialect->is_whole(part);
}

static void
on_readable(struct probe *probe)
{
    if (probe->length + READ_SIZE >= ANSWER_SIZE) {
        trouble_set(&probe->trouble, "read the answer: it is too long");
        give_up(probe);
        return;
    }
    char *answer = realloc(probe->answer, probe->length + READ_SIZE + 1);
    if (!answer) {
        give_up_errno(probe, "read the answer", ENOMEM);
        return;
    }
    probe->answer = answer;
    ssize_t got = recv(probe->fd, answer + probe->length, READ_SIZE, 0);
    answer[probe->length + (got > 0 ? (size_t)got : 0)] = '\0';
    if (got == 0) {
        on_end(probe);
    } else if (got > 0) {
        probe->length += (size_t)got;
        if (probe->state == PROBE_ASKING && ends_now(probe, (size_t)got))
            take_answer(probe);
    } else if (errno != EAGAIN && errno != EINTR) {
        give_up_errno(probe, "read the answer", errno);
    }
}

static void
on_event(evutil_socket_t fd, short what, void *context)
{
    struct probe *probe = context;

    if (probe->state == PROBE_LOOKING_UP)
        on_looked_up(probe);
    else if (probe->state == PROBE_CONNECTING)
        on_connected(probe);
    else
        on_readable(probe);
}

void
probe_tick(struct probe *probe, int64_t now_ns)
{
    const bool is_waiting = probe->state == PROBE_CONNECTING || probe->state == PROBE_ASKING;
    char name[sizeof(probe->place->host) + sizeof(probe->place->port) + 1];

    if (is_waiting && now_ns - probe->begun_ns > ANSWER_TIMEOUT_MS * NS_PER_MS) {
        if (probe->state == PROBE_CONNECTING)
            probe->next = NULL, forget_addresses(probe);
        trouble_set(&probe->trouble, "it does not answer");
        give_up(probe);
    }
    if (probe->state == PROBE_CLOSED || probe->state == PROBE_IDLE)
        probe->begun_ns = now_ns;
    if (probe->state == PROBE_CLOSED)
        open_connection(probe);
    else if (probe->state == PROBE_LOOKING_UP)
        say_that_it_lasts(probe, now_ns);
    else if (probe->state == PROBE_IDLE)
        ask(probe);
    snprintf(name, sizeof(name), "%s:%s", probe->place->host, probe->place->port);
    trouble_tell(&probe->trouble, name, now_ns);
}

void
probe_close(struct probe *probe)
{
    if (probe->state == PROBE_LOOKING_UP)
        end_lookup(probe);
    disconnect(probe);
    forget_addresses(probe);
}
