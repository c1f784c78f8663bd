#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# A client dies with tokens, while the build goes on: what it had serves others when its jobs have ended,
# and nobody else's tokens are taken for lost; nor are there ever more than there were.

# shellcheck disable=SC2016 # what single quotes hold is for the command's shell, or make's
# shellcheck disable=SC2153,SC2154 # common.bash sets SERVER and spawned, run sets status
load ../lib/bash/common

setup() {
    common_setup
    cd "$BATS_TEST_TMPDIR" || return
    export LOG=$BATS_TEST_TMPDIR/log
    PARENT=$BATS_TEST_TMPDIR/parent
    gated_jobs 12
}

teardown() {
    local daemon
    for daemon in d1 d2; do
        [ ! -e $daemon ] || kill "$(cat $daemon)" || true
    done
    common_teardown
}

# Where the build's FIFO is, as a job of it has noted.
inside_has() {
    [ -s where ] && fifo_has "$(cat where)" "$1"
}

# The make that is killed is not the command itself, and jobwrap goes on.
NOTE='echo "$JOBWRAP_FIFO" >where.new; mv where.new where'
BUILD_AND_GO_ON="$NOTE"'; make -k >out 2>&1; echo ended >>out; exec sleep 1000'

# make_of JOB: the one that runs it.
make_of() {
    local pid
    pid=$(awk -v job="$1" '$1 == "start" && $2 == job { print $3 }' "$LOG")
    until [[ $(cat "/proc/$pid/comm") == make* ]]; do
        pid=$(ps -o ppid= -p "$pid" | tr -d ' ')
    done
    echo "$pid"
}

# A daemon that has left the build, and one that has not, of twenty threads each.
daemons_of_threads() {
    printf '%s\n' 'import os, sys, threading' \
        'for _ in range(20): threading.Thread(target=threading.Event().wait, daemon=True).start()' \
        'open("new", "w").write(str(os.getpid())); os.rename("new", sys.argv[1])' \
        'threading.Event().wait()' >daemon.py
    DAEMONS='(setsid python3 daemon.py d1 &); while ! [ -e d1 ]; do sleep 0.01; done
        python3 daemon.py d2 & while ! [ -e d2 ]; do sleep 0.01; done'
}

# killed_make TOKENS-TEST... -- COMMAND...: four jobs run; their make is killed; one job after the other
# ends, and then the test succeeds within a second or so (there is other load).
killed_make() {
    local test=()
    while [ "$1" != -- ]; do
        test+=("$1")
        shift
    done
    shift
    spawn_gated "$@"
    wait_for 20 lives_jobs 4
    kill -s KILL "$(make_of 1)"
    wait_for 10 grep -q ended out
    lives_jobs 4
    ! "${test[@]}"
    let_end 4
    wait_for 10 lives_jobs 0
    wait_for 5 "${test[@]}"
    wait_for 10 grep -q '^jobwrap: .* lost in the build' said
}

@test 'a killed make, jobwrap being the pool: its tokens are back, and not before its jobs have ended' {
    killed_make inside_has 3 -- "$JOBWRAP" -j4 --parent=none sh -c "$BUILD_AND_GO_ON" 2>said
}

@test 'a killed make, a FIFO as parent: its tokens are back there' {
    make_fifo parent 4
    at_parent() { [ "$(tokens_in parent)" -ge 2 ]; } # one more is the float
    killed_make at_parent -- "$JOBWRAP" --parent=parent sh -c "$BUILD_AND_GO_ON" 2>said
}

# serves_others PARENT: another build there gets all tokens but that of the first one's implicit slot.
serves_others() {
    if [ ! -e others ]; then
        touch others
        spawn "$JOBWRAP" --parent="$1" sh -c 'exec head -c 2 <"$JOBWRAP_FIFO" >others'
    fi
    [ "$(wc -c <others)" = 2 ]
}

@test 'a killed make in a jobwrap in a jobwrap: its tokens serve others at the outer one' {
    daemons_of_threads
    at_outer() { serves_others "$(cat outer)"; }
    killed_make at_outer -- "$JOBWRAP" -j4 --parent=none sh -c \
        'echo "$JOBWRAP_FIFO" >outer; exec "$0" sh -c "$1"' "$JOBWRAP" "$DAEMONS; $BUILD_AND_GO_ON" 2>said
}

@test 'a killed make beside daemons of twenty threads: its tokens serve others at steved' {
    start_steved --jobs 4
    daemons_of_threads
    killed_make serves_others "$SERVER" -- \
        "$JOBWRAP" --parent="$SERVER" sh -c "$DAEMONS; $BUILD_AND_GO_ON" 2>said
}

