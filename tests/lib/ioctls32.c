/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * ioctls32 FILE: a 32-bit client of a steved with 3 tokens. Without a C library, since not every machine
 * has one of 32 bits:
 *     cc -m32 -nostdlib -static -ffreestanding -fno-stack-protector -fno-pic
 * Exits with 0, or with the number of the first step that has gone wrong.
 */

#include "libjobserver/protocol.h"

#define NR_EXIT 1
#define NR_READ 3
#define NR_WRITE 4
#define NR_OPEN 5
#define NR_IOCTL 54

#define READ_WRITE_NONBLOCK 04002
#define FIONREAD_ 0x541b
#define EAGAIN_ 11
#define EINVAL_ 22
#define ENOTTY_ 25

static int
call(int number, long first, long second, long third)
{
    int result;

    __asm__ volatile("int $0x80"
                     : "=a"(result)
                     : "a"(number), "b"(first), "c"(second), "d"(third)
                     : "memory");
    return result;
}

static int
request(int fd, unsigned long command, void *argument)
{
    return call(NR_IOCTL, fd, (long)command, (long)argument);
}

/* It says how many jobs there are. */
static int
see(int fd)
{
    static struct steved_status status;
    static struct steved_clients clients;
    static struct steved_throttle throttle;
    static struct steved_events events;
    static struct steved_told told;
    int readable = 0;

    if (request(fd, STEVED_IOC_STATUS, &status) != 0 || status.version != STEVED_PROTOCOL_VERSION ||
        status.jobs != 3 || status.spare[1] != 0)
        return 2;
    if (request(fd, STEVED_IOC_CLIENTS, &clients) != 0)
        return 3;
    if (request(fd, STEVED_IOC_THROTTLE, &throttle) != 0 || throttle.limits.load_recheck_ms != 5000)
        return 4;
    if (request(fd, STEVED_IOC_EVENTS, &events) != 0 || events.cursor == 0 ||
        request(fd, STEVED_IOC_TELL, &told) != 0 || told.is_read != 1)
        return 8;
    /* Of a regular file, which a mount has, the kernel answers this itself. */
    if (request(fd, FIONREAD_, &readable) != 0)
        return 5;
    return request(fd, STEVED_IOC_STATUS + 100, &status) == -ENOTTY_ ? 0 : 6;
}

static int
change(int fd)
{
    static struct steved_settings settings = {.named = STEVED_SET_JOBS | STEVED_SET_LOAD_RECHECK,
                                              .jobs = 2,
                                              .limits.load_recheck_ms = 7000};
    static struct steved_weight weight = {.weight = STEVED_WEIGHT_DEFAULT};
    static struct steved_need need = {.waiting = 1};
    static struct steved_memory memory = {.flags = STEVED_MEMORY_ASKS,
                                          .youngest_ms = STEVED_MEMORY_NONE,
                                          .available_bytes = 1ull << 40};

    if (request(fd, STEVED_IOC_SET, &settings) != 0)
        return 10;
    if (request(fd, STEVED_IOC_WEIGHT, &weight) != 0)
        return 11;
    if (request(fd, STEVED_IOC_NEED, &need) != 0)
        return 12;
    if (request(fd, STEVED_IOC_MEMORY, &memory) != 0 || !(memory.answer & STEVED_MEMORY_IS_GRANTED))
        return 13;
    need.spare[6] = 1;
    return request(fd, STEVED_IOC_NEED, &need) == -EINVAL_ ? 0 : 14;
}

/* Of the build that it is itself. */
static int
pause_itself(int fd)
{
    static struct steved_clients clients;
    static struct steved_account account = {.named = STEVED_ACCOUNT_SET_PAUSE, .paused = 1};

    if (request(fd, STEVED_IOC_CLIENTS, &clients) != 0 || clients.count != 1)
        return 30;
    account.account = clients.clients[0].account;
    account.uid = clients.clients[0].uid;
    if (request(fd, STEVED_IOC_ACCOUNT, &account) != 0 || account.paused == 0 ||
        account.weight != STEVED_WEIGHT_DEFAULT)
        return 31;
    account.named = 4;
    return request(fd, STEVED_IOC_ACCOUNT, &account) == -EINVAL_ ? 0 : 32;
}

static int
take(int fd)
{
    static struct steved_claim claim;
    char token;

    if (call(NR_READ, fd, (long)&token, 1) != 1 || call(NR_READ, fd, (long)&token, 1) != 1)
        return 20;
    if (call(NR_READ, fd, (long)&token, 1) != -EAGAIN_) /* two jobs are left */
        return 21;
    if (request(fd, STEVED_IOC_PAY_IMPLICIT, 0) != 0)
        return 22;
    if (request(fd, STEVED_IOC_CLAIM_IMPLICIT, &claim) != 0 || claim.paid != 1)
        return 23;
    return call(NR_WRITE, fd, (long)&token, 1) == 1 ? 0 : 24;
}

__attribute__((used, force_align_arg_pointer)) static void
run(long *stack)
{
    int fd = call(NR_OPEN, stack[2], READ_WRITE_NONBLOCK, 0);
    int step = fd < 0 ? 1 : see(fd);

    if (step == 0)
        step = request(fd, STEVED_IOC_JOIN_GROUP, 0) == 0 ? change(fd) : 7;
    if (step == 0)
        step = take(fd);
    if (step == 0)
        step = pause_itself(fd);
    call(NR_EXIT, step, 0, 0);
}

/* The number of arguments, and these, lie on the stack. */
__asm__(".globl _start\n_start:\n\tmov %esp, %eax\n\tpush %eax\n\tcall run\n");
