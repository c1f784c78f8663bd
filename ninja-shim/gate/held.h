/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "ninja-shim/gate/gate.h"

/* The program that the gate was put around has ended. If something holds the gate open a second later, one
 * line says what. From then on nothing is said any more: what the program has written to, a pipe to tee(1)
 * perhaps, does not stay open for our sake. */
void held_root_ended(struct gate *gate);
