/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What comes to the control socket of a jobwrap, which is the root of its tokens: any packet, from several
 * connections. The pool stays sound, what is lent is known, and no descriptor is left. Nothing is ever in the FIFO. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "jobwrap/control.h"
#include "libjobserver/control.h"
#include "libjobserver/process.h"
#include "libjobserver/program/packet.h"
#include "tests/fuzz/input.h"

#define PEERS 3
#define JOBS 3

static struct world {
    struct event_base *base;
    struct private_fifo fifo;
    struct clients clients;
    struct source source;
    struct classes classes;
    struct control control;
    struct loans loans;
    int peers[PEERS];
    pid_t last_pid; /* of those that have come */
} world;

/* --- instead of the kernel --- */

/* No process has it. */
#define PIDS_BEGIN (1 << 23)

int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
size_t __wrap_process_ancestors(pid_t pid, struct process_info *ancestors, size_t max);

/* Each peer is another process. */
int
__wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
    int result = __real_getsockopt(fd, level, name, value, size);

    if (result == 0 && level == SOL_SOCKET && name == SO_PEERCRED)
        ((struct ucred *)value)->pid = ++world.last_pid;
    return result;
}

/* Two of three have been started by a client of the FIFO, which is us. */
size_t
__wrap_process_ancestors(pid_t pid, struct process_info *ancestors, size_t max)
{
    ancestors[0] = (struct process_info){.pid = getpid()};
    return pid % 3 != 0;
}

/* --- what jobwrap would do --- */

static void
ignore(void *argument)
{
}

static void
pay_loans(void *argument)
{
    while (loans_missing(&world.loans) > 0 && source_take(&world.source) == 1) {
        struct loan *loan = loans_pay(&world.loans);
        if (loan)
            control_tell_paid(loan);
    }
    if (loans_missing(&world.loans) == 0)
        source_leave(&world.source);
}

static void
wake(void *argument)
{
    pay_loans(NULL);
}

static unsigned
count_unexplained(void *argument)
{
    return 0;
}

/* What is lent is owed, or held again. */
static void
check_loans(void)
{
    ALWAYS(source_held_in_all(&world.source) + loans_bytes(&world.loans) == 1);
    ALWAYS(world.loans.voided == 0);
}

/* --- peers --- */

static unsigned
count_descriptors(void)
{
    DIR *fds = opendir("/proc/self/fd");
    unsigned count = 0;

    while (fds && readdir(fds))
        count++;
    if (fds)
        closedir(fds);
    return count;
}

static void
join(int *peer)
{
    int directory = open(world.fifo.directories[world.fifo.chosen], O_PATH | O_CLOEXEC);
    const struct sockaddr_un address = control_address(directory);

    *peer = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ALWAYS(*peer >= 0);
    ALWAYS(connect(*peer, (const struct sockaddr *)&address, sizeof(address)) == 0);
    close(directory);
}

static void
leave(int *peer)
{
    if (*peer >= 0)
        close(*peer);
    *peer = -1;
}

/* What has been answered makes sense. */
static void
read_answers(int peer)
{
    struct control_packet packet;
    struct iovec vector = {&packet, sizeof(packet)};
    char control[CMSG_SPACE(sizeof(int))];
    int fd;

    for (;;) {
        struct msghdr message = {.msg_iov = &vector,
                                 .msg_iovlen = 1,
                                 .msg_control = control,
                                 .msg_controllen = sizeof(control)};
        ssize_t got = recvmsg(peer, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (got <= 0)
            return;
        ALWAYS((size_t)got == control_answer_size(packet.operation));
        const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        if (header) {
            memcpy(&fd, CMSG_DATA(header), sizeof(fd));
            close(fd);
        }
    }
}

static void
ask(int peer, struct input *input)
{
    struct control_packet packet;
    unsigned how = input_byte(input);
    size_t size;

    memset(&packet, 0, sizeof(packet));
    packet.operation = input_below(input, CONTROL_OPERATIONS + 1);
    if (how % 4 == 3)
        packet.operation =
            (const unsigned[]){CONTROL_LEND, CONTROL_TAKE_BACK, CONTROL_SPARE}[how / 4 % 3];
    size = control_question_size(packet.operation);
    input_bytes(input, &packet.hello, size - offsetof(struct control_packet, hello));
    if (packet.operation == CONTROL_HELLO && packet.hello.version % 2) {
        packet.hello.device = world.classes.classes[0].device;
        packet.hello.inode = world.classes.classes[0].inode;
    }
    if (how < 16)
        size = how < sizeof(packet) ? how : sizeof(packet);
    (void)!send(peer, &packet, size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* --- a life --- */

static void
step(struct input *input)
{
    int *peer = &world.peers[input_below(input, PEERS)];

    if (*peer < 0)
        join(peer);
    else if (input_below(input, 16) == 0)
        leave(peer);
    else
        ask(*peer, input);
    event_base_loop(world.base, EVLOOP_NONBLOCK);
    for (int i = 0; i < PEERS; i++)
        if (world.peers[i] >= 0)
            read_answers(world.peers[i]);
    const char *wrong = pool_check(world.source.pool);
    if (!wrong)
        wrong = pool_check(world.classes.classes[0].pool);
    if (wrong)
        fprintf(stderr, "%s\n", wrong);
    ALWAYS(!wrong);
    check_loans();
}

static void
begin(void)
{
    static const struct class_specs specs = {.count = 1, .specs = {{.name = "link", .jobs = 1}}};

    signal(SIGPIPE, SIG_IGN);
    world = (struct world){.base = event_base_new(), .peers = {-1, -1, -1}, .last_pid = PIDS_BEGIN};
    ALWAYS(world.base);
    ALWAYS(private_fifo_plan(&world.fifo) == 0 &&
           private_fifo_make(&world.fifo, "nobody", JOBS) == 0);
    world.source = (struct source){
        .own = JOBS, .tell = control_tell, .wake = wake, .limits.load_recheck_ms = 5000};
    ALWAYS(source_open(&world.source, world.base) == 0);
    ALWAYS(clients_open(&world.clients, world.fifo.fd, 0, world.base, ignore, NULL) == 0);
    world.classes = (struct classes){.source = &world.source, .tell = control_tell};
    ALWAYS(classes_open(&world.classes, &specs, &world.fifo, world.base) == 0);
    world.control = (struct control){.source = &world.source,
                                     .classes = &world.classes,
                                     .fifo = &world.fifo,
                                     .clients = &world.clients,
                                     .first_came = ignore,
                                     .settled = ignore,
                                     .count_unexplained = count_unexplained,
                                     .loans = &world.loans,
                                     .loan_ended = pay_loans};
    loans_init(&world.loans);
    ALWAYS(control_open(&world.control, world.base) == 0);
}

static void
end(void)
{
    for (int i = 0; i < PEERS; i++)
        leave(&world.peers[i]);
    event_base_loop(world.base, EVLOOP_NONBLOCK);
    pay_loans(NULL);
    ALWAYS(loans_bytes(&world.loans) == 0 && source_held_in_all(&world.source) == 1);
    control_close(&world.control);
    classes_close(&world.classes);
    clients_close(&world.clients);
    source_close(&world.source);
    private_fifo_remove(&world.fifo);
    private_fifo_clear(&world.fifo);
    event_base_free(world.base);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    unsigned before = count_descriptors();

    begin();
    while (input.left > 0)
        step(&input);
    end();
    ALWAYS(count_descriptors() == before);
    return 0;
}
