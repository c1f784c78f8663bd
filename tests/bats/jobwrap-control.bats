#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# The control socket of a jobwrap: builds below it have accounts of their own, with no daemon.

load ../lib/bash/common

setup() {
    common_setup
    cd "$BATS_TEST_TMPDIR"
    LOG=$BATS_TEST_TMPDIR/log
    "$LIB/make-tree" tree1 0.03 "$LOG"
    "$LIB/make-tree" tree2 0.03 "$LOG"
    "$LIB/make-tree" tree3 0.03 "$LOG"
}

@test 'two builds beside each other below jobwrap -j2: exactly 2 jobs together' {
    at_once 2
    "$JOBWRAP" -j2 --parent=none sh -c '"$0" make -C tree1 & "$0" make -C tree2 & wait' "$JOBWRAP"
    exactly 2 120
}

@test 'three below jobwrap -j4: exactly 4 jobs together' {
    at_once 4
    "$JOBWRAP" -j4 --parent=none sh -c '"$0" make -C tree1 & "$0" make -C tree2 & "$0" make -C tree3 & wait' \
        "$JOBWRAP"
    exactly 4 180
}

@test 'in two levels, and beside a make at the FIFO itself: exactly 3 jobs together' {
    at_once 3
    "$JOBWRAP" -j3 --parent=none sh -c '
        "$0" sh -c "\"\$0\" make -C tree1 & \"\$0\" make -C tree2 & wait" "$0" & "$0" make -C tree3 & wait' "$JOBWRAP"
    exactly 3 180
}

# make itself runs one more than it has read (rule 2).
@test 'two builds and a make at the FIFO itself below jobwrap -j4: what make has read is not claimed by others' {
    local style
    for style in fifo pipe; do
        rm -f "$LOG"
        "$JOBWRAP" -j4 --parent=none --style=$style sh -c \
            '"$0" make -C tree1 & "$0" make -C tree2 & make -C tree3 & wait' "$JOBWRAP"
        "$LIB/concurrency" --expect-max 5 --expect-jobs 180 "$LOG"
    done
}

# A script that has inherited the descriptors starts a make, or takes tokens itself, and then builds; what these wait
# for is in `waiting`.
below_script() {
    cat >script.py <<'END'
import os
import re
import subprocess
import sys

first, builds, jobwrap, stamp, log = sys.argv[1:]
read_fd, write_fd = map(int, re.findall(r"--jobserver-auth=(\d+),(\d+)", os.environ["MAKEFLAGS"])[-1])
taken = b""
if first == "make":
    make = subprocess.Popen(["make", "-s"], close_fds=False)
else:
    taken = b"".join(os.read(read_fd, 1) for _ in range(3))
open("ready", "w").close()
open("go").readline()
job = [stamp, log, "build", "--", "sh", "-c", "read -r _ <gate"]
with open("waiting", "w") as said:
    wrapped = [subprocess.Popen([jobwrap, *job], stderr=said) for _ in range(int(builds))]
statuses = [build.wait() for build in wrapped]
os.write(write_fd, taken)
sys.exit(any(statuses) or (first == "make" and make.wait()))
END
    mkfifo go
    exec {go}<>go
    gated_jobs 4
    spawn_gated "$JOBWRAP" -j4 --parent=none --style=pipe -- \
        python3 script.py "$1" "$2" "$JOBWRAP" "$STAMP" "$LOG"
    script=$spawned
    wait_for 20 test -e ready
}

@test 'below a script that has inherited the descriptors: what a make beside it has read is not claimed by others' {
    below_script make 2
    wait_for 20 lives_jobs 4
    echo >&"$go"
    wait_for 20 grep -q 'waiting for a token' waiting
    wait_for 20 lives_jobs 5
    let_end 6
    status_of "$script"
    [ "$status" = 0 ]
    "$LIB/concurrency" --expect-exactly 5 --expect-jobs 6 "$LOG"
}

@test 'what a script has read by descriptors that it has inherited is claimed by the builds that it starts' {
    below_script tokens 5
    echo >&"$go"
    wait_for 20 lives_jobs 4
    wait_for 20 grep -q 'waiting for a token' waiting
    lives_jobs 4
    let_end 5
    status_of "$script"
    [ "$status" = 0 ]
    exactly 4 5
}

