/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef JOBSERVER_PROTOCOL_H
#define JOBSERVER_PROTOCOL_H

/*
 * What steved understands on its file (/dev/steve, or DIR/jobserver of a FUSE mount), and on the file of each
 * of its classes (DIR/NAME), besides read, write and poll: see docs/protocol.md. Installed as <steved/protocol.h>. Every structure has the
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
    __u32 debt;    /* tokens to be returned before one is granted, after `jobs` was lowered */
    __u32 waiting; /* readers and pollers whose turn has not come */
    __u32 unpaid;  /* implicit slots of direct clients, which run outside `jobs` */
    __u32 min_jobs;
    __u32 per_process_limit; /* 0: none */
    __u32 accounts;
    __u64 granted; /* from here on: counters since the start */
    __u64 returned;
    __u64 foreign;        /* returned by another process than the holder */
    __u64 dropped;        /* bytes written by who owed nothing */
    __u64 reclaimed;      /* tokens taken back from the dead; their jobs may still run */
    __u64 lapsed;         /* reservations that ran out unused */
    __u32 recalled;       /* of the tokens read through this description, asked back: see POLLPRI */
    __u32 per_user_limit; /* 0: none */
    /* What those have told that use STEVED_IOC_MEMORY; all 0: nobody has lately. */
    __u64 memory_growth_bytes;    /* what runs is still expected to grow by */
    __u64 memory_available_bytes; /* where least is left */
    __u64 memory_floor_bytes;     /* of which so much is to stay free */
    __u32 memory_running;         /* jobs */
    __u32 memory_waiting;         /* jobs that wait for memory */
    __u32 paused;                 /* of `waiting`, those of builds that are paused */
    __u32 flags;                  /* STEVED_STATUS_* */
    __u64 spare[2];
};
/* The account of who asks is paused, or one above it: it is granted nothing. */
#define STEVED_STATUS_IS_PAUSED 1u
#define STEVED_IOC_STATUS _IOR('J', 0x50, struct steved_status)

#define STEVED_CLIENT_GROUP 1u         /* a jobwrap or a gate, with its keeper */
#define STEVED_CLIENT_PAYS_IMPLICIT 2u /* one of its tokens is its own implicit slot */
#define STEVED_CLIENT_UNPAID 4u        /* runs one job more than it holds */
#define STEVED_CLIENT_HAS_CLAIMED 8u   /* somebody else's token pays for its implicit slot */
#define STEVED_CLIENT_HAS_USER 16u     /* `uid` is told */
#define STEVED_CLIENT_PAUSED 32u       /* its account is */

#define STEVED_COMMAND_SIZE 64
struct steved_client {
    __u64 account;
    __s32 pid; /* in the server's pid namespace; 0: outside of it */
    __s32 keeper;
    __u32 flags; /* STEVED_CLIENT_* */
    __u32 weight;
    __u32 held;
    __u32 reserved;
    __u32 waiting;
    __u32 claims;
    char command[STEVED_COMMAND_SIZE]; /* see below */
    __u64 start_ticks;                 /* after boot, as in /proc/PID/stat; 0: not known */
    __u32 uid;                         /* the user that it counts for */
    __u32 spare;
};
/* `command` is the process's name (proc_pid_comm(5)), NUL-terminated, printable; "(gone)", or
 * "(outside)" where pid is 0, or "(busy)" if the caller's user has had the server look at too many processes lately. Not its command line, since that lies in its memory, and a server that
 * reads it can be made to wait by who locks that. Who shows it to a user reads /proc/PID/cmdline itself,
 * after a look at the start time: the pid may mean another process in its own pid namespace. */

/* In: cursor, 0 at first. Out: up to STEVED_CLIENTS_PER_PAGE clients, and the cursor for the next
 * call; count 0 ends the list. */
#define STEVED_CLIENTS_PER_PAGE 32
struct steved_clients {
    __u64 cursor;
    __u32 count;
    __u32 reserved;
    struct steved_client clients[STEVED_CLIENTS_PER_PAGE];
};
#define STEVED_IOC_CLIENTS _IOWR('J', 0x51, struct steved_clients)