@test 'a killed make, where no inotify instance is left' {
    require unshare
    require_root
    killed_make inside_has 3 -- unshare --user --map-root-user sh -c '
        echo 0 >/proc/sys/user/max_inotify_instances || exit 99
        export TMPDIR=/tmp; exec "$@"' sh "$JOBWRAP" -j4 --parent=none sh -c "$BUILD_AND_GO_ON" 2>said
    grep -q '^jobwrap: inotify: ' said
}

# --- who keeps what it has ---

heavy() {
    printf '%s\n' 'import os, re, sys' \
        'style = re.findall("--jobserver-auth=(\\S+)", os.environ["MAKEFLAGS"])[-1]' \
        'if style.startswith("fifo:"): r = w = os.open(style[5:], os.O_RDWR)' \
        'else: r, w = (int(n) for n in style.split(","))' \
        'had = b"".join(os.read(r, 1) for _ in range(7)); open("heavy", "w").close()' \
        'os.spawnlp(os.P_WAIT, "sh", "sh", "-c", "read -r _ <gate")' \
        'os.write(w, had); open("light", "w").close()' >heavy.py
}

# Makes start, run jobs and end meanwhile, and one is killed: what they do is looked at each time.
DEATHS='for i in 1 2 3; do make -s -f no.mk; make -s -f no.mk & wait $!; sh -c "kill -s KILL \$\$"; done'

# reads_of PID: so many read calls it has made.
reads_of() {
    sed -n 's/^syscr: //p' "/proc/$1/io"
}

