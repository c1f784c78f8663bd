/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * The rules of accounting where they meet concurrency: what a client does between two of its calls
 * while others read, write, poll and die, a timer expires and the capacity changes. The server is
 * single-threaded, so that each of its actions is one d_step; everything else interleaves.
 *
 *   client 0  a wrapper: blocking reads; lends on what it gets, and gives it back only when it is asked,
 *             and its last token never
 *   client 1  polls, then reads without blocking, as make does
 *   client 2  the careless one: its polls time out, so that it is offered what it does not come for;
 *             with -DREADER2 it reads blocking instead, and is interrupted by signals
 *
 * Checked by assertion after each action of the server: rule 1, and rule 3 (nobody waits beside a free
 * token). Checked as absence of dead ends: no lost wake-up. Checked as LTL, under weak fairness: who
 * waits and has none is served, however the others behave (rules 3, 8, 9); there -DPUNCTUAL says that
 * a client that is there comes within its 5 or 250 ms. Without it, offers and reservations lapse at any time.
 *
 * Each -DBREAK_... leaves one thing out, to show that the checks can fail: see tests/model/run.
 */

#define N 3

#define IDLE 0
#define QUEUED 1
#define OFFERED 2  /* notified; its token is set aside until it polls again */
#define RESERVED 3 /* its token is set aside until it reads */

byte capacity = 2, free = 2, debt = 0;
byte held[N], state[N];
byte place[N];       /* in the queue: 1 is the first; 0 is nowhere */
byte queued = 0;
bool alive[N] = true;

bool there[N];       /* the client waits for an answer or a notification */
bool notified[N];    /* its poll returns */
bool answered[N];    /* its blocked read returns, with a token */
bool interrupted[N]; /* its blocked read is interrupted; the server does not know yet */

#ifdef READER2
#define polls(c) ((c) == 1)
#else
#define polls(c) ((c) >= 1)
#endif

#define set_aside(c) (state[c] >= OFFERED)
#define all_held (held[0] + held[1] + held[2])
#define all_reserved (set_aside(0) + set_aside(1) + set_aside(2))

/* A poll that finds a free token reserves nothing, and another client may be there before the read.
 * Does one who was told yes, and loses such a race, wait meanwhile? Counted so (-DCOUNT_RACES) a
 * poller may wait for ever, since it may lose every race; unless a read in vain gives it a place in
 * the queue (-DLOSER_QUEUES). */
#ifdef COUNT_RACES
#define may_lose_races(c) true
#else
#define may_lose_races(c) false
#endif

/* The wrapper wants a second token beside the one it keeps. */
#define enough(c) ((c) == 0 -> 2 : 1)

/* Rule 8: somebody waits who has none, and it may be asked down to its last; or (rule 7) a debt waits. */
#define waits_with_none(c) (place[c] > 0 && held[c] == 0)
#ifndef BREAK_RECALL
#define is_asked (waits_with_none(1) || waits_with_none(2) || debt > 0)
#else
#define is_asked (debt > 0)
#endif
#define lasting(c) ((c) == 0 -> (is_asked -> 1 : 2) : 0)

inline check()
{
    assert(free + all_held + all_reserved == capacity + debt);
    assert(debt == 0 || (free == 0 && all_reserved == 0));
    assert(free == 0 || queued == 0)
}

/* --- the queue --- */

inline enqueue(c)
{
    queued++;
    place[c] = queued;
    state[c] = QUEUED
}

inline dequeue(c)
{
    for (k : 0 .. N - 1) {
        if
        :: place[k] > place[c] -> place[k]--
        :: else
        fi
    }
    place[c] = 0;
    queued--;
    state[c] = IDLE
}

/* Rule 8. Who has none goes before all others; else who holds the fewest, and the first of these. (That
 * one is passed over `capacity` times at most takes more clients to be seen: test_pool has it.) */
inline choose(w)
{
    w = N;
    for (k : 0 .. N - 1) {
        if
        :: place[k] > 0 && w == N -> w = k
        :: place[k] > 0 && w < N ->
            w = ((held[k] < held[w] || (held[k] == held[w] && place[k] < place[w])) -> k : w)
        :: else
        fi
    }
    dequeue(w)
}

inline serve()
{
    do
    :: free > 0 && queued > 0 ->
        choose(w);
        if
        :: polls(w) ->
            free--;
            state[w] = OFFERED;
#ifndef BREAK_NOTIFY
            notified[w] = true
#endif
        :: !polls(w) && interrupted[w] -> skip /* it cannot be delivered, and stays */
        :: !polls(w) && !interrupted[w] ->
            free--;
            held[w]++;
            answered[w] = true
        fi
    :: else -> break
    od;
    w = 0;
    k = 0;
    check()
}

/* --- tokens --- */

inline token_returns()
{
    if
#ifndef BREAK_DEBT
    :: debt > 0 -> debt--
    :: debt == 0 -> free++
#else
    :: true -> free++
#endif
    fi
}

inline end_set_aside(c)
{
    state[c] = IDLE;
    token_returns()
}

