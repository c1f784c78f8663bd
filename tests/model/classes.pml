/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Jobs that need a token of the cpu, of a class instead (remote), or of a class besides (link), in all combinations. They
 * come by one of two ways:
 *
 *   gate       takes what it needs by trying, the cpu before the class; if one is missing it gives the other back, and
 *              waits holding nothing
 *   launcher   is started by a make that holds a token of the cpu for it; it waits with that for the class. While the
 *              farm works for it the token of the cpu is given back. It gives that of the class back before it waits for
 *              the cpu again
 *
 * Any capacities: of the cpu 1 or 2, of the classes 0 to 2. One of them changes, and a job is killed, at any time. A
 * class without tokens is left out: jobs that need it instead of the cpu use the cpu.
 *
 * Checked by assertion: what is held is what the jobs have. Checked as absence of dead ends and of cycles (there is no
 * progress label, so each cycle is one without progress): all jobs end, so none waits for ever. How the pool tells those
 * who wait is not here, but in pool.pml.
 *
 * LAUNCHERS of the three jobs are launchers, the others come by a gate. Each -DBREAK_... leaves a rule out, to show that
 * the check can fail: see tests/model/run.
 */

#define JOBS 3
#ifndef LAUNCHERS
#define LAUNCHERS 2
#endif

#define CPU 0
#define REMOTE 1
#define LINK 2
#define POOLS 3

byte capacity[POOLS], held[POOLS];
bool has[9]; /* a job, a token of a pool */
bool needs_remote[JOBS], needs_link[JOBS];
bool alive[JOBS] = true; /* it has neither ended nor been killed */

#define token(j, p) has[(j) * POOLS + (p)]
#define is_free(p) (held[p] < capacity[p])
#define is_shut(p) (capacity[p] == 0)

inline check()
{
    assert(held[CPU] == token(0, CPU) + token(1, CPU) + token(2, CPU));
    assert(held[REMOTE] == token(0, REMOTE) + token(1, REMOTE) + token(2, REMOTE));
    assert(held[LINK] == token(0, LINK) + token(1, LINK) + token(2, LINK))
}

inline take(j, p)
{
    held[p]++;
    token(j, p) = true;
    check()
}

inline give(j, p)
{
    if
    :: token(j, p) -> token(j, p) = false; held[p]--
    :: else
    fi;
    check()
}

inline give_all(j)
{
    give(j, CPU);
    give(j, REMOTE);
    give(j, LINK)
}

/* --- jobs --- */

/* first: of the cpu, or of what takes its place. */
proctype gate(byte j)
{
    byte first;

    {
        do
        :: atomic { first = (needs_remote[j] && !is_shut(REMOTE) -> REMOTE : CPU) };
#ifdef BREAK_GATE
            if
            :: d_step { needs_link[j] && !token(j, LINK) && is_free(LINK) -> take(j, LINK) }
            :: !needs_link[j] || is_shut(LINK) || token(j, LINK)
            fi;
#endif
            if
            :: d_step { is_free(first) -> take(j, first) };
                if
                :: !needs_link[j] || is_shut(LINK) || token(j, LINK) -> break
                :: d_step { needs_link[j] && !token(j, LINK) && is_free(LINK) -> take(j, LINK) };
                    break
                :: d_step {
                       needs_link[j] && !token(j, LINK) && !is_free(LINK) && !is_shut(LINK) ->
                       give(j, first)
                   };
#ifndef BREAK_WAIT
                    is_free(LINK) || is_shut(LINK)
#endif
                fi
            :: !is_free(first) ->
                is_free(first) || (first == REMOTE && is_shut(REMOTE))
            fi
        od;
        atomic { first = 0; give_all(j); alive[j] = false }
    } unless { !alive[j] }
}

proctype launcher(byte j)
{
    {
        d_step { is_free(CPU) -> take(j, CPU) };
        if
        :: !needs_remote[j]
#ifndef BREAK_SHUT
        :: needs_remote[j] && is_shut(REMOTE)
#endif
        :: d_step { needs_remote[j] && is_free(REMOTE) -> take(j, REMOTE) };
            d_step { give(j, CPU) };
#ifndef BREAK_LAUNCHER
            d_step { give(j, REMOTE) };
            d_step { is_free(CPU) -> take(j, CPU) }
#else
            d_step { is_free(CPU) -> take(j, CPU) };
            d_step { give(j, REMOTE) }
#endif
        fi;
        if
        :: !needs_link[j] || is_shut(LINK)
        :: d_step { needs_link[j] && is_free(LINK) -> take(j, LINK) }
        fi;
        d_step { give_all(j); alive[j] = false }
    } unless { !alive[j] }
}

/* --- the world --- */

inline kill(j)
{
    give_all(j);
    alive[j] = false
}

/* Each may be there or not, since a deadlock that a death or another capacity would end is one, too. With ONE_EVENT
 * they are not both there; with NO_EVENT neither is. */

/* One of them is killed, at any time. */
proctype killer()
{
end:
    if
    :: d_step { alive[0] -> kill(0) }
    :: d_step { alive[1] -> kill(1) }
    :: d_step { alive[2] -> kill(2) }
    fi
}

/* A capacity changes, at any time; what is held above it is a debt. */
#define is_up (alive[0] || alive[1] || alive[2])

proctype operator()
{
end:
    atomic {
        is_up;
        if
        :: capacity[CPU] = 3 - capacity[CPU]
        :: capacity[REMOTE] = (capacity[REMOTE] + 1) % 3
        :: capacity[REMOTE] = (capacity[REMOTE] + 2) % 3
        :: capacity[LINK] = (capacity[LINK] + 1) % 3
        :: capacity[LINK] = (capacity[LINK] + 2) % 3
        fi
    }
}

/* Which of two jobs that come by the same way needs what makes no difference. */
#define is_like_last(j) ((j) > 0 && ((j) < LAUNCHERS) == ((j) - 1 < LAUNCHERS))

init
{
    byte j, needs, last;

    atomic {
        select(j : 1 .. 2);
        capacity[CPU] = j;
        select(j : 0 .. 2);
        capacity[REMOTE] = j;
        select(j : 0 .. 2);
        capacity[LINK] = j;
        for (j : 0 .. JOBS - 1) {
            select(needs : 0 .. (is_like_last(j) -> last : 3));
            needs_remote[j] = needs & 1;
            needs_link[j] = needs >> 1;
            last = needs;
            if
            :: j < LAUNCHERS -> run launcher(j)
            :: else -> run gate(j)
            fi
        }
        j = 0;
        needs = 0;
        last = 0;
#ifndef NO_EVENT
        if
        :: run killer()
#ifndef ONE_EVENT
        :: run killer(); run operator()
#endif
        :: run operator()
        :: skip
        fi
#endif
    }
}