/* What delays grants above min_jobs. */
#define STEVED_LOAD_RECHECK_DEFAULT_MS 5000u
struct steved_limits {
    __u32 memory_mib;      /* --min-memory-avail; 0: no limit, or one in per cent */
    __u32 memory_percent;  /* the same, 1 to 100 per cent of all; 0: no limit, or one in MiB */
    __u32 load_centi;      /* --load-average in hundredths, up to 100000000; 0: no limit */
    __u32 load_recheck_ms; /* --load-recheck-timeout, 100 to 3600000 */
};

/* All of the named settings or none. For root and the server's own user; else EPERM. */
#define STEVED_SET_JOBS 1u
#define STEVED_SET_MIN_JOBS 2u
#define STEVED_SET_PER_PROCESS_LIMIT 4u
#define STEVED_SET_MIN_MEMORY_AVAIL 8u /* both numbers of it */
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

/* Tokens read through this open file description belong from now on to a group, of which the caller
 * becomes a member: they return when the last member has died. A wrapper and its keeper join one
 * after the other. EBUSY: the caller is in another group, or holds or waits for
 * a token of its own. EPERM: another user has opened it. */
#define STEVED_IOC_JOIN_GROUP _IO('J', 0x53)
/* poll() for POLLPRI on a group's description: the group is asked to give tokens back as soon as its
 * jobs end, `recalled` of struct steved_status. For those who lend on what they hold; nothing happens
 * to who does not. */

/* One of the tokens held through this description pays for the caller's implicit slot. EINVAL: none
 * is held. */
#define STEVED_IOC_PAY_IMPLICIT _IO('J', 0x54)

/* Does an ancestor of the caller (of a group's first member, if the caller is in one) hold a token that
 * nobody has claimed yet? Then it is claimed for the caller's implicit slot, until one of them dies or
 * returns it. If not, the caller is remembered until it is granted a token that it reads through this
 * description. As soon as there is a claim for it, it has that, it waits for no token any more, and poll()
 * says POLLIN, or POLLPRI to who asks for that alone: it is to ask again, and then is paid for. */
struct steved_claim {
    __u32 paid;     /* 1: paid for; 0: acquire a token */
    __s32 ancestor; /* the process (or a group's first member) that holds the claimed token */
    __u32 spare[6];
};
#define STEVED_IOC_CLAIM_IMPLICIT _IOR('J', 0x55, struct steved_claim)

/* For a group that lends tokens on: so many wait below it that have none at all. Its account counts as
 * one that has none then, for as many grants. */
struct steved_need {
    __u32 waiting; /* without a token */
    __u32 spare[7];
};
#define STEVED_IOC_NEED _IOW('J', 0x56, struct steved_need)

/* The share of the caller's group: with twice the weight of another it has twice the tokens while both want
 * them. EPERM: more than the default is for root and the server's own user. EBUSY: the group stays in the
 * account of one around it, or there is none. */
#define STEVED_WEIGHT_DEFAULT 100u
#define STEVED_WEIGHT_MAX 10000u
struct steved_weight {
    __u32 weight; /* 1 to STEVED_WEIGHT_MAX */
    __u32 spare[7];
};
#define STEVED_IOC_WEIGHT _IOW('J', 0x57, struct steved_weight)

/* Builds that hold jobs back until there is memory for them tell by this what theirs are expected to need, and
 * are told of all others: the server is the one arbiter. A party is an open file description. What it tells
 * counts until it tells something else, for STEVED_MEMORY_FRESH_MS at most, and ends with the description. Nothing of
 * it is believed more than it must be: see docs/protocol.md. EINVAL: an unknown flag is set, or a member that
 * is an answer. */
