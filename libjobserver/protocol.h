/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef JOBSERVER_PROTOCOL_H
#define JOBSERVER_PROTOCOL_H

/*
 * What steved understands on its file (/dev/steve, or DIR/jobserver of a FUSE mount), and on the file of each
 * of its classes (/dev/steve-NAME, DIR/NAME), besides read, write and poll: see docs/protocol.md. Installed as <steved/protocol.h>. Every structure has the
 * same layout for 32 and 64 bit callers. Reserved members are 0.
 *
 * Errors common to all: ENOTTY (unknown to this server, or the file is another server's), EINVAL (a
 * reserved member is not 0, a value is out of its range).
 */

#include <linux/ioctl.h>
#include <linux/types.h>

#define STEVED_PROTOCOL_VERSION 1

struct steved_status {
    __u32 version; /* STEVED_PROTOCOL_VERSION */
    __s32 pid;     /* of the server, as it sees itself */
    __u32 jobs;    /* capacity */
    __u32 free;
    __u32 held;
    __u32 reserved;
    __u32 debt;    /* tokens that must return before one is granted, after `jobs` was lowered */
    __u32 waiting; /* readers and pollers that wait for their turn */
    __u32 unpaid;  /* implicit slots that nobody paid for, in addition to `jobs` */
    __u32 min_jobs;
    __u32 per_process_limit; /* 0: none */
    __u32 accounts;
    __u64 granted; /* this and the next five count from the start of the server */
    __u64 returned;
    __u64 foreign;   /* tokens returned by another process than their holder */
    __u64 dropped;   /* bytes written for which no token was owed */
    __u64 reclaimed; /* tokens taken back from dead processes, whose jobs may still run */
    __u64 lapsed;    /* reservations that ran out unused */
    __u32 recalled;  /* tokens of this description that should be returned: see POLLPRI below */
    __u32 per_user_limit; /* 0: none */
    /* Memory, as reported by STEVED_IOC_MEMORY; all 0 if there was no report lately. */
    __u64 memory_growth_bytes;    /* by which running jobs are still expected to grow */
    __u64 memory_available_bytes; /* as seen by the party that has least left */
    __u64 memory_floor_bytes;     /* the part of it that should stay free */
    __u32 memory_running;         /* jobs */
    __u32 memory_waiting;         /* jobs that wait for memory */
    __u32 paused;                 /* how many of `waiting` belong to paused builds */
    __u32 flags;                  /* STEVED_STATUS_* */
    __u64 spare[2];
};
/* Nothing is granted to the caller: its account is paused, or the build around it is paused at a server further
 * up. */
#define STEVED_STATUS_IS_PAUSED 1u
#define STEVED_IOC_STATUS _IOR('J', 0x50, struct steved_status)

#define STEVED_CLIENT_GROUP 1u         /* a jobwrap or a gate, with its keeper */
#define STEVED_CLIENT_PAYS_IMPLICIT 2u /* one of its tokens is its own implicit slot */
#define STEVED_CLIENT_UNPAID 4u        /* runs one job more than it holds tokens */
#define STEVED_CLIENT_HAS_CLAIMED 8u   /* an ancestor's token pays for its implicit slot */
#define STEVED_CLIENT_HAS_USER 16u     /* `uid` is set */
#define STEVED_CLIENT_PAUSED 32u       /* its account is paused */

#define STEVED_COMMAND_SIZE 64
struct steved_client {
    __u64 account;
    __s32 pid; /* in the server's pid namespace; 0: the client is outside of it */
    __s32 keeper;
    __u32 flags; /* STEVED_CLIENT_* */
    __u32 weight;
    __u32 held;
    __u32 reserved;
    __u32 waiting;
    __u32 claims;
    char command[STEVED_COMMAND_SIZE]; /* see below */
    __u64 start_ticks;                 /* after boot, as in /proc/PID/stat; 0: unknown */
    __u32 uid;                         /* the user whose share it counts for */
    __u32 spare;
};
/* `command` is the name of the process (proc_pid_comm(5)), printable and NUL-terminated; or "(gone)"; "(outside)"
 * if pid is 0; "(busy)" if the caller's user has made the server look at too many processes lately. It is not the
 * command line. That is in the memory of the process, which could make a server that reads it wait. To show a
 * command line, read /proc/PID/cmdline yourself, but compare the start time first: in your pid namespace, the pid
 * may belong to another process. */