@test 'whose slot is paid by its own token is told so, though another has claimed that of the command' {
    PYTHONPATH=$ROOT/libjobserver/python run -0 timeout 60 "$JOBWRAP" -j3 --parent=none --style=fifo -- python3 -c '
import os
import select

import jobserver_client as js

named = js.find(os.environ)
one, other = js.Client.open(named), js.Client.open(named)
assert one.claim_implicit()
assert not other.claim_implicit()
while not other.try_acquire():
    select.select([other], [], [])
other.pay_implicit()
assert other.claim_implicit()
'
}

@test 'two wait for the slot of the command before either has it: one of them gets it, then the other' {
    cat >client.py <<'END'
import os
import subprocess
import sys

fifo = os.open(os.environ["JOBWRAP_FIFO"], os.O_RDWR)
below = subprocess.Popen([sys.executable, "below.py"])
for _ in sys.stdin:
    os.read(fifo, 1)
    print("took", flush=True)
below.kill()
END
    cat >below.py <<'END'
import os
import signal

import jobserver_client as js

client = js.Client.open(js.find(os.environ))
assert client.claim_implicit()
print("claimed", flush=True)
signal.pause()
END
    cat >command.py <<'END'
import os
import select
import subprocess
import sys

import jobserver_client as js

pipe = subprocess.PIPE
with subprocess.Popen([sys.executable, "client.py"], stdin=pipe, stdout=pipe, text=True) as build:
    assert build.stdout.readline() == "claimed\n"

    def take() -> None:
        print(file=build.stdin, flush=True)
        assert build.stdout.readline() == "took\n"

    clients = [js.Client.open(js.find(os.environ)) for _ in range(3)]
    assert not any(client.claim_implicit() for client in clients)
    while not clients[0].try_acquire():
        select.select([clients[0]], [], [])
    # It waits for a claim no more, and the others are told that one of them may.
    select.select([clients[1]], [], [])
    assert not any(client.claim_implicit() for client in clients[1:])
    take()
    take()
    # Whoever gets a claim has the time to; nothing is synchronised by it.
    select.select(clients[1:], [], [], 20)
    select.select(clients[2:], [], [], 0.3)
    assert [client.claim_implicit() for client in clients[1:]] == [True, False]
    clients[1].close()
    while clients[2].claim_event() and not clients[2].claim_implicit():
        select.select([clients[2]], [], [])
END
    PYTHONPATH=$ROOT/libjobserver/python run -0 timeout 60 "$JOBWRAP" -j4 --parent=none --style=fifo -- python3 command.py
}

@test 'the FIFO was passed over and has its turn, though it has more than who waits: all builds end' {
    # shellcheck disable=SC2016 # for make
    printf '%b\n' 'all: a b' 'a b:' \
        '\t@for i in 1 2 3; do "$(JOBWRAP)" $(MAKE) -s -f sub.mk || exit; done' >Makefile
    printf 'all: 1 2 3\n1 2 3:\n\t@sleep 0.02\n' >sub.mk
    timeout -s KILL 60 "$JOBWRAP" -j3 --parent=none make -s
}

@test 'stevectl inside: who holds what, and another number of jobs from now on' {
    run -0 --separate-stderr "$JOBWRAP" -j3 --parent=none sh -c '
        "$0" get jobs; "$0" set jobs=5; "$0" get jobs; "$0" get held; "$0" status; true' "$STEVECTL"
    [ "${lines[0]} ${lines[1]} ${lines[2]}" = '3 5 5' ]
    [[ $output == *'sh -c'* ]]
}

@test 'set jobs: fewer at once, and more again' {
    "$JOBWRAP" -j4 --parent=none sh -c '"$1" set jobs=1; "$0" make -C tree1' "$JOBWRAP" "$STEVECTL"
    exactly 1 60
    rm "$LOG"
    at_once 4
    "$JOBWRAP" -j1 --parent=none sh -c '"$1" set jobs=4; make -C tree2' "$JOBWRAP" "$STEVECTL"
    exactly 4 60
}

@test 'wrong settings are refused in one line, and change nothing' {
    for setting in jobs=0 jobs=65537 min-jobs=2 per-process-limit=1; do
        run ! --separate-stderr "$JOBWRAP" -j3 --parent=none "$STEVECTL" set "$setting"
        [ "${#stderr_lines[@]}" = 1 ]
    done
    # What only steved has is no matter of min-jobs.
    [[ $stderr == *'a jobwrap has only jobs and limits of memory and load' ]]
}