#define STEVED_MEMORY_FRESH_MS 10000u
/* In: a job would start, of `start_bytes`. */
#define STEVED_MEMORY_ASKS 1u
/* Out: it may, and counts as one that runs until the next report. */
#define STEVED_MEMORY_IS_GRANTED 1u
/* The job that has run longest of all is another party's. */
#define STEVED_MEMORY_HAS_ELDER 2u
/* A job of another could be killed that has run less than `youngest_ms`. */
#define STEVED_MEMORY_HAS_YOUNGER 4u
/* A job of the party has a party of its own. */
#define STEVED_MEMORY_HAS_INNER 8u
struct steved_memory {
    /* In. */
    __u32 flags;     /* STEVED_MEMORY_ASKS */
    __u32 running;   /* jobs, but those that do nothing */
    __u32 unseen;    /* of these: nobody knows what they need, nor has seen them growing yet */
    __u32 waiting;   /* jobs that wait for memory */
    __u32 oldest_ms; /* so long the job has run that runs longest; meaningless if none does */
    /* The last started of those that can be killed, and are not the party's oldest (or there is an elder);
     * STEVED_MEMORY_NONE: none can. */
    __u32 youngest_ms;
    /* What the caller sees, which may be in a group that the server does not see; of that so much is to stay
     * free; and the group where that is least, whatever its number (0: it is the machine). Who is in another
     * group does not use the same, but of the machine, which has machine_available_bytes. */
    __u64 available_bytes;
    __u64 floor_bytes;
    __u64 place;
    __u64 machine_available_bytes;
    __u64 used_bytes;          /* by its jobs */
    __u64 growth_bytes;        /* what they are still expected to grow by */
    __u64 oldest_growth_bytes; /* of the oldest */
    __u64 pace_bytes;          /* by which they have grown lately in 100 ms */
    __u64 dying_bytes;         /* what those have that it has killed for want of memory */
    __u64 start_bytes;         /* expected of the job that would start; 0: nobody knows */
    __u64 reserve_bytes;       /* so much it would like to have granted for those that come next */
    __u64 held_bytes; /* expected of the jobs that would run now if only there were memory */
    /* In: totals since the party began. */
    __u64 put_off;    /* jobs that have been killed to be run again, each time */
    __u64 stopped;    /* jobs that have been stopped to be continued, each time */
    __u64 waited_ms;  /* for which at least one waited for memory, and for nothing else */
    __u64 peak_bytes; /* the most that its jobs had at one time */
    /* Out. */
    __u32 answer;         /* STEVED_MEMORY_IS_GRANTED and so on */
    __u32 others;         /* parties that count */
    __u32 others_running; /* and so on: as above, of all others together */
    __u32 others_unseen;
    __u32 others_waiting;
    __u32 spare32;
    __u64 granted_bytes; /* `start_bytes`, and something for `reserve_bytes`: counts as growth */
    __u64 others_growth_bytes;
    __u64 others_pace_bytes;
    __u64 others_dying_bytes;
    __u64 elder_growth_bytes; /* of the job that has run longest of all, if it is another's */
    __u64 spare[1];
};
#define STEVED_MEMORY_NONE 0xffffffffu
#define STEVED_IOC_MEMORY _IOWR('J', 0x58, struct steved_memory)

/* What holds back grants above min_jobs, and the figures of it. */
#define STEVED_HELD_BACK_BY_MEMORY 1u
#define STEVED_HELD_BACK_BY_LOAD 2u
struct steved_throttle {
    struct steved_limits limits;
    __u32 held_back_by;    /* STEVED_HELD_BACK_BY_*; 0: nothing does */
    __u32 load_centi;      /* the load average, in hundredths; 0 without a limit */
    __u64 available_bytes; /* memory; 0 without a limit */
    __u64 wanted_bytes;    /* what the limit is; 0: there is none */
    __u64 held_back_ms;    /* for how long */
    __u64 spare[3];
};
#define STEVED_IOC_THROTTLE _IOR('J', 0x59, struct steved_throttle)

/* What happens at a server, and what the builds below it tell of their jobs: one stream, which is kept for
 * those who read it and for nobody else. It is bounded: who reads too slowly is told how many events it has
 * missed. Whoever may open the server may read it, but events of jobs (STEVED_EVENT_JOB_*) are for the same
 * user, root and the server's own user alone.
 *
 * A client comes before all else that is told of it. Who begins to wait (WAITS) ends that by one event: GRANTED with
 * `status` STEVED_GRANT_WAITED, LAPSED, or WAITS_NO_MORE; RESERVED may come before. */
