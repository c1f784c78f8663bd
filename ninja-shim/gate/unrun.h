/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/* For who looks at the output of a job that a failure has ended before it ran, and that is shown as
 * failed itself: says there that it was not run, and why. Where that cannot be written at once, or at
 * all, nothing is said. */
void unrun_tell(int pidfd);
