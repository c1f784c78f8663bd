/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * The control socket of a jobwrap, which lies beside its FIFO: what steved answers by ioctl, in the same
 * structures, and tokens on an account of the caller's own. One packet a question, one an answer
 * (SOCK_SEQPACKET, unix(7)). Whoever holds the connection holds the account: when its last copy is
 * closed, what was held and claimed through it ends. Those below a process that has a connection are
 * part of its account. python/jobserver_client.py has the client's side for Python.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/un.h>

#include "libjobserver/protocol.h"

#define CONTROL_NAME "control" /* in the directory of the FIFO */
#define CONTROL_VERSION 1u

enum control_operation {
    CONTROL_HELLO,  /* first: hello; a pipe comes back that is readable when a token may be there */
    CONTROL_RECALL, /* a pipe comes back that is readable when tokens may be asked for */
    CONTROL_ACQUIRE, /* result: 1; or 0: the pipe of CONTROL_HELLO tells when to ask again */
    CONTROL_RETURN,  /* one token; it is not answered */
    CONTROL_STATUS,
    CONTROL_CLIENTS,
    CONTROL_SET,
    CONTROL_PAY_IMPLICIT,
    CONTROL_CLAIM_IMPLICIT,
    CONTROL_NEED, /* it is not answered */
    CONTROL_WEIGHT,
    CONTROL_MEMORY,
    CONTROL_THROTTLE,
    CONTROL_WATCH, /* a pipe comes back that is readable when there are events: from now on they are read */
    CONTROL_EVENTS,
    CONTROL_TELL,
    CONTROL_ACCOUNT,
    CONTROL_CLASSES,
    CONTROL_LEND, /* the caller's job, a client's of the FIFO, runs elsewhere and needs its token no more: 1; 0: it has
                        * none that could be lent. Until it is taken back, or the connection ends */
    CONTROL_TAKE_BACK, /* the job has its token again: 1; or 0: the pipe of CONTROL_HELLO tells when to ask again */
    CONTROL_SPARE, /* the same job waits until it can run elsewhere: its token may be lent already, or is. The answer is
                        * that of CONTROL_LEND, which follows when the job runs there, or CONTROL_TAKE_BACK */
    CONTROL_OPERATIONS,
};

/* Which of the pools is meant: that of the FIFO beside the socket, or of the file of a class, as stat(2) shows it. A
 * question that names neither means the FIFO's, and so does one that comes to a jobwrap which knows no classes: the
 * answer says whose it is. */
struct control_hello {
    __u32 version;
    __u32
        operations; /* so many the sender knows. 0: it does not say; then it is not told either, and knows
                       * those up to CONTROL_WEIGHT. Who is asked for one that it does not know hangs up. */
    __u64 device, inode;
};

struct control_packet {
    __u32 operation;
    __s32 result; /* of an answer: 0 or more, or a negative errno */
    union {
        struct control_hello hello;
        struct steved_status status;
        struct steved_clients clients;
        struct steved_settings settings;
        struct steved_claim claim;
        struct steved_need need;
        struct steved_weight weight;
        struct steved_memory memory;
        struct steved_throttle throttle;
        struct steved_events events; /* asked for by all that comes before its bytes */
        struct steved_told told;
        struct steved_account account;
        struct steved_classes classes;
    };
};

/* A question without an argument, or before it has one. Of a packet, which has room for the longest, the rest is not
 * written. */
static inline void
control_begin(struct control_packet *packet, enum control_operation operation)
{
    packet->operation = operation;
    packet->result = 0;
}

/* The argument's size in a question, and in its answer. */
size_t control_question_size(unsigned operation);
size_t control_answer_size(unsigned operation);

/* The socket's address in a directory that is open as `directory_fd`, by that descriptor: its path may be
 * longer than an address has room for. */
struct sockaddr_un control_address(int directory_fd);

/* For the server: the next question: 1; 0 at the end; -EAGAIN; -EBADMSG: it makes no sense; or another
 * negative errno. What is part of the answer and not of the question is zero. */
int control_receive(int connection, struct control_packet *packet);

/* Connects to the socket beside the FIFO (or file of a class) at `fifo_path`, which is open as `fifo_fd`, and greets: the
 * connection (close-on-exec, the caller's), *ready_fd, and how many operations it knows; or a negative errno: there
 * is no server that serves this FIFO, or it belongs to another user. */
int control_connect(const char *fifo_path, int fifo_fd, int *ready_fd, unsigned *operations);
/* Asks and waits for the answer, which replaces what `packet` holds. *fd: what came along (the caller's), or
 * -1; NULL: nothing may. The result, or a negative errno (-EPIPE: the server is gone). */
int control_ask(int connection, struct control_packet *packet, int *fd);