/* In: the cursor, 0 in the first call. Out: up to STEVED_CLIENTS_PER_PAGE clients, and the cursor for the
 * next call. After the last client, `count` is 0. */
#define STEVED_CLIENTS_PER_PAGE 32
struct steved_clients {
    __u64 cursor;
    __u32 count;
    __u32 reserved;
    struct steved_client clients[STEVED_CLIENTS_PER_PAGE];
};
#define STEVED_IOC_CLIENTS _IOWR('J', 0x51, struct steved_clients)

/* Limits that delay grants once `min_jobs` tokens are held. */
#define STEVED_LOAD_RECHECK_DEFAULT_MS 5000u
struct steved_limits {
    __u32 memory_mib;      /* --min-memory-avail in MiB; 0: no limit, or per cent */
    __u32 memory_percent;  /* the same in per cent of all memory, 1 to 100; 0: no limit, or MiB */
    __u32 load_centi;      /* --load-average in hundredths, up to 100000000; 0: no limit */
    __u32 load_recheck_ms; /* --load-recheck-timeout, 100 to 3600000 */
};

/* Changes all settings that are named, or none of them. Only root and the server's own user may do this; others get
 * EPERM. */
#define STEVED_SET_JOBS 1u
#define STEVED_SET_MIN_JOBS 2u
#define STEVED_SET_PER_PROCESS_LIMIT 4u
#define STEVED_SET_MIN_MEMORY_AVAIL 8u /* memory_mib and memory_percent */
#define STEVED_SET_LOAD_AVERAGE 16u
#define STEVED_SET_LOAD_RECHECK 32u
#define STEVED_SET_PER_USER_LIMIT 64u
/* Of a class: its `jobs` become 0 unless they are set again within lease_ms, 1 to STEVED_LEASE_MAX_MS. Each
 * STEVED_SET_JOBS without a lease ends the one before. */
#define STEVED_SET_LEASE 128u
#define STEVED_LEASE_MAX_MS 86400000u
#define STEVED_SET_LIMITS                                                                          \
    (STEVED_SET_MIN_MEMORY_AVAIL | STEVED_SET_LOAD_AVERAGE | STEVED_SET_LOAD_RECHECK)
struct steved_settings {
    __u32 named; /* STEVED_SET_* */
    __u32 jobs;
    __u32 min_jobs;
    __u32 per_process_limit;
    struct steved_limits limits;
    __u32 per_user_limit;
    __u32 lease_ms;
    __u32 spare[6];
};
#define STEVED_IOC_SET _IOW('J', 0x52, struct steved_settings)

/* From now on, tokens that are read through this open file description belong to a group, and the caller is a
 * member. They return when the last member has died. A wrapper and its keeper both call this, one after the other.
 * EBUSY: the caller is in another group, or holds or waits for a token of its own. EPERM: another user opened the
 * description. */
#define STEVED_IOC_JOIN_GROUP _IO('J', 0x53)
/* poll() gives POLLPRI on a group's description when the server asks the group to return tokens as soon as its
 * jobs end: as many as `recalled` of struct steved_status says. This is for groups that lend their tokens to
 * others. A group that returns nothing is not punished. */

/* Makes one of the tokens that are held through this description pay for the caller's implicit slot. EINVAL: none is
 * held. */
#define STEVED_IOC_PAY_IMPLICIT _IO('J', 0x54)

/* Asks whether an ancestor of the caller (or of the first member of the caller's group) holds a token that nobody
 * has claimed yet. If so, the token is claimed for the caller's implicit slot until one of the two dies. If the
 * ancestor returns it, it belongs to the caller from then on. If no ancestor has one, the server remembers the
 * caller until it grants the caller a token that is read through this description. As soon as a claim becomes
 * possible, the caller has it and no longer waits for a token. poll() then gives POLLIN, or POLLPRI to a caller
 * that polls for that alone. The caller must then ask again, and `paid` is 1. */
struct steved_claim {
    __u32 paid;     /* 1: the slot is paid for; 0: acquire a token */
    __s32 ancestor; /* the process, or a group's first member, that holds the claimed token */
    __u32 spare[6];
};
#define STEVED_IOC_CLAIM_IMPLICIT _IOR('J', 0x55, struct steved_claim)

/* For a group that lends its tokens to others: reports how many clients below it have no token at all and wait for
 * one. For that many grants, the group's account is treated as if it had no token itself. */
struct steved_need {
    __u32 waiting; /* clients without a token */
    __u32 spare[7];
};
#define STEVED_IOC_NEED _IOW('J', 0x56, struct steved_need)

