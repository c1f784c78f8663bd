/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The memory that the sidecar and its keeper share. */
#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>

#include "ninja-shim/gate/holdings.h"

struct holdings *
holdings_create(void)
{
    /* Pages that nobody touches are never there. */
    void *memory = mmap(NULL, sizeof(struct holdings), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

/* The kind is written last: the keeper may read at any moment. */
int
holdings_add(struct holdings *holdings, enum holding_kind kind, int pidfd)
{
    unsigned number = 0;

    while (number < holdings->end && holdings->holding[number].kind != HOLDING_NONE)
        number++;
    if (number == HOLDINGS_MAX)
        return -ENOSPC;
    struct holding *holding = &holdings->holding[number];
    holding->pidfd = pidfd;
    holding->token = HOLDINGS_NO_TOKEN;
    holding->pools = 0;
    holding->stopped = 0;
    if (number == holdings->end)
        holdings->end = number + 1;
    holding->kind = (unsigned char)kind;
    return (int)number;
}

void
holdings_pay(struct holdings *holdings, int number, int token, unsigned pools)
{
    holdings->holding[number].token = token;
    holdings->holding[number].pools = pools;
}

void
holdings_run(struct holdings *holdings, int number)
{
    holdings->holding[number].kind = HOLDING_RUNNING;
}

void
holdings_wait(struct holdings *holdings, int number)
{
    holdings->holding[number].kind = HOLDING_WAITING;
    holdings->holding[number].token = HOLDINGS_NO_TOKEN;
    holdings->holding[number].pools = 0;
}

void
holdings_stop(struct holdings *holdings, int number, pid_t pid)
{
    holdings->holding[number].stopped = pid;
}

void
holdings_remove(struct holdings *holdings, int number)
{
    holdings->holding[number].kind = HOLDING_NONE;
    while (holdings->end > 0 && holdings->holding[holdings->end - 1].kind == HOLDING_NONE)
        holdings->end--;
}