@test 'what a client held is there again when it is killed with its keeper' {
    "$JOBWRAP" -j3 --parent=none sh -c '
        "$0" sleep 60 & first=$!
        "$0" sleep 60 & second=$!
        while [ "$("$1" get accounts)" -lt 4 ]; do :; done # the two, the FIFO, stevectl
        until sleeper=$(pgrep -P "$(pgrep -P "$second")"); do :; done
        kill -KILL "$second" "$(pgrep -P "$second")" "$sleeper"
        while [ "$("$1" get accounts)" -gt 3 ]; do :; done
        "$0" true
        kill "$first"
        wait' "$JOBWRAP" "$STEVECTL"
}

@test 'a path longer than an address of a socket' {
    local long
    long=$BATS_TEST_TMPDIR/$(printf 'd%.0s' {1..100})
    mkdir "$long"
    at_once 2
    # Root's FIFOs lie in /run/jobwrap: there only the number of jobs is tested.
    XDG_RUNTIME_DIR='' TMPDIR=$long "$JOBWRAP" -j2 --parent=none sh -c '"$0" make -C tree1 & "$0" make -C tree2 & wait' "$JOBWRAP"
    exactly 2 120
}

@test 'a server of another user that does not answer is not waited for' {
    require_root
    require setpriv
    directory_for_all
    mkdir -m 755 "$OTHER/theirs"
    chown 65534 "$OTHER/theirs"
    spawn setpriv --reuid=65534 --regid=65534 --clear-groups /usr/bin/python3 -c '
import os, socket, sys
os.chdir(sys.argv[1])
os.mkfifo("jobserver", 0o666)
fifo = os.open("jobserver", os.O_RDWR)
os.write(fifo, b"++")
server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
server.bind("control")
server.listen(8)
connections = []
while True:
    connections.append(server.accept())' "$OTHER/theirs"
    wait_for 10 test -S "$OTHER/theirs/control"
    run -0 timeout -s KILL 60 "$JOBWRAP" --parent="$OTHER/theirs/jobserver" true
    run -0 timeout -s KILL 60 python3 -c '
import sys
sys.path.insert(0, sys.argv[1])
from jobserver_client import FIFO, Client, Named
assert Client.open(Named(sys.argv[2])).kind is FIFO' "$ROOT/libjobserver/python" "$OTHER/theirs/jobserver"
    [ "$(tokens_in "$OTHER/theirs/jobserver")" = 2 ]
}

@test 'packets that make no sense end the connection that they came by, and nothing else' {
    # A user asks for too much by the processor's time, which a machine that is busy with others does not have for it.
    local first=()
    ! chrt -r 1 true 2>/dev/null || first=(chrt -r 1)
    run -0 "${first[@]}" "$JOBWRAP" -j3 --parent=none python3 "$LIB/control_client.py" "$STEVECTL"
    [ "${lines[-1]}" = 'held 3 of 3' ]
}

@test 'a token is set aside for the build when somebody comes who has none: it is passed on' {
    run -0 timeout -s KILL 60 "$JOBWRAP" -j3 --parent=none --style=fifo -- python3 -c '
import os, signal, socket, struct, time

ACQUIRE, RETURN = 2, 3
fifo = os.environ["JOBWRAP_FIFO"]
client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
client.settimeout(10)
client.connect(os.path.join(os.path.dirname(fifo), "control"))
jobwrap = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]

def acquire() -> None:
    client.send(struct.pack("=Ii", ACQUIRE, 0))
    while struct.unpack("=Ii", client.recv(64))[1] == 0:
        time.sleep(0.01)
        client.send(struct.pack("=Ii", ACQUIRE, 0))

acquire()
own = os.open(fifo, os.O_RDWR)
os.read(own, 1)  # the build has all that is left, and would like more
os.kill(jobwrap, signal.SIGSTOP)
client.send(struct.pack("=Ii", RETURN, 0))
client.send(struct.pack("=Ii", ACQUIRE, 0))
os.kill(jobwrap, signal.SIGCONT)
client.recv(64)
acquire()
os.write(own, b"+")
'
}
