#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# Nobody starves: with as many builds as tokens, the one that comes last runs while the others still do. This
# is a sample of what tests/lib/starvation can try; asserted is the order of the jobs' own stamps, not how
# long it took: the last one's first job begins before 30 jobs a token of the others have ended. What it runs
# is slow in itself, and the same with sanitizers: needs_the_plain_build.

load ../lib/bash/common

setup() {
    common_setup
    cd "$BATS_TEST_TMPDIR" || return
}

# turn PLACE TOKENS FIRST SECOND [ROWS]
turn() {
    "$LIB/starvation" --trials 1 --expect-turn 30 --jobs sleep --place "$1" --tokens "$2" --first "$3" \
        --second "$4" "${5-matrix}"
}

@test '2 tokens at steved, and two builds' {
    require_fuse
    turn steved 2 make,ninja nested,ninja
}

@test '4 tokens at steved, and ninja, ninja, make, or jobgate' {
    require_fuse
    turn steved 4 ninja+ninja make
    turn steved 4 make+nested+make jobgate
}

@test '2 tokens below one jobwrap, with no daemon' {
    turn jobwrap 2 make,jobgate nested
}

@test 'where no inotify instance is left' {
    require_fuse
    turn steved-no-inotify 2 make make
    turn jobwrap-no-inotify 3 ninja make
}

@test 'a build that came when jobs had been lowered below what another holds' {
    require_fuse
    turn steved 2 make make limits
}

@test 'shares follow the weights' {
    require_fuse
    "$LIB/shares" --tokens 8 --times 0,0,0 --weights 100:100:200 --seconds 4 --expect-jain 0.95
}