enum steved_event_kind {
    STEVED_EVENT_LOST = 1, /* `count` events that the reader has missed; 0: nobody knows how many */
    /* `count` tokens to `pid`; `status`: STEVED_GRANT_*; duration_ns: how long it had waited, as far as somebody
     * was reading. */
    STEVED_EVENT_GRANTED,
    /* `count` tokens, by whom they were granted to, or for it; `status`: STEVED_RETURN_*. */
    STEVED_EVENT_RETURNED,
    STEVED_EVENT_RECLAIMED,     /* `count` tokens, taken back from the dead */
    STEVED_EVENT_RESERVED,      /* a token is set aside for `pid`, which waits */
    STEVED_EVENT_LAPSED,        /* a reservation that ran out unused */
    STEVED_EVENT_WAITS,         /* `pid` begins to wait for a token */
    STEVED_EVENT_WAITS_NO_MORE, /* without having got one */
    STEVED_EVENT_RECALLED,      /* `pid` is asked for `count` tokens */
    /* A client: `name`, as `command` of struct steved_client; `count`: the weight of its account. */
    STEVED_EVENT_CAME,
    STEVED_EVENT_LEFT, /* it; or the first process of a group that goes on: then the next one comes */
    STEVED_EVENT_JOBS,   /* the capacity is `count` from now on */
    STEVED_EVENT_WEIGHT, /* of the account it is `count` */
    STEVED_EVENT_PAUSED, /* the account; `status`: STEVED_PAUSED*; 0: it goes on */
    STEVED_EVENT_HELD_BACK, /* grants, by what `status` says (STEVED_HELD_BACK_BY_*); 0: by nothing now */
    /* Of all parties, ten times a second at most: bytes: used; limit_bytes: the floor; expected_bytes: the growth
     * that is expected; available_bytes; `count`: jobs that wait for memory. */
    STEVED_EVENT_MEMORY,

    /* From here on told by a gate, whose process is `pid`; `job` is its number among the gate's. */
    STEVED_EVENT_JOB_WAITS, /* `status`: for what: STEVED_WAITS_FOR_*; job_class: of which a token is missing */
    /* `name`; duration_ns: how long it had waited; expected_bytes; job_class: the first of those whose tokens it has;
     * `count`: STEVED_RUNS_ON_*. */
    STEVED_EVENT_JOB_STARTED,
    /* `name`; `status` as of waitpid(2), -1: nobody knows; duration_ns: how long it ran, 0: it never did; bytes: the
     * most that it had, 0: nobody knows; expected_bytes; job_class, `count`: as when it started. */
    STEVED_EVENT_JOB_ENDED,
    STEVED_EVENT_JOB_PUT_OFF, /* killed, or never let go on, to be run again; bytes: what it had */
    STEVED_EVENT_JOB_STOPPED, /* by SIGSTOP, since memory is short; bytes */
    STEVED_EVENT_JOB_CONTINUED,
    STEVED_EVENT_KINDS,
};
#define STEVED_GRANT_AT_ONCE 0
#define STEVED_GRANT_WAITED 1
#define STEVED_GRANT_PASSED_ON 2 /* it had claimed the token that another has returned */
#define STEVED_RETURN_WRITTEN 0
#define STEVED_RETURN_UNDELIVERED 1 /* the grant has not reached it, and does not count */
#define STEVED_RETURN_PASSED_ON 2   /* to who has claimed it: see STEVED_GRANT_PASSED_ON */
#define STEVED_WAITS_FOR_TOKEN 1
#define STEVED_WAITS_FOR_MEMORY 2
#define STEVED_RUNS_ON_SLOT 0 /* the implicit one; or who has started it takes tokens itself */
#define STEVED_RUNS_ON_TOKEN 1
#define STEVED_RUNS_ON_CLASSES 2 /* on tokens of classes alone */
#define STEVED_EVENT_NAME_SIZE 64
struct steved_event {
    __u64 time_ns; /* CLOCK_MONOTONIC, when the server was told; of jobs: see STEVED_IOC_TELL */
    __u64 account; /* as of struct steved_client; 0: none */
    __u64 job;
    __u64 duration_ns;
    __u64 bytes, expected_bytes, limit_bytes, available_bytes;
    __u32 kind;
    __s32 pid; /* as of struct steved_client */
    __u32 uid; /* of the account */
    __u32 count;
    __u32 held;    /* by the account, after it, or set aside for it */
    __u32 used;    /* by all accounts, after it: held or set aside */
    __u32 waiting; /* after it: as of struct steved_status */
    __s32 status;
    __u32 job_class; /* 0: cpu */
    __u32 spare[3];
    char name[STEVED_EVENT_NAME_SIZE]; /* NUL-terminated, printable */
};