/* Sets the share of the caller's group. With twice the weight of another, it gets twice as many tokens while both
 * want them. EPERM: only root and the server's own user may set more than the default. EBUSY: the caller is in no
 * group, or its group is part of the account of a group around it. */
#define STEVED_WEIGHT_DEFAULT 100u
#define STEVED_WEIGHT_MAX 10000u
struct steved_weight {
    __u32 weight; /* 1 to STEVED_WEIGHT_MAX */
    __u32 spare[7];
};
#define STEVED_IOC_WEIGHT _IOW('J', 0x57, struct steved_weight)

/* Builds that hold jobs back until there is memory for them use this to report what their jobs are expected to
 * need. The answer has the sums for all other builds: the server decides for all of them. A party is an open file
 * description that is used for this. A report counts until the party's next one, but no longer than
 * STEVED_MEMORY_FRESH_MS, and ends with the description. Reports are trusted as little as possible: see
 * docs/protocol.md. EINVAL: an unknown flag is set, or a member that is part of the answer. */
#define STEVED_MEMORY_FRESH_MS 10000u
/* In: may a job of `start_bytes` start? */
#define STEVED_MEMORY_ASKS 1u
/* Out: it may, and counts as running until the next report. */
#define STEVED_MEMORY_IS_GRANTED 1u
/* The job that has run longest of all belongs to another party. */
#define STEVED_MEMORY_HAS_ELDER 2u
/* Another party has a job that could be killed and has run for less than `youngest_ms`. */
#define STEVED_MEMORY_HAS_YOUNGER 4u
/* A job of this party has a party of its own. */
#define STEVED_MEMORY_HAS_INNER 8u
struct steved_memory {
    /* In. */
    __u32 flags;     /* STEVED_MEMORY_ASKS */
    __u32 running;   /* jobs, except those that do nothing */
    __u32 unseen;    /* how many of these have unknown needs, and have not been seen growing yet */
    __u32 waiting;   /* jobs that wait for memory */
    __u32 oldest_ms; /* for how long the oldest job has run; has no meaning if none runs */
    /* For how long the youngest job that can be killed has run. The party's oldest job does not count, unless
     * another party has an older one. STEVED_MEMORY_NONE: there is no such job. */
    __u32 youngest_ms;
    /* What the caller sees, perhaps in a control group that the server does not see: how much is available, how
     * much of that should stay free, and the control group that has least left, as any number that identifies it
     * (0: the machine has least). Parties with different numbers do not share this memory. They only share that of
     * the machine, of which machine_available_bytes are left. */
    __u64 available_bytes;
    __u64 floor_bytes;
    __u64 place;
    __u64 machine_available_bytes;
    __u64 used_bytes;          /* by the party's jobs */
    __u64 growth_bytes;        /* by which they are still expected to grow */
    __u64 oldest_growth_bytes; /* the oldest job's part of that */
    __u64 pace_bytes;          /* by which they have lately grown in 100 ms */
    __u64 dying_bytes;         /* memory of jobs that the party has just killed to free it */
    __u64 start_bytes;         /* what the job that asks to start is expected to need; 0: unknown */
    __u64 reserve_bytes;       /* asked for in addition, in advance, for the jobs that come next */
    __u64 held_bytes;          /* what the jobs that only wait for memory are expected to need */
    /* In: totals since the party began. */
    __u64 put_off;    /* how often a job was killed to be run again later */
    __u64 stopped;    /* how often a job was stopped to be continued later */
    __u64 waited_ms;  /* for how long at least one job waited for memory and nothing else */
    __u64 peak_bytes; /* the most that the party's jobs used at one time */
    /* Out. */
    __u32 answer;         /* STEVED_MEMORY_IS_GRANTED and so on */
    __u32 others;         /* other parties that count */
    __u32 others_running; /* from here on: as above, for all others together */
    __u32 others_unseen;
    __u32 others_waiting;
    __u32 spare32;
    __u64 granted_bytes; /* `start_bytes`, and some of `reserve_bytes`: counts as growth */
    __u64 others_growth_bytes;
    __u64 others_pace_bytes;
    __u64 others_dying_bytes;
    __u64 elder_growth_bytes; /* of the job that has run longest of all, if another party has it */
    __u64 spare[1];
};
#define STEVED_MEMORY_NONE 0xffffffffu
#define STEVED_IOC_MEMORY _IOWR('J', 0x58, struct steved_memory)

