/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * Which of the lent tokens are lost. Pure: what is seen of the clients comes in, how many tokens can be
 * written off comes out.
 *
 * A token is lost if its holder has died, or has closed the jobserver, and so can never return it. Who
 * holds which token nobody knows. But when nobody has died nothing is lost, and of those who live it is
 * known what they can have at most: a make or ninja has a token for each child but one, which runs in its
 * implicit slot; any other client may have any number, and may use them all for one job. What is lent
 * beyond that is lost. The jobs of a dead make run on, and as long as they do each uses a token.
 */

#include <stdbool.h>

#define LOSSES_ANY_NUMBER (~0u)

/* What a make or ninja with so many children (zombies too) may have. has_waited: all the
 * time, for children or tokens; else it may have one more, for a child that it has just reaped or is about
 * to start. */
unsigned losses_most_of_make(unsigned children, bool has_waited);
/* Adds what two clients may have. */
unsigned losses_add(unsigned most, unsigned other);

/* All at one moment: no token may have moved while it was looked at. */
struct losses_view {
    unsigned lent;       /* tokens that do not lie in the FIFO, those that are held back included */
    unsigned most;       /* what the living clients may have, or LOSSES_ANY_NUMBER */
    bool is_settled;     /* those that are counted by their children have waited */
    unsigned left_jobs;  /* of clients that have died; they run */
    unsigned left_slots; /* dead clients that have left jobs for certain. One job of each ran in its
                            implicit slot, which whoever waited for that client uses again */
};

struct losses {
    unsigned suspected;   /* tokens that were lent when somebody died, and may be lost */
    unsigned held_back;   /* of these: taken out of the FIFO, for jobs of dead clients */
    unsigned unexplained; /* tokens that nobody can have who is known, though nobody has died */
};

struct losses_decision {
    unsigned lost;    /* tokens to be written off */
    unsigned back;    /* tokens that were held back and need not be any more */
    unsigned missing; /* tokens to be taken out of the FIFO and held back, if there are any */
};

/* Somebody has died, or has closed the jobserver, who may have had any of the lent tokens. */
void losses_suspect(struct losses *losses, unsigned lent);
/* To be called with each number that is seen: what has come back was not lost. */
void losses_note_lent(struct losses *losses, unsigned lent);
/* May somebody have died with tokens about whom nothing has been decided? */
bool losses_are_open(const struct losses *losses);

/* What it says to be lost or back is taken for done. */
struct losses_decision losses_decide(struct losses *losses, const struct losses_view *view);
/* Tokens that nobody can have who is known: so somebody who lives has them, and is not. At least so many; 0 while
 * somebody may have died with some. After losses_decide() with the same view, if that has written nothing off. */
unsigned losses_unexplained(const struct losses *losses, const struct losses_view *view);
/* So many were taken out of the FIFO. */
void losses_hold_back(struct losses *losses, unsigned count);