/* In: cursor, 0 at first: the caller reads from now on, until its description is closed; and whatever the
 * answer is, poll() says POLLPRI when there are events that it has not read: at once, or STEVED_EVENTS_BUNCH_MS
 * after it has read all, so that a busy server is asked for many at a time. Out: up to STEVED_EVENTS_PER_PAGE
 * events, oldest first, in `size` bytes, and the cursor for the next call; has_more: it may be made at once. A cursor
 * may be used again, and one that another server gave is good: LOST comes first then. ENOMEM, ENOSPC: too many read.
 *
 * The bytes: an event is its kind (one byte), a number with a bit for each member that is another than in the event
 * before (of the first: than 0), the differences of these members, and, with the bit after those, the name: its length
 * (one byte) and its bytes. The order of the members is time_ns, held, used, waiting, pid, account, status, uid, count,
 * duration_ns, job, job_class, bytes, expected_bytes, limit_bytes, available_bytes; the lowest bit is the first's. A
 * number is written seven bits a byte, the lowest first; all but its last byte have 0x80 set. A difference d is written
 * as the number 2d, or -2d - 1 if it is negative; members of 32 bits wrap around. (A FUSE mount takes arguments of one
 * page of memory at most.) */
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

/* A gate, or a jobwrap with gates below it, tells of jobs: up to STEVED_TOLD_PER_CALL events of the kinds
 * STEVED_EVENT_JOB_*. Of each counts what its kind has above, and besides
 *   time_ns: when it happened, STEVED_TOLD_LATE_MS ago at most; 0, or any other: now;
 *   pid: 0: the caller; a jobwrap that hands on what a gate has told names the gate;
 *   job_class, name: what is not printable in it is shown as '?'.
 * The rest is the server's to say. Out: does anybody read? If not, the caller tells nothing for
 * STEVED_TELL_AGAIN_MS. EINVAL: another kind, and nothing is told. EAGAIN: the caller's user has told too much
 * lately, and this was not told. */
#define STEVED_TOLD_PER_CALL 16
#define STEVED_TELL_AGAIN_MS 1000
#define STEVED_TOLD_LATE_MS 10000
struct steved_told {
    __u32 count; /* 0: only asks */
    __u32 is_read;
    __u32 spare[2];
    struct steved_event events[STEVED_TOLD_PER_CALL];
};
#define STEVED_IOC_TELL _IOWR('J', 0x5b, struct steved_told)

/* Asks about an account, whose client's `account` and `uid` struct steved_client tells, and sets what is `named`,
 * all or none. Everybody may ask. Only root and the server's own user may set it for any account, and a weight above
 * the default; the account's own user may set the rest for its own, but not end a pause that one of the former has
 * begun. While an account is paused nothing is granted to it; nothing that it holds is taken away, and a group that
 * lends is asked for what it lends. A pause ends with the account. ENOENT: there is no such account. */
#define STEVED_ACCOUNT_SET_WEIGHT 1u
#define STEVED_ACCOUNT_SET_PAUSE 2u
/* Out. */
#define STEVED_ACCOUNT_HAS_MEMORY 1u /* one of its clients tells of memory */
#define STEVED_PAUSED 1u             /* by its own user */
#define STEVED_PAUSED_BY_OWNER 2u    /* by root or the server's own user */
struct steved_account {
    __u64 account;
    __u32 uid;
    __u32 named;  /* in: STEVED_ACCOUNT_SET_* */
    __u32 weight; /* in and out: 1 to STEVED_WEIGHT_MAX */
    __u32 paused; /* in: 1: it is paused, 0: it goes on; out: STEVED_PAUSED*, or 0 */
    /* Out, of its jobs that run: STEVED_IOC_MEMORY. */
    __u32 flags; /* STEVED_ACCOUNT_HAS_MEMORY */
    __u32 memory_running;
    __u32 memory_waiting; /* jobs that wait for memory */
    __u32 spare32;
    __u64 memory_used_bytes;
    __u64 memory_growth_bytes; /* what they are still expected to grow by */
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