# has_looked PID READS: it had made so many reads, and has looked at all processes since.
has_looked() {
    local all=(/proc/[1-9]*)
    [ "$(reads_of "$1")" -ge $(($2 + ${#all[@]})) ]
}

heavy_job() {
    # So many that the float stays where it is, and nothing moves while it is looked.
    make_fifo parent 12
    heavy
    printf 'all:\n\t@sleep 0.05\n' >no.mk
    [ "$1" = pipe ] || DEATHS='for i in 1 2 3; do : <>"$JOBWRAP_FIFO"; sh -c "kill -s KILL \$\$"; done'
    spawn_gated "$JOBWRAP" --parent=parent --style="$1" --report=report sh -c \
        'python3 heavy.py & while ! [ -e seen ]; do sleep 0.01; done
        '"$DEATHS"'; touch deaths; wait; sleep 0.3' 2>said
    wait_for 20 test -e heavy
    # Who has inherited its descriptors, and is not known to use them, is seen by what it has taken, when that is
    # looked for.
    reads=$(reads_of "$spawned")
    [ "$1" = fifo ] || wait_for 20 has_looked "$spawned" "$reads"
    touch seen
    wait_for 20 test -e deaths
    # Whoever looked has had the time to; nothing is synchronised by it.
    sleep 2
    [ "$(tokens_in parent)" -le 4 ]
    let_end 1
    wait_for 10 has_ended "$spawned"
    fifo_has parent 12
    python3 -c 'import json; r = json.load(open("report")); assert r["lost"] == r["dropped"] == 0, r'
}

@test 'seven tokens for one heavy job stay with it, style fifo' {
    heavy_job fifo
}

@test 'seven tokens for one heavy job stay with it, style pipe' {
    heavy_job pipe
}

@test 'what was never lent is dropped, jobwrap being the pool' {
    for way in '>"$JOBWRAP_FIFO"' '>&"${MAKEFLAGS##*,}"'; do
        rm -f where report
        spawn "$JOBWRAP" -j3 --parent=none --style=pipe --report=report bash -c \
            "$NOTE; printf ++++ $way; sleep 0.5; printf ++ $way; touch written; read -r _ <gate"
        wait_for 10 test -e written
        wait_for 5 inside_has 2
        let_end 1
        wait_for 10 has_ended "$spawned"
        grep -q '"dropped": *6' report
        rm written
    done
}

# By a descriptor of it: jobwrap would hear of an opening.
UNTIL_TWO_ARE_LEFT='until perl -e "open(my \$f, q(>&=), \$ARGV[0]); my \$n = pack(q(i), 0);
    ioctl(\$f, 0x541B, \$n); exit(unpack(q(i), \$n) != 2)" "${MAKEFLAGS##*,}"; do sleep 0.01; done'

@test 'what was never lent is dropped without a report, jobwrap being the pool' {
    spawn_gated "$JOBWRAP" -j3 --parent=none bash -c \
        "$NOTE; for i in 1 2 3 4 5; do printf + >&\${MAKEFLAGS##*,}; sleep 0.02; done; $UNTIL_TWO_ARE_LEFT; touch written; make"
    wait_for 10 test -e written
    wait_for 10 lives_jobs 3
    let_end 12
    wait_for 20 has_ended "$spawned"
    exactly 3 12
}

# --- jobs that outlive ---

# outlives COMMAND: a recipe of an outer make with two tokens, besides two other jobs; below it a make of
# one job is killed. Never do more than two jobs run.
outlives() {
    printf 'all: a b c\n.PHONY: all a\na:\n\t@%s\nb c:\n\t@"$(STAMP)" "$(LOG)" $@ -- sh -c "read -r _ <gate"\n' \
        "$1" >Makefile
    printf 'all:\n\t@"$(STAMP)" "$(LOG)" left -- sh -c "read -r _ <gate2"\n' >sub.mk
    mkfifo gate2
    exec {gate2}<>gate2
    spawn bash -c "exec $gate>&- $gate2>&-"' && exec "$@"' - "$JOBWRAP" --parent=none -j2 make -k >said 2>&1
    wait_for 20 lives_jobs 2
    # A make that has just begun is not known yet; nothing is synchronised by it.
    sleep 1
    kill -s KILL "$(make_of left)"
    wait_for 10 grep -q 'waiting until they end, or for a token' said
    lives_jobs 2
}

@test 'a job left in the slot that jobwrap was lent: jobwrap ends with the job' {
    outlives '"$(JOBWRAP)" $(MAKE) -f sub.mk'
    echo >&"$gate2"
    wait_for 10 grep -q ' c ' "$LOG"
    let_end 2
    wait_for 20 has_ended "$spawned"
    "$LIB/concurrency" --expect-exactly 2 "$LOG"
}

@test 'a job left in the slot that jobwrap was lent: jobwrap ends when there is a token for it' {
    below_fifo 0
    spawn_gated "$JOBWRAP" make 2>said
    wait_for 20 lives_jobs 1
    kill -s KILL "$(make_of 1)"
    wait_for 10 grep -q 'waiting until they end, or for a token' said
    is_alive "$spawned"
    printf + >"$PARENT"
    status_of "$spawned"
    [ "$status" = 137 ]
    grep -q 'still run; process .* holds 1 of its tokens' said
    # It is held as long as the job lives.
    fifo_has "$PARENT" 0
    lives_jobs 1
    let_end 1
    wait_for 10 fifo_has "$PARENT" 1
}

@test 'a job left in the slot that jobwrap was lent: a signal ends it, and so jobwrap' {
    outlives '"$(JOBWRAP)" $(MAKE) -f sub.mk'
    kill -s TERM "$(pgrep -x jobwrap | while read -r pid; do
        [ "$pid" = "$spawned" ] || ! grep -qzxF "LOG=$LOG" "/proc/$pid/environ" || echo "$pid"
    done)"
    wait_for 10 grep -q ' c ' "$LOG"
    let_end 2
    wait_for 20 has_ended "$spawned"
    "$LIB/concurrency" --expect-exactly 2 --killed "$LOG"
}

@test 'a job of a killed make runs on, and the command ends as it should' {
    require_tool MAKE441
    outlives '"$(JOBWRAP)" --style=fifo sh -c "$$MAKE441 -f sub.mk; sleep 0.1; exit 0"'
    echo >&"$gate2"
    wait_for 10 grep -q ' c ' "$LOG"
    let_end 2
    wait_for 20 has_ended "$spawned"
    "$LIB/concurrency" --expect-exactly 2 "$LOG"
}

@test 'a token that is put back when its job has ended does not count for the next job' {
    make_fifo parent 4
    # It has a token and the slot that the command has left, and no child just now, as a make between jobs.
    printf '%s\n' 'exec 3<>"$JOBWRAP_FIFO"; read -r -n 1 -u 3 token; touch took; read -r _ <gate' \
        'printf + >&3; touch put; read -r _ <gate' >left.bash
    spawn_gated "$JOBWRAP" --parent=parent bash -c \
        "$NOTE; bash left.bash & while ! [ -e took ]; do sleep 0.01; done; kill -s KILL \$\$"
    status_of "$spawned"
    wait_for 10 fifo_has parent 3
    let_end 1
    wait_for 10 test -e put
    is_taken() { [ ! -e "$(cat where)" ] || inside_has 0; }
    wait_for 10 is_taken
    fifo_has parent 3
    let_end 1
    wait_for 10 fifo_has parent 4
}

# --- rounds ---

rounds() {
    mkdir "$BATS_TEST_TMPDIR/rounds"
    JOBGATE=${JOBGATE-$BUILD/ninja-shim/jobgate} \
        "$LIB/loss-rounds" --rounds "${LOSS_ROUNDS:-5}" "$@" "$BATS_TEST_TMPDIR/rounds"
}

@test 'random deaths of sub-makes, jobwrap being the pool: no token is lost or made' {
    # Who waits for a killed sub-make starts another job in its slot at once.
    rounds --over 10000 none make
}

@test 'random deaths of makes in jobwraps of their own, jobwrap being the pool' {
    rounds none wrapped
}

@test 'random deaths of makes in jobwraps of their own, a FIFO as parent' {
    rounds fifo wrapped
}
