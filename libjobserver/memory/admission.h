/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Which job may start, so that memory suffices for all that run, and what is done if it does not. Pure: no
 * I/O, no clock; times are nanoseconds of any monotonic clock, memory is bytes.
 *
 * The caller adds each job when it stands ready, says what each that runs uses, and asks memory_next() for
 * one step after the other until that says MEMORY_REST. A step changes nothing until the caller has taken
 * it and says so. A step that cannot be taken now (no token to start on) may be left; those that free memory
 * come before those that start something.
 *
 * What is left for a job to grow is expected, and counted as used. Expectations fail; then jobs are killed,
 * the youngest first, and run again: a stopped one keeps its memory, and when all have grown none can end.
 * The oldest is never killed and never stopped, so that there is always one that ends: the oldest of all builds
 * that know of each other. A job that is idle, which may wait for one that has not started, does not count there: it
 * is neither the oldest nor a reason for others to wait.
 *
 * Only jobs that do the work themselves are to be added: a make whose own jobs are added is none.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

/* What a compiler grows by at most from one sample to the next. */
#define MEMORY_GROWTH_BYTES (UINT64_C(50) << 20)
/* So much one of which nobody knows anything may have before anybody has looked at it, on a busy machine. */
#define MEMORY_UNSEEN_BYTES (INT64_C(512) << 20)
/* With so much for each job that runs, none need wait, and none be killed. */
#define MEMORY_AMPLE_BYTES (UINT64_C(2) << 30)
/* So many may pass the first that waits. */
#define MEMORY_PASSES_MAX 100u
/* What a killed job has had is counted on for so long. */
#define MEMORY_DEATH_NS (2 * INT64_C(1000000000))
/* A job that has done nothing for so long is idle, which is looked at so often while another waits. */
#define MEMORY_IDLE_NS (5 * INT64_C(1000000000))
#define MEMORY_IDLE_LOOK_NS (INT64_C(500) * 1000000)

#define MEMORY_SAMPLE_SHORT_MS 100
#define MEMORY_SAMPLE_LONG_MS 1000

enum memory_state {
    MEMORY_IS_OUT, /* not added */
    MEMORY_WAITS,
    MEMORY_RUNS,
    MEMORY_IS_STOPPED, /* by SIGSTOP */
    MEMORY_IS_DYING,   /* killed, and not gone yet */
};

/* Owned by the caller; zeroed at first. */
struct memory_job {
    /* The caller's, who may change them at any time. */
    uint64_t expected_bytes; /* at its peak; 0: nobody knows */
    bool is_known;           /* it has needed that itself before, and not others like it */
    bool is_repeated;        /* and by the very same command */
    bool may_run_twice;      /* it can be killed, and run again with the same result */
    bool is_held_up;         /* it waits for something else as well, and is not to be started now */
    /* For all to read. */
    enum memory_state state;
    uint64_t used_bytes;  /* by its processes, when last looked at */
    uint64_t peak_bytes;  /* the most in this run, as far as it is known */
    uint64_t pace_bytes;  /* what it has grown by lately, in MEMORY_SAMPLE_SHORT_MS */
    uint64_t least_bytes; /* it has been killed, and is expected to need this at least */
    unsigned passes;      /* so many have started before it while it was the first that waits */
    unsigned kills;
    int64_t started_ns; /* of this run */
    int64_t killed_ns;
    int64_t paced_ns;     /* when its pace was taken */
    uint64_t paced_bytes; /* what it used then */
    bool is_unseen;       /* that has not been yet in this run */
    int64_t idle_ns;      /* for so long it has done nothing, at most MEMORY_IDLE_NS */
    int64_t idle_seen_ns;
    uint64_t idle_bytes; /* the most that it had by then */
    TAILQ_ENTRY(memory_job) in_list;
};

TAILQ_HEAD(memory_list, memory_job);

struct memory_admission {
    struct memory_list waiting; /* the longest waiting first; those to be run again before these */
    struct memory_list started; /* the oldest first; the stopped ones, too */
    struct memory_list dying;
};

/* What is known of other builds that use the same memory; all 0: there are none. */
struct memory_others {
    uint64_t growth_bytes;       /* what their jobs are expected to grow by yet */
    uint64_t elder_growth_bytes; /* of these the one that has run longest of all */
    uint64_t pace_bytes;         /* what they have grown by lately, in MEMORY_SAMPLE_SHORT_MS */
    uint64_t dying_bytes;        /* what those had that they have just killed */
    unsigned running, unseen, waiting; /* jobs */
    bool
        has_elder; /* one of theirs is the oldest of all: then there is none here that must not be killed */
    bool has_younger; /* one of theirs should be killed before the youngest here */
    bool has_inner;   /* one of the jobs here has a gate of its own, and this does not stop it */
    bool
        may_run_one; /* nothing runs here, and the first that waits may be started whatever they need */
};