inline server_poll(c, yes)
{
    if
    :: set_aside(c) -> state[c] = RESERVED; yes = true; there[c] = true
    :: !set_aside(c) && free > 0 -> yes = true; there[c] = may_lose_races(c)
    :: !set_aside(c) && free == 0 && state[c] == QUEUED -> yes = false; there[c] = true
    :: !set_aside(c) && free == 0 && state[c] == IDLE -> yes = false; enqueue(c); there[c] = true
    fi;
    k = 0;
    check()
}

/* A read that does not block; EAGAIN leaves it without. */
inline server_try(c)
{
    if
    :: set_aside(c) -> state[c] = IDLE; held[c]++; there[c] = false
    :: !set_aside(c) && free > 0 ->
        free--;
        held[c]++;
        there[c] = false
#ifdef LOSER_QUEUES
    :: !set_aside(c) && free == 0 && state[c] == IDLE -> enqueue(c)
    :: !set_aside(c) && free == 0 && state[c] == QUEUED
#else
    :: !set_aside(c) && free == 0
#endif
    fi;
    check()
}

inline server_read(c)
{
    if
    :: free > 0 -> free--; held[c]++
    :: free == 0 -> enqueue(c); there[c] = true
    fi;
    check()
}

inline server_death(c)
{
    if
    :: state[c] == QUEUED -> dequeue(c)
    :: set_aside(c) -> end_set_aside(c)
    :: else
    fi;
    do
    :: held[c] > 0 ->
        held[c]--;
#ifndef BREAK_RECLAIM
        token_returns()
#endif
    :: else -> break
    od;
    alive[c] = false;
    there[c] = false;
    notified[c] = false;
    answered[c] = false;
    interrupted[c] = false;
    serve()
}

/* Rule 7. */
inline server_resize(jobs)
{
    if
    :: jobs < capacity ->
        lost = capacity - jobs;
#ifndef BREAK_CANCEL
        for (k : 0 .. N - 1) {
            if
            :: free < lost && set_aside(k) -> state[k] = IDLE; free++
            :: else
            fi
        }
#endif
        do
        :: lost > 0 && free > 0 -> lost--; free--
        :: else -> break
        od;
        debt = debt + lost
    :: jobs > capacity ->
        lost = jobs - capacity;
        do
        :: lost > 0 && debt > 0 -> lost--; debt--
        :: else -> break
        od;
        free = free + lost
    :: else
    fi;
    lost = 0;
    capacity = jobs;
    serve()
}

/* --- the world --- */

proctype poller(byte c)
{
    bool yes;
    byte k;

    {
        do
        :: held[c] < enough(c) ->
            d_step { server_poll(c, yes); notified[c] = (yes -> false : notified[c]) }
            if
            :: yes -> yes = false; d_step { server_try(c) }
            :: !yes ->
                if
                :: notified[c] -> notified[c] = false
                :: c == 2 -> there[c] = false /* its poll's own time is over; the server can't know */
                fi
            fi
        od
    } unless { !alive[c] }
}

proctype reader(byte c)
{
    byte k;

    {
        do
        :: held[c] < enough(c) && !there[c] -> d_step { server_read(c) }
        :: d_step { answered[c] -> answered[c] = false; there[c] = false }
        :: d_step { c == 2 && there[c] && !answered[c] && !interrupted[c] -> interrupted[c] = true }
        :: d_step {
               interrupted[c] ->
               if
               :: state[c] == QUEUED -> dequeue(c)
               :: else
               fi;
               interrupted[c] = false;
               there[c] = false;
               k = 0;
               check()
           }
        od
    } unless { !alive[c] }
}

/* Jobs end, in their own time, and their tokens are written back. */
proctype jobs(byte c)
{
    byte k, w;

    {
end:
        do
        :: d_step {
               held[c] > lasting(c) && !answered[c] ->
               held[c]--;
               token_returns();
               serve()
           }
        od
    } unless { !alive[c] }
}

#ifdef PUNCTUAL
#define may_lapse(c) (set_aside(c) && !there[c])
#else
#define may_lapse(c) (set_aside(c))
#endif

proctype timer()
{
    byte k, w;

end:
    do
    :: d_step { may_lapse(1) -> end_set_aside(1); serve() }
    :: d_step { may_lapse(2) -> end_set_aside(2); serve() }
    od
}

/* One of them is killed, or none. */
proctype killer()
{
    byte k, w;

    if
    :: d_step { server_death(0) }
    :: d_step { server_death(1) }
    :: d_step { server_death(2) }
    :: skip
    fi
}

/* Down, up, and back, so that at the end there is a token beside the one that never returns. */
proctype operator()
{
    byte k, w, lost;

    if
    :: d_step { server_resize(1) }
    :: d_step { server_resize(3) }
    :: skip
    fi;
    if
    :: d_step { server_resize(3) }
    :: d_step { server_resize(1) }
    :: skip
    fi;
    d_step { server_resize(2) }
}

init
{
    atomic {
        run reader(0);
        run jobs(0);
        run poller(1);
        run jobs(1);
#ifdef READER2
        run reader(2);
#else
        run poller(2);
#endif
        run jobs(2);
        run timer();
        run killer();
        run operator()
    }
}

#ifdef LIVENESS
ltl wrapper_is_served { []((there[0] && held[0] == 0) -> <>!there[0]) }
ltl poller_is_served { [](there[1] -> <>!there[1]) }
#endif