/* Which limits hold back grants above `min_jobs`, and by which figures. */
#define STEVED_HELD_BACK_BY_MEMORY 1u
#define STEVED_HELD_BACK_BY_LOAD 2u
struct steved_throttle {
    struct steved_limits limits;
    __u32 held_back_by;    /* STEVED_HELD_BACK_BY_*; 0: nothing holds grants back */
    __u32 load_centi;      /* the load average in hundredths; 0 without a limit on it */
    __u64 available_bytes; /* memory; 0 without a limit on it */
    __u64 wanted_bytes;    /* the limit on memory in bytes; 0: there is none */
    __u64 held_back_ms;    /* for how long grants have been held back */
    __u64 spare[3];
};
#define STEVED_IOC_THROTTLE _IOR('J', 0x59, struct steved_throttle)

/* One stream of events says what happens at a server, and what builds below it report about their jobs. Nothing is
 * kept while nobody reads. The stream is bounded: a reader that is too slow is told how many events it has missed.
 * Everybody who may open the server may read it, but only the same user, root and the server's own user get the
 * events of jobs (STEVED_EVENT_JOB_*), except STEVED_EVENT_JOB_PLACED.
 *
 * CAME is the first event of a client. After WAITS, exactly one event says how the wait ended: GRANTED with
 * `status` STEVED_GRANT_WAITED, LAPSED, or WAITS_NO_MORE. RESERVED may come between the two. */
enum steved_event_kind {
    STEVED_EVENT_LOST = 1, /* the reader has missed `count` events; 0: nobody knows how many */
    /* `pid` gets `count` tokens. `status`: STEVED_GRANT_*. duration_ns: for how long it waited, as far as somebody
     * was reading events. */
    STEVED_EVENT_GRANTED,
    /* `count` tokens return from their holder, `pid`. `status`: STEVED_RETURN_*. Another process may have written
     * them. */
    STEVED_EVENT_RETURNED,
    STEVED_EVENT_RECLAIMED,     /* `count` tokens are taken back from dead processes */
    STEVED_EVENT_RESERVED,      /* a token is set aside for `pid`, which waits */
    STEVED_EVENT_LAPSED,        /* a reservation has run out unused */
    STEVED_EVENT_WAITS,         /* `pid` begins to wait for a token */
    STEVED_EVENT_WAITS_NO_MORE, /* it stops waiting, and has no token */
    STEVED_EVENT_RECALLED,      /* `pid` is asked to return `count` tokens */
    /* A client has come. `name`: as `command` of struct steved_client. `count`: the weight of its account. */
    STEVED_EVENT_CAME,
    /* A client has left. If it was the first process of a group that goes on, CAME follows for the next one. */
    STEVED_EVENT_LEFT,
    STEVED_EVENT_JOBS,   /* the capacity is `count` from now on */
    STEVED_EVENT_WEIGHT, /* the weight of the account is `count` from now on */
    STEVED_EVENT_PAUSED, /* the account is paused (`status`: STEVED_PAUSED*), or continued (0) */
    STEVED_EVENT_HELD_BACK, /* limits hold grants back (`status`: STEVED_HELD_BACK_BY_*), or none does now (0) */
    /* The memory of all parties, ten times a second at most. bytes: used; limit_bytes: the floor; expected_bytes: the
     * expected growth; available_bytes; `count`: jobs that wait for memory. */
    STEVED_EVENT_MEMORY,

