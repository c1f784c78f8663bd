/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* What a server tells the guardian: the protocol of sd_notify(3), on a pair of sockets that nobody else has,
 * so that nobody else can tell it anything. notify.h is its other side. */

#include <stdbool.h>

#include "steved/fd_store.h"

#define NOTICE_SIZE 8192

struct notice {
    char text[NOTICE_SIZE]; /* as it came */
    bool is_ready;
    bool is_alive;  /* and says so from time to time */
    bool is_unused; /* nobody has used the server for --idle-timeout */
    bool removes;   /* the descriptor of this name is not needed any more */
    char name[FD_NAME_SIZE];
    int fd; /* to be kept under this name, and the caller's; -1: there is none */
};

/* ends[0] for notices_receive(), ends[1] for the server: 0 or a negative errno. */
int notices_open(int ends[2]);
/* false: none is waiting. */
bool notices_receive(int fd, struct notice *notice);
/* What the text says, and what became of a descriptor that came along with it; for notices_receive(). */
void notice_parse(struct notice *notice, int fd);
