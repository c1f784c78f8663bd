#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# What comes after SIGKILL: the next build has all tokens. jobwrap-kill.bats looks at the moments
# between; here are clients that use steved directly, and the builds that follow.

# shellcheck disable=SC2016 # what single quotes hold is make's
# shellcheck disable=SC2154 # common.bash sets spawned
load ../lib/bash/common

setup() {
    common_setup
    cd "$BATS_TEST_TMPDIR" || return
    export LOG=$BATS_TEST_TMPDIR/log
    # Who looks for leaks does it from a child of its own, which is no client and must not be a victim.
    export ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0
    "$LIB/make-tree" tree 0.02 "$LOG"
    printf 'all: 1 2 3 4\n1 2 3 4:\n\t@"$(STAMP)" "$(LOG)" $@ 60\n' >long.mk
}

# A process of the session of the build, the build's first one as likely as any.
random_process() {
    local processes
    mapfile -t processes < <(pgrep -s "$1")
    [ ${#processes[@]} -gt 0 ] && echo "${processes[RANDOM % ${#processes[@]}]}"
}

@test 'SIGKILL of any client that uses steved directly at random moments: all tokens are back, and the next has them' {
    require_tool MAKE441
    start_steved --jobs 3
    export MAKEFLAGS="--jobserver-auth=fifo:$SERVER"
    printf 'all: one two\none two:\n\t+@$(MAKE) -f jobs.mk\n' >small.mk
    printf 'jobs = %s\nall: $(jobs)\n$(jobs):\n\t@"$(STAMP)" "$(LOG)" $@ 0.02\n' \
        "$(seq -s ' ' 16)" >jobs.mk
    killed=0
    for round in $(seq "${JOBWRAP_ROUNDS:-25}"); do
        spawn setsid "$MAKE441" -s -f small.mk >said 2>&1
        # A random moment; nothing is synchronised by it.
        sleep "0.$(printf %03d $((RANDOM % 80)))"
        if victim=$(random_process "$spawned") && kill -s KILL "$victim" 2>/dev/null; then
            killed=$((killed + 1))
        fi
        wait_for 20 has_ended "$spawned"
        # A killed make's jobs run on, and are no longer counted (rule 2).
        pkill -KILL -s "$spawned" || true
        wait_for 10 steved_has free 3 || { echo "round $round, victim $victim" && cat said && false; }
    done
    echo "$killed rounds had a victim"
    [ $((4 * killed)) -gt "${JOBWRAP_ROUNDS:-25}" ]
    rm -f "$LOG"
    # Not before: four of a build that has lost some would wait for one another in vain.
    STAMP_MEET=4 "$MAKE441" -s -C tree
    exactly 4 60
    wait_for 10 steved_has free 3
    [ "$(steved_get waiting) $(steved_get debt) $(steved_get reserved)" = '0 0 0' ]
}

# victim_of jobwrap|keeper|command|client: its pid, in the build whose jobwrap is $spawned.
victim_of() {
    local pid=$spawned
    [ "$1" = jobwrap ] || pid=$(pgrep -P "$pid" -x jobwrap-keeper)
    [ "$1" != command ] || pid=$(pgrep -P "$pid" -x make)
    [ "$1" != client ] || pid=$(pgrep -s "$spawned" -x stamp | head -n 1)
    echo "$pid"
}

# build_after VICTIM FREE-TEST... -- OPTION...: each time VICTIM is killed while four jobs run, all
# tokens return, and the next build runs four jobs at once.
build_after() {
    local victim=$1 test=()
    shift
    while [ "$1" != -- ]; do
        test+=("$1")
        shift
    done
    shift
    rm -f "$LOG"
    spawn setsid "$JOBWRAP" "$@" make -f long.mk
    wait_for 20 lives_jobs 4
    kill -s KILL "$(victim_of "$victim")"
    # Where jobs run on, their end is ours; they held their tokens until now.
    if [ "$victim" != jobwrap ]; then
        pkill -TERM -s "$spawned" -x stamp
    fi
    wait_for 20 has_ended "$spawned"
    wait_for 20 "${test[@]}"
    lives_jobs 0
    rm -f "$LOG"
    STAMP_MEET=4 "$JOBWRAP" "$@" make -s -C tree
    exactly 4 60
    wait_for 10 "${test[@]}"
}

@test 'after SIGKILL of jobwrap, keeper, command, client: the next build has all of a FIFO' {
    make_fifo parent 4
    for victim in jobwrap keeper command client; do
        build_after $victim fifo_has parent 4 -- --parent=parent
    done
}

@test 'after SIGKILL of jobwrap, keeper, command, client: the next build has all of steved' {
    start_steved --jobs 4
    for victim in jobwrap keeper command client; do
        build_after $victim steved_has free 4 -- --parent="$SERVER"
    done
}

@test 'after SIGKILL of jobwrap, keeper, command, client: the next build has all of a pipe' {
    exec {fd}<> <(:)
    # As below a make, which has paid for one job more.
    printf +++ >&"$fd"
    export MAKEFLAGS="-j4 --jobserver-auth=$fd,$fd"
    for victim in jobwrap keeper command client; do
        build_after $victim fifo_has "/proc/$BASHPID/fd/$fd" 3 -- --report
    done
}