    /* The rest is reported by gates. `pid` is the process of the gate, and `job` the gate's number for the job. */
    /* `status`: what it waits for, STEVED_WAITS_FOR_*; job_class: the class of which a token is missing. */
    STEVED_EVENT_JOB_WAITS,
    /* `name`; duration_ns: for how long it waited; expected_bytes; job_class: the first of the classes of which it has
     * a token; `count`: STEVED_RUNS_ON_*; `process`: its first process. */
    STEVED_EVENT_JOB_STARTED,
    /* `name`; `status`: as from waitpid(2), -1: unknown; duration_ns: for how long it ran, 0: it never did; bytes:
     * the most memory that it used, 0: unknown; expected_bytes; job_class and `count`: as when it started. */
    STEVED_EVENT_JOB_ENDED,
    STEVED_EVENT_JOB_PUT_OFF, /* it was killed or never continued, and will be run again; bytes: what it used */
    STEVED_EVENT_JOB_STOPPED, /* it was stopped by SIGSTOP because memory is short; bytes: what it uses */
    STEVED_EVENT_JOB_CONTINUED,
    /* A job of this machine runs at a node of a compile farm, as the farm's engine says. Reported by who follows the
     * engine (stevefarm), not by a gate; everybody gets it. `name`: the node, a blank, and the end of the path of the
     * job's file. Without the blank and the path: no job has come, only `count` is another. `count`: so many jobs of
     * this machine run at that node; job: the engine's number for the job; job_class. */
    STEVED_EVENT_JOB_PLACED,
    /* A job of a client that takes tokens itself runs on a token of a class from now on, job_class, and needs none of the
     * server's own pool meanwhile; or, where job_class is 0, it does so no longer. Reported by the job, not by a gate.
     * `process`: as when it started. */
    STEVED_EVENT_JOB_MOVED,
    STEVED_EVENT_KINDS,
};
#define STEVED_GRANT_AT_ONCE 0
#define STEVED_GRANT_WAITED 1
#define STEVED_GRANT_PASSED_ON 2 /* `pid` had claimed this token, and its holder has returned it */
#define STEVED_RETURN_WRITTEN 0
#define STEVED_RETURN_UNDELIVERED 1 /* the grant has not reached `pid`, and does not count */
#define STEVED_RETURN_PASSED_ON 2   /* to the client that had claimed it: STEVED_GRANT_PASSED_ON */
#define STEVED_WAITS_FOR_TOKEN 1
#define STEVED_WAITS_FOR_MEMORY 2
#define STEVED_RUNS_ON_SLOT                                                                        \
    0 /* the implicit slot, or the program that started it takes tokens itself */
#define STEVED_RUNS_ON_TOKEN 1
#define STEVED_RUNS_ON_CLASSES 2 /* tokens of classes, and none of the server's own pool */
#define STEVED_EVENT_NAME_SIZE 64
struct steved_event {
    __u64 time_ns; /* CLOCK_MONOTONIC, when the server noticed; for jobs see STEVED_IOC_TELL */
    __u64 account; /* as in struct steved_client; 0: none */
    __u64 job;
    __u64 duration_ns;
    __u64 bytes, expected_bytes, limit_bytes, available_bytes;
    __u32 kind;
    __s32 pid; /* as in struct steved_client */
    __u32 uid; /* of the account */
    __u32 count;
    __u32 held;    /* tokens that the account holds afterwards, or that are set aside for it */
    __u32 used;    /* the same for all accounts together */
    __u32 waiting; /* afterwards, as in struct steved_status */
    __s32 status;
    __u32 job_class; /* 0: cpu */
    __s32 process;   /* as whoever reports it sees it */
    __u32 spare[2];
    char name[STEVED_EVENT_NAME_SIZE]; /* NUL-terminated, printable */
};

/* In: the cursor, 0 in the first call. From that call on, the description reads events until it is closed, and
 * poll() gives POLLPRI when there are some to read. After it has read all events, it is not woken for
 * STEVED_EVENTS_BUNCH_MS, unless a great many come, so that a busy server returns many in one call. Out: up to
 * STEVED_EVENTS_PER_PAGE events, oldest first, in `size` bytes, and the cursor for the next call. If has_more is
 * set, that call need not wait. A cursor may be used again, and one from another server is valid: LOST then comes
 * first. ENOMEM, ENOSPC: there are too many readers.
 *
 * The bytes: an event is encoded by its differences from the one before it (the first of a page: from zeros). It
 * consists of its kind (one byte); a number with a bit for each member that differs; the differences of these
 * members; and, if the bit after those is set, the name: its length (one byte) and its bytes. The order of the
 * members is time_ns, held, used, waiting, pid, account, status, uid, count, duration_ns, job, job_class, bytes,
 * expected_bytes, limit_bytes, available_bytes, process; the lowest bit is for the first. A number is written with
 * seven bits in each byte, the lowest first, and with 0x80 set in all bytes but its last. A difference d is written as
 * the number 2d, or -2d - 1 if it is negative; members of 32 bits wrap around. (The argument has to fit into one
 * page of memory, the most that a FUSE mount takes.) */
#define STEVED_EVENTS_PER_PAGE 256
#define STEVED_EVENTS_BUNCH_MS 50
#define STEVED_EVENTS_SIZE 3840
struct steved_events {
    __u64 cursor;
    __u32 size;
    __u32 has_more;
    __u8 bytes[STEVED_EVENTS_SIZE];
};
#define STEVED_IOC_EVENTS _IOWR('J', 0x5a, struct steved_events)