/* What is known at this moment. */
struct memory_moment {
    uint64_t available_bytes; /* what could be had now */
    uint64_t total_bytes;     /* if nobody used any */
    uint64_t place;           /* as in limits.h */
    uint64_t machine_available_bytes;
    uint64_t fallen_bytes; /* by which available has fallen lately, in MEMORY_SAMPLE_SHORT_MS */
    int64_t now_ns;
    struct memory_others others;
};

void memory_admission_init(struct memory_admission *admission);

/* It is ready, and waits as the last. */
void memory_add(struct memory_admission *admission, struct memory_job *job);
/* It has ended, or will never start. Nothing happens where it is out already. */
void memory_remove(struct memory_admission *admission, struct memory_job *job);
/* What it uses now. */
void memory_sample(struct memory_job *job, uint64_t used_bytes, int64_t now_ns);
/* It has had so much at least, seen or not; it is about to end. */
void memory_note_peak(struct memory_job *job, uint64_t bytes);
/* Does it do anything just now? To be said every MEMORY_IDLE_LOOK_NS of each that runs, while another waits. */
void memory_note_activity(struct memory_job *job, bool is_active, int64_t now_ns);

enum memory_action {
    MEMORY_REST,     /* until a job comes or ends, or more is known */
    MEMORY_KILL,     /* kill it, and say memory_killed() */
    MEMORY_STOP,     /* stop it, and say memory_stopped() */
    MEMORY_CONTINUE, /* continue it, and say memory_continued() */
    MEMORY_START,    /* start it, and say memory_started() */
};

struct memory_step {
    enum memory_action action;
    struct memory_job *job; /* NULL: MEMORY_REST */
};

struct memory_step memory_next(const struct memory_admission *admission,
                               const struct memory_moment *moment);

void memory_started(struct memory_admission *admission, struct memory_job *job, int64_t now_ns);
void memory_stopped(struct memory_job *job);
void memory_continued(struct memory_job *job);
void memory_killed(struct memory_admission *admission, struct memory_job *job, int64_t now_ns);
/* None of its processes is left: it waits, before all others, to be run again. */
void memory_gone(struct memory_admission *admission, struct memory_job *job);

/* When the caller should look again at what jobs use and what is available, though nothing happens. */
int memory_sample_ms(const struct memory_admission *admission, const struct memory_moment *moment);

/* What is left free for jobs that grow faster than one can look: a twentieth of all, or more where many
 * run, at most 15 %. Below half of it, or what all together grow by in two looks, jobs are killed. */
uint64_t memory_floor(const struct memory_admission *admission, const struct memory_moment *moment);
/* What the jobs that run will still grow by. */
uint64_t memory_expected_growth(const struct memory_admission *admission);
/* One job: its peak, and what is left to that; 0: nobody knows. */
uint64_t memory_expected_peak(const struct memory_job *job);
uint64_t memory_growth_of(const struct memory_job *job);
/* It has done nothing for MEMORY_IDLE_NS, but what a job does that looks for something now and then. */
bool memory_is_idle(const struct memory_job *job);
/* The one that must come to its end: of those that run or are stopped the first that is not idle, or else
 * just the first; NULL: there are none. */
struct memory_job *memory_oldest(const struct memory_admission *admission);
/* The first that waits for memory alone; NULL: there is none. */
struct memory_job *memory_first_waiting(const struct memory_admission *admission);
/* Is there one that is not idle? */
bool memory_has_progress(const struct memory_admission *admission);
/* It runs, nobody knows what it needs, and it has not been seen growing. */
bool memory_is_unseen(const struct memory_job *job);
/* What is left for others when all that run have grown; below 0 if there is not even enough for these. */
int64_t memory_room(const struct memory_admission *admission, const struct memory_moment *moment);
/* It has just started: can it come to that it has to be killed? Not if all that run would fit, and one more like it,
 * though each needed several times what it has needed before, or what is ample where that is not known. */
bool memory_could_be_killed(const struct memory_admission *admission,
                            const struct memory_moment *moment, const struct memory_job *job);
/* What those have that have just been killed here, and will be free soon. */
uint64_t memory_dying(const struct memory_admission *admission, int64_t now_ns);
/* Which would be killed first of those that run or are stopped; NULL: none can. */
struct memory_job *memory_youngest(const struct memory_admission *admission,
                                   const struct memory_moment *moment);