/* A gate, a job, or a jobwrap with gates below it, reports jobs: up to STEVED_TOLD_PER_CALL events of the kinds
 * STEVED_EVENT_JOB_*. The server takes from each event the members that its kind has above, and
 *   time_ns: when it happened, up to STEVED_TOLD_LATE_MS ago; any other value, such as 0, means now;
 *   pid: 0 means the caller; a jobwrap that passes on what a gate has reported names the gate;
 *   job_class, name: characters that cannot be printed become '?'.
 * The server fills in the rest. Out: whether anybody reads events. If nobody does, the caller reports nothing for
 * STEVED_TELL_AGAIN_MS. EINVAL: one of the events is of another kind; all are ignored. EPERM: one of them is
 * STEVED_EVENT_JOB_PLACED, which only root and the server's own user may report; all are ignored. EAGAIN: the caller's
 * user has reported too much lately; these events are lost. */
#define STEVED_TOLD_PER_CALL 16
#define STEVED_TELL_AGAIN_MS 1000
#define STEVED_TOLD_LATE_MS 10000
struct steved_told {
    __u32 count; /* 0: the caller only wants to know is_read */
    __u32 is_read;
    __u32 spare[2];
    struct steved_event events[STEVED_TOLD_PER_CALL];
};
#define STEVED_IOC_TELL _IOWR('J', 0x5b, struct steved_told)

/* Asks about an account, and changes the settings that are `named`: all of them or none. `account` and `uid` are
 * those of a client in struct steved_client; both together identify the account. Everybody may ask. Root and the
 * server's own user may change any account. An account's own user may change that account, but not give it more
 * than the default weight, and not end a pause that root or the server's user has begun. While an account is
 * paused, nothing is granted to it. Nothing that it holds is taken away, but a group that lends its tokens to
 * others is asked to return them. A pause ends with the account. ENOENT: there is no such account. */
#define STEVED_ACCOUNT_SET_WEIGHT 1u
#define STEVED_ACCOUNT_SET_PAUSE 2u
/* Out. */
#define STEVED_ACCOUNT_HAS_MEMORY 1u /* one of its clients reports memory */
#define STEVED_PAUSED 1u             /* by its own user */
#define STEVED_PAUSED_BY_OWNER 2u    /* by root or the server's own user */
struct steved_account {
    __u64 account;
    __u32 uid;
    __u32 named;  /* in: STEVED_ACCOUNT_SET_* */
    __u32 weight; /* in and out: 1 to STEVED_WEIGHT_MAX */
    __u32 paused; /* in: 1 pauses it, 0 continues it; out: STEVED_PAUSED*, or 0 */
    /* Out: the memory of its jobs, as reported by STEVED_IOC_MEMORY. */
    __u32 flags;          /* STEVED_ACCOUNT_HAS_MEMORY */
    __u32 memory_running; /* jobs */
    __u32 memory_waiting; /* jobs that wait for memory */
    __u32 spare32;
    __u64 memory_used_bytes;
    __u64 memory_growth_bytes; /* by which they are still expected to grow */
    __u64 spare[4];
};
#define STEVED_IOC_ACCOUNT _IOWR('J', 0x5c, struct steved_account)

/* The classes of a server. A class is another pool of the same server, with a file of its own beside the server's. All
 * of the above holds for that file, except: `jobs` may be 0, and `min_jobs` is; STEVED_IOC_SET takes `jobs`, alone or
 * with a lease; no implicit slot is paid for or claimed (EINVAL); STEVED_IOC_MEMORY and STEVED_IOC_THROTTLE are answered
 * by the server's own file alone (ENOTTY). The list is the same on each of the server's files. The first class is number
 * 1 in `job_class` of struct steved_event. */
#define STEVED_CLASSES_MAX 8
#define STEVED_CLASS_NAME_SIZE 32
struct steved_class {
    char name
        [STEVED_CLASS_NAME_SIZE]; /* a lower-case letter, and then a-z, 0-9, '_' and '-'; NUL-terminated */
    __u32 jobs;                   /* from here on as in struct steved_status */
    __u32 free;
    __u32 held;
    __u32 reserved;
    __u32 debt;
    __u32 waiting;
    __u32 accounts;
    __u32 lease_ms; /* what is left of its lease; 0: it has none */
    __u64 spare[4];
};
struct steved_classes {
    __u32 count;
    __u32 spare;
    struct steved_class classes[STEVED_CLASSES_MAX];
};
#define STEVED_IOC_CLASSES _IOR('J', 0x5d, struct steved_classes)

#endif
